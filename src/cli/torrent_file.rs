//! Reads .torrent files that may be anything: a pipe that nobody writes to, a device, a huge file.
//!
//! The kind and the size are checked on the open file before a byte is read, and reading is bounded, so a file
//! that is exchanged or grows in between does no harm.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::base::limit;
use crate::cli::output::escape::escape_bytes;
use crate::metainfo::{Metainfo, MetainfoError};
use crate::runtime::disk::special_file::{NAMED_PIPE, what_is};

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
