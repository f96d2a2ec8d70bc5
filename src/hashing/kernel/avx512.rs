//! 16 lanes of AVX-512.
//!
//! A lane's block is one vector, so the blocks of all lanes are turned by 16 x 16 words.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::rounds::{EMPTY, K1, K256, columns, lane_kernels, to_states, whole_lanes};
use super::{Block, Functions};

/// If this processor has AVX-512F and AVX-512BW, and what these imply to the compiler, which may use it too.
pub(super) fn functions() -> Option<Functions> {
    let is_there = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    is_there.then_some(Functions {
        // SAFETY: what it needs was detected before this function was handed out, and there is no other way
        // to it.
        sha1: |states, data, count| unsafe { sha1_lanes(states, data, count) },
        // SAFETY: as above.
        sha256: |states, data, count| unsafe { sha256_lanes(states, data, count) },
    })
}

lane_kernels!("avx512f,avx512bw", 16, __m512i, zmm_reg);

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn add(x: __m512i, y: __m512i) -> __m512i {
    _mm512_add_epi32(x, y)
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn xor(x: __m512i, y: __m512i) -> __m512i {
    _mm512_xor_si512(x, y)
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn xor3(x: __m512i, y: __m512i, z: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0x96>(x, y, z)
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn choose(x: __m512i, y: __m512i, z: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xca>(x, y, z)
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn majority(x: __m512i, y: __m512i, z: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xe8>(x, y, z)
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn splat(word: u32) -> __m512i {
    _mm512_set1_epi32(word.cast_signed())
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn rotate_left<const LEFT: i32, const RIGHT: i32>(x: __m512i) -> __m512i {
    const { assert!(LEFT + RIGHT == 32) };
    _mm512_rol_epi32::<LEFT>(x)
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn shift_right<const RIGHT: u32>(x: __m512i) -> __m512i {
    _mm512_srli_epi32::<RIGHT>(x)
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn load(column: &[u32; 16]) -> __m512i {
    // SAFETY: the array is 64 readable bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(column.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn store(column: &mut [u32; 16], x: __m512i) {
    // SAFETY: the array is 64 writable bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(column.as_mut_ptr().cast(), x) }
}

/// Half of two lanes' blocks.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn row(below: &Block, above: &Block, half: usize) -> __m512i {
    let big_endian = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203));
    let [below, above] = [below, above].map(|block| {
        let bytes = &block.as_chunks::<32>().0[half];
        // SAFETY: the array is 32 readable bytes, and the load needs no alignment.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    });
    _mm512_shuffle_epi8(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(below), above), big_endian)
}

/// Half of eight lanes' blocks: the vector at `i` has word `i` of the lower four lanes, word `4 + i` of the
/// same, and these words of the upper four.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn four_rows(blocks: &[&Block; 8], half: usize) -> [__m512i; 4] {
    let a = row(blocks[0], blocks[4], half);
    let b = row(blocks[1], blocks[5], half);
    let c = row(blocks[2], blocks[6], half);
    let d = row(blocks[3], blocks[7], half);
    let low = [_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d)];
    let high = [_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d)];
    [
        _mm512_unpacklo_epi64(low[0], low[1]),
        _mm512_unpackhi_epi64(low[0], low[1]),
        _mm512_unpacklo_epi64(high[0], high[1]),
        _mm512_unpackhi_epi64(high[0], high[1]),
    ]
}

/// Eight words of each lane's block are loaded at a time.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn load_words<const ROUND: usize>(blocks: &[&Block; 16], w: &mut [__m512i; 16]) {
    if ROUND != 0 && ROUND != 8 {
        return;
    }
    let (below, above) = blocks.split_at(8);
    let below: &[&Block; 8] = below.try_into().expect("half of sixteen");
    let above: &[&Block; 8] = above.try_into().expect("half of sixteen");
    let (below, above) = (four_rows(below, ROUND / 8), four_rows(above, ROUND / 8));
    for i in 0..4 {
        w[ROUND + i] = _mm512_shuffle_i32x4::<0x88>(below[i], above[i]);
        w[ROUND + 4 + i] = _mm512_shuffle_i32x4::<0xdd>(below[i], above[i]);
    }
}
