//! A piece under way, on the engine's side: blocks that wait in memory for the disk.
//!
//! Blocks go to disk in runs: as soon as 256 KiB, or the rest of the piece, is contiguous at the front, the
//! run is hashed on and written. Blocks beyond the front wait; those that waited a second, and all of them
//! when buffers are crowded, are written unhashed ("spilled") and read back when the front comes to them.
//! The piece's state travels inside its disk job, so at most one job is out a piece.

use std::net::SocketAddr;

use crate::base::block_data::BlockData;
use crate::base::index::PieceIndex;
use crate::base::layout::BLOCK_LENGTH;
use crate::base::time::{Duration, Instant};
use crate::engine::disk_job::PieceJob;
use crate::engine::order::TorrentId;
use crate::hashing::RunningHash;

/// A run of so many blocks at the front is worth a job: 256 KiB.
const RUN: usize = (256 * 1024 / BLOCK_LENGTH) as usize;
/// How long a block waits before it is spilled.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Blocks of one piece between network and disk.
#[derive(Debug)]
pub(super) struct PieceBuffer {
    /// The piece's state; `None` while a job has it.
    job: Option<Box<PieceJob>>,
    /// By block: its payload, until a job takes it.
    waiting: Vec<Option<BlockData>>,
    /// By block: who sent it.
    senders: Vec<Option<SocketAddr>>,
    /// How many blocks wait.
    count: usize,
    /// When the first of those that wait came.
    oldest: Instant,
    /// When the last job was sent.
    sent: Instant,
}

impl PieceBuffer {
    /// A piece of `blocks` blocks of which nothing is here.
    pub(super) fn new(
        torrent: TorrentId,
        piece: PieceIndex,
        blocks: u32,
        wants_digests: bool,
    ) -> PieceBuffer {
        let blocks = blocks as usize;
        PieceBuffer {
            job: Some(Box::new(PieceJob {
                torrent,
                piece,
                hash: RunningHash::default(),
                front: 0,
                written: vec![false; blocks],
                blocks: Vec::new(),
                wants_digests,
            })),
            waiting: vec![None; blocks],
            senders: vec![None; blocks],
            count: 0,
            oldest: Instant::FAR,
            sent: Instant::ZERO,
        }
    }

    /// A piece of which these blocks are on disk since an earlier run.
    pub(super) fn resumed(torrent: TorrentId, piece: PieceIndex, written: Vec<bool>) -> PieceBuffer {
        let mut buffer = PieceBuffer::new(torrent, piece, written.len() as u32, false);
        if let Some(job) = &mut buffer.job {
            job.written = written;
        }
        buffer
    }

    /// Takes a block that the piece does not have yet.
    pub(super) fn add(&mut self, now: Instant, block: u32, data: BlockData, sender: SocketAddr) {
        if self.count == 0 {
            self.oldest = now;
        }
        self.count += 1;
        self.waiting[block as usize] = Some(data);
        self.senders[block as usize] = Some(sender);
    }

    /// Takes the piece's state back from a job that is done.
    pub(super) fn on_job_back(&mut self, job: Box<PieceJob>) {
        self.job = Some(job);
    }

    /// The same from a job that failed for want of space: the blocks that it could not write wait again.
    pub(super) fn on_job_refused(&mut self, now: Instant, mut job: Box<PieceJob>) {
        if self.count == 0 {
            self.oldest = now;
        }
        for (block, data) in job.blocks.drain(..) {
            self.waiting[block as usize] = Some(data);
            self.count += 1;
        }
        self.job = Some(job);
    }

    /// Bytes of blocks that wait.
    pub(super) fn waiting_bytes(&self) -> u64 {
        self.waiting.iter().flatten().map(|data| u64::from(data.len())).sum()
    }

    /// Gives up the blocks that wait, and says which they were.
    pub(super) fn drop_waiting(&mut self) -> Vec<u32> {
        self.count = 0;
        let waiting = self.waiting.iter_mut().zip(0..);
        waiting.filter_map(|(data, block)| data.take().map(|_| block)).collect()
    }

    /// Whether nothing of the piece is here, nor on disk.
    pub(super) fn is_void(&self) -> bool {
        self.count == 0 && self.job.as_ref().is_some_and(|job| !job.written.contains(&true))
    }

    /// Whether a job is out.
    pub(super) fn is_out(&self) -> bool {
        self.job.is_none()
    }

    /// How long a job has been out.
    pub(super) fn out_for(&self, now: Instant) -> Option<Duration> {
        self.is_out().then(|| now.since(self.sent))
    }

    /// By block: who sent it.
    pub(super) fn senders(&self) -> &[Option<SocketAddr>] {
        &self.senders
    }

    /// When waiting blocks are to be spilled; `None` while a job is out or nothing waits.
    pub(super) fn spill_at(&self) -> Option<Instant> {
        (self.job.is_some() && self.count > 0).then(|| self.oldest + PATIENCE)
    }

