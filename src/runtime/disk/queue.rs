//! What waits for the disk's workers, and in which order they take it.
//!
//! A piece's run passes through two stages: it is *written*, and then *hashed*. One worker at a time writes to a file:
//! the system lets in one anyway, and the others would only spin; they hash meanwhile, or write to other files. Pieces
//! are hashed as soon as there are as many as go side by side. Those that come thick and fast are waited for a
//! little, since many at a time cost least; not while anything else waits for them, and what peers want to be read
//! does not wait for them at all.
//!
//! Jobs go in the order in which they came, before checks, which are done bit by bit; so that a check still ends
//! while blocks keep coming, every eighth turn is a check's if there is one. The queue has no bound of its own: the
//! engine has at most one job out a piece, and uploads are bounded by their connections.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::advance::{LANES, Lane};
use super::check::Check;
use super::open_files::Key;
use super::payload::Payload;
use super::upload::Reader;
use super::workers::UploadDone;
use crate::base::index::BlockRequest;
use crate::engine::disk_job::{DiskJob, PieceJob, Traffic};
use crate::engine::order::TorrentId;
use crate::hashing;

/// One turn in so many is a check if there is one.
const CHECK_SHARE: u64 = 8;

/// Pieces that are written in one turn, at most: short ones that follow each other go with one call.
const WRITTEN_AT_ONCE: usize = 64;
/// The same, bytes; one piece may have more.
const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;

/// A piece that follows another so soon is waited for, and no longer than this.
const BRISK: Duration = Duration::from_millis(1);
/// No piece waits for others longer than this.
const PATIENCE: Duration = Duration::from_millis(4);

#[derive(Default)]
pub(super) struct Queue {
    /// All but pieces and checks, with their numbers.
    others: VecDeque<(u64, Work)>,
    /// Pieces to be written.
    pieces: VecDeque<Piece>,
    /// Files that are being written to.
    writing: Vec<Key>,
    /// Pieces that are written, to be hashed.
    written: Vec<Lane>,
    /// When the first of those was.
    written_since: Option<Instant>,
    pub(super) checks: VecDeque<(TorrentId, Check)>,
    /// Workers that check right now.
    pub(super) checking: usize,
    /// How many of them there may be; `None`: all.
    pub(super) checking_max: Option<usize>,
    taken: u64,
    /// How many jobs came so far.
    number: u64,
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

struct Piece {
    number: u64,
    /// The file that its first block goes to.
    file: Key,
    job: Box<PieceJob>,
}

/// Boxed as they came with their jobs: they go back in the same boxes.
pub(super) type Pieces = Vec<Box<PieceJob>>;

/// What a worker does next.
pub(super) enum Turn {
    /// Pieces of which nobody else writes to the file; [`Queue::on_written`] follows.
    Write(Key, Pieces),
    Hash(Vec<Lane>),
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

    /// How long pieces of which the first waits since `first` are to wait on for others.
    fn wait(&self, first: Option<Instant>, now: Instant) -> Option<Duration> {
        let (first, last) = first.zip(self.last).filter(|_| self.is_brisk)?;
        left(now, (last + BRISK).min(first + PATIENCE))
    }
}

fn left(now: Instant, until: Instant) -> Option<Duration> {
    until.checked_duration_since(now).filter(|wait| !wait.is_zero())
}

impl Queue {
    /// Queues a piece whose first block goes to `file`. Says whether somebody has to be woken for it.
    pub(super) fn push_piece(&mut self, file: Key, job: Box<PieceJob>, now: Instant) -> bool {
        self.pace.on_piece(now);
        let number = self.next_number();
        self.pieces.push_back(Piece { number, file, job });
        let is_expected = self.is_gathering && self.gathered() < hashing::lanes();
        !(is_expected || self.writing.contains(&file))
    }

