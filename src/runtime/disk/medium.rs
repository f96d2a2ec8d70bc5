//! What files lie on, as far as it matters to reading: memory, a disk that rotates, anything else. And the rule for
//! the second kind: one thread at a time reads, whatever the others do meanwhile.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a file lies on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::runtime) enum Medium {
    /// Nothing to read ahead from.
    Memory,
    /// A disk with heads, which moving costs time.
    Rotating,
    /// A disk without, or one that we know nothing of.
    Flash,
}

/// Held while a rotating disk is read: two readers would send its heads to and fro.
#[derive(Default, Debug)]
pub(in crate::runtime) struct Heads(Mutex<()>);

impl Heads {
    /// Waits until nobody else reads, where that matters.
    pub(in crate::runtime) fn reading(&self, is_rotating: bool) -> Option<MutexGuard<'_, ()>> {
        is_rotating.then(|| self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Medium {
    /// Of what is at `path`, on the device of that number.
    #[cfg(target_os = "linux")]
    pub(in crate::runtime) fn of(path: &Path, device: u64) -> Medium {
        if super::file_system::is_path_in_memory(path) {
            return Medium::Memory;
        }
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let device = format!("/sys/dev/block/{major}:{minor}");
        // A partition has its queue one folder up, with the disk.
        let queues = [format!("{device}/queue/rotational"), format!("{device}/../queue/rotational")];
        match queues.iter().find_map(|queue| std::fs::read_to_string(queue).ok()) {
            Some(flag) if flag.trim() == "1" => Medium::Rotating,
            _ => Medium::Flash,
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(in crate::runtime) fn of(_: &Path, _: u64) -> Medium {
        Medium::Flash
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn one_reads_a_rotating_disk_at_a_time_and_any_number_another() {
        let heads = Heads::default();
        let reading = heads.reading(true);
        assert!(reading.is_some());
        assert!(heads.reading(false).is_none(), "does not wait");
        let has_left = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let _reading = heads.reading(true);
                has_left.load(Ordering::SeqCst)
            });
            has_left.store(true, Ordering::SeqCst);
            drop(reading);
            assert!(other.join().unwrap(), "it waited");
        });
    }
}
