//! The files that a worker has open, and how it comes to their bytes.
//!
//! A file stays open while it is in use, and what it is is compared at both ends of that time, so that no digest
//! is of two states of a file. The disk is told ahead of what will be read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use super::worker::AHEAD;
use super::{HashError, Payload, Source, Strictness};
use crate::base::index::{FileIndex, PieceIndex};
use crate::hashing::RunningHash;
use crate::runtime::disk::door::reading::{ReadingDoor, found};
use crate::runtime::disk::medium::Medium;
use crate::runtime::disk::read_advice::{expect_one_reading, expect_sequence, read_ahead};
use crate::runtime::disk::{is_too_many_files, next_data};

/// Stretches that are worth reading ahead, bytes.
const READ_AHEAD_MIN: u64 = 128 * 1024;

/// A piece, or several that follow each other, on the way through the buffer.
pub(super) struct Lane {
    pub(super) piece: PieceIndex,
    pub(super) next: u64,
    pub(super) end: u64,
    /// Up to where the disk has been told to read ahead.
    advised: u64,
    /// How far ahead it should be, bytes.
    ahead: u64,
    pub(super) hash: RunningHash,
    pub(super) is_there: bool,
}

impl Lane {
    pub(super) fn new(piece: PieceIndex, range: Range<u64>, ahead: u64) -> Lane {
        let hash = RunningHash::default();
        let (start, end) = (range.start, range.end);
        Lane { piece, next: start, end, advised: start, ahead, hash, is_there: true }
    }
}

/// The files that a worker has open.
pub(super) struct Files<'a> {
    payload: &'a Payload,
    door: ReadingDoor,
    /// The one used last stands last.
    open: Vec<Open>,
    /// How many it may have open.
    most: usize,
    faults: BTreeMap<FileIndex, io::Error>,
}

pub(super) struct Open {
    index: FileIndex,
    pub(super) file: File,
    /// It may have holes.
    is_sparse: bool,
}

