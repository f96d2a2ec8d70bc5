//! Everything that can happen to the engine, in the past tense.

use std::net::SocketAddr;

use super::action::Direction;
use super::disk_job::{DiskError, DiskResult};
use super::order::Order;
use crate::base::index::{BlockRequest, FileIndex};
use crate::wire::peer::Inbound;
use crate::wire::peer::decoder::DecodeError;

/// Names an open connection. Chosen by whoever opens connections; never used again in the same run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(pub u32);

/// Names an attempt to connect that the engine asked for with [`Action::Dial`](super::action::Action::Dial).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DialId(pub u32);

/// Names an HTTP request of the engine's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FetchId(pub u32);

/// Who opened a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// We did, as asked for by this dial.
    Dialled(DialId),
    /// The peer did.
    Accepted,
}

/// What carries a connection's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// uTP (BEP 29).
    Utp,
}

/// Something happened outside.
#[derive(Debug)]
pub enum Input {
    /// A person wishes something.
    OrderGiven(Order),
    /// A connection is open; its bytes flow both ways. The handshake comes as its first message.
    ConnectionOpened {
        /// Its name from here on.
        connection: ConnectionId,
        /// The other end.
        address: SocketAddr,
        /// Who opened it.
        origin: Origin,
        /// What carries it.
        transport: Transport,
        /// Whether its bytes are encrypted (MSE).
        encrypted: bool,
    },
    /// A dial came to nothing.
    DialFailed {
        /// The dial.
        dial: DialId,
        /// Why, in words.
        reason: String,
    },
    /// A peer's messages, in order; all that one read brought.
    MessagesReceived {
        /// From whom.
        connection: ConnectionId,
        /// What.
        messages: Vec<Inbound>,
    },
    /// Blocks of an earlier [`Action::Upload`](super::action::Action::Upload) were written to the connection.
    Uploaded {
        /// To whom.
        connection: ConnectionId,
        /// Which.
        blocks: Vec<BlockRequest>,
    },
    /// Blocks that an [`Action::Retract`](super::action::Action::Retract) named, and that it came in time for: they
    /// will not be written. The others are, or were.
    Retracted {
        /// To whom they were to go.
        connection: ConnectionId,
        /// Which.
        blocks: Vec<BlockRequest>,
    },
    /// Blocks of an earlier [`Action::Upload`](super::action::Action::Upload) cannot be read, and will not leave.
    UploadFailed {
        /// To whom they were to go.
        connection: ConnectionId,
        /// Which.
        blocks: Vec<BlockRequest>,
        /// The file that is to blame.
        file: FileIndex,
        /// What is wrong with it.
        error: Box<DiskError>,
    },
    /// Bytes of a connection that is not allowed everything
    /// ([`Action::Allow`](super::action::Action::Allow)) have moved.
    Moved {
        /// Of which connection.
        connection: ConnectionId,
        /// Which way.
        direction: Direction,
        /// How many.
        bytes: u64,
    },
    /// A connection is gone. Comes exactly once for each that was opened, also after an
    /// [`Action::Close`](super::action::Action::Close).
    ConnectionClosed {
        /// Which.
        connection: ConnectionId,
        /// Why.
        cause: CloseCause,
    },
    /// The network has come back, or is another one: a link is up, or there is a new address.
    NetworkChanged,
    /// A disk job is done.
    DiskFinished(DiskResult),
    /// Buffers hold more than half of the memory that they may (`true`), or no longer do (`false`).
    BuffersCrowded(bool),
    /// An HTTP request is done.
    HttpFinished {
        /// Which.
        fetch: FetchId,
        /// The answer, or why there is none.
        result: Result<HttpAnswer, HttpFailure>,
    },
}

/// Why a connection ended, as seen from outside the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CloseCause {
    /// The engine asked for it.
    #[error("closed by us")]
    Asked,
    /// The peer closed it.
    #[error("closed by the peer")]
    ByPeer,
    /// The network failed.
    #[error("the network failed")]
    Network,
    /// The peer reads so little that messages to it pile up.
    #[error("it reads nothing of what it is sent")]
    Unread,
    /// What the peer asked for could not be read from the disk.
    #[error("what it asked for could not be read")]
    Disk,
    /// The peer sent bytes that are no peer wire.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// A complete HTTP answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The body, decompressed and no longer than was allowed.
    pub body: Vec<u8>,
    /// The server's address, where it is known.
    pub server: Option<SocketAddr>,
}

/// Why there is no HTTP answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HttpFailure {
    /// The host has no address of the asked family: nothing is wrong with it otherwise.
    #[error("no address of this family")]
    NoSuchFamily,
    /// The URL may not be asked.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// The host did not answer in time.
    #[error("timed out")]
    TimedOut,
    /// The answer is longer than allowed.
    #[error("the answer is too long")]
    TooLong,
    /// Anything else, in words without secrets.
    #[error("{0}")]
    Failed(String),
}
