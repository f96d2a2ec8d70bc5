//! Before the first byte: what is there already, whether the rest fits, folders and empty files.

use std::io;
use std::sync::Arc;

use super::door::{Access, Door, Found};
use super::error::disk_error;
use super::finish::make_executable;
use super::keep::lock_carrier;
use super::names::{Name, Names};
use super::payload::Payload;
use super::space::{next_data, next_hole};
use super::target::OnConflict;
use crate::base::index::FileIndex;
use crate::base::size::size;
use crate::engine::disk_job::{DiskError, DiskErrorKind, Existing};

impl Payload {
    /// Looks what is there, makes sure that the rest fits, then makes folders and empty files. When it
    /// fails, nothing but the download folder itself was made.
    pub(super) fn prepare(&self) -> Result<Existing, DiskError> {
        let storage = &self.storage;
        let mut names = storage.names();
        let Some(door) = names.door_if_any(storage)? else { return Ok(Existing::Nothing) };
        self.let_go();
        // Whoever has nothing to write need not wait for others of that kind.
        let only_reads = storage.target.read_only || self.looks_complete(&mut names, &door)?;
        let opened = self.open_journal(only_reads)?;
        let carrier = lock_carrier(storage);
        let mut seen = vec![None; storage.files.len()];
        let mut existing = Existing::Nothing;
        let mut missing = 0u64;
        let mut absent = Vec::new();
        let mut with_data = Vec::new();
        for file in self.files_on_disk() {
            let length = storage.length(file);
            let Some((name, found)) = names.find(storage, file)? else {
                missing = missing.saturating_add(length);
                absent.push(file);
                continue;
            };
            if carrier == Some(file) {
                self.lock_payload(&door, file, name, only_reads)?;
            }
            if length == 0 {
                self.require_empty(&door, file, name, found)?;
                continue;
            }
            seen[file.index()] = Some(found);
            let is_plain = found.allocated >= length && found.length >= length;
            if is_plain && existing == Existing::Something {
                with_data.push((file, name));
                continue;
            }
            let held = self.held(&door, file, name, found)?;
            missing = missing.saturating_add(length.saturating_sub(held.space));
            if held.space < length && !storage.target.read_only {
                door.require_writable_file(storage.path(file, name))
                    .map_err(|error| storage.error("write to", file, name, &error))?;
            }
            if held.has_data {
                with_data.push((file, name));
                existing = Existing::Something;
            } else {
                names.mark_ours(file);
                if found.length >= length && self.has_pieces_of_zeros(file) {
                    // All hole, and right.
                    existing = Existing::Something;
                }
            }
        }
        let existing = self.resume(&mut names, &seen, opened, existing)?;
        if storage.target.read_only {
            return Ok(existing);
        }
        if storage.target.on_conflict == OnConflict::Fail {
            self.require_claimed(&names, &with_data, &existing)?;
        }
        if missing > 0 {
            let dir = &storage.target.dir;
            door.require_writable().map_err(|error| disk_error("write to", dir, &error))?;
            self.require_space(&door, missing)?;
            self.require_length(&door)?;
        }
        self.create(&mut names, &door, &absent)?;
        Ok(existing)
    }

