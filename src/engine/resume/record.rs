//! All that a journal says, put together.
//!
//! Invariant: no piece is both had and unsure; only had pieces are durable; blocks are kept only of pieces
//! that are not had.

use std::collections::{BTreeMap, BTreeSet};

use super::fact::{Fact, Pieces, RunOf, Stamp, Whose, runs, runs_of};
use crate::base::bitfield::Bitfield;
use crate::base::index::{FileIndex, PieceIndex};
use crate::base::layout::Layout;
use crate::engine::disk_job::Traffic;

/// What is known of a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The run of the system that wrote it; empty when that is not known.
    pub boot: String,
    /// The device that the download folder was on.
    pub device: u64,
    /// Verified and written.
    pub have: Bitfield,
    /// And durable.
    pub durable: Bitfield,
    /// To be checked.
    pub unsure: Bitfield,
    /// Of unfinished pieces, by block: whether it is written.
    pub written: BTreeMap<PieceIndex, Vec<bool>>,
    /// The files as the writes so far left them, and whose they are.
    pub files: BTreeMap<FileIndex, (Stamp, Whose)>,
    /// Files of which a sync has failed in this run of the system.
    pub tainted: BTreeSet<FileIndex>,
    /// Files that are being synced: were this the last that is known, nobody would know what came of it.
    pub syncing: BTreeSet<FileIndex>,
    /// What was moved in all runs.
    pub traffic: Traffic,
}

/// A fact that can't be true of this torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Impossible;

impl Record {
    /// Of a torrent of which nothing is known.
    pub fn empty(pieces: u32) -> Record {
        let none = Bitfield::empty(pieces);
        Record {
            boot: String::new(),
            device: 0,
            have: none.clone(),
            durable: none.clone(),
            unsure: none,
            written: BTreeMap::new(),
            files: BTreeMap::new(),
            tainted: BTreeSet::new(),
            syncing: BTreeSet::new(),
            traffic: Traffic::default(),
        }
    }

    /// Whether it says that something is on disk.
    pub fn claims_data(&self) -> bool {
        !(self.have.is_empty() && self.unsure.is_empty() && self.written.is_empty())
    }

    /// Whether a file is known to be so.
    pub fn is_known(&self, file: FileIndex, stamp: &Stamp) -> bool {
        self.files.get(&file).is_some_and(|(known, _)| known == stamp)
    }

    /// Whether the file that looks so is one that we have written to, whoever else has since.
    pub fn is_ours(&self, file: FileIndex, stamp: &Stamp) -> bool {
        self.whose(file, stamp) == Whose::Ours
    }

    /// Whose the file is that looks so.
    pub fn whose(&self, file: FileIndex, stamp: &Stamp) -> Whose {
        match self.files.get(&file) {
            Some((known, whose)) if known.inode == stamp.inode => *whose,
            _ => Whose::Unknown,
        }
    }

    /// The files that are known to be so.
    pub fn files_that_are(&self, whose: Whose) -> impl Iterator<Item = FileIndex> + '_ {
        self.files.iter().filter(move |(_, (_, known))| *known == whose).map(|(file, _)| *file)
    }

    /// Takes a fact in.
    pub fn apply(&mut self, fact: &Fact, layout: &Layout, files: u32) -> Result<(), Impossible> {
        match fact {
            Fact::Begin { .. } => return Err(Impossible),
            Fact::Pieces(what, runs) => {
                for piece in numbers(runs, layout.piece_count())? {
                    self.set(*what, PieceIndex(piece));
                }
            }
            Fact::Blocks(piece, runs) => {
                if !layout.has_piece(*piece) {
                    return Err(Impossible);
                }
                let count = layout.blocks_in(*piece);
                let blocks = numbers(runs, count)?;
                if self.have.has(*piece) {
                    return Ok(());
                }
                let written = self.written.entry(*piece).or_insert_with(|| vec![false; count as usize]);
                blocks.for_each(|block| written[block as usize] = true);
            }
            Fact::Dropped(piece) => {
                self.written.remove(piece);
            }
            Fact::File(file, stamp, whose) => {
                if file.0 >= files {
                    return Err(Impossible);
                }
                self.files.insert(*file, (*stamp, *whose));
            }
            Fact::Tainted(file) if file.0 >= files => return Err(Impossible),
            Fact::Tainted(file) => {
                self.tainted.insert(*file);
            }
            Fact::Moved(traffic) => self.traffic = self.traffic.plus(*traffic),
            Fact::Syncing(runs) => self.syncing = numbers(runs, files)?.map(FileIndex).collect(),
        }
        Ok(())
    }

    fn set(&mut self, what: Pieces, piece: PieceIndex) {
        match what {
            Pieces::Have => {
                self.have.insert(piece);
                self.unsure.remove(piece);
                self.written.remove(&piece);
            }
            Pieces::Durable if self.have.has(piece) => {
                self.durable.insert(piece);
            }
            Pieces::Durable => {}
            Pieces::Unsure | Pieces::Missing => {
                self.have.remove(piece);
                self.durable.remove(piece);
                if what == Pieces::Unsure {
                    self.unsure.insert(piece);
                } else {
                    self.unsure.remove(piece);
                }
            }
        }
    }

    /// The facts that make this record from an empty one.
    pub fn facts(&self, identity: [u8; 20]) -> Vec<Fact> {
        let mut facts = vec![Fact::Begin { identity, boot: self.boot.clone(), device: self.device }];
        let sets =
            [(Pieces::Have, &self.have), (Pieces::Durable, &self.durable), (Pieces::Unsure, &self.unsure)];
        facts.extend(sets.map(|(what, set)| Fact::Pieces(what, runs(set))));
        facts.extend(self.files.iter().map(|(file, (stamp, whose))| Fact::File(*file, *stamp, *whose)));
        facts.extend(self.written.iter().map(|(piece, written)| {
            let blocks = (0..).zip(written).filter(|(_, is_written)| **is_written).map(|(block, _)| block);
            Fact::Blocks(*piece, runs_of(blocks))
        }));
        facts.extend(self.tainted.iter().map(|file| Fact::Tainted(*file)));
        facts.push(Fact::Syncing(runs_of(self.syncing.iter().map(|file| file.0))));
        facts.extend((self.traffic != Traffic::default()).then_some(Fact::Moved(self.traffic)));
        facts
    }
}

/// The numbers in these runs, if all are below `end`.
fn numbers(runs: &[RunOf], end: u32) -> Result<impl Iterator<Item = u32> + '_, Impossible> {
    let is_within = |(first, count): &RunOf| first.checked_add(*count).is_some_and(|after| after <= end);
    if !runs.iter().all(is_within) {
        return Err(Impossible);
    }
    Ok(runs.iter().flat_map(|(first, count)| *first..first + count))
}
