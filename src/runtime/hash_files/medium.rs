//! What files lie on, as far as it matters to reading: memory, a disk that rotates, anything else.

use std::collections::BTreeMap;
use std::path::Path;

use super::Source;

/// What a file lies on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Medium {
    /// Nothing to read ahead from.
    Memory,
    /// A disk with heads, which moving costs time.
    Rotating,
    /// A disk without, or one that we know nothing of.
    Flash,
}

/// The medium of each device that files are on.
#[derive(Debug, Default)]
pub(super) struct Media {
    by_device: BTreeMap<u64, Medium>,
}

impl Media {
    /// Looks at one file of each device.
    pub(super) fn of(dir: &Path, sources: &[Source]) -> Media {
        let mut media = Media::default();
        for source in sources {
            if let Source::File { path, seen } = source {
                media
                    .by_device
                    .entry(seen.identity.0)
                    .or_insert_with(|| look(&dir.join(path), seen.identity.0));
            }
        }
        media
    }

    pub(super) fn medium(&self, device: u64) -> Medium {
        self.by_device.get(&device).copied().unwrap_or(Medium::Flash)
    }

    pub(super) fn has_rotating(&self) -> bool {
        self.by_device.values().any(|medium| *medium == Medium::Rotating)
    }
}

#[cfg(target_os = "linux")]
fn look(path: &Path, device: u64) -> Medium {
    if crate::runtime::disk::file_system::is_path_in_memory(path) {
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
fn look(_: &Path, _: u64) -> Medium {
    Medium::Flash
}
