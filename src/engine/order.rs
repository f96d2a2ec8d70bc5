//! What a person may wish of the engine.

use std::net::SocketAddr;
use std::sync::Arc;

use super::settings::Limits;
use crate::base::file_map::FileMap;
use crate::base::hash::{InfoHashes, PieceHashes};
use crate::base::index::PieceIndex;
use crate::base::layout::Layout;

/// Names a torrent within a session. Chosen by whoever adds it; never used again in the same run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TorrentId(pub u32);

/// A wish.
#[derive(Debug)]
pub enum Order {
    /// Download this torrent, or serve it if it is all there.
    AddTorrent {
        /// Its name from here on.
        torrent: TorrentId,
        /// What it is.
        spec: Box<TorrentSpec>,
    },
    /// Try these peers too.
    AddPeers {
        /// For which torrent.
        torrent: TorrentId,
        /// Where they listen.
        addresses: Vec<SocketAddr>,
    },
    /// Ask the trackers of every torrent soon, as far as they allow.
    Announce,
    /// Stop this torrent: no more requests, connections closed, trackers told.
    /// [`Notice::Stopped`](super::notice::Notice::Stopped) follows.
    StopTorrent {
        /// Which.
        torrent: TorrentId,
    },
}

/// What the engine needs to know of a torrent: never its files' names.
#[derive(Clone, Debug)]
pub struct TorrentSpec {
    /// Its identity.
    pub info_hashes: InfoHashes,
    /// How it is cut into pieces.
    pub layout: Arc<Layout>,
    /// What the pieces must hash to.
    pub piece_hashes: PieceHashes,
    /// How its bytes fall into files.
    pub file_map: Arc<FileMap>,
    /// Whether only its own trackers may name peers (BEP 27).
    pub is_private: bool,
    /// Announce URLs by tier (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// How fast its peers together may be given and taken from, within what the session may.
    pub limits: Limits,
    /// Whether it may only be served: it fails if anything is missing.
    pub seed_only: bool,
    /// Whether its first copy is to go out in single pieces (BEP 16), if all is here from the start.
    pub super_seed: bool,
}

impl TorrentSpec {
    /// Payload bytes, pad files not counted.
    pub fn payload(&self) -> u64 {
        self.file_map.files().iter().filter(|file| !file.is_pad).map(|file| file.length).sum()
    }

    /// Payload bytes of a piece, pad files not counted.
    pub fn payload_of(&self, piece: PieceIndex) -> u64 {
        let slices = self.file_map.slices(self.layout.piece_range(piece));
        slices.filter(|slice| !slice.is_pad).map(|slice| slice.length).sum()
    }
}
