//! Which pieces a seed suggests to whom (BEP 6), so that it sends as little as possible twice.
//!
//! Leechers of one seed take the rarest pieces, and cannot see which of them others are being sent just then.
//! The seed can: it suggests to each of those it serves pieces that no other peer has, another one to each.
//! It goes round these pieces, so that one that its taker does not finish is suggested again. Nobody has to
//! heed it, and once all pieces are in the swarm it has nothing more to say.

use std::collections::VecDeque;

use super::Context;
use super::active::Active;
use crate::base::index::PieceIndex;
use crate::base::layout::Layout;
use crate::base::random::Rng;
use crate::engine::input::ConnectionId;
use crate::engine::peer::PeerConnection;
use crate::engine::picker::PiecePicker;
use crate::wire::peer::Message;

/// So many suggestions that a peer has not begun are out with it.
const AHEAD: usize = 2;

/// Pieces that no peer had when they were looked at last.
pub(super) struct Suggestions {
    rng: Rng,
    /// `None` until somebody is served.
    unshared: Option<VecDeque<PieceIndex>>,
}

impl Suggestions {
    pub(super) fn new(rng: Rng) -> Suggestions {
        Suggestions { rng, unshared: None }
    }

    /// The next piece to suggest to `peer`.
    fn next(&mut self, layout: &Layout, picker: &PiecePicker, peer: &PeerConnection) -> Option<PieceIndex> {
        let unshared = self.unshared.get_or_insert_with(|| {
            let mut all: Vec<PieceIndex> = layout.pieces().collect();
            self.rng.shuffle(&mut all);
            all.into()
        });
        for _ in 0..unshared.len() {
            let piece = unshared.pop_front()?;
            // What somebody has is the swarm's own from here on.
            if picker.availability(piece) == 0 {
                unshared.push_back(piece);
                if !peer.suggested.contains(&piece) {
                    return Some(piece);
                }
            }
        }
        None
    }
}

impl Active {
    /// Suggests pieces to a peer that is served, until it has enough of them ahead.
    pub(super) fn suggest(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        // What is lost would be suggested too.
        if !self.is_complete() || self.super_seed.is_some() || self.lost.is_some() {
            return;
        }
        let Some(peer) = self.peers.get_mut(&connection).filter(|peer| peer.has_fast) else { return };
        peer.suggested.retain(|piece| !peer.has.has(*piece));
        while peer.suggested.len() < AHEAD {
            let Some(piece) = self.suggestions.next(&self.spec.layout, &self.picker, peer) else { return };
            peer.suggested.push(piece);
            peer.last_sent = ctx.now;
            ctx.send(connection, Message::Suggest(piece));
        }
    }

    /// A peer asks for a block: if it has begun a piece that was suggested to it, it is told of another one.
    pub(super) fn on_begun(&mut self, ctx: &mut Context<'_>, connection: ConnectionId, piece: PieceIndex) {
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        let before = peer.suggested.len();
        peer.suggested.retain(|suggested| *suggested != piece);
        if peer.suggested.len() < before && !peer.am_choking {
            self.suggest(ctx, connection);
        }
    }
}
