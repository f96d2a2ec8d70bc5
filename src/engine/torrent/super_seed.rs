//! Super-seeding (BEP 16): a first seed sends each piece once, and lets the peers do the rest.
//!
//! It pretends to have nothing, and shows each peer a few pieces that nobody else has been shown. A peer is shown the
//! next one when one of its pieces turns up with somebody else, so whoever passes on gets more. One that passes
//! nothing on for a while is shown the next all the same, and what it does not fetch is shown to others. A peer that
//! is alone has nobody to pass on to, and need not. Once every piece is with some peer the pretence ends for good. A
//! peer that says that it has everything does not count for that: it is gone in the same moment, and may have lied.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Context;
use super::active::Active;
use crate::base::index::PieceIndex;
use crate::base::layout::Layout;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};
use crate::engine::input::ConnectionId;
use crate::wire::peer::Message;

/// Pieces that a peer may hold that have not turned up elsewhere: one on its way in, one on its way out.
const AHEAD: usize = 2;
/// A peer with which no data has moved for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is shown to whom.
pub(super) struct SuperSeed {
    /// Pieces to be shown to somebody.
    fresh: VecDeque<PieceIndex>,
    /// When that was last looked through for pieces that had been with somebody who left.
    restocked: Instant,
    rng: Rng,
    peers: BTreeMap<ConnectionId, Shown>,
}

/// What one peer is shown.
#[derive(Default)]
struct Shown {
    /// All that it may ask for.
    pieces: BTreeSet<PieceIndex>,
    /// Those that have not turned up elsewhere.
    open: Vec<Open>,
}

struct Open {
    piece: PieceIndex,
    since: Instant,
    /// It is shown to somebody else too.
    is_given_up: bool,
}

impl SuperSeed {
    pub(super) fn new(now: Instant, layout: &Layout, mut rng: Rng) -> SuperSeed {
        let mut all: Vec<PieceIndex> = layout.pieces().collect();
        rng.shuffle(&mut all);
        SuperSeed { fresh: all.into(), restocked: now, rng, peers: BTreeMap::new() }
    }

    /// Whether a peer has been shown a piece.
    pub(super) fn has_shown(&self, connection: ConnectionId, piece: PieceIndex) -> bool {
        self.peers.get(&connection).is_some_and(|shown| shown.pieces.contains(&piece))
    }
}

impl Active {
    /// Shows a peer as many pieces as it may have ahead.
    pub(super) fn reveal(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        let Some(super_seed) = &mut self.super_seed else { return };
        let Some(peer) = self.peers.get_mut(&connection).filter(|peer| !peer.wants_nothing()) else { return };
        let shown = super_seed.peers.entry(connection).or_default();
        while shown.open.len() < AHEAD {
            let Some(piece) = super_seed.fresh.pop_front() else { break };
            // What somebody has is the swarm's own from here on.
            if self.picker.availability(piece) > 0 || !shown.pieces.insert(piece) {
                continue;
            }
            shown.open.push(Open { piece, since: ctx.now, is_given_up: false });
            peer.last_sent = ctx.now;
            ctx.send(connection, Message::Have(piece));
        }
        self.arm_sweep(ctx.now + PATIENCE);
    }

    /// A peer has told what it has: others may have passed it on.
    pub(super) fn on_spread(&mut self, ctx: &mut Context<'_>, by: ConnectionId) {
        if self.super_seed.is_some() && self.picker.has_copy() {
            self.end_super_seed(ctx);
        }
        self.on_passed_on(ctx, by);
    }

    /// Whoever was shown what a peer has by now may be shown more.
    pub(super) fn on_passed_on(&mut self, ctx: &mut Context<'_>, by: ConnectionId) {
        let Some(super_seed) = &mut self.super_seed else { return };
        let Some(has) = self.peers.get(&by).map(|peer| &peer.has) else { return };
        let is_alone = self.peers.values().filter(|peer| !peer.wants_nothing()).count() == 1;
        let mut next = vec![by];
        for (&connection, shown) in &mut super_seed.peers {
            let before = shown.open.len();
            if connection != by || is_alone {
                shown.open.retain(|open| !has.has(open.piece));
            }
            if shown.open.len() < before {
                next.push(connection);
            }
        }
        next.into_iter().for_each(|connection| self.reveal(ctx, connection));
    }

    /// Stops waiting for peers that neither fetch what they are shown nor pass it on.
    pub(super) fn review_shown(&mut self, ctx: &mut Context<'_>) {
        let Some(super_seed) = &mut self.super_seed else { return };
        for (connection, shown) in &mut super_seed.peers {
            let Some(peer) = self.peers.get(connection) else { continue };
            let is_late = |open: &Open| ctx.now.since(open.since.max(peer.last_data)) >= PATIENCE;
            shown.open.retain(|open| !peer.has.has(open.piece) || !is_late(open));
            for open in shown.open.iter_mut().filter(|open| is_late(open) && !open.is_given_up) {
                open.is_given_up = true;
                super_seed.fresh.push_back(open.piece);
            }
        }
        if super_seed.fresh.is_empty() && ctx.now.since(super_seed.restocked) >= PATIENCE {
            self.restock(ctx.now);
        }
        self.reveal_all(ctx);
    }

    /// Whoever had pieces that therefore needed not be shown may have left with them.
    fn restock(&mut self, now: Instant) {
        let Some(super_seed) = &mut self.super_seed else { return };
        let open = super_seed.peers.values().flat_map(|shown| &shown.open).filter(|open| !open.is_given_up);
        let open: BTreeSet<PieceIndex> = open.map(|open| open.piece).collect();
        let is_nowhere = |piece: &PieceIndex| self.picker.availability(*piece) == 0 && !open.contains(piece);
        let mut nowhere: Vec<PieceIndex> = self.spec.layout.pieces().filter(is_nowhere).collect();
        super_seed.rng.shuffle(&mut nowhere);
        super_seed.fresh = nowhere.into();
        super_seed.restocked = now;
    }

    /// A member is gone: what only it has, or was to have, is for others.
    pub(super) fn on_shown_gone(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        let Some(super_seed) = &mut self.super_seed else { return };
        let Some(shown) = super_seed.peers.remove(&connection) else { return };
        let is_with_nobody = |piece: &PieceIndex| {
            let mut open = super_seed.peers.values().flat_map(|shown| &shown.open);
            self.picker.availability(*piece) == 0 && !open.any(|open| open.piece == *piece)
        };
        let lost: Vec<PieceIndex> = shown.pieces.into_iter().filter(is_with_nobody).collect();
        super_seed.fresh.extend(lost);
        self.reveal_all(ctx);
    }

    fn reveal_all(&mut self, ctx: &mut Context<'_>) {
        let all: Vec<ConnectionId> = self.peers.keys().copied().collect();
        all.into_iter().for_each(|connection| self.reveal(ctx, connection));
    }

    /// The swarm has a copy: everybody is told of everything.
    fn end_super_seed(&mut self, ctx: &mut Context<'_>) {
        let Some(mut super_seed) = self.super_seed.take() else { return };
        let mut all: Vec<PieceIndex> = self.spec.layout.pieces().collect();
        // Told slice by slice, peers do not all begin with the same.
        super_seed.rng.shuffle(&mut all);
        self.tell_all(ctx, all);
    }
}
