//! The only place that opens payload files.
//!
//! Everything happens beneath a handle on the download folder. Names come from strangers, and others may
//! write to the folder too: so no symbolic link below it is ever followed, whenever it was put there, and
//! only regular files are opened. A FIFO, device, socket, folder or link in a file's place is refused and not
//! touched. The way through folders is `beneath`'s.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::special_file;

mod beneath;
pub(in crate::runtime) mod fault;
pub mod reading;

use self::beneath::FOLDER;

/// A handle on the download folder.
#[derive(Debug)]
pub struct Door {
    root: OwnedFd,
}

/// How to open a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// To read; it must be there.
    Read,
    /// To read and write; it must be there.
    Write,
    /// To read and write; it must not be there. Missing folders above it are made.
    Create,
}

/// A regular file that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its length, bytes.
    pub length: u64,
    /// The space it takes up, bytes: less than its length where it has holes.
    pub allocated: u64,
    /// Which file of which device: stays the same when it is renamed.
    pub identity: (u64, u64),
    /// When it was last written to: seconds since 1970, and nanoseconds.
    pub modified: (i64, i64),
    /// When it, or what is known of it, last changed: nobody sets this back.
    pub changed: (i64, i64),
}

impl Found {
    /// What the standard library tells of a regular file.
    pub fn of(metadata: &std::fs::Metadata) -> Found {
        use std::os::unix::fs::MetadataExt as _;
        Found {
            length: metadata.len(),
            allocated: metadata.blocks().saturating_mul(512),
            identity: (metadata.dev(), metadata.ino()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Door {
    /// Opens the folder `dir` as the user named it, links included; makes it when `create`.
    pub fn open(dir: &Path, create: bool) -> io::Result<Door> {
        if create {
            std::fs::create_dir_all(dir).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => io::Error::new(error.kind(), "it is not a folder"),
                _ => error,
            })?;
        }
        let flags = FOLDER.difference(OFlags::NOFOLLOW);
        Ok(Door { root: rustix::fs::open(dir, flags, Mode::empty())? })
    }

    /// Opens the file at `path`. It is regular, or else the answer is an error of kind
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists).
    pub fn open_file(&self, path: &Path, access: Access) -> io::Result<File> {
        let (folder, name) = self.folder_of(path, access == Access::Create)?;
        // Opening a device may already do something, so look first; what was put there in between is caught
        // by NOFOLLOW and by the second look, and NONBLOCK keeps a FIFO from holding us up.
        look_at(folder.as_fd(), name)?;
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
            Access::Create => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        } | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let file = rustix::fs::openat(&folder, name, flags, mode).map_err(at_its_place)?;
        regular(&rustix::fs::fstat(&file)?)?;
        Ok(file.into())
    }

