//! What each peer is asked for, and what happens when it does not deliver.

use super::Context;
use super::active::Active;
use super::members::{Outcome, count_change, key};
use crate::base::bitfield::Bitfield;
use crate::base::index::{BlockAddress, BlockRequest};
use crate::base::layout::BLOCK_LENGTH;
use crate::base::limit;
use crate::base::time::{Duration, Instant};
use crate::engine::action::CloseReason;
use crate::engine::input::ConnectionId;
use crate::engine::peer::PeerConnection;
use crate::engine::picker::Pace;
use crate::wire::peer::Message;

/// A peer to which nothing was sent for so long hears a keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Idle peers are tried again so often while pieces are missing: late blocks become theirs.
const IDLE_RETRY: Duration = Duration::from_millis(500);

impl Active {
    /// Asks a peer for as many blocks as its pipeline has room for.
    pub(super) fn refill(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        if !self.wants_blocks() {
            return;
        }
        let allowed = self.requests_allowed(ctx, connection);
        let peers = self.peers.len();
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        if !peer.may_request() {
            return;
        }
        let room = peer.requests.room(allowed);
        if room == 0 {
            if allowed == 0 {
                // A limit leaves nothing for it: others must deliver first.
                self.arm_sweep(ctx.now + IDLE_RETRY);
            }
            return;
        }
        let mut picked = Vec::with_capacity(room.min(64));
        let pace = pace_of(peer, ctx.now, self.spec.layout.piece_length(), peers);
        if peer.peer_choking {
            let mut allowed = Bitfield::empty(peer.has.len());
            for piece in peer.allowed_fast.iter().filter(|piece| peer.has.has(**piece)) {
                allowed.insert(*piece);
            }
            self.picker.pick(ctx.now, key(connection), &allowed, pace, room, &mut picked);
        } else {
            self.picker.pick(ctx.now, key(connection), &peer.has, pace, room, &mut picked);
        }
        for block in &picked {
            peer.requests.on_requested(ctx.now, *block);
            peer.last_sent = ctx.now;
            ctx.send(connection, Message::Request(self.spec.layout.request_for(*block)));
        }
        let late_at = peer.requests.late_at();
        if picked.is_empty() && peer.requests.is_empty() && !peer.peer_choking {
            self.arm_sweep(ctx.now + IDLE_RETRY);
        }
        if let Some(late_at) = late_at {
            self.arm_sweep(late_at);
        }
    }

    fn wants_blocks(&self) -> bool {
        !(self.is_complete() || self.is_stopping() || self.full_disk.is_some())
    }

    /// Blocks became free again: peers that had nothing to do may take them.
    pub(super) fn refill_idle(&mut self, ctx: &mut Context<'_>) {
        if !self.wants_blocks() {
            return;
        }
        for connection in self.idle_peers() {
            self.refill(ctx, connection);
        }
    }

    /// Peers that nothing is asked of. Those that let their requests lie come last, or what they gave up would
    /// be theirs again before another could take it.
    fn idle_peers(&self) -> Vec<ConnectionId> {
        let idle = self.peers.iter().filter(|(_, peer)| peer.requests.is_empty());
        let mut idle: Vec<_> = idle.map(|(id, peer)| (peer.requests.is_snubbed(), *id)).collect();
        idle.sort_unstable();
        idle.into_iter().map(|(_, id)| id).collect()
    }

    /// The peer refuses our requests from here on. Without the fast extension those that are out are void;
    /// with it each is rejected by itself.
    pub(super) fn on_choke(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) -> Outcome {
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        count_change(ctx, peer)?;
        peer.peer_choking = true;
        if !peer.has_fast {
            peer.requests.clear();
            self.picker.release_peer(key(connection));
            self.refill_others(ctx, connection);
        }
        Ok(())
    }

    /// The peer refuses one request. One for a piece that it allowed us while choking takes that piece
    /// back, or the same request would go round for ever. Says whether it had been asked.
    pub(super) fn on_reject(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        reject: BlockRequest,
    ) -> bool {
        let Some(block) = self.spec.layout.block_at(reject) else { return false };
        let Some(peer) = self.peers.get_mut(&connection) else { return false };
        if peer.peer_choking {
            peer.allowed_fast.retain(|piece| *piece != reject.piece);
        }
        let was_asked = peer.requests.on_rejected(block);
        if was_asked {
            self.release(ctx, connection, &[block]);
        }
        was_asked
    }

