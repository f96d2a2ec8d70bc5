//! Two interleaved messages, with the SHA instructions of x86.
//!
//! One message leaves the unit idle while it waits for the round before; a second one fills the gaps.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::rounds::K256;
use super::{Block, Functions};

/// If this processor has SHA instructions.
pub(super) fn functions() -> Option<Functions> {
    let is_there = is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1");
    is_there.then_some(Functions {
        sha1: |states, data, count| match (states, data) {
            ([first, second], [one, two]) => {
                // SAFETY: what it needs was detected before this function was handed out, and there is no
                // other way to it.
                unsafe { sha1_streams([first, second], [one, two], count) }
            }
            ([state], [data]) => {
                // SAFETY: as above.
                unsafe { sha1_streams([state], [data], count) }
            }
            _ => unreachable!("a kernel gets no more messages than it has lanes"),
        },
        sha256: |states, data, count| match (states, data) {
            ([first, second], [one, two]) => {
                // SAFETY: as above.
                unsafe { sha256_streams([first, second], [one, two], count) }
            }
            ([state], [data]) => {
                // SAFETY: as above.
                unsafe { sha256_streams([state], [data], count) }
            }
            _ => unreachable!("a kernel gets no more messages than it has lanes"),
        },
    })
}

/// Up to any number of messages side by side; two fill the unit.
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha1_streams<const N: usize>(states: [&mut [u32; 5]; N], data: [&[Block]; N], count: usize) {
    // Four rounds of each message. Nothing is computed here of what the next group does not need, so that
    // the messages' instructions alternate.
    macro_rules! four {
        ($w:ident, $now:ident, $next:ident, $f:literal, [$($group:expr),*]) => {$(
            for s in 0..N {
                if $group >= 4 {
                    let w = &mut $w[s];
                    let mixed = _mm_sha1msg1_epu32(w[$group % 4], w[($group + 1) % 4]);
                    let mixed = _mm_xor_si128(mixed, w[($group + 2) % 4]);
                    w[$group % 4] = _mm_sha1msg2_epu32(mixed, w[($group + 3) % 4]);
                }
                let with_e = _mm_sha1nexte_epu32($next[s], $w[s][$group % 4]);
                $next[s] = _mm_sha1rnds4_epu32::<$f>($now[s], with_e);
            }
        )*};
    }
    let big_endian = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
    let zero = _mm_setzero_si128();
    let (mut abcd, mut e) = ([zero; N], [zero; N]);
    for s in 0..N {
        abcd[s] = _mm_shuffle_epi32::<0x1b>(load(&states[s][..4]));
        e[s] = _mm_set_epi32(states[s][4].cast_signed(), 0, 0, 0);
    }
    #[expect(clippy::needless_range_loop, reason = "several slices have the same index")]
    for at in 0..count {
        let mut w = [[zero; 4]; N];
        for s in 0..N {
            w[s] = quarters(&data[s][at], big_endian);
        }
        let (mut even, mut odd) = (abcd, [zero; N]);
        for s in 0..N {
            odd[s] = _mm_sha1rnds4_epu32::<0>(abcd[s], _mm_add_epi32(e[s], w[s][0]));
        }
        four!(w, odd, even, 0, [1]);
        four!(w, even, odd, 0, [2]);
        four!(w, odd, even, 0, [3]);
        four!(w, even, odd, 0, [4]);
        four!(w, odd, even, 1, [5]);
        four!(w, even, odd, 1, [6]);
        four!(w, odd, even, 1, [7]);
        four!(w, even, odd, 1, [8]);
        four!(w, odd, even, 1, [9]);
        four!(w, even, odd, 2, [10]);
        four!(w, odd, even, 2, [11]);
        four!(w, even, odd, 2, [12]);
        four!(w, odd, even, 2, [13]);
        four!(w, even, odd, 2, [14]);
        four!(w, odd, even, 3, [15]);
        four!(w, even, odd, 3, [16]);
        four!(w, odd, even, 3, [17]);
        four!(w, even, odd, 3, [18]);
        four!(w, odd, even, 3, [19]);
        for s in 0..N {
            abcd[s] = _mm_add_epi32(abcd[s], even[s]);
            e[s] = _mm_sha1nexte_epu32(odd[s], e[s]);
        }
    }
    for (s, state) in states.into_iter().enumerate() {
        store(&mut state[..4], _mm_shuffle_epi32::<0x1b>(abcd[s]));
        state[4] = _mm_extract_epi32::<3>(e[s]).cast_unsigned();
    }
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha256_streams<const N: usize>(states: [&mut [u32; 8]; N], data: [&[Block]; N], count: usize) {
    macro_rules! four {
        ($w:ident, $abef:ident, $cdgh:ident, [$($group:expr),*]) => {$(
            let key = load(&K256[4 * $group..4 * $group + 4]);
            for s in 0..N {
                if $group >= 4 {
                    let w = &mut $w[s];
                    let mixed = _mm_sha256msg1_epu32(w[$group % 4], w[($group + 1) % 4]);
                    let before = _mm_alignr_epi8::<4>(w[($group + 3) % 4], w[($group + 2) % 4]);
                    let mixed = _mm_add_epi32(mixed, before);
                    w[$group % 4] = _mm_sha256msg2_epu32(mixed, w[($group + 3) % 4]);
                }
                let with_key = _mm_add_epi32($w[s][$group % 4], key);
                $cdgh[s] = _mm_sha256rnds2_epu32($cdgh[s], $abef[s], with_key);
                $abef[s] = _mm_sha256rnds2_epu32($abef[s], $cdgh[s], _mm_shuffle_epi32::<0x0e>(with_key));
            }
        )*};
    }
    let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let zero = _mm_setzero_si128();
    let (mut abef, mut cdgh) = ([zero; N], [zero; N]);
    for s in 0..N {
        let cdab = _mm_shuffle_epi32::<0xb1>(load(&states[s][..4]));
        let efgh = _mm_shuffle_epi32::<0x1b>(load(&states[s][4..]));
        abef[s] = _mm_alignr_epi8::<8>(cdab, efgh);
        cdgh[s] = _mm_blend_epi16::<0xf0>(efgh, cdab);
    }
    #[expect(clippy::needless_range_loop, reason = "several slices have the same index")]
    for at in 0..count {
        let mut w = [[zero; 4]; N];
        for s in 0..N {
            w[s] = quarters(&data[s][at], big_endian);
        }
        let (abef_before, cdgh_before) = (abef, cdgh);
        four!(w, abef, cdgh, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        for s in 0..N {
            abef[s] = _mm_add_epi32(abef[s], abef_before[s]);
            cdgh[s] = _mm_add_epi32(cdgh[s], cdgh_before[s]);
        }
    }
    for (s, state) in states.into_iter().enumerate() {
        let feba = _mm_shuffle_epi32::<0x1b>(abef[s]);
        let dchg = _mm_shuffle_epi32::<0xb1>(cdgh[s]);
        store(&mut state[..4], _mm_blend_epi16::<0xf0>(feba, dchg));
        store(&mut state[4..], _mm_alignr_epi8::<8>(dchg, feba));
    }
}

/// A block's sixteen words, four a vector.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn quarters(block: &Block, big_endian: __m128i) -> [__m128i; 4] {
    let mut quarters = [_mm_setzero_si128(); 4];
    for (quarter, bytes) in quarters.iter_mut().zip(block.as_chunks::<16>().0) {
        // SAFETY: the array is 16 readable bytes, and the load needs no alignment.
        let words = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
        *quarter = _mm_shuffle_epi8(words, big_endian);
    }
    quarters
}

/// Four words.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn load(words: &[u32]) -> __m128i {
    assert!(words.len() == 4);
    // SAFETY: four words are 16 readable bytes, and the load needs no alignment.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

/// Four words.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn store(words: &mut [u32], x: __m128i) {
    assert!(words.len() == 4);
    // SAFETY: four words are 16 writable bytes, and the store needs no alignment.
    unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), x) }
}
