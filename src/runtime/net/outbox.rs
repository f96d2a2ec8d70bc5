//! What waits to be sent on one connection.
//!
//! Messages of a turn are encoded behind each other and leave in one write. They go before blocks, all but the rest
//! of one that has begun to leave: on a slow line they would else wait long for what nobody waits for so much.
//! Uploads wait as requests; they become bytes a few at a time, as the connection takes them, so that a peer that
//! does not read costs no more than one batch.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::block_row::{BlockRow, ReadRow};
use super::row_length::RowLength;
use crate::base::index::BlockRequest;
use crate::base::limit;
use crate::engine::order::TorrentId;
use crate::wire::peer::message::{self, PIECE_HEADER};
use crate::wire::peer::{Handshake, Message};

/// Bytes of messages that a connection keeps room for.
const SPARE: usize = 1024;

/// A connection's outgoing half.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    messages: Vec<u8>,
    /// Bytes of the messages that are sent.
    sent: usize,
    /// The batch that is read and waits to be sent.
    row: Option<BlockRow>,
    uploads: VecDeque<(TorrentId, BlockRequest)>,
    /// Blocks that are being read.
    reading: Vec<BlockRequest>,
    /// Whether blocks are being read, even if all of them are taken back by now.
    is_reading: bool,
    row_length: RowLength,
}

impl Outbox {
    pub(crate) fn push_handshake(&mut self, handshake: &Handshake) {
        self.messages.extend_from_slice(&handshake.encode());
    }

    pub(crate) fn push(&mut self, message: &Message) {
        message::encode(message, &mut self.messages);
    }

    /// Whether more waits to be read by the peer than an honest one leaves unread. Blocks do not count: of
    /// them one batch waits at the most.
    pub(crate) fn is_unread(&self) -> bool {
        self.messages.len() - self.sent > limit::UNREAD
    }

    pub(crate) fn push_uploads(&mut self, torrent: TorrentId, blocks: Vec<BlockRequest>) {
        self.uploads.extend(blocks.into_iter().map(|block| (torrent, block)));
    }

    /// Forgets uploads that have not begun to leave: one for each of `blocks`, as a block may be queued more
    /// than once. Gives those that it forgot.
    pub(crate) fn retract(&mut self, blocks: &[BlockRequest]) -> Vec<BlockRequest> {
        let mut retracted = Vec::new();
        let mut counts: HashMap<BlockRequest, usize> = HashMap::new();
        blocks.iter().for_each(|block| *counts.entry(*block).or_default() += 1);
        let mut is_retracted = |block: &BlockRequest| {
            let Some(left) = counts.get_mut(block).filter(|left| **left > 0) else { return false };
            *left -= 1;
            retracted.push(*block);
            true
        };
        self.uploads.retain(|(_, block)| !is_retracted(block));
        self.reading.retain(|block| !is_retracted(block));
        self.row.take_if(|row| !row.retract(&mut is_retracted));
        retracted
    }

    /// The next blocks to read, at most `most`, if it is time: one batch is read or waits at a time, and none is
    /// read while something else waits to be sent. It ends with the block that uses up the `allowed` bytes.
    pub(crate) fn next_batch(
        &mut self,
        most: usize,
        mut allowed: u64,
    ) -> Option<(TorrentId, Vec<BlockRequest>)> {
        let (torrent, _) = *self.uploads.front()?;
        if self.is_reading || self.row.is_some() || !self.messages.is_empty() || allowed == 0 {
            return None;
        }
        let mut is_allowed = |block: &BlockRequest| {
            let is_allowed = allowed > 0;
            allowed = allowed.saturating_sub(PIECE_HEADER as u64 + u64::from(block.length));
            is_allowed
        };
        let waiting = self.uploads.iter().take_while(|(of, block)| *of == torrent && is_allowed(block));
        let count = self.row_length.of(most, waiting.map(|(_, block)| *block));
        let batch: Vec<BlockRequest> = self.uploads.drain(..count).map(|(_, block)| block).collect();
        self.reading.clone_from(&batch);
        self.is_reading = true;
        Some((torrent, batch))
    }

    /// The connection takes no more for now.
    pub(crate) fn on_full(&mut self) {
        self.row_length.on_full();
    }

    /// A batch is read, maybe within a longer row. Blocks retracted meanwhile are left out.
    pub(crate) fn push_batch(&mut self, batch: &[BlockRequest], row: Rc<ReadRow>) {
        self.row = BlockRow::new(batch, &std::mem::take(&mut self.reading), row);
        self.is_reading = false;
    }

    /// A batch cannot be read: nothing of it will leave.
    pub(crate) fn drop_batch(&mut self) {
        self.reading.clear();
        self.is_reading = false;
    }

    /// The next bytes to send; empty when nothing waits.
    pub(crate) fn unsent(&self) -> &[u8] {
        let messages = &self.messages[self.sent..];
        match &self.row {
            Some(row) if messages.is_empty() => row.unsent(),
            // The other side counts bytes.
            Some(row) if row.has_begun() => row.begun(),
            _ => messages,
        }
    }

