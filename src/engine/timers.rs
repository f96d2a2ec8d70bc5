//! When to wake: one deadline per part of a session, the earliest first.
//!
//! There is no tick. Each part says when it wants to be woken next; a session in which nothing is due
//! sleeps. Deadlines are few (one a torrent, one an unfinished handshake, one for the choker and one for the
//! limits of rates), never one a peer.

use std::collections::{BTreeMap, BTreeSet};

use super::input::ConnectionId;
use super::order::TorrentId;
use crate::base::time::Instant;

/// Why a session wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TimerReason {
    /// A handshake is overdue.
    Handshake(ConnectionId),
    /// Allowances have filled up.
    Bandwidth,
    /// Peers wait to be served.
    Choker,
    /// A torrent has something to do.
    Torrent(TorrentId),
}

/// The deadlines of a session.
#[derive(Debug, Default)]
pub struct Timers {
    by_time: BTreeSet<(Instant, TimerReason)>,
    by_reason: BTreeMap<TimerReason, Instant>,
}

impl Timers {
    /// Sets the one deadline of `reason`, or takes it away.
    pub fn set(&mut self, reason: TimerReason, at: Option<Instant>) {
        let before = match at {
            Some(at) if self.by_reason.get(&reason) == Some(&at) => return,
            Some(at) => {
                self.by_time.insert((at, reason));
                self.by_reason.insert(reason, at)
            }
            None => self.by_reason.remove(&reason),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, reason));
        }
    }

    /// The earliest deadline and whose it is.
    pub fn next(&self) -> Option<(Instant, TimerReason)> {
        self.by_time.first().copied()
    }

    /// Takes the earliest deadline if it has passed at `now`.
    pub fn take_due(&mut self, now: Instant) -> Option<TimerReason> {
        let (_, reason) = self.next().filter(|(at, _)| *at <= now)?;
        self.set(reason, None);
        Some(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_comes_first_and_once() {
        let mut timers = Timers::default();
        let (one, two) = (TimerReason::Torrent(TorrentId(1)), TimerReason::Torrent(TorrentId(2)));
        timers.set(one, Some(Instant::from_nanos(20)));
        timers.set(two, Some(Instant::from_nanos(10)));
        timers.set(one, Some(Instant::from_nanos(5)));
        assert_eq!(timers.next(), Some((Instant::from_nanos(5), one)));
        assert_eq!(timers.take_due(Instant::from_nanos(4)), None);
        assert_eq!(timers.take_due(Instant::from_nanos(30)), Some(one));
        timers.set(two, None);
        assert_eq!(timers.take_due(Instant::from_nanos(30)), None);
    }
}
