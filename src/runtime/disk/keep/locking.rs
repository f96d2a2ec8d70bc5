//! The lock on the payload: those with another state folder see it too.

use std::fs::File;
use std::thread;
use std::time::Duration;

use crate::base::index::FileIndex;
use crate::engine::disk_job::{DiskError, DiskErrorKind};
use crate::runtime::disk::door::{Access, Door};
use crate::runtime::disk::names::Name;
use crate::runtime::disk::payload::Payload;
use crate::runtime::disk::storage::Storage;
use crate::runtime::state::{Busy, Lock};

/// How long whoever only reads waits for one who still writes.
const PATIENCE: Duration = Duration::from_secs(1);

/// The file that the payload's lock lies on: the first one with bytes of its own.
pub(in crate::runtime::disk) fn lock_carrier(storage: &Storage) -> Option<FileIndex> {
    let files = (0..storage.files.len() as u32).map(FileIndex);
    files.into_iter().find(|file| storage.is_on_disk(*file) && storage.length(*file) > 0)
}

impl Payload {
    pub(super) fn busy(&self, busy: Busy) -> DiskError {
        let who = busy.pid.map_or("another btget".to_owned(), |pid| format!("btget with process id {pid}"));
        DiskError {
            kind: DiskErrorKind::Busy,
            operation: "use",
            file: self.storage.target.dir.join(self.storage.top()).to_string_lossy().into_owned(),
            message: format!("{who} is working on it"),
        }
    }

    /// Locks the payload, by a file of it that is there: together with others who only read, or alone.
    pub(in crate::runtime::disk) fn lock_payload(
        &self,
        door: &Door,
        file: FileIndex,
        name: Name,
        only_reads: bool,
    ) -> Result<(), DiskError> {
        let fail = |error| self.storage.error("lock", file, name, &error);
        let locked = if only_reads {
            self.share_payload(|| self.open(door, file, name, Access::Read).map_err(fail))?
        } else {
            Lock::take_or_share(self.open(door, file, name, Access::Read).map_err(fail)?)
        };
        let (lock, is_shared) = locked.map_err(|busy| self.busy(busy))?;
        let mut kept = self.kept();
        kept.lock = Some(lock);
        kept.is_shared |= is_shared;
        Ok(())
    }

    /// Shares the payload's lock. Whoever has just made it complete holds it alone for a moment more.
    fn share_payload(
        &self,
        open: impl Fn() -> Result<File, DiskError>,
    ) -> Result<Result<(Lock, bool), Busy>, DiskError> {
        let mut waited = Duration::ZERO;
        loop {
            match Lock::share_in(open()?) {
                Err(_) if waited < PATIENCE => thread::sleep(PATIENCE / 10),
                other => return Ok(other.map(|lock| (lock, true))),
            }
            waited += PATIENCE / 10;
        }
    }

    /// Makes sure that nobody else uses the payload: an error when that is not so, or nothing may be written.
    pub(in crate::runtime::disk) fn require_ours(&self) -> Result<(), DiskError> {
        let mut kept = self.kept();
        if kept.is_shared && !self.storage.target.read_only {
            kept.is_shared = !kept.lock.as_ref().is_some_and(Lock::unshare);
        }
        if kept.is_shared { Err(self.busy(Busy { pid: None })) } else { Ok(()) }
    }
}
