//! Newtypes for the numbers that must not be mixed up.

use std::fmt;

/// A piece's number within its torrent, from 0.
///
/// A plain number: whether a torrent has such a piece is for its [`Layout`](super::layout::Layout) to say.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PieceIndex(pub u32);

impl PieceIndex {
    /// As an index into a table with an entry a piece.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A file's number within its torrent's file list (pad files counted), from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct FileIndex(pub u32);

impl FileIndex {
    /// As an index into a table with an entry a file.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A block that exists: only a [`Layout`](super::layout::Layout) makes one.
///
/// `block` counts 16 KiB steps from the piece's first byte; the piece's last block may be short.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockAddress {
    /// The piece that the block belongs to.
    pub piece: PieceIndex,
    /// The block's number within the piece, from 0.
    pub block: u32,
}

impl fmt::Debug for BlockAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.piece.0, self.block)
    }
}

/// What a `request`, `cancel` or `reject` names on the wire: unchecked numbers from a peer (BEP 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlockRequest {
    /// The piece.
    pub piece: PieceIndex,
    /// Offset of the first byte within the piece, bytes.
    pub begin: u32,
    /// Length, bytes.
    pub length: u32,
}
