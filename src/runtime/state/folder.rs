//! The state folder: the only place that opens files of the state.
//!
//! Only regular files are opened, and no symbolic link is followed to one. A file changes by being replaced
//! at one stroke, or by growing.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use crate::base::limit;

/// Makes the folder, for this user alone.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// All of a file; `None` when there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match options().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    regular(&file)?;
    let mut bytes = Vec::new();
    if file.take(limit::STATE_FILE + 1).read_to_end(&mut bytes)? as u64 > limit::STATE_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than any state"));
    }
    Ok(Some(bytes))
}

/// A new file of these bytes at `path`, to be appended to, in the place of what a killed run has left there.
pub(super) fn make_file(path: &Path, bytes: &[u8]) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = options().append(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Removes what is at `path`, if that works.
pub(super) fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

/// Renames `from` to `to`, in the place of what is there.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// Has the names in the folder of `path` on the disk.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    OpenOptions::new().read(true).open(folder)?.sync_all()
}

/// The file that a lock is held on, made if it is missing.
pub(super) fn lock_file(path: &Path) -> io::Result<File> {
    let file = options().read(true).write(true).create(true).open(path)?;
    regular(&file)?;
    Ok(file)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // A FIFO in a file's place must not hold us up.
    options.mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32);
    options
}

fn regular(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { Ok(()) } else { Err(io::Error::other("it is no regular file")) }
}
