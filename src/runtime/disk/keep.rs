//! What is kept of a torrent from run to run: the journal is read before the first byte and told of each
//! change; the payload is locked, and synced behind the writes.
//!
//! Who changes files records it here right after, on the same thread: the files' times are read under the
//! journal's lock, so the last one in it is the last one on disk. When the process is killed between a write
//! and its record, that file's time is not the journal's, and its pieces are checked.
//!
//! What is durable is settled behind everybody's back: every 64 MiB or 5 s the files written to are synced,
//! and the pieces that were written before that are marked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::door::fault::Call;
use super::door::{Access, Door, Found, found};
use super::error::disk_error;
use super::open_files::OpenFile;
use super::storage::{Name, Names, Payload, Storage};
use crate::base::bitfield::Bitfield;
use crate::base::hash::InfoHashes;
use crate::base::index::{BlockAddress, FileIndex, PieceIndex};
use crate::base::layout::BLOCK_LENGTH;
use crate::engine::disk_job::{DiskError, DiskErrorKind, Existing, Resume, Verdict};
use crate::runtime::state::{Busy, Fact, Journal, Lock, Pieces, Record, RunOf, Stamp, boot_id, runs_of};

/// Bytes of verified pieces after which the files are synced at once.
const SYNC_BYTES: u64 = 64 * 1024 * 1024;

/// When a complete file must be on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sync {
    /// Whenever the system gets round to it.
    #[default]
    None,
    /// Before it counts as complete.
    End,
}

/// How a torrent is remembered.
#[derive(Clone, Default)]
pub struct Keeping {
    /// The state folder, and the torrent's identity; `None`: nothing is remembered.
    pub state: Option<(PathBuf, InfoHashes)>,
    /// When complete files must be on the disk.
    pub sync: Sync,
    /// Hears what people should know of the state, in words.
    pub warn: Option<Arc<dyn Fn(String) + Send + std::marker::Sync>>,
}

impl fmt::Debug for Keeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeping")
            .field("state", &self.state)
            .field("sync", &self.sync)
            .finish_non_exhaustive()
    }
}

/// What is kept while a torrent is open.
#[derive(Debug, Default)]
pub(super) struct Kept {
    journal: Option<Journal>,
    /// On the payload: for those with another state folder.
    lock: Option<Lock>,
    /// Another process shares the payload, so nothing may be written.
    is_shared: bool,
    /// Bytes of pieces verified since the files were synced last.
    unsynced: u64,
    /// Files of which a sync has failed: a later one that works says nothing of what was written before.
    unsyncable: BTreeSet<FileIndex>,
}

/// When to sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Soon,
    AtOnce,
}

/// The file that the payload's lock lies on: the first one with bytes of its own.
pub(super) fn lock_carrier(storage: &Storage) -> Option<FileIndex> {
    let files = (0..storage.files.len() as u32).map(FileIndex);
    files.into_iter().find(|file| storage.is_on_disk(*file) && storage.length(*file) > 0)
}

impl Payload {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.storage.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn warn(&self, text: String) {
        match &self.storage.keeping.warn {
            Some(warn) => warn(text),
            None => tracing::warn!("{text}"),
        }
    }

    fn busy(&self, busy: Busy) -> DiskError {
        let who = busy.pid.map_or("another btget".to_owned(), |pid| format!("btget with process id {pid}"));
        DiskError {
            kind: DiskErrorKind::Busy,
            operation: "use",
            file: self.storage.target.dir.join(self.storage.top()).to_string_lossy().into_owned(),
            message: format!("{who} is working on it"),
        }
    }

    /// Locks the journal and reads it. Whether an earlier run left something in it.
    pub(super) fn open_journal(&self) -> Result<bool, DiskError> {
        let storage = &self.storage;
        let state = storage.keeping.state.as_ref().filter(|_| !storage.target.read_only);
        let Some((folder, hashes)) = state else { return Ok(false) };
        let dir = std::fs::canonicalize(&storage.target.dir).unwrap_or_else(|_| storage.target.dir.clone());
        let place = [dir.as_os_str().as_encoded_bytes(), b"\0", storage.top().as_os_str().as_encoded_bytes()]
            .concat();
        let files = storage.files.len() as u32;
        let opened = Journal::open(folder, hashes, &place, storage.layout.clone(), files);
        let opened = opened.map_err(|busy| self.busy(busy))?;
        if let Some(warning) = opened.warning {
            self.warn(warning);
        }
        let mut kept = self.kept();
        (kept.journal, kept.is_shared) = (opened.journal, opened.is_shared);
        Ok(opened.is_known)
    }

