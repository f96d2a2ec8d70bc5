//! Rates: how fast bytes have come and gone lately.

use std::fmt;

use super::time::{Duration, Instant};

/// Bytes a second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct ByteRate(pub u64);

impl ByteRate {
    /// What comes in `time` at this rate, bytes.
    pub fn over(self, time: Duration) -> u64 {
        (u128::from(self.0) * time.as_nanos() / 1_000_000_000).min(u128::from(u64::MAX)) as u64
    }

    /// How long `bytes` take at this rate; `None` when nothing moves.
    pub fn time_for(self, bytes: u64) -> Option<Duration> {
        (self.0 > 0).then(|| Duration::from_secs_f64(bytes as f64 / self.0 as f64))
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B/s", self.0)
    }
}

/// Seconds of a rolling window.
const WINDOW: u64 = 20;
const SECOND: u64 = 1_000_000_000;

/// Bytes counted over a rolling window of 20 s, in buckets of one second.
#[derive(Clone, Debug)]
pub struct RollingRate {
    buckets: [u32; WINDOW as usize],
    /// The second that the newest bucket counts.
    newest: u64,
    /// When counting began: a window that is not full yet is divided by the time it really spans.
    since: Instant,
}

impl RollingRate {
    /// Nothing counted yet at `now`.
    pub fn new(now: Instant) -> RollingRate {
        RollingRate { buckets: [0; WINDOW as usize], newest: now.as_nanos() / SECOND, since: now }
    }

    /// Counts `bytes` at `now`.
    pub fn add(&mut self, now: Instant, bytes: u32) {
        self.advance(now);
        let bucket = &mut self.buckets[(self.newest % WINDOW) as usize];
        *bucket = bucket.saturating_add(bytes);
    }

    /// The mean over the window that ends at `now`.
    pub fn rate(&mut self, now: Instant) -> ByteRate {
        self.advance(now);
        let bytes: u64 = self.buckets.iter().map(|bucket| u64::from(*bucket)).sum();
        let spanned = now.since(self.since).min(Duration::from_secs(WINDOW)).max(Duration::from_secs(1));
        ByteRate((bytes as f64 / spanned.as_secs_f64()) as u64)
    }

    /// The most that came in one whole second of the window that ends at `now`.
    pub fn peak(&mut self, now: Instant) -> ByteRate {
        self.advance(now);
        ByteRate(u64::from(self.buckets.iter().copied().max().unwrap_or(0)))
    }

    fn advance(&mut self, now: Instant) {
        let second = now.as_nanos() / SECOND;
        let steps = second.saturating_sub(self.newest).min(WINDOW);
        for step in 1..=steps {
            self.buckets[((self.newest + step) % WINDOW) as usize] = 0;
        }
        if steps == WINDOW {
            self.buckets = [0; WINDOW as usize];
        }
        self.newest = self.newest.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_steady_flow_shows_its_rate_from_the_start() {
        let mut rate = RollingRate::new(at(0));
        for tick in 0..300 {
            rate.add(at(tick * 100), 1000);
        }
        let shown = rate.rate(at(30_000)).0;
        assert!((9_000..=10_500).contains(&shown), "{shown}");
        assert_eq!(rate.peak(at(30_000)), ByteRate(10_000));
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let mut rate = RollingRate::new(at(0));
        rate.add(at(0), 1 << 20);
        assert!(rate.rate(at(19_000)).0 > 0);
        assert_eq!(rate.rate(at(20_000)).0, 0);
        assert_eq!(rate.rate(at(1_000_000_000)).0, 0);
    }

    #[test]
    fn an_eta_needs_a_flow() {
        assert_eq!(ByteRate(0).time_for(5), None);
        assert_eq!(ByteRate(10).time_for(5), Some(Duration::from_millis(500)));
        assert_eq!(ByteRate(10).over(Duration::from_millis(500)), 5);
    }
}
