//! The picker against its promises.

use super::*;

use crate::base::layout::BLOCK_LENGTH;
use crate::base::time::{Duration, Instant};

const A: PeerKey = PeerKey(1);
const B: PeerKey = PeerKey(2);
const C: PeerKey = PeerKey(3);

/// A picker with what a test says over and over left out.
struct Bench {
    picker: PiecePicker,
    now: Instant,
    pieces: u32,
}

impl Bench {
    /// `pieces` pieces of `blocks` blocks, of which the first `had` are had.
    fn new(pieces: u32, blocks: u32, had: u32) -> Bench {
        let length = blocks * BLOCK_LENGTH;
        Bench::with_layout(Layout::uniform(u64::from(pieces) * u64::from(length), length).unwrap(), had, 1)
    }

    fn with_layout(layout: Layout, had: u32, seed: u64) -> Bench {
        let pieces = layout.piece_count();
        let have = set(pieces, 0..had);
        let picker = PiecePicker::new(Arc::new(layout), &have, |_| true, Rng::from_number(seed));
        Bench { picker, now: Instant::ZERO, pieces }
    }

    fn pick(&mut self, peer: PeerKey, has: &Bitfield, pace: Pace, room: usize) -> Vec<(u32, u32)> {
        let mut out = Vec::new();
        self.picker.pick(self.now, peer, has, pace, room, &mut out);
        self.picker.check_invariants();
        out.into_iter().map(|block| (block.piece.0, block.block)).collect()
    }

    /// Picks for a peer that has everything.
    fn pick_of_all(&mut self, peer: PeerKey, pace: Pace, room: usize) -> Vec<(u32, u32)> {
        self.pick(peer, &Bitfield::full(self.pieces), pace, room)
    }

    fn receive(&mut self, (piece, block): (u32, u32), peer: PeerKey) -> Received {
        let received = self.picker.mark_received(address(piece, block), peer);
        self.picker.check_invariants();
        received
    }
}

fn set(pieces: u32, members: impl IntoIterator<Item = u32>) -> Bitfield {
    let mut set = Bitfield::empty(pieces);
    members.into_iter().for_each(|piece| assert!(set.insert(PieceIndex(piece))));
    set
}

fn address(piece: u32, block: u32) -> BlockAddress {
    BlockAddress { piece: PieceIndex(piece), block }
}

fn new(complete: bool, cancel: Option<PeerKey>) -> Received {
    Received::New { complete, cancel }
}

#[test]
fn a_fast_peer_has_a_piece_to_itself_and_gets_it_in_order() {
    let mut bench = Bench::new(40, 8, 4);
    let first = bench.pick_of_all(A, Pace::Fast, 5);
    let other = bench.pick_of_all(B, Pace::Fast, 5);
    let rest = bench.pick_of_all(A, Pace::Fast, 3);
    let piece = first[0].0;
    assert_ne!(piece, other[0].0);
    let whole: Vec<_> = (0..8).map(|block| (piece, block)).collect();
    assert_eq!([first, rest].concat(), whole);
}

#[test]
fn slow_peers_share_a_piece() {
    let mut bench = Bench::new(40, 8, 4);
    let first = bench.pick_of_all(A, Pace::Slow, 3);
    let second = bench.pick_of_all(B, Pace::Slow, 3);
    assert_eq!(second, [(first[0].0, 3), (first[0].0, 4), (first[0].0, 5)]);
}

#[test]
fn the_rarest_piece_comes_first() {
    let mut bench = Bench::new(40, 2, 4);
    bench.picker.on_bitfield(&Bitfield::full(40));
    bench.picker.on_bitfield(&set(40, (4..40).filter(|piece| *piece != 17)));
    assert_eq!(bench.pick_of_all(A, Pace::Fast, 2), [(17, 0), (17, 1)]);
}

