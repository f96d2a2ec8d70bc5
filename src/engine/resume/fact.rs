//! What a journal says, one thing at a time, and its bytes: a kind, then numbers, little end first.

use std::ops::Range;

use crate::base::bitfield::Bitfield;
use crate::base::index::{FileIndex, PieceIndex};
use crate::engine::disk_job::{Traffic, Verdict};

/// A run of numbers: the first, and how many.
pub type RunOf = (u32, u32);

/// One thing that has become true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    /// What all that follows is about; first in every journal, and nowhere else.
    Begin {
        /// Names the target.
        identity: [u8; 20],
        /// The system's run in which what follows was written; empty when that is not known.
        boot: String,
        /// The device that the download folder is on.
        device: u64,
    },
    /// Something about these pieces.
    Pieces(Pieces, Vec<RunOf>),
    /// These blocks of a piece are written, not verified.
    Blocks(PieceIndex, Vec<RunOf>),
    /// No block of a piece counts: it failed.
    Dropped(PieceIndex),
    /// A file, as the writes so far left it, and whose it is.
    File(FileIndex, Stamp, Whose),
    /// A sync of this file has failed: whatever a later one says, nothing is known of what was written before.
    Tainted(FileIndex),
    /// These files, and no others, are about to be synced; which are tainted unless something is said after it.
    Syncing(Vec<RunOf>),
    /// So much more was moved.
    Moved(Traffic),
}

/// What is said of pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pieces {
    /// Verified and written.
    Have,
    /// And durable.
    Durable,
    /// To be checked.
    Unsure,
    /// Checked, and not right.
    Missing,
}

/// Whose a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// It was there when we came.
    Unknown = 0,
    /// We have written to it.
    Ours = 1,
    /// It came up in a run of ours, the end of which a loss of power has made us forget.
    PerhapsOurs = 2,
}

/// By what a file that nobody has touched is known again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Its length, bytes.
    pub length: u64,
    /// When its content was changed last: seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    /// Its number on its device.
    pub inode: u64,
}

/// The runs of consecutive pieces in `set`.
pub fn runs(set: &Bitfield) -> Vec<RunOf> {
    runs_of(set.iter().map(|piece| piece.0))
}

/// The runs of consecutive numbers in an ascending list.
pub fn runs_of(numbers: impl IntoIterator<Item = u32>) -> Vec<RunOf> {
    let mut runs: Vec<RunOf> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((first, count)) if u64::from(*first) + u64::from(*count) == u64::from(number) => *count += 1,
            _ => runs.push((number, 1)),
        }
    }
    runs
}

impl Fact {
    /// What is to be said of a piece of which these blocks were written, and perhaps it was judged.
    pub fn of_blocks(piece: PieceIndex, blocks: &[RunOf], verdict: Option<&Verdict>) -> Fact {
        match verdict {
            Some(Verdict::Passed { .. }) => Fact::Pieces(Pieces::Have, vec![(piece.0, 1)]),
            Some(Verdict::Failed { .. }) => Fact::Dropped(piece),
            None => Fact::Blocks(piece, blocks.to_vec()),
        }
    }

    /// What is to be said of `pieces` that were checked, those of them that are `right`.
    pub fn of_check(pieces: &Range<u32>, right: &[PieceIndex]) -> Vec<Fact> {
        let all = (pieces.start, pieces.end.saturating_sub(pieces.start));
        let right = right.iter().map(|piece| piece.0);
        vec![Fact::Pieces(Pieces::Missing, vec![all]), Fact::Pieces(Pieces::Have, runs_of(right))]
    }

