//! The blocks of one piece under way: who was asked for each, and who sent it.
//!
//! A block has at most two owners. A late block counts as free, so that others are asked for it, but its
//! first owner's answer is still welcome. That it was late is not forgotten while another is asked: when that
//! one fails too, the block is free again, or two silent peers could keep it from a third for ever.

use super::PeerKey;
use crate::base::index::{BlockAddress, PieceIndex};
use crate::base::time::{Duration, Instant};

/// Blocks of a piece that are asked for in one go while others go beside it: as many as are written and hashed in one.
const RUN: usize = 16;
/// How long one peer has a piece to itself that has failed once.
const ALONE: Duration = Duration::from_secs(20);
/// How often that is doubled at the most.
const DOUBLINGS: u32 = 5;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Block {
    Free,
    /// Asked of one peer.
    Asked(PeerKey),
    /// Asked of one peer, who takes too long.
    Late(PeerKey),
    /// Asked of two.
    AskedTwice(PeerKey, PeerKey),
    /// Asked of one peer, who takes too long, and then of another.
    Retried {
        late: PeerKey,
        by: PeerKey,
    },
    /// Received from this peer.
    Received(PeerKey),
    /// On disk since an earlier run.
    Written,
}

impl Block {
    pub(super) fn has_two_owners(&self) -> bool {
        matches!(self, Block::AskedTwice(..) | Block::Retried { .. })
    }
}

/// What became of a block that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// It was due from this peer; the other peer was asked for it too.
    Due(Option<PeerKey>),
    /// It is here already.
    Again,
    /// This peer was not asked for it.
    NotAsked,
}

#[derive(Debug)]
pub(super) struct OpenPiece {
    pub(super) piece: PieceIndex,
    /// The peer that is to fetch the piece in one run.
    pub(super) owner: Option<PeerKey>,
    /// How often the piece has failed: then it is best fetched from one peer alone, so that a culprit is known.
    failures: u32,
    /// When its blocks were asked for first, since when its one peer has it to itself.
    asked: Option<Instant>,
    /// Blocks to ask for: free ones and late ones.
    free: u32,
    late: u32,
    received: u32,
    /// No block before this one is to be asked for.
    first_free: u32,
    blocks: Box<[Block]>,
}

impl OpenPiece {
    pub(super) fn new(piece: PieceIndex, blocks: u32, failures: u32) -> OpenPiece {
        OpenPiece {
            piece,
            owner: None,
            failures,
            asked: None,
            free: blocks,
            late: 0,
            received: 0,
            first_free: 0,
            blocks: vec![Block::Free; blocks as usize].into(),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.received as usize == self.blocks.len()
    }

    pub(super) fn is_untouched(&self) -> bool {
        self.late == 0 && self.free as usize == self.blocks.len()
    }

    /// Blocks to ask for.
    pub(super) fn free(&self) -> u32 {
        self.free
    }

    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Whether a block is to be asked for that `peer` was not asked for already.
    pub(super) fn has_free_for(&self, peer: PeerKey) -> bool {
        self.free > self.late
            || self.late > 0
                && self.blocks.iter().any(|block| matches!(block, Block::Late(owner) if *owner != peer))
    }

    /// Blocks from the first that may be free to where a run ends.
    pub(super) fn to_end_of_run(&self) -> usize {
        RUN - self.first_free as usize % RUN
    }

    /// Whether one peer has the piece to itself: as it has failed, and the peer has not had time enough. The next
    /// one has twice as long, or rubbish could be sent again and again in the little that a slow peer leaves.
    pub(super) fn is_reserved(&self, now: Instant) -> bool {
        let Some(more) = self.failures.checked_sub(1) else { return false };
        let time = ALONE * 2_u32.saturating_pow(more.min(DOUBLINGS));
        self.asked.is_none_or(|asked| now.since(asked) < time)
    }

    /// Whether it has failed before.
    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Whether it has failed, and who was to fetch it alone took too long.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.has_failed() && !self.is_reserved(now)
    }

    /// Asks `peer` for at most `room` free blocks, ascending.
    pub(super) fn take(&mut self, now: Instant, peer: PeerKey, room: usize, out: &mut Vec<BlockAddress>) {
        self.asked.get_or_insert(now);
        let end = out.len().saturating_add(room);
        let mut skipped = None;
        for at in self.first_free..self.blocks.len() as u32 {
            if out.len() >= end || self.free == 0 {
                self.first_free = skipped.unwrap_or(at);
                return;
            }
            let block = &mut self.blocks[at as usize];
            match *block {
                Block::Free => *block = Block::Asked(peer),
                Block::Late(owner) if owner != peer => {
                    *block = Block::Retried { late: owner, by: peer };
                    self.late -= 1;
                }
                Block::Late(_) => {
                    skipped = skipped.or(Some(at));
                    continue;
                }
                _ => continue,
            }
            self.free -= 1;
            out.push(BlockAddress { piece: self.piece, block: at });
        }
        self.first_free = skipped.unwrap_or(self.blocks.len() as u32);
    }

    /// Whether `peer` was late with a block that nobody else was asked for since.
    pub(super) fn has_late_of(&self, peer: PeerKey) -> bool {
        self.late > 0 && self.blocks.contains(&Block::Late(peer))
    }

