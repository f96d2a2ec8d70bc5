//! The way through folders, from the handle down: never up, and never through a symbolic link.
//!
//! Linux resolves them in one call where the kernel can (`openat2`), others element by element.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Door, in_the_way};

/// A folder that is only passed through.
#[cfg(target_os = "linux")]
pub(super) const FOLDER: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Where a file is: right in the folder that the handle is on, or further down.
pub(super) enum Folder<'a> {
    Root(BorrowedFd<'a>),
    Below(OwnedFd),
}

impl AsFd for Folder<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Folder::Root(root) => *root,
            Folder::Below(folder) => folder.as_fd(),
        }
    }
}

impl Door {
    /// The folder that holds `path`, and the name it has there.
    pub(super) fn folder_of<'a>(&self, path: &'a Path, create: bool) -> io::Result<(Folder<'_>, &'a OsStr)> {
        let unsafe_path = || io::Error::new(io::ErrorKind::InvalidInput, "not a path below the folder");
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(unsafe_path());
        }
        let (name, above) = path
            .file_name()
            .zip(path.parent())
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(unsafe_path)?;
        if above.as_os_str().is_empty() {
            return Ok((Folder::Root(self.root.as_fd()), name));
        }
        let opened = match open_beneath(self.root.as_fd(), above) {
            Err(Errno::NOENT) if create => open_each(self.root.as_fd(), above, true),
            other => other,
        };
        match opened {
            Ok(folder) => Ok((Folder::Below(folder), name)),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                Err(in_the_way("a symbolic link or a file in place of a folder"))
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(target_os = "linux")]
fn open_beneath(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, path, FOLDER, Mode::empty(), resolve) {
        // Not in this kernel, forbidden by a sandbox, or a rename above us just now.
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::AGAIN) => open_each(root, path, false),
        other => other,
    }
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    open_each(root, path, false)
}

/// Opens one folder after the other, each by its name in the one before; makes missing ones when `create`.
fn open_each(root: BorrowedFd<'_>, path: &Path, create: bool) -> rustix::io::Result<OwnedFd> {
    let mut folder: Option<OwnedFd> = None;
    for part in path.iter() {
        let above = folder.as_ref().map_or(root, |folder| folder.as_fd());
        let mut opened = rustix::fs::openat(above, part, FOLDER, Mode::empty());
        if create && matches!(opened, Err(Errno::NOENT)) {
            match rustix::fs::mkdirat(above, part, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            opened = rustix::fs::openat(above, part, FOLDER, Mode::empty());
        }
        folder = Some(opened?);
    }
    folder.ok_or(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::disk::door::Access;
    use std::os::unix::fs::symlink;

    #[test]
    fn both_ways_through_folders_stop_at_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let door = Door::open(dir.path(), false).unwrap();
        drop(door.open_file(Path::new("a/b/file"), Access::Create).unwrap());
        symlink("a", dir.path().join("link")).unwrap();
        type Way = fn(BorrowedFd<'_>, &Path) -> rustix::io::Result<OwnedFd>;
        let one_by_one: Way = |root, path| open_each(root, path, true);
        for way in [open_beneath, one_by_one] {
            assert!(way(door.root.as_fd(), Path::new("a/b")).is_ok());
            let error = way(door.root.as_fd(), Path::new("link/b")).unwrap_err();
            assert!(matches!(error, Errno::LOOP | Errno::NOTDIR), "{error:?}");
        }
        let error = door.open_file(Path::new("link/b/file"), Access::Read).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(door.look(Path::new("link/b/file")).is_err());
    }
}
