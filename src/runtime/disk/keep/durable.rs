//! What is durable: files are synced, behind those who write them or before they count as complete, and the
//! journal says what of them a loss of power cannot take any more.

use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::base::index::FileIndex;
use crate::engine::disk_job::{DiskError, DiskErrorKind};
use crate::engine::resume::durability::{Ground, Settled};
use crate::engine::resume::outcomes::Due;
use crate::runtime::disk::door::fault::Call;
use crate::runtime::disk::names::Name;
use crate::runtime::disk::payload::Payload;

impl Payload {
    /// What an earlier run wrote, and did not sync, is synced too.
    pub(in crate::runtime::disk) fn sync_soon(self: &Arc<Self>) {
        if self.kept().journal.is_some() {
            self.sync_behind.wish(self, Due::Soon);
        }
    }

    /// Syncs the files of the pieces that are written and not known to be durable, and marks them. Where that
    /// fails nobody knows what of them is on the disk, and the next run is to look.
    pub(in crate::runtime::disk) fn sync_behind(&self) {
        let storage = &self.storage;
        let _alone = self.round();
        let begun = self.on_ground(|ground| Some(self.kept().journal.as_mut()?.begin_round(ground)));
        let Some((round, warning)) = begun else { return };
        warning.into_iter().for_each(|warning| self.warn(warning));
        let Some(round) = round else { return };
        let settled = round.sync(|file| self.fsync(file).is_ok());
        if let Some(file) = settled.failed {
            let path = storage.target.dir.join(storage.path(file, Name::Final));
            self.warn(format!(
                "cannot sync {}: what was written to it may not be on the disk, and is checked at the next start",
                path.display()
            ));
        }
        self.end_round(&settled);
    }

    /// Has a file's content on the disk, and all that was written to it before.
    pub(in crate::runtime::disk) fn sync(&self, file: FileIndex) -> Result<(), DiskError> {
        let _alone = self.round();
        let mut kept = self.kept();
        let Some(journal) = &mut kept.journal else {
            drop(kept);
            return self.fsync(file);
        };
        if journal.record().tainted.contains(&file) {
            let error = io::Error::other(
                "an earlier attempt has failed, and only a check after a restart of the system tells what is on \
                 the disk",
            );
            return Err(self.storage.error("sync", file, Name::Final, &error));
        }
        let (round, warning) = self.on_ground(|ground| journal.begin_round_of(ground, file));
        drop(kept);
        warning.into_iter().for_each(|warning| self.warn(warning));
        let mut result = Ok(());
        let settled = round.sync(|file| {
            result = self.fsync(file);
            result.is_ok()
        });
        self.end_round(&settled);
        result
    }

    fn on_ground<T>(&self, act: impl FnOnce(Ground<'_>) -> T) -> T {
        let storage = &self.storage;
        let is_on_disk = |file| storage.is_on_disk(file);
        let (layout, file_map) = (&storage.layout, &storage.file_map);
        act(Ground { layout, file_map, is_on_disk: &is_on_disk })
    }

    fn end_round(&self, settled: &Settled) {
        let mut kept = self.kept();
        let warning = kept.journal.as_mut().and_then(|journal| journal.end_round(settled));
        kept.close_if_done();
        drop(kept);
        warning.into_iter().for_each(|warning| self.warn(warning));
    }

    fn round(&self) -> MutexGuard<'_, ()> {
        self.storage.kept.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fsync(&self, file: FileIndex) -> Result<(), DiskError> {
        let Some(open) = self.readable(file)? else { return Ok(()) };
        // Not only the data: its time of change has to be the journal's after a loss of power.
        let planned = self.storage.before(Call::Sync, file);
        planned.and_then(|()| Ok(rustix::fs::fsync(&open.file)?)).map_err(|error| {
            let error = self.storage.error("sync", file, Name::Final, &error);
            // Whatever it is for want of: to try again would tell nothing.
            DiskError { kind: DiskErrorKind::Other, ..error }
        })
    }
}
