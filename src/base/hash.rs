//! The hashes that name things: torrents and pieces.

use std::fmt;
use std::sync::Arc;

use super::index::PieceIndex;

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// Length, bytes.
            pub const LENGTH: usize = $length;

            /// The hash that `bytes` hold, if they are as many as a hash has.
            pub fn from_slice(bytes: &[u8]) -> Option<$name> {
                bytes.try_into().ok().map($name)
            }

            /// The hash written as lower- or upper-case hex digits.
            pub fn from_hex(text: &str) -> Option<$name> {
                let digits = text.as_bytes();
                if digits.len() != 2 * $length {
                    return None;
                }
                let mut bytes = [0; $length];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    let high = char::from(pair[0]).to_digit(16)?;
                    let low = char::from(pair[1]).to_digit(16)?;
                    *byte = (high * 16 + low) as u8;
                }
                Some($name(bytes))
            }
        }

        /// Lower-case hex.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

hash_type!(
    /// A SHA-1 digest.
    Sha1Hash,
    20
);
hash_type!(
    /// A SHA-256 digest.
    Sha256Hash,
    32
);

/// A torrent's identity: the hashes of its `info` dictionary's raw bytes.
///
/// A v1 torrent has the first, a v2 torrent the second, a hybrid both, and it is found by either (BEP 52).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InfoHashes {
    /// SHA-1 (BEP 3).
    pub v1: Option<Sha1Hash>,
    /// SHA-256 (BEP 52).
    pub v2: Option<Sha256Hash>,
}

impl InfoHashes {
    /// The hash that handshakes, trackers and the DHT use: v1, or else v2 cut to 20 bytes.
    pub fn wire(&self) -> Sha1Hash {
        self.v1.or_else(|| self.v2.map(truncated)).unwrap_or_default()
    }

    /// Whether `hash`, as it stands in a handshake, names this torrent.
    pub fn matches(&self, hash: Sha1Hash) -> bool {
        self.v1 == Some(hash) || self.v2.map(truncated) == Some(hash)
    }
}

fn truncated(hash: Sha256Hash) -> Sha1Hash {
    let mut short = [0; Sha1Hash::LENGTH];
    short.copy_from_slice(&hash.0[..Sha1Hash::LENGTH]);
    Sha1Hash(short)
}

/// What a piece must hash to before it counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PieceHash {
    /// SHA-1 of the piece (BEP 3).
    V1(Sha1Hash),
    /// Root of the merkle tree over the piece's blocks (BEP 52).
    V2(Sha256Hash),
    /// A hybrid's: the piece must pass both.
    Both(Sha1Hash, Sha256Hash),
    /// Not known yet (v2 without its piece layer): such a piece is not picked.
    Unknown,
}

/// The hashes of all pieces of a torrent, cheap to share.
#[derive(Clone)]
pub struct PieceHashes {
    v1: Arc<[Sha1Hash]>,
}

impl PieceHashes {
    /// One SHA-1 a piece, in order.
    pub fn v1(hashes: Vec<Sha1Hash>) -> PieceHashes {
        PieceHashes { v1: hashes.into() }
    }

    /// How many pieces have a known hash.
    pub fn len(&self) -> usize {
        self.v1.len()
    }

    /// Whether no piece has a known hash.
    pub fn is_empty(&self) -> bool {
        self.v1.is_empty()
    }

    /// The hash of `piece`; [`PieceHash::Unknown`] beyond what is known.
    pub fn of(&self, piece: PieceIndex) -> PieceHash {
        self.v1.get(piece.index()).map_or(PieceHash::Unknown, |hash| PieceHash::V1(*hash))
    }
}

impl fmt::Debug for PieceHashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} piece hashes", self.v1.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_back_as_it_was_written() {
        let hash = Sha1Hash(*b"0123456789abcdefghij");
        assert_eq!(Sha1Hash::from_hex(&hash.to_string()), Some(hash));
        assert_eq!(Sha1Hash::from_hex("30"), None);
        assert_eq!(Sha1Hash::from_hex(&"zz".repeat(20)), None);
        assert_eq!(Sha1Hash::from_hex(&"é".repeat(20)), None);
    }

    #[test]
    fn a_hybrid_is_found_by_either_hash() {
        let hashes = InfoHashes { v1: Some(Sha1Hash([1; 20])), v2: Some(Sha256Hash([2; 32])) };
        assert!(hashes.matches(Sha1Hash([1; 20])));
        assert!(hashes.matches(Sha1Hash([2; 20])));
        assert!(!hashes.matches(Sha1Hash([3; 20])));
        assert_eq!(InfoHashes { v1: None, ..hashes }.wire(), Sha1Hash([2; 20]));
    }
}
