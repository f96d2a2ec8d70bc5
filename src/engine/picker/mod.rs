//! Which blocks a peer is asked for.
//!
//! Decides only that: how many blocks a peer has room for, when a request is given up and what becomes of a
//! bad piece is for the caller, who tells what has happened and says at every call how fast the peer is.
//! Rarest first and the random first pieces are from BEP 3's reference client.
//!
//! The order of preference is read in one function, `preference` in `pick.rs`. Deadlines and priorities have
//! their place there: deadlines before a peer's own piece, priorities before rarity.
//!
//! A fast peer has a piece to itself, so that its blocks arrive in one run and are hashed as they come;
//! slower peers share the pieces under way, so that few are open at a time. A piece that has failed its hash
//! is fetched by one peer alone where that is possible, so that a second failure names the culprit; for a while,
//! after which others help who have nothing else to send.

mod availability;
mod open_piece;
mod pick;
mod pieces;
#[cfg(test)]
mod property;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::availability::Availability;
use self::open_piece::{Arrival, Block, OpenPiece};
use self::pieces::{PieceState, Pieces};
use self::requests::Requests;
use crate::base::bitfield::Bitfield;
use crate::base::index::{BlockAddress, PieceIndex};
use crate::base::layout::Layout;
use crate::base::limit;
use crate::base::random::Rng;

/// Names whoever blocks are asked of: a connection, for as long as it lasts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PeerKey(pub u32);

/// How fast a peer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Sends several whole pieces within seconds, and all that it may be asked for at a time is few pieces: works on so
    /// many side by side, so that they can be hashed side by side.
    Abreast(u8),
    /// Sends a whole piece within some 20 s: gets pieces to itself.
    Fast,
    /// Slower, or not known so far: helps with pieces under way, opens one when there is none to help with.
    Slow,
    /// Leaves requests unanswered: as slow, and opens the most common pieces, which others can finish.
    Snubbed,
}

/// What became of a block that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// Keep it.
    New {
        /// Whether it was the last one of its piece, which is to be verified.
        complete: bool,
        /// Another peer that was asked for the block, and need not send it.
        cancel: Option<PeerKey>,
    },
    /// It is here already: waste, but nobody's fault when two peers were asked.
    Duplicate,
    /// This peer was not asked for it, or no longer. The piece needs it still.
    Unwanted,
}

/// A piece of which something is asked for or received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartialPiece {
    /// Which.
    pub piece: PieceIndex,
    /// Bytes received.
    pub received: u64,
    /// Whether all of it is received.
    pub is_verifying: bool,
}

/// Decides which blocks each peer is asked for, and keeps account of all pieces of a torrent.
pub struct PiecePicker {
    pieces: Pieces,
    availability: Availability,
    requests: Requests,
    /// By peer, what it suggested, in order.
    suggested: BTreeMap<PeerKey, Vec<PieceIndex>>,
    rng: Rng,
}

impl PiecePicker {
    /// A picker for a torrent of which `have` is verified and written. Only pieces that are `pickable` are
    /// ever asked for: one of unknown hash is not.
    pub fn new(
        layout: Arc<Layout>,
        have: &Bitfield,
        pickable: impl Fn(PieceIndex) -> bool,
        rng: Rng,
    ) -> PiecePicker {
        let mut availability = Availability::new(layout.piece_count());
        let all = layout.pieces();
        let pieces = Pieces::new(layout, have, pickable);
        all.filter(|piece| pieces.is_openable(*piece)).for_each(|piece| availability.list(piece));
        PiecePicker { pieces, availability, requests: Requests::default(), suggested: BTreeMap::new(), rng }
    }

    /// Blocks of a missing piece are on disk since an earlier run: none of them is asked for. Says whether it
    /// is so, which it is not for a piece that may not be picked, or when there is no such block.
    pub fn mark_written(&mut self, piece: PieceIndex, written: &[bool]) -> bool {
        if !self.pieces.layout().has_piece(piece)
            || written.len() != self.pieces.layout().blocks_in(piece) as usize
            || !written.contains(&true)
        {
            return false;
        }
        let Some(open) = self.pieces.open(piece) else { return false };
        for (block, _) in written.iter().enumerate().filter(|(_, is_written)| **is_written) {
            open.mark_written(block as u32);
        }
        self.availability.unlist(piece);
        self.pieces.verify_if_complete(piece);
        true
    }

    /// A peer has a piece that it did not have before.
    pub fn on_peer_has(&mut self, piece: PieceIndex) {
        self.availability.add(piece);
    }

    /// A peer no longer has a piece that it had (BEP 54).
    pub fn on_peer_lost(&mut self, piece: PieceIndex) {
        self.availability.subtract(piece);
    }

