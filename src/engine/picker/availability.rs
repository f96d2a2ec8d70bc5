//! How many connected peers have each piece, and which missing piece is the rarest.
//!
//! The missing pieces stand in buckets by the number of peers that have them, so that one more or one less
//! is a move in O(1). Peers that have everything are one number, which holds for all pieces at once: a
//! seed that joins or leaves costs nothing.

use crate::base::bitfield::Bitfield;
use crate::base::index::PieceIndex;
use crate::base::random::Rng;

/// Pieces looked at in the buckets for one that a peer has. A peer that has little would make us look at
/// all of them; past this its own bitfield is the shorter list.
const PROBES: usize = 256;
/// Pieces of a peer's bitfield of which the rarest is then taken.
const SAMPLE: usize = 256;

/// Not in a bucket.
const NOWHERE: u32 = u32::MAX;

/// From which end the buckets are searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rarity {
    RarestFirst,
    CommonFirst,
}

pub(super) struct Availability {
    /// Peers that have a piece, seeds left out.
    counts: Vec<u32>,
    /// How many pieces have each of these counts.
    by_count: Vec<u32>,
    /// Peers that have everything.
    seeds: u32,
    /// Missing pieces by `counts`.
    buckets: Vec<Vec<PieceIndex>>,
    /// Where a missing piece stands in its bucket; [`NOWHERE`] for the others.
    places: Vec<u32>,
    /// Missing pieces.
    listed: usize,
}

impl Availability {
    pub(super) fn new(pieces: u32) -> Availability {
        Availability {
            counts: vec![0; pieces as usize],
            by_count: vec![pieces],
            seeds: 0,
            buckets: Vec::new(),
            places: vec![NOWHERE; pieces as usize],
            listed: 0,
        }
    }

    pub(super) fn of(&self, piece: PieceIndex) -> u32 {
        self.counts.get(piece.index()).map_or(0, |count| count + self.seeds)
    }

    pub(super) fn has_seed(&self) -> bool {
        self.seeds > 0
    }

    /// Missing pieces that some peer has.
    pub(super) fn obtainable(&self) -> usize {
        let nowhere = if self.seeds > 0 { 0 } else { self.buckets.first().map_or(0, Vec::len) };
        self.listed - nowhere
    }

    /// Whole copies, and the share of pieces that have one more.
    pub(super) fn copies(&self) -> f32 {
        let Some(least) = self.by_count.iter().position(|pieces| *pieces > 0) else { return 0.0 };
        let above = self.counts.len() - self.by_count[least] as usize;
        (least as u32 + self.seeds) as f32 + above as f32 / self.counts.len() as f32
    }

    /// Pieces that nobody has.
    pub(super) fn nowhere(&self) -> u32 {
        if self.seeds > 0 { 0 } else { self.by_count[0] }
    }

    pub(super) fn add(&mut self, piece: PieceIndex) {
        if piece.index() < self.counts.len() {
            self.recount(piece, self.counts[piece.index()] + 1);
        }
    }

    /// One peer less has `piece`. When nobody but seeds has it, one of these stops to be one, and is counted
    /// by piece from here on: the sums stay exact, whoever it was.
    pub(super) fn subtract(&mut self, piece: PieceIndex) {
        if piece.index() >= self.counts.len() {
            return;
        }
        if self.counts[piece.index()] == 0 && self.seeds > 0 {
            self.seeds -= 1;
            self.counts.iter_mut().for_each(|count| *count += 1);
            self.buckets.insert(0, Vec::new());
            self.by_count.insert(0, 0);
        }
        let count = self.counts[piece.index()];
        debug_assert!(count > 0, "{piece:?} is taken from a peer that nobody said had it");
        self.recount(piece, count.saturating_sub(1));
    }

    pub(super) fn add_all(&mut self, set: &Bitfield) {
        if set.is_full() {
            self.seeds += 1;
        } else {
            set.iter().for_each(|piece| self.add(piece));
        }
    }

    /// A peer that has `set` is gone. Whether its pieces came as a bitfield or one by one makes no
    /// difference: a full set is one more of every piece, however it is written down.
    pub(super) fn subtract_all(&mut self, set: &Bitfield) {
        if set.is_full() && self.seeds > 0 {
            self.seeds -= 1;
        } else {
            set.iter().for_each(|piece| self.subtract(piece));
        }
    }

    /// `piece` is missing: it may be opened.
    pub(super) fn list(&mut self, piece: PieceIndex) {
        let bucket = self.counts[piece.index()] as usize;
        if self.buckets.len() <= bucket {
            self.buckets.resize_with(bucket + 1, Vec::new);
        }
        self.places[piece.index()] = self.buckets[bucket].len() as u32;
        self.buckets[bucket].push(piece);
        self.listed += 1;
    }