    /// Appends the fact's bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Fact::Begin { identity, boot, device } => {
                out.push(0);
                out.extend(identity);
                out.push(boot.len() as u8);
                out.extend(boot.bytes());
                out.extend(device.to_le_bytes());
            }
            Fact::Pieces(what, runs) => {
                out.push(match what {
                    Pieces::Have => 1,
                    Pieces::Durable => 2,
                    Pieces::Unsure => 3,
                    Pieces::Missing => 4,
                });
                encode_runs(runs, out);
            }
            Fact::Blocks(piece, runs) => {
                out.push(5);
                out.extend(piece.0.to_le_bytes());
                encode_runs(runs, out);
            }
            Fact::Dropped(piece) => {
                out.push(6);
                out.extend(piece.0.to_le_bytes());
            }
            Fact::File(file, stamp, whose) => {
                out.push(7);
                out.extend(file.0.to_le_bytes());
                out.extend(stamp.length.to_le_bytes());
                out.extend(stamp.modified.0.to_le_bytes());
                out.extend(stamp.modified.1.to_le_bytes());
                out.extend(stamp.inode.to_le_bytes());
                out.push(*whose as u8);
            }
            Fact::Tainted(file) => {
                out.push(8);
                out.extend(file.0.to_le_bytes());
            }
            Fact::Syncing(runs) => {
                out.push(9);
                encode_runs(runs, out);
            }
            Fact::Moved(traffic) => {
                out.push(10);
                out.extend(traffic.uploaded.to_le_bytes());
                out.extend(traffic.downloaded.to_le_bytes());
            }
        }
    }

    /// The facts in `bytes`; `None` when they are anything else.
    pub fn decode_all(bytes: &[u8]) -> Option<Vec<Fact>> {
        let mut reader = Reader(bytes);
        let mut facts = Vec::new();
        while !reader.0.is_empty() {
            facts.push(reader.fact()?);
        }
        Some(facts)
    }
}

fn encode_runs(runs: &[RunOf], out: &mut Vec<u8>) {
    out.extend((runs.len() as u32).to_le_bytes());
    for (first, count) in runs {
        out.extend(first.to_le_bytes());
        out.extend(count.to_le_bytes());
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn fact(&mut self) -> Option<Fact> {
        let [kind] = self.take()?;
        Some(match kind {
            0 => {
                let identity = self.take()?;
                let [length] = self.take()?;
                let (boot, rest) = self.0.split_at_checked(usize::from(length))?;
                self.0 = rest;
                let boot = String::from_utf8(boot.to_vec()).ok()?;
                Fact::Begin { identity, boot, device: u64::from_le_bytes(self.take()?) }
            }
            1 => Fact::Pieces(Pieces::Have, self.runs()?),
            2 => Fact::Pieces(Pieces::Durable, self.runs()?),
            3 => Fact::Pieces(Pieces::Unsure, self.runs()?),
            4 => Fact::Pieces(Pieces::Missing, self.runs()?),
            5 => Fact::Blocks(PieceIndex(self.number()?), self.runs()?),
            6 => Fact::Dropped(PieceIndex(self.number()?)),
            7 => {
                let file = FileIndex(self.number()?);
                let length = u64::from_le_bytes(self.take()?);
                let modified = (i64::from_le_bytes(self.take()?), i64::from_le_bytes(self.take()?));
                let stamp = Stamp { length, modified, inode: u64::from_le_bytes(self.take()?) };
                let whose = match self.take()? {
                    [0] => Whose::Unknown,
                    [1] => Whose::Ours,
                    [2] => Whose::PerhapsOurs,
                    _ => return None,
                };
                Fact::File(file, stamp, whose)
            }
            8 => Fact::Tainted(FileIndex(self.number()?)),
            9 => Fact::Syncing(self.runs()?),
            10 => {
                let uploaded = u64::from_le_bytes(self.take()?);
                Fact::Moved(Traffic { uploaded, downloaded: u64::from_le_bytes(self.take()?) })
            }
            _ => return None,
        })
    }

    fn runs(&mut self) -> Option<Vec<RunOf>> {
        let count = self.number()? as usize;
        // Each run takes eight bytes, so nothing is reserved for runs that are not there.
        if count > self.0.len() / 8 {
            return None;
        }
        (0..count).map(|_| Some((self.number()?, self.number()?))).collect()
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take()?))
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}
