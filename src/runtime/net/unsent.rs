//! How much of what a connection sends may wait in the system.
//!
//! Nothing of that can be taken back, and every message waits behind it: it is what the connection takes in
//! [`AHEAD`], within bounds. What is under way to the other side comes on top, and is the congestion control's to
//! decide.

use std::time::{Duration, Instant};

/// What a connection takes in so long may wait for it.
const AHEAD: Duration = Duration::from_millis(10);
/// How long its rate is measured.
const WINDOW: Duration = Duration::from_millis(20);
/// The bound for slow connections, bytes: two blocks, so that there is one while we bring the next.
const LEAST: u32 = 32 * 1024;
/// The greatest bound, bytes. Whoever takes more in that time, a gigabit a second and up, is slower with any, and has
/// soon taken what systems hold by themselves, a few MiB.
const MOST: u32 = 1024 * 1024;
/// What the system takes for no bound.
const NONE: u32 = u32::MAX;

/// What a connection takes, and the bound that comes of it.
#[derive(Debug)]
pub(super) struct Unsent {
    bound: u32,
    /// Bytes taken in this window.
    taken: u64,
    since: Option<Instant>,
}

impl Unsent {
    /// Of a connection that has not shown anything yet: the system begins with little.
    pub(super) fn new() -> Unsent {
        Unsent { bound: NONE, taken: 0, since: None }
    }

    /// The connection took bytes.
    pub(super) fn on_taken(&mut self, count: usize) {
        self.taken += count as u64;
    }

    /// The connection takes no more for now. Gives the bound if it is another one from now on.
    pub(super) fn on_full(&mut self, now: Instant) -> Option<u32> {
        let elapsed = self.since.map(|since| now.saturating_duration_since(since));
        if elapsed.is_some_and(|elapsed| elapsed < WINDOW) {
            return None;
        }
        let taken = std::mem::take(&mut self.taken);
        self.since = Some(now);
        // What it took before it was full for the first time says nothing.
        let elapsed = elapsed?;
        let ahead = u128::from(taken) * AHEAD.as_nanos() / elapsed.as_nanos();
        let ahead = u32::try_from(ahead).unwrap_or(NONE).max(LEAST);
        let bound = ahead.checked_next_power_of_two().filter(|bound| *bound <= MOST).unwrap_or(NONE);
        (bound != std::mem::replace(&mut self.bound, bound)).then_some(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bound after two seconds in which a connection takes `rate` bytes a second, a hundred times in each.
    fn bound_at(unsent: &mut Unsent, start: Instant, rate: usize) -> u32 {
        for at in 0..200 {
            unsent.on_taken(rate / 100);
            unsent.on_full(start + at * Duration::from_millis(10));
        }
        unsent.bound
    }

    #[test]
    fn what_waits_is_little_on_a_slow_line_and_enough_on_a_fast_one() {
        let mut unsent = Unsent::new();
        let mut start = Instant::now();
        let slow_to_fast = [20_000, 1 << 20, 10 << 20, 1 << 30];
        let bounds = [LEAST, LEAST, 128 * 1024, NONE];
        for (rate, bound) in slow_to_fast.into_iter().zip(bounds).chain([(20_000, LEAST)]) {
            assert_eq!(bound_at(&mut unsent, start, rate), bound, "{rate} bytes a second");
            start += Duration::from_secs(2);
        }
    }

    #[test]
    fn the_system_is_told_only_of_a_bound_that_is_another_one() {
        let mut unsent = Unsent::new();
        let start = Instant::now();
        assert_eq!(unsent.on_full(start), None);
        unsent.on_taken(1 << 20);
        assert_eq!(unsent.on_full(start + WINDOW / 2), None);
        assert_eq!(unsent.on_full(start + WINDOW), Some(512 * 1024));
        unsent.on_taken(1 << 20);
        assert_eq!(unsent.on_full(start + WINDOW * 2), None, "it is as before");
        unsent.on_taken(100 << 20);
        assert_eq!(unsent.on_full(start + WINDOW * 3), Some(NONE));
        assert_eq!(unsent.on_full(start + WINDOW * 100), Some(LEAST), "it took nothing for long");
    }
}
