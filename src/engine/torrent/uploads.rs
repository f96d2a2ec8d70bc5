//! What peers get of us: the choker's word is carried out here, and requests are queued and answered.

use super::Context;
use super::active::Active;
use super::members::{Outcome, count_change};
use crate::base::index::{BlockRequest, PieceIndex};
use crate::base::limit;
use crate::base::time::Instant;
use crate::engine::action::{Action, CloseReason};
use crate::engine::choker::Standing;
use crate::engine::input::ConnectionId;
use crate::engine::peer::{PeerConnection, allowed_fast};
use crate::engine::settings::Slots;
use crate::wire::peer::Message;

/// A piece that is offered to a choked peer is served to it so many times over.
const FAST_OFFER_TIMES: u32 = 3;

impl Active {
    /// A peer wants something of ours: it gets a free slot, or waits for one.
    pub(super) fn on_interested(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) -> Outcome {
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        count_change(peer)?;
        peer.peer_interested = true;
        if peer.am_choking {
            ctx.wishes.rechoke = true;
            ctx.wishes.newcomers.push((self.id, connection));
        }
        Ok(())
    }

    /// A peer wants nothing any more: its slot is for whoever waits.
    pub(super) fn on_not_interested(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) -> Outcome {
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        count_change(peer)?;
        peer.peer_interested = false;
        ctx.wishes.rechoke = true;
        Ok(())
    }

    /// Adds how its peers stand, for the choker.
    pub(super) fn add_standings(&mut self, now: Instant, standings: &mut Vec<Standing>) {
        if self.is_stopping() {
            return;
        }
        let are_we_seed = self.is_complete();
        let standing = |(&connection, peer): (&ConnectionId, &mut PeerConnection)| Standing {
            connection,
            is_interested: peer.peer_interested,
            is_upload_only: peer.wants_nothing(),
            are_we_seed,
            given: peer.giving.rate(now),
            taken: peer.up.rate(now),
            since: peer.since,
            is_unchoked: !peer.am_choking,
            changed: peer.choke_changed,
            // Whoever has something queued has asked for enough.
            asked: if peer.uploading.is_empty() { peer.last_asked } else { now },
            owed: peer.owed_since(),
            took: peer.last_taken,
        };
        standings.extend(self.peers.iter_mut().map(standing));
    }

    pub(super) fn unchoke(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        // Before the peer may ask, so that its first requests can heed it.
        self.suggest(ctx, connection);
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        peer.am_choking = false;
        peer.choke_changed = Some(ctx.now);
        peer.last_asked = ctx.now;
        peer.last_sent = ctx.now;
        ctx.send(connection, Message::Unchoke);
    }

    /// Chokes a peer. With the fast extension every request gets an answer, so what it asked for is rejected.
    pub(super) fn choke(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        peer.am_choking = true;
        // One that wants nothing has given its slot up by itself, and may have one again at once.
        peer.choke_changed = peer.peer_interested.then_some(ctx.now);
        peer.last_sent = ctx.now;
        ctx.send(connection, Message::Choke);
        let void = peer.void_uploads();
        if peer.has_fast {
            void.iter().for_each(|request| ctx.send(connection, Message::Reject(*request)));
        }
        if !void.is_empty() {
            ctx.actions.push_back(Action::Retract { connection, blocks: void });
        }
    }

