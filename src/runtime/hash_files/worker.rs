//! One thread's share: claims neighbouring pieces, reads and hashes them side by side.
//!
//! Short pieces are read together in one go, long ones in steps, each at its own place. A file stays open
//! while it is in use, and what it is is compared at both ends of that time, so that no digest is of two
//! states of a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::medium::Medium;
use super::{HashError, Payload, Progress, Source, Strictness};
use crate::base::hash::Sha1Hash;
use crate::base::index::{FileIndex, PieceIndex};
use crate::hashing::{self, Run, RunningHash};
use crate::runtime::disk::door::Found;
use crate::runtime::disk::door::reading::{ReadingDoor, found};
use crate::runtime::disk::{next_data, sha1_of_zeros};

/// Long pieces that are hashed side by side.
const LANES: usize = 16;
/// What is read into before it is hashed, bytes a worker, and of all workers.
const BUFFER: usize = 2 * 1024 * 1024;
const BUFFERS: usize = 32 * 1024 * 1024;
/// What is read ahead for each lane at least, bytes.
const AHEAD: u64 = 1024 * 1024;
/// Stretches that are worth reading ahead, bytes.
const READ_AHEAD_MIN: u64 = 128 * 1024;
/// Pieces under way at once on a rotating disk, bytes: its heads stay near.
const ROTATING_WINDOW: u64 = 16 * 1024 * 1024;
/// Files that a worker keeps open: for each lane the one that it is in and the one that is read ahead.
const OPEN_FILES: usize = 2 * LANES + 2;

/// Hands out pieces, in order, to all workers.
pub(super) struct Claims {
    next: AtomicU32,
    pieces: u32,
    threads: u32,
    /// Pieces that are claimed at once, at most.
    batch: u32,
    lanes: usize,
    buffer: usize,
    /// What is read ahead for each lane, bytes.
    ahead: u64,
    zeros: OnceLock<Sha1Hash>,
    /// Held while a rotating disk is read: two readers would send its heads to and fro.
    heads: Option<Mutex<()>>,
}

impl Claims {
    pub(super) fn new(payload: &Payload, threads: usize) -> Claims {
        let length = u64::from(payload.layout.piece_length());
        let buffer = (BUFFERS / threads).min(BUFFER);
        let is_rotating = payload.media.has_rotating();
        let (lanes, ahead) = if is_rotating {
            let lanes = (ROTATING_WINDOW / length).clamp(1, LANES as u64);
            (lanes as usize, AHEAD.max(ROTATING_WINDOW / lanes / 2))
        } else {
            (LANES, AHEAD)
        };
        let heads = is_rotating.then(|| Mutex::new(()));
        let batch = (buffer as u64 / length).max(lanes as u64) as u32;
        let pieces = payload.layout.piece_count();
        let next = AtomicU32::new(0);
        let (threads, zeros) = (threads as u32, OnceLock::new());
        Claims { next, pieces, threads, batch, lanes, buffer, ahead, zeros, heads }
    }

    fn reading(&self) -> Option<MutexGuard<'_, ()>> {
        self.heads.as_ref().map(|heads| heads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Nothing more is handed out.
    pub(super) fn end(&self) {
        self.next.store(self.pieces, Ordering::Relaxed);
    }

    /// The next pieces. Towards the end they are fewer, so that all workers end together.
    fn claim(&self) -> Option<Range<u32>> {
        let end_of =
            |next: u32| next + (self.pieces - next.min(self.pieces)).div_ceil(self.threads).min(self.batch);
        let claim = |next: u32| (next < self.pieces).then(|| end_of(next));
        let start = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim).ok()?;
        Some(start..end_of(start))
    }
}

/// A worker, and what it has found out.
pub(super) struct Worker<'a> {
    payload: &'a Payload,
    claims: &'a Claims,
    progress: &'a Progress,
    files: Files<'a>,
    buffer: Vec<u8>,
    digests: Vec<(PieceIndex, Sha1Hash)>,
}

/// What a piece looks like before it is read.
enum Look {
    Absent,
    Hole,
    Data,
}

/// A piece, or several that follow each other, on the way through the buffer.
struct Lane {
    piece: PieceIndex,
    next: u64,
    end: u64,
    /// Up to where the disk has been told to read ahead.
    advised: u64,
    /// How far ahead it should be, bytes.
    ahead: u64,
    hash: RunningHash,
    is_there: bool,
}