    fn release(&mut self, ctx: &mut Context<'_>, connection: ConnectionId, blocks: &[BlockAddress]) {
        for block in blocks {
            self.picker.mark_unrequested(*block, key(connection));
        }
        if !blocks.is_empty() {
            self.refill_others(ctx, connection);
        }
    }

    /// As [`Active::refill_idle`], but not for the peer that just gave the blocks up.
    fn refill_others(&mut self, ctx: &mut Context<'_>, except: ConnectionId) {
        for connection in self.idle_peers() {
            if connection != except && self.peers.get(&connection).is_some_and(|peer| peer.am_interested) {
                self.refill(ctx, connection);
            }
        }
        self.arm_sweep(ctx.now + IDLE_RETRY);
    }

    /// Makes sure that a sweep happens by `at`.
    pub(super) fn arm_sweep(&mut self, at: Instant) {
        self.sweep_at = Some(self.sweep_at.map_or(at, |armed| armed.min(at)));
    }

    /// Looks after all peers: closes the silent and those that take nothing, keeps quiet connections alive, snubs
    /// those that let their requests lie, and gives the idle something to do. Sets when to look again.
    pub(super) fn sweep(&mut self, ctx: &mut Context<'_>) {
        self.sweep_at = None;
        for connection in self.lost_peers(ctx.now) {
            self.lose(ctx, connection);
        }
        if let Some(at) = self.next_lost_at() {
            self.arm_sweep(at);
        }
        let (mut next, mut silent, mut late) = (Instant::FAR, Vec::new(), Vec::new());
        for (&connection, peer) in &mut self.peers {
            peer.requests.end_pause();
            let silent_at = peer.last_received + ctx.settings.peer_timeout;
            if silent_at <= ctx.now {
                silent.push(connection);
                continue;
            }
            if peer.last_sent + KEEP_ALIVE <= ctx.now {
                peer.last_sent = ctx.now;
                ctx.send(connection, Message::KeepAlive);
            }
            if peer.requests.late_at().is_some_and(|at| at <= ctx.now) {
                peer.requests.mark_snubbed(ctx.now);
                late.push((connection, peer.requests.clear()));
            }
            next = next.min(silent_at).min(peer.last_sent + KEEP_ALIVE);
            next = next.min(peer.requests.late_at().unwrap_or(Instant::FAR));
        }
        if next < Instant::FAR {
            self.arm_sweep(next);
        }
        self.review_shown(ctx);
        for connection in silent {
            self.leave(ctx, connection, CloseReason::Silent);
        }
        let is_untaken = |(_, peer): &(&ConnectionId, &PeerConnection)| {
            peer.owed_since().is_some_and(|since| ctx.now.since(since) >= limit::UNTAKEN)
        };
        ctx.wishes.untaken.extend(self.peers.iter().filter(is_untaken).map(|(id, _)| *id));
        for (connection, blocks) in late {
            for block in blocks {
                // Else it would still count against what the peer accepts, and might come twice.
                ctx.send(connection, Message::Cancel(self.spec.layout.request_for(block)));
                self.picker.mark_late(block, key(connection));
            }
        }
        self.refill_idle(ctx);
    }
}

/// A peer that sends a whole piece within so long gets pieces to itself.
const WHOLE_PIECE: Duration = Duration::from_secs(20);

/// Pieces that are worth having under way at a time, in all: hashed side by side they cost least.
const ABREAST: u64 = 16;
/// A peer works on as many at a time as it sends whole within so long, so that they are still to be had soon.
const SOON: Duration = Duration::from_secs(2);

/// How a peer that is one of `peers` is to be asked.
fn pace_of(peer: &mut PeerConnection, now: Instant, piece_length: u32, peers: usize) -> Pace {
    let length = u64::from(piece_length);
    let soon = peer.down.rate(now).over(SOON) / length;
    let abreast = soon.min(ABREAST / peers.max(1) as u64);
    // What it may be asked for at once: with shorter pieces enough of them are under way in any order.
    let asked = peer.requests.limit() as u64 * u64::from(BLOCK_LENGTH);
    if peer.requests.is_snubbed() {
        Pace::Snubbed
    } else if abreast >= 2 && asked < ABREAST * length {
        Pace::Abreast(abreast as u8)
    } else if peer.down.rate(now).over(WHOLE_PIECE) >= u64::from(piece_length) {
        Pace::Fast
    } else {
        Pace::Slow
    }
}
