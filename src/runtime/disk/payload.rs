//! One torrent's files in use: handles to read from and to write to.
//!
//! A file is made when its first byte comes, and gets its length or its space then. One of somebody else's is never
//! opened for writing: what belongs into it goes beside it (`unproven`).

use std::fs::File;
use std::io;
use std::sync::{Arc, MutexGuard};

use super::door::{Access, Door};
use super::file_limit::is_too_many_files;
use super::keep::lock_carrier;
use super::medium::{Heads, Medium};
use super::names::Name;
use super::open_files::{OpenFile, OpenFiles};
use super::space::size;
use super::storage::Storage;
use super::sync_behind::SyncBehind;
use super::target::Allocate;
use crate::base::index::FileIndex;
use crate::engine::disk_job::DiskError;
use crate::engine::order::TorrentId;

/// A storage in use, with the handles that all torrents share.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) torrent: TorrentId,
    pub(super) storage: Storage,
    pub(super) open_files: Arc<OpenFiles>,
    pub(super) sync_behind: SyncBehind,
    /// Of all torrents: they may well share a disk.
    pub(super) heads: Arc<Heads>,
}

impl Payload {
    /// To be held while much is read.
    pub(super) fn reading(&self) -> Option<MutexGuard<'_, ()>> {
        use std::os::unix::fs::MetadataExt as _;
        let dir = &self.storage.target.dir;
        let medium = self
            .storage
            .medium
            .get_or_init(|| dir.metadata().map_or(Medium::Flash, |metadata| Medium::of(dir, metadata.dev())));
        self.heads.reading(*medium == Medium::Rotating)
    }

    /// A handle to read from; `None` when there is no such file.
    pub(super) fn readable(&self, file: FileIndex) -> Result<Option<Arc<OpenFile>>, DiskError> {
        let key = (self.torrent, file);
        if let Some(open) = self.open_files.find(key, false) {
            return Ok(Some(open));
        }
        let mut names = self.storage.names();
        let name = match names.name(file) {
            Some(name) => name,
            None => match names.find(&self.storage, file)? {
                Some((name, _)) => name,
                None => return Ok(None),
            },
        };
        let door = names.door(&self.storage)?;
        match self.open(&door, file, name, Access::Read) {
            Ok(opened) => {
                if names.is_settled() && lock_carrier(&self.storage) == Some(file) {
                    // Whoever holds it alone by now is none of ours.
                    let _ = opened.try_lock_shared();
                }
                Ok(Some(self.open_files.insert(key, OpenFile::new(opened, false))))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                names.set_name(file, None);
                Ok(None)
            }
            Err(error) => Err(self.storage.error("read", file, name, &error)),
        }
    }

    /// A handle to write to; the file is made if it is missing.
    pub(super) fn writable(&self, file: FileIndex) -> Result<Arc<OpenFile>, DiskError> {
        let key = (self.torrent, file);
        if let Some(open) = self.open_files.find(key, true) {
            return Ok(open);
        }
        self.require_ours()?;
        let mut names = self.storage.names();
        let door = names.door(&self.storage)?;
        let known = match names.name(file) {
            Some(name) => Some(name),
            None => names.find(&self.storage, file)?.map(|(name, _)| name),
        };
        let is_beside = known == Some(Name::Final) && !names.is_ours(file);
        let (name, access) = match known {
            Some(_) if is_beside => self.beside(&door, file)?,
            Some(name) => (name, Access::Write),
            None => (self.storage.first_name(file), Access::Create),
        };
        let opened = self
            .open(&door, file, name, access)
            .and_then(|opened| {
                let length = self.storage.length(file);
                match self.storage.target.allocate {
                    // The old file may have right pieces of zeros, which are not written again.
                    Allocate::None if is_beside => size(&opened, length, Allocate::Sparse)?,
                    allocate if is_beside || !names.is_sized(file) => {
                        size(&opened, length, allocate)?;
                    }
                    _ => {}
                }
                if is_beside {
                    self.bring_over(&names, &door, file, &opened)?;
                }
                Ok(opened)
            })
            .map_err(|error| self.storage.error("write", file, name, &error))?;
        names.mark_begun(file, name);
        Ok(self.open_files.insert(key, OpenFile::new(opened, true)))
    }

    /// Where to write what belongs into a file whose place somebody else's has.
    fn beside(&self, door: &Door, file: FileIndex) -> Result<(Name, Access), DiskError> {
        let found = door.look(self.storage.path(file, Name::Part));
        let found = found.map_err(|error| self.storage.error("use", file, Name::Part, &error))?;
        Ok((Name::Part, if found.is_some() { Access::Write } else { Access::Create }))
    }

    pub(super) fn open(&self, door: &Door, file: FileIndex, name: Name, access: Access) -> io::Result<File> {
        let path = self.storage.path(file, name);
        self.open_files.make_room();
        match door.open_file(path, access) {
            Err(error) if is_too_many_files(&error) => {
                self.open_files.close_all();
                door.open_file(path, access)
            }
            other => other,
        }
    }
}
