//! What the program says to the shell when it ends. Scripts rely on these numbers.

/// How a run ended, each with its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum ExitCode {
    /// Every target reached its goal.
    Ok = 0,
    /// Anything that has no number of its own.
    Error = 1,
    /// A bad flag or argument.
    Usage = 2,
    /// Some targets are done, some failed.
    Partial = 3,
    /// Nothing at all has answered.
    Network = 4,
    /// `--timeout` or `--stall`.
    Stalled = 5,
    /// The disk is full.
    DiskFull = 9,
    /// Every tracker refused, and there is nobody else to ask.
    Tracker = 10,
    /// Another btget works on the same data.
    Busy = 11,
    /// Something else has the place where the data belongs.
    Exists = 13,
    /// Another error with files.
    Io = 17,
    /// A torrent that cannot be read, or is refused.
    BadTorrent = 25,
    /// Files are not what a torrent says.
    Corrupt = 32,
    /// SIGINT before the goal.
    Interrupted = 130,
    /// SIGTERM before the goal.
    Terminated = 143,
}

impl ExitCode {
    /// All of them, in order.
    pub const ALL: &[ExitCode] = &[
        ExitCode::Ok,
        ExitCode::Error,
        ExitCode::Usage,
        ExitCode::Partial,
        ExitCode::Network,
        ExitCode::Stalled,
        ExitCode::DiskFull,
        ExitCode::Tracker,
        ExitCode::Busy,
        ExitCode::Exists,
        ExitCode::Io,
        ExitCode::BadTorrent,
        ExitCode::Corrupt,
        ExitCode::Interrupted,
        ExitCode::Terminated,
    ];

    /// The number that the shell sees.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The code of a run from the codes of its targets: partial if some reached their goal, else what they
    /// have in common.
    pub fn of_all(codes: impl IntoIterator<Item = ExitCode>) -> ExitCode {
        let mut codes: Vec<ExitCode> = codes.into_iter().collect();
        codes.sort_unstable();
        codes.dedup();
        match codes[..] {
            [] => ExitCode::Ok,
            [common] => common,
            [ExitCode::Ok, ..] => ExitCode::Partial,
            _ => ExitCode::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode::{self, Error, Exists, Io, Network, Ok, Partial};

    #[test]
    fn a_batch_is_partial_only_when_something_was_done() {
        for (codes, expected) in [
            (vec![], Ok),
            (vec![Ok, Ok], Ok),
            (vec![Ok, Network, Io], Partial),
            (vec![Io, Ok], Partial),
            (vec![Exists, Exists], Exists),
            (vec![Exists, Io], Error),
        ] {
            assert_eq!(ExitCode::of_all(codes.clone()), expected, "{codes:?}");
        }
    }
}
