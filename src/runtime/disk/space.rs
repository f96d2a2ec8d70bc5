//! The space that a file takes up: given to it before its bytes come, and told from holes.

use std::fs::File;
use std::io;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use super::target::Allocate;

/// Gives a file that was opened for writing the first time its length, or its space.
pub(super) fn size(file: &File, length: u64, allocate: Allocate) -> io::Result<()> {
    let current = file.metadata()?.len();
    match allocate {
        Allocate::None => Ok(()),
        Allocate::Sparse if current < length => file.set_len(length),
        Allocate::Sparse => Ok(()),
        Allocate::Full if length == 0 => Ok(()),
        Allocate::Full => match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(file, current, length),
            Err(errno) => Err(errno.into()),
            Ok(()) if current < length => file.set_len(length),
            Ok(()) => Ok(()),
        },
    }
}

/// Takes space the slow way, where the file system has no other.
fn write_zeros(file: &File, from: u64, to: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let zeros = [0; 64 * 1024];
    let mut at = from;
    while at < to {
        let count = (to - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..count as usize], at)?;
        at += count;
    }
    Ok(())
}

/// Where the first byte of data at or after `offset` is, as far as the file system tells holes from data;
/// `None` when there are only holes.
pub(in crate::runtime) fn next_data(file: &File, offset: u64) -> Option<u64> {
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(data) => Some(data),
        Err(Errno::NXIO) => None,
        Err(_) => Some(offset),
    }
}

/// Where the first hole at or after `offset` is; a file ends with one.
pub(super) fn next_hole(file: &File, offset: u64) -> Option<u64> {
    rustix::fs::seek(file, SeekFrom::Hole(offset)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_that_is_taken_the_slow_way_holds_zeros_and_leaves_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [7; 100]).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        write_zeros(&file, 100, 200_000).unwrap();
        let expected = [vec![7; 100], vec![0; 199_900]].concat();
        assert!(std::fs::read(&path).unwrap() == expected);
    }
}