    /// Asks `peer` again for at most `room` blocks that it was late with, ascending.
    pub(super) fn take_again(&mut self, peer: PeerKey, room: usize, out: &mut Vec<BlockAddress>) {
        let late = self.blocks.iter_mut().zip(0..).filter(|(block, _)| **block == Block::Late(peer));
        for (block, at) in late.take(room) {
            *block = Block::Asked(peer);
            self.late -= 1;
            self.free -= 1;
            out.push(BlockAddress { piece: self.piece, block: at });
        }
    }

    /// Asks `peer` too for a block that one other was asked for; says whether it was so.
    pub(super) fn take_second(&mut self, block: u32, peer: PeerKey) -> bool {
        match self.blocks.get(block as usize) {
            Some(Block::Asked(owner)) if *owner != peer => {
                self.blocks[block as usize] = Block::AskedTwice(*owner, peer);
                true
            }
            _ => false,
        }
    }

    /// Asks `peer` for a block that one other was late with and a second has not sent either, in the place
    /// of the late one, which it gives; `None` when it is not so.
    pub(super) fn take_over(&mut self, block: u32, peer: PeerKey) -> Option<PeerKey> {
        match self.blocks.get(block as usize) {
            Some(&Block::Retried { late, by }) if by != peer => {
                self.blocks[block as usize] = Block::AskedTwice(by, peer);
                Some(late)
            }
            _ => None,
        }
    }

    /// A block came from `peer`.
    pub(super) fn receive(&mut self, block: u32, peer: PeerKey) -> Arrival {
        let Some(state) = self.blocks.get_mut(block as usize) else { return Arrival::NotAsked };
        let other = match *state {
            Block::Received(_) | Block::Written => return Arrival::Again,
            Block::Asked(owner) if owner == peer => None,
            Block::Late(owner) if owner == peer => {
                self.late -= 1;
                self.free -= 1;
                None
            }
            Block::AskedTwice(first, second) | Block::Retried { late: first, by: second }
                if first == peer =>
            {
                Some(second)
            }
            Block::AskedTwice(first, second) | Block::Retried { late: first, by: second }
                if second == peer =>
            {
                Some(first)
            }
            _ => return Arrival::NotAsked,
        };
        *state = Block::Received(peer);
        self.received += 1;
        Arrival::Due(other)
    }

    /// A free block is on disk since an earlier run.
    pub(super) fn mark_written(&mut self, block: u32) {
        if let Some(state @ Block::Free) = self.blocks.get_mut(block as usize) {
            *state = Block::Written;
            self.free -= 1;
            self.received += 1;
        }
    }

    /// Whether a block is here.
    pub(super) fn is_here(block: &Block) -> bool {
        matches!(block, Block::Received(_) | Block::Written)
    }

    /// A block that was received is gone.
    pub(super) fn lose(&mut self, block: u32) {
        if let Some(state @ Block::Received(_)) = self.blocks.get_mut(block as usize) {
            *state = Block::Free;
            self.received -= 1;
            self.free += 1;
            self.first_free = self.first_free.min(block);
        }
    }

    /// `peer` will not send a block; says whether it was asked for it.
    pub(super) fn forget(&mut self, block: u32, peer: PeerKey) -> bool {
        let Some(state) = self.blocks.get_mut(block as usize) else { return false };
        match *state {
            Block::AskedTwice(first, second) if first == peer => *state = Block::Asked(second),
            Block::AskedTwice(first, second) if second == peer => *state = Block::Asked(first),
            Block::Retried { late, by } if late == peer => *state = Block::Asked(by),
            Block::Retried { late, by } if by == peer => {
                *state = Block::Late(late);
                self.late += 1;
                self.free += 1;
                self.first_free = self.first_free.min(block);
            }
            Block::Asked(owner) if owner == peer => {
                *state = Block::Free;
                self.free += 1;
                self.first_free = self.first_free.min(block);
            }
            Block::Late(owner) if owner == peer => {
                *state = Block::Free;
                self.late -= 1;
            }
            _ => return false,
        }
        true
    }

    /// `peer` takes too long with a block: others may be asked. Nothing changes when two were asked already.
    pub(super) fn mark_late(&mut self, block: u32, peer: PeerKey) -> bool {
        match self.blocks.get_mut(block as usize) {
            Some(state) if *state == Block::Asked(peer) => *state = Block::Late(peer),
            _ => return false,
        }
        self.late += 1;
        self.free += 1;
        self.first_free = self.first_free.min(block);
        true
    }

    /// Panics when the counts do not agree with the blocks.
    pub(super) fn check_invariants(&self) {
        let piece = self.piece;
        let count = |wanted: fn(&Block) -> bool| self.blocks.iter().filter(|block| wanted(block)).count();
        let late = count(|block| matches!(block, Block::Late(_)));
        let free = count(|block| matches!(block, Block::Free));
        let received = count(OpenPiece::is_here);
        assert_eq!(self.late as usize, late, "{piece:?}: late blocks");
        assert_eq!(self.free as usize, free + late, "{piece:?}: free blocks");
        assert_eq!(self.received as usize, received, "{piece:?}: received blocks");
        let is_askable = |block: &Block| matches!(block, Block::Free | Block::Late(_));
        let first = self.blocks.iter().position(is_askable);
        assert!(first.is_none_or(|at| at >= self.first_free as usize), "{piece:?}: a free block is hidden");
        let twice = |block: &Block| match block {
            Block::AskedTwice(first, second) | Block::Retried { late: first, by: second } => first == second,
            _ => false,
        };
        assert!(!self.blocks.iter().any(twice), "{piece:?}: two owners are two peers");
    }
}
