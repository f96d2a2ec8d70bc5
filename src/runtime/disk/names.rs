//! Which name each of a torrent's files has at the moment, and whether it may be written to under it.
//!
//! A file is found under its final name, or else under its `.part` name; names are looked up, made and changed
//! under one lock, so a file is never opened between two names. Handles survive renaming. Who a file under its final
//! name belongs to is `unproven`'s to find out.

use std::sync::Arc;

use super::door::{Door, Found};
use super::error::disk_error;
use super::storage::Storage;
use crate::base::bitfield::Bitfield;
use crate::base::index::FileIndex;
use crate::engine::disk_job::DiskError;

/// What fails when a torrent's folder cannot be opened.
pub(super) const OPEN_FOLDER: &str = "open the folder";

/// What is known of the files' names.
#[derive(Debug)]
pub(super) struct Names {
    /// Right pieces that are not all zeros, as checks found them.
    pub(super) proof: Bitfield,
    door: Option<Arc<Door>>,
    files: Vec<Known>,
    /// Files that were made empty before anything is downloaded.
    pub(super) made: Vec<FileIndex>,
    /// Nothing is written any more, and folders are opened only as files are.
    is_settled: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    name: Option<Name>,
    /// Whether it has got the length, or the space, that it should have from the start.
    is_sized: bool,
    /// Whether the file under its final name may be written to.
    is_ours: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
    Part,
    Final,
}

impl Names {
    /// Nothing is known of so many files.
    pub(super) fn new(pieces: u32, files: usize) -> Names {
        let files = vec![Known::default(); files];
        Names { proof: Bitfield::empty(pieces), door: None, files, made: Vec::new(), is_settled: false }
    }

    /// The door to the torrent's folder, which is made unless the storage is only read.
    pub(super) fn door(&mut self, storage: &Storage) -> Result<Arc<Door>, DiskError> {
        if let Some(door) = &self.door {
            return Ok(door.clone());
        }
        let dir = &storage.target.dir;
        let door = Door::open(dir, !storage.target.read_only && !self.is_settled)
            .map_err(|error| disk_error(OPEN_FOLDER, dir, &error))?;
        let door = Arc::new(door);
        if !self.is_settled {
            self.door = Some(door.clone());
        }
        Ok(door)
    }

    /// The door, or `None` when a storage that is only read has no folder.
    pub(super) fn door_if_any(&mut self, storage: &Storage) -> Result<Option<Arc<Door>>, DiskError> {
        match self.door(storage) {
            Ok(door) => Ok(Some(door)),
            Err(_) if storage.target.read_only && !storage.target.dir.exists() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Under which name a file is there, and what is found.
    pub(super) fn find(
        &mut self,
        storage: &Storage,
        file: FileIndex,
    ) -> Result<Option<(Name, Found)>, DiskError> {
        let Some(door) = self.door_if_any(storage)? else { return Ok(None) };
        for name in [Name::Final, Name::Part] {
            let found = door
                .look(storage.path(file, name))
                .map_err(|error| storage.error("use", file, name, &error))?;
            if let Some(found) = found {
                self.set_name(file, Some(name));
                return Ok(Some((name, found)));
            }
        }
        self.set_name(file, None);
        Ok(None)
    }

    /// What is there under the name that the file is known by; where none is known, as [`Names::find`].
    pub(super) fn find_again(
        &mut self,
        storage: &Storage,
        file: FileIndex,
    ) -> Result<Option<(Name, Found)>, DiskError> {
        let Some(name) = self.files[file.index()].name else { return self.find(storage, file) };
        let found = self.door(storage)?.look(storage.path(file, name));
        let found = found.map_err(|error| storage.error("use", file, name, &error))?;
        Ok(found.map(|found| (name, found)))
    }

    pub(super) fn set_name(&mut self, file: FileIndex, name: Option<Name>) {
        let known = &mut self.files[file.index()];
        if known.name != name {
            *known = Known { name, is_ours: false, ..*known };
        }
    }

    /// The name that a file is known by.
    pub(super) fn name(&self, file: FileIndex) -> Option<Name> {
        self.files[file.index()].name
    }

    /// Whether a file has got the length, or the space, that it should have from the start.
    pub(super) fn is_sized(&self, file: FileIndex) -> bool {
        self.files[file.index()].is_sized
    }

    /// The file was opened to write under this name, and has its length or its space.
    pub(super) fn mark_begun(&mut self, file: FileIndex, name: Name) {
        self.files[file.index()] = Known { name: Some(name), is_sized: true, is_ours: true };
    }

    /// Whether nothing is written any more.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// The file may be written to under its final name.
    pub(super) fn mark_ours(&mut self, file: FileIndex) {
        self.files[file.index()].is_ours = true;
    }

    /// Whether the file may be written to under the name that it is known by.
    pub(super) fn is_ours(&self, file: FileIndex) -> bool {
        let known = self.files[file.index()];
        known.is_ours || known.name != Some(Name::Final)
    }

    /// Whether the file is known as ours, whatever its name.
    pub(super) fn is_marked_ours(&self, file: FileIndex) -> bool {
        self.files[file.index()].is_ours
    }

    /// Whether a file is known to have its final name.
    pub(super) fn is_final(&self, file: FileIndex) -> bool {
        self.files[file.index()].name == Some(Name::Final)
    }

    /// Nothing is written any more: lets go of the door.
    pub(super) fn settle(&mut self) {
        (self.door, self.is_settled) = (None, true);
    }

    /// Forgets the door and all names.
    pub(super) fn clear(&mut self) {
        (self.door, self.is_settled) = (None, false);
        self.proof = Bitfield::empty(self.proof.len());
        self.files.fill(Known::default());
        self.made.clear();
    }
}
