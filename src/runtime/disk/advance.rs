//! A piece's next blocks, once they are written: hashed, and judged at the end.
//!
//! Everything is written (`write_together`) before it is hashed, so a piece that passes is both verified and written.
//! Blocks at the hash front are hashed from memory, written ones that the front comes to are read back. Several
//! pieces go side by side, in steps, so that the hash kernels can work on them at once.

use std::sync::Arc;

use super::payload::Payload;
use super::read_buffer::ReadBuffer;
use crate::base::hash::{PieceHash, Sha1Hash};
use crate::base::index::{BlockAddress, PieceIndex};
use crate::base::layout::BLOCK_LENGTH;
use crate::engine::disk_job::{DiskError, DiskErrorKind, DiskResult, PieceJob, Verdict};
use crate::hashing::{self, Run};

/// Pieces that are hashed side by side, at most: as many as the widest kernel takes.
pub(super) const LANES: usize = hashing::MAX_LANES;
/// Blocks of a piece that are hashed in one step: fits into the second cache.
const STEP_BLOCKS: usize = 16;
/// The same, bytes.
pub(super) const STEP: usize = STEP_BLOCKS * BLOCK_LENGTH as usize;

/// A worker's own memory for what is read back: a step for each lane.
#[derive(Default, Debug)]
pub(super) struct Scratch {
    buffer: Option<ReadBuffer>,
}

impl Scratch {
    pub(super) fn new() -> Scratch {
        Scratch::default()
    }

    /// A stretch of a step for each lane.
    pub(super) fn lanes(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let buffer = self.buffer.get_or_insert_with(|| ReadBuffer::new(LANES * STEP));
        buffer.bytes().chunks_exact_mut(STEP)
    }
}

/// A piece on its way through one job.
pub(super) struct Lane {
    pub(super) payload: Arc<Payload>,
    pub(super) job: Box<PieceJob>,
    /// The first of the job's blocks that the front has not passed.
    next: usize,
    /// What came of it, once nothing is left to do.
    pub(super) outcome: Option<Result<Option<Verdict>, DiskError>>,
}

/// Where the next bytes to hash are.
enum Step {
    /// In so many blocks of the job, from the lane's next.
    Memory(usize),
    /// So many blocks, so many bytes, in the lane's scratch.
    ReadBack(u32, usize),
    /// Nowhere yet.
    Nothing,
}

/// Hashes pieces that are written on by a step, and reports those that go no further. Gives back the others, so that
/// they go on beside whatever else is ready by then.
pub(super) fn hash(mut lanes: Vec<Lane>, scratch: &mut Scratch, finished: &dyn Fn(DiskResult)) -> Vec<Lane> {
    hash_step(&mut lanes, scratch);
    for lane in lanes.iter_mut().filter(|lane| lane.is_whole() && lane.outcome.is_none()) {
        lane.outcome = Some(lane.judge(scratch).map(Some));
    }
    finish(lanes.extract_if(.., |lane| lane.has_ended()), finished);
    lanes
}

/// Moves each lane's front on by a step, if it can go on.
fn hash_step(lanes: &mut [Lane], scratch: &mut Scratch) {
    let mut steps = Vec::with_capacity(lanes.len());
    let count = lanes.len();
    for (lane, bytes) in lanes.iter_mut().zip(scratch.lanes()) {
        let step = lane.next_step(bytes).unwrap_or_else(|error| {
            lane.outcome = Some(Err(error));
            Step::Nothing
        });
        steps.push((step, &*bytes));
    }
    let mut hashes = Vec::with_capacity(count);
    let mut slices = Vec::with_capacity(count);
    for (lane, (step, scratch)) in lanes.iter_mut().zip(&steps) {
        let PieceJob { hash, blocks, .. } = &mut *lane.job;
        let mut bytes: [&[u8]; STEP_BLOCKS] = [&[]; STEP_BLOCKS];
        let used = match step {
            Step::Memory(count) => {
                let blocks = &blocks[lane.next..lane.next + count];
                bytes.iter_mut().zip(blocks).for_each(|(bytes, (_, data))| *bytes = data.bytes());
                *count
            }
            Step::ReadBack(_, length) => {
                bytes[0] = &scratch[..*length];
                1
            }
            Step::Nothing => 0,
        };
        hashes.push(hash);
        slices.push((bytes, used));
    }
    let mut runs: Vec<Run<'_>> = hashes
        .into_iter()
        .zip(&slices)
        .map(|(hash, (bytes, used))| Run { hash, bytes: &bytes[..*used] })
        .collect();
    hashing::advance(&mut runs);
    for (lane, (step, _)) in lanes.iter_mut().zip(&steps) {
        lane.job.front += match step {
            Step::Memory(count) => *count as u32,
            Step::ReadBack(count, _) => *count,
            Step::Nothing => 0,
        };
    }
}

/// Whatever happened to these pieces, it is written down before anybody hears of it.
pub(super) fn finish(done: impl Iterator<Item = Lane>, finished: &dyn Fn(DiskResult)) {
    let done: Vec<Lane> = done.collect();
    for of_one in done.chunk_by(|one, other| Arc::ptr_eq(&one.payload, &other.payload)) {
        if let Some(first) = of_one.first() {
            first.payload.record_outcomes(of_one);
        }
    }
    done.into_iter().for_each(|lane| lane.report(finished));
}

impl Lane {
    pub(super) fn new(payload: Arc<Payload>, job: Box<PieceJob>) -> Lane {
        Lane { payload, job, next: 0, outcome: None }
    }

    /// Whether nothing is left to do: it failed, is judged, or the front's next block is not here.
    pub(super) fn has_ended(&self) -> bool {
        let goes_on = self.is_whole() || self.job.written.get(self.job.front as usize) == Some(&true);
        self.outcome.is_some() || !goes_on
    }