impl<'a> Worker<'a> {
    pub(super) fn new(payload: &'a Payload, claims: &'a Claims, progress: &'a Progress) -> Worker<'a> {
        let door = ReadingDoor::new(payload.door.clone());
        let files = Files { payload, door, open: Vec::new(), faults: BTreeMap::new() };
        let buffer = vec![0; claims.buffer];
        Worker { payload, claims, progress, files, buffer, digests: Vec::new() }
    }

    /// Works until nothing is left.
    pub(super) fn run(&mut self) -> Result<(), HashError> {
        while let Some(pieces) = self.claims.claim() {
            self.hash(pieces)?;
        }
        self.files.close_all()
    }

    pub(super) fn into_hashed(self) -> (Vec<(PieceIndex, Sha1Hash)>, BTreeMap<FileIndex, io::Error>) {
        (self.digests, self.files.faults)
    }

    fn hash(&mut self, pieces: Range<u32>) -> Result<(), HashError> {
        let layout = &self.payload.layout;
        let mut wanted = Vec::with_capacity(pieces.len());
        for piece in pieces.map(PieceIndex) {
            let length = layout.piece_len(piece);
            match self.look(piece)? {
                Look::Hole if length == layout.piece_length() => {
                    let zeros = *self.claims.zeros.get_or_init(|| sha1_of_zeros(length.into()));
                    self.digests.push((piece, zeros));
                    self.progress.add(length.into());
                }
                Look::Hole | Look::Data => wanted.push(piece),
                Look::Absent => self.progress.add(length.into()),
            }
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let per_buffer = buffer.len() / layout.piece_length() as usize;
        let result = if per_buffer >= self.claims.lanes {
            let runs = wanted.chunk_by(|before, after| before.0 + 1 == after.0);
            let mut batches = runs.flat_map(|run| run.chunks(per_buffer));
            batches.try_for_each(|batch| self.hash_together(batch, &mut buffer))
        } else {
            let mut batches = wanted.chunks(self.claims.lanes);
            batches.try_for_each(|batch| self.hash_in_steps(batch, &mut buffer))
        };
        self.buffer = buffer;
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
        let is_there = files.fill(&mut lane, &mut buffer[..length])?;
        drop(reading);
        if !is_there {
            return match pieces {
                [_] => self.step_done(length as u64),
                // Which of them is it?
                _ => pieces.iter().try_for_each(|piece| self.hash_together(&[*piece], buffer)),
            };
        }
        let mut rest = &buffer[..length];
        let mut slices = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let (bytes, after) = rest.split_at(layout.piece_len(*piece) as usize);
            slices.push([bytes]);
            rest = after;
        }
        let mut hashes = vec![RunningHash::default(); pieces.len()];
        let mut runs: Vec<Run<'_>> =
            hashes.iter_mut().zip(&slices).map(|(hash, bytes)| Run { hash, bytes }).collect();
        hashing::advance(&mut runs);
        let digests = hashes.into_iter().map(RunningHash::finish);
        self.digests.extend(pieces.iter().copied().zip(digests));
        self.step_done(length as u64)
    }

    /// Pieces of any length, each read and hashed at its own place, a step at a time.
    fn hash_in_steps(&mut self, pieces: &[PieceIndex], buffer: &mut [u8]) -> Result<(), HashError> {
        let (layout, ahead) = (&self.payload.layout, self.claims.ahead);
        let mut lanes: Vec<Lane> =
            pieces.iter().map(|piece| Lane::new(*piece, layout.piece_range(*piece), ahead)).collect();
        for lane in &mut lanes {
            self.files.advise(lane)?;
        }
        let step = buffer.len() / lanes.len().max(1);
        while lanes.iter().any(|lane| lane.next < lane.end) {
            let mut read: Vec<(&mut RunningHash, [&[u8]; 1])> = Vec::with_capacity(lanes.len());
            let mut count = 0;
            let reading = self.claims.reading();
            for (lane, buffer) in lanes.iter_mut().zip(buffer.chunks_exact_mut(step)) {
                let length = (lane.end - lane.next).min(step as u64) as usize;
                if length == 0 {
                    continue;
                }
                if self.files.fill(lane, &mut buffer[..length])? {
                    count += length as u64;
                    read.push((&mut lane.hash, [&buffer[..length]]));
                } else {
                    count += lane.end - lane.next;
                    (lane.is_there, lane.next) = (false, lane.end);
                }
            }
            drop(reading);
            let mut runs: Vec<Run<'_>> = read.iter_mut().map(|(hash, bytes)| Run { hash, bytes }).collect();
            hashing::advance(&mut runs);
            self.step_done(count)?;
        }
        let there = lanes.into_iter().filter(|lane| lane.is_there);
        self.digests.extend(there.map(|lane| (lane.piece, lane.hash.finish())));
        Ok(())
    }

    fn step_done(&self, bytes: u64) -> Result<(), HashError> {
        self.progress.add(bytes);
        if self.progress.is_stopped() { Err(HashError::Stopped) } else { Ok(()) }
    }
}

impl Lane {
    fn new(piece: PieceIndex, range: Range<u64>, ahead: u64) -> Lane {
        let hash = RunningHash::default();
        let (start, end) = (range.start, range.end);
        Lane { piece, next: start, end, advised: start, ahead, hash, is_there: true }
    }
}

/// The files that a worker has open.
struct Files<'a> {
    payload: &'a Payload,
    door: ReadingDoor,
    /// The one used last stands last.
    open: Vec<Open>,
    faults: BTreeMap<FileIndex, io::Error>,
}