    /// Offers a few pieces to a newcomer that has to wait, so that it has something to trade (BEP 6). Pieces
    /// that no other peer has are kept for those whose turn it is: they pass them on, while all newcomers
    /// from one place would be sent the same few.
    pub(super) fn offer_fast(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        let Some(peer) = self.peers.get(&connection) else { return };
        let is_newcomer = peer.has.count() < allowed_fast::PIECES as u32;
        let is_possible =
            peer.has_fast && peer.am_choking && !peer.wants_nothing() && self.super_seed.is_none();
        if !is_possible
            || !is_newcomer
            || !peer.fast_offers.is_empty()
            || ctx.settings.slots == Slots::Fixed(0)
        {
            return;
        }
        let layout = self.spec.layout.clone();
        let info_hash = self.spec.info_hashes.wire();
        let set = allowed_fast::pieces(peer.address.ip(), info_hash, layout.piece_count());
        let lacks = |piece: &PieceIndex| !peer.has.has(*piece);
        let set: Vec<PieceIndex> =
            set.into_iter().filter(lacks).filter(|piece| self.offers(*piece)).collect();
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        for piece in set {
            if self.picker.availability(piece) > 0 {
                peer.fast_offers.push((piece, FAST_OFFER_TIMES * layout.blocks_in(piece)));
                peer.last_sent = ctx.now;
                ctx.send(connection, Message::AllowedFast(piece));
            }
        }
    }

    /// A peer asks for a block.
    pub(super) fn on_request(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        request: BlockRequest,
    ) -> Outcome {
        let is_shown =
            self.super_seed.as_ref().is_none_or(|shown| shown.has_shown(connection, request.piece));
        let is_possible = self.spec.layout.contains(request) && self.offers(request.piece) && is_shown;
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        if !is_possible {
            peer.bad_requests += 1;
            if peer.bad_requests > limit::BAD_REQUESTS {
                return Err(CloseReason::Protocol("it asks for what there is not"));
            }
        }
        peer.last_asked = ctx.now;
        let is_full = peer.uploading.len() >= usize::from(limit::REQUESTS_IN);
        if is_possible && !is_full && (!peer.am_choking || peer.take_fast_offer(request)) {
            peer.queue_upload(ctx.now, request);
        } else {
            if peer.has_fast {
                ctx.send(connection, Message::Reject(request));
            }
            self.on_idle_talk(ctx, connection)?;
        }
        self.on_begun(ctx, connection, request.piece);
        let is_interested = self.peers.get(&connection).is_none_or(|peer| peer.peer_interested);
        if is_possible && !is_interested {
            // Some clients ask without having said that they want anything: take it as said.
            return self.on_interested(ctx, connection);
        }
        Ok(())
    }

    /// Hands the requests that came in this turn to whoever reads and sends.
    pub(super) fn start_uploads(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        if peer.uploads_begun < peer.uploading.len() {
            let blocks = peer.uploading[peer.uploads_begun..].to_vec();
            peer.uploads_begun = peer.uploading.len();
            ctx.actions.push_back(Action::Upload { connection, torrent: self.id, blocks });
        }
    }

    /// A peer no longer wants a block. With the fast extension every request gets an answer, so a reject
    /// says that the block will not come.
    pub(super) fn on_cancel(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        request: BlockRequest,
    ) {
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        let Some(at) = peer.uploading.iter().position(|queued| *queued == request) else { return };
        peer.uploading.remove(at);
        if at < peer.uploads_begun {
            peer.uploads_begun -= 1;
            ctx.actions.push_back(Action::Retract { connection, blocks: vec![request] });
        }
        if peer.has_fast {
            ctx.send(connection, Message::Reject(request));
        }
    }

    /// Blocks have gone out.
    pub(super) fn on_uploaded(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        blocks: &[BlockRequest],
    ) {
        self.on_moved(ctx.now);
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        peer.last_sent = ctx.now;
        peer.last_data = ctx.now;
        peer.last_taken = Some(ctx.now);
        for block in blocks {
            peer.up.add(ctx.now, block.length);
            self.up.add(ctx.now, block.length);
            self.totals.uploaded += u64::from(block.length);
        }
        // Nearly always they go out in the order in which they were asked for.
        if peer.uploading.starts_with(blocks) {
            peer.uploading.drain(..blocks.len());
            peer.uploads_begun = peer.uploads_begun.saturating_sub(blocks.len());
            return;
        }
        for block in blocks {
            if let Some(at) = peer.uploading.iter().position(|queued| queued == block) {
                peer.uploading.remove(at);
                peer.uploads_begun = peer.uploads_begun.saturating_sub(1);
            }
        }
    }
}
