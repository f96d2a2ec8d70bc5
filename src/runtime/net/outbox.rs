//! What waits to be sent on one connection.
//!
//! Messages of a turn are encoded behind each other and leave in one write. Uploads wait as requests; they
//! become bytes a few at a time, as the connection takes them, so that a peer that does not read costs
//! nothing.

use std::collections::VecDeque;

use crate::base::index::BlockRequest;
use crate::base::limit;
use crate::engine::order::TorrentId;
use crate::wire::peer::message::{self, PIECE_HEADER, encode_piece_header};
use crate::wire::peer::{Handshake, Message};

/// Blocks read and sent at a time.
const UPLOAD_BATCH: usize = 16;

/// A connection's outgoing half.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that are sent.
    sent: usize,
    uploads: VecDeque<(TorrentId, BlockRequest)>,
    /// Blocks that are being read.
    reading: Vec<BlockRequest>,
    /// Whether blocks that are read wait to be sent.
    has_blocks: bool,
}

#[derive(Debug, Default)]
struct Segment {
    bytes: Vec<u8>,
    /// The blocks that these bytes are; empty for messages.
    blocks: Vec<BlockRequest>,
}

impl Outbox {
    pub(crate) fn push_handshake(&mut self, handshake: &Handshake) {
        self.messages().extend_from_slice(&handshake.encode());
    }

    pub(crate) fn push(&mut self, message: &Message) {
        message::encode(message, self.messages());
    }

    /// The segment that messages are appended to: never one of blocks, and never one that is being sent.
    fn messages(&mut self) -> &mut Vec<u8> {
        let is_open = self.segments.back().is_some_and(|segment| segment.blocks.is_empty())
            && (self.segments.len() > 1 || self.sent == 0);
        if !is_open {
            self.segments.push_back(Segment::default());
        }
        &mut self.segments.back_mut().expect("one was just made sure of").bytes
    }

    /// Whether more waits to be read by the peer than an honest one leaves unread. Blocks do not count: of
    /// them one batch waits at the most.
    pub(crate) fn is_unread(&self) -> bool {
        let messages = self.segments.iter().filter(|segment| segment.blocks.is_empty());
        messages.map(|segment| segment.bytes.len()).sum::<usize>() > limit::UNREAD
    }

    pub(crate) fn push_uploads(&mut self, torrent: TorrentId, blocks: Vec<BlockRequest>) {
        self.uploads.extend(blocks.into_iter().map(|block| (torrent, block)));
    }

    /// Forgets uploads that are not bytes yet.
    pub(crate) fn retract(&mut self, blocks: &[BlockRequest]) {
        self.uploads.retain(|(_, upload)| !blocks.contains(upload));
        self.reading.retain(|block| !blocks.contains(block));
    }

    /// The next blocks to read, if it is time: one batch is read or waits at a time. It ends with the block that
    /// uses up the `allowed` bytes.
    pub(crate) fn next_batch(&mut self, mut allowed: u64) -> Option<(TorrentId, Vec<BlockRequest>)> {
        let (torrent, _) = *self.uploads.front()?;
        if self.has_blocks || allowed == 0 {
            return None;
        }
        let mut is_allowed = |block: &BlockRequest| {
            let is_allowed = allowed > 0;
            allowed = allowed.saturating_sub(PIECE_HEADER as u64 + u64::from(block.length));
            is_allowed
        };
        let batch = self.uploads.iter().take(UPLOAD_BATCH);
        let count = batch.take_while(|(of, block)| *of == torrent && is_allowed(block)).count();
        let batch: Vec<BlockRequest> = self.uploads.drain(..count).map(|(_, block)| block).collect();
        self.reading = batch.clone();
        self.has_blocks = true;
        Some((torrent, batch))
    }

    /// A batch is read: `bytes` has each block behind room for its header. Those retracted meanwhile are
    /// left out.
    pub(crate) fn push_batch(&mut self, batch: &[BlockRequest], mut bytes: Vec<u8>) {
        let reading = std::mem::take(&mut self.reading);
        let mut at = 0;
        for block in batch {
            let length = PIECE_HEADER + block.length as usize;
            if reading.contains(block) {
                let header = encode_piece_header(block.piece, block.begin, block.length);
                bytes[at..at + PIECE_HEADER].copy_from_slice(&header);
                at += length;
            } else {
                bytes.drain(at..at + length);
            }
        }
        self.has_blocks = !reading.is_empty();
        if self.has_blocks {
            self.segments.push_back(Segment { bytes, blocks: reading });
        }
    }

