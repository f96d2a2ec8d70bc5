//! Bytes to handshake and messages: total, bounded, and without a buffer of its own (BEP 3, 6, 10).
//!
//! It works on whatever contiguous bytes the caller has, and takes whole messages only; what is left over
//! the caller shows again, with more behind it. A block's payload is not copied: the caller learns where it
//! lies. Every length is checked as soon as the message's kind is known, so nobody waits for, or keeps, the
//! bytes of a message that will be refused; messages of unknown kinds, and those of extensions that are longer
//! than any extension needs, are skipped as they come. Whether a torrent has the piece that a message names
//! is for the engine to say.

use std::ops::Range;

use super::message::{Handshake, Message, PROTOCOL, Reserved, id};
use crate::base::hash::Sha1Hash;
use crate::base::index::{BlockRequest, PieceIndex};
use crate::base::layout::BLOCK_LENGTH;
use crate::base::limit;
use crate::base::peer_id::PeerId;

/// What a decoder finds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// The first 68 bytes.
    Handshake(Handshake),
    /// A whole message that carries no block.
    Message(Message),
    /// A block.
    Piece {
        /// The piece that the block belongs to.
        piece: PieceIndex,
        /// Offset of the block's first byte within the piece, bytes.
        begin: u32,
        /// Where the payload lies in the decoded bytes; at most 16 KiB, perhaps nothing.
        payload: Range<usize>,
    },
}

/// Why a peer's bytes make no sense. There is no way to go on with such a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The connection does not begin like BitTorrent. It may be encrypted.
    #[error("the peer does not speak BitTorrent")]
    NotBitTorrent,
    /// No message may be that long.
    #[error("the peer announces a message of {length} bytes")]
    TooLong {
        /// Length after the prefix, bytes.
        length: u32,
    },
    /// No message of this kind has that length.
    #[error("the peer sends a message of kind {id} with a length of {length} bytes")]
    WrongLength {
        /// The message's kind.
        id: u8,
        /// Length after the prefix, bytes.
        length: u32,
    },
}

/// Decodes one direction of one connection.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// How many pieces there are at the most.
    pieces: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    AwaitHandshake,
    Messages,
    /// In the payload of a message that is not kept: of kind `id`, `length` bytes, `left` of them to come.
    Skipping {
        id: u8,
        length: u32,
        left: u32,
    },
    Failed(DecodeError),
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder for a connection from its first byte.
    pub const fn new() -> Decoder {
        Decoder { state: State::AwaitHandshake, pieces: limit::PIECES }
    }

    /// The torrent is known, and has so many pieces: no longer bitfield is waited for.
    pub fn expect_pieces(&mut self, pieces: u32) {
        self.pieces = pieces.min(limit::PIECES);
    }

    /// The next item in `bytes` from `at`, which moves past what was taken. `None` when more bytes are
    /// needed: all from `at` must then be shown again, with more behind them. An error is final: it comes
    /// again at every further call.
    pub fn next(&mut self, bytes: &[u8], at: &mut usize) -> Result<Option<Item>, DecodeError> {
        let rest = bytes.get(*at..).unwrap_or_default();
        let found = match self.state {
            State::AwaitHandshake => self.decode_handshake(rest, at),
            State::Messages => self.decode_message(rest, at),
            State::Skipping { id, length, left } => Ok(self.skip(rest, at, id, length, left)),
            State::Failed(error) => Err(error),
        };
        found.inspect_err(|error| self.state = State::Failed(*error))
    }

    /// How many more bytes must follow `rest`, what [`next`](Decoder::next) has left over, before it can
    /// find another item. At least one: more may turn out to be needed.
    pub fn wanted(&self, rest: &[u8]) -> usize {
        let whole = match (self.state, rest.first_chunk()) {
            (State::AwaitHandshake, _) => Handshake::LENGTH,
            (State::Messages, None) => 4,
            (State::Messages, Some(prefix)) => 4 + u32::from_be_bytes(*prefix) as usize,
            (State::Skipping { left, .. }, _) => left as usize,
            (State::Failed(_), _) => 0,
        };
        whole.saturating_sub(rest.len()).max(1)
    }

    fn decode_handshake(&mut self, rest: &[u8], at: &mut usize) -> Result<Option<Item>, DecodeError> {
        if !rest.iter().zip(PROTOCOL).all(|(got, expected)| got == expected) {
            return Err(DecodeError::NotBitTorrent);
        }
        let mut fields = Fields(rest.get(PROTOCOL.len()..).unwrap_or_default());
        let (Some(reserved), Some(info_hash), Some(peer_id)) = (fields.take(), fields.take(), fields.take())
        else {
            return Ok(None);
        };
        self.state = State::Messages;
        *at += Handshake::LENGTH;
        let handshake = Handshake {
            reserved: Reserved(reserved),
            info_hash: Sha1Hash(info_hash),
            peer_id: PeerId(peer_id),
        };
        Ok(Some(Item::Handshake(handshake)))
    }

    fn decode_message(&mut self, rest: &[u8], at: &mut usize) -> Result<Option<Item>, DecodeError> {
        let mut fields = Fields(rest);
        let Some(length) = fields.u32() else { return Ok(None) };
        if length == 0 {
            *at += 4;
            return Ok(Some(Item::Message(Message::KeepAlive)));
        }
        if length as usize > limit::PEER_MESSAGE {
            return Err(DecodeError::TooLong { length });
        }
        let Some([id]) = fields.take() else { return Ok(None) };
        let expected = expected_length(id, self.pieces);
        if expected.as_ref().is_some_and(|expected| !expected.contains(&length)) {
            return Err(DecodeError::WrongLength { id, length });
        }
        if expected.is_none() || (id == id::EXTENDED && length as usize > limit::EXTENSION_MESSAGE) {
            *at += 5;
            return Ok(self.skip(fields.0, at, id, length - 1, length - 1));
        }
        let Some(body) = fields.0.get(..length as usize - 1) else { return Ok(None) };
        let Some(item) = decode_body(id, body, *at + 5) else {
            return Err(DecodeError::WrongLength { id, length });
        };
        *at += 4 + length as usize;
        Ok(Some(item))
    }

    fn skip(&mut self, rest: &[u8], at: &mut usize, id: u8, length: u32, left: u32) -> Option<Item> {
        let skipped = rest.len().min(left as usize);
        *at += skipped;
        let left = left - skipped as u32;
        self.state = if left == 0 { State::Messages } else { State::Skipping { id, length, left } };
        (left == 0).then_some(Item::Message(Message::Unknown { id, length }))
    }
}

