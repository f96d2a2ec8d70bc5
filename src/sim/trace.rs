//! A digest of every (time, host, input, action): equal for two runs that did the same.

use std::fmt::{self, Debug, Write};

use super::world::HostId;
use crate::base::time::Instant;

/// FNV-1a, 64 bits: the digest must be the same on every machine, not hard to forge.
const START: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// The digest so far, and the lines themselves where they are wanted.
pub(super) struct Trace {
    digest: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace that keeps no lines.
    pub(super) fn new() -> Trace {
        Trace { digest: START, lines: None }
    }

    /// Keeps the lines from here on.
    pub(super) fn keep_lines(&mut self) {
        self.lines.get_or_insert_default();
    }

    /// The lines kept so far.
    pub(super) fn take_lines(&mut self) -> Vec<String> {
        self.lines.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The digest of all that was recorded.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// Adds what a host was told or did.
    pub(super) fn record(&mut self, now: Instant, host: HostId, what: &dyn Debug) {
        let mut sink = Sink { digest: self.digest };
        let written = writeln!(sink, "{} {} {what:?}", now.as_nanos(), host.0);
        debug_assert!(written.is_ok(), "hashing never fails");
        self.digest = sink.digest;
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{now:?} host {} {what:?}", host.0));
        }
    }
}

struct Sink {
    digest: u64,
}

impl Write for Sink {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(PRIME);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_matters_and_so_does_every_part() {
        let digest_of = |records: &[(u64, usize, &str)]| {
            let mut trace = Trace::new();
            for (at, host, what) in records {
                trace.record(Instant::from_nanos(*at), HostId(*host), what);
            }
            trace.digest()
        };
        let first = digest_of(&[(1, 1, "a"), (1, 2, "b")]);
        assert_eq!(first, digest_of(&[(1, 1, "a"), (1, 2, "b")]));
        for other in [
            digest_of(&[(1, 2, "b"), (1, 1, "a")]),
            digest_of(&[(1, 1, "a"), (2, 2, "b")]),
            digest_of(&[(1, 1, "a"), (1, 2, "c")]),
        ] {
            assert_ne!(first, other);
        }
    }
}