    /// The next bytes to send; empty when nothing waits.
    pub(crate) fn unsent(&self) -> &[u8] {
        self.segments.front().map_or(&[], |segment| &segment.bytes[self.sent..])
    }

    /// Notes that `count` bytes of [`Outbox::unsent`] are sent; gives the blocks that are now complete.
    pub(crate) fn on_sent(&mut self, count: usize) -> Vec<BlockRequest> {
        self.sent += count;
        if self.segments.front().is_none_or(|segment| self.sent < segment.bytes.len()) {
            return Vec::new();
        }
        self.sent = 0;
        let done = self.segments.pop_front().unwrap_or_default();
        if !done.blocks.is_empty() {
            self.has_blocks = false;
        }
        done.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::index::PieceIndex;

    fn request(begin: u32) -> BlockRequest {
        BlockRequest { piece: PieceIndex(0), begin, length: 4 }
    }

    /// Sends everything, `step` bytes at a time.
    fn drain(outbox: &mut Outbox, step: usize) -> (Vec<u8>, Vec<BlockRequest>) {
        let (mut bytes, mut blocks) = (Vec::new(), Vec::new());
        while !outbox.unsent().is_empty() {
            let part = outbox.unsent()[..step.min(outbox.unsent().len())].to_vec();
            bytes.extend_from_slice(&part);
            blocks.extend(outbox.on_sent(part.len()));
        }
        (bytes, blocks)
    }

    #[test]
    fn messages_pushed_while_one_is_half_sent_keep_their_order() {
        let mut outbox = Outbox::default();
        outbox.push(&Message::Choke);
        outbox.on_sent(2);
        outbox.push(&Message::Unchoke);
        assert_eq!(drain(&mut outbox, 3).0, [0, 1, 0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn a_peer_that_leaves_too_much_unread_is_found_out() {
        let mut outbox = Outbox::default();
        let haves = limit::UNREAD as u32 / 9;
        (0..haves).for_each(|piece| outbox.push(&Message::Have(PieceIndex(piece))));
        assert!(!outbox.is_unread());
        outbox.on_sent(1);
        outbox.push(&Message::Have(PieceIndex(0)));
        assert!(outbox.is_unread(), "what is half sent waits still");
        drain(&mut outbox, 1 << 20);
        assert!(!outbox.is_unread());
    }

    #[test]
    fn a_block_retracted_while_it_is_read_is_not_sent() {
        let mut outbox = Outbox::default();
        outbox.push_uploads(TorrentId(0), vec![request(0), request(4), request(8)]);
        let (_, batch) = outbox.next_batch(u64::MAX).unwrap();
        outbox.retract(&[request(4)]);
        assert!(outbox.next_batch(u64::MAX).is_none());
        let mut bytes = Vec::new();
        for block in &batch {
            bytes.extend_from_slice(&[0; PIECE_HEADER]);
            bytes.extend_from_slice(&[block.begin as u8; 4]);
        }
        outbox.push_batch(&batch, bytes);
        let (sent, blocks) = drain(&mut outbox, 5);
        assert_eq!(blocks, [request(0), request(8)]);
        assert_eq!(sent.len(), 2 * (PIECE_HEADER + 4));
        assert_eq!(sent[PIECE_HEADER + 4..][..PIECE_HEADER], encode_piece_header(PieceIndex(0), 8, 4));
        assert_eq!(sent[sent.len() - 4..], [8; 4]);
    }

    #[test]
    fn a_batch_ends_with_the_block_that_uses_up_what_is_allowed() {
        let mut outbox = Outbox::default();
        outbox.push_uploads(TorrentId(0), vec![request(0), request(4), request(8)]);
        assert_eq!(outbox.next_batch(0), None);
        let block = PIECE_HEADER as u64 + 4;
        assert_eq!(outbox.next_batch(block + 1).unwrap().1, [request(0), request(4)]);
    }

    #[test]
    fn a_batch_that_is_wholly_retracted_lets_the_next_be_read() {
        let mut outbox = Outbox::default();
        outbox.push_uploads(TorrentId(0), vec![request(0)]);
        let (_, batch) = outbox.next_batch(u64::MAX).unwrap();
        outbox.retract(&batch);
        outbox.push_batch(&batch, vec![0; PIECE_HEADER + 4]);
        assert!(outbox.unsent().is_empty());
        outbox.push_uploads(TorrentId(0), vec![request(4)]);
        assert!(outbox.next_batch(u64::MAX).is_some());
    }
}
