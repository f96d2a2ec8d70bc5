//! Which pieces on disk are right.
//!
//! Missing files and holes cost nothing: a piece that is all hole is right only if it should be all zeros.
//! Memory is a step for each of the pieces hashed side by side, whatever the piece length.

use std::ops::Range;

use super::advance::{LANES, STEP, Scratch, is_right};
use super::payload::Payload;
use super::read_advice::{expect_any_reading, expect_one_reading, read_ahead};
use super::space::next_data;
use crate::base::hash::Sha1Hash;
use crate::base::index::PieceIndex;
use crate::engine::disk_job::DiskError;
use crate::hashing::{self, Run, RunningHash};

/// What is read ahead at once, bytes: pieces side by side are as many as fit, and no more than there are lanes.
const WINDOW: u64 = 128 * 1024 * 1024;

/// A check that is done bit by bit, so that other work gets its turn.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) pieces: Range<u32>,
    next: u32,
    /// Pieces that are being read.
    lanes: Vec<Lane>,
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
        Check { next: pieces.start, pieces, lanes: Vec::new(), right: Vec::new(), zeros: None }
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
        while self.next < end || !self.lanes.is_empty() {
            if left == 0 {
                return Ok(None);
            }
            if self.lanes.is_empty() {
                left = self.start_lanes(payload, end, left)?;
                continue;
            }
            left = left.saturating_sub(hash_step(payload, &mut self.lanes, scratch)?);
            if self.lanes.iter().all(|lane| lane.next >= lane.end) {
                let right = self.lanes.drain(..).filter_map(|lane| {
                    let expected = payload.storage.hashes.of(lane.piece);
                    (lane.is_there && is_right(expected, lane.hash.finish())).then_some(lane.piece)
                });
                self.right.extend(right);
            }
        }
        let layout = &payload.storage.layout;
        if let Some(last) = end.checked_sub(1).filter(|last| *last >= self.pieces.start) {
            let range = layout.piece_range(PieceIndex(self.pieces.start)).start;
            let range = range..layout.piece_range(PieceIndex(last)).end;
            expect_others(payload, range);
        }
        // Pieces of holes were judged before those that were read beside them.
        self.right.sort_unstable();
        Ok(Some(std::mem::take(&mut self.right)))
    }

    /// Begins with the next pieces, and has the system read them ahead. Returns what is left of `bytes`.
    fn start_lanes(&mut self, payload: &Payload, end: u32, bytes: u64) -> Result<u64, DiskError> {
        let count =
            (WINDOW / u64::from(payload.storage.layout.piece_length())).clamp(1, LANES as u64) as usize;
        // To find holes, too, the disk is read.
        let _reading = payload.reading();
        let mut left = bytes;
        while self.next < end && left > 0 && self.lanes.len() < count {
            let lane = self.lane(payload, PieceIndex(self.next))?;
            // What is not read costs a few system calls.
            left = left.saturating_sub(if lane.is_some() { 0 } else { 1024 });
            self.lanes.extend(lane);
            self.next += 1;
        }
        if let (Some(first), Some(last)) = (self.lanes.first(), self.lanes.last()) {
            announce_reads(payload, first.next..last.end)?;
        }
        Ok(left)
    }

    /// A lane for a piece that has to be read. Others are judged at once.
    fn lane(&mut self, payload: &Payload, piece: PieceIndex) -> Result<Option<Lane>, DiskError> {
        let storage = &payload.storage;
        let range = storage.layout.piece_range(piece);
        match look(payload, range.clone())? {
            Look::Absent => return Ok(None),
            Look::Hole if range.end - range.start == u64::from(storage.layout.piece_length()) => {
                let zeros = *self.zeros.get_or_insert_with(|| sha1_of_zeros(range.end - range.start));
                if is_right(storage.hashes.of(piece), zeros) {
                    self.right.push(piece);
                }
                return Ok(None);
            }
            Look::Hole | Look::Data => {}
        }
        let hash = RunningHash::default();
        Ok(Some(Lane { piece, next: range.start, end: range.end, hash, is_there: true }))
    }
}

/// A piece that is read and hashed.
#[derive(Debug)]
struct Lane {
    piece: PieceIndex,
    /// Payload offset of what is to be read next.
    next: u64,
    end: u64,
    hash: RunningHash,
    is_there: bool,
}

/// Has the system read what lies there, in its order: the lanes take it in steps from several places, for
/// which a rotating disk would move to and fro.
fn announce_reads(payload: &Payload, range: Range<u64>) -> Result<(), DiskError> {
    for slice in payload.storage.file_map.slices(range).filter(|slice| !slice.is_pad) {
        if let Some(open) = payload.readable(slice.file)?.filter(|open| !open.is_memory) {
            expect_one_reading(&open.file);
            read_ahead(&open.file, slice.offset, slice.length);
        }
    }
    Ok(())
}

/// What was checked may be sent to many from now on, through the same handles.
fn expect_others(payload: &Payload, range: Range<u64>) {
    for slice in payload.storage.file_map.slices(range).filter(|slice| !slice.is_pad) {
        let open = payload.open_files.find((payload.torrent, slice.file), false);
        if let Some(open) = open.filter(|open| !open.is_memory) {
            expect_any_reading(&open.file);
        }
    }
}

/// Reads and hashes a step of each lane, side by side. Returns how many bytes that was.
fn hash_step(payload: &Payload, lanes: &mut [Lane], scratch: &mut Scratch) -> Result<u64, DiskError> {
    let mut read: Vec<(&mut RunningHash, [&[u8]; 1])> = Vec::with_capacity(lanes.len());
    let mut bytes = 0;
    let reading = payload.reading();
    for (lane, scratch) in lanes.iter_mut().zip(scratch.lanes()) {
        let length = (lane.end - lane.next).min(STEP as u64) as usize;
        if length == 0 {
            continue;
        }
        if payload.read(lane.next, vec![&mut scratch[..length]])?.is_done() {
            lane.next += length as u64;
            bytes += length as u64;
            read.push((&mut lane.hash, [&scratch[..length]]));
        } else {
            (lane.is_there, lane.next) = (false, lane.end);
        }
    }
    drop(reading);
    let mut runs: Vec<Run<'_>> = read.iter_mut().map(|(hash, bytes)| Run { hash, bytes }).collect();
    hashing::advance(&mut runs);
    Ok(bytes)
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

/// SHA-1 of so many zeros.
pub(in crate::runtime) fn sha1_of_zeros(length: u64) -> Sha1Hash {
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
