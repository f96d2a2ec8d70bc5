//! Payload bytes to files and back: cut at file ends, as few system calls as there are stretches.
//!
//! Pad files are never written and read as zeros (BEP 47). Short transfers and interruptions are carried on
//! with.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};

use rustix::io::Errno;

use super::door::fault::Call;
use super::door::free_space_of;
use super::names::Name;
use super::payload::Payload;
use super::target::Allocate;
use crate::base::index::FileIndex;
use crate::base::layout::BLOCK_LENGTH;
use crate::base::size::size;
use crate::engine::disk_job::{DiskError, DiskErrorKind, PieceJob};

/// Stretches of memory that a system call takes at most (IOV_MAX everywhere).
const SLICES: usize = 1024;

/// What came of reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Read {
    /// All is read.
    Done,
    /// Some of it is not there: a file is missing or too short.
    Absent,
    /// Some of it would have to be waited for.
    NotCached,
}

impl Read {
    pub(super) fn is_done(self) -> bool {
        self == Read::Done
    }
}

impl Payload {
    /// The file that the first of a job's blocks goes to.
    pub(super) fn first_file(&self, job: &PieceJob) -> Option<FileIndex> {
        let range = self.storage.layout.piece_range(job.piece);
        let block = job.blocks.first().map_or(0, |(block, _)| *block);
        let start = range.start + u64::from(block) * u64::from(BLOCK_LENGTH);
        self.storage.file_map.slices(start..range.end).next().map(|slice| slice.file)
    }

    /// Writes `parts`, one after the other, to payload offset `start`.
    pub(super) fn write(&self, start: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut source = Source { parts, skip: 0 };
        let mut slices = Vec::with_capacity(parts.len().min(SLICES));
        for stretch in self.storage.file_map.slices(start..start + length) {
            if stretch.is_pad || !self.storage.is_on_disk(stretch.file) {
                source.take(stretch.length, usize::MAX, |_| {});
                continue;
            }
            let open = self.writable(stretch.file)?;
            self.require_reserve(&open.file, stretch.file, stretch.length)?;
            let (mut offset, end) = (stretch.offset, stretch.offset + stretch.length);
            while offset < end {
                slices.clear();
                let taken = source.take(end - offset, SLICES, |bytes| slices.push(IoSlice::new(bytes)));
                let planned = self.storage.before(Call::Write, stretch.file);
                planned
                    .and_then(|()| write_all_at(&open.file, &mut slices, offset))
                    .map_err(|error| self.error("write", stretch.file, &error))?;
                offset += taken;
            }
        }
        Ok(())
    }

    /// Refuses to write what would take space that is to be left free.
    fn require_reserve(&self, open: &File, file: FileIndex, bytes: u64) -> Result<(), DiskError> {
        let target = &self.storage.target;
        // Files that take all their space at once need no more.
        if target.reserve == 0 || target.allocate == Allocate::Full {
            return Ok(());
        }
        // Where it can't be told how much is free, the system says when it is full.
        let Some(free) = free_space_of(open).filter(|free| *free < target.reserve.saturating_add(bytes))
        else {
            return Ok(());
        };
        let reason =
            format!("{} are free, and {} are to be left (--reserve)", size(free), size(target.reserve));
        let error = self.error("write", file, &io::Error::new(io::ErrorKind::StorageFull, reason));
        Err(DiskError {
            kind: DiskErrorKind::Full { free: Some(free.saturating_sub(target.reserve)) },
            ..error
        })
    }

