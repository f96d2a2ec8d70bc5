//! Connections from opening to handshake to membership.
//!
//! A connection belongs to no torrent until its handshake names one. Whoever dialled speaks first; whoever
//! was dialled answers with the torrent that was asked for (BEP 3).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::Session;
use crate::base::address::Reach;
use crate::base::hash::Sha1Hash;
use crate::base::limit;
use crate::base::time::{Duration, Instant};
use crate::engine::action::{Action, CloseReason};
use crate::engine::input::{CloseCause, ConnectionId, DialId, Origin};
use crate::engine::order::TorrentId;
use crate::engine::timers::TimerReason;
use crate::engine::torrent::DialEnd;
use crate::wire::peer::{Handshake, Inbound};

/// After a stall of ours so much may wait to be read at once that this is no sign of silence.
const YOUNG: Duration = Duration::from_secs(1);

/// Every open connection.
#[derive(Debug, Default)]
pub(super) struct Connections {
    links: BTreeMap<ConnectionId, Link>,
    /// Accepted connections by IP address.
    accepted: BTreeMap<IpAddr, usize>,
    /// Dialled connections whose handshake is due: their dials are not over yet.
    dialled: usize,
}

#[derive(Debug)]
struct Link {
    address: SocketAddr,
    origin: Origin,
    stage: Stage,
    since: Instant,
}

impl Link {
    /// Whether it is still a dial: the peer may turn out to be somebody else.
    fn is_dial(&self) -> bool {
        matches!((self.origin, self.stage), (Origin::Dialled(_), Stage::Handshake(_)))
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The peer's handshake is due; for a dialled one it must name this torrent.
    Handshake(Option<TorrentId>),
    /// It belongs to a torrent.
    Member(TorrentId),
    /// It is being closed: what still comes is not for anybody.
    Closing,
}

impl Connections {
    /// Connections that no dial stands for any more.
    pub(super) fn without_dials(&self) -> usize {
        self.links.len() - self.dialled
    }

    /// The torrent that a connection belongs to.
    pub(super) fn member_of(&self, connection: ConnectionId) -> Option<TorrentId> {
        match self.links.get(&connection)?.stage {
            Stage::Member(torrent) => Some(torrent),
            Stage::Handshake(_) | Stage::Closing => None,
        }
    }

    fn insert(&mut self, connection: ConnectionId, link: Link) {
        if link.origin == Origin::Accepted {
            *self.accepted.entry(link.address.ip()).or_default() += 1;
        }
        self.dialled += usize::from(link.is_dial());
        self.links.insert(connection, link);
    }

    fn set_stage(&mut self, connection: ConnectionId, stage: Stage) {
        let Some(link) = self.links.get_mut(&connection) else { return };
        self.dialled -= usize::from(link.is_dial());
        link.stage = stage;
        self.dialled += usize::from(link.is_dial());
    }

    fn remove(&mut self, connection: ConnectionId) -> Option<Link> {
        let link = self.links.remove(&connection)?;
        self.dialled -= usize::from(link.is_dial());
        if link.origin == Origin::Accepted
            && let Some(count) = self.accepted.get_mut(&link.address.ip())
        {
            *count -= 1;
            if *count == 0 {
                self.accepted.remove(&link.address.ip());
            }
        }
        Some(link)
    }

    /// Of too many incoming connections without a handshake, the oldest: whoever means to speak does so at
    /// once. What a young one has said may just not have been read yet, so of those there may be twice as many.
    fn overdue(&self, now: Instant) -> Option<ConnectionId> {
        let is_ungreeted =
            |link: &Link| link.origin == Origin::Accepted && matches!(link.stage, Stage::Handshake(_));
        let mut ungreeted = self.links.iter().filter(|(_, link)| is_ungreeted(link));
        let (oldest, link) = ungreeted.next()?;
        let most = if now.since(link.since) < YOUNG { 2 * limit::UNGREETED } else { limit::UNGREETED };
        (ungreeted.count() + 1 >= most).then_some(*oldest)
    }

    fn is_crowded_from(&self, address: IpAddr) -> bool {
        let is_near = Reach::of(address).is_none_or(|reach| reach < Reach::Global);
        let count = self.accepted.get(&address).copied().unwrap_or(0);
        !is_near && count >= limit::CONNECTIONS_PER_IP
    }
}

impl Session {
    pub(super) fn torrent_for(&self, info_hash: Sha1Hash) -> Option<TorrentId> {
        self.torrents.iter().find(|(_, torrent)| torrent.matches(info_hash)).map(|(id, _)| *id)
    }

    /// Connections, and dials that may become some.
    pub(super) fn places_taken(&self) -> usize {
        self.connections.without_dials() + self.dials.len()
    }

    pub(super) fn handle_opened(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        address: SocketAddr,
        origin: Origin,
    ) {
        let mut stage = Stage::Handshake(None);
        let mut refusal = None;
        match origin {
            Origin::Dialled(dial) => {
                let Some(&(torrent, _)) = self.dials.get(&dial) else {
                    return self.refuse(now, connection, address, origin, CloseReason::Stopped);
                };
                stage = Stage::Handshake(Some(torrent));
                match self.with_active(now, torrent, |active, ctx| active.handshake(ctx)) {
                    Some(handshake) => {
                        self.actions.push_back(Action::SendHandshake { connection, handshake });
                    }
                    None => refusal = Some(CloseReason::Stopped),
                }
            }
            Origin::Accepted => {
                let is_full = self.places_taken() >= self.settings.max_peers;
                if is_full && !self.make_room(now, Some(address))
                    || self.connections.is_crowded_from(address.ip())
                {
                    refusal = Some(CloseReason::Full);
                } else if let Some(overdue) = self.connections.overdue(now) {
                    self.close_early(now, overdue, CloseReason::HandshakeTimeout);
                }
            }
        }
        if let Some(reason) = refusal {
            self.refuse(now, connection, address, origin, reason);
            if let Origin::Dialled(dial) = origin {
                self.handle_dial_failed(now, dial, DialEnd::Unwanted);
            }
            return;
        }
        self.connections.insert(connection, Link { address, origin, stage, since: now });
        let deadline = now + self.settings.handshake_timeout;
        self.timers.set(TimerReason::Handshake(connection), Some(deadline));
    }

