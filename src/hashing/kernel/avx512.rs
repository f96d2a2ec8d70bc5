//! 16 lanes of AVX-512.
//!
//! A lane's block is one vector, so the blocks of all lanes are turned by 16 x 16 words.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::rounds::{K1, K256, columns, lane_kernels, to_states, whole_lanes};
use super::{Block, Functions};

/// If this processor has AVX-512F and AVX-512BW.
pub(super) fn functions() -> Option<Functions> {
    let is_there = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
    is_there.then_some(Functions {
        // SAFETY: what it needs was detected before this function was handed out, and there is no other way
        // to it.
        sha1: |states, data, count| unsafe { sha1_lanes(states, data, count) },
        // SAFETY: as above.
        sha256: |states, data, count| unsafe { sha256_lanes(states, data, count) },
    })
}

lane_kernels!("avx512f,avx512bw", 16, __m512i);

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

/// The sixteen words of a lane's block.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn row(block: &Block) -> __m512i {
    let big_endian = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203));
    // SAFETY: the block is 64 readable bytes, and the load needs no alignment.
    let row = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
    _mm512_shuffle_epi8(row, big_endian)
}

/// Four lanes' words: the vector at `i` has, in its quarter `q`, word `4 * q + i` of each of the lanes.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn four_rows(a: &Block, b: &Block, c: &Block, d: &Block) -> [__m512i; 4] {
    let rows = [row(a), row(b), row(c), row(d)];
    let low = [_mm512_unpacklo_epi32(rows[0], rows[1]), _mm512_unpacklo_epi32(rows[2], rows[3])];
    let high = [_mm512_unpackhi_epi32(rows[0], rows[1]), _mm512_unpackhi_epi32(rows[2], rows[3])];
    [
        _mm512_unpacklo_epi64(low[0], low[1]),
        _mm512_unpackhi_epi64(low[0], low[1]),
        _mm512_unpacklo_epi64(high[0], high[1]),
        _mm512_unpackhi_epi64(high[0], high[1]),
    ]
}

/// The sixteen words of each lane's block at `at`: a vector for each word.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn words(data: &[&[Block]; 16], at: usize) -> [__m512i; 16] {
    let a = four_rows(&data[0][at], &data[1][at], &data[2][at], &data[3][at]);
    let b = four_rows(&data[4][at], &data[5][at], &data[6][at], &data[7][at]);
    let c = four_rows(&data[8][at], &data[9][at], &data[10][at], &data[11][at]);
    let d = four_rows(&data[12][at], &data[13][at], &data[14][at], &data[15][at]);
    let mut words = [_mm512_setzero_si512(); 16];
    for i in 0..4 {
        // Quarters 0 and 2, and quarters 1 and 3, of two vectors.
        let even = [_mm512_shuffle_i32x4::<0x88>(a[i], b[i]), _mm512_shuffle_i32x4::<0x88>(c[i], d[i])];
        let odd = [_mm512_shuffle_i32x4::<0xdd>(a[i], b[i]), _mm512_shuffle_i32x4::<0xdd>(c[i], d[i])];
        words[i] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        words[4 + i] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        words[8 + i] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
        words[12 + i] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
    }
    words
}