#[test]
fn a_snubbed_peer_opens_what_others_can_finish() {
    let mut bench = Bench::new(40, 2, 4);
    bench.picker.on_bitfield(&Bitfield::full(40));
    bench.picker.on_bitfield(&set(40, [23]));
    assert_eq!(bench.pick_of_all(A, Pace::Snubbed, 1), [(23, 0)]);
}

#[test]
fn equally_rare_pieces_and_the_first_pieces_come_at_random() {
    for had in [0, 4] {
        // Shorter ones come in stretches of as much.
        let length = 16 * BLOCK_LENGTH;
        let layout = Layout::uniform(100 * u64::from(length), length).unwrap();
        let mut firsts: Vec<u32> = (0..20)
            .map(|seed| Bench::with_layout(layout.clone(), had, seed).pick_of_all(A, Pace::Fast, 1)[0].0)
            .collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert!(firsts.len() > 10, "with {had} pieces: {firsts:?}");
    }
}

#[test]
fn the_first_pieces_are_not_the_rarest() {
    let mut bench = Bench::new(100, 1, 0);
    bench.picker.on_bitfield(&Bitfield::full(100));
    bench.picker.on_bitfield(&set(100, 1..100));
    assert_ne!(bench.pick_of_all(A, Pace::Fast, 1), [(0, 0)]);
}

#[test]
fn a_piece_left_behind_is_finished_before_another_is_opened() {
    let mut bench = Bench::new(40, 4, 4);
    let left = bench.pick_of_all(A, Pace::Fast, 2);
    bench.receive(left[0], A);
    bench.picker.release_peer(A);
    let piece = left[0].0;
    assert_eq!(bench.pick_of_all(B, Pace::Fast, 3), [(piece, 1), (piece, 2), (piece, 3)]);
}

#[test]
fn a_piece_of_which_nothing_came_is_missing_again() {
    let mut bench = Bench::new(5, 4, 4);
    assert_eq!(bench.pick_of_all(A, Pace::Fast, 9).len(), 4);
    assert_eq!(bench.picker.partial_pieces().count(), 1);
    bench.picker.release_peer(A);
    bench.picker.check_invariants();
    assert_eq!(bench.picker.partial_pieces().count(), 0);
    assert_eq!(bench.pick_of_all(B, Pace::Fast, 9).len(), 4);
}

#[test]
fn only_what_a_peer_has_is_asked_of_it() {
    let mut bench = Bench::new(40, 2, 4);
    let has = set(40, [0, 1, 30]);
    assert_eq!(bench.pick(A, &has, Pace::Fast, 9), [(30, 0), (30, 1)]);
    assert_eq!(bench.pick(B, &set(40, [0, 1]), Pace::Slow, 9), []);
}

#[test]
fn a_piece_that_is_not_pickable_is_neither_asked_for_nor_interesting() {
    let layout = Layout::uniform(10 * u64::from(BLOCK_LENGTH), BLOCK_LENGTH).unwrap();
    let is_known = |piece: PieceIndex| piece.0 != 3;
    let rng = Rng::from_number(1);
    let mut picker = PiecePicker::new(Arc::new(layout), &Bitfield::empty(10), is_known, rng);
    let mut out = Vec::new();
    picker.pick(Instant::ZERO, A, &Bitfield::full(10), Pace::Fast, 100, &mut out);
    assert_eq!(out.len(), 9);
    assert!(!out.contains(&address(3, 0)));
    assert_eq!(picker.wanted_of(&set(10, [3])), 0);
    assert_eq!(picker.wanted_of(&set(10, [2, 3])), 1);
}

#[test]
fn at_the_end_two_peers_are_asked_for_a_block_and_the_slower_is_cancelled() {
    let mut bench = Bench::new(5, 2, 4);
    assert_eq!(bench.pick_of_all(A, Pace::Fast, 9), [(4, 0), (4, 1)]);
    assert_eq!(bench.pick_of_all(B, Pace::Fast, 1), [(4, 1)], "what the other would come to last");
    assert_eq!(bench.pick_of_all(B, Pace::Fast, 9), [(4, 0)]);
    assert_eq!(bench.pick_of_all(C, Pace::Fast, 9), [], "two owners are enough");
    assert_eq!(bench.receive((4, 1), B), new(false, Some(A)));
    assert_eq!(bench.receive((4, 1), A), Received::Duplicate);
    assert_eq!(bench.receive((4, 0), A), new(true, Some(B)));
    assert_eq!(bench.picker.outstanding(B), 0);
}

