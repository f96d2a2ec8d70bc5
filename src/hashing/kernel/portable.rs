//! One message at a time, with the crates `sha1` and `sha2`: for every processor, and what the other kernels
//! are compared with.

use super::{Block, Functions};

/// For every processor.
pub(super) fn functions() -> Functions {
    Functions { sha1, sha256 }
}

fn sha1(states: &mut [[u32; 5]], data: &[&[Block]], count: usize) {
    for (state, data) in states.iter_mut().zip(data) {
        sha1::block_api::compress(state, &data[..count]);
    }
}

fn sha256(states: &mut [[u32; 8]], data: &[&[Block]], count: usize) {
    for (state, data) in states.iter_mut().zip(data) {
        sha2::block_api::compress256(state, &data[..count]);
    }
}
