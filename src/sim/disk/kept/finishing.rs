//! What the medium does for each step of finishing a file. Their order is `engine/resume/finish`'s.

use super::{Fault, KeptDisk, Name};
use crate::base::index::FileIndex;
use crate::base::time::Instant;
use crate::engine::disk_job::{DiskError, DiskErrorKind};
use crate::engine::resume::Outcomes;
use crate::engine::resume::finish::{self, CompleteFile, Seen};

impl KeptDisk {
    pub(in crate::sim::disk) fn finish_file(
        &mut self,
        now: Instant,
        file: FileIndex,
    ) -> std::result::Result<(), DiskError> {
        let (length, is_synced) = (self.length(file), self.syncs_at_end);
        finish::finish(&mut Complete { disk: self, now, file, name: Name::Final }, length, is_synced)
    }
}

struct Complete<'a> {
    disk: &'a mut KeptDisk,
    now: Instant,
    file: FileIndex,
    /// The name it was found under.
    name: Name,
}

impl Complete<'_> {
    fn done<T>(&self, result: Result<T, Fault>) -> Result<T, DiskError> {
        result.map_err(|fault| self.disk.error("finish", fault))
    }
}

impl CompleteFile for Complete<'_> {
    type Error = DiskError;

    fn look(&mut self) -> Result<Seen, DiskError> {
        let name = self.disk.name(self.file).and_then(|name| name.ok_or(Fault));
        self.name = self.done(name)?;
        let stamp = self.disk.medium.look(self.file, self.name).and_then(|stamp| stamp.ok_or(Fault));
        Ok(Seen { is_part: self.name == Name::Part, length: self.done(stamp)?.length })
    }

    fn too_short(&self) -> DiskError {
        self.disk.error("finish", Fault)
    }

    fn cut(&mut self, length: u64) -> Result<(), DiskError> {
        let is_ours = self.name == Name::Part || self.disk.memory.ours.contains(&self.file);
        let cut =
            if is_ours { self.disk.medium.set_length(self.file, self.name, length) } else { Err(Fault) };
        self.done(cut)
    }

    fn allow_execution(&mut self) -> Result<(), DiskError> {
        Ok(())
    }

    fn take_name(&mut self) -> Result<(), DiskError> {
        let found = self.disk.medium.look(self.file, Name::Final);
        if self.done(found)?.is_some() && !self.disk.is_contained(self.file) {
            return Err(DiskError { kind: DiskErrorKind::Exists, ..self.disk.error("rename", Fault) });
        }
        let renamed = self.disk.medium.rename(self.file);
        self.done(renamed)?;
        self.disk.memory.names.insert(self.file, Name::Final);
        self.disk.memory.ours.insert(self.file);
        Ok(())
    }

    fn record(&mut self) {
        let content = self.disk.content.clone();
        let mut outcomes = Outcomes::new(content.layout(), content.file_map());
        outcomes.on_change(self.file);
        self.disk.record(self.now, outcomes);
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        let synced = self.disk.sync_now(self.now, self.file);
        self.done(synced)
    }

    fn sync_name(&mut self) -> Result<(), DiskError> {
        let synced = self.disk.medium.sync_name(self.file);
        self.done(synced)
    }
}
