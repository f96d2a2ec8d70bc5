//! Writes files so that none is ever there by half, and none is left behind by whatever ends the program.
//!
//! Until the disk has all of a file it has no name: the system removes it with its last handle. Where a file system
//! knows no such files it lies beside its place under another name, for as long as it is being written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Names that are tried for an unfinished file.
const NAMES: usize = 100;

/// Writes `bytes` to a file at `path` that must not be there yet: all of them, or none.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    NewFile::create(path)?.write(bytes)
}

/// Puts `bytes` in place of what the file at `path` holds: all of them, or none.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What is named may be a link: the file behind it is meant.
    let path = path.canonicalize()?;
    let permissions = std::fs::metadata(&path)?.permissions();
    let filled = |file: &File| {
        file.set_permissions(permissions.clone())?;
        fill(file, bytes)
    };
    let unnamed = unnamed(&path).ok();
    if let Some(file) = &unnamed {
        filled(file)?;
    }
    // Nothing can take a name over that has none itself.
    let named = match unnamed.map(|file| Named::of(&path, |name| link(&file, name))) {
        Some(Ok((named, ()))) => named,
        Some(Err(_)) | None => {
            let (named, file) = Named::create(&path)?;
            filled(&file)?;
            named
        }
    };
    std::fs::rename(&named.name, &path)?;
    drop(named);
    sync_folder(&path);
    Ok(())
}

/// A file that is being made.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    /// `None` where there are no files without a name.
    unnamed: Option<File>,
}

impl NewFile {
    /// Begins the file at `path`, which must not be there yet. Whatever stands against it is found here.
    pub fn create(path: &Path) -> io::Result<NewFile> {
        match path.symlink_metadata() {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(_) if path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
                Err(io::ErrorKind::IsADirectory.into())
            }
            Err(_) => {
                let unnamed = unnamed(path).ok();
                if unnamed.is_none() {
                    drop(Named::create(path)?);
                }
                Ok(NewFile { path: path.to_owned(), unnamed })
            }
        }
    }

    /// The file's place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `bytes`, and gives the file its name unless another has got that meanwhile.
    pub fn write(self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &self.unnamed {
            fill(file, bytes)?;
            match link(file, &self.path) {
                Ok(()) => {
                    sync_folder(&self.path);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
                // No /proc, or a file system that makes such files and cannot name them.
                Err(_) => {}
            }
        }
        let (named, file) = Named::create(&self.path)?;
        fill(&file, bytes)?;
        match std::fs::hard_link(&named.name, &self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                // Not every file system has links.
                if self.path.symlink_metadata().is_ok() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                std::fs::rename(&named.name, &self.path)?;
            }
            linked => linked?,
        }
        drop(named);
        sync_folder(&self.path);
        Ok(())
    }
}

/// The name of an unfinished file, which goes with this value.
#[derive(Debug)]
struct Named {
    name: PathBuf,
}

impl Named {
    /// A file beside `path`.
    fn create(path: &Path) -> io::Result<(Named, File)> {
        Named::of(path, |name| OpenOptions::new().write(true).create_new(true).open(name))
    }

    /// A name beside `path` that was free for `take`, which puts something there.
    fn of<T>(path: &Path, take: impl Fn(&Path) -> io::Result<T>) -> io::Result<(Named, T)> {
        // Those of others keep their names.
        for number in 0..NAMES {
            let name = path.with_file_name(format!(".btget.{}.{number}.new", std::process::id()));
            match take(&name) {
                Ok(taken) => return Ok((Named { name }, taken)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("too many unfinished files are beside it"))
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // Half a file is worse than none; one that is renamed is not there any more.
        let _ = std::fs::remove_file(&self.name);
    }
}

/// A file without a name, on the file system that `path` is to be on.
#[cfg(target_os = "linux")]
fn unnamed(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder(path), flags, Mode::from_raw_mode(0o666))?.into())
}

/// Gives a file without a name the one at `path`, which must be free.
#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    use std::os::fd::AsRawFd as _;
    let handle = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, handle, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn fill(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

/// The folder that `path` is in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Has the name of the file at `path` on the disk, as far as we may open its folder: the file is there in any case.
fn sync_folder(path: &Path) {
    if let Ok(folder) = File::open(folder(path)) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_there_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        let (first, second) = (NewFile::create(&at("new")).unwrap(), NewFile::create(&at("new")).unwrap());
        assert_eq!(names(), 0, "whatever ends the program now, nothing is left");
        first.write(b"first").unwrap();
        assert_eq!(second.write(b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(NewFile::create(&at("new")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((std::fs::read(at("new")).unwrap(), names()), (b"first".to_vec(), 1));
        replace(&at("new"), b"other").unwrap();
        assert_eq!((std::fs::read(at("new")).unwrap(), names()), (b"other".to_vec(), 1));
    }

    #[test]
    fn where_a_file_must_have_a_name_it_is_there_as_a_whole_or_not_at_all_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        let named = || NewFile { path: path.clone(), unnamed: None };
        let (first, second) = (named(), named());
        first.write(b"first").unwrap();
        assert_eq!(second.write(b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((std::fs::read(&path).unwrap(), names()), (b"first".to_vec(), 1));
    }

    #[test]
    fn what_is_replaced_keeps_its_mode_and_the_link_to_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&path, b"old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert!(link.is_symlink() && std::fs::read_dir(folder.path()).unwrap().count() == 2);
    }
}