#[test]
fn the_most_overdue_peer_is_helped_first_at_the_end() {
    let mut bench = Bench::new(6, 1, 4);
    let early = bench.pick_of_all(A, Pace::Fast, 1);
    bench.now += Duration::from_secs(1);
    let late = bench.pick_of_all(B, Pace::Fast, 1);
    assert_eq!(bench.pick_of_all(C, Pace::Fast, 9), [early, late].concat());
}

#[test]
fn a_peer_with_enough_to_do_is_not_asked_for_what_others_were_asked_for() {
    let mut bench = Bench::new(6, 8, 4);
    assert_eq!(bench.pick_of_all(A, Pace::Fast, 8).len(), 8);
    assert_eq!(bench.pick_of_all(B, Pace::Fast, 16).len(), 8, "only the second piece");
    bench.picker.release_peer(A);
    bench.pick_of_all(C, Pace::Fast, 8);
    assert_eq!(bench.pick_of_all(B, Pace::Fast, 16), []);
}

#[test]
fn before_the_end_only_late_blocks_are_asked_for_twice() {
    let mut bench = Bench::new(40, 2, 4);
    bench.picker.on_bitfield(&Bitfield::full(40));
    let has = set(40, [9]);
    assert_eq!(bench.pick(A, &has, Pace::Fast, 2), [(9, 0), (9, 1)]);
    assert_eq!(bench.pick(B, &has, Pace::Fast, 2), []);
    bench.now += Duration::from_secs(11);
    assert_eq!(bench.pick(B, &has, Pace::Fast, 2), [(9, 1), (9, 0)]);
}

#[test]
fn a_late_block_is_asked_of_others_and_still_welcome() {
    let mut bench = Bench::new(40, 2, 4);
    let has = set(40, [9]);
    bench.picker.on_bitfield(&Bitfield::full(40));
    bench.pick(A, &has, Pace::Fast, 2);
    bench.picker.mark_late(address(9, 0), A);
    assert_eq!(bench.pick(B, &has, Pace::Fast, 2), [(9, 0)]);
    assert_eq!(bench.pick(A, &has, Pace::Snubbed, 2), [], "another was asked for it since");
    assert_eq!(bench.receive((9, 0), A), new(false, Some(B)));
    assert_eq!(bench.receive((9, 1), A), new(true, None));
}

#[test]
fn two_late_peers_do_not_keep_a_block_from_a_third() {
    let mut bench = Bench::new(40, 1, 4);
    let has = set(40, [9]);
    for peer in [A, B] {
        assert_eq!(bench.pick(peer, &has, Pace::Fast, 1), [(9, 0)]);
        bench.picker.mark_late(address(9, 0), peer);
    }
    assert_eq!(bench.pick(C, &has, Pace::Fast, 1), [(9, 0)]);
    assert_eq!(bench.receive((9, 0), C), new(true, Some(A)));
}

#[test]
fn a_peer_is_asked_again_for_what_it_was_late_with_when_it_has_nothing_else() {
    let mut bench = Bench::new(40, 2, 4);
    bench.picker.on_bitfield(&set(40, [9, 10]));
    let late = bench.pick(A, &set(40, [9]), Pace::Fast, 2);
    late.iter().for_each(|(piece, block)| bench.picker.mark_late(address(*piece, *block), A));
    assert_eq!(bench.pick(A, &set(40, [9, 10]), Pace::Snubbed, 2), [(10, 0), (10, 1)]);
    assert_eq!(bench.pick(A, &set(40, [9, 10]), Pace::Snubbed, 9), late);
    assert_eq!(bench.receive(late[0], A), new(false, None));
    assert_eq!(bench.receive(late[1], A), new(true, None));
}