    /// Locks the payload, by a file of it that is there.
    pub(super) fn lock_payload(&self, door: &Door, file: FileIndex, name: Name) -> Result<(), DiskError> {
        let fail = |error| self.storage.error("lock", file, name, &error);
        let opened = self.open(door, file, name, Access::Read).map_err(fail)?;
        let locked = if self.storage.target.read_only {
            Lock::share_in(opened).map(|lock| (lock, true))
        } else {
            Lock::take_or_share(opened)
        };
        let (lock, is_shared) = locked.map_err(|busy| self.busy(busy))?;
        let mut kept = self.kept();
        kept.lock = Some(lock);
        kept.is_shared |= is_shared;
        Ok(())
    }

    /// An error when others share the payload.
    pub(super) fn require_ours(&self) -> Result<(), DiskError> {
        if self.kept().is_shared { Err(self.busy(Busy { pid: None })) } else { Ok(()) }
    }

    /// Works out what may be relied on from what the journal says and which files were `found`, and goes on
    /// from there. `existing` is what there is by the files alone.
    pub(super) fn resume(
        &self,
        names: &mut Names,
        found: &[Option<Found>],
        is_known: bool,
        existing: Existing,
    ) -> Result<Existing, DiskError> {
        let storage = &self.storage;
        let mut kept = self.kept();
        if kept.is_shared && !storage.target.read_only {
            // Whoever shares it writes nothing down.
            let record = kept.journal.take().map(|journal| journal.record().clone());
            let known = record.filter(|_| is_known).map(|record| resumed(storage, &record, found));
            return Ok(known.map_or(existing, |resume| Existing::Known(Box::new(resume))));
        }
        let Some(journal) = &mut kept.journal else { return Ok(existing) };
        let dir = &storage.target.dir;
        let device = names.door(storage)?.device().map_err(|error| disk_error("use", dir, &error))?;
        let old = journal.record();
        let is_gone = found.iter().all(Option::is_none);
        if is_known && is_gone && old.claims_data() && old.device != device {
            return Err(DiskError {
                kind: DiskErrorKind::Other,
                operation: "find",
                file: dir.join(storage.top()).to_string_lossy().into_owned(),
                message:
                    "what was downloaded is gone, and its folder is on another device than before; mount it, \
                          or start with --no-state to download it again"
                        .to_owned(),
            });
        }
        let resume = if is_known {
            resumed(storage, old, found)
        } else {
            let pieces = storage.layout.piece_count();
            let none = Bitfield::empty(pieces);
            let unsure = if existing == Existing::Nothing { none.clone() } else { Bitfield::full(pieces) };
            Resume { have: none, unsure, written: Vec::new() }
        };
        let mut record = Record::empty(storage.layout.piece_count());
        record.boot = boot_id().unwrap_or_default();
        record.device = device;
        for piece in resume.have.iter().filter(|piece| old.durable.has(*piece)) {
            record.durable.insert(piece);
        }
        (record.have, record.unsure) = (resume.have.clone(), resume.unsure.clone());
        record.written = resume.written.iter().cloned().collect();
        let files = (0..).map(FileIndex).zip(found);
        let known = files.filter_map(|(file, found)| {
            let stamp = stamp(found.as_ref()?);
            Some((file, (stamp, is_known && old.is_ours(file, &stamp))))
        });
        record.files = known.collect();
        for (file, _) in record.files.iter().filter(|(_, (_, is_ours))| *is_ours) {
            names.mark_ours(*file);
        }
        if record != *old {
            journal.restart(record);
        }
        Ok(if is_known && !is_gone { Existing::Known(Box::new(resume)) } else { existing })
    }

    /// Blocks of a piece were written, and perhaps there is a verdict.
    pub(super) fn record_piece(
        self: &Arc<Self>,
        piece: PieceIndex,
        blocks: impl IntoIterator<Item = u32>,
        verdict: Option<&Verdict>,
    ) {
        let runs = runs_of(blocks);
        let fact = match verdict {
            Some(Verdict::Passed { .. }) => Fact::Pieces(Pieces::Have, vec![(piece.0, 1)]),
            Some(Verdict::Failed { .. }) => Fact::Dropped(piece),
            None => Fact::Blocks(piece, runs.clone()),
        };
        let bytes = match verdict {
            Some(Verdict::Passed { .. }) => u64::from(self.storage.layout.piece_len(piece)),
            _ => 0,
        };
        self.record(vec![fact], self.files_of(piece, &runs), bytes);
    }

    /// Of a piece's blocks some were written before a write failed. That one has changed its file's time too.
    pub(super) fn record_failure(self: &Arc<Self>, piece: PieceIndex, done: Vec<u32>, failed: Vec<u32>) {
        let all = [runs_of(done.iter().copied()), runs_of(failed)].concat();
        let facts = if done.is_empty() { Vec::new() } else { vec![Fact::Blocks(piece, runs_of(done))] };
        // Only those that we have opened to write: the others are none of ours to tell of.
        let is_open = |file: &FileIndex| self.open_files.find((self.torrent, *file), true).is_some();
        self.record(facts, self.files_of(piece, &all).filter(is_open), 0);
    }

