//! One target's journal, locked: its file, and the words for people when that fails. What is written, when and in
//! which steps is [`Ledger`]'s.
//!
//! Nothing is written before the first fact, so a run that changes nothing leaves the file alone. When the
//! state folder fails (full, read-only), the download goes on, people are told, and all is written anew as
//! soon as that works again.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::folder;
use super::lock::{Busy, Lock};
use crate::base::digest;
use crate::base::hash::InfoHashes;
use crate::base::index::FileIndex;
use crate::base::layout::Layout;
use crate::engine::disk_job::Existing;
use crate::engine::resume::durability::{Ground, Round, Settled};
use crate::engine::resume::going_on::GoingOn;
use crate::engine::resume::outcomes::{Due, Recorded, Touch};
use crate::engine::resume::reliance::Scene;
use crate::engine::resume::{Fact, JournalFile, Ledger, Outcomes, Record, Stamp, Told};
use crate::runtime::clock::Clock;

/// How often people are told that the state folder still fails.
const COMPLAINT: Duration = Duration::from_secs(60);

/// A target's journal, locked.
#[derive(Debug)]
pub struct Journal {
    ledger: Ledger,
    file: StateFile,
    clock: Clock,
    complained: Option<Instant>,
    /// Held as long as this is.
    _lock: Option<Lock>,
}

/// The file that it lies in.
#[derive(Debug)]
struct StateFile {
    path: PathBuf,
    /// Where facts are appended; `None` before the first.
    file: Option<File>,
    beside: Option<File>,
}

/// A journal that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The journal; `None` when there can be none.
    pub journal: Option<Journal>,
    /// Whether an earlier run left something in it.
    pub is_known: bool,
    /// Whether somebody else has it too: nothing may be written to it then.
    pub is_shared: bool,
    /// What people should know.
    pub warning: Option<String>,
}

impl Journal {
    /// Opens the journal of the torrent `hashes` at the place `target` (any bytes that name it), in `folder`. Who
    /// `only_reads` the target gets on beside whoever else does.
    pub fn open(
        folder: &Path,
        hashes: &InfoHashes,
        target: &[u8],
        layout: Arc<Layout>,
        files: u32,
        only_reads: bool,
    ) -> Result<Opened, Busy> {
        let hash = hashes.wire();
        let place = digest::sha1(target).to_string();
        let path = folder.join(format!("{hash}-{}.state", &place[..16]));
        let shown = path.display().to_string();
        let without = |what: &str, error: io::Error| Opened {
            journal: None,
            is_known: false,
            is_shared: false,
            warning: Some(format!("cannot {what} {shown}: {error}; this run will not be remembered")),
        };
        let opened = folder::make(folder).and_then(|()| folder::lock_file(&path.with_extension("lock")));
        let lock_file = match opened {
            Ok(file) => file,
            Err(error) => return Ok(without("use", error)),
        };
        let (lock, is_shared) = match Lock::take_or_share(lock_file) {
            Ok((mut lock, false)) => {
                lock.sign();
                (Some(lock), false)
            }
            Ok((lock, true)) => (Some(lock), true),
            Err(_) if only_reads => (None, true),
            Err(busy) => return Err(busy),
        };
        let identity = digest::sha1(&[&hash.0[..], target].concat()).0;
        let ledger = Ledger::new(identity, layout, files);
        let file = StateFile { path, file: None, beside: None };
        let mut journal = Journal { ledger, file, clock: Clock::start(), complained: None, _lock: lock };
        let (is_known, warning) = match folder::read(&journal.file.path) {
            Ok(None) => (false, None),
            Ok(Some(bytes)) => match journal.ledger.read(&bytes) {
                Told::Whole => (true, None),
                Told::Part => {
                    let warning = "is damaged or was cut short; what it says before that counts";
                    (true, Some(format!("{shown} {warning}")))
                }
                Told::Nothing => {
                    let warning = "is damaged or not this torrent's; what is there is checked";
                    (false, Some(format!("{shown} {warning}")))
                }
                Told::Later => {
                    let error = io::Error::other("a later version of btget wrote it, and it is left alone");
                    return Ok(without("use", error));
                }
            },
            Err(error) => (false, Some(format!("cannot read {shown}: {error}; what is there is checked"))),
        };
        Ok(Opened { journal: Some(journal), is_known, is_shared, warning })
    }

    /// All that is known.
    pub(in crate::runtime) fn record(&self) -> &Record {
        self.ledger.record()
    }