    pub(super) fn push(&mut self, work: Work) {
        let number = self.next_number();
        self.others.push_back((number, work));
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Whether there is work for another worker too.
    pub(super) fn has_more(&self) -> bool {
        !self.others.is_empty() || !self.written.is_empty() || self.next_piece().is_some()
    }

    /// The first piece that may be written now.
    fn next_piece(&self) -> Option<&Piece> {
        self.pieces.iter().find(|piece| !self.writing.contains(&piece.file))
    }

    /// Pieces that are to be hashed, now or when they are written.
    fn gathered(&self) -> usize {
        self.pieces.len() + self.written.len()
    }

    pub(super) fn take(&mut self, now: Instant) -> Next {
        self.taken += 1;
        if self.taken.is_multiple_of(CHECK_SHARE)
            && let Some(check) = self.take_check()
        {
            return Next::Turn(check);
        }
        let lanes = hashing::lanes();
        if self.written.len() >= lanes {
            return Next::Turn(self.hash(now));
        }
        let may_wait = !self.is_ending && lanes > 1 && self.gathered() < lanes;
        let piece = self.next_piece().map(|piece| (piece.number, piece.file));
        let is_others =
            self.others.front().is_some_and(|(number, _)| piece.is_none_or(|(at, _)| *number < at));
        if is_others && let Some((_, work)) = self.others.pop_front() {
            return Next::Turn(Turn::Other(work));
        }
        if let Some((_, file)) = piece {
            let wait = if may_wait { self.pace.wait(self.pace.first, now) } else { None };
            let Some(wait) = wait else { return Next::Turn(self.write(file)) };
            // Pieces that wait for others hold up nobody who reads, and wait no longer once something else comes.
            let is_read = |(_, work): &mut (u64, Work)| matches!(work, Work::Upload { .. });
            return match self.others.pop_front_if(is_read) {
                Some((_, read)) => Next::Turn(Turn::Other(read)),
                None if self.others.is_empty() => Next::Later(wait),
                None => Next::Turn(self.write(file)),
            };
        }
        if self.written.is_empty() {
            return self.take_check().map_or(Next::Nothing, Next::Turn);
        }
        // Whoever writes comes back with more, if the disk does not hang.
        let since = self.written_since;
        let wait = if self.writing.is_empty() {
            self.pace.wait(since, now)
        } else {
            since.and_then(|since| left(now, since + PATIENCE))
        };
        match wait.filter(|_| may_wait) {
            Some(wait) => Next::Later(wait),
            None => Next::Turn(self.hash(now)),
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

    /// The pieces that go to `file`, as many as one turn may take.
    fn write(&mut self, file: Key) -> Turn {
        self.pace.first = None;
        self.writing.push(file);
        let (mut bytes, mut taken, mut kept) = (0, Vec::new(), VecDeque::new());
        while let Some(piece) = self.pieces.pop_front() {
            if bytes >= BYTES_AT_ONCE || taken.len() == WRITTEN_AT_ONCE {
                self.pieces.push_front(piece);
                break;
            }
            if piece.file == file {
                bytes += piece.job.blocks.iter().map(|(_, data)| data.len() as usize).sum::<usize>();
                taken.push(piece.job);
            } else {
                kept.push_back(piece);
            }
        }
        kept.append(&mut self.pieces);
        self.pieces = kept;
        Turn::Write(file, taken)
    }

    /// Pieces of a turn are written, and nobody writes to `file` any more.
    pub(super) fn on_written(&mut self, file: Key, written: Vec<Lane>, now: Instant) {
        self.writing.retain(|writing| *writing != file);
        if !written.is_empty() {
            self.written_since.get_or_insert(now);
            self.written.extend(written);
        }
    }

    /// Pieces are hashed on, and can go on from there: beside whatever is written by now, without waiting again.
    pub(super) fn on_hashed(&mut self, rest: Vec<Lane>, now: Instant) {
        if !rest.is_empty() {
            self.written_since = now.checked_sub(PATIENCE).or(self.written_since);
            self.written.extend(rest);
        }
    }

    fn hash(&mut self, now: Instant) -> Turn {
        let count = self.written.len().min(hashing::lanes().clamp(1, LANES));
        let rest = self.written.split_off(count);
        self.written_since = (!rest.is_empty()).then_some(now);
        Turn::Hash(std::mem::replace(&mut self.written, rest))
    }

    /// Keeps only what must not be lost.
    pub(super) fn end(&mut self) {
        self.is_ending = true;
        self.checks.clear();
        self.others.retain(|(_, work)| !matches!(work, Work::Upload { .. }));
    }

    /// Forgets everything: nobody waits for it.
    pub(super) fn abandon(&mut self) {
        self.is_abandoned = true;
        self.others.clear();
        self.pieces.clear();
        self.written.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_come_thick_and_fast_wait_for_each_other_and_a_lone_one_does_not() {
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        let mut flow = PieceFlow::default();
        let wait = |flow: &PieceFlow, now| flow.wait(flow.first, now);
        flow.on_piece(at(0));
        assert_eq!(wait(&flow, at(0)), None, "nothing came before it");
        flow.on_piece(at(300));
        assert_eq!(wait(&flow, at(300)), Some(BRISK));
        flow.on_piece(at(900));
        assert_eq!(wait(&flow, at(900)), Some(BRISK));
        assert_eq!(wait(&flow, at(1900)), None, "no other came");
        (10..39).for_each(|tenth| flow.on_piece(at(tenth * 100)));
        assert_eq!(wait(&flow, at(3800)), Some(Duration::from_micros(200)));
        assert_eq!(wait(&flow, at(4000)), None, "the first has waited long enough");
        flow.first = None;
        flow.on_piece(at(20_000));
        assert_eq!(wait(&flow, at(20_000)), None, "the others are long gone");
    }
}
