//! What came of a run, in words that begin with the seed that replays it.

use std::fmt;

use super::world::{HostId, World};
use crate::base::time::Instant;
use crate::engine::snapshot::{Detail, TorrentSnapshot};

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed that replays it.
    pub seed: u64,
    /// Whether it came to its end in time and without a fault.
    pub is_done: bool,
    /// When it ended.
    pub at: Instant,
    /// Events.
    pub steps: u64,
    /// The digest of every (time, host, input, action).
    pub digest: u64,
    /// Rules that were broken.
    pub faults: Vec<String>,
    /// Every host with a session that is switched on.
    pub hosts: Vec<HostReport>,
}

/// One host.
#[derive(Clone, Debug)]
pub struct HostReport {
    /// Which.
    pub host: HostId,
    /// Whether it has every piece and every file has its name.
    pub is_complete: bool,
    /// Requests that are out, whether a disk job is, and fetches that are.
    pub outstanding: (usize, bool, u32),
    /// The torrent as people see it.
    pub torrent: Option<TorrentSnapshot>,
}

impl Report {
    /// What has come of `world` so far.
    pub fn new(world: &World, is_done: bool) -> Report {
        let nodes = world.hosts().filter(|host| world.is_on(*host) && world.disk(*host).is_some());
        let hosts = nodes.map(|host| HostReport {
            host,
            is_complete: world.is_complete(host),
            outstanding: world.outstanding(host),
            torrent: world.snapshot(host, Detail::Totals),
        });
        Report {
            seed: world.seed(),
            is_done: is_done && world.faults().is_empty(),
            at: world.now(),
            steps: world.steps(),
            digest: world.digest(),
            faults: world.faults().to_vec(),
            hosts: hosts.collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.is_done { "done" } else { "NOT done" };
        writeln!(f, "seed {}: {end} at {:?} after {} steps", self.seed, self.at, self.steps)?;
        for fault in &self.faults {
            writeln!(f, "  fault: {fault}")?;
        }
        for host in self.hosts.iter().filter(|host| !host.is_complete || self.is_done) {
            write!(f, "  host {}: outstanding {:?}", host.host.0, host.outstanding)?;
            if let Some(torrent) = &host.torrent {
                write!(f, ", {:?}, {} of {} pieces", torrent.phase, torrent.have, torrent.pieces)?;
                write!(f, ", {} peers", torrent.peers)?;
                write!(f, ", {} bytes wasted, waiting: {:?}", torrent.wasted, torrent.waiting)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
