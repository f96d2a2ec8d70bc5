//! One known peer: how it stands with us, and how good a dial it would be.

use std::cmp::Reverse;

use super::PeerSource;
use crate::base::time::{Duration, Instant};

/// The first wait of a peer that is worth waiting for; doubles with each failure.
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// The longest wait of a peer that is worth waiting for.
const RETRY_MAX: Duration = Duration::from_secs(40);
/// The wait of any other peer, times its failures and one.
const RETRY_STRANGER: Duration = Duration::from_secs(60);
/// The longest wait of all.
const RETRY_STRANGER_MAX: Duration = Duration::from_secs(60 * 60);

/// When the network has changed, strangers are dialled within this time.
const HURRIED_WITHIN: Duration = Duration::from_secs(30);
/// The wait of a peer whose connection the network has lost.
const RETRY_LOST: Duration = Duration::from_secs(1);

/// Where we stand with a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Contact {
    /// Nothing is under way, and nothing is to be before `until`.
    Apart { until: Instant },
    /// A dial is under way.
    Dialling,
    /// Hands are shaken.
    Connected,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) source: PeerSource,
    pub(super) contact: Contact,
    /// Dials that failed and connections that brought nothing, since the last that was worth it.
    pub(super) failures: u32,
    /// Whether it wanted nothing any more when it was connected last.
    pub(super) is_seed: bool,
    /// Whether it has ever shaken hands at this address, or been of use.
    has_worked: bool,
    tie_break: u32,
}

impl Candidate {
    pub(super) fn new(now: Instant, source: PeerSource, tie_break: u32) -> Candidate {
        Candidate {
            source,
            contact: Contact::Apart { until: now },
            failures: 0,
            is_seed: false,
            has_worked: false,
            tie_break,
        }
    }

    /// How good a dial it is: the greatest is dialled first, the least forgotten first.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        (self.is_worth_waiting_for(), Reverse(self.failures), self.source, self.tie_break)
    }

    fn is_worth_waiting_for(&self) -> bool {
        self.has_worked || self.source == PeerSource::Person
    }

    pub(super) fn improve_source(&mut self, now: Instant, source: PeerSource) {
        self.source = source;
        if let (Contact::Apart { until }, PeerSource::Person) = (&mut self.contact, source) {
            // A person who names a peer means to have it tried.
            *until = now.min(*until);
        }
    }

    pub(super) fn on_dialled(&mut self) {
        self.contact = Contact::Dialling;
    }

    pub(super) fn on_connected(&mut self) {
        self.contact = Contact::Connected;
        self.has_worked = true;
    }

    pub(super) fn on_accepted(&mut self) {
        self.contact = Contact::Connected;
    }

    pub(super) fn on_failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.contact = Contact::Apart { until: now + self.wait() };
    }

    pub(super) fn on_disconnected(&mut self, now: Instant, was_useful: bool) {
        self.has_worked |= was_useful;
        self.failures = if was_useful { 0 } else { self.failures.saturating_add(1) };
        self.contact = Contact::Apart { until: now + self.wait() };
    }

    /// Waits no longer than a moment; strangers, of whom there may be many, one after the other.
    pub(super) fn hurry(&mut self, now: Instant) {
        let moment = match self.is_worth_waiting_for() {
            true => Duration::ZERO,
            false => Duration::from_millis(u64::from(self.tie_break) % HURRIED_WITHIN.as_millis() as u64),
        };
        self.wait_at_most(now + moment);
    }

    pub(super) fn retry_soon(&mut self, now: Instant) {
        self.wait_at_most(now + RETRY_LOST);
    }

    fn wait_at_most(&mut self, at: Instant) {
        if let Contact::Apart { until } = &mut self.contact {
            *until = at.min(*until);
        }
    }

    pub(super) fn on_useless(&mut self, now: Instant) {
        self.has_worked = false;
        self.failures = self.failures.max(1);
        self.contact = Contact::Apart { until: now + self.wait() };
    }

    fn wait(&self) -> Duration {
        if self.is_worth_waiting_for() {
            let doublings = self.failures.saturating_sub(1).min(10);
            (RETRY_FIRST * (1 << doublings)).min(RETRY_MAX)
        } else {
            RETRY_STRANGER.saturating_mul(self.failures.saturating_add(1)).min(RETRY_STRANGER_MAX)
        }
    }
}
