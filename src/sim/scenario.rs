//! Who takes part in a simulated swarm: seeds, leechers, liars, when they come, and how they are connected.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::content::Content;
use super::disk::DiskSpeed;
use super::host::{HostPlan, Line};
use super::liar::{Liar, Lie};
use super::link::LinkKind;
use super::report::Report;
use super::tracker::{Tracker, TrackerMode};
use super::world::{HostId, World};
use crate::base::bitfield::Bitfield;
use crate::base::index::FileIndex;
use crate::base::layout::LayoutError;
use crate::base::random::Rng;
use crate::base::rate::ByteRate;
use crate::base::time::Duration;
use crate::engine::settings::{Settings, Slots};

/// A swarm to be simulated.
#[derive(Clone, Debug)]
pub struct Scenario {
    seed: u64,
    lengths: Vec<u64>,
    piece_length: u32,
    links: LinkKind,
    tracker: TrackerMode,
    settings: Settings,
    line: Line,
    disk: DiskSpeed,
    spread: Duration,
    is_uneven: bool,
    remembers: bool,
    super_seeds: bool,
    roles: Vec<Role>,
}

/// What a host has to begin with.
#[derive(Clone, PartialEq, Debug)]
enum Role {
    Seed,
    Leecher,
    FreeRider(Bitfield),
    Having(Bitfield, BTreeSet<FileIndex>),
    Liar(Lie),
}

/// A world with its hosts, by what they are.
pub struct Swarm {
    /// The world.
    pub world: World,
    /// Hosts that have everything.
    pub seeds: Vec<HostId>,
    /// Hosts that lack something, in the order in which they were named.
    pub leechers: Vec<HostId>,
    /// Hosts with a script.
    pub liars: Vec<HostId>,
}

impl Scenario {
    /// A swarm without hosts, around a torrent of one file: 64 pieces of 64 KiB.
    pub fn new(seed: u64) -> Scenario {
        Scenario {
            seed,
            lengths: vec![64 * 65_536],
            piece_length: 65_536,
            links: LinkKind::Messages,
            tracker: TrackerMode::Works,
            settings: Settings::default(),
            line: Line::default(),
            disk: DiskSpeed::default(),
            spread: Duration::ZERO,
            is_uneven: false,
            remembers: false,
            super_seeds: false,
            roles: Vec::new(),
        }
    }

    /// Files of these lengths, cut into pieces of this length.
    pub fn files(mut self, lengths: &[u64], piece_length: u32) -> Scenario {
        self.lengths = lengths.to_vec();
        self.piece_length = piece_length;
        self
    }

    /// What links carry.
    pub fn links(mut self, links: LinkKind) -> Scenario {
        self.links = links;
        self
    }

    /// How the tracker behaves.
    pub fn tracker(mut self, tracker: TrackerMode) -> Scenario {
        self.tracker = tracker;
        self
    }

    /// How every session behaves.
    pub fn settings(mut self, settings: Settings) -> Scenario {
        self.settings = settings;
        self
    }

    /// Every host's line.
    pub fn line(mut self, line: Line) -> Scenario {
        self.line = line;
        self
    }

    /// Every host's disk.
    pub fn disk(mut self, disk: DiskSpeed) -> Scenario {
        self.disk = disk;
        self
    }

    /// Lines differ: each host's is up to four times as slow in each way, and as far off.
    pub fn uneven_lines(mut self) -> Scenario {
        self.is_uneven = true;
        self
    }

    /// Hosts come one after the other, at random, within this time.
    pub fn spread(mut self, spread: Duration) -> Scenario {
        self.spread = spread;
        self
    }

    /// So many hosts that have everything.
    pub fn seeds(mut self, count: usize) -> Scenario {
        self.roles.extend(std::iter::repeat_n(Role::Seed, count));
        self
    }

    /// So many hosts that have nothing.
    pub fn leechers(mut self, count: usize) -> Scenario {
        self.roles.extend(std::iter::repeat_n(Role::Leecher, count));
        self
    }

