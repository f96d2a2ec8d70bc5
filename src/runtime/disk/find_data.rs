//! Whether a torrent's data is in a folder: by the names alone, or as sure as reading a few pieces makes it. What the
//! rest is worth a check tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::advance::is_right;
use super::door::{Access, Door};
use super::space::next_data;
use super::target::{FileSpec, part_paths};
use crate::base::file_map::FileMap;
use crate::base::hash::PieceHashes;
use crate::base::index::{FileIndex, PieceIndex};
use crate::base::layout::Layout;
use crate::hashing::{self, Run, RunningHash};

/// Pieces that are read at the most, from all over the torrent.
const PROBES: u32 = 16;
/// Bytes after which no other piece is read.
const PROBED_BYTES: u64 = 64 * 1024 * 1024;
/// Files that are kept open meanwhile.
const OPEN_FILES: usize = 16;

/// Whether any of `files` is in `dir` and not empty, under its final or its `.part` name.
pub fn has_data(dir: &Path, files: &[FileSpec]) -> bool {
    let Some((door, parts)) = folder(dir, files) else { return false };
    let is_there = |path: &Path| matches!(door.look(path), Ok(Some(found)) if found.length > 0);
    files
        .iter()
        .zip(&parts)
        .filter(|(file, _)| !file.skip)
        .any(|(file, part)| is_there(&file.path) || is_there(part))
}

/// Whether all of `files`, which are those of `map`, are in `dir`, under their final or their `.part` names, with their
/// lengths and without holes.
pub fn looks_complete(dir: &Path, files: &[FileSpec], map: &FileMap) -> bool {
    let Some((door, parts)) = folder(dir, files) else { return false };
    let is_whole = |path: &Path, length: u64| {
        let found = door.look(path).ok().flatten();
        found.is_some_and(|found| found.length == length && found.allocated >= length)
    };
    let mut all =
        files.iter().zip(&parts).zip(map.files()).filter(|((file, _), span)| !file.skip && !span.is_pad);
    all.all(|((file, part), span)| is_whole(&file.path, span.length) || is_whole(part, span.length))
}

/// What the files in `dir` are called when some go by `makers` names of theirs: those that are there, and of the others
/// the `safe` names. `None` when it is the safe names for all.
pub fn names_on_disk(dir: &Path, safe: &[PathBuf], makers: Vec<PathBuf>) -> Option<Vec<PathBuf>> {
    let door = Door::open(dir, false).ok()?;
    let is_there = |path: &Path| matches!(door.look(path), Ok(Some(_)));
    let known: BTreeSet<&Path> = safe.iter().map(PathBuf::as_path).collect();
    // A name that is safe as well may be another file's that we downloaded.
    if !makers.iter().any(|path| !known.contains(path.as_path()) && is_there(path)) {
        return None;
    }
    let names = safe.iter().zip(makers);
    let names = names.map(|(safe, makers)| if is_there(&makers) { makers } else { safe.clone() });
    let names: Vec<PathBuf> = names.collect();
    // Padding has no names of its own; all others stay different.
    let different: BTreeSet<&Path> = names.iter().map(PathBuf::as_path).collect();
    (different.len() == known.len()).then_some(names)
}

/// Whether one of a few pieces that have data in `dir` is right. Names say little about a folder that nobody chose:
/// what bears them there may be somebody else's.
pub fn has_right_piece(
    dir: &Path,
    files: &[FileSpec],
    map: &FileMap,
    layout: &Layout,
    hashes: &PieceHashes,
) -> bool {
    let Some((door, parts)) = folder(dir, files) else { return false };
    let mut probe = Probe { door, files, parts, map, layout, open: BTreeMap::new() };
    let (count, mut bytes) = (layout.piece_count(), 0);
    let start = |part: u32| (u64::from(count) * u64::from(part) / u64::from(PROBES)) as u32;
    for part in 0..PROBES {
        let Some(piece) = probe.with_data(start(part)..start(part + 1)) else { continue };
        let found = probe.hash(piece);
        if found.is_some_and(|found| is_right(hashes.of(piece), found.finish())) {
            return true;
        }
        bytes += u64::from(layout.piece_len(piece));
        if bytes >= PROBED_BYTES {
            break;
        }
    }
    false
}

