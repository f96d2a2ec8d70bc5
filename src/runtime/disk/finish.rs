//! After a file's last byte: what the system does for each step of finishing it. Their order is
//! [`engine::resume::finish`](crate::engine::resume::finish)'s.

use std::io;
use std::sync::{Arc, MutexGuard};

use super::door::{Access, Door, identity};
use super::keep::SyncPolicy;
use super::names::{Name, Names};
use super::payload::Payload;
use crate::base::index::FileIndex;
use crate::engine::disk_job::DiskError;
use crate::engine::resume::finish::{self, CompleteFile, Seen};

impl Payload {
    /// Gives a complete file its final name, length and mode.
    pub(super) fn finish_file(self: &Arc<Self>, file: FileIndex) -> Result<(), DiskError> {
        let storage = &self.storage;
        if storage.target.read_only || file.index() >= storage.files.len() || !storage.is_on_disk(file) {
            return Ok(());
        }
        let mut names = storage.names();
        let door = names.door(storage)?;
        let mut complete = Complete { payload: self, file, door, name: Name::Final, names: Some(names) };
        finish::finish(&mut complete, storage.length(file), storage.keeping.sync == SyncPolicy::End)
    }
}

struct Complete<'a> {
    payload: &'a Arc<Payload>,
    file: FileIndex,
    door: Arc<Door>,
    /// The name it was found under.
    name: Name,
    /// Held until it has its name: whoever else looks for it finds it under the one or the other.
    names: Option<MutexGuard<'a, Names>>,
}

impl Complete<'_> {
    fn fail(&self, error: &io::Error) -> DiskError {
        self.payload.storage.error("finish", self.file, self.name, error)
    }

    /// Overlooks that a complete file cannot be changed, where it is enough that it can be read.
    fn excuse(&self, error: io::Error) -> io::Result<()> {
        let is_denied =
            matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied);
        if is_denied && self.payload.storage.target.lenient { Ok(()) } else { Err(error) }
    }
}

impl CompleteFile for Complete<'_> {
    type Error = DiskError;

    fn look(&mut self) -> Result<Seen, DiskError> {
        let (payload, file) = (self.payload, self.file);
        let found = match &mut self.names {
            Some(names) => names.find_again(&payload.storage, file)?,
            None => None,
        };
        let Some((name, found)) = found else { return Err(self.fail(&changed("it has vanished"))) };
        self.name = name;
        if let Some(open) = payload.open_files.find((payload.torrent, file), true) {
            let written = rustix::fs::fstat(&open.file).map_err(|errno| self.fail(&errno.into()))?;
            if identity(&written) != found.identity {
                return Err(self.fail(&changed("another file has taken its place")));
            }
        }
        Ok(Seen { is_part: name == Name::Part, length: found.length })
    }

    fn too_short(&self) -> DiskError {
        self.fail(&changed("it has become shorter"))
    }

    fn cut(&mut self, length: u64) -> Result<(), DiskError> {
        if !self.names.as_ref().is_some_and(|names| names.is_ours(self.file)) {
            let error = io::Error::new(io::ErrorKind::AlreadyExists, "a longer file has its place");
            return Err(self.fail(&error));
        }
        let open = self.payload.open(&self.door, self.file, self.name, Access::Write);
        open.and_then(|open| open.set_len(length)).map_err(|error| self.fail(&error))
    }

    fn allow_execution(&mut self) -> Result<(), DiskError> {
        if !self.payload.storage.files[self.file.index()].executable {
            return Ok(());
        }
        let open = self.payload.open(&self.door, self.file, self.name, Access::Read);
        let open = open.map_err(|error| self.fail(&error))?;
        make_executable(&open).or_else(|error| self.excuse(error)).map_err(|error| self.fail(&error))
    }

    fn take_name(&mut self) -> Result<(), DiskError> {
        let (storage, file) = (&self.payload.storage, self.file);
        let (from, to) = (storage.path(file, Name::Part), storage.path(file, Name::Final));
        let renamed = self.door.rename(from, to).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => self.payload.take_place(&self.door, file),
            _ => Err(error),
        });
        let is_renamed = renamed.is_ok();
        renamed
            .or_else(|error| self.excuse(error))
            .map_err(|error| storage.error("rename to", file, Name::Final, &error))?;
        if let Some(names) = self.names.as_mut().filter(|_| is_renamed) {
            names.set_name(file, Some(Name::Final));
            names.mark_ours(file);
        }
        Ok(())
    }

    fn record(&mut self) {
        self.names = None;
        self.payload.record_file(self.file);
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        self.names = None;
        self.payload.sync(self.file)
    }

    fn sync_name(&mut self) -> Result<(), DiskError> {
        let storage = &self.payload.storage;
        self.door
            .sync_folder(storage.path(self.file, Name::Final))
            .map_err(|error| storage.error("sync the folder of", self.file, Name::Final, &error))
    }
}

fn changed(what: &str) -> io::Error {
    io::Error::other(format!("{what}: another program changed it"))
}

/// Lets everybody execute who may read.
pub(super) fn make_executable(file: &std::fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    let wanted = mode | (mode & 0o444) >> 2;
    if wanted == mode { Ok(()) } else { file.set_permissions(std::fs::Permissions::from_mode(wanted)) }
}
