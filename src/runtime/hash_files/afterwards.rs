//! What is looked at once more when everything is hashed.
//!
//! Who reads strictly wants to know that all files are still what they were, those among them that are empty, which
//! nobody has opened. Who is lenient wants to know why pieces are left out: files that have become shorter, and
//! those that were not opened because a neighbour in the same piece is not there.

use std::collections::BTreeSet;

use super::{HashError, Hashed, Payload, Progress, Source, Strictness};
use crate::base::index::{FileIndex, PieceIndex};
use crate::runtime::disk::door::Found;
use crate::runtime::disk::door::reading::ReadingDoor;

impl Payload {
    /// Looks at all files again.
    pub(super) fn look_again(&self, hashed: &mut Hashed, progress: &Progress) -> Result<(), HashError> {
        let left_out = self.left_out(hashed);
        let mut door = ReadingDoor::new(self.door.clone());
        for (index, source) in self.sources.iter().enumerate() {
            let Source::File { path, seen } = source else { continue };
            let index = FileIndex(index as u32);
            if progress.is_stopped() {
                return Err(HashError::Stopped);
            }
            let now = match left_out.contains(&index) {
                false => door.look(path),
                true => door.open(path).map(|(_, now)| Some(now)),
            };
            match now {
                Ok(Some(now)) if self.strictness == Strictness::Strict => {
                    self.require_unchanged(index, &now)?
                }
                Ok(Some(now)) if now.length < seen.length => drop(hashed.shorter.insert(index, now)),
                Ok(Some(_)) => {}
                Ok(None) if self.strictness == Strictness::Strict => {
                    return Err(HashError::Changed { path: self.dir.join(path) });
                }
                // What was read of it was right or wrong; it was there.
                Ok(None) => {}
                Err(error) => self.fault(index, error, &mut hashed.faults)?,
            }
        }
        Ok(())
    }

    /// Files of pieces without a digest.
    fn left_out(&self, hashed: &Hashed) -> BTreeSet<FileIndex> {
        let pieces = hashed.digests.iter().enumerate().filter(|(_, digest)| digest.is_none());
        let ranges = pieces.map(|(piece, _)| self.layout.piece_range(PieceIndex(piece as u32)));
        ranges.flat_map(|range| self.file_map.slices(range)).map(|slice| slice.file).collect()
    }

    /// An error if a file is not the one that was looked at first.
    pub(super) fn require_unchanged(&self, index: FileIndex, now: &Found) -> Result<(), HashError> {
        let Source::File { path, seen } = &self.sources[index.index()] else { return Ok(()) };
        let path = || self.dir.join(path);
        let marks = |found: &Found| (found.length, found.modified, found.identity);
        match () {
            () if self.strictness == Strictness::Lenient => Ok(()),
            () if marks(seen) != marks(now) => Err(HashError::Changed { path: path() }),
            () if seen.changed != now.changed => Err(HashError::Touched { path: path() }),
            () => Ok(()),
        }
    }
}
