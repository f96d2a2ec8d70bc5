//! Rows that several takers want within moments: what was read for one is handed to the others.
//!
//! Of each row that is read its name is remembered for a while. When another connection asks for one of those,
//! a crowd wants the same, and rows are kept from then on, the least recently used giving way. Keeping has to pay
//! for itself: after as many rows in vain as there is room for, nothing is kept any more. So one taker, or several
//! that want different pieces, are read for into the same few buffers, which the processor's cache holds.

use std::collections::VecDeque;
use std::rc::Rc;

use super::block_row::ReadRow;
use crate::base::index::BlockRequest;
use crate::base::limit;
use crate::engine::input::ConnectionId;
use crate::engine::order::TorrentId;

/// The rows read lately, the last one at the back.
#[derive(Debug, Default)]
pub(super) struct HotRows {
    rows: VecDeque<Seen>,
    /// How many more rows may be kept without a use.
    trust: usize,
}

#[derive(Debug)]
struct Seen {
    torrent: TorrentId,
    first: BlockRequest,
    reader: ConnectionId,
    kept: Option<Rc<ReadRow>>,
}

impl HotRows {
    /// A kept row that has these blocks, one after the other.
    pub(super) fn find(&mut self, torrent: TorrentId, blocks: &[BlockRequest]) -> Option<Rc<ReadRow>> {
        let has_them = |seen: &Seen| {
            seen.torrent == torrent && seen.kept.as_ref().is_some_and(|row| row.find(blocks).is_some())
        };
        let at = self.rows.iter().position(has_them)?;
        let seen = self.rows.remove(at)?;
        let row = seen.kept.clone();
        self.rows.push_back(seen);
        self.trust = limit::HOT_ROWS;
        row
    }

    /// A row was read for `reader`, as it was not to be found.
    pub(super) fn on_read(&mut self, torrent: TorrentId, reader: ConnectionId, row: &Rc<ReadRow>) {
        let Some(first) = row.blocks().first().copied() else { return };
        let again = self.rows.iter().position(|seen| seen.torrent == torrent && seen.first == first);
        let before = again.and_then(|at| self.rows.remove(at));
        if before.is_some_and(|seen| seen.reader != reader) {
            self.trust = limit::HOT_ROWS;
        } else if self.trust > 0 {
            self.trust -= 1;
            if self.trust == 0 {
                self.rows.iter_mut().for_each(|seen| seen.kept = None);
            }
        }
        if self.rows.len() == limit::HOT_ROWS {
            self.rows.pop_front();
        }
        let kept = (self.trust > 0).then(|| row.clone());
        self.rows.push_back(Seen { torrent, first, reader, kept });
    }

    /// Drops what is kept of a torrent whose files may change.
    pub(super) fn forget(&mut self, torrent: TorrentId) {
        self.rows.retain(|seen| seen.torrent != torrent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::index::PieceIndex;

    const TORRENT: TorrentId = TorrentId(0);
    const ONE: ConnectionId = ConnectionId(1);
    const OTHER: ConnectionId = ConnectionId(2);

    /// Blocks of 4 bytes, `count` of them from `first` on.
    fn blocks(first: u32, count: u32) -> Vec<BlockRequest> {
        let block = |at: u32| BlockRequest { piece: PieceIndex(0), begin: 4 * at, length: 4 };
        (first..first + count).map(block).collect()
    }

    fn row(first: u32, count: u32) -> Rc<ReadRow> {
        Rc::new(ReadRow::new(blocks(first, count), vec![0; 17 * count as usize], Rc::default()))
    }

    /// What a reader does. Says whether the row was there.
    fn take(hot: &mut HotRows, torrent: TorrentId, taker: ConnectionId, first: u32) -> bool {
        let is_there = hot.find(torrent, &blocks(first, 4)).is_some();
        if !is_there {
            hot.on_read(torrent, taker, &row(first, 4));
        }
        is_there
    }

    fn kept(hot: &HotRows) -> usize {
        hot.rows.iter().filter(|seen| seen.kept.is_some()).count()
    }

    #[test]
    fn nothing_is_kept_for_one_taker_nor_for_two_that_want_different_rows() {
        let mut hot = HotRows::default();
        for at in 0..100 {
            assert!(!take(&mut hot, TORRENT, ONE, 4 * at));
            assert!(!take(&mut hot, TORRENT, ONE, 4 * at), "the same again is no crowd");
            assert!(!take(&mut hot, TORRENT, OTHER, 1_000 + 4 * at));
        }
        assert_eq!(kept(&hot), 0);
        assert!(hot.rows.len() <= limit::HOT_ROWS);
    }

    #[test]
    fn from_the_second_that_wants_a_row_on_rows_are_read_once() {
        let mut hot = HotRows::default();
        assert!(!take(&mut hot, TORRENT, ONE, 0));
        assert!(!take(&mut hot, TORRENT, OTHER, 0), "only its name was remembered");
        for at in 1..100 {
            assert!(!take(&mut hot, TORRENT, ONE, 4 * at));
            assert!(take(&mut hot, TORRENT, OTHER, 4 * at));
            assert!(take(&mut hot, TORRENT, ConnectionId(3), 4 * at));
            assert!(kept(&hot) <= limit::HOT_ROWS);
        }
    }

    #[test]
    fn a_row_serves_whoever_wants_a_part_of_it_but_nobody_who_wants_more() {
        let mut hot = HotRows::default();
        take(&mut hot, TORRENT, ONE, 0);
        take(&mut hot, TORRENT, OTHER, 0);
        assert!(hot.find(TORRENT, &blocks(1, 2)).is_some());
        assert!(hot.find(TORRENT, &blocks(3, 2)).is_none());
        let ends_short = BlockRequest { length: 3, ..blocks(3, 1)[0] };
        assert!(hot.find(TORRENT, &[ends_short]).is_none());
        let there_and_back = [blocks(1, 1)[0], blocks(0, 1)[0]];
        assert!(hot.find(TORRENT, &there_and_back).is_none());
        assert!(hot.find(TorrentId(1), &blocks(0, 4)).is_none(), "the name is another torrent's too");
    }

    #[test]
    fn when_the_crowd_is_gone_all_is_let_go_of() {
        let mut hot = HotRows::default();
        take(&mut hot, TORRENT, ONE, 0);
        take(&mut hot, TORRENT, OTHER, 0);
        assert_eq!(kept(&hot), 1);
        for at in 1..=limit::HOT_ROWS as u32 {
            take(&mut hot, TORRENT, ONE, 4 * at);
        }
        assert_eq!(kept(&hot), 0);
    }

    #[test]
    fn of_a_torrent_that_is_forgotten_nothing_is_handed_out() {
        let mut hot = HotRows::default();
        for torrent in [TORRENT, TorrentId(1)] {
            take(&mut hot, torrent, ONE, 0);
            take(&mut hot, torrent, OTHER, 0);
        }
        hot.forget(TORRENT);
        assert!(hot.find(TORRENT, &blocks(0, 4)).is_none());
        assert!(hot.find(TorrentId(1), &blocks(0, 4)).is_some());
    }
}
