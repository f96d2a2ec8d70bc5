//! The rounds of SHA-1 and SHA-256 over vectors with a word of each lane, for all widths (FIPS 180-4).
//!
//! Everything is unrolled, so that the message schedule stays in registers as far as there are any. A module
//! that uses [`lane_kernels`] brings the operations for its own instructions.

use super::Block;

/// The constants of SHA-1, one for each twenty rounds.
pub(super) const K1: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];

/// The constants of SHA-256, one a round.
#[rustfmt::skip]
pub(super) const K256: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// A round of SHA-1. The caller renames the words instead of moving them.
macro_rules! sha1_round {
    ($f:ident, $blocks:ident, $w:ident, $t:expr, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {
        // The words are loaded just before they are needed, so that the loads go along with the rounds.
        if $t < 16 {
            load_words::<{ $t }>(&$blocks, &mut $w);
        } else {
            let mixed = xor3($w[($t + 13) % 16], $w[($t + 8) % 16], $w[($t + 2) % 16]);
            $w[$t % 16] = rotate_left::<1, 31>(xor(mixed, $w[$t % 16]));
        }
        let with_key = add_in_order(add($e, splat(K1[$t / 20])), $w[$t % 16]);
        $e = add(add(with_key, $f($b, $c, $d)), rotate_left::<5, 27>($a));
        $b = rotate_left::<30, 2>($b);
    };
}

/// Rounds of SHA-1 from each of `$t` on, five each.
macro_rules! sha1_rounds {
    ($f:ident, $blocks:ident, $w:ident, [$($t:expr),*], $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {$(
        $crate::hashing::kernel::rounds::sha1_round!($f, $blocks, $w, $t, $a, $b, $c, $d, $e);
        $crate::hashing::kernel::rounds::sha1_round!($f, $blocks, $w, $t + 1, $e, $a, $b, $c, $d);
        $crate::hashing::kernel::rounds::sha1_round!($f, $blocks, $w, $t + 2, $d, $e, $a, $b, $c);
        $crate::hashing::kernel::rounds::sha1_round!($f, $blocks, $w, $t + 3, $c, $d, $e, $a, $b);
        $crate::hashing::kernel::rounds::sha1_round!($f, $blocks, $w, $t + 4, $b, $c, $d, $e, $a);
    )*};
}

/// A round of SHA-256.
macro_rules! sha256_round {
    ($blocks:ident, $w:ident, $t:expr, $a:ident, $b:ident, $c:ident, $d:ident,
     $e:ident, $f:ident, $g:ident, $h:ident) => {
        // The words are loaded just before they are needed, so that the loads go along with the rounds.
        if $t < 16 {
            load_words::<{ $t }>(&$blocks, &mut $w);
        } else {
            let (old, new) = ($w[($t + 1) % 16], $w[($t + 14) % 16]);
            let old = xor3(rotate_left::<25, 7>(old), rotate_left::<14, 18>(old), shift_right::<3>(old));
            let new = xor3(rotate_left::<15, 17>(new), rotate_left::<13, 19>(new), shift_right::<10>(new));
            $w[$t % 16] = add(add($w[$t % 16], old), add($w[($t + 9) % 16], new));
        }
        let mixed = xor3(rotate_left::<26, 6>($e), rotate_left::<21, 11>($e), rotate_left::<7, 25>($e));
        let with_key = add_in_order(add($h, splat(K256[$t])), $w[$t % 16]);
        let first = add(add(with_key, choose($e, $f, $g)), mixed);
        let mixed = xor3(rotate_left::<30, 2>($a), rotate_left::<19, 13>($a), rotate_left::<10, 22>($a));
        $d = add($d, first);
        $h = add(first, add(mixed, majority($a, $b, $c)));
    };
}

/// Rounds of SHA-256 from each of `$t` on, eight each.
macro_rules! sha256_rounds {
    ($blocks:ident, $w:ident, [$($t:expr),*], $a:ident, $b:ident, $c:ident, $d:ident,
     $e:ident, $f:ident, $g:ident, $h:ident) => {$(
        $crate::hashing::kernel::rounds::sha256_round!($blocks, $w, $t, $a, $b, $c, $d, $e, $f, $g, $h);
        $crate::hashing::kernel::rounds::sha256_round!($blocks, $w, $t + 1, $h, $a, $b, $c, $d, $e, $f, $g);
        $crate::hashing::kernel::rounds::sha256_round!($blocks, $w, $t + 2, $g, $h, $a, $b, $c, $d, $e, $f);
        $crate::hashing::kernel::rounds::sha256_round!($blocks, $w, $t + 3, $f, $g, $h, $a, $b, $c, $d, $e);
        $crate::hashing::kernel::rounds::sha256_round!($blocks, $w, $t + 4, $e, $f, $g, $h, $a, $b, $c, $d);
        $crate::hashing::kernel::rounds::sha256_round!($blocks, $w, $t + 5, $d, $e, $f, $g, $h, $a, $b, $c);
        $crate::hashing::kernel::rounds::sha256_round!($blocks, $w, $t + 6, $c, $d, $e, $f, $g, $h, $a, $b);
        $crate::hashing::kernel::rounds::sha256_round!($blocks, $w, $t + 7, $b, $c, $d, $e, $f, $g, $h, $a);
    )*};
}

/// Makes `sha1_lanes` and `sha256_lanes` for `$lanes` lanes in vectors of the type `$vector`, which registers of the
/// class `$register` hold. The features include AVX2.
///
/// The module brings, all of these with the same features: `add`, `xor`, `xor3`, `splat`, `shift_right`,
/// `rotate_left`, `choose(x, y, z)` (where x has ones y, else z), `majority`, `load` and `store` of a word of
/// each lane, and
/// `load_words`, which is called before each of the first sixteen rounds and puts at least that round's word of
/// each lane's block into `w`.
macro_rules! lane_kernels {
    ($features:literal, $lanes:literal, $vector:ty, $register:ident) => {
        /// The sum, in this place. The compiler reorders sums that it can look into, and then adds a round's constant
        /// last, where the next round waits for it: 5 % of SHA-1's time.
        #[target_feature(enable = $features)]
        #[inline]
        fn add_in_order(x: $vector, y: $vector) -> $vector {
            let sum;
            // SAFETY: the instruction is of AVX2, of AVX-512F for longer registers, or of AVX-512VL for the upper sixteen
            // of its own, which only a function with that feature is given; so this function requires what its
            // registers need. It reads two registers and writes one, and touches neither memory nor flags.
            unsafe {
                std::arch::asm!(
                    "vpaddd {sum}, {x}, {y}",
                    sum = lateout($register) sum,
                    x = in($register) x,
                    y = in($register) y,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            sum
        }

        #[target_feature(enable = $features)]
        fn sha1_lanes(states: &mut [[u32; 5]], data: &[&[Block]], count: usize) {
            let data = whole_lanes::<$lanes>(data, count);
            let mut columns = columns::<5, $lanes>(states);
            let mut h = [splat(0); 5];
            for (h, column) in h.iter_mut().zip(&columns) {
                *h = load(column);
            }
            for at in 0..count {
                let mut blocks = [EMPTY; $lanes];
                for (block, data) in blocks.iter_mut().zip(&data) {
                    // SAFETY: each lane's data is cut to `count` blocks.
                    *block = unsafe { data.get_unchecked(at) };
                }
                let mut w = [splat(0); 16];
                let [mut a, mut b, mut c, mut d, mut e] = h;
                $crate::hashing::kernel::rounds::sha1_rounds!(
                    choose,
                    blocks,
                    w,
                    [0, 5, 10, 15],
                    a,
                    b,
                    c,
                    d,
                    e
                );
                $crate::hashing::kernel::rounds::sha1_rounds!(
                    xor3,
                    blocks,
                    w,
                    [20, 25, 30, 35],
                    a,
                    b,
                    c,
                    d,
                    e
                );
                $crate::hashing::kernel::rounds::sha1_rounds!(
                    majority,
                    blocks,
                    w,
                    [40, 45, 50, 55],
                    a,
                    b,
                    c,
                    d,
                    e
                );
                $crate::hashing::kernel::rounds::sha1_rounds!(
                    xor3,
                    blocks,
                    w,
                    [60, 65, 70, 75],
                    a,
                    b,
                    c,
                    d,
                    e
                );
                h = [add(h[0], a), add(h[1], b), add(h[2], c), add(h[3], d), add(h[4], e)];
            }
            for (h, column) in h.into_iter().zip(&mut columns) {
                store(column, h);
            }
            to_states(&columns, states);
        }

        #[target_feature(enable = $features)]
        fn sha256_lanes(states: &mut [[u32; 8]], data: &[&[Block]], count: usize) {
            let data = whole_lanes::<$lanes>(data, count);
            let mut columns = columns::<8, $lanes>(states);
            let mut state = [splat(0); 8];
            for (state, column) in state.iter_mut().zip(&columns) {
                *state = load(column);
            }
            for at in 0..count {
                let mut blocks = [EMPTY; $lanes];
                for (block, data) in blocks.iter_mut().zip(&data) {
                    // SAFETY: each lane's data is cut to `count` blocks.
                    *block = unsafe { data.get_unchecked(at) };
                }
                let mut w = [splat(0); 16];
                let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
                $crate::hashing::kernel::rounds::sha256_rounds!(
                    blocks,
                    w,
                    [0, 8, 16, 24, 32, 40, 48, 56],
                    a,
                    b,
                    c,
                    d,
                    e,
                    f,
                    g,
                    h
                );
                let rounds: [$vector; 8] = [a, b, c, d, e, f, g, h];
                for (state, rounds) in state.iter_mut().zip(rounds) {
                    *state = add(*state, rounds);
                }
            }
            for (state, column) in state.into_iter().zip(&mut columns) {
                store(column, state);
            }
            to_states(&columns, states);
        }
    };
}

pub(super) use {lane_kernels, sha1_round, sha1_rounds, sha256_round, sha256_rounds};

/// Takes a block's place until there is one.
pub(super) const EMPTY: &Block = &[0; 64];

/// Data for every lane: those that have no message repeat the first one's, which costs no memory traffic.
pub(super) fn whole_lanes<'a, const LANES: usize>(
    data: &[&'a [Block]],
    count: usize,
) -> [&'a [Block]; LANES] {
    assert!(data.len() <= LANES, "a kernel gets no more messages than it has lanes");
    std::array::from_fn(|lane| &data.get(lane).unwrap_or(&data[0])[..count])
}

/// A word of each lane side by side, for each word of the states.
pub(super) fn columns<const WORDS: usize, const LANES: usize>(
    states: &[[u32; WORDS]],
) -> [[u32; LANES]; WORDS] {
    let mut columns = [[0; LANES]; WORDS];
    for (lane, state) in states.iter().enumerate().take(LANES) {
        for (column, word) in columns.iter_mut().zip(state) {
            column[lane] = *word;
        }
    }
    columns
}

/// The way back from [`columns`].
pub(super) fn to_states<const WORDS: usize, const LANES: usize>(
    columns: &[[u32; LANES]; WORDS],
    states: &mut [[u32; WORDS]],
) {
    for (lane, state) in states.iter_mut().enumerate().take(LANES) {
        for (column, word) in columns.iter().zip(state) {
            *word = column[lane];
        }
    }
}
