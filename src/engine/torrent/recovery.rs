//! What is done anew when the network comes back, or the program does after it was stopped.
//!
//! TCP finds out late, or never, that a connection has not outlived a change of the network: a retransmission may be a
//! minute away. So a peer that owes blocks is given a moment to send something, then it is dialled anew.
//! Trackers are told soon where we are now. Nothing of this happens at once for everybody: many machines may share
//! the same router.

use super::Context;
use super::active::Active;
use crate::base::time::{Duration, Instant};
use crate::engine::action::CloseReason;
use crate::engine::input::ConnectionId;

/// How long a peer that owes blocks has to say something.
const LAST_CHANCE: Duration = Duration::from_secs(8);
/// After a sleep, whoever was silent meanwhile has so long to say something.
const GRACE: Duration = Duration::from_secs(20);
/// Announces after a change are spread over so long.
const SPREAD: Duration = Duration::from_secs(5);

impl Active {
    /// A person wishes that the trackers are asked.
    pub(in crate::engine) fn announce(&mut self, ctx: &mut Context<'_>) {
        self.announcer.hurry(ctx.now, Duration::ZERO);
        self.pump_tracker(ctx);
    }

    /// The network has come back, or is another one.
    pub(in crate::engine) fn on_network_changed(&mut self, ctx: &mut Context<'_>) {
        if self.is_stopping() {
            return;
        }
        for peer in self.peers.values_mut().filter(|peer| !peer.requests.is_empty()) {
            let doubted = peer.doubted_at.filter(|at| peer.last_received <= *at);
            peer.doubted_at = doubted.or(Some(ctx.now));
        }
        if self.peers.values().any(|peer| peer.doubted_at.is_some()) {
            self.arm_sweep(ctx.now + LAST_CHANCE);
        }
        self.announcer.abandon();
        self.announcer.hurry(ctx.now, SPREAD);
        self.peer_list.hurry(ctx.now);
        self.pump_tracker(ctx);
        self.dial(ctx);
    }

    /// The program goes on after it was stopped for a while: whoever still lives has time to show it.
    pub(in crate::engine) fn on_woken(&mut self, ctx: &mut Context<'_>) {
        for peer in self.peers.values_mut() {
            let heard_at = peer.last_received + ctx.settings.peer_timeout;
            if heard_at < ctx.now + GRACE {
                peer.last_received += (ctx.now + GRACE).since(heard_at);
            }
            peer.requests.excuse(ctx.now);
            peer.queued_at = ctx.now;
        }
        if !self.peers.is_empty() {
            self.arm_sweep(ctx.now + GRACE);
        }
        self.announcer.hurry(ctx.now, SPREAD);
    }

    /// Peers that had their last chance and did not take it.
    pub(super) fn lost_peers(&mut self, now: Instant) -> Vec<ConnectionId> {
        let mut lost = Vec::new();
        for (connection, peer) in &mut self.peers {
            match peer.doubted_at {
                Some(at) if peer.last_received > at => peer.doubted_at = None,
                Some(at) if at + LAST_CHANCE <= now => lost.push(*connection),
                _ => {}
            }
        }
        lost
    }

    /// When the next peer has had its last chance.
    pub(super) fn next_lost_at(&self) -> Option<Instant> {
        self.peers.values().filter_map(|peer| peer.doubted_at).min().map(|at| at + LAST_CHANCE)
    }

    /// Closes a peer that is lost, and dials it anew.
    pub(super) fn lose(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        let Some(peer) = self.peers.get(&connection) else { return };
        let address = peer.listens.unwrap_or(peer.address);
        self.leave(ctx, connection, CloseReason::Lost);
        self.peer_list.hurry_one(ctx.now, address);
    }
}
