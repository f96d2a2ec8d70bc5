//! Digests of single short messages: info-hashes, merkle nodes, tokens.
//!
//! Payload is hashed by [`hashing`](crate::hashing), which can do many messages at once.

use sha1::Digest as _;

use super::hash::{Sha1Hash, Sha256Hash};

/// SHA-1 of `message`.
pub fn sha1(message: &[u8]) -> Sha1Hash {
    Sha1Hash(sha1::Sha1::digest(message).into())
}

/// SHA-256 of `message`.
pub fn sha256(message: &[u8]) -> Sha256Hash {
    Sha256Hash(sha2::Sha256::digest(message).into())
}

/// SHA-256 of two hashes side by side: an inner node of a merkle tree (BEP 52).
pub fn sha256_pair(left: &Sha256Hash, right: &Sha256Hash) -> Sha256Hash {
    let mut digest = sha2::Sha256::new();
    digest.update(left.0);
    digest.update(right.0);
    Sha256Hash(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_match_the_published_vectors() {
        assert_eq!(sha1(b"abc").to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(
            sha256(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let (left, right) = (sha256(b"l"), sha256(b"r"));
        assert_eq!(sha256_pair(&left, &right), sha256(&[left.0, right.0].concat()));
    }
}