    /// The files that these blocks of a piece are in.
    fn files_of(&self, piece: PieceIndex, runs: &[RunOf]) -> impl Iterator<Item = FileIndex> {
        let storage = &self.storage;
        let (start, end) = (storage.layout.piece_range(piece).start, storage.layout.piece_range(piece).end);
        let block = move |number: u32| start + u64::from(number) * u64::from(BLOCK_LENGTH);
        let stretch = move |(first, count): &RunOf| block(*first)..block(first + count).min(end);
        let slices = runs.iter().map(stretch).flat_map(|stretch| storage.file_map.slices(stretch));
        slices.map(|slice| slice.file).filter(|file| storage.is_on_disk(*file))
    }

    /// These pieces were checked; those of them that are `right` are.
    pub(super) fn record_check(self: &Arc<Self>, pieces: &Range<u32>, right: &[PieceIndex]) {
        let all = (pieces.start, pieces.end.saturating_sub(pieces.start));
        let bytes = right.iter().map(|piece| u64::from(self.storage.layout.piece_len(*piece))).sum();
        let right = right.iter().map(|piece| piece.0);
        let facts =
            vec![Fact::Pieces(Pieces::Missing, vec![all]), Fact::Pieces(Pieces::Have, runs_of(right))];
        // The files' times are those from before the check: what changed since then is to be checked again.
        self.record(facts, None, bytes);
    }

    /// A file was changed other than by writing blocks.
    pub(super) fn record_file(self: &Arc<Self>, file: FileIndex) {
        self.record(Vec::new(), Some(file), 0);
    }

    /// What an earlier run wrote, and did not sync, is synced too.
    pub(super) fn sync_soon(self: &Arc<Self>) {
        if self.kept().journal.is_some() {
            self.sync_behind.wish(self, Due::Soon);
        }
    }

    /// Writes down `facts`, and how the writes have left `files`; `bytes` more are to be synced.
    fn record(
        self: &Arc<Self>,
        mut facts: Vec<Fact>,
        files: impl IntoIterator<Item = FileIndex>,
        bytes: u64,
    ) {
        if self.storage.keeping.state.is_none() {
            return;
        }
        // Looked up before the journal is locked: names have a lock of their own.
        let handles: Vec<(FileIndex, Arc<OpenFile>)> =
            files.into_iter().filter_map(|file| Some((file, self.readable(file).ok()??))).collect();
        let mut kept = self.kept();
        let Some(journal) = &mut kept.journal else { return };
        for (file, open) in handles {
            let Ok(stat) = rustix::fs::fstat(&open.file) else { continue };
            let stamp = stamp(&found(&stat));
            if !journal.record().is_known(file, &stamp) {
                facts.push(Fact::File(file, stamp, true));
            }
        }
        if facts.is_empty() {
            return;
        }
        let warning = journal.append(&facts);
        let before = kept.unsynced;
        kept.unsynced += bytes;
        let due = match kept.unsynced {
            0 => None,
            after if after >= SYNC_BYTES => {
                kept.unsynced = 0;
                Some(Due::AtOnce)
            }
            _ => (before == 0).then_some(Due::Soon),
        };
        drop(kept);
        if let Some(warning) = warning {
            self.warn(warning);
        }
        if let Some(due) = due {
            self.sync_behind.wish(self, due);
        }
    }

    /// Syncs the files of the pieces that are written and not known to be durable, and marks them. Where that
    /// fails nobody knows what of them is on the disk, and the next run is to look.
    pub(super) fn sync_behind(&self) {
        let (pending, known) = {
            let mut kept = self.kept();
            kept.unsynced = 0;
            let Some(journal) = &kept.journal else { return };
            let record = journal.record();
            (record.have.iter_minus(&record.durable).collect::<Vec<_>>(), kept.unsyncable.clone())
        };
        let mut synced: BTreeMap<FileIndex, bool> = known.iter().map(|file| (*file, false)).collect();
        let (mut durable, mut doubtful) = (Vec::new(), Vec::new());
        for piece in pending {
            let slices = self.storage.file_map.slices(self.storage.layout.piece_range(piece));
            let mut is_durable = true;
            for slice in slices.filter(|slice| self.storage.is_on_disk(slice.file)) {
                is_durable &= *synced.entry(slice.file).or_insert_with(|| self.sync(slice.file).is_ok());
            }
            if is_durable { durable.push(piece.0) } else { doubtful.push(piece.0) }
        }
        let failed: BTreeSet<FileIndex> =
            synced.into_iter().filter(|(_, worked)| !worked).map(|(file, _)| file).collect();
        if let Some(file) = failed.difference(&known).next() {
            let path = self.storage.target.dir.join(self.storage.path(*file, Name::Final));
            self.warn(format!(
                "cannot sync {}: what was written to it may not be on the disk, and is checked at the next start",
                path.display()
            ));
        }
        let facts = [(Pieces::Durable, durable), (Pieces::Unsure, doubtful)].into_iter();
        let facts = facts.filter(|(_, pieces)| !pieces.is_empty());
        let facts: Vec<Fact> = facts.map(|(what, pieces)| Fact::Pieces(what, runs_of(pieces))).collect();
        let mut kept = self.kept();
        kept.unsyncable = failed;
        if let Some(journal) = kept.journal.as_mut().filter(|_| !facts.is_empty()) {
            let warning = journal.append(&facts);
            drop(kept);
            warning.into_iter().for_each(|warning| self.warn(warning));
        }
    }