    /// Goes on from this record. It is written with the next facts.
    #[cfg(test)]
    pub(in crate::runtime) fn restart(&mut self, record: Record) {
        self.ledger.restart(record);
    }

    /// Whether what it says that there is, is on a device that is not mounted.
    pub(in crate::runtime) fn is_away(&self, scene: &Scene<'_>) -> bool {
        self.ledger.is_away(scene)
    }

    /// See [`Ledger::go_on`].
    pub(in crate::runtime) fn go_on(
        &mut self,
        is_known: bool,
        scene: &Scene<'_>,
        existing: Existing,
    ) -> GoingOn {
        self.ledger.go_on(is_known, scene, existing)
    }

    /// Takes facts in and writes them down. A warning when that has failed, now and then.
    pub(in crate::runtime) fn append(&mut self, facts: &[Fact]) -> Option<String> {
        let result = self.ledger.append(self.clock.now(), facts, &mut self.file);
        self.complaint(result.err())
    }

    /// Writes down what was done, with the stamps of its files: when they are to be synced, and a warning.
    pub(in crate::runtime) fn record_outcomes(
        &mut self,
        outcomes: Outcomes<'_>,
        stamp: impl Fn(FileIndex, Touch) -> Option<Stamp>,
    ) -> (Option<Due>, Option<String>) {
        let stamp = |_: &mut StateFile, file, touch| stamp(file, touch);
        let Recorded { result, due } =
            self.ledger.record_outcomes(self.clock.now(), outcomes, stamp, &mut self.file);
        (due, self.complaint(result.err()))
    }

    /// See [`Ledger::begin_round`]; and a warning.
    pub(in crate::runtime) fn begin_round(&mut self, ground: Ground<'_>) -> (Option<Round>, Option<String>) {
        match self.ledger.begin_round(self.clock.now(), ground, &mut self.file) {
            Ok(round) => (round, None),
            Err(error) => (None, self.complaint(Some(error))),
        }
    }

    /// See [`Ledger::begin_round_of`]; and a warning.
    pub(in crate::runtime) fn begin_round_of(
        &mut self,
        ground: Ground<'_>,
        file: FileIndex,
    ) -> (Round, Option<String>) {
        let (round, result) = self.ledger.begin_round_of(self.clock.now(), ground, file, &mut self.file);
        (round, self.complaint(result.err()))
    }

    /// See [`Ledger::end_round`]. A warning when that has failed.
    pub(in crate::runtime) fn end_round(&mut self, settled: &Settled) -> Option<String> {
        let result = self.ledger.end_round(self.clock.now(), settled, &mut self.file);
        self.complaint(result.err())
    }

    /// Whether the last facts are not written down.
    pub(in crate::runtime) fn is_failing(&self) -> bool {
        self.ledger.is_failing()
    }

    /// See [`Ledger::is_done`].
    pub(in crate::runtime) fn is_done(&self) -> bool {
        self.ledger.is_done()
    }

    fn complaint(&mut self, failure: Option<io::Error>) -> Option<String> {
        let error = failure?;
        self.file.give_up();
        let now = Instant::now();
        let is_due = self.complained.is_none_or(|told| now >= told + COMPLAINT);
        is_due.then(|| {
            self.complained = Some(now);
            let path = self.file.path.display();
            format!("cannot write {path}: {error}; until that works, progress is not remembered")
        })
    }
}

impl StateFile {
    fn beside(&self) -> PathBuf {
        self.path.with_extension("new")
    }

    /// After a failure all is made anew.
    fn give_up(&mut self) {
        (self.file, self.beside) = (None, None);
        folder::remove(&self.beside());
    }
}

impl JournalFile for StateFile {
    type Error = io::Error;

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.as_mut().ok_or(io::ErrorKind::NotFound)?.write_all(bytes)
    }

    fn make_beside(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.beside = Some(folder::make_file(&self.beside(), bytes)?);
        Ok(())
    }

    fn sync_beside(&mut self) -> io::Result<()> {
        self.beside.as_ref().ok_or(io::ErrorKind::NotFound)?.sync_all()
    }

    fn take_place(&mut self) -> io::Result<()> {
        folder::rename(&self.beside(), &self.path)?;
        self.file = self.beside.take();
        Ok(())
    }

    fn sync_name(&mut self) -> io::Result<()> {
        folder::sync_folder_of(&self.path)
    }
}
