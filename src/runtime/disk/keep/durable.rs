//! What is durable: files are synced, behind those who write them or before they count as complete, and the
//! journal says what of them a loss of power cannot take any more.

use std::io;
use std::sync::Arc;

use super::Due;
use crate::base::index::FileIndex;
use crate::engine::disk_job::{DiskError, DiskErrorKind};
use crate::engine::resume::Fact;
use crate::engine::resume::durability::Pending;
use crate::runtime::disk::door::fault::Call;
use crate::runtime::disk::storage::{Name, Payload};
use crate::runtime::state::Journal;

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
        let pending = {
            let mut kept = self.kept();
            kept.unsynced = 0;
            let Some(journal) = &kept.journal else { return };
            let is_on_disk = |file| storage.is_on_disk(file);
            Pending::of(journal.record(), &storage.layout, &storage.file_map, is_on_disk)
        };
        let Some(intent) = pending.intent() else { return };
        self.append(&[intent]);
        if self.kept().journal.as_ref().is_none_or(Journal::is_failing) {
            return;
        }
        let settled = pending.settle(|file| self.fsync(file).is_ok());
        if let Some(file) = settled.failed {
            let path = storage.target.dir.join(storage.path(file, Name::Final));
            self.warn(format!(
                "cannot sync {}: what was written to it may not be on the disk, and is checked at the next start",
                path.display()
            ));
        }
        self.append(&settled.facts);
        self.kept().close_if_done();
    }

    /// Has a file's content on the disk, and all that was written to it before.
    pub(in crate::runtime::disk) fn sync(&self, file: FileIndex) -> Result<(), DiskError> {
        if self.kept().journal.as_ref().is_some_and(|journal| journal.record().tainted.contains(&file)) {
            let error = io::Error::other(
                "an earlier attempt has failed, and only a check after a restart of the system tells what is on \
                 the disk",
            );
            return Err(self.storage.error("sync", file, Name::Final, &error));
        }
        let result = self.fsync(file);
        if result.is_err() {
            self.append(&[Fact::Tainted(file)]);
        }
        result
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
