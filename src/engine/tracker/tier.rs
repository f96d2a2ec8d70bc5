//! The tiers of a torrent (BEP 12): the order in which trackers are asked.

use crate::base::random::Rng;

/// Indexes of trackers by tier, each tier in the order in which it is asked.
#[derive(Clone, Debug)]
pub(super) struct Tiers {
    tiers: Vec<Vec<usize>>,
}

impl Tiers {
    /// Puts each tier into a random order, once.
    pub(super) fn new(mut tiers: Vec<Vec<usize>>, rng: &mut Rng) -> Tiers {
        for tier in &mut tiers {
            rng.shuffle(tier);
        }
        Tiers { tiers }
    }

    /// All trackers in the order in which they are asked.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.tiers.iter().flatten().copied()
    }

    /// Moves a tracker that worked to the front of its tier, the others keeping their order.
    pub(super) fn promote(&mut self, tracker: usize) {
        for tier in &mut self.tiers {
            if let Some(place) = tier.iter().position(|&other| other == tracker) {
                tier[..=place].rotate_right(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_that_works_comes_first_in_its_tier_only() {
        let mut tiers = Tiers { tiers: vec![vec![0, 1], vec![2, 3, 4, 5]] };
        tiers.promote(4);
        assert_eq!(tiers.iter().collect::<Vec<_>>(), [0, 1, 4, 2, 3, 5]);
        tiers.promote(1);
        assert_eq!(tiers.iter().collect::<Vec<_>>(), [1, 0, 4, 2, 3, 5]);
    }

    #[test]
    fn trackers_are_shuffled_within_their_tier() {
        let first_of = |seed| {
            let tiers = Tiers::new(vec![vec![0, 1, 2, 3], vec![4]], &mut Rng::from_number(seed));
            let order: Vec<usize> = tiers.iter().collect();
            assert_eq!(order[4], 4);
            order[0]
        };
        let firsts: std::collections::BTreeSet<usize> = (0..50).map(first_of).collect();
        assert_eq!(firsts.len(), 4);
    }
}
