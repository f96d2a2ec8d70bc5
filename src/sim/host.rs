//! A simulated machine: an address, a line to the network, and a session with its disk, or a script.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use super::checks::Watch;
use super::disk::{DiskSpeed, KeptPlan, VirtualDisk};
use super::scripted::ScriptedPeer;
use crate::base::bitfield::Bitfield;
use crate::base::index::FileIndex;
use crate::base::random::Rng;
use crate::base::rate::ByteRate;
use crate::base::time::{Duration, Instant};
use crate::engine::input::ConnectionId;
use crate::engine::notice::Notice;
use crate::engine::session::Session;
use crate::engine::settings::Settings;

/// A host's line to the network.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// From the host to the network's middle, one way.
    pub latency: Duration,
    /// Towards the host.
    pub down: ByteRate,
    /// From the host.
    pub up: ByteRate,
}

impl Default for Line {
    fn default() -> Line {
        Line { latency: Duration::from_millis(10), down: ByteRate(10_000_000), up: ByteRate(2_000_000) }
    }
}

/// What a host with a session starts with.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// Its line.
    pub line: Line,
    /// Its disk.
    pub disk: DiskSpeed,
    /// The pieces on its disk.
    pub has: Bitfield,
    /// Files in whose places its disk has somebody else's data.
    pub foreign: BTreeSet<FileIndex>,
    /// Whether its disk remembers what was written when its session ends.
    pub remembers: bool,
    /// How its disk keeps real bytes, if it does.
    pub kept: Option<KeptPlan>,
    /// Its session's settings.
    pub settings: Arc<Settings>,
    /// Whether it super-seeds.
    pub super_seed: bool,
    /// Announce URLs.
    pub trackers: Vec<Vec<String>>,
    /// Peers that it is told of when it starts.
    pub peers: Vec<SocketAddr>,
}

/// Whether a host is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    /// Switched off: connecting to it is refused.
    Off,
    /// There.
    On,
    /// Gone without a word: nothing comes back.
    Lost,
}

pub(super) struct Host {
    pub(super) address: SocketAddr,
    pub(super) line: Line,
    pub(super) presence: Presence,
    /// Counts starts: what was meant for an earlier run does not reach a later one.
    pub(super) run: u32,
    pub(super) connections: BTreeMap<ConnectionId, (usize, usize)>,
    pub(super) opened: u32,
    pub(super) is_line_busy: bool,
    /// Ends that have something to send, in turn.
    pub(super) ring: VecDeque<(usize, usize)>,
    pub(super) down_free_at: Instant,
    /// Its program does nothing before this.
    pub(super) frozen_until: Instant,
    pub(super) rng: Rng,
    pub(super) machine: Machine,
}

pub(super) enum Machine {
    Node(Box<Node>),
    Script(Box<dyn ScriptedPeer>),
}

/// A session, its disk, and who watches it.
pub(super) struct Node {
    pub(super) plan: HostPlan,
    pub(super) session: Option<Session>,
    pub(super) disk: VirtualDisk,
    pub(super) watch: Watch,
    /// The deadline for which an event is planned.
    pub(super) armed: Option<Instant>,
    /// How often the session was woken at the same time.
    pub(super) spins: (Instant, u32),
    pub(super) is_crowded: bool,
    pub(super) fetches_out: u32,
    pub(super) notices: Vec<(Instant, Notice)>,
    /// Calls to the network, and the one that is to fail.
    pub(super) network: Network,
}

/// A host's calls to the network: dials, look-ups, sends and receptions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Network {
    pub(super) calls: u64,
    pub(super) failing: Option<u64>,
}

impl Network {
    /// Counts a call; whether it fails.
    pub(super) fn fails(&mut self) -> bool {
        self.calls += 1;
        self.failing == Some(self.calls)
    }
}

impl Host {
    /// A host that is still switched off.
    pub(super) fn new(address: SocketAddr, line: Line, rng: Rng, machine: Machine) -> Host {
        Host {
            address,
            line,
            presence: Presence::Off,
            run: 0,
            connections: BTreeMap::new(),
            opened: 0,
            is_line_busy: false,
            ring: VecDeque::new(),
            down_free_at: Instant::ZERO,
            frozen_until: Instant::ZERO,
            rng,
            machine,
        }
    }

    /// Whether it is there, and in its `run`th run.
    pub(super) fn is_in_run(&self, run: u32) -> bool {
        self.presence == Presence::On && self.run == run
    }

    /// A name for the next connection.
    pub(super) fn next_connection(&mut self) -> ConnectionId {
        self.opened += 1;
        ConnectionId(self.opened)
    }

    pub(super) fn node(&self) -> Option<&Node> {
        match &self.machine {
            Machine::Node(node) => Some(node),
            Machine::Script(_) => None,
        }
    }

    pub(super) fn node_mut(&mut self) -> Option<&mut Node> {
        match &mut self.machine {
            Machine::Node(node) => Some(node),
            Machine::Script(_) => None,
        }
    }
}
