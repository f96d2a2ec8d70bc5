//! How many regular slots there are: between 4 and 10, as many as pay.
//!
//! The uplink counts as full when one slot more does not bring what a slot is worth: half of an equal share
//! of what goes out. So this is a climb on the rate of a whole round: a slot is added; if the rate grew, so is
//! the next; if not, the uplink is full, and slots are taken away for as long as that costs nothing. Backlogs
//! would say less: blocks wait for a slow peer's line just as they do for a full line of ours.

use crate::base::time::{Duration, Instant};
use crate::engine::settings::Slots;

/// Fewest and most slots, when they follow the uplink.
const MIN: usize = 4;
const MAX: usize = 10;
/// Rounds between two climbs.
const REST: u32 = 6;
/// Rounds further apart than this are not compared: nobody waited in between.
const ROUNDS_APART: Duration = Duration::from_secs(15);

/// What the last round did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Grew,
    Shrank,
    /// Nothing, for so many rounds.
    Rested(u32),
}

/// The number of regular slots.
#[derive(Debug)]
pub(super) struct SlotCount {
    is_fixed: bool,
    count: usize,
    step: Step,
    /// When the last round was, and all that had been sent by then, bytes.
    seen: Option<(Instant, u64)>,
    /// Bytes a second in the round before the last.
    before: Option<u64>,
}

impl SlotCount {
    pub(super) fn new(slots: Slots) -> SlotCount {
        let (is_fixed, count) = match slots {
            Slots::Auto => (false, MIN),
            Slots::Fixed(count) => (true, count),
        };
        SlotCount { is_fixed, count, step: Step::Rested(REST - 1), seen: None, before: None }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// A round is held; `sent` bytes went out so far, in all.
    pub(super) fn on_round(&mut self, now: Instant, sent: u64) {
        if self.is_fixed {
            return;
        }
        let seen = self.seen.replace((now, sent)).filter(|(then, _)| now.since(*then) <= ROUNDS_APART);
        let rate = seen.and_then(|(then, before)| {
            let millis = now.since(then).as_millis().max(1) as u64;
            sent.checked_sub(before).map(|bytes| bytes.saturating_mul(1000) / millis)
        });
        let Some(rate) = rate else {
            self.before = None;
            return;
        };
        if let Some(before) = self.before.replace(rate) {
            self.climb(before, rate);
        }
    }

    fn climb(&mut self, before: u64, rate: u64) {
        match self.step {
            Step::Grew if has_gained(before, rate, self.count - 1) => self.grow(),
            Step::Grew => self.shrink(),
            Step::Shrank if has_lost(before, rate, self.count + 1) => {
                self.grow();
                self.step = Step::Rested(0);
            }
            Step::Shrank => self.shrink(),
            Step::Rested(rounds) if rounds + 1 < REST => self.step = Step::Rested(rounds + 1),
            // What paid once need not pay for ever: at the top, the way down is tried.
            Step::Rested(_) if self.count == MAX => self.shrink(),
            Step::Rested(_) => self.grow(),
        }
    }

    fn grow(&mut self) {
        self.step = if self.count < MAX { Step::Grew } else { Step::Rested(0) };
        self.count = (self.count + 1).min(MAX);
    }

    fn shrink(&mut self) {
        self.step = if self.count > MIN { Step::Shrank } else { Step::Rested(0) };
        self.count = self.count.saturating_sub(1).max(MIN);
    }
}

/// Whether a slot beside `count` others brought half of a share.
fn has_gained(before: u64, rate: u64, count: usize) -> bool {
    rate.saturating_sub(before) >= before / (2 * count.max(1) as u64)
}

/// Whether one slot less than `count` cost half of a share.
fn has_lost(before: u64, rate: u64, count: usize) -> bool {
    let lost = before.saturating_sub(rate);
    lost > 0 && lost >= before / (2 * count.max(1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds `rounds` rounds; each slot takes `per_slot` bytes a second of the uplink's `uplink`.
    fn counts(rounds: u64, per_slot: u64, uplink: u64) -> Vec<usize> {
        let mut slots = SlotCount::new(Slots::Auto);
        let mut sent = 0;
        let mut counts = Vec::new();
        for round in 0..rounds {
            slots.on_round(Instant::ZERO + Duration::from_secs(10 * round), sent);
            sent += 10 * uplink.min(per_slot * slots.count() as u64);
            counts.push(slots.count());
        }
        counts
    }

    #[test]
    fn slots_grow_to_ten_while_the_uplink_is_not_full() {
        let counts = counts(12, 1000, 1_000_000);
        assert_eq!((counts[0], counts.iter().max()), (4, Some(&10)), "{counts:?}");
    }

    #[test]
    fn an_uplink_that_nobody_uses_is_not_full() {
        assert_eq!(counts(12, 0, 1000).into_iter().max(), Some(10));
    }

    #[test]
    fn slots_stay_at_four_when_the_uplink_is_full_but_for_a_try_now_and_then() {
        let counts = counts(60, 1000, 3000);
        assert!(counts.iter().all(|count| (4..=5).contains(count)), "{counts:?}");
        assert!(counts.iter().filter(|count| **count == 5).count() <= 10, "{counts:?}");
    }

    #[test]
    fn slots_stop_growing_where_the_uplink_becomes_full() {
        let counts = counts(40, 1000, 6000);
        assert!(counts[10..].iter().all(|count| (5..=7).contains(count)), "{counts:?}");
    }

    #[test]
    fn slots_shrink_when_the_uplink_is_full() {
        let mut slots = SlotCount::new(Slots::Auto);
        let mut sent = 0;
        for round in 0..60 {
            slots.on_round(Instant::ZERO + Duration::from_secs(10 * round), sent);
            let takes: u64 = if round < 20 { 1000 } else { 100_000 };
            sent += 10 * (takes * slots.count() as u64).min(100_000);
            assert!(round != 19 || slots.count() >= 9, "{}", slots.count());
        }
        assert!(slots.count() <= 5, "{}", slots.count());
    }

    #[test]
    fn a_fixed_number_stays() {
        let mut slots = SlotCount::new(Slots::Fixed(2));
        for round in 0..20 {
            slots.on_round(Instant::ZERO + Duration::from_secs(10 * round), 0);
        }
        assert_eq!(slots.count(), 2);
    }
}