impl<'a> Files<'a> {
    pub(super) fn new(payload: &'a Payload, most: usize) -> Files<'a> {
        let door = ReadingDoor::new(payload.door.clone());
        Files { payload, door, open: Vec::new(), most, faults: BTreeMap::new() }
    }

    /// Files that could not be read, and why.
    pub(super) fn into_faults(self) -> BTreeMap<FileIndex, io::Error> {
        self.faults
    }

    /// Fills `part` from the lane's place on, and moves the lane behind it. False when it is not all there.
    pub(super) fn read(&mut self, lane: &mut Lane, part: &mut [u8]) -> Result<bool, HashError> {
        self.advise(lane)?;
        let payload = self.payload;
        let end = lane.next + part.len() as u64;
        let mut rest = part;
        for slice in payload.file_map.slices(lane.next..end) {
            let (part, after) = rest.split_at_mut(slice.length as usize);
            rest = after;
            if payload.sources[slice.file.index()] == Source::Zeros {
                part.fill(0);
                continue;
            }
            let Some(open) = self.find(slice.file)? else { return Ok(false) };
            let slice_end = slice.offset + slice.length;
            if open.is_sparse && next_data(&open.file, slice.offset).is_none_or(|data| data >= slice_end) {
                part.fill(0);
            } else if let Err(error) = open.file.read_exact_at(part, slice.offset) {
                self.fault(slice.file, error)?;
                return Ok(false);
            }
        }
        lane.next = end;
        Ok(rest.is_empty())
    }

    /// Has the disk read on ahead of the lane, within the file that it is in.
    pub(super) fn advise(&mut self, lane: &mut Lane) -> Result<(), HashError> {
        if lane.advised >= lane.end || lane.next + lane.ahead / 2 <= lane.advised {
            return Ok(());
        }
        let payload = self.payload;
        let start = lane.advised.max(lane.next);
        let until = (lane.next + lane.ahead).max(start + 1).min(lane.end);
        lane.advised = until;
        // A small file comes whole with its first read.
        let slice = payload.file_map.slices(start..until).find(|slice| slice.length >= READ_AHEAD_MIN);
        let Some(slice) = slice else { return Ok(()) };
        lane.advised = payload.file_map.files()[slice.file.index()].offset + slice.offset + slice.length;
        let is_quick = match &payload.sources[slice.file.index()] {
            Source::File { seen, .. } => payload.media.medium(seen.identity.0) == Medium::Memory,
            Source::Zeros | Source::Absent => true,
        };
        if !is_quick && let Some(open) = self.find(slice.file)? {
            read_ahead(&open.file, slice.offset, slice.length);
        }
        Ok(())
    }

    /// The file, open. `None` when it can't be opened and that is no error.
    pub(super) fn find(&mut self, index: FileIndex) -> Result<Option<&Open>, HashError> {
        if let Some(place) = self.open.iter().rposition(|open| open.index == index) {
            self.open[place..].rotate_left(1);
            return Ok(self.open.last());
        }
        let Source::File { path, seen } = &self.payload.sources[index.index()] else { return Ok(None) };
        if self.faults.contains_key(&index) {
            return Ok(None);
        }
        if self.open.len() >= self.most {
            self.close_oldest()?;
        }
        let (file, now) = loop {
            match self.door.open(path) {
                Ok(opened) => break opened,
                // Somebody else has taken what the limit seemed to leave.
                Err(error) if is_too_many_files(&error) && !self.open.is_empty() => self.close_oldest()?,
                Err(error) => {
                    self.fault(index, error)?;
                    return Ok(None);
                }
            }
        };
        self.payload.require_unchanged(index, &now)?;
        let medium = self.payload.media.medium(now.identity.0);
        if medium != Medium::Memory {
            expect_one_reading(&file);
            if seen.length > AHEAD {
                expect_sequence(&file);
            }
        }
        let is_sparse = now.allocated < now.length;
        self.open.push(Open { index, file, is_sparse });
        Ok(self.open.last())
    }

    fn close_oldest(&mut self) -> Result<(), HashError> {
        let oldest = self.open.remove(0);
        self.close(&oldest)
    }

    pub(super) fn close_all(&mut self) -> Result<(), HashError> {
        std::mem::take(&mut self.open).iter().try_for_each(|open| self.close(open))
    }

    /// What was read of a file counts only if it is now what it was.
    fn close(&mut self, open: &Open) -> Result<(), HashError> {
        if self.payload.strictness == Strictness::Lenient {
            return Ok(());
        }
        match found(&open.file) {
            Ok(now) => self.payload.require_unchanged(open.index, &now),
            Err(error) => self.fault(open.index, error),
        }
    }

    fn fault(&mut self, index: FileIndex, error: io::Error) -> Result<(), HashError> {
        self.payload.fault(index, error, &mut self.faults)
    }
}

impl Payload {
    /// A file that cannot be read: all ends, or it goes to the faults.
    pub(super) fn fault(
        &self,
        index: FileIndex,
        error: io::Error,
        faults: &mut BTreeMap<FileIndex, io::Error>,
    ) -> Result<(), HashError> {
        let Source::File { path, .. } = &self.sources[index.index()] else { return Ok(()) };
        let path = self.dir.join(path);
        if is_too_many_files(&error) {
            return Err(HashError::TooManyFiles(error));
        }
        match (self.strictness, error.kind()) {
            (Strictness::Strict, io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound) => {
                Err(HashError::Changed { path })
            }
            (Strictness::Strict, _) => Err(HashError::Unreadable { path, error }),
            // It has become shorter, which is found out afterwards.
            (Strictness::Lenient, io::ErrorKind::UnexpectedEof) => Ok(()),
            (Strictness::Lenient, _) => {
                faults.entry(index).or_insert(error);
                Ok(())
            }
        }
    }
}