    /// Whether every file has its name, its length and all its space, so that most likely nothing is missing.
    fn looks_complete(&self, names: &mut Names, door: &Arc<Door>) -> Result<bool, DiskError> {
        for file in self.files_on_disk() {
            let length = self.storage.length(file);
            let Some((Name::Final, found)) = names.find(&self.storage, file)? else { return Ok(false) };
            let is_whole = found.length == length
                && (found.allocated >= length || self.held(door, file, Name::Final, found)?.space >= length);
            if !is_whole {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the empty files that were made here, for a download that does not begin.
    pub(super) fn take_back(&self) {
        let storage = &self.storage;
        let mut names = storage.names();
        let made = std::mem::take(&mut names.made);
        let Ok(door) = names.door(storage) else { return };
        for file in made {
            // An empty file that stays does no harm.
            let _ = door.remove_empty(storage.path(file, storage.first_name(file)));
        }
    }

    /// Drops handles and what is known of names.
    pub(super) fn close(&self) {
        self.open_files.close_torrent(self.torrent);
        self.let_go();
        self.storage.names().clear();
    }

    pub(super) fn files_on_disk(&self) -> impl Iterator<Item = FileIndex> {
        (0..self.storage.files.len() as u32).map(FileIndex).filter(|file| self.storage.is_on_disk(*file))
    }

    fn held(&self, door: &Arc<Door>, file: FileIndex, name: Name, found: Found) -> Result<Held, DiskError> {
        let present = found.length.min(self.storage.length(file));
        if present == 0 {
            return Ok(Held { space: found.allocated, has_data: false });
        }
        let open = self
            .open(door, file, name, Access::Read)
            .map_err(|error| self.storage.error("read", file, name, &error))?;
        let has_data = next_data(&open, 0).is_some();
        // Small and compressed files take up less than their length without having holes.
        let is_solid = found.allocated >= present || next_hole(&open, 0).is_some_and(|hole| hole >= present);
        let space = if is_solid { found.allocated.max(present) } else { found.allocated };
        Ok(Held { space, has_data })
    }

    /// Of a file that is to be empty: cuts somebody else's data off if people want that, and else refuses it.
    fn require_empty(&self, door: &Door, file: FileIndex, name: Name, found: Found) -> Result<(), DiskError> {
        let target = &self.storage.target;
        if found.length == 0 || target.read_only {
            return Ok(());
        }
        if target.on_conflict == OnConflict::Overwrite {
            let cut = self.open(door, file, name, Access::Write).and_then(|open| open.set_len(0));
            return cut.map_err(|error| self.storage.error("cut", file, name, &error));
        }
        let error = io::Error::new(io::ErrorKind::AlreadyExists, "a file with data has its place");
        Err(self.storage.error("create", file, name, &error))
    }

    /// Refuses files with data that we have not written, as far as the state tells.
    fn require_claimed(
        &self,
        names: &Names,
        with_data: &[(FileIndex, Name)],
        existing: &Existing,
    ) -> Result<(), DiskError> {
        let is_claimed = |(file, name): &(FileIndex, Name)| {
            let Existing::Known(known) = existing else {
                // A name alone is no claim.
                return *name == Name::Final && names.is_marked_ours(*file);
            };
            names.is_marked_ours(*file) || self.pieces_of(*file).any(|piece| known.have.has(piece))
        };
        let Some((file, name)) = with_data.iter().find(|found| !is_claimed(found)) else { return Ok(()) };
        let error = io::Error::new(io::ErrorKind::AlreadyExists, "a file with data has its place");
        Err(self.storage.error("download to", *file, *name, &error))
    }

    fn require_space(&self, door: &Door, missing: u64) -> Result<(), DiskError> {
        let target = &self.storage.target;
        let free = door.free_space().map_err(|error| disk_error("measure", &target.dir, &error))?;
        // Where that is unknown, it shows on the way.
        let Some(free) = free.filter(|free| missing.saturating_add(target.reserve) > *free) else {
            return Ok(());
        };
        Err(DiskError {
            kind: DiskErrorKind::Full { free: Some(free) },
            operation: "download to",
            file: target.dir.to_string_lossy().into_owned(),
            message: match target.reserve {
                0 => format!("{} are needed, and {} are free", size(missing), size(free)),
                reserve => format!(
                    "{} are needed and {} are to be left free (--reserve), but only {} are free",
                    size(missing),
                    size(reserve),
                    size(free)
                ),
            },
        })
    }

    /// Refuses a file that the file system is known to have no room for in its numbers.
    fn require_length(&self, door: &Door) -> Result<(), DiskError> {
        let storage = &self.storage;
        let Some(longest) = self.files_on_disk().max_by_key(|file| storage.length(*file)) else {
            return Ok(());
        };
        if door.longest_file().is_some_and(|limit| storage.length(longest) > limit) {
            let error = io::ErrorKind::FileTooLarge.into();
            return Err(storage.error("create", longest, Name::Final, &error));
        }
        Ok(())
    }

    fn create(&self, names: &mut Names, door: &Door, absent: &[FileIndex]) -> Result<(), DiskError> {
        let storage = &self.storage;
        let mut folder = None;
        for &file in absent {
            let name = storage.first_name(file);
            let path = storage.path(file, name);
            let fail = |error: io::Error| storage.error("create", file, name, &error);
            if storage.length(file) > 0 {
                if folder != path.parent() {
                    door.make_folders(path).and_then(|()| door.require_writable_above(path)).map_err(fail)?;
                    folder = path.parent();
                }
                if lock_carrier(storage) == Some(file) {
                    // Made before its first byte comes, to be locked.
                    match self.open(door, file, name, Access::Create) {
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                            return Err(fail(error));
                        }
                        made => {
                            if made.is_ok() {
                                names.made.push(file);
                            }
                            self.lock_payload(door, file, name, false)?;
                        }
                    }
                    names.set_name(file, Some(name));
                    names.mark_ours(file);
                }
                continue;
            }
            let created = door.open_file(path, Access::Create).map_err(fail)?;
            names.made.push(file);
            if storage.files[file.index()].executable {
                make_executable(&created).map_err(fail)?;
            }
            names.set_name(file, Some(name));
            names.mark_ours(file);
        }
        Ok(())
    }
}

/// What a file has already.
struct Held {
    /// Bytes that need no more space.
    space: u64,
    /// Whether anything but holes is in it.
    has_data: bool,
}
