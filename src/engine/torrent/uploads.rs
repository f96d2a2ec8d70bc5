//! What peers get of us: the choker's word is carried out here, and requests are queued and answered.

use super::Context;
use super::active::Active;
use super::members::{Outcome, count_change};
use crate::base::index::BlockRequest;
use crate::base::limit;
use crate::base::time::Instant;
use crate::engine::action::{Action, CloseReason};
use crate::engine::choker::Standing;
use crate::engine::input::ConnectionId;
use crate::engine::peer::PeerConnection;
use crate::wire::peer::Message;

impl Active {
    /// A peer wants something of ours: it gets a free slot, or waits for one.
    pub(super) fn on_interested(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) -> Outcome {
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        count_change(ctx, peer)?;
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
        count_change(ctx, peer)?;
        peer.peer_interested = false;
        ctx.wishes.rechoke = true;
        Ok(())
    }

    /// Adds how its peers stand, for the choker.
    pub(in crate::engine) fn add_standings(&mut self, now: Instant, standings: &mut Vec<Standing>) {
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
            sent: peer.taken,
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

    pub(in crate::engine) fn unchoke(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        // Before the peer may ask, so that its first requests can heed it.
        self.suggest(ctx, connection);
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        peer.am_choking = false;
        peer.choke_changed = Some(ctx.now);
        peer.last_asked = ctx.now;
        peer.last_sent = ctx.now;
        ctx.send(connection, Message::Unchoke);
    }

    /// Chokes a peer: what it asked for is void. It may ask again for what it was offered.
    pub(in crate::engine) fn choke(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        peer.am_choking = true;
        // One that wants nothing has given its slot up by itself, and may have one again at once.
        peer.choke_changed = peer.peer_interested.then_some(ctx.now);
        peer.last_sent = ctx.now;
        ctx.send(connection, Message::Choke);
        take_back(ctx, connection, peer, |_| true);
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
        if self.peers.get(&connection).is_some_and(|peer| peer.cancelled.contains(&request)) {
            // What was taken back before was another one.
            self.settle_cancels(ctx, connection);
        }
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        if !is_possible {
            peer.bad_requests += 1;
            if peer.bad_requests > limit::BAD_REQUESTS {
                return Err(CloseReason::Protocol("it asks for what there is not"));
            }
        }
        peer.last_asked = ctx.now;
        let is_full = peer.uploading.len() >= usize::from(limit::REQUESTS_IN);
        let is_taken = is_possible && !is_full && self.is_served(connection, request);
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        if is_taken {
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

    /// Does what the requests and cancels of this turn come to: the first go to whoever reads and sends.
    pub(super) fn start_uploads(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        self.settle_cancels(ctx, connection);
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        if peer.uploads_begun < peer.uploading.len() {
            let blocks = peer.uploading.range(peer.uploads_begun..).copied().collect();
            peer.uploads_begun = peer.uploading.len();
            if ctx.settings.limits.up.is_some() || self.spec.limits.up.is_some() {
                ctx.wishes.asked.push(connection);
            }
            ctx.actions.push_back(Action::Upload { connection, torrent: self.id, blocks });
        }
    }

    /// A peer no longer wants a block.
    pub(super) fn on_cancel(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        request: BlockRequest,
    ) {
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        if !peer.cancelled.insert(request) {
            // It was asked for more than once.
            self.settle_cancels(ctx, connection);
            if let Some(peer) = self.peers.get_mut(&connection) {
                peer.cancelled.insert(request);
            }
        }
    }

    /// Takes back what the peer has cancelled in this turn.
    fn settle_cancels(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        if !peer.cancelled.is_empty() {
            let mut cancelled = std::mem::take(&mut peer.cancelled);
            take_back(ctx, connection, peer, |request| cancelled.remove(request));
        }
    }

    /// Blocks that were taken back, or cannot be read, will not go out, as nothing of them had. With the fast
    /// extension every request gets one answer, so a reject says so; those that had begun to leave are answered by
    /// themselves.
    pub(in crate::engine) fn on_retracted(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        blocks: &[BlockRequest],
    ) {
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        for block in blocks {
            if let Some(at) = peer.uploading.iter().position(|queued| queued == block) {
                peer.uploading.remove(at);
                peer.uploads_begun = peer.uploads_begun.saturating_sub(1);
                if peer.has_fast {
                    ctx.send(connection, Message::Reject(*block));
                }
            }
        }
    }

    /// Blocks have gone out.
    pub(in crate::engine) fn on_uploaded(
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
            peer.taken += u64::from(block.length);
            self.up.add(ctx.now, block.length);
            self.totals.uploaded += u64::from(block.length);
            // Nearly always they go out in the order in which they were asked for.
            if let Some(at) = peer.uploading.iter().position(|queued| queued == block) {
                peer.uploading.remove(at);
                peer.uploads_begun = peer.uploads_begun.saturating_sub(1);
            }
        }
    }
}

/// Takes back the requests that `is_void` names: those that nobody has begun to answer at once, for the others whoever
/// answers them has to say how far that went.
fn take_back(
    ctx: &mut Context<'_>,
    connection: ConnectionId,
    peer: &mut PeerConnection,
    mut is_void: impl FnMut(&BlockRequest) -> bool,
) {
    let begun = peer.uploading.iter().take(peer.uploads_begun);
    let blocks: Vec<BlockRequest> = begun.filter(|request| is_void(request)).copied().collect();
    if !blocks.is_empty() {
        ctx.actions.push_back(Action::Retract { connection, blocks });
    }
    let waiting = peer.uploading.split_off(peer.uploads_begun);
    for request in waiting {
        if !is_void(&request) {
            peer.uploading.push_back(request);
        } else if peer.has_fast {
            ctx.send(connection, Message::Reject(request));
        }
    }
}
