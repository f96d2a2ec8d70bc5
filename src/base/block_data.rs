//! A block's payload, as the engine hands it on.
//!
//! Counted and contiguous, backed by whatever received it: a pooled network buffer, a web seed's answer, a
//! simulation's static content. The engine never reads it.

use std::fmt;
use std::sync::Arc;

/// Memory that blocks may be slices of.
pub trait Buffer: Send + Sync {
    /// All bytes.
    fn bytes(&self) -> &[u8];
}

impl Buffer for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// The payload of one block: at most 16 KiB, cheap to clone, keeps its buffer alive.
#[derive(Clone)]
pub struct BlockData {
    buffer: Arc<dyn Buffer>,
    start: u32,
    length: u32,
}

impl BlockData {
    /// The `length` bytes of `buffer` from `start`. `None` when the buffer is shorter.
    pub fn new(buffer: Arc<dyn Buffer>, start: usize, length: usize) -> Option<BlockData> {
        let end = start.checked_add(length)?;
        let fits = end <= buffer.bytes().len() && u32::try_from(end).is_ok();
        fits.then_some(BlockData { buffer, start: start as u32, length: length as u32 })
    }

    /// The payload.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer.bytes()[self.start as usize..(self.start + self.length) as usize]
    }

    /// Bytes.
    pub fn len(&self) -> u32 {
        self.length
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl From<Vec<u8>> for BlockData {
    fn from(bytes: Vec<u8>) -> BlockData {
        let length = bytes.len() as u32;
        BlockData { buffer: Arc::new(bytes), start: 0, length }
    }
}

/// Equal when the bytes are: for tests.
impl PartialEq for BlockData {
    fn eq(&self, other: &BlockData) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for BlockData {}

impl fmt::Debug for BlockData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_lies_within_its_buffer() {
        let buffer: Arc<dyn Buffer> = Arc::new(vec![1, 2, 3, 4]);
        assert_eq!(BlockData::new(buffer.clone(), 1, 2).unwrap().bytes(), [2, 3]);
        assert!(BlockData::new(buffer.clone(), 3, 2).is_none());
        assert!(BlockData::new(buffer, usize::MAX, 2).is_none());
    }
}