    /// `piece` is not missing any more.
    pub(super) fn unlist(&mut self, piece: PieceIndex) {
        let place = std::mem::replace(&mut self.places[piece.index()], NOWHERE);
        if place == NOWHERE {
            return;
        }
        let bucket = &mut self.buckets[self.counts[piece.index()] as usize];
        bucket.swap_remove(place as usize);
        if let Some(moved) = bucket.get(place as usize) {
            self.places[moved.index()] = place;
        }
        self.listed -= 1;
    }

    fn recount(&mut self, piece: PieceIndex, count: u32) {
        let is_listed = self.places[piece.index()] != NOWHERE;
        if is_listed {
            self.unlist(piece);
        }
        let before = std::mem::replace(&mut self.counts[piece.index()], count);
        self.by_count[before as usize] -= 1;
        if self.by_count.len() <= count as usize {
            self.by_count.resize(count as usize + 1, 0);
        }
        self.by_count[count as usize] += 1;
        if is_listed {
            self.list(piece);
        }
    }

    /// The rarest (or most common) missing piece in `peer_has`, at random among equals. `closed` are the
    /// pieces that are not missing. Exact as long as few pieces need looking at; else the best of a sample.
    pub(super) fn choose(
        &self,
        rarity: Rarity,
        peer_has: &Bitfield,
        closed: &Bitfield,
        rng: &mut Rng,
    ) -> Option<PieceIndex> {
        let mut probes = PROBES;
        for at in 0..self.buckets.len() {
            let bucket = match rarity {
                Rarity::RarestFirst => &self.buckets[at],
                Rarity::CommonFirst => &self.buckets[self.buckets.len() - 1 - at],
            };
            let (before, after) = bucket.split_at(rng.below(bucket.len()));
            for piece in after.iter().chain(before) {
                if peer_has.has(*piece) {
                    return Some(*piece);
                }
                probes -= 1;
                if probes == 0 {
                    return self.choose_from_sample(rarity, peer_has, closed, rng);
                }
            }
        }
        None
    }

    /// Any missing piece in `peer_has`.
    pub(super) fn choose_any(
        &self,
        peer_has: &Bitfield,
        closed: &Bitfield,
        rng: &mut Rng,
    ) -> Option<PieceIndex> {
        self.sample(peer_has, closed, rng).next()
    }

    fn choose_from_sample(
        &self,
        rarity: Rarity,
        peer_has: &Bitfield,
        closed: &Bitfield,
        rng: &mut Rng,
    ) -> Option<PieceIndex> {
        let sample = self.sample(peer_has, closed, rng).take(SAMPLE);
        match rarity {
            Rarity::RarestFirst => sample.min_by_key(|piece| self.counts[piece.index()]),
            Rarity::CommonFirst => sample.max_by_key(|piece| self.counts[piece.index()]),
        }
    }

    /// The missing pieces in `peer_has`, once round from a random one.
    fn sample<'a>(
        &self,
        peer_has: &'a Bitfield,
        closed: &'a Bitfield,
        rng: &mut Rng,
    ) -> impl Iterator<Item = PieceIndex> + use<'a> {
        let start = PieceIndex(rng.below(self.counts.len()) as u32);
        let from = |start| {
            let first = peer_has.first_minus(closed, start);
            std::iter::successors(first, |last| peer_has.first_minus(closed, PieceIndex(last.0 + 1)))
        };
        from(start).chain(from(PieceIndex(0)).take_while(move |piece| *piece < start))
    }

    /// Panics when the buckets do not hold exactly the pieces that `is_missing` names.
    pub(super) fn check_invariants(&self, is_missing: impl Fn(PieceIndex) -> bool) {
        let mut listed = 0;
        for (at, count) in self.counts.iter().enumerate() {
            let (piece, place) = (PieceIndex(at as u32), self.places[at]);
            assert_eq!(place != NOWHERE, is_missing(piece), "{piece:?} is listed exactly when missing");
            if place != NOWHERE {
                let found = self.buckets[*count as usize].get(place as usize);
                assert_eq!(found, Some(&piece), "{piece:?} is in the bucket of its count");
                listed += 1;
            }
        }
        let mut by_count = vec![0; self.by_count.len()];
        self.counts.iter().for_each(|count| by_count[*count as usize] += 1);
        assert_eq!(self.by_count, by_count, "as many pieces have each count");
        assert_eq!(self.listed, listed, "the count of missing pieces is right");
        assert_eq!(self.buckets.iter().map(Vec::len).sum::<usize>(), listed, "no piece is listed twice");
    }
}