/// The lengths, kind and payload together, that a message of kind `id` may have about so many pieces; `None` for a kind that we
/// do not know.
fn expected_length(id: u8, pieces: u32) -> Option<std::ops::RangeInclusive<u32>> {
    const MOST: u32 = limit::PEER_MESSAGE as u32;
    Some(match id {
        id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => 1..=1,
        id::HAVE | id::SUGGEST | id::ALLOWED_FAST => 5..=5,
        id::BITFIELD => 1..=1 + pieces.div_ceil(8),
        id::REQUEST | id::CANCEL | id::REJECT => 13..=13,
        id::PIECE => 9..=9 + BLOCK_LENGTH,
        id::PORT => 3..=3,
        id::EXTENDED => 2..=MOST,
        _ => return None,
    })
}

/// The message of kind `id` with this `body`, which stands at `start` in the decoded bytes. `None` when the
/// body is too short, which [`expected_length`] has ruled out.
fn decode_body(id: u8, body: &[u8], start: usize) -> Option<Item> {
    let mut fields = Fields(body);
    Some(Item::Message(match id {
        id::CHOKE => Message::Choke,
        id::UNCHOKE => Message::Unchoke,
        id::INTERESTED => Message::Interested,
        id::NOT_INTERESTED => Message::NotInterested,
        id::HAVE => Message::Have(fields.piece()?),
        id::BITFIELD => Message::Bitfield(body.into()),
        id::REQUEST => Message::Request(fields.request()?),
        id::PIECE => {
            let (piece, begin) = (fields.piece()?, fields.u32()?);
            return Some(Item::Piece { piece, begin, payload: start + 8..start + body.len() });
        }
        id::CANCEL => Message::Cancel(fields.request()?),
        id::PORT => Message::Port(u16::from_be_bytes(fields.take()?)),
        id::SUGGEST => Message::Suggest(fields.piece()?),
        id::HAVE_ALL => Message::HaveAll,
        id::HAVE_NONE => Message::HaveNone,
        id::REJECT => Message::Reject(fields.request()?),
        id::ALLOWED_FAST => Message::AllowedFast(fields.piece()?),
        id::EXTENDED => {
            let [extension] = fields.take()?;
            Message::Extended { id: extension, payload: fields.0.into() }
        }
        _ => return None,
    }))
}

