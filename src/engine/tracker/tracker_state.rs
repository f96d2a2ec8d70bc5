//! One tracker: what it last said, and when it may be asked again.

use super::FetchKey;
use super::url_rule::UrlRule;
use crate::base::limit;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};
use crate::engine::action::AddressFamily;
use crate::wire::tracker::{Event, RetryIn};

/// Both families, in the order of [`Tracker::routes`].
pub(super) const FAMILIES: [AddressFamily; 2] = [AddressFamily::V4, AddressFamily::V6];

/// Interval of a tracker that tells none.
const INTERVAL_UNTOLD: Duration = Duration::from_secs(30 * 60);
/// Longest wait after failures in a row.
const BACKOFF_MAX: Duration = Duration::from_secs(60 * 60);

/// A tracker is not asked again sooner, whatever the cause.
const HURRIED_GAP: Duration = Duration::from_secs(10);

/// Where a tracker stands after its last announce. Changed only in this file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Not asked yet.
    Untried,
    /// Answered.
    Working,
    /// Could not be reached, or answered nonsense.
    Failing,
    /// Reached, and it said no.
    Refusing,
    /// Said no, and not to come again in this run (BEP 31).
    Dismissed,
    /// Its URL may not be asked.
    Unusable,
}

/// One tracker of a torrent.
#[derive(Clone, Debug)]
pub(super) struct Tracker {
    pub(super) url: String,
    /// The URL as people may see it.
    pub(super) shown: String,
    pub(super) loopback: bool,
    pub(super) standing: Standing,
    /// By family; see [`FAMILIES`].
    pub(super) routes: [Route; 2],
    /// No announce before this, but to tell `completed` or `stopped`.
    pub(super) not_before: Instant,
    /// No announce before this, even if a person or the network gives cause for one.
    floor: Instant,
    /// The next announce when nothing is urgent.
    pub(super) due: Instant,
    /// Asked in the round under way.
    pub(super) is_tried: bool,
    /// The tracker's interval; steps of urgent announces grow up to it.
    pub(super) interval: Duration,
    /// Peers with everything, as it said last.
    pub(super) seeds: u32,
    failures: u32,
    is_near: bool,
    /// What the announce under way has come to so far.
    pub(super) attempt: Attempt,
}

/// One tracker over one family.
#[derive(Clone, Default, Debug)]
pub(super) struct Route {
    pub(super) in_flight: Option<(FetchKey, Option<Event>)>,
    /// Whether `started` has been answered.
    pub(super) is_started: bool,
    /// Whether `completed` has been answered.
    pub(super) is_completed: bool,
    /// Whether the last announce was answered.
    pub(super) is_working: bool,
    pub(super) tracker_id: Option<Vec<u8>>,
}

/// An announce over all families.
#[derive(Clone, Default, Debug)]
pub(super) struct Attempt {
    pub(super) is_answered: bool,
    pub(super) failure: Option<Failure>,
}

/// Why an announce came to nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    pub(super) refused: bool,
    /// When it may be asked again, where it says so.
    pub(super) retry: Option<RetryIn>,
}

impl Tracker {
    pub(super) fn new(url: String, shown: String, rule: Option<UrlRule>) -> Tracker {
        Tracker {
            url,
            shown,
            loopback: rule.is_some_and(|rule| rule.loopback),
            standing: if rule.is_some() { Standing::Untried } else { Standing::Unusable },
            routes: [Route::default(), Route::default()],
            not_before: Instant::ZERO,
            floor: Instant::ZERO,
            due: Instant::ZERO,
            is_tried: false,
            seeds: 0,
            interval: INTERVAL_UNTOLD,
            failures: 0,
            is_near: rule.is_some_and(|rule| rule.is_near),
            attempt: Attempt::default(),
        }
    }

    /// Whether it may ever be asked again.
    pub(super) fn is_usable(&self) -> bool {
        !matches!(self.standing, Standing::Unusable | Standing::Dismissed)
    }

    /// Whether an announce is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.routes.iter().any(|route| route.in_flight.is_some())
    }

    /// Whether a family that works has not heard of the completion.
    pub(super) fn owes_completed(&self) -> bool {
        self.routes.iter().any(Route::owes_completed)
    }

    /// Takes note of an answer and the intervals that came with it.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        interval: Option<Duration>,
        min: Option<Duration>,
        rng: &mut Rng,
    ) {
        let interval = interval.unwrap_or(INTERVAL_UNTOLD).clamp(limit::INTERVAL_MIN, limit::INTERVAL_MAX);
        let gap = min.unwrap_or(limit::ANNOUNCE_GAP_MIN).clamp(limit::ANNOUNCE_GAP_MIN, interval);
        self.attempt.is_answered = true;
        self.standing = Standing::Working;
        self.failures = 0;
        self.interval = interval;
        self.not_before = now + gap;
        self.floor = now + HURRIED_GAP;
        self.due = now + spread(interval, rng).max(gap);
    }

    /// Takes note of an announce that came to nothing over every family.
    pub(super) fn on_failure(&mut self, now: Instant, failure: &Failure, rng: &mut Rng) {
        self.failures = self.failures.saturating_add(1);
        self.standing = match (failure.refused, failure.retry) {
            (_, Some(RetryIn::Never)) => Standing::Dismissed,
            (true, _) => Standing::Refusing,
            (false, _) => Standing::Failing,
        };
        let told = match failure.retry {
            Some(RetryIn::After(wait)) => wait,
            Some(RetryIn::Never) | None => Duration::ZERO,
        };
        let wait = spread(self.backoff(), rng).max(told);
        self.not_before = self.not_before.max(now + wait);
        self.floor = now + told.max(HURRIED_GAP);
        self.due = self.not_before;
    }

    /// There is cause to ask it at `soon`, or as soon after that as may be. What is overdue waits for then, too.
    pub(super) fn hurry(&mut self, now: Instant, soon: Instant) {
        let at = soon.max(self.floor);
        for time in [&mut self.not_before, &mut self.due] {
            *time = if *time <= now { at } else { at.min(*time) };
        }
    }

    /// 17 s, 55 s, 2 min, ... an hour: 5 + 12.5 n². A tracker on this machine or site, which is likely to be
    /// starting up, is first asked again after one and three seconds.
    fn backoff(&self) -> Duration {
        let failures = u64::from(self.failures.min(100));
        match failures {
            1 | 2 if self.is_near => Duration::from_secs(2 * failures - 1),
            _ => Duration::from_millis(5_000 + 12_500 * failures * failures).min(BACKOFF_MAX),
        }
    }
}

