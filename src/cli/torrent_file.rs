//! Reads .torrent files that may be anything: a pipe that nobody writes to, a device, a huge file; and writes them
//! so that none is ever there by half.
//!
//! The kind and the size are checked on the open file before a byte is read, and reading is bounded, so a file
//! that is exchanged or grows in between does no harm.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::base::limit;
use crate::cli::output::escape::escape_bytes;
use crate::metainfo::{Metainfo, MetainfoError};
use crate::runtime::disk::special_file::{NAMED_PIPE, what_is};

/// Names that are tried for an unfinished file.
const NAMES: usize = 100;

/// Why a torrent could not be read. Texts name the input, escaped.
#[derive(Debug, thiserror::Error)]
pub enum TorrentFileError {
    /// Opening or reading failed.
    #[error("{input}: {source}")]
    Io {
        /// The path as given, or `-`.
        input: String,
        /// What the system said.
        source: io::Error,
    },
    /// A directory, pipe, socket or device.
    #[error("{input}: is {kind}{}, not a torrent file", pipe_hint(kind))]
    NotAFile {
        /// The path as given.
        input: String,
        /// What it is.
        kind: &'static str,
    },
    /// More than [`limit::TORRENT_FILE`] bytes.
    #[error("{input}: is larger than {} MiB, too large for a torrent file", limit::TORRENT_FILE >> 20)]
    TooLarge {
        /// The path as given, or `-`.
        input: String,
    },
    /// Read, and refused.
    #[error("{input}: {error}")]
    Refused {
        /// The path as given, or `-`.
        input: String,
        /// Why.
        error: MetainfoError,
    },
}

fn pipe_hint(kind: &str) -> &'static str {
    if kind == NAMED_PIPE { " (give `-` to read standard input)" } else { "" }
}

/// The torrent in the file at `path`.
pub fn load(path: &Path) -> Result<Metainfo, TorrentFileError> {
    parse(&read(path)?, &shown(path))
}

/// The torrent in `bytes`, which came from what messages are to call `input`.
pub fn parse(bytes: &[u8], input: &str) -> Result<Metainfo, TorrentFileError> {
    Metainfo::from_bytes(bytes).map_err(|error| TorrentFileError::Refused { input: input.to_owned(), error })
}

/// The bytes of the regular file at `path`.
pub fn read(path: &Path) -> Result<Vec<u8>, TorrentFileError> {
    let input = shown(path);
    let io_error = |source| TorrentFileError::Io { input: input.clone(), source };
    let file = open(path).map_err(io_error)?;
    let metadata = file.metadata().map_err(io_error)?;
    if !metadata.is_file() {
        return Err(TorrentFileError::NotAFile { input, kind: what_is(&metadata) });
    }
    if metadata.len() > limit::TORRENT_FILE {
        return Err(TorrentFileError::TooLarge { input });
    }
    read_bounded(file, &input)
}

/// All bytes of `stream`, such as standard input, which messages are to call `input`.
pub fn read_bounded(stream: impl Read, input: &str) -> Result<Vec<u8>, TorrentFileError> {
    let mut bytes = Vec::new();
    match stream.take(limit::TORRENT_FILE + 1).read_to_end(&mut bytes) {
        Err(source) => Err(TorrentFileError::Io { input: input.to_owned(), source }),
        Ok(_) if bytes.len() as u64 > limit::TORRENT_FILE => {
            Err(TorrentFileError::TooLarge { input: input.to_owned() })
        }
        Ok(_) => Ok(bytes),
    }
}

/// Writes `bytes` to a file at `path` that must not be there yet: all of them, or none.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    NewFile::create(path)?.write(bytes)
}

/// Puts `bytes` in place of what the file at `path` holds: all of them, or none.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What is named may be a link: the file behind it is meant.
    let path = path.canonicalize()?;
    let permissions = std::fs::metadata(&path)?.permissions();
    let mut new = NewFile::beside(&path)?;
    new.file.set_permissions(permissions)?;
    new.fill(bytes)?;
    std::fs::rename(&new.unfinished, &path)?;
    sync_folder(&path);
    Ok(())
}

/// A file that is being made. It lies beside its place under another name until the disk has all of it.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
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
            Err(_) => NewFile::beside(path),
        }
    }

    /// The file's place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn beside(path: &Path) -> io::Result<NewFile> {
        // Those of others, and what a kill has left, keep their names.
        for number in 0..NAMES {
            let unfinished = path.with_file_name(format!(".btget.{}.{number}.new", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&unfinished) {
                Ok(file) => return Ok(NewFile { path: path.to_owned(), unfinished, file }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("too many unfinished files are beside it"))
    }

    /// Writes `bytes`, and gives the file its name unless another has got that meanwhile.
    pub fn write(mut self, bytes: &[u8]) -> io::Result<()> {
        self.fill(bytes)?;
        match std::fs::hard_link(&self.unfinished, &self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                // Not every file system has links.
                if self.path.symlink_metadata().is_ok() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                std::fs::rename(&self.unfinished, &self.path)?;
            }
            linked => linked?,
        }
        sync_folder(&self.path);
        Ok(())
    }

    fn fill(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_all()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Half a torrent is worse than none; one that is renamed is not there any more.
        let _ = std::fs::remove_file(&self.unfinished);
    }
}

/// Has the name of the file at `path` on the disk, as far as we may open its folder: the file is there in any case.
fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
        let _ = folder.sync_all();
    }
}

/// Opens without waiting: a pipe without a writer would block for ever.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
}

/// The path as messages show it.
pub fn shown(path: &Path) -> String {
    escape_bytes(path.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_of_bounded_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("good"), b"de").unwrap();
        assert_eq!(read(&at("good")).unwrap(), b"de");

        let huge = File::create(at("huge")).unwrap();
        huge.set_len(10 << 30).unwrap();
        assert!(matches!(read(&at("huge")), Err(TorrentFileError::TooLarge { .. })));
        assert!(matches!(read(folder.path()), Err(TorrentFileError::NotAFile { kind: "a folder", .. })));
        let missing = read(&at("missing\x1b")).unwrap_err().to_string();
        assert!(missing.contains("missing\\x1b: No such file"), "{missing}");
    }

    #[test]
    fn a_pipe_or_a_device_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert!(read(&pipe).unwrap_err().to_string().contains("is a named pipe"));
        assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("is a device"));
    }

    #[test]
    fn a_new_file_is_there_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        let new = NewFile::create(&at("new")).unwrap();
        assert!(!at("new").exists());
        drop(new);
        assert_eq!(names(), 0, "nothing is left of one that is given up");
        let (first, second) = (NewFile::create(&at("new")).unwrap(), NewFile::create(&at("new")).unwrap());
        first.write(b"first").unwrap();
        assert_eq!(second.write(b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(NewFile::create(&at("new")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((std::fs::read(at("new")).unwrap(), names()), (b"first".to_vec(), 1));
        replace(&at("new"), b"other").unwrap();
        assert_eq!((std::fs::read(at("new")).unwrap(), names()), (b"other".to_vec(), 1));
    }

    #[test]
    fn a_stream_without_end_is_refused() {
        assert!(matches!(read_bounded(io::repeat(b'd'), "-"), Err(TorrentFileError::TooLarge { .. })));
        assert_eq!(read_bounded(&b"de"[..], "-").unwrap(), b"de");
    }

    #[test]
    fn a_refused_torrent_is_named_with_the_reason() {
        let error = parse(b"<html>", "x.torrent").unwrap_err().to_string();
        assert_eq!(error, "x.torrent: not a torrent file: no bencoded value starts here (byte 0)");
    }
}