    /// Looks at `path` without opening it. `None` when there is nothing, an error of kind
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) when it is no regular file.
    pub fn look(&self, path: &Path) -> io::Result<Option<Found>> {
        match self.folder_of(path, false) {
            Ok((folder, name)) => look_at(folder.as_fd(), name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the file at `path` if it is regular and empty.
    pub fn remove_empty(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.folder_of(path, false)?;
        match look_at(folder.as_fd(), name)? {
            Some(Found { length: 0, .. }) => Ok(rustix::fs::unlinkat(&folder, name, AtFlags::empty())?),
            _ => Ok(()),
        }
    }

    /// Makes the folders above `path`.
    pub fn make_folders(&self, path: &Path) -> io::Result<()> {
        self.folder_of(path, true).map(drop)
    }

    /// Renames `from` to `to`, which must be free.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_by(from, to, rename_to_free)
    }

    fn rename_by(&self, from: &Path, to: &Path, rename_to_free: RenameToFree) -> io::Result<()> {
        let (from_folder, from_name) = self.folder_of(from, false)?;
        let (to_folder, to_name) = self.folder_of(to, false)?;
        let renamed = rename_to_free(from_folder.as_fd(), from_name, to_folder.as_fd(), to_name);
        match renamed {
            // Not every file system knows the flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                match rustix::fs::statat(&to_folder, to_name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => {}
                    Ok(_) => return Err(in_the_way("another file")),
                    Err(errno) => return Err(errno.into()),
                }
                Ok(rustix::fs::renameat(&from_folder, from_name, &to_folder, to_name)?)
            }
            Err(Errno::EXIST) => Err(in_the_way("another file")),
            other => Ok(other?),
        }
    }

    /// Renames `from` to `to`, in place of the file that is there.
    pub fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_folder, from_name) = self.folder_of(from, false)?;
        let (to_folder, to_name) = self.folder_of(to, false)?;
        Ok(rustix::fs::renameat(&from_folder, from_name, &to_folder, to_name)?)
    }

    /// Has the names in the folder above `path` on the disk.
    pub fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let (folder, _) = self.folder_of(path, false)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::fsync(rustix::fs::openat(&folder, ".", flags, Mode::empty())?)?)
    }

    /// The device that the folder is on.
    pub fn device(&self) -> io::Result<u64> {
        Ok(identity(&rustix::fs::fstat(&self.root)?).0)
    }

    /// Bytes free for us on the folder's file system; `None` when it does not say.
    pub fn free_space(&self) -> io::Result<Option<u64>> {
        Ok(free(&rustix::fs::fstatvfs(&self.root)?))
    }

    /// An error when nothing can be made in the folder: no permission, or a read-only file system.
    pub fn require_writable(&self) -> io::Result<()> {
        use rustix::fs::Access;
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        Ok(rustix::fs::accessat(&self.root, ".", wanted, AtFlags::empty())?)
    }

    /// An error when nothing can be made in the folder above `path`.
    pub fn require_writable_above(&self, path: &Path) -> io::Result<()> {
        use rustix::fs::Access;
        let (folder, _) = self.folder_of(path, false)?;
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        Ok(rustix::fs::accessat(&folder, ".", wanted, AtFlags::empty())?)
    }

    /// An error when the file at `path` cannot be written to.
    pub fn require_writable_file(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.folder_of(path, false)?;
        Ok(rustix::fs::accessat(&folder, name, rustix::fs::Access::WRITE_OK, AtFlags::empty())?)
    }

    /// The greatest length of a file, bytes, where it is small enough to matter: FAT's, or this process's
    /// limit.
    pub fn longest_file(&self) -> Option<u64> {
        let allowed = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
        let possible = self.is_fat().then_some(u64::from(u32::MAX));
        allowed.into_iter().chain(possible).min()
    }

    #[cfg(target_os = "linux")]
    fn is_fat(&self) -> bool {
        rustix::fs::fstatfs(&self.root).is_ok_and(|stat| stat.f_type == 0x4d44)
    }

    #[cfg(not(target_os = "linux"))]
    fn is_fat(&self) -> bool {
        false
    }
}

/// Bytes free for us where `path` is or would be; `None` when that cannot be told, or when it is not bytes but
/// files that there can be no more of.
pub(super) fn free_space_at(path: &Path) -> Option<u64> {
    let stat = path.ancestors().find_map(|place| rustix::fs::statvfs(place).ok())?;
    let has_files = stat.f_files == 0 || stat.f_favail > 0;
    has_files.then(|| free(&stat)).flatten()
}

/// Bytes free for us on the file system of `file`, where it says.
pub(super) fn free_space_of(file: &File) -> Option<u64> {
    free(&rustix::fs::fstatvfs(file).ok()?)
}

