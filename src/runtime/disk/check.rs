//! Which pieces on disk are right.
//!
//! Missing files and holes cost nothing: a piece that is all hole is right only if it should be all zeros.
//! Memory is a step a worker whatever the piece length.

use std::ops::Range;

use super::advance::{STEP, Scratch, is_right};
use super::storage::{Payload, next_data};
use crate::base::hash::Sha1Hash;
use crate::base::index::PieceIndex;
use crate::engine::disk_job::DiskError;
use crate::hashing::{self, Run, RunningHash};

/// A check that is done bit by bit, so that other work gets its turn.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) pieces: Range<u32>,
    next: u32,
    right: Vec<PieceIndex>,
    /// SHA-1 of a full piece of zeros, once it is needed.
    zeros: Option<Sha1Hash>,
}

/// What a piece looks like before it is read.
enum Look {
    Absent,
    Hole,
    Data,
}

impl Check {
    pub(super) fn new(pieces: Range<u32>) -> Check {
        Check { next: pieces.start, pieces, right: Vec::new(), zeros: None }
    }

    /// Checks on until about `bytes` are read. The right pieces, once all are looked at.
    pub(super) fn advance(
        &mut self,
        payload: &Payload,
        bytes: u64,
        scratch: &mut Scratch,
    ) -> Result<Option<Vec<PieceIndex>>, DiskError> {
        let end = self.pieces.end.min(payload.storage.layout.piece_count());
        let mut left = bytes;
        while self.next < end {
            if left == 0 {
                return Ok(None);
            }
            let piece = PieceIndex(self.next);
            let (is_right, read) = self.is_right(payload, piece, scratch)?;
            if is_right {
                self.right.push(piece);
            }
            // A piece that is not read costs a few system calls.
            left = left.saturating_sub(read.max(1024));
            self.next += 1;
        }
        Ok(Some(std::mem::take(&mut self.right)))
    }

    /// Whether a piece is right, and how many bytes that took.
    fn is_right(
        &mut self,
        payload: &Payload,
        piece: PieceIndex,
        scratch: &mut Scratch,
    ) -> Result<(bool, u64), DiskError> {
        let storage = &payload.storage;
        let range = storage.layout.piece_range(piece);
        let expected = storage.hashes.of(piece);
        match look(payload, range.clone())? {
            Look::Absent => return Ok((false, 0)),
            Look::Hole if range.end - range.start == u64::from(storage.layout.piece_length()) => {
                let zeros = *self.zeros.get_or_insert_with(|| sha1_of_zeros(range.end - range.start));
                return Ok((is_right(expected, zeros), 0));
            }
            Look::Hole | Look::Data => {}
        }
        let Some(scratch) = scratch.lanes(1).next() else { return Ok((false, 0)) };
        let mut hash = RunningHash::default();
        let mut start = range.start;
        while start < range.end {
            let length = (range.end - start).min(STEP as u64) as usize;
            if !payload.read(start, vec![&mut scratch[..length]])?.is_done() {
                return Ok((false, start - range.start));
            }
            hashing::advance(&mut [Run { hash: &mut hash, bytes: &[&scratch[..length]] }]);
            start += length as u64;
        }
        Ok((is_right(expected, hash.finish()), range.end - range.start))
    }
}

fn look(payload: &Payload, range: Range<u64>) -> Result<Look, DiskError> {
    let mut look = Look::Hole;
    for slice in payload.storage.file_map.slices(range).filter(|slice| !slice.is_pad) {
        let Some(open) = payload.readable(slice.file)? else { return Ok(Look::Absent) };
        let end = slice.offset + slice.length;
        let length = open.file.metadata().map_err(|error| payload.error("read", slice.file, &error))?.len();
        if length < end {
            return Ok(Look::Absent);
        }
        if next_data(&open.file, slice.offset).is_some_and(|data| data < end) {
            look = Look::Data;
        }
    }
    Ok(look)
}

fn sha1_of_zeros(length: u64) -> Sha1Hash {
    let zeros = [0; 16 * 1024];
    let mut hash = RunningHash::default();
    let mut left = length;
    while left > 0 {
        let count = left.min(zeros.len() as u64);
        hashing::advance(&mut [Run { hash: &mut hash, bytes: &[&zeros[..count as usize]] }]);
        left -= count;
    }
    hash.finish()
}
