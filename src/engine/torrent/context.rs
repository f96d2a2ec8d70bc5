//! What passes between a session and its torrents.
//!
//! A torrent never points up: what it may use of its session, and what it wishes of it, is in the [`Context`] that
//! comes with every call. It pushes what is to be done to the session's actions, takes from the budgets that torrents
//! share, and the session books what it began when the call is over.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::request_budget::Asking;
use crate::base::peer_id::PeerId;
use crate::base::time::Instant;
use crate::engine::action::{Action, CloseReason};
use crate::engine::input::{ConnectionId, DialId, FetchId};
use crate::engine::notice::Notice;
use crate::engine::order::TorrentId;
use crate::engine::settings::Settings;
use crate::wire::peer::Message;

/// What a torrent may use of its session while it handles something.
pub(in crate::engine) struct Context<'a> {
    /// The time.
    pub(in crate::engine) now: Instant,
    /// The session's choices.
    pub(in crate::engine) settings: &'a Settings,
    /// Where actions go.
    pub(in crate::engine) actions: &'a mut VecDeque<Action>,
    /// How we call ourselves.
    pub(in crate::engine) peer_id: PeerId,
    /// How many more connections and dials the session has room for.
    pub(in crate::engine) room: &'a mut Room,
    /// Names for dials and requests.
    pub(in crate::engine) names: &'a mut Names,
    /// What it wishes of the session.
    pub(in crate::engine) wishes: &'a mut Wishes,
    /// What the other torrents' peers are asked for, if the rate is limited.
    pub(in crate::engine) asked_elsewhere: Asking,
}

impl Context<'_> {
    pub(super) fn notify(&mut self, notice: Notice) {
        self.actions.push_back(Action::Notify(Box::new(notice)));
    }

    pub(super) fn send(&mut self, connection: ConnectionId, message: Message) {
        self.actions.push_back(Action::Send { connection, message });
    }

    pub(super) fn close(&mut self, connection: ConnectionId, reason: CloseReason) {
        self.actions.push_back(Action::Close { connection, reason });
    }
}

/// What is left of the session's budgets.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Room {
    /// Connections that may still be opened, dials under way counted as open.
    pub(in crate::engine) connections: usize,
    /// Dials that may still be started.
    pub(in crate::engine) dials: usize,
}

/// What torrents wish of their session; granted when the input is dealt with.
#[derive(Debug, Default)]
pub(in crate::engine) struct Wishes {
    /// That the choker decides anew.
    pub(in crate::engine) rechoke: bool,
    /// That these, if they are choked still, are offered something meanwhile.
    pub(in crate::engine) newcomers: Vec<(TorrentId, ConnectionId)>,
    /// That these, who have asked for blocks, get a share of a limited rate.
    pub(in crate::engine) asked: Vec<ConnectionId>,
    /// That these, who have taken nothing for long of what waits for them, are closed, unless a limit is the reason.
    pub(in crate::engine) untaken: Vec<ConnectionId>,
    /// That a place becomes free in some torrent: all of the session's are taken, and there is somebody to dial.
    pub(in crate::engine) room: bool,
}

/// The next free names, and whose the given ones are.
#[derive(Debug, Default)]
pub(in crate::engine) struct Names {
    next_dial: u32,
    next_fetch: u32,
    /// Dials begun since the session last looked.
    pub(in crate::engine) dials: Vec<(DialId, SocketAddr)>,
    /// Fetches begun since the session last looked.
    pub(in crate::engine) fetches: Vec<FetchId>,
}

impl Names {
    pub(super) fn dial(&mut self, address: SocketAddr) -> DialId {
        let dial = DialId(self.next_dial);
        self.next_dial = self.next_dial.wrapping_add(1);
        self.dials.push((dial, address));
        dial
    }

    pub(super) fn fetch(&mut self) -> FetchId {
        let fetch = FetchId(self.next_fetch);
        self.next_fetch = self.next_fetch.wrapping_add(1);
        self.fetches.push(fetch);
        fetch
    }
}

/// How a dial ended without a new member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::engine) enum DialEnd {
    /// No connection, or none that got as far as a handshake; why, in words.
    Unreachable(String),
    /// It was ourselves.
    Ourselves,
    /// The connection was good, but is not wanted.
    Unwanted,
}
