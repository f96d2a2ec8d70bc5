//! Bencode (BEP 3), for input that strangers wrote.
//!
//! [`scan`] walks over the bytes once, without recursion and within [`Limits`], and gives a [`Document`]:
//! a flat table of where every value is. A [`Value`] is a cursor into it and reads without copying. What
//! comes after the document's end is left to the caller (ut_metadata puts a block there).
//!
//! The scanner refuses what has no single meaning, above all a key that a dictionary has twice: two readers
//! would pick different values. What is only untidy (keys out of order, leading zeros) it marks as a
//! [`SoftError`], because old torrents in use have it; v2 and BEP 44 callers refuse those too.
//!
//! [`encode`] writes typed documents of our own through serde.

mod encode;
mod scan;
mod value;

pub use encode::{dict_of_encoded, encode};
pub use scan::{ScanError, ScanErrorKind, scan};
pub use value::{Dict, Document, List, SoftError, SoftErrorKind, Value};

use super::limit;

/// How much of a document is read before it is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Lists and dictionaries within each other.
    pub depth: usize,
    /// Values and keys, all levels together.
    pub tokens: usize,
}

impl Limits {
    /// For .torrent files and metadata from peers.
    pub const TORRENT: Limits = Limits { depth: limit::BENCODE_DEPTH, tokens: limit::BENCODE_TOKENS };
    /// For messages from peers, trackers and DHT nodes.
    pub const MESSAGE: Limits = Limits { depth: limit::BENCODE_DEPTH, tokens: limit::MESSAGE_TOKENS };
}