struct Open {
    index: FileIndex,
    file: File,
    /// It may have holes.
    is_sparse: bool,
}

impl Files<'_> {
    /// Fills `part` from the lane's place on, and moves the lane behind it. False when it is not all there.
    fn fill(&mut self, lane: &mut Lane, part: &mut [u8]) -> Result<bool, HashError> {
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
    fn advise(&mut self, lane: &mut Lane) -> Result<(), HashError> {
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
    fn find(&mut self, index: FileIndex) -> Result<Option<&Open>, HashError> {
        if let Some(place) = self.open.iter().rposition(|open| open.index == index) {
            self.open[place..].rotate_left(1);
            return Ok(self.open.last());
        }
        let Source::File { path, seen } = &self.payload.sources[index.index()] else { return Ok(None) };
        if self.faults.contains_key(&index) {
            return Ok(None);
        }
        if self.open.len() >= OPEN_FILES {
            let oldest = self.open.remove(0);
            self.close(&oldest)?;
        }
        let (file, now) = match self.door.open(path) {
            Ok(opened) => opened,
            Err(error) => {
                self.fault(index, error)?;
                return Ok(None);
            }
        };
        self.compare(index, &now)?;
        let medium = self.payload.media.medium(now.identity.0);
        if medium != Medium::Memory && seen.length > AHEAD {
            expect_sequence(&file);
        }
        self.open.push(Open { index, file, is_sparse: now.allocated < now.length });
        Ok(self.open.last())
    }

    fn close_all(&mut self) -> Result<(), HashError> {
        std::mem::take(&mut self.open).iter().try_for_each(|open| self.close(open))
    }

    /// What was read of a file counts only if it is now what it was.
    fn close(&mut self, open: &Open) -> Result<(), HashError> {
        if self.payload.strictness == Strictness::Lenient {
            return Ok(());
        }
        match found(&open.file) {
            Ok(now) => self.compare(open.index, &now),
            Err(error) => self.fault(open.index, error),
        }
    }

    fn compare(&self, index: FileIndex, now: &Found) -> Result<(), HashError> {
        let is_same = |seen: &Found| {
            (seen.length, seen.modified, seen.identity) == (now.length, now.modified, now.identity)
        };
        match &self.payload.sources[index.index()] {
            Source::File { path, seen }
                if self.payload.strictness == Strictness::Strict && !is_same(seen) =>
            {
                Err(HashError::Changed { path: self.payload.dir.join(path) })
            }
            _ => Ok(()),
        }
    }

    fn fault(&mut self, index: FileIndex, error: io::Error) -> Result<(), HashError> {
        let Source::File { path, .. } = &self.payload.sources[index.index()] else { return Ok(()) };
        let path = self.payload.dir.join(path);
        match (self.payload.strictness, error.kind()) {
            (Strictness::Strict, io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound) => {
                Err(HashError::Changed { path })
            }
            (Strictness::Strict, _) => Err(HashError::Unreadable { path, error }),
            (Strictness::Lenient, _) => {
                self.faults.entry(index).or_insert(error);
                Ok(())
            }
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn read_ahead(file: &File, offset: u64, length: u64) {
    // Advice only: the read itself tells what is wrong.
    let _ =
        rustix::fs::fadvise(file, offset, std::num::NonZeroU64::new(length), rustix::fs::Advice::WillNeed);
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn expect_sequence(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Sequential);
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn read_ahead(_: &File, _: u64, _: u64) {}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn expect_sequence(_: &File) {}
