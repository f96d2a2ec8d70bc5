//! A host's virtual disk: jobs take time and are done one after the other, and a piece is right when its
//! blocks are the content's own bytes.
//!
//! For large swarms it keeps no payload of complete pieces, only which are right; blocks of pieces under way are
//! kept until the verdict (`verdicts`). To find out what a crash leaves it keeps real bytes and a journal (`kept`,
//! on a [`medium`]). What a real disk may rely on is checked: one job out a piece, blocks in order, none twice.

mod kept;
pub mod medium;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use self::kept::KeptDisk;
use self::medium::Medium;
use super::content::Content;
use crate::base::bitfield::Bitfield;
use crate::base::block_data::BlockData;
use crate::base::index::{FileIndex, PieceIndex};
use crate::base::layout::Layout;
use crate::base::rate::ByteRate;
use crate::base::time::{Duration, Instant};
use crate::engine::disk_job::{DiskJob, DiskResult, Existing, Traffic};

/// How fast a disk is.
#[derive(Clone, Copy, Debug)]
pub struct DiskSpeed {
    /// What each job takes at least.
    pub latency: Duration,
    /// What moves in a second.
    pub rate: ByteRate,
}

impl Default for DiskSpeed {
    fn default() -> DiskSpeed {
        DiskSpeed { latency: Duration::from_micros(200), rate: ByteRate(400_000_000) }
    }
}

/// A disk of real bytes.
#[derive(Clone, Debug)]
pub struct KeptPlan {
    /// What it lies on.
    pub medium: Medium,
    /// How long what is written waits to be synced behind the writes.
    pub patience: Duration,
    /// Whether a file is on the disk before it counts as finished.
    pub syncs_at_end: bool,
}

/// One host's disk. It outlives the host's sessions.
pub struct VirtualDisk {
    content: Content,
    speed: DiskSpeed,
    free_at: Instant,
    right: Bitfield,
    under_way: BTreeMap<PieceIndex, Vec<Option<BlockData>>>,
    /// Pieces whose job has not come back yet, and the bytes in it.
    out: BTreeMap<PieceIndex, u64>,
    finished: BTreeSet<FileIndex>,
    foreign: BTreeSet<FileIndex>,
    remembers: bool,
    /// What all runs have moved.
    traffic: Traffic,
    kept: Option<Box<KeptDisk>>,
    is_full: bool,
    faults: Vec<String>,
}

impl VirtualDisk {
    /// A disk on which the pieces `right` are.
    pub fn new(content: Content, speed: DiskSpeed, right: Bitfield) -> VirtualDisk {
        VirtualDisk {
            content,
            speed,
            free_at: Instant::ZERO,
            right,
            under_way: BTreeMap::new(),
            out: BTreeMap::new(),
            finished: BTreeSet::new(),
            foreign: BTreeSet::new(),
            remembers: false,
            traffic: Traffic::default(),
            kept: None,
            is_full: false,
            faults: Vec::new(),
        }
    }

    /// The same, with somebody else's data in the places of these files.
    pub fn with_foreign(self, foreign: BTreeSet<FileIndex>) -> VirtualDisk {
        VirtualDisk { foreign, ..self }
    }

    /// The same, with a journal that a session's sudden end does no harm: what was written is known again, and
    /// needs no check.
    pub fn remembering(self) -> VirtualDisk {
        VirtualDisk { remembers: true, ..self }
    }

    /// A disk of real bytes.
    pub fn keeping(content: Content, speed: DiskSpeed, plan: KeptPlan) -> VirtualDisk {
        let none = Bitfield::empty(content.layout().piece_count());
        let kept = KeptDisk::new(content.clone(), plan);
        VirtualDisk { kept: Some(Box::new(kept)), ..VirtualDisk::new(content, speed, none) }
    }

    /// What it lies on, if it keeps real bytes.
    pub fn medium(&self) -> Option<&Medium> {
        self.kept.as_ref().map(|kept| kept.medium())
    }

    /// The same, to do it harm.
    pub fn medium_mut(&mut self) -> Option<&mut Medium> {
        self.kept.as_mut().map(|kept| kept.medium_mut())
    }

