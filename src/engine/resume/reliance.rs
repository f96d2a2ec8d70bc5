//! What may be relied on after a start: the record held against the files as they are found.
//!
//! A file whose stamp is not the record's was written to by somebody, or by us without a record of it: all its
//! pieces are unsure. In another run of the system pieces that are not durable are unsure too, and so are, in any,
//! those of a file of which a sync has failed: the system may show them while it still has them in memory. Blocks count
//! all the same where their file reaches so far: the piece's hash decides. What a missing file held is missing.

use super::fact::{Stamp, Whose};
use super::record::Record;
use crate::base::bitfield::Bitfield;
use crate::base::file_map::FileMap;
use crate::base::index::{BlockAddress, FileIndex, PieceIndex};
use crate::base::layout::{BLOCK_LENGTH, Layout};
use crate::engine::disk_job::Resume;

/// A target's files at a start.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// How the torrent is cut into pieces.
    pub layout: &'a Layout,
    /// How its bytes fall into files.
    pub file_map: &'a FileMap,
    /// The files, those with bytes of their own and on disk, as they are found.
    pub found: &'a [Look],
    /// The system's present run; `None` where that is not known.
    pub boot: Option<&'a str>,
    /// The device that the download folder is on.
    pub device: u64,
}

/// How a file is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// It is a pad file, or nobody wants it: nothing of it is on disk.
    Unwanted,
    /// It is not there.
    Absent,
    /// It is there; whether under a name that only we give.
    Present(Stamp, bool),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Same,
    Changed,
    Absent,
}

impl Scene<'_> {
    /// What may be relied on of `record`.
    pub fn reliable(&self, record: &Record) -> Resume {
        let is_same_boot = self.is_same_boot(record);
        let states: Vec<State> = (0..)
            .map(FileIndex)
            .zip(self.found)
            .map(|(file, look)| match look {
                Look::Unwanted => State::Same,
                Look::Absent => State::Absent,
                Look::Present(stamp, _) if record.is_known(file, stamp) => State::Same,
                Look::Present(..) => State::Changed,
            })
            .collect();
        let none = Bitfield::empty(self.layout.piece_count());
        let (written, traffic) = (Vec::new(), record.traffic);
        let mut resume = Resume { have: none.clone(), unsure: none, written, traffic };
        for piece in self.layout.pieces() {
            let (mut is_absent, mut is_changed, mut is_doubtful) = (false, false, !is_same_boot);
            for slice in self.file_map.slices(self.layout.piece_range(piece)) {
                is_absent |= states[slice.file.index()] == State::Absent;
                is_changed |= states[slice.file.index()] == State::Changed;
                is_doubtful |= record.tainted.contains(&slice.file);
            }
            let has = record.have.has(piece);
            if is_absent {
                continue;
            }
            if is_changed || record.unsure.has(piece) || has && is_doubtful && !record.durable.has(piece) {
                resume.unsure.insert(piece);
            } else if has {
                resume.have.insert(piece);
            }
        }
        for (piece, written) in &record.written {
            let blocks = (0..).zip(written);
            let written: Vec<bool> =
                blocks.map(|(block, is_written)| *is_written && self.is_there(*piece, block)).collect();
            if written.contains(&true) && !resume.have.has(*piece) {
                resume.written.push((*piece, written));
            }
        }
        resume
    }

    /// The record to go on with, where `resume` is what is relied on; `old` is what an earlier run left, if
    /// any did.
    pub fn going_on(&self, resume: &Resume, old: Option<&Record>) -> Record {
        let mut record = Record::empty(self.layout.piece_count());
        record.boot = self.boot.unwrap_or_default().to_owned();
        record.device = self.device;
        (record.have, record.unsure) = (resume.have.clone(), resume.unsure.clone());
        record.written = resume.written.iter().cloned().collect();
        if let Some(old) = old {
            // Of what is gone nothing counts: who fetches it again begins anew.
            if self.found.iter().any(|look| matches!(look, Look::Present(..))) {
                record.traffic = old.traffic;
            }
            for piece in resume.have.iter().filter(|piece| old.durable.has(*piece)) {
                record.durable.insert(piece);
            }
            // After another start the system shows what is on the disk, and a check sees it.
            if self.is_same_boot(old) {
                record.tainted = old.tainted.union(&old.syncing).copied().collect();
            }
        }
        for (file, look) in (0..).map(FileIndex).zip(self.found) {
            if let Look::Present(stamp, is_named_ours) = look {
                let whose = match old {
                    _ if *is_named_ours => Whose::Ours,
                    Some(old) => self.whose(file, stamp, old),
                    None => Whose::Unknown,
                };
                record.files.insert(file, (*stamp, whose));
            }
        }
        record
    }

    /// Whose a file under its final name is. One that was not there, or was another, when a record was synced
    /// last may have been made and finished by us, before a loss of power made us forget it.
    fn whose(&self, file: FileIndex, stamp: &Stamp, old: &Record) -> Whose {
        let is_new = old.files.get(&file).is_none_or(|(known, _)| known.inode != stamp.inode);
        if is_new && !self.is_same_boot(old) {
            return Whose::PerhapsOurs;
        }
        old.whose(file, stamp)
    }

    fn is_same_boot(&self, record: &Record) -> bool {
        self.boot.is_some_and(|boot| boot == record.boot)
    }

    /// Whether the files reach as far as a block.
    fn is_there(&self, piece: PieceIndex, block: u32) -> bool {
        let start = self.layout.piece_range(piece).start + u64::from(block) * u64::from(BLOCK_LENGTH);
        let end = start + u64::from(self.layout.block_len(BlockAddress { piece, block }));
        self.file_map.slices(start..end).all(|slice| match &self.found[slice.file.index()] {
            Look::Unwanted => true,
            Look::Absent => false,
            Look::Present(stamp, _) => stamp.length >= slice.offset + slice.length,
        })
    }
}
