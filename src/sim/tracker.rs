//! The virtual HTTP tracker: knows who announced, and answers with a random few of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::base::limit;
use crate::base::random::Rng;
use crate::base::time::Duration;
use crate::engine::action::{AddressFamily, HttpRequest};
use crate::engine::input::{HttpAnswer, HttpFailure};
use crate::wire::tracker::AnnounceAnswer;

/// How the tracker behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrackerMode {
    /// As it should.
    Works,
    /// Refuses every announce.
    Refuses,
    /// Cannot be reached.
    Dead,
}

/// The one tracker of a simulated world.
#[derive(Debug)]
pub struct Tracker {
    mode: TrackerMode,
    interval: Duration,
    /// Who announced, and how much it lacks.
    swarm: BTreeMap<SocketAddr, u64>,
    announces: u64,
    rng: Rng,
}

impl Tracker {
    /// Where it is announced to.
    pub const URL: &str = "http://tracker.sim/announce";
    /// Its own address.
    const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 255, 255, 1)), 80);
    const NUMWANT: usize = 50;

    /// A tracker that nobody has announced to.
    pub fn new(mode: TrackerMode, rng: Rng) -> Tracker {
        Tracker { mode, interval: Duration::from_secs(300), swarm: BTreeMap::new(), announces: 0, rng }
    }

    /// Changes how it behaves from here on.
    pub fn set_mode(&mut self, mode: TrackerMode) {
        self.mode = mode;
    }

    /// How many announces it answered.
    pub fn announces(&self) -> u64 {
        self.announces
    }

    /// Puts a peer in that speaks no HTTP.
    pub fn join(&mut self, peer: SocketAddr) {
        self.swarm.insert(peer, 0);
    }

    /// Answers a request that comes from `from`.
    pub fn fetch(&mut self, from: IpAddr, request: &HttpRequest) -> Result<HttpAnswer, HttpFailure> {
        if request.family == Some(AddressFamily::V6) {
            return Err(HttpFailure::NoSuchFamily);
        }
        let answer = match self.mode {
            TrackerMode::Dead => return Err(HttpFailure::TimedOut),
            TrackerMode::Refuses => refusal("not here"),
            TrackerMode::Works => self.announce(from, &request.url).unwrap_or_else(refusal),
        };
        let body = answer.encode();
        if body.len() > request.limit {
            return Err(HttpFailure::TooLong);
        }
        Ok(HttpAnswer { status: 200, body, server: Some(Tracker::ADDRESS) })
    }

    fn announce(&mut self, from: IpAddr, url: &str) -> Result<AnnounceAnswer, &'static str> {
        let query = url.split_once('?').ok_or("no query")?.1;
        let value = |key: &str| {
            query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key)
        };
        let number = |key: &str| value(key).and_then(|(_, text)| text.parse::<u64>().ok());
        for needed in ["info_hash", "peer_id", "uploaded", "downloaded"] {
            value(needed).ok_or("a parameter is missing")?;
        }
        let port = number("port").and_then(|port| u16::try_from(port).ok()).ok_or("no port")?;
        let left = number("left").ok_or("no left")?;
        let wanted = number("numwant").map_or(Tracker::NUMWANT, |wanted| wanted as usize);
        self.announces += 1;
        let peer = SocketAddr::new(from, port);
        if value("event").is_some_and(|(_, event)| event == "stopped") {
            self.swarm.remove(&peer);
            return Ok(self.answer(Vec::new()));
        }
        self.swarm.insert(peer, left);
        let mut peers: Vec<SocketAddr> = self.swarm.keys().copied().filter(|other| *other != peer).collect();
        self.rng.shuffle(&mut peers);
        peers.truncate(wanted.min(limit::TRACKER_PEERS));
        Ok(self.answer(peers))
    }

    fn answer(&self, peers: Vec<SocketAddr>) -> AnnounceAnswer {
        let seeds = self.swarm.values().filter(|left| **left == 0).count() as u32;
        AnnounceAnswer {
            interval: Some(self.interval),
            seeds: Some(seeds),
            leechers: Some(self.swarm.len() as u32 - seeds),
            peers,
            ..AnnounceAnswer::default()
        }
    }
}

fn refusal(reason: &str) -> AnnounceAnswer {
    AnnounceAnswer { failure_reason: Some(reason.to_owned()), ..AnnounceAnswer::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(tracker: &mut Tracker, host: u8, more: &str) -> AnnounceAnswer {
        let url = format!(
            "{}?info_hash=%00&peer_id=x&port=6881&uploaded=0&downloaded=0&left=9{more}",
            Tracker::URL
        );
        let request = HttpRequest {
            url,
            family: None,
            loopback: true,
            limit: limit::TRACKER_ANSWER,
            timeout: Duration::ZERO,
        };
        let answer = tracker.fetch(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), &request).unwrap();
        AnnounceAnswer::decode(&answer.body).unwrap()
    }

    #[test]
    fn peers_learn_of_each_other_until_they_stop() {
        let mut tracker = Tracker::new(TrackerMode::Works, Rng::from_number(1));
        assert_eq!(ask(&mut tracker, 1, "&event=started").peers, []);
        assert_eq!(ask(&mut tracker, 2, "").peers, ["10.0.0.1:6881".parse().unwrap()]);
        assert_eq!(ask(&mut tracker, 1, "&event=stopped").peers, []);
        assert_eq!(ask(&mut tracker, 2, "").peers, []);
    }

    #[test]
    fn a_tracker_that_refuses_says_so() {
        let mut tracker = Tracker::new(TrackerMode::Refuses, Rng::from_number(1));
        assert_eq!(ask(&mut tracker, 1, "").failure_reason.as_deref(), Some("not here"));
    }
}
