//! Geometry: which bytes are in which piece and block.
//!
//! All arithmetic between pieces, blocks and payload bytes is here. In a v1 torrent only the last piece may
//! be short; in a v2 torrent every file starts a piece, so any file's last piece may be (BEP 3, 52).

use std::ops::Range;

use super::index::{BlockAddress, BlockRequest, PieceIndex};

/// What is asked for at a time: 16 KiB, never across a piece's end.
pub const BLOCK_LENGTH: u32 = 16 * 1024;

/// How a payload is cut into pieces, and pieces into blocks. Offsets count payload bytes from 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    total: u64,
    piece_length: u32,
    piece_count: u32,
    /// Where each non-empty file starts; empty when pieces run on across files.
    files: Vec<AlignedFile>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct AlignedFile {
    first_piece: u32,
    offset: u64,
    length: u64,
}

/// Why a geometry was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LayoutError {
    /// Piece length 0.
    #[error("the piece length is 0")]
    ZeroPieceLength,
    /// More than [`u32::MAX`] pieces, or more than 2^63 bytes.
    #[error("there are more pieces than can be numbered")]
    TooManyPieces,
}

impl Layout {
    /// Pieces of `piece_length` bytes over `total` bytes, the last one possibly short (v1).
    pub fn uniform(total: u64, piece_length: u32) -> Result<Layout, LayoutError> {
        if piece_length == 0 {
            return Err(LayoutError::ZeroPieceLength);
        }
        if total > i64::MAX as u64 {
            return Err(LayoutError::TooManyPieces);
        }
        let count = total.div_ceil(u64::from(piece_length));
        let piece_count = u32::try_from(count).map_err(|_| LayoutError::TooManyPieces)?;
        Ok(Layout { total, piece_length, piece_count, files: Vec::new() })
    }

    /// Pieces of at most `piece_length` bytes, every file starting a new one (v2). Offsets leave out the
    /// gaps: a file's first byte follows the last byte of the file before.
    pub fn file_aligned(
        lengths: impl IntoIterator<Item = u64>,
        piece_length: u32,
    ) -> Result<Layout, LayoutError> {
        let mut layout = Layout::uniform(0, piece_length)?;
        for length in lengths.into_iter().filter(|length| *length > 0) {
            let of_file = Layout::uniform(length, piece_length)?;
            layout.files.push(AlignedFile { first_piece: layout.piece_count, offset: layout.total, length });
            layout.piece_count =
                layout.piece_count.checked_add(of_file.piece_count).ok_or(LayoutError::TooManyPieces)?;
            layout.total = layout
                .total
                .checked_add(length)
                .filter(|total| *total <= i64::MAX as u64)
                .ok_or(LayoutError::TooManyPieces)?;
        }
        Ok(layout)
    }

    /// Payload bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes of a full piece.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// All pieces in order.
    pub fn pieces(&self) -> impl DoubleEndedIterator<Item = PieceIndex> + use<> {
        (0..self.piece_count).map(PieceIndex)
    }

    /// Whether there is such a piece.
    pub fn has_piece(&self, piece: PieceIndex) -> bool {
        piece.0 < self.piece_count
    }

    /// The payload bytes of `piece`; an empty range for a piece that there is not.
    pub fn piece_range(&self, piece: PieceIndex) -> Range<u64> {
        if !self.has_piece(piece) {
            return self.total..self.total;
        }
        let length = u64::from(self.piece_length);
        let file = match self.files.partition_point(|file| file.first_piece <= piece.0) {
            0 => AlignedFile { first_piece: 0, offset: 0, length: self.total },
            after => self.files[after - 1],
        };
        let within = u64::from(piece.0 - file.first_piece) * length;
        let start = file.offset + within;
        start..start + length.min(file.length - within)
    }

    /// Bytes of `piece`: may be short for any piece, and is 0 for a piece that there is not.
    pub fn piece_len(&self, piece: PieceIndex) -> u32 {
        let range = self.piece_range(piece);
        (range.end - range.start) as u32
    }

    /// How many blocks `piece` has.
    pub fn blocks_in(&self, piece: PieceIndex) -> u32 {
        self.piece_len(piece).div_ceil(BLOCK_LENGTH)
    }

    /// Bytes of a block: 16 KiB, or less at a piece's end.
    pub fn block_len(&self, address: BlockAddress) -> u32 {
        self.piece_len(address.piece).saturating_sub(address.block * BLOCK_LENGTH).min(BLOCK_LENGTH)
    }

    /// The piece that holds the payload byte at `offset`.
    pub fn piece_at(&self, offset: u64) -> Option<PieceIndex> {
        if offset >= self.total {
            return None;
        }
        let piece = match self.files.partition_point(|file| file.offset <= offset) {
            0 => offset / u64::from(self.piece_length),
            after => {
                let file = self.files[after - 1];
                u64::from(file.first_piece) + (offset - file.offset) / u64::from(self.piece_length)
            }
        };
        Some(PieceIndex(piece as u32))
    }

