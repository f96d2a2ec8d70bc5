//! Peers join, speak and leave.

use std::net::SocketAddr;

use super::Context;
use super::active::Active;
use crate::base::address::subscriber;
use crate::base::bitfield::Bitfield;
use crate::base::index::PieceIndex;
use crate::base::limit;
use crate::engine::action::{Action, CloseReason};
use crate::engine::input::{ConnectionId, Origin};
use crate::engine::notice::Notice;
use crate::engine::peer::PeerConnection;
use crate::engine::picker::PeerKey;
use crate::wire::extension::{Extension, ExtensionHandshake, ExtensionIds};
use crate::wire::peer::{Handshake, Message};

/// Why a peer is closed while its messages are read.
pub(super) type Outcome = Result<(), CloseReason>;

pub(super) fn key(connection: ConnectionId) -> PeerKey {
    PeerKey(connection.0)
}

impl Active {
    /// Takes in a peer that shook hands, and greets it.
    pub(in crate::engine) fn admit(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        address: SocketAddr,
        origin: Origin,
        handshake: &Handshake,
    ) -> Outcome {
        if self.is_stopping() {
            return Err(CloseReason::Stopped);
        }
        if self.peer_list.is_banned(address) {
            return Err(CloseReason::Banned);
        }
        if self.peers.len() >= ctx.settings.max_peers_torrent && !self.make_room(ctx, Some(address)) {
            return Err(CloseReason::Full);
        }
        self.settle_duplicate(ctx, address, origin, handshake)?;
        let pieces = self.spec.layout.piece_count();
        ctx.actions.push_back(Action::Expect { connection, pieces });
        let mut peer = PeerConnection::new(ctx.now, address, origin, handshake, pieces);
        self.peer_list.on_connected(address);
        ctx.notify(Notice::PeerConnected { torrent: self.id, address });
        self.greet(ctx, connection, &peer);
        peer.news_told = self.news.end();
        let has_fast = peer.has_fast;
        self.peers.insert(connection, peer);
        // Without the fast extension a peer that has nothing says nothing.
        if !has_fast {
            self.reveal(ctx, connection);
        }
        self.arm_sweep(ctx.now + ctx.settings.peer_timeout / 2);
        Ok(())
    }

    /// Of two connections to one peer, both ends must keep the same one: the peer with the greater id
    /// keeps the one that it opened. An id from another IP proves nothing: whoever has met a peer can call
    /// itself the same, and would throw that peer out.
    fn settle_duplicate(
        &mut self,
        ctx: &mut Context<'_>,
        address: SocketAddr,
        origin: Origin,
        handshake: &Handshake,
    ) -> Outcome {
        let ip = address.ip().to_canonical();
        let same = |(_, peer): &(&ConnectionId, &PeerConnection)| {
            peer.peer_id == handshake.peer_id && peer.address.ip().to_canonical() == ip
        };
        let Some((&older, _)) = self.peers.iter().find(same) else { return Ok(()) };
        let ours_is_greater = ctx.peer_id > handshake.peer_id;
        let keep_newer = ours_is_greater == (origin != Origin::Accepted);
        if !keep_newer {
            return Err(CloseReason::Duplicate);
        }
        self.leave(ctx, older, CloseReason::Duplicate);
        Ok(())
    }

    fn greet(&self, ctx: &mut Context<'_>, connection: ConnectionId, peer: &PeerConnection) {
        if peer.has_extension {
            let told = ExtensionHandshake {
                client: Some(concat!("btget ", env!("CARGO_PKG_VERSION")).to_owned()),
                port: Some(ctx.settings.listen_port).filter(|port| *port != 0),
                reqq: Some(limit::REQUESTS_IN),
                your_ip: Some(peer.address.ip()),
                upload_only: Some(self.is_complete() && self.super_seed.is_none()),
                messages: ExtensionIds::ours(&[Extension::UploadOnly]),
                ..ExtensionHandshake::default()
            };
            let payload = told.encode().into_boxed_slice();
            ctx.send(connection, Message::Extended { id: 0, payload });
        }
        let have = self.offered();
        match (peer.has_fast, have.is_empty() || self.super_seed.is_some(), have.is_full()) {
            (true, true, _) => ctx.send(connection, Message::HaveNone),
            (true, false, true) => ctx.send(connection, Message::HaveAll),
            (false, true, _) => {}
            _ => ctx.send(connection, Message::Bitfield(have.to_wire().into_boxed_slice())),
        }
    }

    /// Reads what a member said, then asks and serves what follows from it.
    pub(in crate::engine) fn on_messages(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        messages: impl Iterator<Item = Message>,
    ) {
        for message in messages {
            let outcome = self.on_message(ctx, connection, message);
            match outcome {
                Ok(()) if self.peers.contains_key(&connection) => {}
                Ok(()) => return,
                Err(reason) => return self.leave(ctx, connection, reason),
            }
        }
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        peer.last_received = ctx.now;
        self.start_uploads(ctx, connection);
        self.refill(ctx, connection);
    }

