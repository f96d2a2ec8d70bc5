//! What lies below a folder: its files in an order that is always the same, and all that is left out.
//!
//! Symbolic links are not followed, special files are not opened.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::runtime::disk::door::Found;
use crate::runtime::disk::special_file::what_is;

/// What was found below a folder.
#[derive(Debug, Default)]
pub struct Tree {
    /// The regular files, sorted by the bytes of their paths.
    pub files: Vec<TreeFile>,
    /// What is no file, and what it is.
    pub skipped: Vec<(PathBuf, &'static str)>,
    /// Files and folders that cannot be read.
    pub faults: Vec<(PathBuf, io::Error)>,
}

/// A regular file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TreeFile {
    /// Relative to the folder.
    pub path: PathBuf,
    /// What it was when it was looked at.
    pub seen: Found,
    /// Whether its owner may execute it.
    pub executable: bool,
}

impl TreeFile {
    /// The file called `path` that `metadata` tells of.
    pub fn new(path: PathBuf, metadata: &Metadata) -> TreeFile {
        TreeFile { path, seen: Found::of(metadata), executable: metadata.mode() & 0o100 != 0 }
    }
}

/// Looks through the folder `top` and all folders below it. What `is_excluded` says yes to, by its path below
/// `top`, is passed over with all that is in it.
pub fn walk(top: &Path, is_excluded: &dyn Fn(&Path) -> bool) -> Tree {
    let mut tree = Tree::default();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        if let Err(error) = tree.look_into(top, &folder, is_excluded, &mut folders) {
            tree.faults.push((folder, error));
        }
    }
    tree.files.sort_unstable_by(|a, b| bytes(&a.path).cmp(bytes(&b.path)));
    tree.skipped.sort_unstable();
    tree.faults.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    tree
}

/// An error when the file at `path` may not be read by us.
pub fn require_readable(path: &Path, metadata: &Metadata) -> io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD};
    const BY_ALL: u32 = 0o444;
    if metadata.mode() & BY_ALL == BY_ALL {
        return Ok(());
    }
    Ok(rustix::fs::accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS)?)
}

impl Tree {
    fn look_into(
        &mut self,
        top: &Path,
        folder: &Path,
        is_excluded: &dyn Fn(&Path) -> bool,
        folders: &mut Vec<PathBuf>,
    ) -> io::Result<()> {
        for entry in std::fs::read_dir(top.join(folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if is_excluded(&path) {
                continue;
            }
            // Not followed: a link is a link.
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    self.faults.push((path, error));
                    continue;
                }
            };
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() {
                match require_readable(&entry.path(), &metadata) {
                    Ok(()) => self.files.push(TreeFile::new(path, &metadata)),
                    Err(error) => self.faults.push((path, error)),
                }
            } else {
                self.skipped.push((path, what_is(&metadata)));
            }
        }
        Ok(())
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
