//! What is durable after a sync.
//!
//! A piece is durable when it was had before all its files were synced, and these syncs worked. A sync that
//! fails *taints* its file: the system may have dropped what it could not write and call it written, so a later
//! sync that works says nothing of what was written before, be it of a piece that is had, under way, or just
//! being recorded. So no piece of a tainted file becomes durable any more, in this run or the next, until the
//! system has started again and what is really on the disk is checked.
//!
//! A failing disk may fail the journal too. So what is about to be synced is written down first, and nothing is
//! synced when that fails: of a run that does not live to tell, all that it was syncing is tainted.

use std::collections::{BTreeMap, BTreeSet};

use super::fact::{Fact, Pieces, runs_of};
use super::record::Record;
use crate::base::file_map::FileMap;
use crate::base::index::{FileIndex, PieceIndex};
use crate::base::layout::Layout;

/// Pieces that were had when it was asked for, and may become durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    pieces: Vec<(PieceIndex, Vec<FileIndex>)>,
}

/// What came of syncing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled {
    /// What to write down.
    pub facts: Vec<Fact>,
    /// The first file of which the sync has failed.
    pub failed: Option<FileIndex>,
}

impl Pending {
    /// Of a record; `is_on_disk` says which files have bytes of their own.
    pub fn of(
        record: &Record,
        layout: &Layout,
        file_map: &FileMap,
        is_on_disk: impl Fn(FileIndex) -> bool,
    ) -> Pending {
        let files = |piece| {
            let slices = file_map.slices(layout.piece_range(piece));
            slices.map(|slice| slice.file).filter(|file| is_on_disk(*file)).collect::<Vec<_>>()
        };
        let pieces = record.have.iter_minus(&record.durable).map(|piece| (piece, files(piece)));
        let may_be = |files: &[FileIndex]| !files.iter().any(|file| record.tainted.contains(file));
        Pending { pieces: pieces.filter(|(_, files)| may_be(files)).collect() }
    }

    /// What must be written down before any of it is synced; `None` when there is nothing to sync.
    pub fn intent(&self) -> Option<Fact> {
        let files: BTreeSet<u32> =
            self.pieces.iter().flat_map(|(_, files)| files).map(|file| file.0).collect();
        (!self.pieces.is_empty()).then(|| Fact::Syncing(runs_of(files)))
    }

    /// Syncs each file once and says what is true then.
    pub fn settle(self, mut sync: impl FnMut(FileIndex) -> bool) -> Settled {
        let mut synced: BTreeMap<FileIndex, bool> = BTreeMap::new();
        let mut durable = Vec::new();
        for (piece, files) in self.pieces {
            let mut is_durable = true;
            for file in files {
                is_durable &= *synced.entry(file).or_insert_with(|| sync(file));
            }
            if is_durable {
                durable.push(piece.0);
            }
        }
        let failed = synced.iter().filter(|(_, worked)| !**worked).map(|(file, _)| *file);
        let mut facts: Vec<Fact> = failed.clone().map(Fact::Tainted).collect();
        facts.push(Fact::Syncing(Vec::new()));
        if !durable.is_empty() {
            facts.push(Fact::Pieces(Pieces::Durable, runs_of(durable)));
        }
        Settled { facts, failed: failed.min() }
    }
}
