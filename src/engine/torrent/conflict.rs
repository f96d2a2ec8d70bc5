//! Whether a file that was there before us stands in the way of a download.
//!
//! A file is this torrent's as soon as one right piece with data reaches into it; the rest of it is fetched.
//! A file under its final name with data but without such a piece is *unproven*, and is judged here, once,
//! after the check and before anything is written:
//!
//! - longer than it should be: a conflict
//! - it looks like what an interrupted run leaves: no conflict
//! - it has a piece of its own (padding aside), so it would have been recognised: a conflict
//! - it shares all its pieces with neighbours, one of which may be what is missing: a conflict only if
//!   nothing else of the torrent was recognised either
//!
//! A conflict ends the torrent, or sends it to another place if people want that; nothing of the file is touched.
//! No conflict is no licence to overwrite: the disk fetches unproven files anew beside the old ones, and replaces
//! those only by what contains them.

use crate::base::file_map::FileSpan;
use crate::base::index::{FileIndex, PieceIndex};
use crate::engine::disk_job::{DiskError, DiskErrorKind, Unproven, UnprovenFile};
use crate::engine::order::TorrentSpec;

/// Why the torrent cannot go on where it is, if so.
pub(super) fn conflict(spec: &TorrentSpec, unproven: &Unproven) -> Option<DiskError> {
    let mut foreign = unproven.files.iter().filter(|found| is_foreign(spec, found, unproven.is_any_proven));
    let first = foreign.next()?;
    let is_long = |span: &FileSpan| first.length > span.length;
    let is_telling = |span: &FileSpan| is_long(span) || has_own_piece(spec, first.file, span);
    let mut message = match spec.file_map.files().get(first.file.index()) {
        Some(span) if !is_telling(span) => {
            "the file in its place cannot be told from other data: all its pieces reach into files that are missing"
        }
        _ => "a file with other data has its place",
    }
    .to_owned();
    let more = foreign.count();
    if more > 0 {
        message.push_str(&format!(" ({more} more like it)"));
    }
    Some(DiskError {
        kind: DiskErrorKind::Exists,
        operation: "download to",
        file: first.path.clone(),
        message,
    })
}

fn is_foreign(spec: &TorrentSpec, found: &UnprovenFile, is_any_proven: bool) -> bool {
    let Some(span) = spec.file_map.files().get(found.file.index()) else { return false };
    if found.length > span.length {
        return true;
    }
    !found.looks_interrupted && (!is_any_proven || has_own_piece(spec, found.file, span))
}

/// Whether there is a piece that holds bytes of this file and of no other, padding aside.
fn has_own_piece(spec: &TorrentSpec, file: FileIndex, span: &FileSpan) -> bool {
    let Some(last_byte) = (span.offset + span.length).checked_sub(1).filter(|last| *last >= span.offset)
    else {
        return false;
    };
    let ends = (spec.layout.piece_at(span.offset), spec.layout.piece_at(last_byte));
    let (Some(first), Some(last)) = ends else { return false };
    let is_own = |piece: PieceIndex| {
        let mut slices = spec.file_map.slices(spec.layout.piece_range(piece));
        slices.all(|slice| slice.is_pad || slice.file == file)
    };
    // Only the first and the last can be shared.
    last.0 - first.0 >= 2 || is_own(first) || is_own(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::file_map::FileMap;
    use crate::base::hash::{InfoHashes, PieceHashes, Sha1Hash};
    use crate::base::layout::Layout;
    use crate::engine::settings::Limits;
    use std::sync::Arc;

    const PIECE: u32 = 32_768;

    fn spec(files: &[(u64, bool)]) -> TorrentSpec {
        let map = FileMap::new(files.iter().copied()).unwrap();
        TorrentSpec {
            info_hashes: InfoHashes { v1: Some(Sha1Hash([1; 20])), v2: None },
            layout: Arc::new(Layout::uniform(map.total(), PIECE).unwrap()),
            piece_hashes: PieceHashes::v1(Vec::new()),
            file_map: Arc::new(map),
            is_private: false,
            trackers: Vec::new(),
            seed_only: false,
            super_seed: false,
            limits: Limits::default(),
        }
    }

    fn found(file: u32, length: u64) -> UnprovenFile {
        UnprovenFile { file: FileIndex(file), path: format!("d/f{file}"), length, looks_interrupted: false }
    }

    fn is_conflict(spec: &TorrentSpec, file: UnprovenFile, is_any_proven: bool) -> bool {
        conflict(spec, &Unproven { files: vec![file], is_any_proven }).is_some()
    }

    #[test]
    fn a_file_with_a_piece_of_its_own_conflicts_whatever_its_neighbours_are() {
        // The 30,000 bytes have one because only padding is beside them, the last 100 because they are last.
        let spec = spec(&[
            (40_000, false),
            (58_000, false),
            (304, true),
            (30_000, false),
            (2_768, true),
            (100, false),
        ]);
        for file in [0, 1, 3, 5] {
            for length in [1, spec.file_map.files()[file as usize].length] {
                assert!(is_conflict(&spec, found(file, length), true), "{file}, {length}");
            }
        }
    }

    #[test]
    fn a_file_of_shared_pieces_conflicts_only_when_nothing_is_recognised() {
        let spec = spec(&[(10_000, false), (20_000, false), (50_000, false)]);
        for file in [0, 1] {
            assert!(!is_conflict(&spec, found(file, 10_000), true));
            assert!(is_conflict(&spec, found(file, 10_000), false));
        }
        assert!(is_conflict(&spec, found(2, 50_000), true));
    }

    #[test]
    fn where_right_data_cannot_be_told_from_other_data_the_error_says_so() {
        let spec = spec(&[(10_000, false), (20_000, false), (50_000, false)]);
        let said = |file, length| {
            let unproven = Unproven { files: vec![found(file, length)], is_any_proven: false };
            conflict(&spec, &unproven).unwrap().message
        };
        assert!(said(1, 20_000).starts_with("the file in its place cannot be told from other data"));
        for (file, length) in [(1, 20_001), (2, 50_000)] {
            assert_eq!(said(file, length), "a file with other data has its place");
        }
    }

    #[test]
    fn a_file_that_is_too_long_always_conflicts() {
        let spec = spec(&[(10_000, false), (50_000, false)]);
        for is_any_proven in [false, true] {
            assert!(is_conflict(&spec, found(0, 10_001), is_any_proven));
            let interrupted = UnprovenFile { looks_interrupted: true, ..found(0, 10_001) };
            assert!(is_conflict(&spec, interrupted, is_any_proven));
        }
    }

    #[test]
    fn what_an_interrupted_run_leaves_is_no_conflict() {
        let spec = spec(&[(100_000, false)]);
        let interrupted = UnprovenFile { looks_interrupted: true, ..found(0, 100_000) };
        assert!(!is_conflict(&spec, interrupted, false));
        assert!(is_conflict(&spec, found(0, 100_000), false));
    }

    #[test]
    fn the_error_names_the_first_file_and_counts_the_others() {
        let spec = spec(&[(100_000, false), (10, false), (100_000, false)]);
        let files = vec![found(0, 5), found(1, 5), found(2, 5)];
        let error = conflict(&spec, &Unproven { files, is_any_proven: true }).unwrap();
        assert_eq!(error.kind, DiskErrorKind::Exists);
        assert_eq!(
            error.to_string(),
            "cannot download to d/f0: a file with other data has its place (1 more like it)"
        );
        assert_eq!(conflict(&spec, &Unproven { files: Vec::new(), is_any_proven: false }), None);
    }
}