/// Bytes that are free. One that has no blocks at all, such as a ramfs, does not count them.
fn free(stat: &rustix::fs::StatVfs) -> Option<u64> {
    (stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Renames where the new name is free, at one stroke.
type RenameToFree = fn(BorrowedFd<'_>, &OsStr, BorrowedFd<'_>, &OsStr) -> rustix::io::Result<()>;

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn rename_to_free(
    from_folder: BorrowedFd<'_>,
    from: &OsStr,
    to_folder: BorrowedFd<'_>,
    to: &OsStr,
) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(from_folder, from, to_folder, to, rustix::fs::RenameFlags::NOREPLACE)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn rename_to_free(_: BorrowedFd<'_>, _: &OsStr, _: BorrowedFd<'_>, _: &OsStr) -> rustix::io::Result<()> {
    Err(Errno::NOSYS)
}

fn look_at(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Found>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => regular(&stat).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// What `stat` tells, if it tells of a regular file.
fn regular(stat: &rustix::fs::Stat) -> io::Result<Found> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(found(stat)),
        other => Err(in_the_way(special_file::name_of(other))),
    }
}

/// What `stat` tells of a regular file.
#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between systems")]
pub(super) fn found(stat: &rustix::fs::Stat) -> Found {
    Found {
        length: u64::try_from(stat.st_size).unwrap_or(0),
        allocated: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
        modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        identity: identity(stat),
    }
}

/// See [`Found::identity`].
#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between systems")]
pub(super) fn identity(stat: &rustix::fs::Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// Why a file could not be opened: what has its place, or the system's own word.
fn at_its_place(errno: Errno) -> io::Error {
    match errno {
        Errno::LOOP => in_the_way("a symbolic link"),
        Errno::NXIO | Errno::NODEV => in_the_way("a special file"),
        Errno::ISDIR => in_the_way("a folder"),
        other => other.into(),
    }
}

fn in_the_way(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("{what} has its place; move that away or choose another folder"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_paths_below_the_folder_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        let door = Door::open(&inner, true).unwrap();
        for path in ["", ".", "..", "../x", "a/../../x", "/etc/hostname", "a/.."] {
            for access in [Access::Read, Access::Create] {
                let error = door.open_file(Path::new(path), access).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}: {error}");
            }
        }
        assert!(std::fs::read_dir(&inner).unwrap().next().is_none());
    }

    #[test]
    fn the_folder_itself_may_be_a_link() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        symlink("real", dir.path().join("link")).unwrap();
        let door = Door::open(&dir.path().join("link"), true).unwrap();
        drop(door.open_file(Path::new("file"), Access::Create).unwrap());
        assert!(dir.path().join("real/file").exists());
        let error = door.open_file(Path::new("file"), Access::Create).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_folder_that_may_not_be_written_to_is_told() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let door = Door::open(dir.path(), false).unwrap();
        door.require_writable().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
        // To a super-user the mode does not matter.
        let may_write = door.open_file(Path::new("file"), Access::Create).is_ok();
        assert_eq!(door.require_writable().is_ok(), may_write);
    }

    #[test]
    fn a_rename_never_replaces_on_a_file_system_that_cannot_say_so_either() {
        let unknown: [RenameToFree; 3] =
            [rename_to_free, |_, _, _, _| Err(Errno::INVAL), |_, _, _, _| Err(Errno::NOSYS)];
        for rename_to_free in unknown {
            let dir = tempfile::tempdir().unwrap();
            let door = Door::open(dir.path(), false).unwrap();
            for (name, content) in [("a/one", "1"), ("b/two", "2")] {
                drop(door.open_file(Path::new(name), Access::Create).unwrap());
                std::fs::write(dir.path().join(name), content).unwrap();
            }
            symlink("nowhere", dir.path().join("b/link")).unwrap();
            let rename = |to: &str| door.rename_by(Path::new("a/one"), Path::new(to), rename_to_free);
            for taken in ["b/two", "b/link"] {
                assert_eq!(rename(taken).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            }
            assert_eq!(std::fs::read(dir.path().join("b/two")).unwrap(), b"2");
            rename("b/three").unwrap();
            assert_eq!(std::fs::read(dir.path().join("b/three")).unwrap(), b"1");
        }
    }
}