#[test]
fn a_block_that_two_have_not_sent_is_for_whoever_has_nothing_else_to_send() {
    let mut bench = Bench::new(5, 1, 4);
    assert_eq!(bench.pick_of_all(A, Pace::Fast, 1), [(4, 0)]);
    bench.picker.mark_late(address(4, 0), A);
    assert_eq!(bench.pick_of_all(B, Pace::Snubbed, 1), [(4, 0)]);
    assert_eq!(bench.pick_of_all(C, Pace::Fast, 1), [(4, 0)]);
    assert_eq!(bench.receive((4, 0), A), Received::Unwanted, "it had its time");
    assert_eq!(bench.receive((4, 0), C), new(true, Some(B)));
}

#[test]
fn a_snubbed_peer_is_not_the_second_to_be_asked_for_a_block() {
    let mut bench = Bench::new(5, 1, 4);
    assert_eq!(bench.pick_of_all(A, Pace::Fast, 1), [(4, 0)]);
    assert_eq!(bench.pick_of_all(B, Pace::Snubbed, 1), []);
    assert_eq!(bench.pick_of_all(C, Pace::Fast, 1), [(4, 0)]);
}

#[test]
fn a_failed_piece_is_fetched_by_one_peer_alone() {
    let mut bench = Bench::new(5, 4, 4);
    bench.picker.on_bitfield(&Bitfield::full(5));
    for block in bench.pick_of_all(A, Pace::Fast, 4) {
        bench.receive(block, A);
    }
    bench.picker.mark_failed(PieceIndex(4));
    assert_eq!(bench.picker.wanted_of(&set(5, [4])), 1);
    assert_eq!(bench.pick_of_all(B, Pace::Slow, 1), [(4, 0)]);
    assert_eq!(bench.pick_of_all(C, Pace::Slow, 9), []);
    bench.receive((4, 0), B);
    assert_eq!(bench.pick_of_all(C, Pace::Slow, 1), [(4, 1)], "its peer has stopped");
}

#[test]
fn a_failed_piece_is_left_to_its_peer_at_the_end_until_that_is_late() {
    let mut bench = Bench::new(5, 2, 4);
    for block in bench.pick_of_all(A, Pace::Fast, 2) {
        bench.receive(block, A);
    }
    bench.picker.mark_failed(PieceIndex(4));
    assert_eq!(bench.pick_of_all(B, Pace::Fast, 2), [(4, 0), (4, 1)]);
    assert_eq!(bench.pick_of_all(C, Pace::Fast, 2), [], "C might be the one who spoils it");
    bench.now += Duration::from_secs(11);
    assert_eq!(bench.pick_of_all(C, Pace::Fast, 2), [(4, 1), (4, 0)]);
}

#[test]
fn a_failed_piece_is_shared_with_the_idle_when_its_peer_has_had_it_for_long_enough() {
    let mut bench = Bench::new(5, 100, 4);
    for (who, seconds) in [(A, 20), (B, 40), (A, 80)] {
        for block in bench.pick_of_all(who, Pace::Fast, 100) {
            bench.receive(block, who);
        }
        bench.picker.mark_failed(PieceIndex(4));
        assert_eq!(bench.pick_of_all(B, Pace::Slow, 1), [(4, 0)]);
        // It delivers, a block a second.
        for second in 1..seconds {
            bench.now += Duration::from_secs(1);
            bench.receive((4, second - 1), B);
            assert_eq!(bench.pick_of_all(B, Pace::Slow, 1), [(4, second)]);
            assert_eq!(bench.pick_of_all(C, Pace::Fast, 1), []);
        }
        bench.now += Duration::from_secs(1);
        assert_eq!(bench.pick_of_all(C, Pace::Snubbed, 1), []);
        assert_eq!(bench.pick_of_all(C, Pace::Fast, 2), [(4, seconds), (4, seconds + 1)]);
        for block in seconds - 1..seconds + 2 {
            bench.receive((4, block), if block < seconds { B } else { C });
        }
    }
}

