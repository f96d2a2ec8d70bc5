//! Whose the files are: as `runtime/disk/unproven` has it.

use super::{KeptDisk, Name};
use crate::base::index::{FileIndex, PieceIndex};
use crate::engine::disk_job::{DiskError, Unproven, UnprovenFile};

/// How much of a shared right piece proves a file.
const PROOF: u64 = 4096;

impl KeptDisk {
    pub(super) fn prove(&mut self, right: impl Iterator<Item = PieceIndex>) {
        for piece in right {
            self.memory.proof.insert(piece);
            let mut slices = self.content.file_map().slices(self.content.layout().piece_range(piece));
            if let (Some(slice), None) = (slices.next(), slices.next()) {
                self.memory.ours.insert(slice.file);
            }
        }
    }

    pub(in crate::sim::disk) fn find_unproven(&mut self) -> std::result::Result<Unproven, DiskError> {
        let mut unproven = Unproven { files: Vec::new(), is_any_proven: !self.memory.proof.is_empty() };
        for file in self.files() {
            let name = self.name(file).map_err(|fault| self.error("look at", fault))?;
            if name != Some(Name::Final) || self.memory.ours.contains(&file) {
                continue;
            }
            let slices: Vec<_> = self.slices_of(file);
            if slices.iter().all(|(piece, _)| self.memory.proof.contains(piece)) {
                continue;
            }
            let enough = self.length(file).min(PROOF);
            let is_shared =
                slices.iter().any(|(piece, length)| self.memory.proof.contains(piece) && *length >= enough);
            if is_shared || !self.has_data(file) {
                self.memory.ours.insert(file);
                continue;
            }
            let length = self.medium.peek(file, Name::Final).map_or(0, |stamp| stamp.length);
            let path = format!("{file:?}");
            let looks_interrupted = self.memory.perhaps_ours.contains(&file);
            unproven.files.push(UnprovenFile { file, path, length, looks_interrupted });
        }
        Ok(unproven)
    }

    /// The pieces that reach into a file, and with how many bytes.
    fn slices_of(&self, file: FileIndex) -> Vec<(PieceIndex, u64)> {
        let layout = self.content.layout();
        let slices = layout.pieces().flat_map(|piece| {
            self.content.file_map().slices(layout.piece_range(piece)).map(move |slice| (piece, slice))
        });
        slices.filter(|(_, slice)| slice.file == file).map(|(piece, slice)| (piece, slice.length)).collect()
    }

    /// Whether each byte under the file's own name is zero, or the same in the one beside it.
    pub(super) fn is_contained(&self, file: FileIndex) -> bool {
        let bytes = |name| {
            let stamp = self.medium.peek(file, name)?;
            self.medium.peek_at(file, name, 0, stamp.length)
        };
        let (Some(old), Some(new)) = (bytes(Name::Final), bytes(Name::Part)) else { return false };
        old.len() <= new.len() && old.iter().zip(&new).all(|(old, new)| *old == 0 || old == new)
    }
}
