//! What is kept of a torrent from run to run: the journal is read before the first byte and told of each
//! change; the payload is locked, and synced behind the writes.
//!
//! In which order that is done is `engine/resume`'s. Who changes files records it here right after, on the same
//! thread: the files' times are read under the journal's lock, so the last one in it is the last one on disk.
//!
//! The payload's lock is `locking`'s. What is durable is settled behind everybody's back (`durable`): every 64 MiB
//! or 5 s the files written to are synced, and the pieces that were written before that are marked.

mod durable;
mod locking;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) use self::locking::lock_carrier;
use super::advance::Lane;
use super::door::{Found, found};
use super::error::disk_error;
use super::names::Names;
use super::open_files::OpenFile;
use super::payload::Payload;
use crate::base::hash::InfoHashes;
use crate::base::index::{FileIndex, PieceIndex};
use crate::engine::disk_job::{DiskError, DiskErrorKind, Existing, Traffic};
use crate::engine::resume::going_on::GoingOn;
use crate::engine::resume::outcomes::{Due, Touch};
use crate::engine::resume::reliance::{Look, Scene};
use crate::engine::resume::{Fact, Outcomes, Stamp};
use crate::runtime::state::{self, Busy, Journal, Lock, boot_id};

/// When a complete file must be on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SyncPolicy {
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
    pub sync: SyncPolicy,
    /// Hears what people should know of the state, in words.
    pub warn: Option<Arc<dyn Fn(String) + Send + Sync>>,
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
    /// The payload's lock is a shared one, so nothing may be written.
    is_shared: bool,
    /// Files that a run before a loss of power may have finished.
    perhaps_ours: BTreeSet<FileIndex>,
    /// Nothing is written any more.
    is_settled: bool,
    /// What was moved and is not written down, as somebody else has the journal, or it could not be written.
    unwritten: Traffic,
}

impl Kept {
    /// Closes the journal when it says all that there will ever be to say.
    fn close_if_done(&mut self) {
        if self.is_settled && self.journal.as_ref().is_some_and(Journal::is_done) {
            self.journal = None;
        }
    }
}

/// What came of opening the journal.
pub(super) struct Opened {
    /// Whether an earlier run left something in it.
    pub(super) is_known: bool,
    /// Whether somebody else writes it, so that we do not.
    pub(super) is_others: bool,
}

impl Payload {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.storage.kept.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn warn(&self, text: String) {
        match &self.storage.keeping.warn {
            Some(warn) => warn(text),
            None => tracing::warn!("{text}"),
        }
    }

    /// Locks the journal and reads it. Who `only_reads` the payload does without when somebody else has it.
    pub(super) fn open_journal(&self, only_reads: bool) -> Result<Opened, DiskError> {
        let Some(opened) = self.read_journal(only_reads) else {
            return Ok(Opened { is_known: false, is_others: false });
        };
        let opened = opened.map_err(|busy| self.busy(busy))?;
        if let Some(warning) = opened.warning {
            self.warn(warning);
        }
        let mut kept = self.kept();
        kept.journal = opened.journal;
        kept.is_shared = opened.is_shared;
        Ok(Opened { is_known: opened.is_known, is_others: opened.is_shared })
    }

    /// The journal, if there is to be one.
    fn read_journal(&self, only_reads: bool) -> Option<Result<state::Opened, Busy>> {
        let storage = &self.storage;
        let (folder, hashes) = storage.keeping.state.as_ref()?;
        let dir = std::fs::canonicalize(&storage.target.dir).unwrap_or_else(|_| storage.target.dir.clone());
        let place = [dir.as_os_str().as_encoded_bytes(), b"\0", storage.top().as_os_str().as_encoded_bytes()]
            .concat();
        let files = storage.files.len() as u32;
        Some(Journal::open(folder, hashes, &place, storage.layout.clone(), files, only_reads))
    }

    /// Writes down that so much more was moved. A journal that is closed already is opened for a moment; while
    /// somebody else has it, this waits for the next time.
    pub(super) fn remember(&self, traffic: Traffic) {
        let mut guard = self.kept();
        let kept = &mut *guard;
        kept.unwritten = kept.unwritten.plus(traffic);
        let fact = Fact::Moved(kept.unwritten);
        let warning = if let Some(journal) = &mut kept.journal {
            kept.unwritten = Traffic::default();
            journal.append(&[fact])
        } else {
            let opened = self.read_journal(true).and_then(Result::ok).filter(|opened| !opened.is_shared);
            let Some(mut journal) = opened.filter(|opened| opened.is_known).and_then(|opened| opened.journal)
            else {
                return;
            };
            let warning = journal.append(&[fact]);
            if !journal.is_failing() {
                kept.unwritten = Traffic::default();
            }
            warning
        };
        drop(guard);
        warning.into_iter().for_each(|warning| self.warn(warning));
    }

