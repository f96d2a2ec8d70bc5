//! The clock: the one place where the engine's time comes from.

use std::time;

use crate::base::time::Instant;

/// Counts from the moment it was made. Never steps back, whatever is done to the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: time::Instant,
}

impl Clock {
    pub(super) fn start() -> Clock {
        Clock { origin: time::Instant::now() }
    }

    pub(super) fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// The same moment as the runtime's timers count it.
    pub(super) fn to_timer(self, at: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + at.since(Instant::ZERO))
    }
}
