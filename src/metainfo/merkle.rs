//! Merkle trees over 16 KiB blocks (BEP 52).
//!
//! A tree's missing leaves are zero hashes. So a node that covers only what is past a file's end has a known
//! hash, which depends on its height alone: [`pad_hash`].

use crate::base::digest::sha256_pair;
use crate::base::hash::Sha256Hash;
use crate::base::layout::BLOCK_LENGTH;

/// The root of a tree of `height` levels above its leaves, all of which are missing.
pub fn pad_hash(height: u32) -> Sha256Hash {
    (0..height).fold(Sha256Hash::default(), |hash, _| sha256_pair(&hash, &hash))
}

/// Levels between the leaves and the layer in which a node covers one piece.
///
/// `piece_length` is a power of two of at least 16 KiB, bytes.
pub fn piece_layer_height(piece_length: u32) -> u32 {
    (piece_length / BLOCK_LENGTH).checked_ilog2().unwrap_or(0)
}

/// The root over `layer`, whose nodes are `height` levels above the leaves; what is missing to a power of two
/// is padding. A layer of one node is its own root; an empty one has the hash of padding.
pub fn root(layer: &[Sha256Hash], height: u32) -> Sha256Hash {
    let mut nodes = layer.to_vec();
    let mut pad = pad_hash(height);
    while nodes.len() > 1 {
        nodes = nodes.chunks(2).map(|pair| sha256_pair(&pair[0], pair.get(1).unwrap_or(&pad))).collect();
        pad = sha256_pair(&pad, &pad);
    }
    nodes.first().copied().unwrap_or(pad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::sha256;

    #[test]
    fn missing_nodes_count_as_trees_of_zero_leaves() {
        let leaves: Vec<_> = [b"a", b"b", b"c"].iter().map(|block| sha256(*block)).collect();
        let zero = Sha256Hash::default();
        let left = sha256_pair(&leaves[0], &leaves[1]);
        let right = sha256_pair(&leaves[2], &zero);
        assert_eq!(root(&leaves, 0), sha256_pair(&left, &right));
        assert_eq!(root(&[left, right], 1), root(&leaves, 0));

        let three = [left, right, left];
        let padded = [left, right, left, sha256_pair(&zero, &zero)];
        assert_eq!(root(&three, 1), root(&padded, 1));
        assert_eq!(root(&leaves[..1], 0), leaves[0]);
        assert_eq!(root(&[], 2), pad_hash(2));
    }

    #[test]
    fn a_piece_of_one_block_is_a_leaf() {
        assert_eq!(piece_layer_height(16 * 1024), 0);
        assert_eq!(piece_layer_height(1024 * 1024), 6);
    }
}