    /// Works out what may be relied on from what the journal says and which files were `found`, and goes on
    /// from there. `existing` is what there is by the files alone.
    pub(super) fn resume(
        &self,
        names: &mut Names,
        found: &[Option<Found>],
        Opened { is_known, is_others }: Opened,
        existing: Existing,
    ) -> Result<Existing, DiskError> {
        let storage = &self.storage;
        let boot = boot_id();
        let looks = self.looks(names, found);
        let scene = |device| Scene {
            layout: &storage.layout,
            file_map: &storage.file_map,
            found: &looks,
            boot: boot.as_deref(),
            device,
        };
        let mut kept = self.kept();
        if is_others {
            let record = kept.journal.take().map(|journal| journal.record().clone());
            let known = record.filter(|_| is_known).map(|record| scene(record.device).reliable(&record));
            return Ok(known.map_or(existing, |resume| Existing::Known(Box::new(resume))));
        }
        let Some(journal) = &mut kept.journal else { return Ok(existing) };
        let dir = &storage.target.dir;
        let device = names.door(storage)?.device().map_err(|error| disk_error("use", dir, &error))?;
        let scene = scene(device);
        if is_known && journal.is_away(&scene) {
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
        let GoingOn { existing, ours, perhaps_ours } = journal.go_on(is_known, &scene, existing);
        ours.into_iter().for_each(|file| names.mark_ours(file));
        kept.perhaps_ours = perhaps_ours;
        Ok(existing)
    }

    /// The files as they were `found`.
    fn looks(&self, names: &Names, found: &[Option<Found>]) -> Vec<Look> {
        let look = |(file, found): (u32, &Option<Found>)| match found {
            _ if !self.storage.is_on_disk(FileIndex(file)) => Look::Unwanted,
            None => Look::Absent,
            Some(found) => Look::Present(stamp(found), !names.is_final(FileIndex(file))),
        };
        (0..).zip(found).map(look).collect()
    }

    /// Whether a file may have been finished by us before a loss of power that made us forget it.
    pub(super) fn is_perhaps_ours(&self, file: FileIndex) -> bool {
        self.kept().perhaps_ours.contains(&file)
    }

    /// Blocks of pieces were written, or were not, and perhaps there are verdicts. The lanes are this payload's.
    pub(super) fn record_outcomes(self: &Arc<Self>, lanes: &[Lane]) {
        let mut outcomes = self.outcomes();
        for Lane { job, outcome, .. } in lanes {
            let tried: Vec<u32> = job.blocks.iter().map(|(block, _)| *block).collect();
            match outcome {
                Some(Err(_)) => outcomes.on_failure(job.piece, &tried, &job.written),
                Some(Ok(verdict)) => outcomes.on_written(job.piece, &tried, verdict.as_ref()),
                None => outcomes.on_written(job.piece, &tried, None),
            }
        }
        self.record(outcomes);
    }

    /// These pieces were checked; those of them that are `right` are.
    pub(super) fn record_check(self: &Arc<Self>, pieces: &Range<u32>, right: &[PieceIndex]) {
        let mut outcomes = self.outcomes();
        outcomes.on_check(pieces, right);
        self.record(outcomes);
    }

    /// A file was changed other than by writing blocks.
    pub(super) fn record_file(self: &Arc<Self>, file: FileIndex) {
        let mut outcomes = self.outcomes();
        outcomes.on_change(file);
        self.record(outcomes);
    }

    fn outcomes(&self) -> Outcomes<'_> {
        Outcomes::new(&self.storage.layout, &self.storage.file_map)
    }

    fn record(self: &Arc<Self>, outcomes: Outcomes<'_>) {
        if self.storage.keeping.state.is_none() {
            return;
        }
        // Looked up before the journal is locked: names have a lock of their own.
        let files = outcomes.files().filter(|(file, _)| self.storage.is_on_disk(*file));
        let handle = |(file, touch)| match touch {
            Touch::Surely => Some((file, self.readable(file).ok()??)),
            Touch::Perhaps => Some((file, self.open_files.find((self.torrent, file), true)?)),
        };
        let handles: BTreeMap<FileIndex, Arc<OpenFile>> = files.filter_map(handle).collect();
        let look = |file, _| Some(stamp(&found(&rustix::fs::fstat(&handles.get(&file)?.file).ok()?)));
        let mut kept = self.kept();
        let Some(journal) = &mut kept.journal else { return };
        let (due, warning) = journal.record_outcomes(outcomes, look);
        drop(kept);
        if let Some(warning) = warning {
            self.warn(warning);
        }
        if let Some(due) = due {
            self.sync_behind.wish(self, due);
        }
    }

    /// Whether an earlier run has left something of the torrent under its present name.
    pub(super) fn is_remembered(&self) -> Result<bool, DiskError> {
        let opened = self.open_journal(false)?;
        let claims = self.kept().journal.as_ref().is_some_and(|journal| journal.record().claims_data());
        self.let_go();
        Ok(opened.is_known && claims)
    }

    /// Nothing is written any more: others may read the files too. What is open is closed, but for what was read
    /// last, so that a thousand torrents can be seeded; the lock lasts as long as the handle that it lies on.
    pub(super) fn settle(self: &Arc<Self>) {
        self.storage.names().settle();
        let mut kept = self.kept();
        kept.is_shared = true;
        if let (Some(lock), Some(file)) = (kept.lock.take(), lock_carrier(&self.storage)) {
            lock.share();
            self.open_files.make_room();
            self.open_files.insert((self.torrent, file), OpenFile::new(lock.into_file(), false));
        }
        kept.is_settled = true;
        kept.close_if_done();
        let is_open = kept.journal.is_some();
        drop(kept);
        if is_open {
            self.sync_behind.wish(self, Due::AtOnce);
        }
    }

    /// Whether the journal is kept open, and so from others.
    #[cfg(test)]
    pub(super) fn has_journal(&self) -> bool {
        self.kept().journal.is_some()
    }

    /// Lets go of the journal and the locks.
    pub(super) fn let_go(&self) {
        *self.kept() = Kept::default();
    }
}

fn stamp(found: &Found) -> Stamp {
    Stamp { length: found.length, modified: found.modified, inode: found.identity.1 }
}

/// A place for what is kept.
#[derive(Debug, Default)]
pub(super) struct KeptCell {
    kept: Mutex<Kept>,
    /// Held during a round of syncs, and taken before the other.
    round: Mutex<()>,
}
