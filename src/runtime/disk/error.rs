//! What the system says of a file, in the engine's words.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::door::free_space_at;
use crate::engine::disk_job::{DiskError, DiskErrorKind};

/// The engine's error for what happened to the file or folder at `path` when `operation`, a verb, was tried.
pub(super) fn disk_error(operation: &'static str, path: &Path, error: &io::Error) -> DiskError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull => DiskErrorKind::Full { free: free_space_at(path) },
        io::ErrorKind::QuotaExceeded => DiskErrorKind::Full { free: None },
        io::ErrorKind::AlreadyExists => DiskErrorKind::Exists,
        _ => match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::INTR) => DiskErrorKind::Strained,
            _ => DiskErrorKind::Other,
        },
    };
    let message = match error.kind() {
        io::ErrorKind::FileTooLarge => {
            "this file system, or a limit of this process, allows no file of that length; choose another folder"
                .to_owned()
        }
        _ => error.to_string(),
    };
    DiskError { kind, operation, file: path.to_string_lossy().into_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_used_up_quota_are_one_kind() {
        for code in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT] {
            let error = disk_error("write", Path::new("a/b"), &code.into());
            assert!(matches!(error.kind, DiskErrorKind::Full { .. }), "{code:?}");
            assert!(error.to_string().starts_with("cannot write a/b: "), "{error}");
        }
    }

    #[test]
    fn a_lack_of_handles_or_memory_is_no_fault_of_the_file() {
        for code in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR] {
            assert_eq!(disk_error("read", Path::new("a"), &code.into()).kind, DiskErrorKind::Strained);
        }
        assert_eq!(disk_error("read", Path::new("a"), &Errno::IO.into()).kind, DiskErrorKind::Other);
    }

    #[test]
    fn a_file_too_long_for_the_file_system_is_told_as_that() {
        let error = disk_error("write", Path::new("a"), &rustix::io::Errno::FBIG.into());
        assert_eq!(error.kind, DiskErrorKind::Other);
        assert!(error.message.contains("no file of that length"), "{error}");
    }
}
