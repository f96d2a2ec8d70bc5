//! The state of a session as people see it. Read by front-ends; never by the engine itself.

use std::fmt;
use std::net::SocketAddr;

use super::disk_job::Traffic;
use super::order::TorrentId;
use crate::base::peer_id::PeerId;
use crate::base::rate::ByteRate;
use crate::base::size::size;
use crate::base::time::Duration;

/// How much a snapshot is to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// Totals a torrent.
    Totals,
    /// Every peer too.
    Peers,
}

/// All torrents of a session.
#[derive(Clone, Debug, Default)]
pub struct SessionSnapshot {
    /// In the order of their ids.
    pub torrents: Vec<TorrentSnapshot>,
}

/// One torrent.
#[derive(Clone, Debug)]
pub struct TorrentSnapshot {
    /// Which.
    pub torrent: TorrentId,
    /// What it is doing.
    pub phase: Phase,
    /// Payload bytes, pad files not counted.
    pub total: u64,
    /// Bytes of pieces that are verified and written, pad files not counted.
    pub verified: u64,
    /// Bytes received of pieces that are under way.
    pub partial: u64,
    /// Pieces in all.
    pub pieces: u32,
    /// Pieces that are verified and written.
    pub have: u32,
    /// Payload bytes received in this run, useful or not.
    pub downloaded: u64,
    /// Payload bytes sent in this run.
    pub uploaded: u64,
    /// What all earlier runs moved, as far as that is remembered.
    pub earlier: Traffic,
    /// Payload bytes received in vain: bad, twice, or not asked for.
    pub wasted: u64,
    /// Rolling rate of payload from peers.
    pub down: ByteRate,
    /// Rolling rate of payload to peers.
    pub up: ByteRate,
    /// Peers that shook hands.
    pub peers: usize,
    /// Of these, how many have everything.
    pub seeds: usize,
    /// Peers known, connected or not.
    pub known_peers: usize,
    /// Others that have everything: as many as a tracker last said, or as IP addresses from which somebody told us so in
    /// this run, whichever is more.
    pub swarm_seeds: usize,
    /// Copies of the torrent among connected peers: whole copies, and the share of pieces that have one more.
    pub copies: f32,
    /// Time to completion at the rolling rate.
    pub eta: Option<Duration>,
    /// Why nothing comes, when nothing does.
    pub waiting: Option<StallReason>,
    /// Empty unless asked for.
    pub peer_list: Vec<PeerSnapshot>,
}

impl TorrentSnapshot {
    /// What this run and all earlier ones moved.
    pub fn traffic(&self) -> Traffic {
        self.earlier.plus(Traffic { uploaded: self.uploaded, downloaded: self.downloaded })
    }
}

/// What a torrent is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Looking what is on disk.
    Opening,
    /// Hashing what was found on disk: pieces looked at.
    Checking {
        /// Pieces looked at.
        done: u32,
        /// Pieces in all.
        pieces: u32,
        /// How fast, since it began.
        rate: ByteRate,
    },
    /// Fetching pieces.
    Downloading,
    /// Everything is here.
    Seeding,
    /// Cannot go on.
    Failed,
    /// Stopped as ordered.
    Stopped,
}

/// One peer.
#[derive(Clone, Debug)]
pub struct PeerSnapshot {
    /// Where.
    pub address: SocketAddr,
    /// Its id.
    pub peer_id: PeerId,
    /// Share of the pieces that it has, 0 to 1.
    pub has: f32,
    /// Rolling rate from it.
    pub down: ByteRate,
    /// Rolling rate to it.
    pub up: ByteRate,
    /// Whether it refuses our requests.
    pub choking_us: bool,
    /// Whether it was too slow with what we asked for.
    pub snubbed: bool,
    /// Requests out with it.
    pub requests: usize,
}

/// Why nothing comes. The words are the same wherever they are shown.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum StallReason {
    /// No tracker is known and nobody named a peer.
    NoTrackers,
    /// Every tracker refused.
    TrackerRefused,
    /// Nobody has named a peer so far.
    NoPeersFound,
    /// Peers are known; none can be connected to.
    NoneConnectable,
    /// Every connected peer chokes us.
    AllChokeUs,
    /// No connected peer has what is missing.
    MissingPieces {
        /// Pieces that nobody connected has.
        pieces: u32,
        /// See [`TorrentSnapshot::copies`], our own pieces counted in.
        copies: f32,
    },
    /// Peers have what is missing and let us ask; nothing has come for a while.
    PeersSilent,
    /// The disk is behind.
    DiskSlow,
    /// It could come, but no faster than people allow.
    LimitedByUser,
    /// Nothing can be written for want of space.
    DiskFull {
        /// Bytes that are free, where that is what is short.
        free: Option<u64>,
        /// Bytes that are still to be written.
        needed: u64,
    },
}

impl StallReason {
    /// The names of all reasons.
    pub const NAMES: [&str; 10] = [
        "no-trackers",
        "tracker-refused",
        "no-peers-found",
        "none-connectable",
        "all-choke-us",
        "missing-pieces",
        "peers-silent",
        "disk-slow",
        "disk-full",
        "limited-by-user",
    ];

    /// The reason's name in JSON and in scripts.
    pub fn name(&self) -> &'static str {
        match self {
            StallReason::NoTrackers => "no-trackers",
            StallReason::TrackerRefused => "tracker-refused",
            StallReason::NoPeersFound => "no-peers-found",
            StallReason::NoneConnectable => "none-connectable",
            StallReason::AllChokeUs => "all-choke-us",
            StallReason::MissingPieces { .. } => "missing-pieces",
            StallReason::PeersSilent => "peers-silent",
            StallReason::DiskSlow => "disk-slow",
            StallReason::LimitedByUser => "limited-by-user",
            StallReason::DiskFull { .. } => "disk-full",
        }
    }
}

impl fmt::Display for StallReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StallReason::NoTrackers => f.write_str("no tracker and no peer is known"),
            StallReason::TrackerRefused => f.write_str("every tracker refused"),
            StallReason::NoPeersFound => f.write_str("no peer has been found"),
            StallReason::NoneConnectable => f.write_str("no known peer can be connected to"),
            StallReason::AllChokeUs => f.write_str("every peer chokes us"),
            StallReason::MissingPieces { pieces: 1, copies } => {
                write!(f, "no peer has the missing piece (copies {copies:.2})")
            }
            StallReason::MissingPieces { pieces, copies } => {
                write!(f, "no peer has {pieces} missing pieces (copies {copies:.2})")
            }
            StallReason::PeersSilent => f.write_str("no peer sends anything"),
            StallReason::DiskSlow => f.write_str("the disk is slow"),
            StallReason::LimitedByUser => f.write_str("the download rate is limited"),
            StallReason::DiskFull { free: Some(free), needed } => {
                write!(f, "the disk is full ({} free, {} needed)", size(*free), size(*needed))
            }
            StallReason::DiskFull { free: None, needed } => {
                write!(f, "the disk or a quota is full ({} needed)", size(*needed))
            }
        }
    }
}
