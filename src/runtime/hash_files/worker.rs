//! One thread's share: claims neighbouring pieces, reads and hashes them side by side.
//!
//! Short pieces are taken together in one go, long ones in steps, each at its own place.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{MutexGuard, OnceLock};

use super::files::{Files, Lane};
use super::{HashError, Payload, Progress, Source};
use crate::base::hash::Sha1Hash;
use crate::base::index::{FileIndex, PieceIndex};
use crate::hashing::{self, Run, RunningHash};
use crate::runtime::disk::medium::Heads;
use crate::runtime::disk::read_buffer::ReadBuffer;
use crate::runtime::disk::{next_data, sha1_of_zeros};

/// Long pieces that are hashed side by side.
const LANES: usize = 16;
/// What is read into before it is hashed, bytes a worker, and of all workers.
const BUFFER: usize = 2 * 1024 * 1024;
const BUFFERS: usize = 32 * 1024 * 1024;
/// What lanes are read in multiples of, bytes.
const PAGE: usize = 4096;
/// What is read ahead for each lane at least, bytes.
pub(super) const AHEAD: u64 = 1024 * 1024;
/// What is read ahead for each lane on a rotating disk, bytes: reading half of it takes longer than moving the heads
/// there, and of all lanes it is a turn of 64 to 128 MiB.
const ROTATING_AHEAD: u64 = 8 * 1024 * 1024;
/// Files that a worker keeps open, where so many are allowed: for each lane the one that it is in and the one that is
/// read ahead.
pub(super) const OPEN_FILES: usize = 2 * LANES + 2;

/// Hands out pieces, in order, to all workers.
struct Order {
    next: AtomicU32,
    pieces: u32,
    threads: u32,
    /// Pieces that are claimed at once, at most: a multiple of the lanes.
    batch: u32,
    /// From here on there are fewer left than would fill all lanes of all workers: each takes an equal share.
    shared_from: u32,
    share: u32,
}

/// What all workers share.
pub(super) struct Claims {
    order: Order,
    buffer: usize,
    /// What is read ahead for each lane, bytes.
    ahead: u64,
    /// Files that each worker may have open.
    open_files: usize,
    zeros: OnceLock<Sha1Hash>,
    is_rotating: bool,
    heads: Heads,
}

impl Claims {
    pub(super) fn new(payload: &Payload, threads: usize, open_files: usize) -> Claims {
        let length = u64::from(payload.layout.piece_length());
        let buffer = (BUFFERS / threads).min(BUFFER);
        let is_rotating = payload.media.has_rotating();
        let ahead = if is_rotating { ROTATING_AHEAD } else { AHEAD };
        let batch = (buffer as u64 / length / LANES as u64).max(1) as u32 * LANES as u32;
        let order = Order::new(payload.layout.piece_count(), threads as u32, batch);
        let (zeros, heads) = (OnceLock::new(), Heads::default());
        Claims { order, buffer, ahead, open_files, zeros, is_rotating, heads }
    }

    fn reading(&self) -> Option<MutexGuard<'_, ()>> {
        self.heads.reading(self.is_rotating)
    }

    /// Nothing more is handed out.
    pub(super) fn end(&self) {
        self.order.next.store(self.order.pieces, Ordering::Relaxed);
    }
}

impl Order {
    fn new(pieces: u32, threads: u32, batch: u32) -> Order {
        let left = pieces % (threads * LANES as u32);
        let (shared_from, share) = (pieces - left, left.div_ceil(threads));
        Order { next: AtomicU32::new(0), pieces, threads, batch, shared_from, share }
    }

    /// The next pieces. Towards the end they are fewer, so that all workers end together, but never so few that lanes
    /// stay empty without need.
    fn claim(&self) -> Option<Range<u32>> {
        let claim = |next: u32| (next < self.pieces).then(|| self.end_of(next));
        let start = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim).ok()?;
        Some(start..self.end_of(start))
    }

    /// The end of the claim that starts here.
    fn end_of(&self, start: u32) -> u32 {
        if start >= self.shared_from {
            return start + self.share.min(self.pieces - start);
        }
        let fair = (self.shared_from - start) / self.threads;
        let lanes = LANES as u32;
        start + (fair / lanes * lanes).clamp(lanes, self.batch)
    }
}

/// A worker, and what it has found out.
pub(super) struct Worker<'a> {
    payload: &'a Payload,
    claims: &'a Claims,
    progress: &'a Progress,
    files: Files<'a>,
    buffer: ReadBuffer,
    digests: Vec<(PieceIndex, Sha1Hash)>,
}

