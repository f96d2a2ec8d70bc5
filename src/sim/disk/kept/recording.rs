//! The journal's side: what was done is written down before the engine hears of it, and what has been synced behind
//! the writers is marked, as `engine/resume` orders it.

use std::ops::Range;

use super::{Fault, KeptDisk, Result};
use crate::base::index::{FileIndex, PieceIndex};
use crate::base::layout::BLOCK_LENGTH;
use crate::base::time::Instant;
use crate::engine::disk_job::{DiskError, PieceJob, Verdict};
use crate::engine::resume::Outcomes;
use crate::engine::resume::durability::{Ground, Round, Settled};
use crate::engine::resume::outcomes::{Due, Touch};
use crate::sim::disk::medium::Medium;

/// How far a round of syncs is.
#[derive(Default)]
pub(super) enum Step {
    #[default]
    None,
    Begun(Round),
    Synced(Settled),
}

impl KeptDisk {
    /// A job on a piece is done: it is written down before the engine hears of it.
    pub(in crate::sim::disk) fn record_piece(
        &mut self,
        now: Instant,
        job: &PieceJob,
        result: std::result::Result<Option<&Verdict>, &DiskError>,
    ) {
        let piece = job.piece;
        let mut blocks = self.memory.unrecorded.remove(&piece).unwrap_or_default();
        let content = self.content.clone();
        let mut outcomes = Outcomes::new(content.layout(), content.file_map());
        match result {
            Ok(verdict) => outcomes.on_written(piece, &blocks, verdict),
            Err(_) => {
                outcomes.on_failure(piece, &blocks, &job.written);
                blocks.retain(|block| job.written[*block as usize]);
            }
        }
        if let (Ok(Some(Verdict::Passed { .. })), Some(had)) = (result, &mut self.memory.had) {
            had.insert(piece);
        }
        let is_recorded = self.record(now, outcomes);
        if matches!(result, Ok(Some(Verdict::Failed { .. }))) {
            self.recorded.retain(|(recorded, _)| *recorded != piece);
        } else if is_recorded {
            self.recorded.extend(blocks.iter().map(|block| (piece, block * BLOCK_LENGTH)));
        }
    }

    /// Whether it is in the journal.
    pub(super) fn record(&mut self, now: Instant, outcomes: Outcomes<'_>) -> bool {
        let Some(ledger) = &mut self.memory.ledger else { return true };
        let (names, opened) = (&self.memory.names, &self.memory.opened);
        let stamp = |medium: &mut Medium, file, touch| {
            let is_ours = touch == Touch::Surely || opened.contains(&file);
            let name = names.get(&file).filter(|_| is_ours)?;
            medium.look(file, *name).ok()?
        };
        let recorded = ledger.record_outcomes(now, outcomes, stamp, &mut self.medium);
        match recorded.due {
            Some(Due::AtOnce) => self.memory.sync_due = Some(now),
            Some(Due::Soon) => self.memory.sync_due = Some(now + self.patience),
            None => {}
        }
        recorded.result == Ok(true)
    }

    pub(in crate::sim::disk) fn record_check(
        &mut self,
        now: Instant,
        pieces: &Range<u32>,
        right: &[PieceIndex],
    ) {
        if let Some(had) = &mut self.memory.had {
            right.iter().for_each(|piece| {
                had.insert(*piece);
            });
        }
        self.prove(right.iter().copied());
        let content = self.content.clone();
        let mut outcomes = Outcomes::new(content.layout(), content.file_map());
        outcomes.on_check(pieces, right);
        self.record(now, outcomes);
    }

    /// Nothing is written any more.
    pub(in crate::sim::disk) fn settle(&mut self, now: Instant) {
        self.memory.is_settled = true;
        self.memory.sync_due = Some(now);
        self.close_if_done();
    }

    fn close_if_done(&mut self) {
        let is_done = self.memory.ledger.as_ref().is_some_and(|ledger| ledger.is_done());
        if self.memory.is_settled && is_done {
            self.memory.ledger = None;
        }
    }

    /// The time, and a turn for the thread that syncs.
    pub(in crate::sim::disk) fn pass(&mut self, now: Instant) {
        if now != Instant::FAR {
            self.medium.set_now(now);
        }
        self.memory.round = match std::mem::take(&mut self.memory.round) {
            Step::None if self.memory.sync_due.is_some_and(|at| at <= now) => self.begun(now),
            Step::None => Step::None,
            Step::Begun(round) => Step::Synced(self.synced(round)),
            Step::Synced(settled) => {
                self.end_round(now, &settled);
                Step::None
            }
        };
    }

    fn begun(&mut self, now: Instant) -> Step {
        self.memory.sync_due = None;
        let Some(ledger) = &mut self.memory.ledger else { return Step::None };
        let (layout, file_map) = (self.content.layout(), self.content.file_map());
        let ground = Ground { layout, file_map, is_on_disk: &|_| true };
        // What could not be told is not synced.
        let round = ledger.begin_round(now, ground, &mut self.medium).unwrap_or(None);
        round.map_or(Step::None, Step::Begun)
    }

    fn synced(&mut self, round: Round) -> Settled {
        let settled = round.sync(|file| self.fsync(file).is_ok());
        self.durable.extend(settled.durable());
        settled
    }

    fn end_round(&mut self, now: Instant, settled: &Settled) {
        if let Some(ledger) = &mut self.memory.ledger {
            // What could not be written comes with the next facts.
            let _ = ledger.end_round(now, settled, &mut self.medium);
        }
        self.close_if_done();
    }

    /// Has a file's content on the disk before it counts as finished, when a round that is under way has ended.
    pub(super) fn sync_now(&mut self, now: Instant, file: FileIndex) -> Result<()> {
        while !matches!(self.memory.round, Step::None) {
            self.pass(now);
        }
        let Some(ledger) = &mut self.memory.ledger else { return self.fsync(file) };
        if ledger.record().tainted.contains(&file) {
            return Err(Fault);
        }
        let (layout, file_map) = (self.content.layout(), self.content.file_map());
        let ground = Ground { layout, file_map, is_on_disk: &|_| true };
        let (round, _) = ledger.begin_round_of(now, ground, file, &mut self.medium);
        let settled = self.synced(round);
        self.end_round(now, &settled);
        if settled.failed.is_none() { Ok(()) } else { Err(Fault) }
    }

    fn fsync(&mut self, file: FileIndex) -> Result<()> {
        let Some(name) = self.name(file)? else { return Ok(()) };
        self.medium.sync(file, name)
    }
}
