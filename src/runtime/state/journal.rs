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

use super::fact::Fact;
use super::folder;
use super::frame::{self, Content};
use super::lock::{Busy, Lock};
use super::record::Record;
use crate::base::digest;
use crate::base::hash::InfoHashes;
use crate::base::layout::Layout;

/// Bytes of facts before the journal is written anew, beyond four times its base.
const GROWTH: u64 = 4 * 1024 * 1024;
/// How long the state folder is left alone after a failure.
const REST: Duration = Duration::from_secs(5);
/// How often people are told that it still fails.
const COMPLAINT: Duration = Duration::from_secs(60);

/// A target's journal, locked.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    identity: [u8; 20],
    layout: Arc<Layout>,
    files: u32,
    record: Record,
    /// Where facts are appended; `None` before the first, and after a failure.
    file: Option<File>,
    base: u64,
    length: u64,
    failed: Option<Instant>,
    complained: Option<Instant>,
    lock: Lock,
}

/// A journal that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The journal; `None` when there can be none.
    pub journal: Option<Journal>,
    /// Whether an earlier run left something in it.
    pub is_known: bool,
    /// Whether others, who only read, have it too: nothing may be written then.
    pub is_shared: bool,
    /// What people should know.
    pub warning: Option<String>,
}

impl Journal {
    /// Opens the journal of the torrent `hashes` at the place `target` (any bytes that name it), in `folder`.
    pub fn open(
        folder: &Path,
        hashes: &InfoHashes,
        target: &[u8],
        layout: Arc<Layout>,
        files: u32,
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
        let (mut lock, is_shared) = Lock::take_or_share(lock_file)?;
        if !is_shared {
            lock.sign();
        }
        let identity = digest::sha1(&[&hash.0[..], target].concat()).0;
        let mut journal = Journal {
            path,
            identity,
            record: Record::empty(layout.piece_count()),
            layout,
            files,
            file: None,
            base: 0,
            length: 0,
            failed: None,
            complained: None,
            lock,
        };
        let content = match folder::read(&journal.path) {
            Ok(None) => {
                return Ok(Opened { journal: Some(journal), is_known: false, is_shared, warning: None });
            }
            Ok(Some(bytes)) => frame::read(&bytes),
            Err(error) => {
                let warning = format!("cannot read {shown}: {error}; what is there is checked");
                return Ok(Opened {
                    journal: Some(journal),
                    is_known: false,
                    is_shared,
                    warning: Some(warning),
                });
            }
        };
        let is_whole = match content {
            Content::Later => {
                let error = io::Error::other("a later version of btget wrote it, and it is left alone");
                return Ok(without("use", error));
            }
            Content::Foreign => None,
            Content::Frames(frames, is_torn) => journal.take_frames(&frames).map(|all| all && !is_torn),
        };
        let warning = match is_whole {
            Some(true) => None,
            Some(false) => {
                Some(format!("{shown} is damaged or was cut short; what it says before that counts"))
            }
            None => Some(format!("{shown} is damaged or not this torrent's; what is there is checked")),
        };
        Ok(Opened { journal: Some(journal), is_known: is_whole.is_some(), is_shared, warning })
    }

    /// All that is known.
    pub(in crate::runtime) fn record(&self) -> &Record {
        &self.record
    }

    /// Goes on from this record. It is written with the next facts.
    pub(in crate::runtime) fn restart(&mut self, record: Record) {
        self.record = record;
        self.file = None;
    }

    /// Takes facts in and writes them down. A warning when that has failed, now and then.
    pub(in crate::runtime) fn append(&mut self, facts: &[Fact]) -> Option<String> {
        for fact in facts {
            // Facts of our own are about this torrent.
            let _ = self.record.apply(fact, &self.layout, self.files);
        }
        let now = Instant::now();
        if self.failed.is_some_and(|failed| now < failed + REST) {
            return None;
        }
        let is_long = self.length > 4 * self.base + GROWTH;
        let result = match &mut self.file {
            Some(file) if !is_long => {
                let bytes = frame::frame(facts);
                self.length += bytes.len() as u64;
                file.write_all(&bytes)
            }
            _ => self.write_anew(),
        };
        match result {
            Ok(()) => {
                self.failed = None;
                None
            }
            Err(error) => {
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

    /// From here on, others may use the target too, as long as they only read.
    pub(in crate::runtime) fn share(&self) {
        self.lock.share();
    }

    /// Takes in what was read; `None` when it is not about this target, else whether all of it could be true.
    fn take_frames(&mut self, frames: &[Vec<Fact>]) -> Option<bool> {
        let (first, rest) = frames.split_first()?;
        let (Fact::Begin { identity, boot, device }, base) = first.split_first()? else { return None };
        if *identity != self.identity {
            return None;
        }
        let mut record = Record::empty(self.layout.piece_count());
        (record.boot, record.device) = (boot.clone(), *device);
        let is_whole = base
            .iter()
            .chain(rest.iter().flatten())
            .all(|fact| record.apply(fact, &self.layout, self.files).is_ok());
        self.record = record;
        Some(is_whole)
    }

    fn write_anew(&mut self) -> io::Result<()> {
        let mut bytes = frame::head();
        bytes.extend(frame::frame(&self.record.facts(self.identity)));
        self.file = Some(folder::replace(&self.path, &bytes)?);
        self.base = bytes.len() as u64;
        self.length = self.base;
        Ok(())
    }
}