    /// The block that `request` names, if it is exactly one: this is where a peer's numbers become ours.
    pub fn block_at(&self, request: BlockRequest) -> Option<BlockAddress> {
        let address = BlockAddress { piece: request.piece, block: request.begin / BLOCK_LENGTH };
        let exact = self.has_piece(request.piece)
            && request.begin.is_multiple_of(BLOCK_LENGTH)
            && request.length > 0
            && request.length == self.block_len(address);
        exact.then_some(address)
    }

    /// Whether `request` lies within a piece and within a block's length: what may be served, though it need
    /// not be one of our blocks.
    pub fn contains(&self, request: BlockRequest) -> bool {
        let end = u64::from(request.begin) + u64::from(request.length);
        request.length > 0
            && request.length <= BLOCK_LENGTH
            && end <= u64::from(self.piece_len(request.piece))
    }

    /// How a block is named on the wire.
    pub fn request_for(&self, address: BlockAddress) -> BlockRequest {
        BlockRequest {
            piece: address.piece,
            begin: address.block * BLOCK_LENGTH,
            length: self.block_len(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_last_piece_of_a_uniform_layout_is_short() {
        let layout = Layout::uniform(100_000, 32_768).unwrap();
        assert_eq!(layout.piece_count(), 4);
        let lengths: Vec<u32> = layout.pieces().map(|piece| layout.piece_len(piece)).collect();
        assert_eq!(lengths, [32_768, 32_768, 32_768, 1_696]);
        assert_eq!(layout.blocks_in(PieceIndex(3)), 1);
        assert_eq!(layout.piece_len(PieceIndex(4)), 0);
    }

    #[test]
    fn a_file_aligned_layout_may_be_short_anywhere() {
        let layout = Layout::file_aligned([20_000, 0, 16_384, 5], 16_384).unwrap();
        let lengths: Vec<u32> = layout.pieces().map(|piece| layout.piece_len(piece)).collect();
        assert_eq!(lengths, [16_384, 3_616, 16_384, 5]);
        assert_eq!(layout.piece_at(20_000), Some(PieceIndex(2)));
        assert_eq!(layout.piece_at(19_999), Some(PieceIndex(1)));
    }

    #[test]
    fn a_request_must_name_a_block_exactly() {
        let layout = Layout::uniform(40_000, 32_768).unwrap();
        let request = |piece, begin, length| BlockRequest { piece: PieceIndex(piece), begin, length };
        let block = |piece, block| Some(BlockAddress { piece: PieceIndex(piece), block });
        assert_eq!(layout.block_at(request(0, 16_384, 16_384)), block(0, 1));
        assert_eq!(layout.block_at(request(1, 0, 7_232)), block(1, 0));
        for bad in [(0, 1, 16_384), (0, 32_768, 16_384), (0, 0, 0), (0, 0, 16_383), (1, 0, 16_384), (2, 0, 1)]
        {
            assert_eq!(layout.block_at(request(bad.0, bad.1, bad.2)), None, "{bad:?}");
        }
        assert!(layout.contains(request(0, 7, 100)));
        assert!(!layout.contains(request(0, u32::MAX, 16_384)));
        assert!(!layout.contains(request(9, 0, 1)));
    }

    #[test]
    fn impossible_geometry_is_refused() {
        assert_eq!(Layout::uniform(1, 0), Err(LayoutError::ZeroPieceLength));
        assert_eq!(Layout::uniform(1 << 62, 1), Err(LayoutError::TooManyPieces));
        assert_eq!(Layout::file_aligned([u64::MAX], 16_384), Err(LayoutError::TooManyPieces));
    }

    fn layouts() -> impl Strategy<Value = Layout> {
        let lengths = prop::collection::vec(0u64..200_000, 0..6);
        (lengths, 1u32..70_000, any::<bool>()).prop_map(|(lengths, piece_length, aligned)| {
            if aligned {
                Layout::file_aligned(lengths, piece_length).unwrap()
            } else {
                Layout::uniform(lengths.iter().sum(), piece_length).unwrap()
            }
        })
    }

    proptest! {
        #[test]
        fn pieces_and_blocks_cover_the_payload_once(layout in layouts()) {
            let mut next = 0;
            for piece in layout.pieces() {
                let range = layout.piece_range(piece);
                prop_assert_eq!(range.start, next);
                prop_assert!(range.end > range.start);
                prop_assert_eq!(layout.piece_at(range.start), Some(piece));
                prop_assert_eq!(layout.piece_at(range.end - 1), Some(piece));
                let blocks = (0..layout.blocks_in(piece)).map(|block| BlockAddress { piece, block });
                let mut sum = 0;
                for block in blocks {
                    prop_assert_eq!(layout.block_at(layout.request_for(block)), Some(block));
                    sum += layout.block_len(block);
                }
                prop_assert_eq!(sum, layout.piece_len(piece));
                next = range.end;
            }
            prop_assert_eq!(next, layout.total());
        }

        #[test]
        fn no_request_makes_it_panic(layout in layouts(), piece: u32, begin: u32, length: u32) {
            let request = BlockRequest { piece: PieceIndex(piece), begin, length };
            let block = layout.block_at(request);
            prop_assert!(block.is_none() || layout.contains(request) || length > BLOCK_LENGTH);
        }
    }
}
