//! How many files the process may have open, and what it looks like when they are too few.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// No more than this is asked for; a torrent needs far fewer, connections a few thousand.
const WANTED: u64 = 65_536;
/// What macOS allows whatever it says.
const MACOS: u64 = 10_240;

/// Raises the limit of open files as far as is allowed and useful, and tells what it is then.
pub fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let most = limit.maximum.unwrap_or(u64::MAX).min(WANTED);
    for wanted in [most, most.min(MACOS)] {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if wanted > current && setrlimit(Resource::Nofile, raised).is_ok() {
            return wanted;
        }
    }
    current
}

/// Whether this is no fault of the file in question: too many others are open, in this process or in all.
pub fn is_too_many_files(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| number == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_only_rises() {
        let before = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let after = raise_file_limit();
        assert!(after >= before, "{after} < {before}");
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), after);
    }
}
