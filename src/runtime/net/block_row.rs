//! Blocks that were read and wait to be sent, behind each other as the wire has them.
//!
//! A row that was read is never changed, so that several connections may send it at once. What a connection
//! sends of it knows where each block begins, so that one that has not begun to leave can still be taken back, and
//! one that has left is told at once. A block of which a byte has left is sent to its end: the other side
//! counts bytes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::index::BlockRequest;
use crate::wire::peer::message::{PIECE_HEADER, encode_piece_header};

/// Buffers that are kept while nobody needs them.
const SPARE: usize = 4;

/// Buffers of rows: the one let go of last is the next to be used, as it is still in the processor's cache.
#[derive(Debug, Default)]
pub(crate) struct RowBuffers {
    spare: RefCell<Vec<Vec<u8>>>,
    /// Bytes of rows that are out.
    out: Cell<usize>,
}

impl RowBuffers {
    /// A buffer, with what it held before.
    pub(super) fn take(&self) -> Vec<u8> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// Bytes of rows that wait to be sent, or are kept.
    pub(super) fn out(&self) -> usize {
        self.out.get()
    }
}

/// Blocks as they were read, each behind its header.
#[derive(Debug)]
pub(crate) struct ReadRow {
    blocks: Vec<BlockRequest>,
    /// May be longer than the row.
    bytes: Vec<u8>,
    buffers: Rc<RowBuffers>,
}

impl ReadRow {
    /// The row of `blocks`: `bytes` has each of them behind room for its header, and goes to `buffers` in the end.
    pub(super) fn new(blocks: Vec<BlockRequest>, mut bytes: Vec<u8>, buffers: Rc<RowBuffers>) -> ReadRow {
        let mut at = 0;
        for block in &blocks {
            let header = encode_piece_header(block.piece, block.begin, block.length);
            bytes[at..at + PIECE_HEADER].copy_from_slice(&header);
            at += length(*block);
        }
        buffers.out.update(|out| out + bytes.len());
        ReadRow { blocks, bytes, buffers }
    }

    pub(super) fn blocks(&self) -> &[BlockRequest] {
        &self.blocks
    }

    /// Bytes that it takes, used or not.
    pub(super) fn memory(&self) -> usize {
        self.bytes.len()
    }

    /// Where in the row these blocks follow each other: the number of the first of them.
    pub(super) fn find(&self, blocks: &[BlockRequest]) -> Option<usize> {
        let at = self.blocks.iter().position(|block| Some(block) == blocks.first())?;
        self.blocks[at..].starts_with(blocks).then_some(at)
    }
}

impl Drop for ReadRow {
    fn drop(&mut self) {
        self.buffers.out.update(|out| out - self.bytes.len());
        let mut spare = self.buffers.spare.borrow_mut();
        if spare.len() < SPARE {
            spare.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// What one connection sends of a row.
#[derive(Debug)]
pub(super) struct BlockRow {
    row: Rc<ReadRow>,
    /// The blocks that have not left to their end, and where in the row each begins.
    blocks: VecDeque<(BlockRequest, usize)>,
    /// Bytes of the first of them that have left.
    sent: usize,
}

impl BlockRow {
    /// Those blocks of `batch` that are still wanted: `wanted` is what is left of it, in its order. The row has
    /// the batch. `None` when nothing is wanted.
    pub(super) fn new(batch: &[BlockRequest], wanted: &[BlockRequest], row: Rc<ReadRow>) -> Option<BlockRow> {
        let first = row.find(batch).expect("the row was read for the batch, or found by it");
        let mut begin = row.blocks[..first].iter().map(|block| length(*block)).sum();
        let mut left = wanted.iter().peekable();
        let mut blocks = VecDeque::with_capacity(wanted.len());
        for block in batch {
            if left.next_if_eq(&block).is_some() {
                blocks.push_back((*block, begin));
            }
            begin += length(*block);
        }
        (!blocks.is_empty()).then_some(BlockRow { row, blocks, sent: 0 })
    }

    /// The next bytes to send, up to where blocks are left out; never empty.
    pub(super) fn unsent(&self) -> &[u8] {
        let start = self.blocks.front().map_or(0, |(_, begin)| *begin);
        let mut end = start;
        for (block, begin) in &self.blocks {
            if *begin != end {
                break;
            }
            end += length(*block);
        }
        &self.row.bytes[start + self.sent..end]
    }

    /// Whether a block has begun to leave and not left to its end.
    pub(super) fn has_begun(&self) -> bool {
        self.sent > 0
    }

    /// The rest of the block that has begun to leave.
    pub(super) fn begun(&self) -> &[u8] {
        let rest = self.blocks.front().map_or(0, |(block, _)| length(*block) - self.sent);
        &self.unsent()[..rest]
    }

    /// Notes that `count` more bytes have left; gives the blocks that have now left to their end.
    pub(super) fn on_sent(&mut self, count: usize) -> Vec<BlockRequest> {
        self.sent += count;
        let mut done = Vec::new();
        while let Some((block, _)) = self.blocks.pop_front_if(|(block, _)| self.sent >= length(*block)) {
            self.sent -= length(block);
            done.push(block);
        }
        done
    }

    /// Takes back the blocks that `is_retracted` names and that have not begun to leave. Says whether any
    /// block is left.
    pub(super) fn retract(&mut self, mut is_retracted: impl FnMut(&BlockRequest) -> bool) -> bool {
        let mut has_begun = self.sent > 0;
        self.blocks.retain(|(block, _)| std::mem::take(&mut has_begun) || !is_retracted(block));
        !self.blocks.is_empty()
    }

    /// Whether all of it has left.
    pub(super) fn is_done(&self) -> bool {
        self.blocks.is_empty()
    }
}

/// Bytes of a block on the wire.
fn length(block: BlockRequest) -> usize {
    PIECE_HEADER + block.length as usize
}