    /// Has a file's content on the disk.
    pub(super) fn sync(&self, file: FileIndex) -> Result<(), DiskError> {
        let Some(open) = self.readable(file)? else { return Ok(()) };
        // Not only the data: its time of change has to be the journal's after a loss of power.
        let planned = self.storage.before(Call::Sync, file);
        planned.and_then(|()| Ok(rustix::fs::fsync(&open.file)?)).map_err(|error| {
            let error = self.storage.error("sync", file, Name::Final, &error);
            // Whatever it is for want of: to try again would tell nothing.
            DiskError { kind: DiskErrorKind::Other, ..error }
        })
    }

    /// Whether an earlier run has left something of the torrent under its present name.
    pub(super) fn is_remembered(&self) -> Result<bool, DiskError> {
        let is_known = self.open_journal()?;
        let claims = self.kept().journal.as_ref().is_some_and(|journal| journal.record().claims_data());
        self.let_go();
        Ok(is_known && claims)
    }

    /// Every piece is here and every file has its name: others may read the files too.
    pub(super) fn share_if_complete(&self, names: &Names) {
        let kept = self.kept();
        let Some(journal) = &kept.journal else { return };
        let is_final = |file| names.is_final(file) || !self.storage.is_on_disk(file);
        if journal.record().have.is_full()
            && (0..self.storage.files.len() as u32).map(FileIndex).all(is_final)
        {
            journal.share();
            kept.lock.iter().for_each(Lock::share);
        }
    }

    /// Lets go of the journal and the locks.
    pub(super) fn let_go(&self) {
        *self.kept() = Kept::default();
    }
}

fn stamp(found: &Found) -> Stamp {
    Stamp { length: found.length, modified: found.modified, inode: found.identity.1 }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Same,
    Changed,
    Absent,
}

/// What may be relied on of `record`, with the files as they were `found`.
fn resumed(storage: &Storage, record: &Record, found: &[Option<Found>]) -> Resume {
    let same_boot = boot_id().is_some_and(|boot| boot == record.boot);
    let state = |file: FileIndex| match &found[file.index()] {
        _ if !storage.is_on_disk(file) => State::Same,
        None => State::Absent,
        Some(found) if record.is_known(file, &stamp(found)) => State::Same,
        Some(_) => State::Changed,
    };
    let states: Vec<State> = (0..found.len() as u32).map(|file| state(FileIndex(file))).collect();
    let pieces = storage.layout.piece_count();
    let mut resume =
        Resume { have: Bitfield::empty(pieces), unsure: Bitfield::empty(pieces), written: Vec::new() };
    for piece in storage.layout.pieces() {
        let (mut is_absent, mut is_changed) = (false, false);
        for slice in storage.file_map.slices(storage.layout.piece_range(piece)) {
            is_absent |= states[slice.file.index()] == State::Absent;
            is_changed |= states[slice.file.index()] == State::Changed;
        }
        let has = record.have.has(piece);
        if is_absent {
            continue;
        }
        if is_changed || record.unsure.has(piece) || has && !same_boot && !record.durable.has(piece) {
            resume.unsure.insert(piece);
        } else if has {
            resume.have.insert(piece);
        }
    }
    for (piece, written) in &record.written {
        let start = storage.layout.piece_range(*piece).start;
        let is_there = |block: u32| {
            let address = BlockAddress { piece: *piece, block };
            let begin = start + u64::from(block) * u64::from(BLOCK_LENGTH);
            let end = begin + u64::from(storage.layout.block_len(address));
            storage.file_map.slices(begin..end).filter(|slice| storage.is_on_disk(slice.file)).all(|slice| {
                found[slice.file.index()].is_some_and(|found| found.length >= slice.offset + slice.length)
            })
        };
        let written: Vec<bool> =
            (0..).zip(written).map(|(block, is_written)| *is_written && is_there(block)).collect();
        if written.contains(&true) && !resume.have.has(*piece) {
            resume.written.push((*piece, written));
        }
    }
    resume
}

/// A place for what is kept.
pub(super) type KeptCell = Mutex<Kept>;
