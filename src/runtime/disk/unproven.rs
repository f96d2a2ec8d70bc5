//! Files that were there before us: which of them are this torrent's, and what becomes of the others.
//!
//! Under its final name a file is only ever written to when it is *ours*: we made it, it holds nothing but
//! zeros, or a right piece reaches into it. A piece of zeros is no proof, nor is a short common beginning.
//! What is downloaded for another file goes beside it under the `.part` name; when that is complete it takes
//! the older file's place only if nothing is lost by it, because each byte there is the same or zero. All this
//! unless people want it written over.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::advance::is_right;
use super::check::sha1_of_zeros;
use super::door::{Access, Door};
use super::names::{Name, Names};
use super::payload::Payload;
use super::space::{next_data, next_hole};
use super::target::OnConflict;
use crate::base::hash::Sha1Hash;
use crate::base::index::{FileIndex, PieceIndex};
use crate::engine::disk_job::{DiskError, Unproven, UnprovenFile};

/// Bytes read in one go.
const STEP: u64 = 128 * 1024;
/// A file that shares a right piece with its neighbours is proven by this much of it, bytes: more than the
/// headers that files of one format have in common.
const PROOF: u64 = 4096;

impl Payload {
    /// Remembers what these right pieces prove.
    pub(super) fn prove(&self, right: &[PieceIndex]) {
        let storage = &self.storage;
        if storage.target.read_only {
            return;
        }
        let telling: Vec<PieceIndex> = right.iter().copied().filter(|piece| !self.is_zeros(*piece)).collect();
        let mut names = storage.names();
        for piece in telling {
            names.proof.insert(piece);
            let mut slices =
                storage.file_map.slices(storage.layout.piece_range(piece)).filter(|slice| !slice.is_pad);
            if let (Some(slice), None) = (slices.next(), slices.next()) {
                names.mark_ours(slice.file);
            }
        }
    }

    /// Whether any piece with bytes of a file is to be all zeros.
    pub(super) fn has_pieces_of_zeros(&self, file: FileIndex) -> bool {
        self.pieces_of(file).any(|piece| self.is_zeros(piece))
    }

    /// Whether a right piece is all zeros.
    fn is_zeros(&self, piece: PieceIndex) -> bool {
        let storage = &self.storage;
        let length = storage.layout.piece_len(piece);
        let zeros: Sha1Hash = if length == storage.layout.piece_length() {
            *storage.zeros.get_or_init(|| sha1_of_zeros(u64::from(length)))
        } else {
            sha1_of_zeros(u64::from(length))
        };
        is_right(storage.hashes.of(piece), zeros)
    }

    /// Files under their final names that hold data and are not known to be ours, after all checks.
    pub(super) fn find_unproven(&self) -> Result<Unproven, DiskError> {
        let storage = &self.storage;
        let mut unproven = Unproven::default();
        if storage.target.read_only {
            return Ok(unproven);
        }
        let mut names = storage.names();
        let door = names.door(storage)?;
        unproven.is_any_proven = !names.proof.is_empty();
        for file in self.files_on_disk().filter(|file| storage.length(*file) > 0) {
            if names.is_ours(file) {
                continue;
            }
            let Some((Name::Final, found)) = names.find_again(storage, file)? else { continue };
            if found.length <= storage.length(file) && self.is_whole(&names, file) {
                continue;
            }
            let fail = |error: io::Error| storage.error("read", file, Name::Final, &error);
            let open = self.open(&door, file, Name::Final, Access::Read).map_err(fail)?;
            if self.has_shared_proof(&names, file, &open).map_err(fail)?
                || !has_data(&open, 0, found.length).map_err(fail)?
            {
                names.mark_ours(file);
                continue;
            }
            if storage.target.on_conflict == OnConflict::Overwrite {
                self.take_over(&mut names, &door, file)?;
                continue;
            }
            unproven.files.push(UnprovenFile {
                file,
                path: storage.target.dir.join(storage.path(file, Name::Final)).to_string_lossy().into_owned(),
                length: found.length,
                looks_interrupted: self.is_perhaps_ours(file)
                    || !storage.target.part_suffix
                        && next_hole(&open, 0).is_some_and(|hole| hole < found.length),
            });
        }
        Ok(unproven)
    }

    /// Whether all of a file is in pieces that are proofs, so that nothing of it will be written.
    fn is_whole(&self, names: &Names, file: FileIndex) -> bool {
        self.pieces_of(file).all(|piece| names.proof.has(piece))
    }

