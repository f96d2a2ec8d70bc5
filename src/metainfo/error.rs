//! Why a torrent is refused.

use crate::base::bencode::{ScanError, SoftError};

/// Why a torrent, or the metadata of a magnet link, is refused. The text says what is wrong and where; it
/// holds nothing that a stranger wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MetainfoError {
    /// The bytes are not bencoded.
    #[error("not a torrent file: {0}")]
    Bencode(#[from] ScanError),
    /// Bencoded, but not a dictionary.
    #[error("not a torrent file: the outermost value is not a dictionary")]
    NotDictionary,
    /// Metadata with more bytes after its dictionary.
    #[error("there are bytes after the metadata's end")]
    TrailingBytes,
    /// No `info`, or one that is not a dictionary.
    #[error("not a torrent file: it has no `info` dictionary")]
    NoInfo,
    /// A key of `info` is missing or does not hold what it should.
    #[error("`{key}` {fault}")]
    Key {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A key of one file is missing or does not hold what it should.
    #[error("file {number}: `{key}` {fault}")]
    FileKey {
        /// The file's place in the list or tree, from 1.
        number: usize,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A v2 `info` dictionary that is not in canonical form (BEP 52).
    #[error("v2 metadata must be strictly bencoded: {0}")]
    Untidy(SoftError),
    /// `meta version` is none that we know.
    #[error("the torrent needs a newer client: its meta version is neither 1 nor 2")]
    MetaVersion,
    /// A Merkle torrent of BEP 30.
    #[error("Merkle torrents of the old kind (BEP 30) are not supported")]
    MerkleV1,
    /// More pieces than [`limit::PIECES`](crate::base::limit::PIECES).
    #[error("the torrent has too many pieces")]
    TooManyPieces,
    /// The lengths add up to more than 2^63.
    #[error("the files' lengths add up to more than can be")]
    TotalTooLarge,
    /// No payload at all.
    #[error("the torrent holds no data: all its files are empty")]
    NoData,
    /// `pieces` does not fit to the total length.
    #[error("`pieces` holds {found} bytes where {expected} are due")]
    PieceHashes {
        /// Bytes that the total length asks for.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// Deeper than [`limit::PATH_DEPTH`](crate::base::limit::PATH_DEPTH) folders.
    #[error("file {number}: its path has too many folders")]
    PathTooDeep {
        /// The file's place in the list or tree, from 1.
        number: usize,
    },
    /// A path longer than systems can open.
    #[error("file {number}: its path is too long")]
    PathTooLong {
        /// The file's place in the list or tree, from 1.
        number: usize,
    },
    /// More than [`limit::PATHS_TOTAL`](crate::base::limit::PATHS_TOTAL) bytes of paths.
    #[error("the paths of all files together are too long")]
    PathsTooLong,
    /// More clashes than [`limit::DUPLICATE_PATHS`](crate::base::limit::DUPLICATE_PATHS).
    #[error("too many files have the same path")]
    TooManyDuplicates,
    /// `piece layers` contradicts the file tree.
    #[error("`piece layers` {0}")]
    PieceLayers(&'static str),
    /// A hybrid whose two descriptions differ.
    #[error("the v1 and v2 parts of the torrent do not match: {0}")]
    Hybrid(&'static str),
}

/// A fault of a key of `info`.
pub(super) fn key_fault(key: &'static str, fault: &'static str) -> MetainfoError {
    MetainfoError::Key { key, fault }
}
