//! Peers that are no sessions: they say on the wire what a script has them say.

use std::net::SocketAddr;

use super::content::Content;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};
use crate::engine::input::ConnectionId;
use crate::wire::peer::{Inbound, Message};

/// What a scripted peer is told.
pub enum PeerEvent {
    /// Its host was switched on.
    Started,
    /// A connection is open.
    Opened {
        /// Its name.
        connection: ConnectionId,
        /// The other end.
        address: SocketAddr,
        /// Whether the scripted peer dialled.
        is_ours: bool,
    },
    /// Messages came.
    Received {
        /// From whom.
        connection: ConnectionId,
        /// What.
        messages: Vec<Inbound>,
    },
    /// A connection has ended, whoever ended it.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// The time is up that it asked for.
    Woken,
}

/// A peer with a script.
pub trait ScriptedPeer {
    /// Something happened; what is to be done goes through `hand`.
    fn handle(&mut self, event: PeerEvent, hand: &mut Hand<'_>);
}

/// What a scripted peer can do.
pub struct Hand<'a> {
    /// The time.
    pub now: Instant,
    /// The swarm's torrent.
    pub content: &'a Content,
    /// Numbers of its own.
    pub rng: &'a mut Rng,
    pub(super) deeds: Vec<Deed>,
}

/// Something that a scripted peer does.
pub(super) enum Deed {
    Dial(SocketAddr),
    Send(ConnectionId, Inbound),
    SendRaw(ConnectionId, Vec<u8>),
    Close(ConnectionId),
    StopReading(ConnectionId),
    Wake(Duration),
}

impl Hand<'_> {
    /// Connects to a peer.
    pub fn dial(&mut self, address: SocketAddr) {
        self.deeds.push(Deed::Dial(address));
    }

    /// Sends a message.
    pub fn send(&mut self, connection: ConnectionId, message: Message) {
        self.deeds.push(Deed::Send(connection, Inbound::Message(message)));
    }

    /// Sends a handshake.
    pub fn send_handshake(&mut self, connection: ConnectionId, handshake: crate::wire::peer::Handshake) {
        self.deeds.push(Deed::Send(connection, Inbound::Handshake(handshake)));
    }

    /// Sends bytes that need not be peer wire.
    pub fn send_raw(&mut self, connection: ConnectionId, bytes: Vec<u8>) {
        self.deeds.push(Deed::SendRaw(connection, bytes));
    }

    /// Ends a connection.
    pub fn close(&mut self, connection: ConnectionId) {
        self.deeds.push(Deed::Close(connection));
    }

    /// Reads nothing more: the other end can send what its system still takes.
    pub fn stop_reading(&mut self, connection: ConnectionId) {
        self.deeds.push(Deed::StopReading(connection));
    }

    /// Asks for [`PeerEvent::Woken`] later.
    pub fn wake_in(&mut self, time: Duration) {
        self.deeds.push(Deed::Wake(time));
    }
}