    pub(super) fn block_count(&self) -> u32 {
        self.payload.storage.layout.blocks_in(self.job.piece)
    }

    fn is_whole(&self) -> bool {
        self.job.front >= self.block_count()
    }

    /// Finds what is to be hashed next, and reads it back into `scratch` if it is not in memory.
    fn next_step(&mut self, scratch: &mut [u8]) -> Result<Step, DiskError> {
        let (front, blocks) = (self.job.front, &self.job.blocks);
        while blocks.get(self.next).is_some_and(|(block, _)| *block < front) {
            self.next += 1;
        }
        let in_memory = (front..)
            .zip(&blocks[self.next..])
            .take(STEP_BLOCKS)
            .take_while(|(wanted, (block, _))| wanted == block && !self.touches_pad(*block))
            .count();
        if in_memory > 0 {
            return Ok(Step::Memory(in_memory));
        }
        // The first is read back whatever it is, so that one that touches padding is too.
        let following = &self.job.written[(front as usize).min(self.job.written.len())..];
        let until = blocks[self.next..].iter().map(|(block, _)| *block).find(|block| *block > front);
        let count = following
            .iter()
            .take(STEP_BLOCKS)
            .zip(front..until.unwrap_or(u32::MAX))
            .take_while(|(is_written, _)| **is_written)
            .count() as u32;
        if count == 0 {
            return Ok(Step::Nothing);
        }
        let piece = self.job.piece;
        let layout = &self.payload.storage.layout;
        let begin = u64::from(front) * u64::from(BLOCK_LENGTH);
        let range = layout.piece_range(piece);
        let start = range.start + begin;
        let length = (range.end - start).min(u64::from(count) * u64::from(BLOCK_LENGTH)) as usize;
        if !self.payload.read(start, vec![&mut scratch[..length]])?.is_done() {
            return Err(self.payload.refusal(piece, GONE));
        }
        Ok(Step::ReadBack(count, length))
    }

    /// Whether a block has bytes of a pad file. What a peer sent for those is of no interest: they are read
    /// as zeros, so that the verdict is on what is on disk.
    fn touches_pad(&self, block: u32) -> bool {
        let storage = &self.payload.storage;
        storage.has_pads && {
            let address = BlockAddress { piece: self.job.piece, block };
            let start =
                storage.layout.piece_range(address.piece).start + u64::from(block) * u64::from(BLOCK_LENGTH);
            let end = start + u64::from(storage.layout.block_len(address));
            storage.file_map.slices(start..end).any(|slice| slice.is_pad)
        }
    }

    fn judge(&mut self, scratch: &mut Scratch) -> Result<Verdict, DiskError> {
        // The state stays with the job: when the digests can't be read, it may be judged again.
        let found = self.job.hash.clone().finish();
        let has_passed = is_right(self.payload.storage.hashes.of(self.job.piece), found);
        let digests = if has_passed && !self.job.wants_digests {
            Vec::new()
        } else {
            self.payload.block_digests(self.job.piece, scratch)?
        };
        Ok(if has_passed { Verdict::Passed { digests } } else { Verdict::Failed { digests } })
    }

    fn report(mut self, finished: &dyn Fn(DiskResult)) {
        let result = self.outcome.unwrap_or(Ok(None));
        let PieceJob { blocks, written, .. } = &mut *self.job;
        match &result {
            // They may be tried again.
            Err(DiskError { kind: DiskErrorKind::Full { .. }, .. }) => {
                blocks.retain(|(block, _)| !written[*block as usize]);
            }
            _ => blocks.clear(),
        }
        finished(DiskResult::Advanced { job: self.job, result });
    }
}

/// Whether a piece of SHA-1 `found` is what it should be; never where that is not known by SHA-1 alone.
pub(super) fn is_right(expected: PieceHash, found: Sha1Hash) -> bool {
    match expected {
        PieceHash::V1(expected) => expected == found,
        PieceHash::V2(_) | PieceHash::Both(..) | PieceHash::Unknown => false,
    }
}

const GONE: &str = "what was written is no longer there: another program changed the file";

impl Payload {
    /// SHA-1 of each block of a piece that is written.
    fn block_digests(&self, piece: PieceIndex, scratch: &mut Scratch) -> Result<Vec<Sha1Hash>, DiskError> {
        let layout = &self.storage.layout;
        let mut digests = Vec::with_capacity(layout.blocks_in(piece) as usize);
        let Some(scratch) = scratch.lanes().next() else { return Ok(digests) };
        let range = layout.piece_range(piece);
        let mut start = range.start;
        while start < range.end {
            let length = (range.end - start).min(STEP as u64) as usize;
            if !self.read(start, vec![&mut scratch[..length]])?.is_done() {
                return Err(self.refusal(piece, GONE));
            }
            let blocks: Vec<&[u8]> = scratch[..length].chunks(BLOCK_LENGTH as usize).collect();
            digests.extend(hashing::sha1_each(&blocks));
            start += length as u64;
        }
        Ok(digests)
    }

    pub(super) fn refusal(&self, piece: PieceIndex, message: &str) -> DiskError {
        let range = self.storage.layout.piece_range(piece);
        let file = self.storage.file_map.slices(range).find(|slice| !slice.is_pad);
        let path = file.map(|slice| self.storage.files[slice.file.index()].path.as_path());
        let path = self.storage.target.dir.join(path.unwrap_or("".as_ref()));
        DiskError {
            kind: DiskErrorKind::Other,
            operation: "hash",
            file: path.to_string_lossy().into_owned(),
            message: message.to_owned(),
        }
    }
}
