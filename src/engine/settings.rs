//! How a session is to behave: numbers that a person may change. Bounds against strangers are in
//! [`limit`](crate::base::limit) instead.

use std::net::IpAddr;

use super::action::Direction;
use crate::base::address::{Families, Reach};
use crate::base::rate::ByteRate;
use crate::base::time::Duration;

/// How many peers are served at once because of what they give or take. One more is tried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slots {
    /// Between 4 and 10, as many as raise what goes out.
    Auto,
    /// So many; with 0 nobody is served.
    Fixed(usize),
}

/// How fast peers may be given and taken from; `None`: as fast as it goes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Limits {
    /// From peers.
    pub down: Option<ByteRate>,
    /// To peers.
    pub up: Option<ByteRate>,
}

impl Limits {
    /// The limit in one direction.
    pub fn of(&self, direction: Direction) -> Option<ByteRate> {
        match direction {
            Direction::Down => self.down,
            Direction::Up => self.up,
        }
    }
}

/// Choices for a whole session.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The port that peers can reach us at, as announced.
    pub listen_port: u16,
    /// Families of addresses in use.
    pub families: Families,
    /// Connections of one torrent.
    pub max_peers_torrent: usize,
    /// Connections in all.
    pub max_peers: usize,
    /// How fast all peers together may be given and taken from.
    pub limits: Limits,
    /// Whether peers nearby (private, link-local and loopback addresses) are left out of all limits of rates.
    pub lan_unlimited: bool,
    /// Attempts to connect that may be under way at once.
    pub max_dials: usize,
    /// Payload that may wait in memory, bytes.
    pub memory: u64,
    /// How many peers have a regular slot.
    pub slots: Slots,
    /// Disk jobs that may be out for a check at once: two for each worker keep all of them busy.
    pub check_jobs: usize,
    /// How long a peer may take for its handshake.
    pub handshake_timeout: Duration,
    /// How long a peer may be silent.
    pub peer_timeout: Duration,
    /// Peers per announce.
    pub numwant: u32,
}

impl Settings {
    /// Whether what moves to and from `address` is left out of the limits.
    pub fn is_unlimited(&self, address: IpAddr) -> bool {
        self.lan_unlimited && Reach::of(address).is_some_and(|reach| reach < Reach::Global)
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen_port: 0,
            families: Families::BOTH,
            max_peers_torrent: 80,
            max_peers: 200,
            limits: Limits::default(),
            lan_unlimited: false,
            max_dials: 30,
            memory: 32 * 1024 * 1024,
            slots: Slots::Auto,
            check_jobs: 4,
            handshake_timeout: Duration::from_secs(10),
            peer_timeout: Duration::from_secs(120),
            numwant: 200,
        }
    }
}