/// What a piece looks like before it is read.
enum Look {
    Absent,
    Hole,
    Data,
}

impl<'a> Worker<'a> {
    pub(super) fn new(payload: &'a Payload, claims: &'a Claims, progress: &'a Progress) -> Worker<'a> {
        let files = Files::new(payload, claims.open_files);
        let buffer = ReadBuffer::new(claims.buffer);
        Worker { payload, claims, progress, files, buffer, digests: Vec::new() }
    }

    /// Works until nothing is left.
    pub(super) fn run(&mut self) -> Result<(), HashError> {
        while let Some(pieces) = self.claims.order.claim() {
            // Holes, and what is not there, take time too.
            self.step_done(0, 0)?;
            self.hash(pieces)?;
        }
        self.files.close_all()
    }

    pub(super) fn into_hashed(self) -> (Vec<(PieceIndex, Sha1Hash)>, BTreeMap<FileIndex, io::Error>) {
        (self.digests, self.files.into_faults())
    }

    fn hash(&mut self, pieces: Range<u32>) -> Result<(), HashError> {
        let layout = &self.payload.layout;
        let mut wanted = Vec::with_capacity(pieces.len());
        // To find holes, too, the disk is read.
        let reading = self.claims.reading();
        for piece in pieces.map(PieceIndex) {
            let length = layout.piece_len(piece);
            match self.look(piece)? {
                Look::Hole if length == layout.piece_length() => {
                    let zeros = *self.claims.zeros.get_or_init(|| sha1_of_zeros(length.into()));
                    self.digests.push((piece, zeros));
                    self.progress.pass(length.into());
                }
                Look::Hole | Look::Data => wanted.push(piece),
                Look::Absent => self.progress.pass(length.into()),
            }
        }
        drop(reading);
        let mut taken = std::mem::take(&mut self.buffer);
        let buffer = taken.bytes();
        let per_buffer = buffer.len() / layout.piece_length() as usize;
        let result = if per_buffer >= LANES {
            let runs = wanted.chunk_by(|before, after| before.0 + 1 == after.0);
            let mut batches = runs.flat_map(|run| run.chunks(per_buffer));
            batches.try_for_each(|batch| self.hash_together(batch, buffer))
        } else {
            let mut batches = wanted.chunks(LANES);
            batches.try_for_each(|batch| self.hash_in_steps(batch, buffer))
        };
        self.buffer = taken;
        result
    }

    /// Whether a piece has to be read at all.
    fn look(&mut self, piece: PieceIndex) -> Result<Look, HashError> {
        let payload = self.payload;
        let mut look = Look::Hole;
        for slice in payload.file_map.slices(payload.layout.piece_range(piece)) {
            let end = slice.offset + slice.length;
            match &payload.sources[slice.file.index()] {
                Source::Zeros => {}
                Source::Absent => return Ok(Look::Absent),
                Source::File { seen, .. } if seen.length < end => return Ok(Look::Absent),
                Source::File { seen, .. } if seen.allocated >= seen.length => look = Look::Data,
                Source::File { .. } => {
                    let Some(open) = self.files.find(slice.file)? else { return Ok(Look::Absent) };
                    if next_data(&open.file, slice.offset).is_some_and(|data| data < end) {
                        look = Look::Data;
                    }
                }
            }
        }
        Ok(look)
    }

    /// Pieces that follow each other and fit into the buffer: one read, one run each.
    fn hash_together(&mut self, pieces: &[PieceIndex], buffer: &mut [u8]) -> Result<(), HashError> {
        let (layout, files) = (&self.payload.layout, &mut self.files);
        let Some((first, last)) = pieces.first().zip(pieces.last()) else { return Ok(()) };
        let range = layout.piece_range(*first).start..layout.piece_range(*last).end;
        let length = (range.end - range.start) as usize;
        // Whoever claims what follows finds it read already.
        let ahead = 2 * length as u64;
        let mut lane = Lane::new(*first, range.start..range.start + ahead, ahead);
        let reading = self.claims.reading();
        let is_there = files.read(&mut lane, &mut buffer[..length])?;
        drop(reading);
        if !is_there {
            return match pieces {
                [_] => self.step_done(0, length as u64),
                // Which of them is it?
                _ => pieces.iter().try_for_each(|piece| self.hash_together(&[*piece], buffer)),
            };
        }
        self.hash_side_by_side(pieces, &buffer[..length])
    }

    /// Pieces whose bytes these are.
    fn hash_side_by_side(&mut self, pieces: &[PieceIndex], bytes: &[u8]) -> Result<(), HashError> {
        let mut rest = bytes;
        let mut slices = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let (bytes, after) = rest.split_at(self.payload.layout.piece_len(*piece) as usize);
            slices.push([bytes]);
            rest = after;
        }
        let mut hashes = vec![RunningHash::default(); pieces.len()];
        let mut runs: Vec<Run<'_>> =
            hashes.iter_mut().zip(&slices).map(|(hash, bytes)| Run { hash, bytes }).collect();
        hashing::advance(&mut runs);
        let digests = hashes.into_iter().map(RunningHash::finish);
        self.digests.extend(pieces.iter().copied().zip(digests));
        self.step_done(bytes.len() as u64, 0)
    }

