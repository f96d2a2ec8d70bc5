//! The door for those who only read, many files one after the other: the folder of the last one stays open, so
//! that a tree of small files costs few system calls.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use super::beneath::Folder;
use super::{Door, Found, at_its_place, look_at, regular};

/// Opens files beneath a door's folder to read them.
#[derive(Debug)]
pub struct ReadingDoor {
    door: Arc<Door>,
    folder: Option<(PathBuf, OwnedFd)>,
}

impl ReadingDoor {
    /// Reads beneath the folder of `door`.
    pub fn new(door: Arc<Door>) -> ReadingDoor {
        ReadingDoor { door, folder: None }
    }

    /// Opens the regular file at `path` and tells what it is. The caller has looked at it before: opening a
    /// device may already do something. What has taken its place since then is refused.
    pub fn open(&mut self, path: &Path) -> io::Result<(File, Found)> {
        const FLAGS: OFlags = OFlags::RDONLY
            .union(OFlags::NOFOLLOW)
            .union(OFlags::NONBLOCK)
            .union(OFlags::NOCTTY)
            .union(OFlags::CLOEXEC);
        let (folder, name) = self.folder_of(path)?;
        let file = rustix::fs::openat(folder, name, FLAGS, Mode::empty()).map_err(at_its_place)?;
        let found = regular(&rustix::fs::fstat(&file)?)?;
        Ok((file.into(), found))
    }

    /// See [`Door::look`].
    pub fn look(&mut self, path: &Path) -> io::Result<Option<Found>> {
        match self.folder_of(path) {
            Ok((folder, name)) => look_at(folder, name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn folder_of<'a>(&'a mut self, path: &'a Path) -> io::Result<(BorrowedFd<'a>, &'a OsStr)> {
        let above = path.parent().unwrap_or(Path::new(""));
        let is_same = self.folder.as_ref().is_some_and(|(folder, _)| folder == above);
        if !is_same || path.file_name().is_none() {
            let (folder, name) = self.door.folder_of(path, false)?;
            match folder {
                Folder::Root(root) => return Ok((root, name)),
                Folder::Below(folder) => self.folder = Some((above.to_owned(), folder)),
            }
        }
        let name = path.file_name().unwrap_or_default();
        Ok((self.folder.as_ref().expect("it was the same or is set").1.as_fd(), name))
    }
}

/// What an open file is at the moment.
pub fn found(file: &File) -> io::Result<Found> {
    regular(&rustix::fs::fstat(file)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_any_order_of_folders_and_links_are_not() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["top", "a/one", "a/two", "a/b/three"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"12345").unwrap();
        }
        std::os::unix::fs::symlink("one", dir.path().join("a/link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("a/pipe"), Mode::RUSR).unwrap();
        let mut door = ReadingDoor::new(Arc::new(Door::open(dir.path(), false).unwrap()));
        for path in ["a/one", "top", "a/two", "a/b/three", "a/one"] {
            let (file, seen) = door.open(Path::new(path)).unwrap();
            assert_eq!(seen.length, 5, "{path}");
            assert_eq!(door.look(Path::new(path)).unwrap(), Some(seen), "{path}");
            assert_eq!(found(&file).unwrap(), seen);
        }
        assert_eq!(door.look(Path::new("c/none")).unwrap(), None);
        for path in ["a/link", "a/pipe", "a/b"] {
            assert_eq!(
                door.open(Path::new(path)).unwrap_err().kind(),
                io::ErrorKind::AlreadyExists,
                "{path}"
            );
        }
        for path in ["", "..", "a/..", "a/../top", "/etc/hostname"] {
            assert_eq!(door.open(Path::new(path)).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path}");
        }
    }
}
