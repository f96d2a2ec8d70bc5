//! Work on disk as the engine orders it, and what comes of it.
//!
//! A piece under way travels inside its job: hash state, hash front and blocks. Whoever holds the job owns
//! the state, so there is nothing to lock; the engine has at most one job out a piece.

use std::ops::Range;

use super::order::TorrentId;
use crate::base::bitfield::Bitfield;
use crate::base::block_data::BlockData;
use crate::base::hash::Sha1Hash;
use crate::base::index::{FileIndex, PieceIndex};
use crate::hashing::RunningHash;

/// A job for the disk.
#[derive(Debug)]
pub enum DiskJob {
    /// Look what is there, make sure that the rest fits, make folders and empty files.
    Open {
        /// Of which torrent.
        torrent: TorrentId,
    },
    /// The place is somebody else's: look at another one, if people want that.
    OpenElsewhere {
        /// Of which torrent.
        torrent: TorrentId,
        /// The answer if they do not.
        because: Box<DiskError>,
    },
    /// Read and hash these pieces.
    Check {
        /// Of which torrent.
        torrent: TorrentId,
        /// Which, first to end.
        pieces: Range<u32>,
    },
    /// After the last check: find files whose data no check has shown to be ours.
    FindUnproven {
        /// Of which torrent.
        torrent: TorrentId,
    },
    /// Write blocks of a piece and hash it on.
    Advance(Box<PieceJob>),
    /// A file is complete: give it its final name.
    FinishFile {
        /// Of which torrent.
        torrent: TorrentId,
        /// Which.
        file: FileIndex,
    },
    /// Everything is here and has its name: from here on it is only read.
    Settle {
        /// Which.
        torrent: TorrentId,
    },
    /// Add this to what is remembered of all runs.
    Remember {
        /// Of which torrent.
        torrent: TorrentId,
        /// What moved since this was told last.
        traffic: Traffic,
    },
    /// Close the torrent's files.
    Close {
        /// Which.
        torrent: TorrentId,
    },
}

impl DiskJob {
    /// Whose job it is.
    pub fn torrent(&self) -> TorrentId {
        match self {
            DiskJob::Open { torrent }
            | DiskJob::OpenElsewhere { torrent, .. }
            | DiskJob::Check { torrent, .. }
            | DiskJob::FindUnproven { torrent }
            | DiskJob::FinishFile { torrent, .. }
            | DiskJob::Settle { torrent }
            | DiskJob::Remember { torrent, .. }
            | DiskJob::Close { torrent } => *torrent,
            DiskJob::Advance(job) => job.torrent,
        }
    }
}

/// What came of a job.
#[derive(Debug)]
pub enum DiskResult {
    /// Of [`DiskJob::Open`] and [`DiskJob::OpenElsewhere`].
    Opened {
        /// Of which torrent.
        torrent: TorrentId,
        /// What is there.
        result: Result<Existing, DiskError>,
    },
    /// Of [`DiskJob::Check`].
    Checked {
        /// Of which torrent.
        torrent: TorrentId,
        /// Which pieces were looked at.
        pieces: Range<u32>,
        /// Those that are right, ascending.
        result: Result<Vec<PieceIndex>, DiskError>,
    },
    /// Of [`DiskJob::FindUnproven`].
    UnprovenFound {
        /// Of which torrent.
        torrent: TorrentId,
        /// What they are.
        result: Result<Unproven, DiskError>,
    },
    /// Of [`DiskJob::Advance`]: the job comes back, its blocks gone; but when the disk is full, it has those that
    /// could not be written.
    Advanced {
        /// The piece's state.
        job: Box<PieceJob>,
        /// The verdict, once the whole piece is hashed; `None` before.
        result: Result<Option<Verdict>, DiskError>,
    },
    /// Of [`DiskJob::FinishFile`].
    FileFinished {
        /// Of which torrent.
        torrent: TorrentId,
        /// Which.
        file: FileIndex,
        /// Whether it worked.
        result: Result<(), DiskError>,
    },
    /// Of [`DiskJob::Settle`].
    Settled {
        /// Which.
        torrent: TorrentId,
    },
    /// Of [`DiskJob::Remember`], whatever has come of it.
    Remembered {
        /// Which.
        torrent: TorrentId,
    },
    /// Of [`DiskJob::Close`].
    Closed {
        /// Which.
        torrent: TorrentId,
    },
}