    fn on_message(&mut self, ctx: &mut Context<'_>, connection: ConnectionId, message: Message) -> Outcome {
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        if !peer.has_fast && is_fast(&message) {
            return Err(CloseReason::Protocol("a fast message without the fast extension"));
        }
        peer.is_mute &= matches!(message, Message::KeepAlive | Message::Port(_) | Message::Unknown { .. });
        match message {
            Message::Piece { piece, begin, data } => self.on_block(ctx, connection, piece, begin, data),
            Message::Have(piece) => self.on_have(ctx, connection, piece),
            Message::Bitfield(bytes) => {
                let pieces = self.spec.layout.piece_count();
                let has = Bitfield::from_wire(&bytes, pieces)
                    .map_err(|_| CloseReason::Protocol("a bitfield of the wrong size"))?;
                self.on_has(ctx, connection, has)
            }
            // Both may be said without end, and are costly to compare. What contradicts what was said before is
            // ignored, as a bitfield that comes late or twice only adds: clients do both, and a peer that lies of what
            // it has gains nothing that it could not have said at once.
            Message::HaveAll if peer.has_spoken && peer.is_seed() => self.on_idle_talk(ctx, connection),
            Message::HaveNone if peer.has_spoken => self.on_idle_talk(ctx, connection),
            Message::HaveAll => self.on_has(ctx, connection, Bitfield::full(self.spec.layout.piece_count())),
            Message::HaveNone => {
                self.on_has(ctx, connection, Bitfield::empty(self.spec.layout.piece_count()))
            }
            Message::Choke => self.on_choke(ctx, connection),
            Message::Unchoke => count_change(ctx, peer).map(|()| peer.peer_choking = false),
            Message::Interested => self.on_interested(ctx, connection),
            Message::NotInterested => self.on_not_interested(ctx, connection),
            Message::Request(request) => self.on_request(ctx, connection, request),
            Message::Cancel(request) => {
                self.on_cancel(ctx, connection, request);
                self.on_idle_talk(ctx, connection)
            }
            Message::Reject(request) => {
                if self.on_reject(ctx, connection, request) {
                    return Ok(());
                }
                self.on_idle_talk(ctx, connection)
            }
            Message::AllowedFast(piece) => {
                if self.spec.layout.has_piece(piece) {
                    peer.on_allowed_fast(piece);
                }
                self.on_idle_talk(ctx, connection)
            }
            Message::Suggest(piece) => {
                if self.spec.layout.has_piece(piece) {
                    self.picker.on_suggested(key(connection), piece);
                }
                self.on_idle_talk(ctx, connection)
            }
            Message::Extended { id: 0, payload } => {
                if let Some(told) = ExtensionHandshake::decode(&payload) {
                    peer.on_extension_handshake(&told);
                    self.on_told(ctx, connection, told.port)?;
                }
                self.on_idle_talk(ctx, connection)
            }
            Message::Extended { id, payload } if Extension::of_our_id(id) == Some(Extension::UploadOnly) => {
                peer.is_upload_only = payload.first().is_some_and(|told| *told != 0);
                self.on_upload_only(ctx, connection)?;
                self.on_idle_talk(ctx, connection)
            }
            Message::KeepAlive | Message::Port(_) | Message::Extended { .. } | Message::Unknown { .. } => {
                self.on_idle_talk(ctx, connection)
            }
        }
    }

    /// A message brought nothing. A few are normal; each costs us more than the peer.
    pub(super) fn on_idle_talk(&mut self, ctx: &Context<'_>, connection: ConnectionId) -> Outcome {
        let is_enough = self.peers.get_mut(&connection).is_some_and(|peer| !peer.count_idle_talk(ctx.now));
        if is_enough { Err(CloseReason::Protocol("it talks without end and says nothing")) } else { Ok(()) }
    }

    /// A peer told its listen port, and perhaps that it is only here to give.
    fn on_told(&mut self, ctx: &mut Context<'_>, connection: ConnectionId, port: Option<u16>) -> Outcome {
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        if let (Origin::Accepted, None, Some(port)) = (peer.origin, peer.listens, port) {
            let listens = SocketAddr::new(peer.address.ip(), port);
            peer.listens = Some(listens);
            super::discovery::add_incoming(&mut self.peer_list, ctx.now, listens);
        }
        self.on_upload_only(ctx, connection)
    }

    /// A peer may have told that it is only here to give: two of that kind have nothing to trade, and its slot
    /// is for others.
    fn on_upload_only(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) -> Outcome {
        let Some(peer) = self.peers.get(&connection) else { return Ok(()) };
        // What it has may be in its next message, and whether it is a seed is worth knowing.
        if peer.is_upload_only && peer.has_spoken && self.is_complete() {
            return Err(CloseReason::NothingToTrade);
        }
        if peer.is_upload_only && !peer.am_choking {
            ctx.wishes.rechoke = true;
        }
        Ok(())
    }

