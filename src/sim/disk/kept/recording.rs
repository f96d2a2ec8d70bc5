//! The journal's side: what was done is appended before the engine hears of it, and what has been synced behind
//! the writers is marked, as `runtime/disk/keep` does it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{KeptDisk, Result};
use crate::base::index::{FileIndex, PieceIndex};
use crate::base::layout::BLOCK_LENGTH;
use crate::base::time::{Duration, Instant};
use crate::engine::disk_job::Verdict;
use crate::engine::resume::durability::Pending;
use crate::engine::resume::{Fact, Ledger, Pieces, Whose, Write, runs_of};

/// How long the journal is left alone after a failure.
const REST: Duration = Duration::from_secs(5);

/// How far the round of syncs is.
#[derive(Default)]
pub(super) enum Sync {
    #[default]
    Idle,
    Due(Instant),
    Noted(Pending),
    Told(Pending),
    Synced(Vec<Fact>),
}

impl KeptDisk {
    /// A job on a piece is done: it is written down before the engine hears of it.
    pub(in crate::sim::disk) fn record_piece(
        &mut self,
        now: Instant,
        piece: PieceIndex,
        verdict: Option<&Verdict>,
    ) {
        let blocks = self.memory.unrecorded.remove(&piece).unwrap_or_default();
        let runs = runs_of(blocks.iter().copied());
        if let (Some(Verdict::Passed { .. }), Some(had)) = (verdict, &mut self.memory.had) {
            had.insert(piece);
        }
        let end = self.content.layout().piece_range(piece).end;
        let map = self.content.file_map();
        let stretch = |block: &u32| {
            let start = self.start_of(piece, *block);
            map.slices(start..(start + u64::from(BLOCK_LENGTH)).min(end))
        };
        let files: BTreeSet<FileIndex> = blocks.iter().flat_map(stretch).map(|slice| slice.file).collect();
        let is_recorded = self.record(now, vec![Fact::of_blocks(piece, &runs, verdict)], files);
        if matches!(verdict, Some(Verdict::Failed { .. })) {
            self.recorded.retain(|(recorded, _)| *recorded != piece);
        } else if is_recorded {
            self.recorded.extend(blocks.iter().map(|block| (piece, block * BLOCK_LENGTH)));
        }
    }

    /// Whether it worked.
    fn record(&mut self, now: Instant, mut facts: Vec<Fact>, files: BTreeSet<FileIndex>) -> bool {
        for file in files {
            let Some(name) = self.memory.names.get(&file).copied() else { continue };
            let Ok(Some(stamp)) = self.medium.look(file, name) else { continue };
            let is_known = |ledger: &Ledger| ledger.record().is_known(file, &stamp);
            if !self.memory.ledger.as_ref().is_some_and(is_known) {
                facts.push(Fact::File(file, stamp, Whose::Ours));
            }
        }
        let is_recorded = self.append(now, &facts);
        if matches!(self.memory.sync, Sync::Idle) {
            self.memory.sync = Sync::Due(now + self.patience);
        }
        is_recorded
    }

    pub(super) fn append(&mut self, now: Instant, facts: &[Fact]) -> bool {
        let Some(ledger) = self.memory.ledger.as_mut().filter(|_| !facts.is_empty()) else { return true };
        ledger.take(facts);
        if now < self.memory.rests_until {
            return false;
        }
        let result = match ledger.write(facts) {
            Write::Append(bytes) => self.medium.append_log(&bytes),
            Write::Anew(bytes) => self.medium.replace_log(&bytes),
        };
        if result.is_err() {
            ledger.write_failed();
            self.memory.rests_until = now + REST;
        }
        result.is_ok()
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
        self.record(now, Fact::of_check(pieces, right), BTreeSet::new());
    }

    /// The time, and a turn for the thread that syncs.
    pub(in crate::sim::disk) fn pass(&mut self, now: Instant) {
        if now != Instant::FAR {
            self.medium.set_now(now);
        }
        self.memory.sync = match std::mem::take(&mut self.memory.sync) {
            Sync::Due(at) if at <= now => match &self.memory.ledger {
                Some(ledger) => {
                    let (layout, map) = (self.content.layout(), self.content.file_map());
                    Sync::Noted(Pending::of(ledger.record(), layout, map, |_| true))
                }
                None => Sync::Idle,
            },
            Sync::Noted(pending) => {
                let intent = pending.intent();
                let is_told = intent.is_some_and(|intent| self.append(now, &[intent]));
                if is_told { Sync::Told(pending) } else { Sync::Idle }
            }
            Sync::Told(pending) => {
                let facts = pending.settle(|file| self.sync(file).is_ok()).facts;
                self.durable.extend(facts.iter().flat_map(durable_in));
                Sync::Synced(facts)
            }
            Sync::Synced(facts) => {
                self.append(now, &facts);
                Sync::Idle
            }
            other => other,
        };
    }

    fn sync(&mut self, file: FileIndex) -> Result<()> {
        let Some(name) = self.name(file)? else { return Ok(()) };
        self.medium.sync(file, name)
    }
}

fn durable_in(fact: &Fact) -> Vec<PieceIndex> {
    match fact {
        Fact::Pieces(Pieces::Durable, runs) => {
            runs.iter().flat_map(|(first, count)| (*first..first + count).map(PieceIndex)).collect()
        }
        _ => Vec::new(),
    }
}
