//! A start: the journal is read, held against the files that are found, and gone on from.
//!
//! Nothing is written yet: the record to go on with comes with the first facts, as a base of its own, so that a run
//! that changes nothing leaves the journal alone. Until then what an earlier run has left stays true.

use std::collections::BTreeSet;

use super::fact::Whose;
use super::ledger::Ledger;
use super::reliance::{Look, Scene};
use crate::base::bitfield::Bitfield;
use crate::base::index::FileIndex;
use crate::engine::disk_job::{Existing, Resume, Traffic};

/// What a run goes on from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GoingOn {
    /// What the engine is told.
    pub existing: Existing,
    /// Files that are known to be ours.
    pub ours: BTreeSet<FileIndex>,
    /// Files that a run before a loss of power may have finished.
    pub perhaps_ours: BTreeSet<FileIndex>,
}

impl Ledger {
    /// Whether what it tells of is not there, and the folder is on another device: most likely one is not mounted.
    pub fn is_away(&self, scene: &Scene<'_>) -> bool {
        let old = self.record();
        is_gone(scene) && old.claims_data() && old.device != scene.device
    }

    /// Works out what may be relied on, and goes on from there. `is_known` says whether an earlier run left
    /// something in the journal, `existing` what there is by the files alone.
    pub fn go_on(&mut self, is_known: bool, scene: &Scene<'_>, existing: Existing) -> GoingOn {
        let resume = if is_known {
            scene.reliable(self.record())
        } else {
            let pieces = scene.layout.piece_count();
            let none = Bitfield::empty(pieces);
            let unsure = if existing == Existing::Nothing { none.clone() } else { Bitfield::full(pieces) };
            Resume { have: none, unsure, written: Vec::new(), traffic: Traffic::default() }
        };
        let record = scene.going_on(&resume, is_known.then_some(self.record()));
        let ours = record.files_that_are(Whose::Ours).collect();
        let perhaps_ours = record.files_that_are(Whose::PerhapsOurs).collect();
        if record != *self.record() {
            self.restart(record);
        }
        let is_told = is_known && !is_gone(scene);
        let existing = if is_told { Existing::Known(Box::new(resume)) } else { existing };
        GoingOn { existing, ours, perhaps_ours }
    }
}

/// Whether none of the files is there.
fn is_gone(scene: &Scene<'_>) -> bool {
    !scene.found.iter().any(|look| matches!(look, Look::Present(..)))
}