    fn refuse(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        address: SocketAddr,
        origin: Origin,
        reason: CloseReason,
    ) {
        let link = Link { address, origin, stage: Stage::Closing, since: now };
        self.connections.insert(connection, link);
        self.actions.push_back(Action::Close { connection, reason });
    }

    pub(super) fn handle_messages(&mut self, now: Instant, connection: ConnectionId, messages: Vec<Inbound>) {
        let mut messages = messages.into_iter().peekable();
        if let Some(Inbound::Handshake(handshake)) = messages.peek() {
            let handshake = *handshake;
            messages.next();
            self.handle_handshake(now, connection, &handshake);
        }
        if messages.peek().is_none() {
            return;
        }
        let messages = messages.filter_map(|inbound| match inbound {
            Inbound::Message(message) => Some(message),
            Inbound::Handshake(_) => None,
        });
        self.with_member(now, connection, |active, ctx| active.on_messages(ctx, connection, messages));
    }

    fn handle_handshake(&mut self, now: Instant, connection: ConnectionId, handshake: &Handshake) {
        let Some(link) = self.connections.links.get(&connection) else { return };
        let (address, origin) = (link.address, link.origin);
        let Stage::Handshake(expected) = link.stage else { return };
        self.timers.set(TimerReason::Handshake(connection), None);
        let torrent = self.torrent_for(handshake.info_hash);
        let verdict = match torrent {
            _ if handshake.peer_id == self.peer_id => Err(CloseReason::Ourselves),
            Some(torrent) if expected.is_none_or(|expected| expected == torrent) => {
                self.admit(now, torrent, connection, address, origin, handshake)
            }
            _ => Err(CloseReason::WrongTorrent),
        };
        match verdict {
            Ok(torrent) => {
                self.connections.set_stage(connection, Stage::Member(torrent));
                let is_free = self.settings.is_unlimited(address.ip());
                let grants = self.bandwidth.on_joined(connection, torrent, is_free);
                grants.into_iter().for_each(|grant| self.allow(grant));
                if let Origin::Dialled(dial) = origin {
                    self.handle_dial_succeeded(now, dial);
                }
            }
            Err(reason) => self.close_early(now, connection, reason),
        }
    }

    fn admit(
        &mut self,
        now: Instant,
        torrent: TorrentId,
        connection: ConnectionId,
        address: SocketAddr,
        origin: Origin,
        handshake: &Handshake,
    ) -> Result<TorrentId, CloseReason> {
        let admitted = self.with_active(now, torrent, |active, ctx| {
            if origin == Origin::Accepted {
                let handshake = active.handshake(ctx);
                ctx.actions.push_back(Action::SendHandshake { connection, handshake });
            }
            active.admit(ctx, connection, address, origin, handshake)
        });
        admitted.unwrap_or(Err(CloseReason::WrongTorrent)).map(|()| torrent)
    }

    pub(super) fn handle_handshake_timeout(&mut self, now: Instant, connection: ConnectionId) {
        self.close_early(now, connection, CloseReason::HandshakeTimeout);
    }

    /// Closes a connection that is not a member.
    fn close_early(&mut self, now: Instant, connection: ConnectionId, reason: CloseReason) {
        let Some(link) = self.connections.links.get(&connection) else { return };
        let origin = link.origin;
        self.connections.set_stage(connection, Stage::Closing);
        self.timers.set(TimerReason::Handshake(connection), None);
        self.actions.push_back(Action::Close { connection, reason });
        if let Origin::Dialled(dial) = origin {
            let end = match reason {
                CloseReason::Ourselves => DialEnd::Ourselves,
                CloseReason::HandshakeTimeout | CloseReason::WrongTorrent => {
                    DialEnd::Unreachable(reason.to_string())
                }
                _ => DialEnd::Unwanted,
            };
            self.handle_dial_failed(now, dial, end);
        }
    }

    fn handle_dial_succeeded(&mut self, now: Instant, dial: DialId) {
        if let Some((torrent, _)) = self.dials.remove(&dial) {
            self.with_active(now, torrent, |active, _| active.on_dial_succeeded());
        }
    }

    pub(super) fn handle_dial_failed(&mut self, now: Instant, dial: DialId, end: DialEnd) {
        if let Some((torrent, address)) = self.dials.remove(&dial) {
            self.with_active(now, torrent, |active, ctx| active.on_dial_failed(ctx, address, end));
        }
    }

    pub(super) fn handle_closed(&mut self, now: Instant, connection: ConnectionId, cause: CloseCause) {
        let Some(link) = self.connections.remove(connection) else { return };
        self.timers.set(TimerReason::Handshake(connection), None);
        match link.stage {
            Stage::Member(torrent) => {
                self.bandwidth.on_left(connection);
                self.with_active(now, torrent, |active, ctx| {
                    active.on_closed(ctx, connection, cause.to_string());
                });
            }
            Stage::Handshake(_) => {
                if let Origin::Dialled(dial) = link.origin {
                    self.handle_dial_failed(now, dial, DialEnd::Unreachable(cause.to_string()));
                }
            }
            Stage::Closing => {}
        }
    }
}