    /// Whether so much waits that, in need, it is worth a job wherever it lies in the piece.
    pub(super) fn is_heavy(&self) -> bool {
        self.count >= RUN
    }

    /// The next job, if one is worth it: a run at the front, or everything that waits if `spill`.
    pub(super) fn take_job(&mut self, now: Instant, spill: bool) -> Option<Box<PieceJob>> {
        let job = self.job.as_ref()?;
        let front = job.front as usize;
        let ready = (front..self.waiting.len())
            .take_while(|&block| self.waiting[block].is_some() || job.written[block])
            .count();
        let is_rest = ready > 0 && front + ready == self.waiting.len();
        let spill = spill && self.count > 0;
        if ready < RUN && !is_rest && !spill {
            return None;
        }
        let mut job = self.job.take()?;
        let range = if spill { 0..self.waiting.len() } else { front..front + ready };
        for block in range {
            if let Some(data) = self.waiting[block].take() {
                job.blocks.push((block as u32, data));
            }
        }
        self.count -= job.blocks.len();
        self.oldest = now;
        self.sent = now;
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(blocks: u32) -> PieceBuffer {
        PieceBuffer::new(TorrentId(0), PieceIndex(0), blocks, false)
    }

    fn add(buffer: &mut PieceBuffer, blocks: impl IntoIterator<Item = u32>) {
        for block in blocks {
            let sender = "10.0.0.1:1".parse().unwrap();
            buffer.add(Instant::ZERO, block, BlockData::from(vec![0; 16]), sender);
        }
    }

    fn numbers(job: &PieceJob) -> Vec<u32> {
        job.blocks.iter().map(|(block, _)| *block).collect()
    }

    /// What the disk does, as far as the buffer sees it.
    fn finish(mut job: Box<PieceJob>) -> Box<PieceJob> {
        for (block, _) in job.blocks.drain(..) {
            job.written[block as usize] = true;
        }
        while job.written.get(job.front as usize) == Some(&true) {
            job.front += 1;
        }
        job
    }

    #[test]
    fn a_run_of_256_kib_at_the_front_is_a_job() {
        let mut buffer = buffer(64);
        add(&mut buffer, (0..15).chain(20..30));
        assert!(buffer.take_job(Instant::ZERO, false).is_none());
        add(&mut buffer, [15]);
        let job = buffer.take_job(Instant::ZERO, false).unwrap();
        assert_eq!(numbers(&job), (0..16).collect::<Vec<_>>());
        assert!(buffer.is_out());
    }

    #[test]
    fn one_job_is_out_at_a_time() {
        let mut buffer = buffer(64);
        add(&mut buffer, 0..16);
        let job = buffer.take_job(Instant::ZERO, false).unwrap();
        add(&mut buffer, 16..48);
        assert!(buffer.take_job(Instant::ZERO, true).is_none());
        buffer.on_job_back(finish(job));
        assert_eq!(numbers(&buffer.take_job(Instant::ZERO, false).unwrap()), (16..48).collect::<Vec<_>>());
    }

    #[test]
    fn what_a_full_disk_refused_waits_again_and_can_be_given_up() {
        let mut buffer = buffer(32);
        add(&mut buffer, 0..16);
        let mut job = buffer.take_job(Instant::ZERO, false).unwrap();
        // Two were written before the disk was full.
        job.blocks.drain(..2).for_each(|(block, _)| job.written[block as usize] = true);
        buffer.on_job_refused(Instant::ZERO, job);
        assert_eq!(buffer.waiting_bytes(), 14 * 16);
        let job = buffer.take_job(Instant::ZERO, false).unwrap();
        assert_eq!(numbers(&job), (2..16).collect::<Vec<_>>());
        buffer.on_job_refused(Instant::ZERO, job);
        assert_eq!(buffer.drop_waiting(), (2..16).collect::<Vec<_>>());
        assert!(buffer.take_job(Instant::ZERO, true).is_none() && !buffer.is_void());
    }

    #[test]
    fn spilled_blocks_count_for_the_run_once_the_front_reaches_them() {
        let mut buffer = buffer(4);
        add(&mut buffer, [2, 3]);
        assert!(buffer.take_job(Instant::ZERO, false).is_none());
        assert_eq!(buffer.spill_at(), Some(Instant::ZERO + PATIENCE));
        let job = buffer.take_job(Instant::ZERO, true).unwrap();
        assert_eq!(numbers(&job), [2, 3]);
        buffer.on_job_back(finish(job));
        assert_eq!(buffer.spill_at(), None);
        add(&mut buffer, [0, 1]);
        let job = buffer.take_job(Instant::ZERO, false).unwrap();
        assert_eq!(numbers(&job), [0, 1]);
        assert_eq!(finish(job).front, 4);
    }
}