    /// Pieces of any length, each read and hashed at its own place, a step at a time.
    fn hash_in_steps(&mut self, pieces: &[PieceIndex], buffer: &mut [u8]) -> Result<(), HashError> {
        let (layout, ahead) = (&self.payload.layout, self.claims.ahead);
        let mut lanes: Vec<Lane> =
            pieces.iter().map(|piece| Lane::new(*piece, layout.piece_range(*piece), ahead)).collect();
        let reading = self.claims.reading();
        lanes.iter_mut().try_for_each(|lane| self.files.advise(lane))?;
        drop(reading);
        let step = buffer.len() / lanes.len().max(1) / PAGE * PAGE;
        while lanes.iter().any(|lane| lane.next < lane.end) {
            let mut ready: Vec<(&mut RunningHash, [&[u8]; 1])> = Vec::with_capacity(lanes.len());
            let (mut read, mut missing) = (0, 0);
            let reading = self.claims.reading();
            for (lane, buffer) in lanes.iter_mut().zip(buffer.chunks_exact_mut(step)) {
                let left = lane.end - lane.next;
                if left == 0 {
                    continue;
                }
                let part = &mut buffer[..left.min(step as u64) as usize];
                if self.files.read(lane, part)? {
                    read += part.len() as u64;
                    ready.push((&mut lane.hash, [&*part]));
                } else {
                    missing += left;
                    (lane.is_there, lane.next) = (false, lane.end);
                }
            }
            drop(reading);
            let mut runs: Vec<Run<'_>> = ready.iter_mut().map(|(hash, bytes)| Run { hash, bytes }).collect();
            hashing::advance(&mut runs);
            self.step_done(read, missing)?;
        }
        let there = lanes.into_iter().filter(|lane| lane.is_there);
        self.digests.extend(there.map(|lane| (lane.piece, lane.hash.finish())));
        Ok(())
    }

    fn step_done(&self, read: u64, missing: u64) -> Result<(), HashError> {
        self.progress.add_read(read);
        self.progress.pass(missing);
        if self.progress.is_stopped() { Err(HashError::Stopped) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(pieces: u32, threads: u32, batch: u32) -> Vec<u32> {
        let order = Order::new(pieces, threads, batch);
        let mut end = 0;
        let all = std::iter::from_fn(|| order.claim()).inspect(|claim| {
            assert_eq!(claim.start, end, "in order, without gaps");
            end = claim.end;
        });
        let lengths: Vec<u32> = all.map(|claim| claim.end - claim.start).collect();
        assert_eq!(end, pieces, "all of them");
        lengths
    }

    #[test]
    fn lanes_are_filled_for_as_long_as_there_are_pieces_for_all_workers() {
        assert_eq!(claims(64, 2, 16), [16; 4]);
        assert_eq!(claims(37, 2, 16), [16, 16, 3, 2]);
        assert_eq!(claims(16, 2, 16), [8, 8]);
        assert_eq!(claims(5, 4, 16), [2, 2, 1]);
        assert_eq!(claims(1, 64, 16), [1]);
        assert_eq!(claims(0, 2, 16), [0; 0]);
    }

    #[test]
    fn claims_of_many_short_pieces_get_shorter_towards_the_end() {
        let lengths = claims(4096 + 7, 2, 256);
        assert_eq!(lengths[0], 256);
        assert!(lengths.is_sorted_by(|before, after| before >= after), "{lengths:?}");
        assert_eq!(lengths[lengths.len() - 4..], [16, 16, 4, 3]);
        assert!(lengths[..lengths.len() - 2].iter().all(|length| length % 16 == 0), "{lengths:?}");
    }
}
