//! What waits for the disk's workers, and in which order they take it.
//!
//! Quick jobs (blocks, uploads, names) go before checks, which are done bit by bit; so that a check still
//! ends while blocks keep coming, every eighth job is taken from the checks first. Pieces that come thick and fast
//! are waited for a little: those that are hashed side by side cost least. The queue has no bound of
//! its own: the engine has at most one job out a piece, and uploads are bounded by their connections.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::advance::LANES;
use super::check::Check;
use super::storage::Payload;
use super::upload::Reader;
use super::workers::UploadDone;
use crate::base::index::BlockRequest;
use crate::engine::disk_job::{DiskJob, PieceJob, Traffic};
use crate::engine::order::TorrentId;
use crate::hashing;

/// One job in so many is a check if there is one.
const CHECK_SHARE: u64 = 8;

/// Pieces that one thread takes even if others are idle: hashed side by side they take hardly longer than
/// half of them, and writes to one file go one after the other anyway.
const FULL: usize = 8;

/// A piece that follows another so soon is waited for, and no longer than this.
const BRISK: Duration = Duration::from_millis(1);
/// No piece waits for others longer than this.
const PATIENCE: Duration = Duration::from_millis(4);

#[derive(Default)]
pub(super) struct Queue {
    pub(super) quick: VecDeque<Work>,
    pub(super) checks: VecDeque<(TorrentId, Check)>,
    /// Workers that check right now.
    pub(super) checking: usize,
    /// How many of them there may be; `None`: all.
    pub(super) checking_max: Option<usize>,
    taken: u64,
    pace: PieceFlow,
    /// A worker waits for more pieces to come.
    pub(super) is_gathering: bool,
    pub(super) is_ending: bool,
    /// Nobody waits for the workers any more.
    pub(super) is_abandoned: bool,
}

pub(super) enum Work {
    Job(DiskJob),
    /// Looked up as it comes: a torrent may be closed by one worker before another gets to this.
    Remember {
        torrent: TorrentId,
        payload: Option<Arc<Payload>>,
        traffic: Traffic,
    },
    Upload {
        reader: Reader,
        blocks: Vec<BlockRequest>,
        buffer: Vec<u8>,
        done: UploadDone,
    },
}

/// Boxed as they came with their jobs: they go back in the same boxes.
pub(super) type Pieces = Vec<Box<PieceJob>>;

/// What a worker does next.
pub(super) enum Turn {
    Advance(Pieces),
    Check(TorrentId, Check),
    Other(Work),
}

/// What a worker finds.
pub(super) enum Next {
    Turn(Turn),
    /// Pieces, to be taken in so long unless more come before.
    Later(Duration),
    Nothing,
}

/// How the pieces come.
#[derive(Default)]
struct PieceFlow {
    /// When the first of those that wait came.
    first: Option<Instant>,
    last: Option<Instant>,
    is_brisk: bool,
}

impl PieceFlow {
    fn on_piece(&mut self, now: Instant) {
        self.is_brisk = self.last.is_some_and(|last| now.duration_since(last) < BRISK);
        self.last = Some(now);
        self.first.get_or_insert(now);
    }

    /// How long those that wait are to wait on for others.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let (first, last) = self.first.zip(self.last).filter(|_| self.is_brisk)?;
        let until = (last + BRISK).min(first + PATIENCE);
        until.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }
}

impl Queue {
    pub(super) fn push(&mut self, work: Work, now: Instant) {
        if is_piece(&work) {
            self.pace.on_piece(now);
        }
        self.quick.push_back(work);
    }

    /// Whether the worker that waits for pieces sees to what was queued last.
    pub(super) fn is_expected(&self) -> bool {
        self.is_gathering && self.quick.len() < FULL && self.quick.back().is_some_and(is_piece)
    }

    /// Whether there is work for another worker too.
    pub(super) fn has_more(&self) -> bool {
        !self.quick.is_empty()
    }

    pub(super) fn take(&mut self, threads: usize, now: Instant) -> Next {
        self.taken += 1;
        if self.taken.is_multiple_of(CHECK_SHARE)
            && let Some(check) = self.take_check()
        {
            return Next::Turn(check);
        }
        let may_wait = !self.is_ending && hashing::lanes() > 1 && self.quick.len() < FULL;
        if may_wait
            && self.quick.front().is_some_and(is_piece)
            && let Some(wait) = self.pace.wait(now)
        {
            return Next::Later(wait);
        }
        match self.quick.pop_front() {
            Some(Work::Job(DiskJob::Advance(job))) => Next::Turn(Turn::Advance(self.batch(job, threads))),
            Some(work) => Next::Turn(Turn::Other(work)),
            None => self.take_check().map_or(Next::Nothing, Next::Turn),
        }
    }

    fn take_check(&mut self) -> Option<Turn> {
        if self.checking_max.is_some_and(|max| self.checking >= max) {
            return None;
        }
        let (torrent, check) = self.checks.pop_front()?;
        self.checking += 1;
        Some(Turn::Check(torrent, check))
    }

    /// The pieces that follow `first` in the queue, as many as are hashed side by side, but no more than
    /// this thread's share, unless that is too few to keep the lanes busy.
    fn batch(&mut self, first: Box<PieceJob>, threads: usize) -> Pieces {
        self.pace.first = None;
        let mut batch = vec![first];
        let ready = 1 + self.quick.iter().take(LANES * threads).take_while(|work| is_piece(work)).count();
        let share = ready.div_ceil(threads).max(hashing::lanes().min(FULL)).min(LANES);
        while batch.len() < share {
            match self.quick.pop_front() {
                Some(Work::Job(DiskJob::Advance(job))) => batch.push(job),
                Some(other) => {
                    self.quick.push_front(other);
                    break;
                }
                None => break,
            }
        }
        batch
    }
}

fn is_piece(work: &Work) -> bool {
    matches!(work, Work::Job(DiskJob::Advance(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_come_thick_and_fast_wait_for_each_other_and_a_lone_one_does_not() {
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        let mut flow = PieceFlow::default();
        flow.on_piece(at(0));
        assert_eq!(flow.wait(at(0)), None, "nothing came before it");
        flow.on_piece(at(300));
        assert_eq!(flow.wait(at(300)), Some(BRISK));
        flow.on_piece(at(900));
        assert_eq!(flow.wait(at(900)), Some(BRISK));
        assert_eq!(flow.wait(at(1900)), None, "no other came");
        (10..39).for_each(|tenth| flow.on_piece(at(tenth * 100)));
        assert_eq!(flow.wait(at(3800)), Some(Duration::from_micros(200)));
        assert_eq!(flow.wait(at(4000)), None, "the first has waited long enough");
        flow.first = None;
        flow.on_piece(at(20_000));
        assert_eq!(flow.wait(at(20_000)), None, "the others are long gone");
    }
}