/// What is left of a message, taken from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn piece(&mut self) -> Option<PieceIndex> {
        self.u32().map(PieceIndex)
    }

    fn request(&mut self) -> Option<BlockRequest> {
        Some(BlockRequest { piece: self.piece()?, begin: self.u32()?, length: self.u32()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a connection that is past its handshake makes of `bytes`.
    fn first(bytes: &[u8]) -> Result<Option<Item>, DecodeError> {
        Decoder { state: State::Messages, pieces: limit::PIECES }.next(bytes, &mut 0)
    }

    #[test]
    fn another_protocol_is_known_by_its_first_wrong_byte() {
        for (bytes, expected) in [
            (&b""[..], Ok(None)),
            (b"\x13BitT", Ok(None)),
            (b"\x13Bitt", Err(DecodeError::NotBitTorrent)),
            (b"GET / HTTP/1.1\r\n", Err(DecodeError::NotBitTorrent)),
            (b"\x00", Err(DecodeError::NotBitTorrent)),
            (b"\xff", Err(DecodeError::NotBitTorrent)),
        ] {
            assert_eq!(Decoder::new().next(bytes, &mut 0), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_by_its_prefix_alone() {
        let limit = limit::PEER_MESSAGE as u32;
        for length in [u32::MAX, 1 << 31, limit + 1] {
            assert_eq!(first(&length.to_be_bytes()), Err(DecodeError::TooLong { length }));
        }
        assert_eq!(first(&limit.to_be_bytes()), Ok(None));
    }

    #[test]
    fn a_wrong_length_is_refused_as_soon_as_the_kind_is_known() {
        for (id, lengths) in [
            (id::CHOKE, [2, 5]),
            (id::HAVE_NONE, [2, 5]),
            (id::HAVE, [1, 6]),
            (id::BITFIELD, [2 + limit::PIECES / 8, 1 << 20]),
            (id::REQUEST, [12, 14]),
            (id::PIECE, [8, 10 + BLOCK_LENGTH]),
            (id::CANCEL, [1, 17]),
            (id::PORT, [2, 4]),
            (id::ALLOWED_FAST, [4, 6]),
            (id::EXTENDED, [1, 1]),
        ] {
            for length in lengths {
                let bytes = [&length.to_be_bytes()[..], &[id]].concat();
                assert_eq!(first(&bytes), Err(DecodeError::WrongLength { id, length }), "{id} {length}");
            }
        }
    }

    #[test]
    fn a_bitfield_is_as_long_as_the_torrent_has_pieces_at_the_most() {
        let mut decoder = Decoder { state: State::Messages, pieces: limit::PIECES };
        assert_eq!(decoder.next(&[0, 0, 0, 4, id::BITFIELD], &mut 0), Ok(None));
        decoder.expect_pieces(16);
        assert_eq!(decoder.next(&[0, 0, 0, 3, id::BITFIELD], &mut 0), Ok(None));
        let refused = Err(DecodeError::WrongLength { id: id::BITFIELD, length: 4 });
        assert_eq!(decoder.next(&[0, 0, 0, 4, id::BITFIELD], &mut 0), refused);
    }

    #[test]
    fn a_block_is_found_where_it_lies() {
        let bytes = b"??\0\0\0\x0c\x07\0\0\0\x01\0\0\x40\0abc\0\0";
        let mut at = 2;
        let item = Decoder { state: State::Messages, pieces: limit::PIECES }.next(bytes, &mut at);
        let payload = 15..18;
        assert_eq!(&bytes[payload.clone()], b"abc");
        assert_eq!(item, Ok(Some(Item::Piece { piece: PieceIndex(1), begin: 0x4000, payload })));
        assert_eq!(at, 18);
    }

    #[test]
    fn a_block_without_data_is_passed_on() {
        let item = first(b"\0\0\0\x09\x07\0\0\0\x01\0\0\x40\0");
        assert_eq!(item, Ok(Some(Item::Piece { piece: PieceIndex(1), begin: 0x4000, payload: 13..13 })));
    }

    #[test]
    fn it_says_how_much_an_unfinished_message_lacks() {
        let decoder = Decoder { state: State::Messages, pieces: limit::PIECES };
        assert_eq!(Decoder::new().wanted(b"\x13Bit"), 64);
        assert_eq!(decoder.wanted(b""), 4);
        assert_eq!(decoder.wanted(b"\0\0\0"), 1);
        assert_eq!(decoder.wanted(b"\0\0\0\x0d\x06"), 12);
    }

    #[test]
    fn an_error_is_final() {
        let mut decoder = Decoder::new();
        assert!(decoder.next(b"x", &mut 0).is_err());
        assert_eq!(decoder.next(PROTOCOL, &mut 0), Err(DecodeError::NotBitTorrent));
    }
}
