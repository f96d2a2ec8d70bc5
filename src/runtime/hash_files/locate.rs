//! Where a torrent's files are: in a download folder, in the torrent's own folder, or in one file, under their
//! final names or those of unfinished files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Source;
use crate::runtime::disk::door::reading::ReadingDoor;
use crate::runtime::disk::door::{Door, Found};
use crate::runtime::disk::{is_too_many_files, part_paths};

/// A folder, and the paths below it that files would have there. `None` stands for what is in no file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The folder.
    pub dir: PathBuf,
    /// By place in the file list.
    pub paths: Vec<Option<PathBuf>>,
}

/// What is at a place, by place in the file list.
#[derive(Debug)]
pub struct Located {
    /// For [`Payload::open`](super::Payload::open).
    pub sources: Vec<Source>,
    /// Files that something else has the place of, or that can't be looked at.
    pub faults: Vec<(usize, io::Error)>,
}

impl Located {
    /// Bytes of files that are as long as they should be, and of all files. `lengths` has an entry for each.
    pub fn bytes_there(&self, lengths: &[u64]) -> (u64, u64) {
        let mut bytes = (0, 0);
        for (source, length) in self.sources.iter().zip(lengths) {
            if let Source::File { seen, .. } = source {
                bytes.0 += if seen.length == *length { *length } else { 0 };
                bytes.1 += seen.length.min(*length);
            }
        }
        bytes
    }

    /// Whether any file is there.
    pub fn is_any_there(&self) -> bool {
        !self.faults.is_empty() || self.sources.iter().any(|source| matches!(source, Source::File { .. }))
    }
}

impl Place {
    /// Looks at each path, then at the name that it has while it is unfinished. A folder that is not there has no
    /// files.
    pub fn look(&self) -> io::Result<Located> {
        let mut located = Located { sources: Vec::with_capacity(self.paths.len()), faults: Vec::new() };
        let mut door = match Door::open(&self.dir, false) {
            Ok(door) => Some(ReadingDoor::new(Arc::new(door))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let parts = part_paths(self.paths.iter().map(Option::as_deref));
        for (index, (path, part)) in self.paths.iter().zip(&parts).enumerate() {
            let source = match (path, &mut door) {
                (None, _) => Source::Zeros,
                (Some(_), None) => Source::Absent,
                (Some(path), Some(door)) => match find(door, path, part) {
                    Ok(source) => source,
                    // That says nothing of the file.
                    Err(error) if is_too_many_files(&error) => return Err(error),
                    Err(error) => {
                        located.faults.push((index, error));
                        Source::Absent
                    }
                },
            };
            located.sources.push(source);
        }
        Ok(located)
    }
}

fn find(door: &mut ReadingDoor, path: &Path, part: &Path) -> io::Result<Source> {
    let source = |path: &Path, seen: Found| Source::File { path: path.to_owned(), seen };
    if let Some(seen) = door.look(path)? {
        return Ok(source(path, seen));
    }
    Ok(door.look(part)?.map_or(Source::Absent, |seen| source(part, seen)))
}
