//! What a torrent's files are and should hold: plain data, and the places where what changes is kept.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::door::fault::{Call, Faults};
use super::error::disk_error;
use super::keep::{Keeping, KeptCell};
use super::medium::Medium;
use super::names::{Name, Names};
use super::target::{FileSpec, Target, part_paths};
use crate::base::file_map::FileMap;
use crate::base::hash::{PieceHashes, Sha1Hash};
use crate::base::index::FileIndex;
use crate::base::layout::Layout;
use crate::engine::disk_job::DiskError;

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
    pub(super) medium: OnceLock<Medium>,
    /// The number behind the name at the top; 0 for none.
    pub(super) place: u32,
    part_paths: Vec<PathBuf>,
    names: Mutex<Names>,
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
        let names = Mutex::new(Names::new(layout.piece_count(), files.len()));
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
