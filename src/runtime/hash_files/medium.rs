//! What the files of a payload lie on: one file of each device is looked at, since a payload may have thousands.

use std::collections::BTreeMap;
use std::path::Path;

use super::Source;
use crate::runtime::disk::medium::Medium;

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
                    .or_insert_with(|| Medium::of(&dir.join(path), seen.identity.0));
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