    /// Fills `parts`, one after the other, with the payload from offset `start`.
    pub(super) fn read(&self, start: u64, parts: Vec<&mut [u8]>) -> Result<Read, DiskError> {
        self.read_by(start, parts, |file, slices, offset| {
            let Some(open) = self.readable(file)? else { return Ok(Read::Absent) };
            let planned = self.storage.before(Call::Read, file);
            let read = |slices: &mut [IoSliceMut<'_>], offset| rustix::io::preadv(&open.file, slices, offset);
            planned
                .and_then(|()| read_all_at(slices, offset, read))
                .map_err(|error| self.error("read", file, &error))
        })
    }

    /// The same, but neither opens a file nor waits for the disk.
    #[cfg(target_os = "linux")]
    pub(super) fn read_cached(&self, start: u64, parts: Vec<&mut [u8]>) -> Result<Read, DiskError> {
        use rustix::io::ReadWriteFlags;
        use std::sync::atomic::Ordering;

        self.read_by(start, parts, |file, slices, offset| {
            let Some(open) = self.open_files.find((self.torrent, file), false) else {
                return Ok(Read::NotCached);
            };
            if open.is_blunt.load(Ordering::Relaxed) {
                return Ok(Read::NotCached);
            }
            // tmpfs refuses the flag and has no need of it.
            let flags = if open.is_memory { ReadWriteFlags::empty() } else { ReadWriteFlags::NOWAIT };
            let read = read_all_at(slices, offset, |slices, offset| {
                rustix::io::preadv2(&open.file, slices, offset, flags)
            });
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Read::NotCached),
                Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => {
                    open.is_blunt.store(true, Ordering::Relaxed);
                    Ok(Read::NotCached)
                }
                other => other.map_err(|error| self.error("read", file, &error)),
            }
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn read_cached(&self, _: u64, _: Vec<&mut [u8]>) -> Result<Read, DiskError> {
        Ok(Read::NotCached)
    }

    fn read_by(
        &self,
        start: u64,
        parts: Vec<&mut [u8]>,
        mut read: impl FnMut(FileIndex, &mut [IoSliceMut<'_>], u64) -> Result<Read, DiskError>,
    ) -> Result<Read, DiskError> {
        let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut sink = Sink { parts: parts.into_iter(), current: &mut [] };
        let mut covered = 0;
        for stretch in self.storage.file_map.slices(start..start + length) {
            covered += stretch.length;
            let mut slices = sink.take(stretch.length);
            if stretch.is_pad || !self.storage.is_on_disk(stretch.file) {
                slices.iter_mut().for_each(|slice| slice.fill(0));
                continue;
            }
            match read(stretch.file, &mut slices, stretch.offset)? {
                Read::Done => {}
                other => return Ok(other),
            }
        }
        Ok(if covered == length { Read::Done } else { Read::Absent })
    }

    pub(super) fn error(&self, operation: &'static str, file: FileIndex, error: &io::Error) -> DiskError {
        self.storage.error(operation, file, Name::Final, error)
    }
}

/// What is left to write of some memory.
struct Source<'a> {
    parts: &'a [&'a [u8]],
    /// Bytes of the first part that are done.
    skip: usize,
}

impl<'a> Source<'a> {
    /// Takes up to `length` bytes in up to `count` stretches; returns how many bytes.
    fn take(&mut self, length: u64, count: usize, mut each: impl FnMut(&'a [u8])) -> u64 {
        let mut left = length;
        for _ in 0..count {
            let Some((first, rest)) = self.parts.split_first() else { break };
            let bytes = &first[self.skip..];
            if left < bytes.len() as u64 {
                if left > 0 {
                    each(&bytes[..left as usize]);
                    self.skip += left as usize;
                    left = 0;
                }
                break;
            }
            each(bytes);
            left -= bytes.len() as u64;
            (self.parts, self.skip) = (rest, 0);
        }
        length - left
    }
}

/// What is left to fill of some memory.
struct Sink<'a> {
    parts: std::vec::IntoIter<&'a mut [u8]>,
    current: &'a mut [u8],
}

impl<'a> Sink<'a> {
    /// The next `length` bytes of it; fewer when that is all.
    fn take(&mut self, length: u64) -> Vec<IoSliceMut<'a>> {
        let mut left = length;
        let mut taken = Vec::with_capacity(self.parts.len() + 1);
        while left > 0 {
            if self.current.is_empty() {
                let Some(next) = self.parts.next() else { break };
                self.current = next;
                continue;
            }
            let count = left.min(self.current.len() as u64);
            let (head, tail) = std::mem::take(&mut self.current).split_at_mut(count as usize);
            taken.push(IoSliceMut::new(head));
            self.current = tail;
            left -= count;
        }
        taken
    }
}

fn write_all_at(file: &File, mut slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    while !slices.is_empty() {
        match rustix::io::pwritev(file, slices, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset += count as u64;
                IoSlice::advance_slices(&mut slices, count);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn read_all_at(
    mut slices: &mut [IoSliceMut<'_>],
    mut offset: u64,
    mut read: impl FnMut(&mut [IoSliceMut<'_>], u64) -> rustix::io::Result<usize>,
) -> io::Result<Read> {
    while !slices.is_empty() {
        let count = slices.len().min(SLICES);
        match read(&mut slices[..count], offset) {
            Ok(0) => return Ok(Read::Absent),
            Ok(count) => {
                offset += count as u64;
                IoSliceMut::advance_slices(&mut slices, count);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(Read::Done)
}
