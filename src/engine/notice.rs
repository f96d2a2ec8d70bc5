//! What the engine tells whoever watches. Notices are for people and events; decisions never rest on them.

use std::net::SocketAddr;

use super::disk_job::DiskError;
use super::order::TorrentId;
use crate::base::index::{FileIndex, PieceIndex};

/// Something worth telling. Texts of trackers are cut and escaped; those of the system (paths) are not: that is for
/// whoever shows them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Data that was there has been checked.
    Checked {
        /// Of which torrent.
        torrent: TorrentId,
        /// Pieces that are right.
        have: u32,
        /// Pieces in all.
        pieces: u32,
    },
    /// Every piece of a file is verified and written, and the file has its final name.
    FileComplete {
        /// Of which torrent.
        torrent: TorrentId,
        /// Which.
        file: FileIndex,
    },
    /// Every piece of a torrent is verified and written, and every file has its final name.
    Complete {
        /// Which.
        torrent: TorrentId,
    },
    /// A torrent cannot go on.
    Failed {
        /// Which.
        torrent: TorrentId,
        /// Why.
        failure: TorrentFailure,
    },
    /// A torrent has stopped as ordered, its trackers told.
    Stopped {
        /// Which.
        torrent: TorrentId,
    },
    /// Something about a torrent's files or state that people should know, and that stops nothing.
    Warning {
        /// Of which torrent.
        torrent: TorrentId,
        /// What, in words.
        text: String,
    },
    /// A file of a complete torrent can no longer be read: what is in it is not offered any more, the rest is.
    FileLost {
        /// Of which torrent.
        torrent: TorrentId,
        /// What is wrong with it.
        error: DiskError,
    },
    /// A piece did not hash to what it must and is fetched again.
    PieceFailed {
        /// Of which torrent.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
    },
    /// A peer was caught and is not spoken to again.
    PeerBanned {
        /// Of which torrent.
        torrent: TorrentId,
        /// Who.
        address: SocketAddr,
        /// What it did, in words.
        reason: &'static str,
    },
    /// A peer shook hands.
    PeerConnected {
        /// Of which torrent.
        torrent: TorrentId,
        /// Who.
        address: SocketAddr,
    },
    /// A peer was dialled, and there was no connection or no handshake.
    PeerUnreachable {
        /// For which torrent.
        torrent: TorrentId,
        /// Who.
        address: SocketAddr,
        /// Why, in words.
        reason: String,
    },
    /// A peer that shook hands is gone.
    PeerClosed {
        /// Of which torrent.
        torrent: TorrentId,
        /// Who.
        address: SocketAddr,
        /// Why, in words.
        reason: String,
    },
    /// A tracker answered.
    TrackerAnswered {
        /// Of which torrent.
        torrent: TorrentId,
        /// The tracker, without secrets.
        tracker: String,
        /// Peers that it named.
        peers: usize,
        /// What it wants people to read.
        warning: Option<String>,
    },
    /// A tracker could not be asked, or refused.
    TrackerFailed {
        /// Of which torrent.
        torrent: TorrentId,
        /// The tracker, without secrets.
        tracker: String,
        /// Why, in words.
        reason: String,
        /// Whether the tracker itself refused (`failure reason`), rather than not be reached.
        refused: bool,
    },
}

/// What a torrent lacks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// Pieces that are not here, or not right.
    pub pieces: u32,
    /// Files with such pieces, ascending, and how many bytes of each are in them.
    pub files: Vec<(FileIndex, u64)>,
}

impl Notice {
    /// Which torrent it is about.
    pub fn torrent(&self) -> TorrentId {
        match self {
            Notice::Checked { torrent, .. }
            | Notice::FileComplete { torrent, .. }
            | Notice::Complete { torrent }
            | Notice::Failed { torrent, .. }
            | Notice::Stopped { torrent }
            | Notice::FileLost { torrent, .. }
            | Notice::Warning { torrent, .. }
            | Notice::PieceFailed { torrent, .. }
            | Notice::PeerBanned { torrent, .. }
            | Notice::PeerConnected { torrent, .. }
            | Notice::PeerUnreachable { torrent, .. }
            | Notice::PeerClosed { torrent, .. }
            | Notice::TrackerAnswered { torrent, .. }
            | Notice::TrackerFailed { torrent, .. } => *torrent,
        }
    }

    /// Whether the like of it comes again and again, so that one may be missed; the others tell how a torrent stands.
    pub fn repeats(&self) -> bool {
        match self {
            Notice::Checked { .. }
            | Notice::Complete { .. }
            | Notice::Failed { .. }
            | Notice::FileLost { .. }
            | Notice::Stopped { .. } => false,
            Notice::FileComplete { .. }
            | Notice::Warning { .. }
            | Notice::PieceFailed { .. }
            | Notice::PeerBanned { .. }
            | Notice::PeerConnected { .. }
            | Notice::PeerUnreachable { .. }
            | Notice::PeerClosed { .. }
            | Notice::TrackerAnswered { .. }
            | Notice::TrackerFailed { .. } => true,
        }
    }
}

/// Why a torrent cannot go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TorrentFailure {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The same torrent is here already.
    #[error("this torrent is here already")]
    Duplicate,
    /// It may only be served, and something is missing.
    #[error("something is missing")]
    Incomplete(Missing),
}