/// The folder, and the names of the files in it while they are incomplete; `None` when no file can be there.
fn folder(dir: &Path, files: &[FileSpec]) -> Option<(Door, Vec<PathBuf>)> {
    let door = Door::open(dir, false).ok()?;
    let first = files.iter().find(|file| !file.skip)?;
    if first.path.iter().count() > 1 {
        // Without the torrent's folder none of its files needs to be looked for.
        let folder = first.path.iter().next().map(|name| dir.join(name));
        if !folder.is_some_and(|folder| folder.is_dir()) {
            return None;
        }
    }
    let parts = part_paths(files.iter().map(|file| (!file.skip).then_some(file.path.as_path())));
    Some((door, parts))
}

/// Reads pieces of a torrent that nothing is known of yet.
struct Probe<'a> {
    door: Door,
    files: &'a [FileSpec],
    parts: Vec<PathBuf>,
    map: &'a FileMap,
    layout: &'a Layout,
    /// `None`: it is not there.
    open: BTreeMap<FileIndex, Option<File>>,
}

impl Probe<'_> {
    /// The first of `pieces` that is all there and not all hole.
    fn with_data(&mut self, pieces: Range<u32>) -> Option<PieceIndex> {
        let mut next = pieces.start;
        while next < pieces.end {
            let piece = PieceIndex(next);
            match self.data_from(piece) {
                None => return Some(piece),
                // Holes and missing files are passed over at one step.
                Some(data) => next = self.layout.piece_at(data).map_or(pieces.end, |at| at.0).max(next + 1),
            }
        }
        None
    }

    /// `None` when a piece may be read; else where in the payload to look on.
    fn data_from(&mut self, piece: PieceIndex) -> Option<u64> {
        let range = self.layout.piece_range(piece);
        let mut data = None;
        for slice in self.map.slices(range.clone()).filter(|slice| !slice.is_pad && slice.length > 0) {
            let span = self.map.files()[slice.file.index()];
            let (end, file_end) = (slice.offset + slice.length, span.offset + span.length);
            let Some(file) = self.file(slice.file) else { return Some(file_end) };
            if file.metadata().map_or(0, |metadata| metadata.len()) < end {
                return Some(file_end);
            }
            let here = next_data(file, slice.offset).map_or(file_end, |at| span.offset + at);
            data = Some(data.map_or(here, |data: u64| data.min(here)));
        }
        data.map_or(Some(range.end), |data| (data >= range.end).then_some(data))
    }

    fn hash(&mut self, piece: PieceIndex) -> Option<RunningHash> {
        let mut hash = RunningHash::default();
        let mut buffer = vec![0; 256 * 1024];
        let map = self.map;
        for slice in map.slices(self.layout.piece_range(piece)) {
            let (mut at, end) = (slice.offset, slice.offset + slice.length);
            while at < end {
                let bytes = &mut buffer[..(end - at).min(256 * 1024) as usize];
                if slice.is_pad || self.files[slice.file.index()].skip {
                    bytes.fill(0);
                } else {
                    self.file(slice.file)?.read_exact_at(bytes, at).ok()?;
                }
                at += bytes.len() as u64;
                hashing::advance(&mut [Run { hash: &mut hash, bytes: &[bytes] }]);
            }
        }
        Some(hash)
    }

    fn file(&mut self, file: FileIndex) -> Option<&File> {
        if self.open.len() >= OPEN_FILES && !self.open.contains_key(&file) {
            self.open.clear();
        }
        let (door, spec, part) = (&self.door, &self.files[file.index()], &self.parts[file.index()]);
        let open = || {
            let paths = [&spec.path, part].into_iter().filter(|_| !spec.skip);
            paths.into_iter().find_map(|path| door.open_file(path, Access::Read).ok())
        };
        self.open.entry(file).or_insert_with(open).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::Sample;
    use super::*;

    #[test]
    fn data_is_found_under_either_name_and_an_empty_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = |path: &str| FileSpec { path: path.into(), executable: false, skip: false };
        let files = [file("t/a"), file("t/b")];
        assert!(!has_data(&dir.path().join("nowhere"), &files));
        assert!(!has_data(dir.path(), &files));
        fs::create_dir(dir.path().join("t")).unwrap();
        fs::write(dir.path().join("t/a"), "").unwrap();
        assert!(!has_data(dir.path(), &files));
        fs::write(dir.path().join("t/b.part"), "x").unwrap();
        assert!(has_data(dir.path(), &files));
        assert!(!has_data(dir.path(), &[file("single")]));
        fs::write(dir.path().join("single"), "x").unwrap();
        assert!(has_data(dir.path(), &[file("single")]));
    }

    #[test]
    fn what_has_its_length_and_no_holes_looks_complete_until_it_is_read() {
        let (sample, dir) = (sample(), tempfile::tempdir().unwrap());
        let looks = || looks_complete(dir.path(), &sample.files, &sample.map);
        assert!(!looks());
        sample.put(dir.path());
        assert!(looks());
        let path = dir.path().join("t/f0");
        fs::rename(&path, dir.path().join("t/f0.part")).unwrap();
        assert!(looks());
        fs::write(&path, "short").unwrap();
        fs::remove_file(dir.path().join("t/f0.part")).unwrap();
        assert!(!looks());
        fs::File::options().write(true).open(&path).unwrap().set_len(3_000_000).unwrap();
        assert!(!looks(), "it is nearly all hole");
    }

    #[test]
    fn files_go_by_their_makers_names_only_where_those_are_there_and_no_two_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let paths = |paths: [&str; 3]| paths.map(PathBuf::from).to_vec();
        let (safe, makers) = (paths(["a_b", "a_b.1", "c"]), paths(["a\\b", "a_b", "c"]));
        let found = || names_on_disk(dir.path(), &safe, makers.clone());
        assert_eq!(names_on_disk(&dir.path().join("nowhere"), &safe, makers.clone()), None);
        fs::write(dir.path().join("a_b"), "x").unwrap();
        assert_eq!(found(), None, "that name is the first one's as well");
        fs::write(dir.path().join("a\\b"), "x").unwrap();
        assert_eq!(found(), Some(paths(["a\\b", "a_b", "c"])));
        fs::remove_file(dir.path().join("a_b")).unwrap();
        assert_eq!(found(), Some(paths(["a\\b", "a_b.1", "c"])));
        // The first file is missing, and would get the name of the second.
        let (safe, makers) = (paths(["x_y", "x_y.1", "z_"]), paths(["x\\y", "x_y", "z\\"]));
        fs::write(dir.path().join("x_y"), "x").unwrap();
        fs::write(dir.path().join("z\\"), "x").unwrap();
        assert_eq!(names_on_disk(dir.path(), &safe, makers), None);
    }

    /// Files of 3 MB, 60 kB of padding, and 1 MB, in 62 pieces.
    fn sample() -> Sample {
        Sample::new(&[(3_000_000, false), (60_000, true), (1_000_000, false)], 65_536)
    }

    fn is_found(sample: &Sample, dir: &Path) -> bool {
        let layout = &sample.layout;
        let hashes = layout.pieces().map(|piece| crate::base::digest::sha1(sample.piece(piece))).collect();
        has_right_piece(dir, &sample.files, &sample.map, layout, &PieceHashes::v1(hashes))
    }

    #[test]
    fn names_alone_are_no_data_of_the_torrent() {
        let (sample, dir) = (sample(), tempfile::tempdir().unwrap());
        assert!(!is_found(&sample, dir.path()));
        fs::create_dir(dir.path().join("t")).unwrap();
        fs::write(dir.path().join("t/f0"), vec![b'x'; 3_000_000]).unwrap();
        fs::write(dir.path().join("t/f2"), "my own").unwrap();
        assert!(!is_found(&sample, dir.path()));
        sample.put(dir.path());
        assert!(is_found(&sample, dir.path()));
    }

    #[test]
    fn a_right_piece_is_found_in_one_file_of_several_or_between_holes() {
        let (sample, dir) = (sample(), tempfile::tempdir().unwrap());
        sample.put(dir.path());
        fs::remove_file(dir.path().join("t/f0")).unwrap();
        fs::rename(dir.path().join("t/f2"), dir.path().join("t/f2.part")).unwrap();
        assert!(is_found(&sample, dir.path()));
        fs::remove_file(dir.path().join("t/f2.part")).unwrap();
        let part = fs::File::create(dir.path().join("t/f0.part")).unwrap();
        part.set_len(3_000_000).unwrap();
        assert!(!is_found(&sample, dir.path()), "holes are nothing");
        let piece = PieceIndex(21);
        part.write_all_at(sample.piece(piece), sample.layout.piece_range(piece).start).unwrap();
        assert!(is_found(&sample, dir.path()));
    }
}
