//! A message that is not complete yet: the state between its blocks, and what does not fill one yet.
//!
//! The same for SHA-1 and SHA-256, which differ in the words of their state only: five or eight.

use super::kernel::{Block, Compress};

/// Between two blocks of a message, or inside one.
#[derive(Clone)]
pub(super) struct Running<const WORDS: usize> {
    pub(super) state: [u32; WORDS],
    /// As many bytes of the message's end as don't fill a block.
    pub(super) tail: Block,
    /// Bytes so far.
    pub(super) length: u64,
}

impl Running<5> {
    /// The empty message.
    pub(super) const SHA1: Running<5> = Running {
        state: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0],
        tail: [0; 64],
        length: 0,
    };
}

impl Running<8> {
    /// The empty message.
    pub(super) const SHA256: Running<8> = Running {
        state: [
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ],
        tail: [0; 64],
        length: 0,
    };
}

impl<const WORDS: usize> Running<WORDS> {
    /// Bytes in the tail.
    pub(super) fn in_tail(&self) -> usize {
        (self.length % 64) as usize
    }

    /// The digest's words.
    pub(super) fn finish(mut self, compress: Compress<WORDS>) -> [u32; WORDS] {
        let (in_tail, padding) = (self.in_tail(), Padding::of(self.length));
        let end = in_tail + padding.bytes().len();
        let mut last = [0; 128];
        last[..in_tail].copy_from_slice(&self.tail[..in_tail]);
        last[in_tail..end].copy_from_slice(padding.bytes());
        let blocks = last[..end].as_chunks().0;
        compress(std::slice::from_mut(&mut self.state), &[blocks], blocks.len());
        self.state
    }
}

/// What follows a message's last byte: a one, zeros up to the end of a block but eight bytes, and the
/// message's length in bits.
pub(super) struct Padding {
    bytes: [u8; 72],
    length: usize,
}

impl Padding {
    /// For a message of so many bytes.
    pub(super) fn of(length: u64) -> Padding {
        let mut bytes = [0; 72];
        let end = 9 + (64 - (length + 9) % 64) as usize % 64;
        bytes[0] = 0x80;
        // Modulo 2^64, as the standard has it.
        bytes[end - 8..end].copy_from_slice(&length.wrapping_mul(8).to_be_bytes());
        Padding { bytes, length: end }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A digest as it is written: its words, most significant byte first.
pub(super) fn to_bytes<const WORDS: usize, const BYTES: usize>(words: [u32; WORDS]) -> [u8; BYTES] {
    const { assert!(4 * WORDS == BYTES) };
    let mut bytes = [0; BYTES];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    bytes
}
