//! One torrent's files: which name each has at the moment, and handles on them.
//!
//! A file is found under its final name, or else under its `.part` name; names are looked up, made and
//! changed under one lock, so a file is never opened between two names. Handles survive renaming. A file of
//! somebody else's is never opened for writing: see `unproven`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use super::door::fault::{Call, Faults};
use super::door::{Access, Door, Found};
use super::error::disk_error;
use super::file_limit::is_too_many_files;
use super::keep::{Keeping, KeptCell, lock_carrier};
use super::medium::{Heads, Medium};
use super::open_files::{OpenFile, OpenFiles};
use super::sync_behind::SyncBehind;
use super::target::{Allocate, FileSpec, Target, part_paths};
use crate::base::bitfield::Bitfield;
use crate::base::file_map::FileMap;
use crate::base::hash::{PieceHashes, Sha1Hash};
use crate::base::index::FileIndex;
use crate::base::layout::Layout;
use crate::engine::disk_job::DiskError;
use crate::engine::order::TorrentId;

/// One torrent's files, and what they should hold.
#[derive(Debug)]
pub struct Storage {
    pub(super) target: Target,
    pub(super) files: Vec<FileSpec>,
    pub(super) file_map: Arc<FileMap>,
    pub(super) layout: Arc<Layout>,
    pub(super) hashes: PieceHashes,
    pub(super) has_pads: bool,
    /// SHA-1 of a full piece of zeros, once it is needed.
    pub(super) zeros: OnceLock<Sha1Hash>,
    pub(super) keeping: Keeping,
    pub(super) kept: KeptCell,
    pub(super) faults: Faults,
    /// What the download folder lies on, once it matters.
    medium: OnceLock<Medium>,
    /// The number behind the name at the top; 0 for none.
    pub(super) place: u32,
    part_paths: Vec<PathBuf>,
    names: Mutex<Names>,
}

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

impl Storage {
    /// The files of one torrent: `files` has an entry for each of `file_map`'s.
    ///
    /// # Panics
    /// When there are not as many.
    pub fn new(
        target: Target,
        files: Vec<FileSpec>,
        file_map: Arc<FileMap>,
        layout: Arc<Layout>,
        hashes: PieceHashes,
    ) -> Storage {
        assert_eq!(files.len(), file_map.files().len(), "one entry a file");
        let has_pads = file_map.files().iter().any(|file| file.is_pad);
        let part_paths = {
            let entries = files.iter().zip(file_map.files());
            part_paths(
                entries.map(|(file, span)| (!file.skip && !span.is_pad).then_some(file.path.as_path())),
            )
        };
        let names = Mutex::new(Names {
            proof: Bitfield::empty(layout.piece_count()),
            door: None,
            files: vec![Known::default(); files.len()],
            made: Vec::new(),
            is_settled: false,
        });
        let zeros = OnceLock::new();
        let (keeping, kept) = (Keeping::default(), KeptCell::default());
        let faults = Faults::of(&target.dir);
        Storage {
            target,
            files,
            file_map,
            layout,
            hashes,
            has_pads,
            zeros,
            keeping,
            kept,
            faults,
            medium: OnceLock::new(),
            place: 0,
            part_paths,
            names,
        }
    }

    /// The same, remembered in this way.
    pub fn keeping(self, keeping: Keeping) -> Storage {
        Storage { keeping, ..self }
    }

    /// What the torrent is called in the download folder: its file, or the folder of its files.
    pub(super) fn top(&self) -> &Path {
        let file = (0..self.files.len() as u32).map(FileIndex).find(|file| self.is_on_disk(*file));
        let first = file.and_then(|file| self.files[file.index()].path.iter().next());
        Path::new(first.unwrap_or_default())
    }

    /// Whether the entry stands for bytes in a file of its own.
    pub(super) fn is_on_disk(&self, file: FileIndex) -> bool {
        !self.files[file.index()].skip && !self.file_map.files()[file.index()].is_pad
    }

    /// The length that a file should have.
    pub(super) fn length(&self, file: FileIndex) -> u64 {
        self.file_map.files()[file.index()].length
    }

    pub(super) fn path(&self, file: FileIndex, name: Name) -> &Path {
        match name {
            Name::Part => &self.part_paths[file.index()],
            Name::Final => &self.files[file.index()].path,
        }
    }

    /// The name that a file gets when it is made.
    pub(super) fn first_name(&self, file: FileIndex) -> Name {
        if self.target.part_suffix && self.length(file) > 0 { Name::Part } else { Name::Final }
    }

    pub(super) fn error(
        &self,
        operation: &'static str,
        file: FileIndex,
        name: Name,
        error: &io::Error,
    ) -> DiskError {
        disk_error(operation, &self.target.dir.join(self.path(file, name)), error)
    }

    /// What a test has planned for this call.
    pub(super) fn before(&self, call: Call, file: FileIndex) -> io::Result<()> {
        self.faults.before(call, self.path(file, Name::Final))
    }

    pub(super) fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What fails when a torrent's folder cannot be opened.
pub(super) const OPEN_FOLDER: &str = "open the folder";

impl Names {
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
        let name = match names.files[file.index()].name {
            Some(name) => name,
            None => match names.find(&self.storage, file)? {
                Some((name, _)) => name,
                None => return Ok(None),
            },
        };
        let door = names.door(&self.storage)?;
        match self.open(&door, file, name, Access::Read) {
            Ok(opened) => {
                if names.is_settled && lock_carrier(&self.storage) == Some(file) {
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
        let known = match names.files[file.index()].name {
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
                    allocate if is_beside || !names.files[file.index()].is_sized => {
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
        names.files[file.index()] = Known { name: Some(name), is_sized: true, is_ours: true };
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

/// Gives a file that was opened for writing the first time its length, or its space.
fn size(file: &File, length: u64, allocate: Allocate) -> io::Result<()> {
    let current = file.metadata()?.len();
    match allocate {
        Allocate::None => Ok(()),
        Allocate::Sparse if current < length => file.set_len(length),
        Allocate::Sparse => Ok(()),
        Allocate::Full if length == 0 => Ok(()),
        Allocate::Full => match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(file, current, length),
            Err(errno) => Err(errno.into()),
            Ok(()) if current < length => file.set_len(length),
            Ok(()) => Ok(()),
        },
    }
}

/// Takes space the slow way, where the file system has no other.
fn write_zeros(file: &File, from: u64, to: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let zeros = [0; 64 * 1024];
    let mut at = from;
    while at < to {
        let count = (to - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..count as usize], at)?;
        at += count;
    }
    Ok(())
}

/// Where the first byte of data at or after `offset` is, as far as the file system tells holes from data;
/// `None` when there are only holes.
pub(in crate::runtime) fn next_data(file: &File, offset: u64) -> Option<u64> {
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(data) => Some(data),
        Err(Errno::NXIO) => None,
        Err(_) => Some(offset),
    }
}

/// Where the first hole at or after `offset` is; a file ends with one.
pub(super) fn next_hole(file: &File, offset: u64) -> Option<u64> {
    rustix::fs::seek(file, SeekFrom::Hole(offset)).ok()
}