    /// Whether enough of a file is in a right piece that it shares.
    fn has_shared_proof(&self, names: &Names, file: FileIndex, open: &File) -> io::Result<bool> {
        let storage = &self.storage;
        let enough = storage.length(file).min(PROOF);
        for piece in self.pieces_of(file).filter(|piece| names.proof.has(*piece)) {
            let slices = storage.file_map.slices(storage.layout.piece_range(piece));
            for slice in slices.filter(|slice| slice.file == file && slice.length >= enough) {
                if has_data(open, slice.offset, slice.offset + slice.length)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    pub(super) fn pieces_of(&self, file: FileIndex) -> impl Iterator<Item = PieceIndex> + use<> {
        let span = self.storage.file_map.files()[file.index()];
        let layout = &self.storage.layout;
        let last = (span.offset + span.length).checked_sub(1).filter(|last| *last >= span.offset);
        let ends = last.and_then(|last| Some((layout.piece_at(span.offset)?, layout.piece_at(last)?)));
        ends.into_iter().flat_map(|(first, last)| (first.0..=last.0).map(PieceIndex))
    }

    /// Makes somebody else's file ours. It gets the name of an incomplete one, which it is from here on.
    fn take_over(&self, names: &mut Names, door: &Door, file: FileIndex) -> Result<(), DiskError> {
        let storage = &self.storage;
        if storage.target.part_suffix {
            door.replace(storage.path(file, Name::Final), storage.path(file, Name::Part))
                .map_err(|error| storage.error("rename to", file, Name::Part, &error))?;
            names.set_name(file, Some(Name::Part));
        }
        names.mark_ours(file);
        Ok(())
    }

    /// Copies what right pieces, shared with neighbours, have in the older file to the one beside it: they are had, so
    /// nobody fetches them again, and from now on they are read there.
    pub(super) fn bring_over(
        &self,
        names: &Names,
        door: &Door,
        file: FileIndex,
        beside: &File,
    ) -> io::Result<()> {
        let storage = &self.storage;
        let mut bytes = vec![0; STEP as usize];
        for piece in self.pieces_of(file).filter(|piece| names.proof.has(*piece)) {
            let slices = storage.file_map.slices(storage.layout.piece_range(piece));
            for slice in slices.filter(|slice| slice.file == file) {
                let old = self.open(door, file, Name::Final, Access::Read)?;
                let (mut at, end) = (slice.offset, slice.offset + slice.length);
                while at < end {
                    let part = &mut bytes[..(end - at).min(STEP) as usize];
                    old.read_exact_at(part, at)?;
                    beside.write_all_at(part, at)?;
                    at += part.len() as u64;
                }
            }
        }
        Ok(())
    }

    /// Gives a complete file that has another one in its final place that place, if nothing is lost by it.
    pub(super) fn take_place(&self, door: &Door, file: FileIndex) -> io::Result<()> {
        let (part, place) = (self.storage.path(file, Name::Part), self.storage.path(file, Name::Final));
        let old = self.open(door, file, Name::Final, Access::Read)?;
        let new = self.open(door, file, Name::Part, Access::Read)?;
        if old.metadata()?.len() <= self.storage.length(file) && is_contained(&old, &new)? {
            return door.replace(part, place);
        }
        let name = part.file_name().unwrap_or_default().to_string_lossy();
        let message = format!("a file with other data has its place; what was downloaded is in {name}");
        Err(io::Error::new(io::ErrorKind::AlreadyExists, message))
    }
}

/// Whether there is anything but zeros in a stretch of a file.
fn has_data(file: &File, start: u64, end: u64) -> io::Result<bool> {
    let mut bytes = vec![0; STEP.min(end - start) as usize];
    let mut at = start;
    while let Some(data) = next_data(file, at).filter(|data| *data < end) {
        let wanted = (end - data).min(STEP) as usize;
        let count = file.read_at(&mut bytes[..wanted], data)?;
        if count == 0 {
            break;
        }
        if bytes[..count].iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
        at = data + count as u64;
    }
    Ok(false)
}

/// Whether each byte of `old` is zero, or the same in `new`.
fn is_contained(old: &File, new: &File) -> io::Result<bool> {
    let (mut olds, mut news) = (vec![0; STEP as usize], vec![0; STEP as usize]);
    let mut at = 0;
    while let Some(data) = next_data(old, at) {
        let count = old.read_at(&mut olds, data)?;
        if count == 0 {
            break;
        }
        new.read_exact_at(&mut news[..count], data)?;
        if olds[..count].iter().zip(&news).any(|(old, new)| *old != 0 && old != new) {
            return Ok(false);
        }
        at = data + count as u64;
    }
    Ok(true)
}
