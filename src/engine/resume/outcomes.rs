//! What has been done to a target's files, and how it is written down: right after it, with the stamps that the files
//! have by then, in one step that no other record comes between, and before the engine hears of it.
//!
//! So what a crash leaves unrecorded shows in a stamp, and a piece is had only by a record of after its last write.
//! A write that failed may have changed its file all the same: what was written before it counts, and the file's
//! stamp is recorded too, if the file is one that we had opened to write.

use std::collections::BTreeMap;
use std::ops::Range;

use super::fact::{Fact, Stamp, Whose, runs_of};
use super::ledger::{JournalFile, Ledger};
use crate::base::file_map::FileMap;
use crate::base::index::{FileIndex, PieceIndex};
use crate::base::layout::{BLOCK_LENGTH, Layout};
use crate::base::time::Instant;
use crate::engine::disk_job::Verdict;

/// Bytes of verified pieces after which the files are synced at once.
const SYNC_BYTES: u64 = 64 * 1024 * 1024;

/// What has been done and is to be written down.
#[derive(Debug)]
pub struct Outcomes<'a> {
    layout: &'a Layout,
    file_map: &'a FileMap,
    facts: Vec<Fact>,
    files: BTreeMap<FileIndex, Touch>,
    /// Of pieces that were verified.
    bytes: u64,
}

/// What a job has done to a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Touch {
    /// A write failed: it may have changed the file. One that we had not opened to write is none of ours to tell of.
    Perhaps,
    /// It was changed.
    Surely,
}

/// When files are to be synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// In a while.
    Soon,
    /// Now.
    AtOnce,
}

/// What came of writing something down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded<E> {
    /// Whether it is in the journal, as [`Ledger::append`] says.
    pub result: Result<bool, E>,
    /// When a round of syncs is to begin; `None`: when somebody was told to already.
    pub due: Option<Due>,
}

impl<'a> Outcomes<'a> {
    /// Nothing, of a target whose bytes fall into pieces and files like this.
    pub fn new(layout: &'a Layout, file_map: &'a FileMap) -> Outcomes<'a> {
        Outcomes { layout, file_map, facts: Vec::new(), files: BTreeMap::new(), bytes: 0 }
    }

    /// These blocks of a piece were written, and perhaps it was judged.
    pub fn on_written(&mut self, piece: PieceIndex, blocks: &[u32], verdict: Option<&Verdict>) {
        self.facts.push(Fact::of_blocks(piece, &runs_of(blocks.iter().copied()), verdict));
        self.touch(piece, blocks, Touch::Surely);
        if let Some(Verdict::Passed { .. }) = verdict {
            self.bytes += u64::from(self.layout.piece_len(piece));
        }
    }

    /// Of these blocks of a piece those that are now `written` were, before something failed.
    pub fn on_failure(&mut self, piece: PieceIndex, blocks: &[u32], written: &[bool]) {
        let is_done = |block: &u32| written.get(*block as usize) == Some(&true);
        let done = runs_of(blocks.iter().copied().filter(is_done));
        if !done.is_empty() {
            self.facts.push(Fact::Blocks(piece, done));
        }
        self.touch(piece, blocks, Touch::Perhaps);
    }

    /// These pieces were checked; those of them that are `right` are. The stamps that count are those from before the
    /// check: what changed since then is to be checked again.
    pub fn on_check(&mut self, pieces: &Range<u32>, right: &[PieceIndex]) {
        self.facts.extend(Fact::of_check(pieces, right));
        self.bytes += right.iter().map(|piece| u64::from(self.layout.piece_len(*piece))).sum::<u64>();
    }

    /// A file was changed other than by writing blocks.
    pub fn on_change(&mut self, file: FileIndex) {
        self.files.insert(file, Touch::Surely);
    }

    /// The files whose stamps are asked for.
    pub fn files(&self) -> impl Iterator<Item = (FileIndex, Touch)> + '_ {
        self.files.iter().map(|(file, touch)| (*file, *touch))
    }

    fn touch(&mut self, piece: PieceIndex, blocks: &[u32], touch: Touch) {
        let range = self.layout.piece_range(piece);
        for (first, count) in runs_of(blocks.iter().copied()) {
            let start = range.start + u64::from(first) * u64::from(BLOCK_LENGTH);
            let end = (start + u64::from(count) * u64::from(BLOCK_LENGTH)).min(range.end);
            for slice in self.file_map.slices(start..end) {
                let before = self.files.entry(slice.file).or_insert(touch);
                *before = touch.max(*before);
            }
        }
    }
}

impl Ledger {
    /// Writes down what was done. `stamp` looks at a file, if it is there and ours to tell of. Nobody else may write
    /// down anything of these files from before the first look until this is done.
    pub fn record_outcomes<F: JournalFile>(
        &mut self,
        now: Instant,
        outcomes: Outcomes<'_>,
        mut stamp: impl FnMut(&mut F, FileIndex, Touch) -> Option<Stamp>,
        journal: &mut F,
    ) -> Recorded<F::Error> {
        let Outcomes { mut facts, files, bytes, .. } = outcomes;
        for (file, touch) in files {
            let stamp = stamp(journal, file, touch);
            if let Some(stamp) = stamp.filter(|stamp| !self.record().is_known(file, stamp)) {
                facts.push(Fact::File(file, stamp, Whose::Ours));
            }
        }
        if facts.is_empty() {
            return Recorded { result: Ok(true), due: None };
        }
        let result = self.append(now, &facts, journal);
        Recorded { result, due: self.due_after(bytes) }
    }

    fn due_after(&mut self, bytes: u64) -> Option<Due> {
        let before = self.unsynced;
        self.unsynced += bytes;
        match self.unsynced {
            0 => None,
            after if after >= SYNC_BYTES => {
                self.unsynced = 0;
                Some(Due::AtOnce)
            }
            _ => (before == 0).then_some(Due::Soon),
        }
    }
}
