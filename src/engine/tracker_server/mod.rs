//! A tracker (BEP 3, 7, 23, 24): who shares which torrent, and whom to tell.
//!
//! Decides what an announce is answered with: it keeps swarms in memory, within bounds, forgets peers that
//! are silent for two intervals, and tells a random few of the others. A peer that announces over both
//! families is one peer with two addresses; seeds are not told of seeds; an address is told only to those
//! who may dial it. Receiving and answering HTTP is the runtime's. Scrape is not answered.

mod query;
mod swarm;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

pub use query::{AnnounceQuery, QueryError};

use self::swarm::Swarm;
use crate::base::hash::Sha1Hash;
use crate::base::limit;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};
use crate::wire::tracker::{AnnounceAnswer, Event};

/// Peers told to those who do not say how many they want.
const NUMWANT_UNTOLD: usize = 50;

/// Choices for a tracker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrackerServerSettings {
    /// How often peers are to announce.
    pub interval: Duration,
    /// How often they may at the most.
    pub min_interval: Duration,
}

impl Default for TrackerServerSettings {
    fn default() -> TrackerServerSettings {
        TrackerServerSettings {
            interval: Duration::from_secs(15 * 60),
            min_interval: Duration::from_secs(30),
        }
    }
}

/// A tracker's memory.
#[derive(Debug)]
pub struct TrackerServer {
    settings: TrackerServerSettings,
    rng: Rng,
    swarms: BTreeMap<Sha1Hash, Swarm>,
    /// Peers of all swarms.
    peers: usize,
    sweep_at: Instant,
}

impl TrackerServer {
    /// A tracker that knows nobody.
    pub fn new(settings: TrackerServerSettings, rng: Rng) -> TrackerServer {
        TrackerServer { settings, rng, swarms: BTreeMap::new(), peers: 0, sweep_at: Instant::FAR }
    }

    /// Answers an announce with the raw `query` of its URL that came from `remote`: the body, bencoded.
    pub fn handle_query(&mut self, now: Instant, query: &str, remote: IpAddr) -> Vec<u8> {
        let answer = match AnnounceQuery::parse(query) {
            Ok(query) => self.handle_announce(now, &query, remote),
            Err(error) => refusal(&error.to_string()),
        };
        answer.encode()
    }

    /// Answers an announce from `remote`.
    pub fn handle_announce(&mut self, now: Instant, query: &AnnounceQuery, remote: IpAddr) -> AnnounceAnswer {
        let remote = remote.to_canonical();
        if query.event == Some(Event::Stopped) {
            if let Some(swarm) = self.swarms.get_mut(&query.info_hash) {
                self.peers -= usize::from(swarm.remove(query));
            }
            return self.answer(now, query, remote);
        }
        let has_room = self.peers < limit::TRACKED_PEERS;
        let may_grow = has_room && self.swarms.len() < limit::TRACKED_TORRENTS;
        if !may_grow && !self.swarms.contains_key(&query.info_hash) {
            return refusal("this tracker is full");
        }
        self.sweep_at = self.sweep_at.min(now + self.settings.interval);
        let swarm = self.swarms.entry(query.info_hash).or_default();
        let before = swarm.len();
        if !swarm.insert(now, query, SocketAddr::new(remote, query.port), has_room) {
            return refusal("this swarm is full");
        }
        self.peers += swarm.len() - before;
        self.answer(now, query, remote)
    }

    /// Forgets who has been silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.sweep_at {
            return;
        }
        let lifetime = self.lifetime();
        self.swarms.retain(|_, swarm| {
            swarm.expire(now, lifetime);
            swarm.len() > 0
        });
        self.peers = self.swarms.values().map(Swarm::len).sum();
        self.sweep_at = if self.swarms.is_empty() { Instant::FAR } else { now + self.settings.interval };
    }

    /// When [`TrackerServer::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.sweep_at < Instant::FAR).then_some(self.sweep_at)
    }

    /// Peers of all torrents together.
    pub fn peers(&self) -> usize {
        self.peers
    }

    fn lifetime(&self) -> Duration {
        self.settings.interval.saturating_mul(2)
    }

    fn answer(&mut self, now: Instant, query: &AnnounceQuery, remote: IpAddr) -> AnnounceAnswer {
        let lifetime = self.lifetime();
        let mut answer = AnnounceAnswer {
            interval: Some(self.settings.interval),
            min_interval: Some(self.settings.min_interval),
            external_address: Some(remote),
            seeds: Some(0),
            leechers: Some(0),
            downloaded: Some(0),
            ..AnnounceAnswer::default()
        };
        let Some(swarm) = self.swarms.get_mut(&query.info_hash) else { return answer };
        let before = swarm.len();
        swarm.expire(now, lifetime);
        self.peers -= before - swarm.len();
        answer.seeds = Some(swarm.seeds());
        answer.leechers = Some(swarm.leechers());
        answer.downloaded = Some(swarm.completed());
        if query.event != Some(Event::Stopped) {
            let wanted = query.numwant.unwrap_or(NUMWANT_UNTOLD).min(limit::TOLD_PEERS);
            answer.peers = swarm.pick(query, remote, wanted, &mut self.rng);
        }
        answer
    }
}

fn refusal(reason: &str) -> AnnounceAnswer {
    AnnounceAnswer { failure_reason: Some(reason.to_owned()), ..AnnounceAnswer::default() }
}

#[cfg(test)]
mod tests;
