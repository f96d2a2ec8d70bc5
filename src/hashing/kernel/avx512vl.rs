//! 8 lanes of AVX-512VL: vectors of AVX2's width, with rotations, three-way logic and twice the registers.
//!
//! For half as many messages as the 16 lanes want, and for processors that slow down with wide vectors.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::avx2::{load, load_words, store};
use super::rounds::{EMPTY, K1, K256, columns, lane_kernels, to_states, whole_lanes};
use super::{Block, Functions};

/// If this processor has AVX2, AVX-512F and AVX-512VL, and what these imply to the compiler, which may use it too.
pub(super) fn functions() -> Option<Functions> {
    let is_there = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
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

lane_kernels!("avx2,avx512f,avx512vl", 8, __m256i, ymm_reg);

#[target_feature(enable = "avx2,avx512f,avx512vl")]
#[inline]
fn add(x: __m256i, y: __m256i) -> __m256i {
    _mm256_add_epi32(x, y)
}

#[target_feature(enable = "avx2,avx512f,avx512vl")]
#[inline]
fn xor(x: __m256i, y: __m256i) -> __m256i {
    _mm256_xor_si256(x, y)
}

#[target_feature(enable = "avx2,avx512f,avx512vl")]
#[inline]
fn xor3(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_ternarylogic_epi32::<0x96>(x, y, z)
}

#[target_feature(enable = "avx2,avx512f,avx512vl")]
#[inline]
fn choose(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_ternarylogic_epi32::<0xca>(x, y, z)
}

#[target_feature(enable = "avx2,avx512f,avx512vl")]
#[inline]
fn majority(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_ternarylogic_epi32::<0xe8>(x, y, z)
}

#[target_feature(enable = "avx2,avx512f,avx512vl")]
#[inline]
fn splat(word: u32) -> __m256i {
    _mm256_set1_epi32(word.cast_signed())
}

#[target_feature(enable = "avx2,avx512f,avx512vl")]
#[inline]
fn rotate_left<const LEFT: i32, const RIGHT: i32>(x: __m256i) -> __m256i {
    const { assert!(LEFT + RIGHT == 32) };
    _mm256_rol_epi32::<LEFT>(x)
}

#[target_feature(enable = "avx2,avx512f,avx512vl")]
#[inline]
fn shift_right<const RIGHT: i32>(x: __m256i) -> __m256i {
    _mm256_srli_epi32::<RIGHT>(x)
}
