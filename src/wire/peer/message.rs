//! The handshake and the messages of the peer wire, and how they are encoded (BEP 3, 5, 6, 10).
//!
//! Numbers are as the peer wrote them: whether a torrent has such a piece, and how many bytes its bitfield
//! has, is for those to check who know the torrent. [`decoder`](super::decoder) is the way back.

use std::fmt;

use crate::base::block_data::BlockData;
use crate::base::hash::Sha1Hash;
use crate::base::index::{BlockRequest, PieceIndex};
use crate::base::peer_id::PeerId;

/// How a handshake begins: the length of the protocol's name, and the name.
pub const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// The eight bytes of a handshake by which peers tell what they know besides BEP 3. Bits without a method
/// here are kept and mean nothing to us (BEP 4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Reserved(pub [u8; 8]);

/// Byte and bit of a capability.
type Flag = (usize, u8);
const EXTENSION: Flag = (5, 0x10);
const DHT: Flag = (7, 0x01);
const FAST: Flag = (7, 0x04);
const V2: Flag = (7, 0x10);

impl Reserved {
    /// No capability.
    pub const NONE: Reserved = Reserved([0; 8]);

    /// Whether it speaks the extension protocol (BEP 10).
    pub const fn has_extension(self) -> bool {
        self.has(EXTENSION)
    }

    /// Whether it has a DHT node (BEP 5).
    pub const fn has_dht(self) -> bool {
        self.has(DHT)
    }

    /// Whether it speaks the fast extension (BEP 6).
    pub const fn has_fast(self) -> bool {
        self.has(FAST)
    }

    /// Whether it can go on in the v2 swarm of a hybrid torrent (BEP 52).
    pub const fn has_v2(self) -> bool {
        self.has(V2)
    }

    /// With the extension protocol (BEP 10).
    pub const fn with_extension(self) -> Reserved {
        self.with(EXTENSION)
    }

    /// With a DHT node (BEP 5).
    pub const fn with_dht(self) -> Reserved {
        self.with(DHT)
    }

    /// With the fast extension (BEP 6).
    pub const fn with_fast(self) -> Reserved {
        self.with(FAST)
    }

    /// With the upgrade to v2 (BEP 52).
    pub const fn with_v2(self) -> Reserved {
        self.with(V2)
    }

    const fn has(self, (byte, bit): Flag) -> bool {
        self.0[byte] & bit != 0
    }

    const fn with(mut self, (byte, bit): Flag) -> Reserved {
        self.0[byte] |= bit;
        self
    }
}

/// The eight bytes in hex.
impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The first 68 bytes of a connection, each way (BEP 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handshake {
    /// What the sender knows besides BEP 3.
    pub reserved: Reserved,
    /// The torrent that it is about; the first 20 bytes of a v2 hash (BEP 52).
    pub info_hash: Sha1Hash,
    /// Who the sender says it is.
    pub peer_id: PeerId,
}

impl Handshake {
    /// Length, bytes.
    pub const LENGTH: usize = 68;

    /// The bytes on the wire.
    pub fn encode(&self) -> [u8; Handshake::LENGTH] {
        let mut bytes = [0; Handshake::LENGTH];
        bytes[..20].copy_from_slice(PROTOCOL);
        bytes[20..28].copy_from_slice(&self.reserved.0);
        bytes[28..48].copy_from_slice(&self.info_hash.0);
        bytes[48..].copy_from_slice(&self.peer_id.0);
        bytes
    }
}

/// A message of the peer wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Nothing, said so that the connection is not taken for dead.
    KeepAlive,
    /// I will not serve your requests.
    Choke,
    /// I will serve your requests.
    Unchoke,
    /// You have pieces that I want.
    Interested,
    /// You have nothing that I want.
    NotInterested,
    /// I have got this piece.
    Have(PieceIndex),
    /// The pieces that I have, as raw bytes:
    /// [`Bitfield::from_wire`](crate::base::bitfield::Bitfield::from_wire) checks their number.
    Bitfield(Box<[u8]>),
    /// Send me this block.
    Request(BlockRequest),
    /// A block. One without data is how BitComet rejects a request.
    Piece {
        /// The piece that the block belongs to.
        piece: PieceIndex,
        /// Offset of the block's first byte within the piece, bytes.
        begin: u32,
        /// The payload, at most 16 KiB.
        data: BlockData,
    },
    /// I do not need this block any longer.
    Cancel(BlockRequest),
    /// My DHT node listens on this UDP port (BEP 5).
    Port(u16),
    /// You might like this piece (BEP 6).
    Suggest(PieceIndex),
    /// I have every piece (BEP 6).
    HaveAll,
    /// I have no piece (BEP 6).
    HaveNone,
    /// I will not send this block that you asked for (BEP 6).
    Reject(BlockRequest),
    /// You may ask for this piece while choked (BEP 6).
    AllowedFast(PieceIndex),
    /// A message of the extension protocol (BEP 10).
    Extended {
        /// 0 is the extension handshake; others are as the receiver's extension handshake numbered them.
        id: u8,
        /// What comes after the id.
        payload: Box<[u8]>,
    },
    /// A message of a kind that we do not know, or of an extension and longer than we keep. Its payload was
    /// skipped, so it has no encoding.
    Unknown {
        /// Its kind.
        id: u8,
        /// How long its payload was, bytes.
        length: u32,
    },
}