    /// A host that has these pieces, takes what it gets and serves nobody.
    pub fn free_rider(mut self, pieces: Bitfield) -> Scenario {
        self.roles.push(Role::FreeRider(pieces));
        self
    }

    /// A host that has these pieces.
    pub fn having(mut self, pieces: Bitfield) -> Scenario {
        self.roles.push(Role::Having(pieces, BTreeSet::new()));
        self
    }

    /// A host that has these pieces, and somebody else's data in the places of these files.
    pub fn having_foreign(mut self, pieces: Bitfield, files: &[FileIndex]) -> Scenario {
        self.roles.push(Role::Having(pieces, files.iter().copied().collect()));
        self
    }

    /// A host that behaves badly.
    pub fn liar(mut self, lie: Lie) -> Scenario {
        self.roles.push(Role::Liar(lie));
        self
    }

    /// Disks that remember what was written when their session ends.
    pub fn remembering(mut self) -> Scenario {
        self.remembers = true;
        self
    }

    /// Who has everything from the start super-seeds.
    pub fn super_seeding(mut self) -> Scenario {
        self.super_seeds = true;
        self
    }

    /// The world with its hosts, each to be switched on.
    pub fn build(&self) -> Result<Swarm, LayoutError> {
        let rng = Rng::from_number(self.seed);
        let content = Content::new(&self.lengths, self.piece_length, &mut rng.fork("content"))?;
        let pieces = content.layout().piece_count();
        let world = World::new(self.seed, content, self.links, self.tracker);
        let mut swarm = Swarm { world, seeds: Vec::new(), leechers: Vec::new(), liars: Vec::new() };
        let mut rng = rng.fork("scenario");
        let settings = Arc::new(self.settings.clone());
        for role in &self.roles {
            let line = if self.is_uneven { uneven(self.line, &mut rng) } else { self.line };
            let (has, foreign) = match role {
                Role::Liar(lie) => {
                    let liar = swarm.world.add_scripted(line, Box::new(Liar::new(*lie)));
                    swarm.liars.push(liar);
                    swarm.world.start_in(liar, Duration::ZERO);
                    continue;
                }
                Role::Seed => (Bitfield::full(pieces), BTreeSet::new()),
                Role::Leecher => (Bitfield::empty(pieces), BTreeSet::new()),
                Role::Having(pieces, foreign) => (pieces.clone(), foreign.clone()),
                Role::FreeRider(pieces) => (pieces.clone(), BTreeSet::new()),
            };
            let settings = match role {
                Role::FreeRider(_) => Arc::new(Settings { slots: Slots::Fixed(0), ..self.settings.clone() }),
                _ => settings.clone(),
            };
            let list = if has.is_full() { &mut swarm.seeds } else { &mut swarm.leechers };
            let host = swarm.world.add_session(HostPlan {
                line,
                disk: self.disk,
                has,
                foreign,
                remembers: self.remembers,
                kept: None,
                settings,
                super_seed: self.super_seeds,
                trackers: vec![vec![Tracker::URL.to_owned()]],
                peers: Vec::new(),
            });
            list.push(host);
            let millis = rng.below(self.spread.as_millis() as usize + 1) as u64;
            swarm.world.start_in(host, Duration::from_millis(millis));
        }
        Ok(swarm)
    }
}

impl Swarm {
    /// Runs until every leecher that is switched on is complete and nothing of its own is under way.
    pub fn finish(&mut self, limit: Duration) -> Report {
        let leechers = self.leechers.clone();
        let is_done =
            self.world.run_until(limit, |world| leechers.iter().all(|host| world.is_complete(*host)));
        if is_done {
            self.world.run_for(Duration::from_secs(5));
        }
        Report::new(&self.world, is_done)
    }
}

fn uneven(line: Line, rng: &mut Rng) -> Line {
    let mut slower = |rate: ByteRate| ByteRate((rate.0 / (1 + rng.below(4) as u64)).max(1));
    let (down, up) = (slower(line.down), slower(line.up));
    Line { latency: line.latency * (1 + rng.below(4) as u32), down, up }
}