    fn on_have(&mut self, ctx: &mut Context<'_>, connection: ConnectionId, piece: PieceIndex) -> Outcome {
        if !self.spec.layout.has_piece(piece) {
            return Err(CloseReason::Protocol("a piece that there is not"));
        }
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        if !peer.has.insert(piece) {
            return self.on_idle_talk(ctx, connection);
        }
        self.picker.on_peer_has(piece);
        peer.wanted += u32::from(self.picker.is_wanted(piece));
        review_interest(ctx, connection, peer);
        let outcome = self.part_if_both_seed(ctx, connection);
        if outcome.is_err() {
            self.on_passed_on(ctx, connection);
        } else {
            self.on_spread(ctx, connection);
        }
        outcome
    }

    fn on_has(&mut self, ctx: &mut Context<'_>, connection: ConnectionId, has: Bitfield) -> Outcome {
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        if std::mem::replace(&mut peer.has_spoken, true) || !peer.has.is_empty() {
            // aria2 sends a bitfield in place of many haves.
            let news: Vec<PieceIndex> = has.iter_minus(&peer.has).collect();
            if news.is_empty() {
                return self.on_idle_talk(ctx, connection);
            }
            for piece in news {
                peer.has.insert(piece);
                self.picker.on_peer_has(piece);
                peer.wanted += u32::from(self.picker.is_wanted(piece));
            }
        } else {
            self.picker.on_bitfield(&has);
            peer.wanted = self.picker.wanted_of(&has);
            peer.has = has;
        }
        review_interest(ctx, connection, peer);
        self.part_if_both_seed(ctx, connection)?;
        self.on_spread(ctx, connection);
        Ok(())
    }

    /// A piece became ours: who has it has one less that we want. To stay interested for nothing would hold a slot
    /// of the peer's that others could use.
    pub(super) fn on_piece_had(&mut self, ctx: &mut Context<'_>, piece: PieceIndex) {
        for (&connection, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.has.has(piece)) {
            peer.wanted -= 1;
            review_interest(ctx, connection, peer);
        }
    }

    /// A peer may have everything now: then its slot is for others, and nothing is left to trade with a seed.
    fn part_if_both_seed(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) -> Outcome {
        let Some(peer) = self.peers.get(&connection) else { return Ok(()) };
        ctx.wishes.rechoke |= peer.is_seed() && !peer.am_choking;
        if peer.is_seed() && self.seeds_met.len() < limit::KNOWN_PEERS {
            self.seeds_met.insert(subscriber(peer.address.ip()));
        }
        let is_over = peer.wants_nothing() && self.is_complete();
        if is_over { Err(CloseReason::NothingToTrade) } else { Ok(()) }
    }

    /// Closes a member and forgets it.
    pub(in crate::engine) fn leave(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        reason: CloseReason,
    ) {
        if self.peers.contains_key(&connection) {
            ctx.close(connection, reason);
            self.on_closed(ctx, connection, reason.to_string());
        }
    }

    /// Forgets a member that is gone.
    pub(in crate::engine) fn on_closed(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        reason: String,
    ) {
        let Some(peer) = self.peers.remove(&connection) else { return };
        let address = peer.address;
        self.picker.release_peer(key(connection));
        self.picker.on_bitfield_gone(&peer.has);
        self.on_shown_gone(ctx, connection);
        let listens = peer.listens.unwrap_or(address);
        self.peer_list.mark_seed(listens, peer.wants_nothing());
        self.peer_list.on_disconnected(ctx.now, listens, peer.given > 0);
        ctx.notify(Notice::PeerClosed { torrent: self.id, address, reason });
        // Its slot may be for a peer of another torrent, even while this one stops.
        ctx.wishes.rechoke = true;
        if !self.is_stopping() {
            self.refill_idle(ctx);
            self.dial(ctx);
        }
    }

    /// Bans whoever is at `address`, connected or not.
    pub(super) fn ban(&mut self, ctx: &mut Context<'_>, address: SocketAddr, reason: &'static str) {
        if self.peer_list.is_banned(address) {
            return;
        }
        self.peer_list.ban(address);
        ctx.notify(Notice::PeerBanned { torrent: self.id, address, reason });
        let there: Vec<ConnectionId> =
            self.peers.iter().filter(|(_, peer)| peer.address == address).map(|(id, _)| *id).collect();
        for connection in there {
            self.leave(ctx, connection, CloseReason::BadData);
        }
    }
}

/// Tells a peer whether we want something of it, if that is news.
fn review_interest(ctx: &mut Context<'_>, connection: ConnectionId, peer: &mut PeerConnection) {
    let is_interested = peer.wanted > 0;
    if std::mem::replace(&mut peer.am_interested, is_interested) != is_interested {
        peer.last_sent = ctx.now;
        let message = if is_interested { Message::Interested } else { Message::NotInterested };
        ctx.send(connection, message);
    }
}

/// Counts a change of choking or interest: a peer that does nothing else is closed.
pub(super) fn count_change(ctx: &Context<'_>, peer: &mut PeerConnection) -> Outcome {
    let is_normal = peer.count_state_change(ctx.now);
    if is_normal { Ok(()) } else { Err(CloseReason::Protocol("it changes its mind too often")) }
}

fn is_fast(message: &Message) -> bool {
    matches!(
        message,
        Message::Suggest(_)
            | Message::HaveAll
            | Message::HaveNone
            | Message::Reject(_)
            | Message::AllowedFast(_)
    )
}
