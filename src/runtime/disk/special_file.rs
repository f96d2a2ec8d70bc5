//! What lies where a file should, in words.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::FileType;

/// What a pipe with a name is called.
pub const NAMED_PIPE: &str = "a named pipe";

/// What a file of this type is called.
pub(crate) fn name_of(file_type: FileType) -> &'static str {
    match file_type {
        FileType::RegularFile => "a file",
        FileType::Symlink => "a symbolic link",
        FileType::Directory => "a folder",
        FileType::Fifo => NAMED_PIPE,
        FileType::Socket => "a socket",
        _ => "a device",
    }
}

/// The same, of what the standard library tells.
pub fn what_is(metadata: &Metadata) -> &'static str {
    // The mode is of 16 bits on some systems.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    let mode = metadata.mode() as rustix::fs::RawMode;
    name_of(FileType::from_raw_mode(mode))
}
