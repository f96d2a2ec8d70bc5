//! 8 lanes of AVX2.
//!
//! AVX2 has no rotation and no three-way logic: three instructions each instead of one.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::rounds::{EMPTY, K1, K256, columns, lane_kernels, to_states, whole_lanes};
use super::{Block, Functions};

/// If this processor has AVX2.
pub(super) fn functions() -> Option<Functions> {
    is_x86_feature_detected!("avx2").then_some(Functions {
        // SAFETY: AVX2 was detected before this function was handed out, and there is no other way to it.
        sha1: |states, data, count| unsafe { sha1_lanes(states, data, count) },
        // SAFETY: as above.
        sha256: |states, data, count| unsafe { sha256_lanes(states, data, count) },
    })
}

lane_kernels!("avx2", 8, __m256i, ymm_reg);

#[target_feature(enable = "avx2")]
#[inline]
fn add(x: __m256i, y: __m256i) -> __m256i {
    _mm256_add_epi32(x, y)
}

#[target_feature(enable = "avx2")]
#[inline]
fn xor(x: __m256i, y: __m256i) -> __m256i {
    _mm256_xor_si256(x, y)
}

#[target_feature(enable = "avx2")]
#[inline]
fn xor3(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    xor(xor(x, y), z)
}

#[target_feature(enable = "avx2")]
#[inline]
fn choose(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    xor(_mm256_and_si256(xor(y, z), x), z)
}

#[target_feature(enable = "avx2")]
#[inline]
fn majority(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    xor(_mm256_and_si256(xor(x, y), xor(y, z)), y)
}

#[target_feature(enable = "avx2")]
#[inline]
fn splat(word: u32) -> __m256i {
    _mm256_set1_epi32(word.cast_signed())
}

/// `RIGHT` is 32 - `LEFT`.
#[target_feature(enable = "avx2")]
#[inline]
fn rotate_left<const LEFT: i32, const RIGHT: i32>(x: __m256i) -> __m256i {
    const { assert!(LEFT + RIGHT == 32) };
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(x), _mm256_srli_epi32::<RIGHT>(x))
}

#[target_feature(enable = "avx2")]
#[inline]
fn shift_right<const RIGHT: i32>(x: __m256i) -> __m256i {
    _mm256_srli_epi32::<RIGHT>(x)
}

#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn load(column: &[u32; 8]) -> __m256i {
    // SAFETY: the array is 32 readable bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(column.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn store(column: &mut [u32; 8], x: __m256i) {
    // SAFETY: the array is 32 writable bytes, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(column.as_mut_ptr().cast(), x) }
}

/// Four words of each lane's block are loaded at a time.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn load_words<const ROUND: usize>(blocks: &[&Block; 8], w: &mut [__m256i; 16]) {
    if !ROUND.is_multiple_of(4) || ROUND >= 16 {
        return;
    }
    let big_endian =
        _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203));
    // The words of two lanes, the second four on from the first: what is left is to turn 4 x 4 twice.
    let row = |lane: usize| {
        let [below, above] = [lane, lane + 4].map(|lane| {
            let bytes = &blocks[lane].as_chunks::<16>().0[ROUND / 4];
            // SAFETY: the array is 16 readable bytes, and the load needs no alignment.
            unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
        });
        _mm256_shuffle_epi8(_mm256_set_m128i(above, below), big_endian)
    };
    let rows = [row(0), row(1), row(2), row(3)];
    let low = [_mm256_unpacklo_epi32(rows[0], rows[1]), _mm256_unpacklo_epi32(rows[2], rows[3])];
    let high = [_mm256_unpackhi_epi32(rows[0], rows[1]), _mm256_unpackhi_epi32(rows[2], rows[3])];
    w[ROUND] = _mm256_unpacklo_epi64(low[0], low[1]);
    w[ROUND + 1] = _mm256_unpackhi_epi64(low[0], low[1]);
    w[ROUND + 2] = _mm256_unpacklo_epi64(high[0], high[1]);
    w[ROUND + 3] = _mm256_unpackhi_epi64(high[0], high[1]);
}
