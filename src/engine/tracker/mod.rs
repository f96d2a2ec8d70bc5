//! When to ask a torrent's trackers, and which (BEP 3, 7, 12, 31).
//!
//! [`Announcer`] walks the tiers: in order, within a tier the tracker that last worked first, the next tier
//! only when all of this one failed, and not beyond the first that works. Each tracker is asked once an
//! address family; it works when one of them does. It asks again at the tracker's interval, and sooner, in
//! growing steps, while peers are wanted; it backs off from what fails.
//!
//! What an announce looks like on the wire is [`wire::tracker`](crate::wire::tracker)'s business; fetching,
//! resolving and redirects are the runtime's; which of the named peers are dialled is the peer list's.

mod announcer;
mod outcome;
mod tier;
mod tracker_state;
mod url_rule;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

pub use announcer::Announcer;

use super::action::HttpRequest;
use crate::base::address::Families;
use crate::base::address::Reach;
use crate::base::hash::Sha1Hash;
use crate::base::peer_id::PeerId;

/// What an [`Announcer`] needs to know of its torrent and session.
#[derive(Clone, Debug)]
pub struct AnnouncerSettings {
    /// The torrent, as trackers know it.
    pub info_hash: Sha1Hash,
    /// Who we are.
    pub peer_id: PeerId,
    /// Where peers can reach us.
    pub port: u16,
    /// Tells a tracker that we are the same over both families; random, constant in a run.
    pub key: u32,
    /// Families of addresses in use.
    pub families: Families,
    /// Peers asked for an announce.
    pub numwant: u32,
    /// Whether to tell that peers may connect to us encrypted.
    pub supports_encryption: bool,
}

/// Payload moved in this run, and payload missing; bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Sent.
    pub uploaded: u64,
    /// Received.
    pub downloaded: u64,
    /// Missing.
    pub left: u64,
    /// Received, and failed its hash.
    pub corrupt: u64,
}

/// Names a request within one [`Announcer`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FetchKey(pub u32);

/// What an [`Announcer`] wants done or known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TrackerOutput {
    /// Fetch this; the answer goes to [`Announcer::on_http_finished`], exactly once.
    Fetch {
        /// Names the request.
        key: FetchKey,
        /// What to fetch.
        request: Box<HttpRequest>,
    },
    /// A tracker named peers.
    Peers {
        /// Where they listen; not checked, our own address may be among them.
        addresses: Vec<SocketAddr>,
        /// How far the tracker's own address reaches: peers may not be more local.
        reach: Reach,
    },
    /// A tracker answered one announce.
    Answered {
        /// The tracker, without secrets.
        tracker: String,
        /// Peers that it named.
        peers: usize,
        /// What it wants people to read.
        warning: Option<String>,
    },
    /// A tracker could not be asked over any family, or refused.
    Failed {
        /// The tracker, without secrets.
        tracker: String,
        /// Why, in words.
        reason: String,
        /// Whether the tracker itself refused, rather than not be reached.
        refused: bool,
    },
}
