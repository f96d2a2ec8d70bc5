//! One limit: an allowance that fills at its rate up to a bound.

use super::QUANTUM;
use crate::base::rate::ByteRate;
use crate::base::time::{Duration, Instant};

/// What was not used for so long is kept, and may come at once.
const BURST: Duration = Duration::from_millis(250);
const SECOND: u128 = 1_000_000_000;

/// The allowance of a session or a torrent in one direction.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: ByteRate,
    /// Bytes that may be given; below zero while more was used than given.
    level: i64,
    /// What came so far of the next byte, in billionths.
    part: u128,
    filled: Instant,
}

impl Bucket {
    /// An empty one.
    pub(super) fn new(now: Instant, rate: ByteRate) -> Bucket {
        Bucket { rate, level: 0, part: 0, filled: now }
    }

    fn bound(&self) -> i64 {
        i64::try_from(self.rate.over(BURST)).unwrap_or(i64::MAX).clamp(2 * QUANTUM as i64, i64::MAX / 8)
    }

    /// Lets in what has come by `now`.
    pub(super) fn fill(&mut self, now: Instant) {
        let came = u128::from(self.rate.0) * now.since(self.filled).as_nanos() + self.part;
        self.part = came % SECOND;
        let whole = i64::try_from(came / SECOND).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(whole).min(self.bound());
        self.filled = now;
    }

    /// What may be given.
    pub(super) fn available(&self) -> u64 {
        self.level.max(0).unsigned_abs()
    }

    /// Takes what is given; less than nothing gives back. A debt is soon paid, whatever it was.
    pub(super) fn take(&mut self, bytes: i64) {
        self.level = self.level.saturating_sub(bytes).clamp(-4 * self.bound(), self.bound());
    }

    /// When a [`QUANTUM`] may be given.
    pub(super) fn ready_at(&self) -> Instant {
        let lacking = (QUANTUM as i64).saturating_sub(self.level).max(0).unsigned_abs();
        self.rate.time_for(lacking).map_or(Instant::FAR, |time| self.filled + time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn it_fills_at_its_rate_to_the_byte_however_often_it_is_looked_at() {
        let mut bucket = Bucket::new(at(0), ByteRate(7));
        for milli in 0..=1000 {
            bucket.fill(at(milli));
        }
        assert_eq!(bucket.available(), 7);
    }

    #[test]
    fn a_debt_is_paid_within_seconds_whatever_it_was() {
        let mut bucket = Bucket::new(at(0), ByteRate(1_000_000));
        bucket.take(1 << 60);
        bucket.fill(at(1_000));
        assert_eq!(bucket.ready_at(), at(1_000) + Duration::from_nanos(16_397_000));
    }

    #[test]
    fn what_is_not_used_is_kept_for_a_quarter_of_a_second() {
        let mut bucket = Bucket::new(at(0), ByteRate(1_000_000));
        bucket.fill(at(60_000));
        assert_eq!(bucket.available(), 250_000);
        bucket.take(300_000);
        assert_eq!(
            (bucket.available(), bucket.ready_at()),
            (0, at(60_000) + Duration::from_nanos(66_397_000))
        );
    }
}
