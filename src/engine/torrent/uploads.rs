//! Who is served: first come, first served, in a fixed number of slots.

use super::Context;
use super::active::Active;
use super::members::{Outcome, count_change};
use crate::base::index::BlockRequest;
use crate::base::limit;
use crate::engine::action::{Action, CloseReason};
use crate::engine::input::ConnectionId;
use crate::wire::peer::Message;

impl Active {
    /// A peer wants something of ours: it gets a free slot, or waits for one.
    pub(super) fn on_interested(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) -> Outcome {
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        count_change(peer)?;
        peer.peer_interested = true;
        if !self.served.contains(&connection) && !self.waiting.contains(&connection) {
            self.waiting.push_back(connection);
        }
        self.fill_slots(ctx);
        Ok(())
    }

    /// A peer wants nothing any more: its slot is for the next.
    pub(super) fn on_not_interested(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) -> Outcome {
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        count_change(peer)?;
        peer.peer_interested = false;
        if !peer.am_choking {
            peer.am_choking = true;
            ctx.send(connection, Message::Choke);
            let dropped = std::mem::take(&mut peer.uploading);
            peer.uploads_begun = 0;
            if peer.has_fast {
                for request in &dropped {
                    ctx.send(connection, Message::Reject(*request));
                }
            }
            if !dropped.is_empty() {
                ctx.actions.push_back(Action::Retract { connection, blocks: dropped });
            }
        }
        self.stop_serving(ctx, connection);
        Ok(())
    }

    /// Takes a peer out of the slots and the queue, and lets the next in.
    pub(super) fn stop_serving(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        self.served.retain(|served| *served != connection);
        self.waiting.retain(|waiting| *waiting != connection);
        self.fill_slots(ctx);
    }

    fn fill_slots(&mut self, ctx: &mut Context<'_>) {
        while self.served.len() < ctx.settings.unchoke_slots && !self.is_stopping() {
            let Some(connection) = self.waiting.pop_front() else { return };
            let Some(peer) = self.peers.get_mut(&connection) else { continue };
            peer.am_choking = false;
            peer.last_sent = ctx.now;
            ctx.send(connection, Message::Unchoke);
            self.served.push(connection);
        }
    }

    /// A peer asks for a block.
    pub(super) fn on_request(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        request: BlockRequest,
    ) -> Outcome {
        let is_possible = self.spec.layout.contains(request) && self.picker.have().has(request.piece);
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        if !is_possible {
            peer.bad_requests += 1;
            if peer.bad_requests > limit::BAD_REQUESTS {
                return Err(CloseReason::Protocol("it asks for what there is not"));
            }
        }
        let is_full = peer.uploading.len() >= usize::from(limit::REQUESTS_IN);
        if is_possible && !peer.am_choking && !is_full {
            peer.uploading.push(request);
        } else {
            if peer.has_fast {
                ctx.send(connection, Message::Reject(request));
            }
            self.on_idle_talk(ctx, connection)?;
        }
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
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        peer.last_sent = ctx.now;
        for block in blocks {
            peer.up.add(ctx.now, block.length);
            self.up.add(ctx.now, block.length);
            self.totals.uploaded += u64::from(block.length);
            if let Some(at) = peer.uploading.iter().position(|queued| queued == block) {
                peer.uploading.remove(at);
                peer.uploads_begun = peer.uploads_begun.saturating_sub(1);
            }
        }
    }
}
