//! One connection's incoming bytes: the decoder and the beginning of an unfinished message.
//!
//! The one type that runtime and simulator put on any byte stream. It owns no read buffer. The reader has
//! one for all connections: it copies the [`tail`](PeerStream::tail) to the buffer's front, reads behind it
//! and [feeds](PeerStream::feed) the whole; what makes no whole message is the next tail. A message longer
//! than any block would crowd the buffer, so its bytes gather here and the tail stays empty meanwhile.
//! How a block's payload is kept, by copying it or by sharing the buffer, is the reader's choice. Bytes of
//! an encrypted connection are deciphered in place, behind the tail, before they are fed.

use std::ops::Range;

use super::decoder::{DecodeError, Decoder, Item};
use super::message::PIECE_HEADER;
use super::{Inbound, Message};
use crate::base::block_data::BlockData;
use crate::base::layout::BLOCK_LENGTH;

/// The incoming half of one connection.
#[derive(Clone, Debug, Default)]
pub struct PeerStream {
    decoder: Decoder,
    /// The bytes of an unfinished message.
    unfinished: Vec<u8>,
    /// Whether `unfinished` gathers here rather than being shown again.
    gathering: bool,
}

impl PeerStream {
    /// The longest tail, and how much room of the reader's buffer it may take, bytes: a block's message.
    pub const TAIL_MAX: usize = PIECE_HEADER + BLOCK_LENGTH as usize;

    /// A connection's incoming half, from the first byte.
    pub fn new() -> PeerStream {
        PeerStream::default()
    }

    /// What must stand before the next received bytes; at most [`TAIL_MAX`](PeerStream::TAIL_MAX) bytes.
    /// It stays the same until the next [`feed`](PeerStream::feed), so a read may come to nothing.
    pub fn tail(&self) -> &[u8] {
        if self.gathering { &[] } else { &self.unfinished }
    }

    /// Bytes of an unfinished message that are kept here.
    pub fn kept(&self) -> usize {
        self.unfinished.len()
    }

    /// The torrent is known, and has so many pieces: no longer bitfield is gathered.
    pub fn expect_pieces(&mut self, pieces: u32) {
        self.decoder.expect_pieces(pieces);
    }

    /// Takes `bytes`, which begin with the [`tail`](PeerStream::tail), and appends to `out` what they hold.
    /// `blocks` makes a block's payload of a range of `bytes`. After an error, which is final, `out` has
    /// all that came before it.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut blocks: impl FnMut(Range<usize>) -> BlockData,
        out: &mut Vec<Inbound>,
    ) -> Result<(), DecodeError> {
        let mut at = 0;
        if self.gathering {
            at = self.gather(bytes, out)?;
            if self.gathering {
                return Ok(());
            }
        }
        while let Some(item) = self.decoder.next(bytes, &mut at)? {
            out.push(match item {
                Item::Handshake(handshake) => Inbound::Handshake(handshake),
                Item::Message(message) => Inbound::Message(message),
                Item::Piece { piece, begin, payload } => {
                    Inbound::Message(Message::Piece { piece, begin, data: blocks(payload) })
                }
            });
        }
        self.keep(&bytes[at..]);
        Ok(())
    }

    /// As [`feed`](PeerStream::feed), for bytes without the tail before them; copies each block.
    pub fn feed_copying(&mut self, received: &[u8], out: &mut Vec<Inbound>) -> Result<(), DecodeError> {
        let joined;
        let bytes = if self.tail().is_empty() {
            received
        } else {
            joined = [self.tail(), received].concat();
            &joined
        };
        self.feed(bytes, |range| BlockData::from(bytes[range].to_vec()), out)
    }

    /// Adds to a long message what `bytes` have of it; says how much that was.
    fn gather(&mut self, bytes: &[u8], out: &mut Vec<Inbound>) -> Result<usize, DecodeError> {
        let taken = bytes.len().min(self.decoder.wanted(&self.unfinished));
        self.unfinished.extend_from_slice(&bytes[..taken]);
        let mut at = 0;
        if let Some(Item::Message(message)) = self.decoder.next(&self.unfinished, &mut at)? {
            out.push(Inbound::Message(message));
        }
        // Without a message too: once its kind is known, the decoder may skip it, and wants none of it again.
        if at > 0 {
            self.gathering = false;
            self.unfinished = Vec::new();
        }
        Ok(taken)
    }

    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.unfinished = Vec::new();
            return;
        }
        self.gathering = rest.len() + self.decoder.wanted(rest) > PeerStream::TAIL_MAX;
        self.unfinished.clear();
        self.unfinished.reserve_exact(rest.len());
        self.unfinished.extend_from_slice(rest);
    }
}
