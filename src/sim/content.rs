//! The payload of the simulated torrent: slices of one buffer for what is right, of another for what is not.
//!
//! The buffer is short and repeats, so a torrent of any size costs the same memory. Its length shares no
//! factor with a block's, so blocks that lie side by side differ. Piece hashes are made up: the virtual disk
//! compares bytes instead of hashing them.

use std::ptr;
use std::sync::Arc;

use crate::base::block_data::{BlockData, Buffer};
use crate::base::digest;
use crate::base::file_map::FileMap;
use crate::base::hash::{InfoHashes, PieceHashes};
use crate::base::index::BlockRequest;
use crate::base::layout::{BLOCK_LENGTH, Layout, LayoutError};
use crate::base::random::Rng;
use crate::engine::order::TorrentSpec;
use crate::engine::settings::Limits;

/// After so many bytes the payload repeats: a prime.
const CYCLE: usize = 1_048_573;

/// A torrent's payload, and what else there is to know of it.
#[derive(Clone)]
pub struct Content {
    layout: Arc<Layout>,
    file_map: Arc<FileMap>,
    info_hashes: InfoHashes,
    piece_hashes: PieceHashes,
    good: Arc<dyn Buffer>,
    bad: Arc<dyn Buffer>,
}

impl Content {
    /// A torrent of files of these lengths, cut into pieces that run on across files (v1).
    pub fn new(lengths: &[u64], piece_length: u32, rng: &mut Rng) -> Result<Content, LayoutError> {
        let files = lengths.iter().map(|length| (*length, false));
        let file_map = FileMap::new(files).ok_or(LayoutError::TooManyPieces)?;
        let layout = Layout::uniform(file_map.total(), piece_length)?;
        let piece_hashes = layout.pieces().map(|piece| digest::sha1(&piece.0.to_be_bytes())).collect();
        let mut good = vec![0; CYCLE + BLOCK_LENGTH as usize];
        rng.fill(&mut good[..CYCLE]);
        good.copy_within(..BLOCK_LENGTH as usize, CYCLE);
        let bad: Vec<u8> = good.iter().map(|byte| !byte).collect();
        Ok(Content {
            layout: Arc::new(layout),
            file_map: Arc::new(file_map),
            info_hashes: InfoHashes { v1: Some(digest::sha1(&rng.next_u64().to_be_bytes())), v2: None },
            piece_hashes: PieceHashes::v1(piece_hashes),
            good: Arc::new(good),
            bad: Arc::new(bad),
        })
    }

    /// How it is cut into pieces.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How its bytes fall into files.
    pub fn file_map(&self) -> &FileMap {
        &self.file_map
    }

    /// Its identity.
    pub fn info_hashes(&self) -> InfoHashes {
        self.info_hashes
    }

    /// What an engine is told of it.
    pub fn spec(&self, trackers: Vec<Vec<String>>) -> TorrentSpec {
        TorrentSpec {
            info_hashes: self.info_hashes,
            layout: self.layout.clone(),
            piece_hashes: self.piece_hashes.clone(),
            file_map: self.file_map.clone(),
            is_private: false,
            trackers,
            limits: Limits::default(),
            seed_only: false,
            super_seed: false,
        }
    }

    /// The right bytes of `request`; `None` when it names none.
    pub fn block(&self, request: BlockRequest) -> Option<BlockData> {
        self.slice(&self.good, request)
    }

    /// As many bytes, none of them right.
    pub fn bad_block(&self, request: BlockRequest) -> Option<BlockData> {
        self.slice(&self.bad, request)
    }

    /// Whether `data` is what `request` names. Slices of the good buffer itself are known without looking.
    pub fn is_good(&self, request: BlockRequest, data: &BlockData) -> bool {
        self.block(request).is_some_and(|good| ptr::eq(good.bytes(), data.bytes()) || good == *data)
    }

    fn slice(&self, buffer: &Arc<dyn Buffer>, request: BlockRequest) -> Option<BlockData> {
        let offset = self.layout.piece_range(request.piece).start + u64::from(request.begin);
        let start = (offset % CYCLE as u64) as usize;
        let exists = self.layout.contains(request);
        exists.then(|| BlockData::new(buffer.clone(), start, request.length as usize)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::index::PieceIndex;

    #[test]
    fn a_block_is_good_only_in_its_own_place() {
        let content = Content::new(&[3_000_000], 65_536, &mut Rng::from_number(1)).unwrap();
        let at = |piece, begin| BlockRequest { piece: PieceIndex(piece), begin, length: BLOCK_LENGTH };
        let block = content.block(at(20, 16_384)).unwrap();
        let copy = BlockData::from(block.bytes().to_vec());
        assert!(content.is_good(at(20, 16_384), &block));
        assert!(content.is_good(at(20, 16_384), &copy));
        assert!(!content.is_good(at(20, 0), &block));
        assert!(!content.is_good(at(4, 16_384), &block));
        let bad = content.bad_block(at(20, 16_384)).unwrap();
        assert!(!content.is_good(at(20, 16_384), &bad));
        assert_eq!(content.block(at(46, 0)), None);
    }
}
