//! The end: trackers that know of us are told that we leave, within a time that a person waits.

use super::{Announcer, Phase};
use crate::base::time::{Duration, Instant};
use crate::engine::tracker::tracker_state::{FAMILIES, Tracker};
use crate::wire::tracker::Event;

/// How long all `stopped` together may take: a person waits.
const STOP_TIMEOUT: Duration = Duration::from_millis(1_700);
/// How long a `stopped` waits for an announce that is under way to the same tracker.
const STOP_GRACE: Duration = Duration::from_millis(700);

impl Announcer {
    /// Ends: trackers that have answered `started` are told, for as long as [`Announcer::is_idle_after_stop`]
    /// is false.
    pub fn stop(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Stopping { .. } | Phase::Stopped) {
            return;
        }
        self.phase = Phase::Stopping { grace: now + STOP_GRACE, by: now + STOP_TIMEOUT };
        self.asked = None;
        for tracker in 0..self.trackers.len() {
            for family in 0..FAMILIES.len() {
                if self.trackers[tracker].routes[family].in_flight.is_none() {
                    self.say_goodbye(now, tracker, family);
                }
            }
        }
        self.settle_stop();
    }

    /// Tells a tracker over one family that we leave, if it knows that we are there.
    pub(super) fn say_goodbye(&mut self, now: Instant, tracker: usize, family: usize) {
        let Phase::Stopping { by, .. } = self.phase else { return };
        let route = &self.trackers[tracker].routes[family];
        if !route.is_started || now >= by {
            return;
        }
        let owes = self.is_completed && route.owes_completed();
        let event = if owes { Event::Completed } else { Event::Stopped };
        self.send(tracker, family, Some(event), by.since(now));
    }

    /// Where an announce is still under way, says goodbye without waiting for it.
    pub(super) fn overtake_by_goodbyes(&mut self, now: Instant) {
        for tracker in 0..self.trackers.len() {
            for family in 0..FAMILIES.len() {
                let route = &mut self.trackers[tracker].routes[family];
                if route.in_flight.is_some_and(|(_, event)| event != Some(Event::Stopped)) {
                    route.in_flight = None;
                    route.is_working = false;
                    self.say_goodbye(now, tracker, family);
                }
            }
        }
        self.settle_stop();
    }

    pub(super) fn give_up_stop(&mut self) {
        for tracker in &mut self.trackers {
            for route in &mut tracker.routes {
                route.in_flight = None;
            }
        }
        self.settle_stop();
    }

    pub(super) fn settle_stop(&mut self) {
        if !self.trackers.iter().any(Tracker::is_busy) {
            self.phase = Phase::Stopped;
        }
    }
}
