//! Floor 1: many messages to digests at once.
//!
//! Payload is hashed here, whole pieces or piece by piece as it comes. Callers give several runs at a time,
//! each of a message of its own: the `scheduler` puts them onto the lanes of a `kernel`, which hashes up to
//! sixteen messages in the time of a few, and the `plan` says which kernel is the fastest for how many.
//! Single messages outside the payload are for [`base::digest`](crate::base::digest).

mod kernel;
mod plan;
mod running;
mod scheduler;

#[cfg(test)]
mod tests;

use std::fmt;

pub use kernel::Kernel;
pub use plan::{KernelError, MAX_LANES, Plan, require_kernel};

use crate::base::hash::Sha1Hash;
use running::Running;

/// The digest of a message that is not complete yet. It can be put aside and gone on with on any thread.
#[derive(Clone)]
pub struct RunningHash {
    message: Running<5>,
}

impl RunningHash {
    /// The digest of all that was added.
    pub fn finish(self) -> Sha1Hash {
        Plan::current().finish(self)
    }
}

impl Default for RunningHash {
    fn default() -> RunningHash {
        RunningHash { message: Running::SHA1 }
    }
}

impl fmt::Debug for RunningHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunningHash")
    }
}

/// The next bytes of one message.
pub struct Run<'a> {
    /// The message's digest so far.
    pub hash: &'a mut RunningHash,
    /// Its next bytes, in order.
    pub bytes: &'a [&'a [u8]],
}

/// Hashes each run into its message. The runs belong to different messages, so their order is free.
pub fn advance(runs: &mut [Run<'_>]) {
    Plan::current().advance(runs);
}

/// How many messages go side by side here, at most: 1 to [`MAX_LANES`]. More at a time bring nothing.
pub fn lanes() -> usize {
    Plan::current().lanes()
}

/// SHA-1 of each of many messages: a piece's blocks, or whole pieces.
pub fn sha1_each(messages: &[&[u8]]) -> Vec<Sha1Hash> {
    Plan::current().sha1_each(messages)
}
