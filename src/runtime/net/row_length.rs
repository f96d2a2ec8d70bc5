//! How many blocks are sent to a peer in one call.
//!
//! Each call wakes the other side and has the system pace anew, so whoever takes much at once is sent long rows.
//! On a slow connection messages would wait too long behind them. Rows end at the same blocks for everybody, so
//! that those who want the same are sent the same rows (`hot_rows`).

use crate::base::index::BlockRequest;
use crate::base::layout::BLOCK_LENGTH;
use crate::base::limit;

/// Bytes of a long row.
const LONG: u64 = limit::LONG_ROW as u64 * BLOCK_LENGTH as u64;

/// What a connection has shown that it takes.
#[derive(Debug, Default)]
pub(super) struct RowLength {
    /// Bytes of blocks that it has taken since it was last full.
    burst: u64,
    /// What it took between the last two times that it was full.
    last_burst: u64,
}

impl RowLength {
    /// The connection took bytes of blocks.
    pub(super) fn on_taken(&mut self, count: usize) {
        self.burst += count as u64;
    }

    /// The connection takes no more for now.
    pub(super) fn on_full(&mut self) {
        if self.burst > 0 {
            self.last_burst = std::mem::take(&mut self.burst);
        }
    }

    /// Of the blocks that wait, those that the next row is made of, of at most `most`.
    pub(super) fn of(&self, most: usize, waiting: impl Iterator<Item = BlockRequest>) -> usize {
        let is_swift = self.burst.max(self.last_burst) >= LONG;
        let most = if is_swift { most } else { most.min(limit::SHORT_ROW) };
        let mut before = None;
        let goes_on =
            |block: &BlockRequest| before.replace(*block).is_none_or(|before| !is_end(before, *block));
        waiting.take(most).take_while(goes_on).count()
    }
}

/// Whether a row ends between two blocks: where they follow each other in the payload, at each multiple of a long
/// row's length, counted within the piece or, between two pieces, from the first piece on.
fn is_end(before: BlockRequest, block: BlockRequest) -> bool {
    let end = u64::from(before.begin) + u64::from(before.length);
    if before.piece == block.piece {
        return end == u64::from(block.begin) && end.is_multiple_of(LONG);
    }
    // Only a piece that is full has one after it.
    let is_next = block.begin == 0 && before.piece.0.checked_add(1) == Some(block.piece.0);
    is_next && (end * u64::from(block.piece.0)).is_multiple_of(LONG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::index::PieceIndex;

    /// The blocks with these numbers, where a piece has `each`.
    fn blocks(numbers: std::ops::Range<u32>, each: u32) -> Vec<BlockRequest> {
        let block = |at| BlockRequest {
            piece: PieceIndex(at / each),
            begin: at % each * BLOCK_LENGTH,
            length: BLOCK_LENGTH,
        };
        numbers.map(block).collect()
    }

    /// The lengths of the rows in which blocks are sent to one who takes all at once.
    fn rows(mut waiting: &[BlockRequest]) -> Vec<usize> {
        let swift = RowLength { last_burst: LONG, ..RowLength::default() };
        let mut rows = Vec::new();
        while !waiting.is_empty() {
            let row = swift.of(limit::LONG_ROW, waiting.iter().copied());
            rows.push(row);
            waiting = &waiting[row..];
        }
        rows
    }

    #[test]
    fn wherever_somebody_begins_rows_end_at_the_same_blocks() {
        for each in [1, 16, 64, 128] {
            assert_eq!(rows(&blocks(0..128, each)), [32, 32, 32, 32], "{each} blocks a piece");
            assert_eq!(rows(&blocks(5..128, each)), [27, 32, 32, 32], "{each} blocks a piece");
        }
        assert_eq!(rows(&blocks(0..64, 48)), [32, 32], "where pieces and rows don't fit each other");
    }

    #[test]
    fn blocks_that_do_not_follow_each_other_fill_rows_all_the_same() {
        let mut backwards = blocks(0..64, 16);
        backwards.reverse();
        assert_eq!(rows(&backwards), [32, 32]);
    }

    #[test]
    fn rows_are_long_only_for_those_who_take_as_much_at_once() {
        let waiting = blocks(0..2048, 2048);
        let mut length = RowLength::default();
        let mut at = 0;
        let mut row = |is_full: bool| {
            let row = length.of(limit::LONG_ROW, waiting[at..].iter().copied());
            at += row;
            length.on_taken(row * BLOCK_LENGTH as usize);
            if is_full {
                length.on_full();
                length.on_full();
            }
            row
        };
        assert!((0..100).all(|_| row(true) == limit::SHORT_ROW), "it is always full after a short one");
        let lengths: Vec<usize> = (0..5).map(|_| row(false)).collect();
        assert_eq!(lengths, [8, 8, 8, 8, limit::LONG_ROW]);
        row(true);
        assert_eq!(row(true), limit::LONG_ROW, "as it took more before it was full");
    }
}
