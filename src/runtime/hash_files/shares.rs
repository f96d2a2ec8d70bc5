//! How the open files that a process is allowed are shared out among workers.

use super::worker::OPEN_FILES;

/// What the process has open besides: standard streams, those of its runtimes, the folder, and some to spare.
const OTHERS: u64 = 32;
/// What a worker opens besides the files: the folder of the last one, and for a moment the next one's.
const FOLDERS: u64 = 2;

/// How many workers there may be, at most `threads`, and how many files each of them, where `limit` files may be open
/// in all. Where they are too few, fewer workers with several files each come before many with one.
pub(super) fn shares(limit: u64, threads: usize) -> (usize, usize) {
    const SOME: u64 = 4;
    let left = limit.saturating_sub(OTHERS);
    let threads = (left / (SOME + FOLDERS)).clamp(1, threads.max(1) as u64);
    let files = (left / threads).saturating_sub(FOLDERS).clamp(1, OPEN_FILES as u64);
    (threads as usize, files as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_together_stay_within_the_limit() {
        for limit in [39, 48, 64, 100, 256, 1024, 65_536] {
            for threads in [1, 2, 16, 64] {
                let (workers, files) = shares(limit, threads);
                assert!((1..=threads).contains(&workers) && (1..=OPEN_FILES).contains(&files));
                let all = OTHERS + workers as u64 * (files as u64 + FOLDERS);
                assert!(all <= limit, "{all} of {limit} with {threads}");
            }
        }
        assert_eq!(shares(65_536, 64), (64, OPEN_FILES));
        assert_eq!(shares(0, 8), (1, 1));
    }
}
