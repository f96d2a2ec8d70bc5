//! One target's journal: read once, then grown fact by fact, and written anew when it has grown too long.
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
use crate::base::layout::Layout;
use crate::engine::resume::{Fact, Ledger, Record, Told, Write};

/// How long the state folder is left alone after a failure.
const REST: Duration = Duration::from_secs(5);
/// How often people are told that it still fails.
const COMPLAINT: Duration = Duration::from_secs(60);

/// A target's journal, locked.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    ledger: Ledger,
    /// Where facts are appended; `None` before the first, and after a failure.
    file: Option<File>,
    failed: Option<Instant>,
    complained: Option<Instant>,
    /// Held as long as this is.
    _lock: Option<Lock>,
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
        let mut journal = Journal { path, ledger, file: None, failed: None, complained: None, _lock: lock };
        let (is_known, warning) = match folder::read(&journal.path) {
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
    pub(in crate::runtime) fn restart(&mut self, record: Record) {
        self.ledger.restart(record);
    }

    /// Takes facts in and writes them down. A warning when that has failed, now and then.
    pub(in crate::runtime) fn append(&mut self, facts: &[Fact]) -> Option<String> {
        self.ledger.take(facts);
        let now = Instant::now();
        if self.failed.is_some_and(|failed| now < failed + REST) {
            return None;
        }
        let result = match (self.ledger.write(facts), &mut self.file) {
            (Write::Append(bytes), Some(file)) => file.write_all(&bytes),
            (Write::Append(_), None) => Err(io::ErrorKind::NotFound.into()),
            (Write::Anew(bytes), _) => folder::replace(&self.path, &bytes).map(|file| self.file = Some(file)),
        };
        match result {
            Ok(()) => {
                self.failed = None;
                None
            }
            Err(error) => {
                self.ledger.write_failed();
                self.file = None;
                self.failed = Some(now);
                let is_due = self.complained.is_none_or(|told| now >= told + COMPLAINT);
                is_due.then(|| {
                    self.complained = Some(now);
                    let path = self.path.display();
                    format!("cannot write {path}: {error}; until that works, progress is not remembered")
                })
            }
        }
    }

    /// Whether the last facts are not written down.
    pub(in crate::runtime) fn is_failing(&self) -> bool {
        self.failed.is_some()
    }
}
