//! The round of syncs behind the writers, and what is durable after it.
//!
//! A piece is durable when it was had before all its files were synced, and these syncs worked. A sync that
//! fails *taints* its file: the system may have dropped what it could not write and call it written, so a later
//! sync that works says nothing of what was written before, be it of a piece that is had, under way, or just
//! being recorded. So no piece of a tainted file becomes durable any more, in this run or the next, until the
//! system has started again and what is really on the disk is checked.
//!
//! A failing disk may fail the journal too. So what is about to be synced is written down first: of a run that does
//! not live to tell, all that it was syncing is tainted. Behind the writers nothing is synced when that fails.
//!
//! One round at a time: the system tells of a failure once, so of two who sync a file at once one would believe it.

use std::collections::{BTreeMap, BTreeSet};

use super::fact::{Fact, Pieces, runs_of};
use super::ledger::{JournalFile, Ledger};
use super::record::Record;
use crate::base::file_map::FileMap;
use crate::base::index::{FileIndex, PieceIndex};
use crate::base::layout::Layout;
use crate::base::time::Instant;

/// A round of syncs that the journal was told of. [`Round::sync`] comes next, then [`Ledger::end_round`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Round {
    files: BTreeSet<FileIndex>,
    /// Pieces that were had when it began, and may become durable; and the files that they are in.
    pieces: Vec<(PieceIndex, Vec<FileIndex>)>,
}

/// What came of syncing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled {
    /// What to write down.
    pub(super) facts: Vec<Fact>,
    /// The first file of which the sync has failed.
    pub failed: Option<FileIndex>,
}

/// A target's bytes.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// How they are cut into pieces.
    pub layout: &'a Layout,
    /// How they fall into files.
    pub file_map: &'a FileMap,
    /// Which files have bytes of their own.
    pub is_on_disk: &'a dyn Fn(FileIndex) -> bool,
}

impl Ground<'_> {
    fn files_of(&self, piece: PieceIndex) -> Vec<FileIndex> {
        let slices = self.file_map.slices(self.layout.piece_range(piece));
        slices.map(|slice| slice.file).filter(|file| (self.is_on_disk)(*file)).collect()
    }
}

impl Ledger {
    /// Begins a round of all files with pieces that are had and not durable. `None` when there are none, or when the
    /// journal could not be told.
    pub fn begin_round<F: JournalFile>(
        &mut self,
        now: Instant,
        ground: Ground<'_>,
        journal: &mut F,
    ) -> Result<Option<Round>, F::Error> {
        self.unsynced = 0;
        let round = Round::of(self.record(), ground);
        if round.pieces.is_empty() {
            return Ok(None);
        }
        let is_told = self.append(now, &[round.intent()], journal)?;
        Ok(is_told.then_some(round))
    }

    /// Begins a round of one file, which is to be synced whatever becomes of the journal; when that could not be told,
    /// nothing becomes durable by it.
    pub fn begin_round_of<F: JournalFile>(
        &mut self,
        now: Instant,
        ground: Ground<'_>,
        file: FileIndex,
        journal: &mut F,
    ) -> (Round, Result<bool, F::Error>) {
        let mut round = Round::of(self.record(), ground);
        round.files = BTreeSet::from([file]);
        round.pieces.retain(|(_, files)| *files == [file]);
        let is_told = self.append(now, &[round.intent()], journal);
        if !matches!(is_told, Ok(true)) {
            round.pieces.clear();
        }
        (round, is_told)
    }

    /// Ends a round, and says what of it is durable.
    pub fn end_round<F: JournalFile>(
        &mut self,
        now: Instant,
        settled: &Settled,
        journal: &mut F,
    ) -> Result<bool, F::Error> {
        self.append(now, &settled.facts, journal)
    }
}

impl Round {
    pub(super) fn of(record: &Record, ground: Ground<'_>) -> Round {
        let pieces = record.have.iter_minus(&record.durable).map(|piece| (piece, ground.files_of(piece)));
        let may_be = |files: &[FileIndex]| !files.iter().any(|file| record.tainted.contains(file));
        let pieces: Vec<_> = pieces.filter(|(_, files)| may_be(files)).collect();
        let files = pieces.iter().flat_map(|(_, files)| files).copied().collect();
        Round { files, pieces }
    }

    fn intent(&self) -> Fact {
        Fact::Syncing(runs_of(self.files.iter().map(|file| file.0)))
    }

    /// Syncs each file once.
    pub fn sync(self, mut sync: impl FnMut(FileIndex) -> bool) -> Settled {
        let synced: BTreeMap<FileIndex, bool> =
            self.files.into_iter().map(|file| (file, sync(file))).collect();
        let is_synced = |file: &FileIndex| synced.get(file) == Some(&true);
        let durable = self.pieces.iter().filter(|(_, files)| files.iter().all(is_synced));
        let durable = runs_of(durable.map(|(piece, _)| piece.0));
        let failed = synced.iter().filter(|(_, worked)| !**worked).map(|(file, _)| *file);
        let mut facts: Vec<Fact> = failed.clone().map(Fact::Tainted).collect();
        facts.push(Fact::Syncing(Vec::new()));
        facts.extend((!durable.is_empty()).then_some(Fact::Pieces(Pieces::Durable, durable)));
        Settled { facts, failed: failed.min() }
    }
}

impl Settled {
    /// The pieces that are durable now.
    pub fn durable(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        let runs = self.facts.iter().flat_map(|fact| match fact {
            Fact::Pieces(Pieces::Durable, runs) => &runs[..],
            _ => &[],
        });
        runs.flat_map(|(first, count)| (*first..first + count).map(PieceIndex))
    }
}