    /// Notes that `count` bytes of [`Outbox::unsent`] are sent; gives the blocks that are sent to their end.
    pub(crate) fn on_sent(&mut self, count: usize) -> Vec<BlockRequest> {
        match &mut self.row {
            Some(row) if self.messages.is_empty() || row.has_begun() => {
                self.row_length.on_taken(count);
                let blocks = row.on_sent(count);
                self.row.take_if(|row| row.is_done());
                blocks
            }
            _ => {
                self.sent += count;
                // A peer may forever be sent more messages before it has taken the last.
                if self.sent >= self.messages.len() / 2 {
                    self.messages.drain(..std::mem::take(&mut self.sent));
                    self.messages.shrink_to(SPARE.max(self.messages.len()));
                }
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::index::PieceIndex;
    use crate::runtime::net::block_row::RowBuffers;
    use crate::wire::peer::message::encode_piece_header;

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
        let (_, batch) = outbox.next_batch(8, u64::MAX).unwrap();
        assert_eq!(outbox.retract(&[request(4), request(4)]), [request(4)]);
        assert!(outbox.next_batch(8, u64::MAX).is_none());
        outbox.push_batch(&batch, read(&batch, &Rc::default()));
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
        assert_eq!(outbox.next_batch(8, 0), None);
        let block = PIECE_HEADER as u64 + 4;
        assert_eq!(outbox.next_batch(8, block + 1).unwrap().1, [request(0), request(4)]);
    }

    #[test]
    fn a_batch_that_is_wholly_retracted_lets_the_next_be_read() {
        let mut outbox = Outbox::default();
        outbox.push_uploads(TorrentId(0), vec![request(0)]);
        let (_, batch) = outbox.next_batch(8, u64::MAX).unwrap();
        outbox.retract(&batch);
        outbox.push_batch(&batch, read(&batch, &Rc::default()));
        assert!(outbox.unsent().is_empty());
        outbox.push_uploads(TorrentId(0), vec![request(4)]);
        assert!(outbox.next_batch(8, u64::MAX).is_some());
    }

    /// What a reader gives for a batch: each block is full of its place.
    fn read(batch: &[BlockRequest], buffers: &Rc<RowBuffers>) -> Rc<ReadRow> {
        let (mut at, mut bytes) = (0, buffers.take());
        for block in batch {
            let end = at + PIECE_HEADER + block.length as usize;
            bytes.resize(bytes.len().max(end), 0xee);
            bytes[at + PIECE_HEADER..end].fill(block.begin as u8);
            at = end;
        }
        Rc::new(ReadRow::new(batch.to_vec(), bytes, buffers.clone()))
    }

    #[test]
    fn of_blocks_that_wait_to_be_sent_only_the_one_that_has_begun_is_beyond_recall() {
        let mut outbox = Outbox::default();
        let blocks: Vec<BlockRequest> = (0..8).map(|at| request(4 * at)).collect();
        outbox.push_uploads(TorrentId(0), blocks.clone());
        let (_, batch) = outbox.next_batch(8, u64::MAX).unwrap();
        outbox.push_batch(&batch, read(&batch, &Rc::default()));
        let whole = PIECE_HEADER + 4;
        assert_eq!(outbox.on_sent(whole + 1), [request(0)], "told as soon as it has left");
        assert_eq!(outbox.retract(&blocks), blocks[2..], "one has left, one has begun to");
        assert_eq!(outbox.unsent().len(), whole - 1);
        assert_eq!(drain(&mut outbox, 100).1, [request(4)]);

        outbox.push_uploads(TorrentId(0), blocks.clone());
        let (_, batch) = outbox.next_batch(8, u64::MAX).unwrap();
        outbox.push_batch(&batch, read(&batch, &Rc::default()));
        outbox.on_sent(whole);
        outbox.retract(&blocks);
        outbox.push_uploads(TorrentId(0), vec![request(8)]);
        assert!(outbox.unsent().is_empty() && outbox.next_batch(8, u64::MAX).is_some());
    }

    #[test]
    fn a_peer_that_does_not_read_holds_one_batch_and_no_more() {
        let mut outbox = Outbox::default();
        let blocks = (0..u32::from(limit::REQUESTS_IN)).map(|at| request(4 * at)).collect();
        outbox.push_uploads(TorrentId(0), blocks);
        let (_, batch) = outbox.next_batch(8, u64::MAX).unwrap();
        assert_eq!(batch.len(), 8);
        assert!(outbox.next_batch(8, u64::MAX).is_none(), "while one is read");
        outbox.push_batch(&batch, read(&batch, &Rc::default()));
        outbox.on_sent(1);
        assert!(outbox.next_batch(8, u64::MAX).is_none(), "while one waits");
        outbox.on_sent(outbox.unsent().len());
        outbox.push(&Message::Choke);
        assert!(outbox.next_batch(8, u64::MAX).is_none(), "while messages wait");
        outbox.on_sent(outbox.unsent().len());
        assert!(outbox.next_batch(8, u64::MAX).is_some());
    }

    #[test]
    fn messages_go_before_blocks_that_have_not_begun_to_leave() {
        let mut outbox = Outbox::default();
        let blocks: Vec<BlockRequest> = (0..8).map(|at| request(4 * at)).collect();
        outbox.push_uploads(TorrentId(0), blocks);
        let (_, batch) = outbox.next_batch(8, u64::MAX).unwrap();
        outbox.push_batch(&batch, read(&batch, &Rc::default()));
        outbox.on_sent(PIECE_HEADER + 4 + 1);
        outbox.push(&Message::Have(PieceIndex(7)));
        assert_eq!(outbox.unsent().len(), PIECE_HEADER + 4 - 1, "the rest of a block that has begun");
        outbox.on_sent(outbox.unsent().len());
        assert_eq!(outbox.unsent(), [0, 0, 0, 5, 4, 0, 0, 0, 7]);
        outbox.on_sent(5);
        outbox.push(&Message::Choke);
        assert_eq!(outbox.unsent(), [0, 0, 0, 7, 0, 0, 0, 1, 0]);
        outbox.on_sent(9);
        assert_eq!(outbox.unsent().len(), 6 * (PIECE_HEADER + 4), "the other blocks in one");
    }

    #[test]
    fn what_a_peer_has_taken_of_messages_that_never_end_is_let_go_of() {
        let mut outbox = Outbox::default();
        for _ in 0..100_000 {
            outbox.push(&Message::Have(PieceIndex(7)));
            outbox.on_sent(8);
            outbox.push(&Message::Have(PieceIndex(7)));
            outbox.on_sent(10);
        }
        assert!(outbox.messages.capacity() <= 2 * SPARE, "{} bytes", outbox.messages.capacity());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Ask(Vec<u32>),
        /// Takes back the blocks, whether they were asked for or not.
        Retract(Vec<u32>),
        Have,
        Begin,
        Read,
        Send(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let blocks = || prop::collection::vec((0..12u32).prop_map(|at| 4 * at), 1..10);
        prop_oneof![
            blocks().prop_map(Step::Ask),
            blocks().prop_map(Step::Retract),
            Just(Step::Have),
            Just(Step::Begin),
            Just(Step::Read),
            (1..120usize).prop_map(Step::Send),
        ]
    }

    fn requests(begins: &[u32]) -> Vec<BlockRequest> {
        begins.iter().map(|begin| request(*begin)).collect()
    }

    /// The blocks of a stream, each checked against what it should hold; anything but blocks and haves fails.
    fn blocks_of(mut stream: &[u8]) -> Vec<BlockRequest> {
        let mut blocks = Vec::new();
        while let [_, _, _, 5, rest @ ..] | [_, _, _, 13, rest @ ..] = stream {
            let is_have = rest[0] == 4;
            if !is_have {
                let begin = u32::from(rest[8]);
                assert_eq!(stream[..PIECE_HEADER], encode_piece_header(PieceIndex(0), begin, 4));
                assert_eq!(stream[PIECE_HEADER..][..4], [begin as u8; 4]);
                blocks.push(request(begin));
            }
            stream = &stream[if is_have { 9 } else { PIECE_HEADER + 4 }..];
        }
        assert!(stream.is_empty(), "{stream:?}");
        blocks
    }

    proptest! {
        #[test]
        fn through_any_order_of_events_what_leaves_are_whole_blocks_that_were_asked_for_and_are_told(
            steps in prop::collection::vec(step(), 0..60),
        ) {
            let mut outbox = Outbox::default();
            let (mut asked, mut taken_back) = (0, 0);
            let (mut stream, mut told) = (Vec::new(), Vec::new());
            let (mut reading, buffers) = (None, Rc::default());
            let mut take = |outbox: &mut Outbox, count: usize| {
                let count = count.min(outbox.unsent().len());
                stream.extend_from_slice(&outbox.unsent()[..count]);
                told.extend(outbox.on_sent(count));
            };
            for step in steps {
                match step {
                    Step::Ask(begins) => {
                        asked += begins.len();
                        outbox.push_uploads(TorrentId(0), requests(&begins));
                    }
                    Step::Retract(begins) => taken_back += outbox.retract(&requests(&begins)).len(),
                    Step::Have => outbox.push(&Message::Have(PieceIndex(7))),
                    Step::Begin => reading = outbox.next_batch(8, u64::MAX).or(reading),
                    Step::Read => if let Some((_, batch)) = reading.take() {
                        outbox.push_batch(&batch, read(&batch, &buffers));
                    },
                    Step::Send(count) => take(&mut outbox, count),
                }
            }
            loop {
                reading = outbox.next_batch(8, u64::MAX).or(reading);
                if let Some((_, batch)) = reading.take() {
                    outbox.push_batch(&batch, read(&batch, &buffers));
                } else if outbox.unsent().is_empty() {
                    break;
                }
                take(&mut outbox, usize::MAX);
            }
            prop_assert!(outbox.uploads.is_empty(), "nothing is left lying");
            prop_assert_eq!(blocks_of(&stream), told.clone());
            prop_assert_eq!(told.len() + taken_back, asked, "each has one answer");
        }
    }
}