    /// A peer has these pieces, of which none was told before.
    pub fn on_bitfield(&mut self, peer_has: &Bitfield) {
        self.availability.add_all(peer_has);
    }

    /// A peer that had exactly these pieces, however they became known, is gone.
    pub fn on_bitfield_gone(&mut self, peer_has: &Bitfield) {
        self.availability.subtract_all(peer_has);
    }

    /// A peer suggests a piece (BEP 6): of the rarest ones that may be opened with it, this one is then
    /// taken. A peer that has all sends each of its peers another piece in this way.
    pub fn on_suggested(&mut self, peer: PeerKey, piece: PieceIndex) {
        let suggested = self.suggested.entry(peer).or_default();
        suggested.retain(|other| *other != piece);
        if suggested.len() == limit::SUGGESTED {
            suggested.remove(0);
        }
        suggested.push(piece);
    }

    /// How many peers have `piece`.
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.availability.of(piece)
    }

    /// Whether every piece is with some peer.
    pub fn has_copy(&self) -> bool {
        self.availability.nowhere() == 0
    }

    /// Copies of the torrent among the peers: whole copies, and the share of pieces that have one more.
    pub fn copies(&self) -> f32 {
        self.availability.copies()
    }

    /// How many pieces that are not had no peer has. Looks at every piece.
    pub fn missing_from_all(&self) -> u32 {
        if self.availability.has_seed() {
            return 0;
        }
        let all = self.pieces.layout().pieces();
        let nowhere = |piece: &PieceIndex| !self.have().has(*piece) && self.availability.of(*piece) == 0;
        all.filter(nowhere).count() as u32
    }

    /// Whether we lack `piece` and may pick it.
    pub fn is_wanted(&self, piece: PieceIndex) -> bool {
        !self.pieces.settled().has(piece)
    }

    /// How many of the pieces that a peer has are wanted. Looks at all of them.
    pub fn wanted_of(&self, peer_has: &Bitfield) -> u32 {
        peer_has.iter_minus(self.pieces.settled()).count() as u32
    }

    /// A block came from `peer`. A peer's word that it sent what it was not asked for is no reason to keep
    /// the block: it is kept only when it is due from this peer.
    pub fn mark_received(&mut self, block: BlockAddress, peer: PeerKey) -> Received {
        let Some(open) = self.pieces.open_piece_mut(block.piece) else {
            let is_here = matches!(
                self.pieces.state(block.piece),
                Some(PieceState::Verifying { .. } | PieceState::Have)
            );
            return if is_here { Received::Duplicate } else { Received::Unwanted };
        };
        let cancel = match open.receive(block.block, peer) {
            Arrival::Again => return Received::Duplicate,
            Arrival::NotAsked => return Received::Unwanted,
            Arrival::Due(other) => other,
        };
        self.requests.remove(peer, block);
        if let Some(other) = cancel {
            self.requests.remove(other, block);
        }
        Received::New { complete: self.pieces.verify_if_complete(block.piece), cancel }
    }

    /// `peer` will not send a block: rejected, choked or cancelled. Others may be asked for it.
    pub fn mark_unrequested(&mut self, block: BlockAddress, peer: PeerKey) {
        self.requests.remove(peer, block);
        self.forget(block, peer);
    }

    /// `peer` takes too long with a block: others may be asked for it, and its own answer is still welcome,
    /// unless two were asked already.
    pub fn mark_late(&mut self, block: BlockAddress, peer: PeerKey) {
        let Some(open) = self.pieces.open_piece_mut(block.piece) else { return };
        if open.mark_late(block.block, peer) {
            open.owner = None;
        } else if open.blocks().get(block.block as usize).is_some_and(Block::has_two_owners) {
            self.mark_unrequested(block, peer);
        }
    }

    /// `peer` is gone or chokes us: it will send nothing of what it was asked for.
    pub fn release_peer(&mut self, peer: PeerKey) {
        self.suggested.remove(&peer);
        let (own, asked) = self.requests.release(peer);
        for block in asked {
            self.forget(block, peer);
        }
        own.into_iter().for_each(|piece| self.disown(piece, peer));
    }

    /// How many blocks `peer` was asked for and has not sent.
    pub fn outstanding(&self, peer: PeerKey) -> usize {
        self.requests.outstanding(peer)
    }

    /// Of these blocks those that `peer` is not late with, oldest request first: what it was late with it was told
    /// is no longer wanted. For checks: looks at every block's state.
    pub fn due_from(&self, peer: PeerKey) -> impl Iterator<Item = BlockAddress> + '_ {
        let asked = self.requests.oldest_first(peer);
        asked.filter(move |asked| {
            let block = self.pieces.open_piece(asked.piece).map(|open| open.blocks()[asked.block as usize]);
            !matches!(block, Some(Block::Late(late) | Block::Retried { late, .. }) if late == peer)
        })
    }

    /// A piece whose blocks are all here is right, and written.
    pub fn mark_verified(&mut self, piece: PieceIndex) {
        self.pieces.accept(piece);
    }

    /// A piece whose blocks are all here is not right: all of it is missing again.
    pub fn mark_failed(&mut self, piece: PieceIndex) {
        if self.pieces.refuse(piece) {
            self.availability.list(piece);
        }
    }

    /// Blocks that were received, and not written, are gone: they are to be asked for again.
    pub fn mark_lost(&mut self, piece: PieceIndex, blocks: &[u32]) {
        if blocks.is_empty() {
            return;
        }
        let Some(open) = self.pieces.reopen(piece) else { return };
        blocks.iter().for_each(|block| open.lose(*block));
        // None of the blocks had been received after all.
        if self.pieces.verify_if_complete(piece) {
            return;
        }
        if self.pieces.close_if_untouched(piece) {
            self.availability.list(piece);
        }
    }

    /// The pieces that are verified and written.
    pub fn have(&self) -> &Bitfield {
        self.pieces.have()
    }

    /// Whether every piece is verified and written.
    pub fn is_complete(&self) -> bool {
        self.have().is_full()
    }

    /// Pieces under way or being verified, in no order.
    pub fn partial_pieces(&self) -> impl Iterator<Item = PartialPiece> + '_ {
        let open = self.pieces.open_pieces().iter().map(|open| (open, false));
        let verifying = self.pieces.verifying_pieces().iter().map(|open| (open, true));
        open.chain(verifying).map(|(open, is_verifying)| PartialPiece {
            piece: open.piece,
            received: self.received_bytes(open),
            is_verifying,
        })
    }

    /// Panics with a clear message when the picker contradicts itself. Looks at everything: for tests and
    /// simulations.
    pub fn check_invariants(&self) {
        self.pieces.check_invariants();
        self.availability.check_invariants(|piece| self.pieces.is_openable(piece));
        let mut asked = 0;
        for (peer, block) in self.requests.iter() {
            let open = self.pieces.open_piece(block.piece);
            let state = open.and_then(|open| open.blocks().get(block.block as usize));
            let is_owner = match state {
                Some(Block::Asked(owner) | Block::Late(owner)) => *owner == peer,
                Some(Block::AskedTwice(first, second) | Block::Retried { late: first, by: second }) => {
                    *first == peer || *second == peer
                }
                _ => false,
            };
            assert!(is_owner, "{peer:?} was asked for {block:?}, which is {state:?}");
            asked += 1;
        }
        let owners = |block: &Block| match block {
            Block::Asked(_) | Block::Late(_) => 1,
            Block::AskedTwice(..) | Block::Retried { .. } => 2,
            Block::Free | Block::Received(_) | Block::Written => 0,
        };
        let open = self.pieces.open_pieces();
        let owned: usize = open.iter().flat_map(OpenPiece::blocks).map(owners).sum();
        assert_eq!(asked, owned, "every owner of a block has it among its requests");
        for piece in open.iter().filter(|piece| piece.free() > 0) {
            let works_on = piece.owner.map(|owner| self.requests.own(owner));
            let is_worked_on = works_on.is_none_or(|own| own.contains(&piece.piece));
            assert!(is_worked_on, "{:?} waits for {:?}, who works on {works_on:?}", piece.piece, piece.owner);
        }
    }

    fn disown(&mut self, piece: PieceIndex, peer: PeerKey) {
        if let Some(open) = self.pieces.open_piece_mut(piece).filter(|open| open.owner == Some(peer)) {
            open.owner = None;
        }
    }

    fn forget(&mut self, block: BlockAddress, peer: PeerKey) {
        let Some(open) = self.pieces.open_piece_mut(block.piece) else { return };
        if open.forget(block.block, peer) {
            open.owner = None;
        }
        if self.pieces.close_if_untouched(block.piece) {
            self.availability.list(block.piece);
        }
    }

    fn received_bytes(&self, open: &OpenPiece) -> u64 {
        let blocks = open.blocks().iter().zip(0..);
        let received = blocks.filter(|(block, _)| OpenPiece::is_here(block));
        let bytes = |block| self.pieces.layout().block_len(BlockAddress { piece: open.piece, block });
        received.map(|(_, block)| u64::from(bytes(block))).sum()
    }
}
