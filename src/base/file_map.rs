//! Which bytes of the payload are in which file.

use std::ops::Range;

use super::index::FileIndex;

/// One file's place in the payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileSpan {
    /// Offset of its first byte in the payload.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Padding: zeros that exist on the wire only and are never written (BEP 47).
    pub is_pad: bool,
}

/// A stretch of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileSlice {
    /// The file.
    pub file: FileIndex,
    /// Offset within the file.
    pub offset: u64,
    /// Bytes; never 0.
    pub length: u64,
    /// See [`FileSpan::is_pad`].
    pub is_pad: bool,
}

/// All files of a torrent in payload order, pad files among them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileMap {
    files: Vec<FileSpan>,
    total: u64,
}

impl FileMap {
    /// Files of the given `(length, is_pad)`, one after the other. `None` when the sum passes 2^63.
    pub fn new(files: impl IntoIterator<Item = (u64, bool)>) -> Option<FileMap> {
        let mut map = FileMap::default();
        for (length, is_pad) in files {
            map.files.push(FileSpan { offset: map.total, length, is_pad });
            map.total = map.total.checked_add(length).filter(|total| *total <= i64::MAX as u64)?;
        }
        Some(map)
    }

    /// Bytes of all files together, padding counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Every file's place, by [`FileIndex`].
    pub fn files(&self) -> &[FileSpan] {
        &self.files
    }

    /// The stretches of files that make up the payload bytes `range`, in order; empty files own nothing.
    pub fn slices(&self, range: Range<u64>) -> impl Iterator<Item = FileSlice> + '_ {
        let first = self.files.partition_point(|file| file.offset + file.length <= range.start);
        self.files[first..]
            .iter()
            .enumerate()
            .take_while({
                let end = range.end;
                move |(_, file)| file.offset < end
            })
            .filter_map(move |(after, file)| {
                let start = range.start.max(file.offset);
                let end = range.end.min(file.offset + file.length);
                (start < end).then(|| FileSlice {
                    file: FileIndex((first + after) as u32),
                    offset: start - file.offset,
                    length: end - start,
                    is_pad: file.is_pad,
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_range_is_cut_at_file_ends_and_skips_empty_files() {
        let map = FileMap::new([(10, false), (0, false), (6, true), (20, false)]).unwrap();
        let slices: Vec<_> =
            map.slices(8..18).map(|slice| (slice.file.0, slice.offset, slice.length, slice.is_pad)).collect();
        assert_eq!(slices, [(0, 8, 2, false), (2, 0, 6, true), (3, 0, 2, false)]);
        assert_eq!(map.slices(36..36).count(), 0);
        assert_eq!(map.slices(100..200).count(), 0);
    }

    #[test]
    fn lengths_that_wrap_are_refused() {
        assert_eq!(FileMap::new([(u64::MAX, false), (2, false)]), None);
    }

    proptest! {
        #[test]
        fn slices_add_up_to_the_range(
            lengths in prop::collection::vec(0u64..50, 0..12),
            start in 0u64..400,
            length in 0u64..400,
        ) {
            let map = FileMap::new(lengths.iter().map(|length| (*length, false))).unwrap();
            let mut next = start;
            for slice in map.slices(start..start + length) {
                prop_assert_eq!(map.files()[slice.file.index()].offset + slice.offset, next);
                next += slice.length;
            }
            let expected = (start + length).min(map.total()).saturating_sub(start.min(map.total()));
            prop_assert_eq!(next - start, expected);
        }
    }
}