    /// Blocks that were recorded, by piece and first byte: no kill may lose them.
    pub fn recorded(&self) -> BTreeSet<(PieceIndex, u32)> {
        self.kept.as_ref().map(|kept| kept.recorded().clone()).unwrap_or_default()
    }

    /// Pieces that were had and then synced: no loss of power may lose them.
    pub fn durable(&self) -> BTreeSet<PieceIndex> {
        self.kept.as_ref().map(|kept| kept.durable().clone()).unwrap_or_default()
    }

    /// Whoever syncs behind the writers has had all the time that it takes.
    pub fn catch_up(&mut self) {
        if let Some(kept) = &mut self.kept {
            (0..8).for_each(|_| kept.pass(Instant::FAR));
        }
    }

    /// Whether every file has its own name and, as a fresh read would find, all its bytes.
    pub fn is_all_right(&self) -> bool {
        self.kept.as_ref().map_or(self.right.is_full(), |kept| kept.is_all_right())
    }

    /// Whether this file has its own name and, as a fresh read would find, all its bytes.
    pub fn is_file_right(&self, file: FileIndex) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.is_file_right(file))
    }

    /// From here on nothing more can be written, or it can again.
    pub fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// The pieces that are right.
    pub fn right(&self) -> &Bitfield {
        &self.right
    }

    /// Bytes that wait to be written.
    pub fn buffered(&self) -> u64 {
        self.out.values().sum()
    }

    /// The files that have their final name.
    pub fn finished(&self) -> &BTreeSet<FileIndex> {
        &self.finished
    }

    /// What the engine did wrong since it was last asked.
    pub fn take_faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    /// Starts a job: when it will be done, and what will come of it. The result is given back through
    /// [`finish`](VirtualDisk::finish) before the engine sees it.
    pub fn start(&mut self, now: Instant, job: DiskJob) -> (Instant, DiskResult) {
        let (bytes, result) = match job {
            job if self.kept.is_some() => self.start_kept(now, job),
            DiskJob::Open { torrent } => {
                let is_blank = self.right.is_empty() && self.under_way.is_empty() && self.foreign.is_empty();
                let existing = match (is_blank, self.remembers) {
                    (true, _) => Existing::Nothing,
                    (false, true) => Existing::Known(Box::new(self.known())),
                    (false, false) => Existing::Something,
                };
                (0, DiskResult::Opened { torrent, result: Ok(existing) })
            }
            DiskJob::OpenElsewhere { torrent, because } => {
                (0, DiskResult::Opened { torrent, result: Err(*because) })
            }
            DiskJob::Check { torrent, pieces } => {
                let (bytes, right) = self.check(pieces.clone());
                (bytes, DiskResult::Checked { torrent, pieces, result: Ok(right) })
            }
            DiskJob::FindUnproven { torrent } => {
                (0, DiskResult::UnprovenFound { torrent, result: Ok(self.unproven()) })
            }
            DiskJob::Advance(job) => self.advance(job),
            DiskJob::FinishFile { torrent, file } => {
                self.finish_file(file);
                (0, DiskResult::FileFinished { torrent, file, result: Ok(()) })
            }
            DiskJob::Settle { torrent } => (0, DiskResult::Settled { torrent }),
            DiskJob::Remember { torrent, traffic } => {
                self.traffic = self.traffic.plus(traffic);
                (0, DiskResult::Remembered { torrent })
            }
            DiskJob::Close { torrent } => (0, DiskResult::Closed { torrent }),
        };
        let time = self.speed.latency + self.speed.rate.time_for(bytes).unwrap_or_default();
        self.free_at = self.free_at.max(now) + time;
        (self.free_at, result)
    }

    /// A result reaches the engine.
    pub fn finish(&mut self, now: Instant, result: &DiskResult) {
        if let DiskResult::Advanced { job, .. } = result {
            self.out.remove(&job.piece);
        }
        let Some(kept) = &mut self.kept else { return };
        kept.pass(now);
        match result {
            DiskResult::Advanced { job, result } => {
                kept.record_piece(now, job, result.as_ref().map(Option::as_ref));
                if !matches!(result, Ok(Some(_))) {
                    return;
                }
            }
            DiskResult::Checked { pieces, result: Ok(right), .. } => kept.record_check(now, pieces, right),
            _ => return,
        }
        let before = std::mem::replace(&mut self.right, kept.had());
        let new = self.right.iter_minus(&before);
        let wrong: Vec<PieceIndex> = new.filter(|piece| !kept.is_right_on_medium(*piece)).collect();
        if !wrong.is_empty() && !kept.medium().is_halted() {
            self.fault(format!("pieces {wrong:?} are had, and are not right on disk"));
        }
    }

    /// Whether a job has not come back yet.
    pub fn is_busy(&self) -> bool {
        !self.out.is_empty()
    }

    /// The host is gone, and with it what its session had in memory.
    pub fn power_off(&mut self) {
        self.out.clear();
        self.free_at = Instant::ZERO;
        if let Some(kept) = &mut self.kept {
            kept.power_off();
            self.right = kept.had();
            self.finished.clear();
        }
    }

    /// The same, on a disk that keeps real bytes.
    fn start_kept(&mut self, now: Instant, job: DiskJob) -> (u64, DiskResult) {
        let layout = self.content.layout().clone();
        let Some(kept) = &mut self.kept else { return (0, DiskResult::Closed { torrent: job.torrent() }) };
        kept.pass(now);
        match job {
            DiskJob::Open { torrent } => {
                let (result, wrong) = kept.open(now);
                self.right = kept.had();
                if !wrong.is_empty() {
                    self.fault(format!("pieces {wrong:?} are said to be right after a start, and are not"));
                }
                (0, DiskResult::Opened { torrent, result })
            }
            DiskJob::OpenElsewhere { torrent, because } => {
                (0, DiskResult::Opened { torrent, result: Err(*because) })
            }
            DiskJob::Check { torrent, pieces } => {
                let bytes = pieces.clone().map(|piece| u64::from(layout.piece_len(PieceIndex(piece)))).sum();
                let result = kept.check(pieces.clone());
                (bytes, DiskResult::Checked { torrent, pieces, result })
            }
            DiskJob::FindUnproven { torrent } => {
                (0, DiskResult::UnprovenFound { torrent, result: kept.find_unproven() })
            }
            DiskJob::Advance(mut job) => {
                job.written.resize(layout.blocks_in(job.piece) as usize, false);
                let bytes = job.blocks.iter().map(|(_, data)| u64::from(data.len())).sum();
                let result = kept.advance(&mut job);
                if self.out.insert(job.piece, bytes).is_some() {
                    self.fault(format!("piece {} is sent to the disk while it is there", job.piece));
                }
                (bytes, DiskResult::Advanced { job, result })
            }
            DiskJob::FinishFile { torrent, file } => {
                let result = kept.finish_file(now, file);
                if result.is_ok() {
                    self.finish_file(file);
                }
                (0, DiskResult::FileFinished { torrent, file, result })
            }
            DiskJob::Settle { torrent } => {
                kept.settle(now);
                (0, DiskResult::Settled { torrent })
            }
            DiskJob::Remember { torrent, traffic } => {
                kept.remember(now, traffic);
                (0, DiskResult::Remembered { torrent })
            }
            DiskJob::Close { torrent } => (0, DiskResult::Closed { torrent }),
        }
    }

    fn finish_file(&mut self, file: FileIndex) {
        let Some(span) = self.content.file_map().files().get(file.index()).copied() else {
            self.fault(format!("file {file:?} does not exist"));
            return;
        };
        let missing = pieces_of(self.content.layout(), span.offset..span.offset + span.length)
            .find(|piece| !self.right.has(*piece));
        if let Some(piece) = missing {
            self.fault(format!("file {file:?} is finished without piece {piece}"));
        }
        self.finished.insert(file);
    }

    fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }
}

/// The pieces that hold the payload bytes `range`.
fn pieces_of(layout: &Layout, range: Range<u64>) -> impl Iterator<Item = PieceIndex> + use<> {
    let last = range.end.checked_sub(1).filter(|last| *last >= range.start);
    let ends = last.and_then(|last| Some((layout.piece_at(range.start)?, layout.piece_at(last)?)));
    ends.into_iter().flat_map(|(first, last)| (first.0..=last.0).map(PieceIndex))
}

#[cfg(test)]
mod tests;
