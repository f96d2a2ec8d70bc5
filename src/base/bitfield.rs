//! A set of pieces in the order of the wire (BEP 3): the first piece is the highest bit of the first byte.

use super::index::PieceIndex;

/// A set of pieces of a torrent with a fixed number of pieces.
///
/// Invariant: bits at and beyond `len` are zero, so counting and comparing need no mask.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bitfield {
    words: Vec<u64>,
    len: u32,
    ones: u32,
}

/// Why the bytes of a `bitfield` message were refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a bitfield of {got} bytes where {expected} were due")]
pub struct BitfieldError {
    /// Bytes received.
    pub got: usize,
    /// Bytes that a torrent of this many pieces has.
    pub expected: usize,
}

impl Bitfield {
    /// The empty set of `len` pieces.
    pub fn empty(len: u32) -> Bitfield {
        Bitfield { words: vec![0; (len as usize).div_ceil(64)], len, ones: 0 }
    }

    /// The set of all `len` pieces.
    pub fn full(len: u32) -> Bitfield {
        let mut all = Bitfield { words: vec![u64::MAX; (len as usize).div_ceil(64)], len, ones: len };
        all.clear_spare();
        all
    }

    /// The set that a `bitfield` message of a torrent with `len` pieces carries. Spare bits are ignored:
    /// some clients set them.
    pub fn from_wire(bytes: &[u8], len: u32) -> Result<Bitfield, BitfieldError> {
        let expected = (len as usize).div_ceil(8);
        if bytes.len() != expected {
            return Err(BitfieldError { got: bytes.len(), expected });
        }
        let word = |chunk: &[u8]| {
            let mut padded = [0; 8];
            padded[..chunk.len()].copy_from_slice(chunk);
            u64::from_be_bytes(padded)
        };
        let mut set = Bitfield { words: bytes.chunks(8).map(word).collect(), len, ones: 0 };
        set.clear_spare();
        set.ones = set.words.iter().map(|word| word.count_ones()).sum();
        Ok(set)
    }

    /// The bytes of a `bitfield` message, spare bits zero.
    pub fn to_wire(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.truncate((self.len as usize).div_ceil(8));
        bytes
    }

    /// How many pieces the torrent has.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// How many pieces are in the set.
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// Whether no piece is in the set.
    pub fn is_empty(&self) -> bool {
        self.ones == 0
    }

    /// Whether every piece is in the set.
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// Whether `piece` is in the set; false for a piece that there is not.
    pub fn has(&self, piece: PieceIndex) -> bool {
        piece.0 < self.len && self.words[piece.index() / 64] & bit(piece) != 0
    }

    /// Puts `piece` in; says whether it was new. A piece that there is not is ignored.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        let new = piece.0 < self.len && !self.has(piece);
        if new {
            self.words[piece.index() / 64] |= bit(piece);
            self.ones += 1;
        }
        new
    }

    /// Takes `piece` out; says whether it was in.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        let was_in = self.has(piece);
        if was_in {
            self.words[piece.index() / 64] &= !bit(piece);
            self.ones -= 1;
        }
        was_in
    }

    /// The pieces in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        ones(self.words.iter().copied())
    }

    /// The pieces that are here and not in `other`, ascending.
    pub fn iter_minus<'a>(&'a self, other: &'a Bitfield) -> impl Iterator<Item = PieceIndex> + 'a {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        ones(self.words.iter().copied().zip(others).map(|(word, other)| word & !other))
    }

    /// The first piece at or after `from` that is here and not in `other`.
    pub fn first_minus(&self, other: &Bitfield, from: PieceIndex) -> Option<PieceIndex> {
        if from.0 >= self.len {
            return None;
        }
        let mut kept = u64::MAX >> (from.0 % 64);
        for at in from.index() / 64..self.words.len() {
            let word = self.words[at] & !other.words.get(at).copied().unwrap_or(0) & kept;
            if word != 0 {
                return Some(PieceIndex(at as u32 * 64 + word.leading_zeros()));
            }
            kept = u64::MAX;
        }
        None
    }

    /// Whether a piece is here that is not in `other`.
    pub fn has_beyond(&self, other: &Bitfield) -> bool {
        self.first_minus(other, PieceIndex(0)).is_some()
    }

    fn clear_spare(&mut self) {
        let used = self.len % 64;
        if let Some(last) = self.words.last_mut().filter(|_| used != 0) {
            *last &= u64::MAX << (64 - used);
        }
    }
}

impl std::fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} pieces", self.ones, self.len)
    }
}

fn bit(piece: PieceIndex) -> u64 {
    1 << (63 - piece.0 % 64)
}

fn ones(words: impl Iterator<Item = u64>) -> impl Iterator<Item = PieceIndex> {
    words.enumerate().flat_map(|(at, mut word)| {
        std::iter::from_fn(move || {
            let first = word.leading_zeros();
            (first < 64).then(|| {
                word &= !(1 << (63 - first));
                PieceIndex(at as u32 * 64 + first)
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_first_piece_is_the_highest_bit() {
        let mut set = Bitfield::empty(10);
        set.insert(PieceIndex(0));
        set.insert(PieceIndex(9));
        assert_eq!(set.to_wire(), [0x80, 0x40]);
    }

    #[test]
    fn a_bitfield_of_the_wrong_size_is_refused_and_spare_bits_are_not() {
        assert!(Bitfield::from_wire(&[0xff], 9).is_err());
        assert!(Bitfield::from_wire(&[0xff, 0, 0], 9).is_err());
        let set = Bitfield::from_wire(&[0xff, 0xff], 9).unwrap();
        assert!(set.is_full());
        assert_eq!(set, Bitfield::full(9));
    }

    #[test]
    fn a_piece_out_of_range_changes_nothing() {
        let mut set = Bitfield::empty(9);
        assert!(!set.insert(PieceIndex(9)));
        assert!(!set.insert(PieceIndex(u32::MAX)));
        assert!(!set.has(PieceIndex(63)));
        assert!(set.is_empty());
        assert!(Bitfield::empty(0).is_full());
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_set(len in 0u32..300, steps in prop::collection::vec((any::<bool>(), 0u32..310), 0..80)) {
            let (mut set, mut model) = (Bitfield::empty(len), BTreeSet::new());
            for (insert, piece) in steps {
                let index = PieceIndex(piece);
                if insert && piece < len {
                    prop_assert_eq!(set.insert(index), model.insert(index));
                } else {
                    prop_assert_eq!(set.remove(index), model.remove(&index));
                }
            }
            prop_assert_eq!(set.count() as usize, model.len());
            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert_eq!(Bitfield::from_wire(&set.to_wire(), len).unwrap(), set.clone());
            let all = Bitfield::full(len);
            prop_assert_eq!(all.iter_minus(&set).count() as u32, len - set.count());
            prop_assert_eq!(all.has_beyond(&set), !set.is_full());
            for from in (0..len + 70).map(PieceIndex) {
                prop_assert_eq!(all.first_minus(&set, from), all.iter_minus(&set).find(|piece| *piece >= from));
            }
        }
    }
}