/// The number that says what kind a message is: the byte after the length prefix.
pub(super) mod id {
    pub(crate) const CHOKE: u8 = 0;
    pub(crate) const UNCHOKE: u8 = 1;
    pub(crate) const INTERESTED: u8 = 2;
    pub(crate) const NOT_INTERESTED: u8 = 3;
    pub(crate) const HAVE: u8 = 4;
    pub(crate) const BITFIELD: u8 = 5;
    pub(crate) const REQUEST: u8 = 6;
    pub(crate) const PIECE: u8 = 7;
    pub(crate) const CANCEL: u8 = 8;
    pub(crate) const PORT: u8 = 9;
    pub(crate) const SUGGEST: u8 = 13;
    pub(crate) const HAVE_ALL: u8 = 14;
    pub(crate) const HAVE_NONE: u8 = 15;
    pub(crate) const REJECT: u8 = 16;
    pub(crate) const ALLOWED_FAST: u8 = 17;
    pub(crate) const EXTENDED: u8 = 20;
}

/// Length of what stands before a block's payload on the wire, bytes.
pub const PIECE_HEADER: usize = 13;

/// What stands before a block's payload on the wire: length prefix, kind, piece and offset. `length` is the
/// payload's, bytes.
pub fn encode_piece_header(piece: PieceIndex, begin: u32, length: u32) -> [u8; PIECE_HEADER] {
    let mut header = [0; PIECE_HEADER];
    header[..4].copy_from_slice(&length.saturating_add(9).to_be_bytes());
    header[4] = id::PIECE;
    header[5..9].copy_from_slice(&piece.0.to_be_bytes());
    header[9..].copy_from_slice(&begin.to_be_bytes());
    header
}

/// Appends `message` as it stands on the wire, length prefix first.
pub fn encode(message: &Message, out: &mut Vec<u8>) {
    match message {
        Message::KeepAlive => out.extend_from_slice(&[0; 4]),
        Message::Choke => put(out, id::CHOKE, &[]),
        Message::Unchoke => put(out, id::UNCHOKE, &[]),
        Message::Interested => put(out, id::INTERESTED, &[]),
        Message::NotInterested => put(out, id::NOT_INTERESTED, &[]),
        Message::Have(piece) => put(out, id::HAVE, &[&piece.0.to_be_bytes()]),
        Message::Bitfield(bytes) => put(out, id::BITFIELD, &[bytes]),
        Message::Request(block) => put(out, id::REQUEST, &[&encode_request(block)]),
        Message::Piece { piece, begin, data } => {
            out.extend_from_slice(&encode_piece_header(*piece, *begin, data.len()));
            out.extend_from_slice(data.bytes());
        }
        Message::Cancel(block) => put(out, id::CANCEL, &[&encode_request(block)]),
        Message::Port(port) => put(out, id::PORT, &[&port.to_be_bytes()]),
        Message::Suggest(piece) => put(out, id::SUGGEST, &[&piece.0.to_be_bytes()]),
        Message::HaveAll => put(out, id::HAVE_ALL, &[]),
        Message::HaveNone => put(out, id::HAVE_NONE, &[]),
        Message::Reject(block) => put(out, id::REJECT, &[&encode_request(block)]),
        Message::AllowedFast(piece) => put(out, id::ALLOWED_FAST, &[&piece.0.to_be_bytes()]),
        Message::Extended { id: extension, payload } => put(out, id::EXTENDED, &[&[*extension], payload]),
        Message::Unknown { .. } => {}
    }
}

/// How many bytes [`encode`] appends for `message`.
pub fn encoded_len(message: &Message) -> usize {
    match message {
        Message::KeepAlive => 4,
        Message::Choke
        | Message::Unchoke
        | Message::Interested
        | Message::NotInterested
        | Message::HaveAll
        | Message::HaveNone => 5,
        Message::Have(_) | Message::Suggest(_) | Message::AllowedFast(_) => 9,
        Message::Bitfield(bytes) => 5 + bytes.len(),
        Message::Request(_) | Message::Cancel(_) | Message::Reject(_) => 17,
        Message::Piece { data, .. } => PIECE_HEADER + data.len() as usize,
        Message::Port(_) => 7,
        Message::Extended { payload, .. } => 6 + payload.len(),
        Message::Unknown { .. } => 0,
    }
}

fn put(out: &mut Vec<u8>, id: u8, parts: &[&[u8]]) {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    out.extend_from_slice(&(length as u32).to_be_bytes());
    out.push(id);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn encode_request(block: &BlockRequest) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&block.piece.0.to_be_bytes());
    bytes[4..8].copy_from_slice(&block.begin.to_be_bytes());
    bytes[8..].copy_from_slice(&block.length.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_small_enough_to_be_moved_about() {
        assert!(size_of::<Message>() <= 40, "{} bytes", size_of::<Message>());
    }

    #[test]
    fn each_capability_has_its_own_bit() {
        let all = [
            Reserved::NONE.with_extension(),
            Reserved::NONE.with_dht(),
            Reserved::NONE.with_fast(),
            Reserved::NONE.with_v2(),
        ];
        for (at, one) in all.into_iter().enumerate() {
            let flags = [one.has_extension(), one.has_dht(), one.has_fast(), one.has_v2()];
            assert_eq!(flags, std::array::from_fn(|flag| flag == at));
        }
        assert_eq!(Reserved::NONE.with_extension().with_fast().with_dht().0, [0, 0, 0, 0, 0, 0x10, 0, 0x05]);
    }
}
