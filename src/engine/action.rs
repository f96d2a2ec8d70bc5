//! Everything that the engine can cause, in the imperative.

use std::net::SocketAddr;
use std::sync::Arc;

use super::disk_job::DiskJob;
use super::input::{ConnectionId, DialId, FetchId};
use super::notice::Notice;
use super::order::TorrentId;
use crate::base::index::{BlockRequest, PieceIndex};
use crate::base::time::Duration;
use crate::wire::peer::{Handshake, Message};

/// What is to be done next.
#[derive(Debug)]
pub enum Action {
    /// Connect to a peer; answered by `ConnectionOpened` or `DialFailed`.
    Dial {
        /// Names the attempt.
        dial: DialId,
        /// The peer.
        address: SocketAddr,
    },
    /// Send our handshake.
    SendHandshake {
        /// To whom.
        connection: ConnectionId,
        /// What.
        handshake: Handshake,
    },
    /// Send a message; never a `piece` with data, which goes by [`Action::Upload`].
    Send {
        /// To whom.
        connection: ConnectionId,
        /// What.
        message: Message,
    },
    /// Send a `have` for each of these pieces. One action for all of them, which peers share: pieces times
    /// peers would be too many.
    SendHaves {
        /// To whom.
        connection: ConnectionId,
        /// Which, in order.
        pieces: Arc<[PieceIndex]>,
    },
    /// A connection belongs to a torrent of so many pieces from here on: no peer has more to tell of.
    Expect {
        /// Which connection.
        connection: ConnectionId,
        /// How many pieces there are.
        pieces: u32,
    },
    /// From here on, so many more bytes may move; each that does is told by `Moved`. [`u64::MAX`] lifts the limit, and
    /// nothing more is told. To the peer, only blocks wait for it: messages go at once and count.
    Allow {
        /// On which connection.
        connection: ConnectionId,
        /// Which way.
        direction: Direction,
        /// How many more.
        bytes: u64,
    },
    /// Read these blocks and send them as `piece` messages, in this order; answered by `Uploaded`.
    Upload {
        /// To whom.
        connection: ConnectionId,
        /// Of which torrent.
        torrent: TorrentId,
        /// Which.
        blocks: Vec<BlockRequest>,
    },
    /// Forget these blocks of an earlier upload, as far as they have not begun to leave; a block that was asked
    /// for twice is forgotten once for each time that it is named. Answered by `Retracted`, if any was forgotten.
    Retract {
        /// To whom they were to go.
        connection: ConnectionId,
        /// Which.
        blocks: Vec<BlockRequest>,
    },
    /// End a connection, what is queued to it included.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// Do a job on disk; answered by `DiskFinished`.
    Disk(DiskJob),
    /// Fetch a URL; answered by `HttpFinished`.
    FetchHttp {
        /// Names the request.
        fetch: FetchId,
        /// What to fetch.
        request: Box<HttpRequest>,
    },
    /// Tell whoever watches.
    Notify(Box<Notice>),
}

const _: () = assert!(size_of::<Action>() <= 64, "actions are moved by the million");

/// Which way bytes move on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the peer.
    Down,
    /// To the peer.
    Up,
}

/// The family of addresses that a request is to go over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AddressFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A GET request of the engine's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpRequest {
    /// Where; may hold secrets and is never shown.
    pub url: String,
    /// Over which family; any when `None`.
    pub family: Option<AddressFamily>,
    /// Whether an address of this machine may be asked. Link-local ones never are.
    pub loopback: bool,
    /// The longest body that is of use, bytes.
    pub limit: usize,
    /// How long it may take in all.
    pub timeout: Duration,
}

/// Why the engine ends a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CloseReason {
    /// The handshake names a torrent that is not here, or another than was dialled.
    #[error("it wants another torrent")]
    WrongTorrent,
    /// It is ourselves.
    #[error("it is ourselves")]
    Ourselves,
    /// The same peer is connected already.
    #[error("connected twice")]
    Duplicate,
    /// No handshake in time.
    #[error("no handshake in time")]
    HandshakeTimeout,
    /// Nothing came for too long.
    #[error("silent for too long")]
    Silent,
    /// It asks and takes nothing of it.
    #[error("it takes nothing of what it asks for")]
    TakesNothing,
    /// Silent since the network changed.
    #[error("lost when the network changed")]
    Lost,
    /// It was told that we have something that can no longer be read, and there is no other way to take that back.
    #[error("it was told of data that is lost")]
    DataLost,
    /// Nothing to give and nothing to take on either side.
    #[error("nothing to trade")]
    NothingToTrade,
    /// It broke the protocol.
    #[error("broke the protocol: {0}")]
    Protocol(&'static str),
    /// It sent data that is not the torrent's.
    #[error("sent bad data")]
    BadData,
    /// It is banned.
    #[error("banned")]
    Banned,
    /// Others wait, and it is of no use to us, nor we to it.
    #[error("others wait, and it is of no use")]
    Useless,
    /// There are enough connections.
    #[error("too many connections")]
    Full,
    /// The torrent ends here.
    #[error("stopped")]
    Stopped,
}
