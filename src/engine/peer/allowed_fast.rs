//! The pieces that a peer may be served while it is choked (BEP 6).
//!
//! They follow from the peer's address and the torrent alone, so that a peer that comes back, or asks many of
//! us, gains nothing. Addresses of one /24 (IPv4) or /64 (IPv6, where the BEP is silent) count as one.

use std::net::IpAddr;

use crate::base::digest;
use crate::base::hash::Sha1Hash;
use crate::base::index::PieceIndex;

/// How many pieces there are in a set, if the torrent has as many.
pub const PIECES: usize = 10;
/// Digests that are drawn from at the most.
const DRAWS: usize = 500;

/// The set for a peer at `ip`, in the order in which it is drawn; `count` is how many pieces the torrent has.
pub fn pieces(ip: IpAddr, info_hash: Sha1Hash, count: u32) -> Vec<PieceIndex> {
    if count as usize <= PIECES {
        return (0..count).map(PieceIndex).collect();
    }
    let mut drawn = network(ip);
    drawn.extend_from_slice(&info_hash.0);
    let mut pieces = Vec::with_capacity(PIECES);
    // Enough for any real set, and an end for one that would never fill.
    for _ in 0..DRAWS {
        drawn = digest::sha1(&drawn).0.to_vec();
        for number in drawn.chunks_exact(4) {
            let number = number.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
            let piece = PieceIndex(number % count);
            if pieces.len() < PIECES && !pieces.contains(&piece) {
                pieces.push(piece);
            }
        }
        if pieces.len() == PIECES {
            break;
        }
    }
    pieces
}

fn network(ip: IpAddr) -> Vec<u8> {
    match ip.to_canonical() {
        IpAddr::V4(v4) => (v4.to_bits() & 0xffff_ff00).to_be_bytes().to_vec(),
        IpAddr::V6(v6) => v6.octets()[..8].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ip: &str, count: u32) -> Vec<u32> {
        pieces(ip.parse().unwrap(), Sha1Hash([0xaa; 20]), count).into_iter().map(|piece| piece.0).collect()
    }

    #[test]
    fn the_set_is_that_of_the_published_vector() {
        let drawn = set("80.4.4.200", 1313);
        assert_eq!(drawn[..9], [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]);
        assert_eq!(drawn.len(), PIECES);
        assert_eq!(set("::ffff:80.4.4.200", 1313), drawn);
    }

    #[test]
    fn a_torrent_of_few_pieces_is_allowed_whole() {
        assert_eq!(set("80.4.4.200", 3), [0, 1, 2]);
        assert!(set("80.4.4.200", 0).is_empty());
        let mut all = set("80.4.4.200", 11);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), PIECES);
    }

    #[test]
    fn neighbours_share_a_set() {
        assert_eq!(set("80.4.4.1", 1313), set("80.4.4.200", 1313));
        assert_ne!(set("80.4.5.1", 1313), set("80.4.4.1", 1313));
        assert_eq!(set("2001:db8::1", 1313), set("2001:db8::ffff:1", 1313));
        assert_ne!(set("2001:db8:0:1::1", 1313), set("2001:db8::1", 1313));
    }
}