#[test]
fn what_was_not_asked_for_is_not_wanted() {
    let mut bench = Bench::new(6, 2, 4);
    let blocks = bench.pick_of_all(A, Pace::Fast, 2);
    let other = if blocks[0].0 == 4 { 5 } else { 4 };
    assert_eq!(bench.receive(blocks[0], B), Received::Unwanted);
    assert_eq!(bench.receive((other, 0), A), Received::Unwanted);
    assert_eq!(bench.receive((0, 0), A), Received::Duplicate, "had already");
    for impossible in [(4, 2), (4, u32::MAX), (6, 0), (u32::MAX, u32::MAX)] {
        assert_eq!(bench.receive(impossible, A), Received::Unwanted);
    }
    bench.picker.mark_unrequested(address(blocks[0].0, blocks[0].1), A);
    assert_eq!(bench.receive(blocks[0], A), Received::Unwanted);
}

#[test]
fn a_piece_goes_from_missing_to_had() {
    let layout = Layout::uniform(3 * u64::from(BLOCK_LENGTH) + 5, 2 * BLOCK_LENGTH).unwrap();
    let mut bench = Bench::with_layout(layout, 1, 1);
    assert_eq!(bench.pick_of_all(A, Pace::Fast, 9), [(1, 0), (1, 1)]);
    bench.receive((1, 1), A);
    let partial = |received, is_verifying| PartialPiece { piece: PieceIndex(1), received, is_verifying };
    assert!(bench.picker.partial_pieces().eq([partial(5, false)]));
    assert_eq!(bench.receive((1, 0), A), new(true, None));
    assert!(bench.picker.partial_pieces().eq([partial(u64::from(BLOCK_LENGTH) + 5, true)]));
    assert!(!bench.picker.is_complete());
    bench.picker.mark_verified(PieceIndex(1));
    bench.picker.check_invariants();
    assert!(bench.picker.is_complete());
    assert_eq!(bench.picker.wanted_of(&Bitfield::full(2)), 0);
}

#[test]
fn copies_are_whole_ones_and_the_share_that_has_one_more() {
    let mut bench = Bench::new(4, 1, 0);
    assert_eq!(bench.picker.copies(), 0.0);
    assert_eq!(bench.picker.missing_from_all(), 4);
    bench.picker.on_bitfield(&set(4, [0, 1, 2]));
    assert_eq!(bench.picker.copies(), 0.75);
    assert_eq!(bench.picker.missing_from_all(), 1);
    bench.picker.on_bitfield(&Bitfield::full(4));
    assert_eq!(bench.picker.copies(), 1.75);
    assert!(bench.picker.has_copy());
    bench.picker.on_bitfield_gone(&Bitfield::full(4));
    assert!(!bench.picker.has_copy());
    bench.picker.on_bitfield(&Bitfield::full(4));
    assert_eq!(bench.picker.missing_from_all(), 0);
}

#[test]
fn of_the_rarest_pieces_the_suggested_one_is_opened() {
    for piece in 4..40 {
        let mut bench = Bench::new(40, 1, 4);
        bench.picker.on_bitfield(&Bitfield::full(40));
        bench.picker.on_suggested(A, PieceIndex(piece));
        assert_eq!(bench.pick_of_all(A, Pace::Fast, 1), [(piece, 0)]);
    }
}

