//! The bytes of a file in memory, without a copy, while nobody can change them.
//!
//! Half the cost of hashing what lies in a tmpfs is copying it out of there. A mapping saves the copy, but Rust may
//! look at mapped bytes only if they stay what they are, and a file that gets shorter under a mapping ends the
//! process. Linux has the tool: a read lease (fcntl(2), `F_SETLEASE`). It is given only if nobody has the file open
//! to write, and until it is given back whoever wants to write or to truncate has to wait. Files on disks are
//! read, not mapped: an error of a disk has no way out of a mapping but a signal.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::runtime::disk::file_system::is_in_memory;

/// Names the signal by which the holder of a lease is told; `libc` does not have it.
const F_SETSIG: libc::c_int = 10;
/// Mappings begin at pages; no system has longer ones than this.
const PAGE: u64 = 64 * 1024;

/// Holds off whoever wants to write to a file. Given back when it is dropped.
#[derive(Debug)]
pub struct Lease {
    file: Arc<File>,
    length: u64,
}

/// Bytes of a leased file.
#[derive(Debug)]
pub struct Mapped {
    /// What keeps the bytes as they are.
    _lease: Arc<Lease>,
    start: NonNull<u8>,
    length: usize,
    /// Bytes before those that were asked for.
    skipped: usize,
}

impl Lease {
    /// A lease on a file in memory that was opened to read and has no holes (reading a mapped hole fills it). `None`
    /// if it is on a disk, somebody has it open to write, or it is another user's.
    pub fn take(file: &Arc<File>) -> Option<Arc<Lease>> {
        if !is_in_memory(file) {
            return None;
        }
        // Told by a signal that is ignored unless somebody cares, instead of one that kills: we ask, see `is_wanted`.
        // SAFETY: these commands take a number and touch no memory of ours.
        let is_given = unsafe {
            libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGURG) == 0
                && libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) == 0
        };
        if !is_given {
            return None;
        }
        let mut lease = Lease { file: file.clone(), length: 0 };
        // What it is now it stays.
        let stat = rustix::fs::fstat(&lease.file).ok()?;
        lease.length = u64::try_from(stat.st_size).ok()?;
        let is_whole = u64::try_from(stat.st_blocks).ok()?.saturating_mul(512) >= lease.length;
        is_whole.then(|| Arc::new(lease))
    }

    /// Whether somebody waits to write: let go of the lease and of what is mapped soon. The system does not let
    /// them wait for ever (45 s, unless set otherwise).
    pub fn is_wanted(&self) -> bool {
        // SAFETY: takes no argument and touches no memory of ours.
        unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETLEASE) != libc::F_RDLCK }
    }

    /// These bytes of the file, all of which must be there.
    pub fn map(self: &Arc<Lease>, range: Range<u64>) -> io::Result<Mapped> {
        if range.start >= range.end || range.end > self.length || self.is_wanted() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let offset = range.start / PAGE * PAGE;
        let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let skipped = usize::try_from(range.start - offset).map_err(too_long)?;
        let length = usize::try_from(range.end - offset).map_err(too_long)?;
        // SAFETY: a new mapping at a place that the system chooses takes nothing away from anybody.
        let start = unsafe {
            mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, &self.file, offset)?
        };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapped { _lease: self.clone(), start, length, skipped })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // SAFETY: takes a number and touches no memory of ours. Nothing is mapped: mappings hold the lease.
        unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    }
}

impl Mapped {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `length` bytes at `start` are mapped to read until `self` is dropped. All of them lie within the
        // file, and the lease keeps it from changing or getting shorter: a writer waits until the lease is gone,
        // which `self` holds. (A process that is halted for longer than writers wait, in the middle of this,
        // may find another content, or end by a signal if the file is shorter; it has written nothing.)
        let all = unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) };
        &all[self.skipped..]
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nobody has a slice of it any more: those borrow `self`. Failing leaves it mapped.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::runtime::disk::file_system::is_path_in_memory;

    /// A file in memory, open to read.
    fn in_memory(bytes: &[u8]) -> (Arc<File>, tempfile::TempPath) {
        let mut file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        file.write_all(bytes).unwrap();
        let path = file.into_temp_path();
        (Arc::new(File::open(&path).unwrap()), path)
    }

    #[test]
    fn any_stretch_of_a_leased_file_is_there_without_a_copy() {
        let bytes: Vec<u8> = (0..300_001_u32).map(|at| (at / 7) as u8).collect();
        let (file, _path) = in_memory(&bytes);
        let lease = Lease::take(&file).expect("nobody writes to it");
        for range in [0..1, 0..300_001, 65_535..65_537, 65_536..131_072, 299_999..300_001] {
            let mapped = lease.map(range.clone()).unwrap();
            assert!(mapped.bytes() == &bytes[range.start as usize..range.end as usize], "{range:?}");
        }
        for range in [0..0, 300_000..300_002, u64::MAX - 1..u64::MAX] {
            assert!(lease.map(range.clone()).is_err(), "{range:?}");
        }
    }

    #[test]
    fn a_file_that_is_open_to_write_or_on_a_disk_or_has_holes_is_not_leased() {
        let (file, path) = in_memory(&[1; 100_000]);
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        assert!(Lease::take(&file).is_none());
        writer.set_len(10_000_000).unwrap();
        drop(writer);
        assert!(Lease::take(&file).is_none());
        assert!(!is_path_in_memory("/proc/self".as_ref()));
        assert!(Lease::take(&Arc::new(File::open("/proc/self/status").unwrap())).is_none());
    }

    #[test]
    fn a_writer_waits_until_the_bytes_are_no_longer_looked_at() {
        let (file, path) = in_memory(&[1; 100_000]);
        let lease = Lease::take(&file).unwrap();
        let mapped = lease.map(0..100_000).unwrap();
        let path = path.to_path_buf();
        let (done, is_done) = mpsc::channel();
        let writer = thread::spawn(move || {
            OpenOptions::new().write(true).open(path).unwrap().set_len(10).unwrap();
            done.send(()).unwrap();
        });
        while !lease.is_wanted() {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(is_done.try_recv().is_err());
        assert!(lease.map(0..10).is_err(), "no more is mapped once somebody waits");
        assert!(mapped.bytes() == [1; 100_000]);
        drop(lease);
        assert!(is_done.try_recv().is_err(), "the mapping holds the lease");
        drop(mapped);
        is_done.recv_timeout(Duration::from_secs(30)).unwrap();
        writer.join().unwrap();
    }
}
