//! Blocks that were read and wait to be sent, behind each other as the wire has them.
//!
//! The row knows where each block begins, so that one that has not begun to leave can still be taken back, and
//! one that has left is told at once. A block of which a byte has left is sent to its end: the other side
//! counts bytes.

use std::collections::VecDeque;

use crate::base::index::BlockRequest;
use crate::wire::peer::message::{PIECE_HEADER, encode_piece_header};

/// A row of blocks, each behind its header.
#[derive(Debug)]
pub(super) struct BlockRow {
    /// An old buffer may be longer than the row.
    bytes: Vec<u8>,
    /// Bytes that have left.
    sent: usize,
    /// Where the row ends.
    end: usize,
    /// The blocks that have not left to their end.
    blocks: VecDeque<BlockRequest>,
    /// Where the first of them begins.
    begin: usize,
}

impl BlockRow {
    /// The row of those blocks of `batch` that are still wanted: `wanted` is what is left of it, in its order.
    /// `bytes` has each block of the batch behind room for its header. `None` when nothing is wanted.
    pub(super) fn new(batch: &[BlockRequest], wanted: Vec<BlockRequest>, bytes: Vec<u8>) -> Option<BlockRow> {
        let mut row = BlockRow { bytes, sent: 0, end: 0, blocks: batch.to_vec().into(), begin: 0 };
        let mut left = wanted.iter().peekable();
        row.keep(|block| left.next_if_eq(&block).is_some());
        let mut at = 0;
        for block in &row.blocks {
            let header = encode_piece_header(block.piece, block.begin, block.length);
            row.bytes[at..at + PIECE_HEADER].copy_from_slice(&header);
            at += length(*block);
        }
        (!row.blocks.is_empty()).then_some(row)
    }

    /// What has not left yet; never empty.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..self.end]
    }

    /// Notes that `count` more bytes have left; gives the blocks that have now left to their end.
    pub(super) fn on_sent(&mut self, count: usize) -> Vec<BlockRequest> {
        self.sent += count;
        let mut ends = self.begin;
        let is_done = |block: &&BlockRequest| {
            ends += length(**block);
            ends <= self.sent
        };
        let count = self.blocks.iter().take_while(is_done).count();
        let done: Vec<BlockRequest> = self.blocks.drain(..count).collect();
        self.begin += done.iter().map(|block| length(*block)).sum::<usize>();
        done
    }

    /// Takes back the blocks that `is_retracted` names and that have not begun to leave. Says whether any
    /// block is left.
    pub(super) fn retract(&mut self, mut is_retracted: impl FnMut(&BlockRequest) -> bool) -> bool {
        let has_begun = self.begin < self.sent;
        let mut is_first = true;
        self.keep(|block| (std::mem::take(&mut is_first) && has_begun) || !is_retracted(block));
        !self.blocks.is_empty()
    }

    /// The buffer, to be used again.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether all of it has left.
    pub(super) fn is_done(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Drops the blocks that `is_kept` does not want, and closes the gaps.
    fn keep(&mut self, mut is_kept: impl FnMut(&BlockRequest) -> bool) {
        let (mut from, mut to) = (self.begin, self.begin);
        let bytes = &mut self.bytes;
        self.blocks.retain(|block| {
            let source = from..from + length(*block);
            from = source.end;
            if !is_kept(block) {
                return false;
            }
            if source.start != to {
                bytes.copy_within(source.clone(), to);
            }
            to += source.len();
            true
        });
        self.end = to;
    }
}

/// Bytes of a block on the wire.
fn length(block: BlockRequest) -> usize {
    PIECE_HEADER + block.length as usize
}