#[test]
fn a_suggestion_does_not_go_before_rarer_pieces_nor_beyond_what_the_peer_has() {
    let mut bench = Bench::new(40, 1, 4);
    bench.picker.on_bitfield(&Bitfield::full(40));
    bench.picker.on_bitfield(&set(40, 0..39));
    bench.picker.on_suggested(A, PieceIndex(7));
    assert_eq!(bench.pick_of_all(A, Pace::Fast, 1), [(39, 0)], "all but one are more common");
    bench.picker.on_suggested(B, PieceIndex(9));
    bench.picker.on_suggested(B, PieceIndex(2));
    assert_eq!(
        bench.pick(B, &set(40, [20]), Pace::Fast, 1),
        [(20, 0)],
        "it lacks the one, we have the other"
    );
}

#[test]
fn only_so_many_suggestions_are_kept() {
    let mut bench = Bench::new(400, 1, 4);
    bench.picker.on_bitfield(&Bitfield::full(400));
    (4..400).for_each(|piece| bench.picker.on_suggested(A, PieceIndex(piece)));
    let picked = bench.pick_of_all(A, Pace::Fast, 16);
    assert!(picked.iter().all(|(piece, _)| *piece >= 384), "{picked:?}");
    bench.picker.on_suggested(B, PieceIndex(100));
    bench.picker.release_peer(B);
    assert!(!bench.picker.suggested.contains_key(&B));
}

#[test]
fn a_very_fast_peer_works_on_several_long_pieces_a_run_of_each_in_turn() {
    let mut bench = Bench::new(8, 64, 0);
    let asked = bench.pick_of_all(A, Pace::Abreast(3), 96);
    let runs: Vec<&[(u32, u32)]> = asked.chunks(16).collect();
    for run in &runs {
        assert!(run.iter().all(|block| block.0 == run[0].0), "{run:?}");
        assert!(run.is_sorted(), "{run:?}");
    }
    let starts = |runs: &[&[(u32, u32)]]| runs.iter().map(|run| run[0]).collect::<Vec<_>>();
    let (mut first, mut second) = (starts(&runs[..3]), starts(&runs[3..]));
    first.sort_unstable();
    second.sort_unstable();
    let pieces: Vec<u32> = first.iter().map(|start| start.0).collect();
    assert!(pieces.is_sorted_by(|a, b| a < b), "{pieces:?}");
    assert_eq!(first, pieces.iter().map(|piece| (*piece, 0)).collect::<Vec<_>>());
    assert_eq!(second, pieces.iter().map(|piece| (*piece, 16)).collect::<Vec<_>>());
    // Slower again, it finishes what it has begun.
    let mut rest = bench.pick_of_all(A, Pace::Fast, 96);
    assert!(rest.iter().all(|block| pieces.contains(&block.0)), "{rest:?}");
    // What it leaves is gone on with by others.
    bench.picker.release_peer(A);
    assert_eq!(bench.picker.partial_pieces().count(), 0);
    rest = bench.pick_of_all(B, Pace::Abreast(9), 8 * 64);
    assert_eq!(rest.len(), 8 * 64, "all of it in the end");
}

#[test]
fn short_pieces_are_opened_in_stretches_of_256_kib_where_none_is_rarer() {
    let mut bench = Bench::new(256, 1, 0);
    let picked: Vec<u32> =
        (0..64).flat_map(|_| bench.pick_of_all(A, Pace::Fast, 1)).map(|(piece, _)| piece).collect();
    for stretch in picked.chunks(16) {
        let first = stretch[0] - stretch[0] % 16;
        assert_eq!(stretch, (first..first + 16).collect::<Vec<_>>());
    }
    let starts: Vec<u32> = picked.iter().step_by(16).copied().collect();
    assert!(!starts.is_sorted(), "the stretches come at random: {starts:?}");
    // A rare piece goes before its neighbours.
    let rare = (0..256).rfind(|piece| !picked.contains(piece)).unwrap();
    bench.picker.on_bitfield(&set(256, (0..256).filter(|piece| *piece != rare)));
    for piece in picked.iter().take(4) {
        bench.receive((*piece, 0), A);
        bench.picker.mark_verified(PieceIndex(*piece));
    }
    assert_eq!(bench.pick_of_all(A, Pace::Fast, 1), [(rare, 0)]);
}
