//! Floor 1: many messages to digests at once.
//!
//! Payload is hashed here, whole pieces or piece by piece as it comes. The interface takes several runs at a
//! time, each of a message of its own, so that kernels can work on them side by side; single messages
//! outside the payload are for [`base::digest`](crate::base::digest).

use std::fmt;

use sha1::Digest as _;

use crate::base::hash::Sha1Hash;

/// The digest of a message that is not complete yet.
#[derive(Clone, Default)]
pub struct RunningHash {
    state: sha1::Sha1,
}

impl RunningHash {
    /// The digest of all that was added.
    pub fn finish(self) -> Sha1Hash {
        Sha1Hash(self.state.finalize().into())
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
    for run in runs {
        for bytes in run.bytes {
            run.hash.state.update(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest;

    #[test]
    fn runs_of_several_messages_do_not_mix() {
        let (mut one, mut two) = (RunningHash::default(), RunningHash::default());
        advance(&mut [Run { hash: &mut one, bytes: &[b"ab", b"c"] }, Run { hash: &mut two, bytes: &[b"x"] }]);
        advance(&mut [Run { hash: &mut two, bytes: &[b"yz"] }]);
        assert_eq!(one.finish(), digest::sha1(b"abc"));
        assert_eq!(two.finish(), digest::sha1(b"xyz"));
    }
}
