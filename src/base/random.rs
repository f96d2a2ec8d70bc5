//! Randomness that can be replayed.
//!
//! One seeded generator, Xoshiro256++, whose numbers are the same on every platform and in every version.
//! A part of the program that wants numbers of its own takes a [`Rng::fork`] by name, so that a draw more
//! in one part does not change what another part draws. Not for secrets.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use super::digest;

/// A seeded, portable generator of random numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    seed: [u8; 32],
    source: Xoshiro256PlusPlus,
}

impl Rng {
    /// A generator whose whole sequence follows from `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Rng {
        Rng { seed, source: Xoshiro256PlusPlus::from_seed(seed) }
    }

    /// A generator from a short seed, as tests and simulations print it.
    pub fn from_number(seed: u64) -> Rng {
        let mut message = *b"btget seed ........";
        message[11..].copy_from_slice(&seed.to_be_bytes());
        Rng::from_seed(digest::sha256(&message).0)
    }

    /// A generator of its own for the part called `name`; independent of what has been drawn here.
    pub fn fork(&self, name: &str) -> Rng {
        let mut message = self.seed.to_vec();
        message.extend_from_slice(name.as_bytes());
        Rng::from_seed(digest::sha256(&message).0)
    }

    /// A uniform number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound < 2 { 0 } else { self.source.random_range(0..bound as u64) as usize }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.source.next_u64()
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.source.next_u32()
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.source.fill_bytes(bytes);
    }

    /// Puts `items` into a uniformly random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.below(end + 1);
            items.swap(end, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_does_not_depend_on_what_was_drawn_before() {
        let mut parent = Rng::from_number(7);
        let before = parent.fork("picker").next_u64();
        parent.next_u64();
        assert_eq!(parent.fork("picker").next_u64(), before);
        assert_ne!(parent.fork("choker").next_u64(), before);
    }

    /// Written down once: a change here would change every recorded simulation.
    #[test]
    fn the_sequence_is_the_same_in_every_version() {
        let mut rng = Rng::from_number(1);
        assert_eq!([rng.next_u64(), rng.next_u64()], [10_285_823_253_717_883_729, 2_415_252_540_040_321_447]);
        let mut again = Rng::from_number(1);
        assert_eq!(again.next_u64(), 10_285_823_253_717_883_729);
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::from_number(3);
        assert!((0..1000).all(|_| rng.below(7) < 7));
        assert_eq!(rng.below(0), 0);
    }
}
