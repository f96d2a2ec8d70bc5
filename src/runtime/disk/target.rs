//! Where a torrent's files go and under which names, as plain data.
//!
//! Whoever builds this has made the paths safe: relative, of normal elements only, no two the same. The door
//! refuses others all the same.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the files go, and how they are made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The download folder; made if it is missing.
    pub dir: PathBuf,
    /// Whether a file is called `NAME.part` until it is complete.
    pub part_suffix: bool,
    /// What is done about space before data comes.
    pub allocate: Allocate,
    /// Nothing is created, written, renamed or resized: for `verify` and for pure seeding.
    pub read_only: bool,
    /// A complete file that cannot get its final name, or the right to be executed, is served as it is.
    pub lenient: bool,
    /// Bytes to leave free on the disk.
    pub reserve: u64,
    /// What becomes of data that was there before.
    pub on_conflict: OnConflict,
}

impl Target {
    /// Files go into `dir`, with `.part` behind their names until they are complete, and nothing that was there
    /// before is lost.
    pub fn new(dir: impl Into<PathBuf>) -> Target {
        Target {
            dir: dir.into(),
            part_suffix: true,
            allocate: Allocate::default(),
            read_only: false,
            lenient: false,
            reserve: 0,
            on_conflict: OnConflict::default(),
        }
    }
}

/// What becomes of data that was there before. Data that is the torrent's is used, but for [`OnConflict::Fail`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnConflict {
    /// Other data stays, and the torrent ends.
    #[default]
    Keep,
    /// Other data stays, and the torrent goes under another name.
    Rename,
    /// Any data that we are not known to have written stays, and the torrent ends at once.
    Fail,
    /// Other data is written over.
    Overwrite,
}

/// What is done about a file's space when it is first written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Allocate {
    /// It gets its length at once and its space as data comes.
    #[default]
    Sparse,
    /// It gets its length and its space at once.
    Full,
    /// Nothing: it grows.
    None,
}

/// One entry of a torrent's file list, pad files among them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSpec {
    /// Relative to the download folder; in a torrent of several files the first element is the torrent's
    /// name. Of no meaning for a pad file.
    pub path: PathBuf,
    /// Whether the complete file may be executed (attribute `x`, BEP 47).
    pub executable: bool,
    /// Not a file with a payload (a symbolic link, BEP 47): never touched.
    pub skip: bool,
}

/// For each of `paths` the name it has while incomplete: with `.part` behind it, or with its number before
/// that where `.part` alone gives another file's or folder's name, on file systems that ignore case too.
/// `None` stands for what is no file, and gets an empty path. The same list gives the same names, or else a
/// file would not be found again.
pub(in crate::runtime) fn part_paths<'a>(
    paths: impl Iterator<Item = Option<&'a Path>> + Clone,
) -> Vec<PathBuf> {
    let mut taken: HashSet<OsString> = HashSet::new();
    for path in paths.clone().flatten() {
        for place in path.ancestors() {
            // All folders above one that is known are known too.
            if !taken.insert(folded(place)) {
                break;
            }
        }
    }
    let mut free = |number: usize, path: &Path| {
        let suffixes = (0u32..).map(|attempt| match attempt {
            0 => ".part".to_owned(),
            1 => format!(".{number}.part"),
            more => format!(".{number}.{more}.part"),
        });
        let mut candidates = suffixes.map(|suffix| with_suffix(path, &suffix));
        candidates.find(|candidate| taken.insert(folded(candidate))).unwrap_or_default()
    };
    paths
        .enumerate()
        .map(|(number, path)| path.map_or_else(PathBuf::new, |path| free(number, path)))
        .collect()
}

fn folded(path: &Path) -> OsString {
    path.to_string_lossy().to_lowercase().into()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_name_is_never_another_files_name() {
        let paths = ["t/a", "t/A.PART", "t/b", "t/b.part/x", "t/c"].map(Path::new);
        let parts = part_paths(paths.into_iter().map(Some));
        let parts: Vec<_> = parts.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(parts, ["t/a.0.part", "t/A.PART.part", "t/b.2.part", "t/b.part/x.part", "t/c.part"]);
    }
}