impl Route {
    /// What to tell the tracker next.
    pub(super) fn event(&self, is_completed: bool) -> Option<Event> {
        match (self.is_started, is_completed && !self.is_completed) {
            (false, _) => Some(Event::Started),
            (true, true) => Some(Event::Completed),
            (true, false) => None,
        }
    }

    /// Whether the family works, and has not heard of a completion.
    pub(super) fn owes_completed(&self) -> bool {
        self.is_started && self.is_working && !self.is_completed
    }

    /// Takes note that an announce with `event` was answered.
    pub(super) fn on_answer(&mut self, event: Option<Event>) {
        self.is_working = true;
        match event {
            Some(Event::Started) => self.is_started = true,
            Some(Event::Completed) => self.is_completed = true,
            Some(Event::Stopped) => self.is_started = false,
            None => {}
        }
    }
}

/// `wait` made up to a tenth longer or shorter, so that clients that started together drift apart.
fn spread(wait: Duration, rng: &mut Rng) -> Duration {
    let permille = 900 + rng.below(201) as u32;
    wait.saturating_mul(permille) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(is_near: bool) -> Tracker {
        let rule = UrlRule { loopback: false, is_near };
        Tracker::new("http://t/announce".into(), "http://t/announce".into(), Some(rule))
    }

    fn waits(mut tracker: Tracker, count: usize) -> Vec<u64> {
        let failure = Failure { reason: String::new(), refused: false, retry: None };
        let mut rng = Rng::from_number(1);
        let mut wait = || {
            tracker.on_failure(Instant::ZERO, &failure, &mut rng);
            tracker.not_before.since(Instant::ZERO).as_secs()
        };
        (0..count).map(|_| wait()).collect()
    }

    #[test]
    fn the_wait_after_failures_grows_from_seconds_to_an_hour() {
        let expected = [17, 55, 117, 205, 317];
        for (wait, expected) in waits(tracker(false), 5).into_iter().zip(expected) {
            assert!(wait.abs_diff(expected) <= expected / 5, "{wait} s instead of {expected} s");
        }
        let all = waits(tracker(false), 1000);
        assert!(all.iter().all(|&wait| wait <= 3960) && all[999] >= 3240, "{} s", all[999]);
    }

    #[test]
    fn a_tracker_nearby_is_soon_asked_again() {
        assert!(waits(tracker(true), 2).iter().all(|&wait| wait <= 3));
        assert!(waits(tracker(true), 3)[2] >= 90);
    }

    #[test]
    fn with_cause_it_is_asked_sooner_but_never_at_once() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let mut rng = Rng::from_number(1);
        let mut answered = tracker(false);
        answered.on_answer(at(0), Some(Duration::from_secs(1800)), Some(Duration::from_secs(900)), &mut rng);
        answered.hurry(at(1), at(1));
        assert_eq!((answered.not_before, answered.due), (at(10), at(10)));
        answered.hurry(at(2), at(4));
        assert_eq!(answered.due, at(10));
        let put_off = Failure {
            reason: String::new(),
            refused: true,
            retry: Some(RetryIn::After(Duration::from_secs(600))),
        };
        let mut failed = tracker(false);
        failed.on_failure(at(0), &put_off, &mut rng);
        failed.hurry(at(1), at(1));
        assert_eq!(failed.not_before, at(600), "it said when it may be asked again");
        // What is overdue waits for the moment that was chosen.
        failed.hurry(at(700), at(703));
        assert_eq!((failed.not_before, failed.due), (at(703), at(703)));
    }

    #[test]
    fn intervals_are_held_within_bounds() {
        let mut rng = Rng::from_number(1);
        for (interval, min, soonest, due) in [
            (Some(0), None, 30, 54..=66),
            (Some(1 << 62), None, 30, 6480..=7920),
            (None, None, 30, 1620..=1980),
            (Some(1800), Some(0), 30, 1620..=1980),
            (Some(1800), Some(900), 900, 1620..=1980),
            (Some(1800), Some(1 << 62), 1800, 1800..=1980),
        ] {
            let mut tracker = tracker(false);
            let (interval, min) = (interval.map(Duration::from_secs), min.map(Duration::from_secs));
            tracker.on_answer(Instant::ZERO, interval, min, &mut rng);
            assert_eq!(tracker.not_before, Instant::ZERO + Duration::from_secs(soonest));
            assert!(due.contains(&tracker.due.since(Instant::ZERO).as_secs()), "{:?}", tracker.due);
        }
    }
}
