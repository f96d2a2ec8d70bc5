//! The clock: the one place where the engine's time comes from.

use std::time;

use crate::base::time::Instant;

/// Counts from the moment it was made. Never steps back, whatever is done to the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { origin: time::Instant::now() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// The same moment as the runtime's timers count it.
    pub(crate) fn to_timer(self, at: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + at.since(Instant::ZERO))
    }
}