impl DiskResult {
    /// Whose job it was.
    pub fn torrent(&self) -> TorrentId {
        match self {
            DiskResult::Opened { torrent, .. }
            | DiskResult::Checked { torrent, .. }
            | DiskResult::UnprovenFound { torrent, .. }
            | DiskResult::FileFinished { torrent, .. }
            | DiskResult::Settled { torrent }
            | DiskResult::Remembered { torrent }
            | DiskResult::Closed { torrent } => *torrent,
            DiskResult::Advanced { job, .. } => job.torrent,
        }
    }
}

/// What is on disk when a torrent starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Existing {
    /// Nothing that could be a piece: no check is needed.
    Nothing,
    /// Some data: a check will tell.
    Something,
    /// What an earlier run left, and wrote down.
    Known(Box<Resume>),
}

/// What an earlier run left on disk, as far as it may still be relied on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resume {
    /// Pieces that are verified and written, their files untouched since.
    pub have: Bitfield,
    /// Pieces to be checked; none of `have`. All others are missing.
    pub unsure: Bitfield,
    /// Of unfinished pieces, by block: whether it is written. What was written may be wrong: the piece's hash
    /// decides, as ever.
    pub written: Vec<(PieceIndex, Vec<bool>)>,
    /// What all earlier runs moved.
    pub traffic: Traffic,
}

/// Payload that was moved, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// To peers.
    pub uploaded: u64,
    /// From peers, useful or not.
    pub downloaded: u64,
}

impl Traffic {
    /// This and `more`; a number at its end stays there.
    pub fn plus(self, more: Traffic) -> Traffic {
        Traffic {
            uploaded: self.uploaded.saturating_add(more.uploaded),
            downloaded: self.downloaded.saturating_add(more.downloaded),
        }
    }

    /// What there is in it beyond `before`.
    pub fn since(self, before: Traffic) -> Traffic {
        Traffic {
            uploaded: self.uploaded.saturating_sub(before.uploaded),
            downloaded: self.downloaded.saturating_sub(before.downloaded),
        }
    }
}

/// Files that may be somebody else's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Unproven {
    /// Those under their final names that hold more than zeros, no right piece with data among it;
    /// ascending. A file under a name that only we give is never among them.
    pub files: Vec<UnprovenFile>,
    /// Whether another file of the torrent has a right piece that is not all zeros.
    pub is_any_proven: bool,
}

/// A file that may be somebody else's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnprovenFile {
    /// Which.
    pub file: FileIndex,
    /// Its path, as it may be shown after escaping.
    pub path: String,
    /// Its length, bytes.
    pub length: u64,
    /// It has holes and we give no other names to what is incomplete: an interrupted run of ours leaves
    /// such a file. Or it came up in a run that a loss of power may have made us forget the end of.
    pub looks_interrupted: bool,
}

/// A piece under way.
#[derive(Debug)]
pub struct PieceJob {
    /// Of which torrent.
    pub torrent: TorrentId,
    /// Which.
    pub piece: PieceIndex,
    /// The digest of the blocks before the front.
    pub hash: RunningHash,
    /// Blocks before this one are hashed.
    pub front: u32,
    /// By block: whether it is written. Those beyond the front are "spilled", and are read back when the
    /// front comes to them.
    pub written: Vec<bool>,
    /// Blocks to write, ascending; those at the front are hashed from memory.
    pub blocks: Vec<(u32, BlockData)>,
    /// Whether a passed verdict is to carry digests too: the piece has failed before.
    pub wants_digests: bool,
}

/// Whether a whole piece is what it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is, and it is written.
    Passed {
        /// SHA-1 of each block, where asked for.
        digests: Vec<Sha1Hash>,
    },
    /// It is not.
    Failed {
        /// SHA-1 of each block.
        digests: Vec<Sha1Hash>,
    },
}

/// Why a job failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cannot {operation} {file}: {message}")]
pub struct DiskError {
    /// What kind, for the exit code.
    pub kind: DiskErrorKind,
    /// What was tried, as a verb: "write", "rename".
    pub operation: &'static str,
    /// The file's path, as it may be shown after escaping.
    pub file: String,
    /// The system's word for it.
    pub message: String,
}

/// Kinds of disk errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskErrorKind {
    /// No space, or a quota. What could not be written may be tried again later.
    Full {
        /// Bytes that are free; `None` when that is not what is short, as with a quota.
        free: Option<u64>,
    },
    /// Something else has the place: a folder, a special file, a link, or a file that is not ours.
    Exists,
    /// Another program of ours works on the same files.
    Busy,
    /// The system had no handle or no memory for it: nothing is wrong with the file.
    Strained,
    /// Anything else.
    Other,
}
