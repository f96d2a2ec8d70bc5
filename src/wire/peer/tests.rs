//! What decoder, encoder and stream promise together.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;

use super::Inbound;
use super::decoder::{DecodeError, Decoder};
use super::message::{Handshake, Message, PROTOCOL, Reserved, encode, encoded_len};
use super::stream::PeerStream;
use crate::base::block_data::{BlockData, Buffer};
use crate::base::hash::Sha1Hash;
use crate::base::index::{BlockRequest, PieceIndex};
use crate::base::layout::BLOCK_LENGTH;
use crate::base::limit;
use crate::base::peer_id::PeerId;

const HANDSHAKE: Handshake = Handshake {
    reserved: Reserved::NONE.with_extension().with_fast(),
    info_hash: Sha1Hash([7; 20]),
    peer_id: PeerId(*b"-bg0100-abcdefghijkl"),
};

/// A connection that begins well and goes on with `messages`.
fn connection(messages: &[Message]) -> Vec<u8> {
    let mut bytes = HANDSHAKE.encode().to_vec();
    messages.iter().for_each(|message| encode(message, &mut bytes));
    bytes
}

/// What a stream makes of `bytes` that come in pieces of these lengths, and then the rest; each piece is
/// read behind the tail, as a reader with one buffer for all connections does.
fn feed_split(bytes: &[u8], lengths: &[usize]) -> (Vec<Inbound>, Result<(), DecodeError>) {
    let (mut stream, mut out, mut rest) = (PeerStream::new(), Vec::new(), bytes);
    let every_length = lengths.iter().copied().chain([usize::MAX]);
    for length in every_length {
        let (received, later) = rest.split_at(length.min(rest.len()));
        rest = later;
        assert!(stream.tail().len() <= PeerStream::TAIL_MAX);
        let shown: Arc<dyn Buffer> = Arc::new([stream.tail(), received].concat());
        let blocks = |range: Range<usize>| BlockData::new(shown.clone(), range.start, range.len()).unwrap();
        if let Err(error) = stream.feed(shown.bytes(), blocks, &mut out) {
            return (out, Err(error));
        }
    }
    (out, Ok(()))
}

#[test]
fn of_a_bitfield_that_the_torrent_cannot_have_nothing_more_is_gathered() {
    let bytes = connection(&[Message::Bitfield(vec![255; limit::PIECES as usize / 8].into())]);
    let (start, rest) = bytes.split_at(100_000);
    for pieces in [limit::PIECES, 1000] {
        let (mut stream, mut out) = (PeerStream::new(), Vec::new());
        stream.feed_copying(start, &mut out).unwrap();
        stream.expect_pieces(pieces);
        let is_refused = stream.feed_copying(&rest[..10], &mut out).is_err();
        assert_eq!((is_refused, out.len()), (pieces == 1000, 1));
    }
}

fn request() -> impl Strategy<Value = BlockRequest> {
    any::<(u32, u32, u32)>().prop_map(|(piece, begin, length)| BlockRequest {
        piece: PieceIndex(piece),
        begin,
        length,
    })
}

fn piece() -> impl Strategy<Value = PieceIndex> {
    any::<u32>().prop_map(PieceIndex)
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), prop_oneof![0..40usize, 0..=most])
        .prop_map(|(first, length)| (0..length).map(|at| first.wrapping_add(at as u8)).collect())
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::KeepAlive),
        Just(Message::Choke),
        Just(Message::Unchoke),
        Just(Message::Interested),
        Just(Message::NotInterested),
        piece().prop_map(Message::Have),
        bytes(limit::PIECES as usize / 8).prop_map(|bytes| Message::Bitfield(bytes.into())),
        request().prop_map(Message::Request),
        (piece(), any::<u32>(), bytes(BLOCK_LENGTH as usize))
            .prop_map(|(piece, begin, data)| Message::Piece { piece, begin, data: data.into() }),
        request().prop_map(Message::Cancel),
        any::<u16>().prop_map(Message::Port),
        piece().prop_map(Message::Suggest),
        Just(Message::HaveAll),
        Just(Message::HaveNone),
        request().prop_map(Message::Reject),
        piece().prop_map(Message::AllowedFast),
        (any::<u8>(), bytes(limit::EXTENSION_MESSAGE - 2))
            .prop_map(|(id, payload)| Message::Extended { id, payload: payload.into() }),
    ]
}

/// A message's bytes, and what is to become of them.
fn sent() -> impl Strategy<Value = (Vec<u8>, Message)> {
    let skipped = |id: u8, length: usize| {
        let bytes = [&(1 + length as u32).to_be_bytes()[..], &[id], &vec![id; length]].concat();
        (bytes, Message::Unknown { id, length: length as u32 })
    };
    let longest = limit::PEER_MESSAGE - 1;
    prop_oneof![
        8 => message().prop_map(|message| {
            let mut bytes = Vec::new();
            encode(&message, &mut bytes);
            (bytes, message)
        }),
        // Of kinds that nobody knows, and of extensions that need no such length.
        1 => (21..=u8::MAX, prop_oneof![0..40usize, 0..100_000usize, Just(longest)])
            .prop_map(move |(id, length)| skipped(id, length)),
        1 => (limit::EXTENSION_MESSAGE..=longest).prop_map(move |length| skipped(20, length)),
    ]
}

proptest! {
    #[test]
    fn what_is_sent_arrives_however_the_stream_is_split(
        sent in prop::collection::vec(sent(), 0..12),
        lengths in prop::collection::vec(prop_oneof![0..6usize, 0..40_000usize], 0..40),
        cuts in prop::collection::vec((0..12usize, 0..6usize), 0..4),
    ) {
        let (mut bytes, mut expected) = (HANDSHAKE.encode().to_vec(), vec![Inbound::Handshake(HANDSHAKE)]);
        let mut starts = Vec::new();
        for (message, inbound) in sent {
            starts.push(bytes.len());
            bytes.extend(message);
            expected.push(Inbound::Message(inbound));
        }
        // Anywhere, and in some messages' first bytes, where it is found out what they are.
        let mut ends: Vec<usize> = lengths.iter().scan(0, |end, length| { *end += length; Some(*end) }).collect();
        ends.extend(cuts.iter().filter_map(|(message, into)| Some(starts.get(*message)? + into)));
        ends.sort_unstable();
        let mut from = 0;
        let lengths: Vec<usize> = ends.iter().map(|end| end - std::mem::replace(&mut from, *end)).collect();
        prop_assert_eq!(feed_split(&bytes, &lengths), (expected, Ok(())));
    }

    #[test]
    fn garbage_is_the_same_garbage_however_it_is_split(
        messages in prop::collection::vec(message(), 0..4),
        // Lengths that are nearly right, so that more than the first prefix is looked at.
        garbage in prop::collection::vec((0..20u32, 0..24u8, prop::collection::vec(any::<u8>(), 0..20)), 1..20),
        lengths in prop::collection::vec(0..60usize, 0..40),
    ) {
        let mut bytes = connection(&messages);
        for (length, id, body) in garbage {
            bytes.extend(length.to_be_bytes());
            bytes.push(id);
            bytes.extend(body);
        }
        let whole = feed_split(&bytes, &[]);
        prop_assert!(whole.0.len() > messages.len());
        prop_assert_eq!(feed_split(&bytes, &lengths), whole);
    }

    #[test]
    fn a_message_is_as_long_as_foretold(message in message()) {
        let mut bytes = Vec::new();
        encode(&message, &mut bytes);
        prop_assert_eq!(encoded_len(&message), bytes.len());
    }
}

#[test]
fn every_byte_alone_is_enough() {
    let messages = [
        // A little longer than a tail may be.
        Message::Bitfield(vec![0xaa; PeerStream::TAIL_MAX].into()),
        Message::Piece { piece: PieceIndex(1), begin: 0, data: vec![1; 300].into() },
        Message::HaveAll,
    ];
    let bytes = connection(&messages);
    let (items, end) = feed_split(&bytes, &vec![1; bytes.len()]);
    assert_eq!((items.len(), end), (4, Ok(())));
    assert_eq!(items[1], Inbound::Message(messages[0].clone()));
}

#[test]
fn a_message_of_an_unknown_kind_is_skipped_and_never_kept() {
    let mut stream = PeerStream::new();
    let mut out = Vec::new();
    stream.feed_copying(&connection(&[]), &mut out).unwrap();
    stream.feed_copying(b"\0\x10\0\0\x63", &mut out).unwrap();
    let payload = vec![0; (1 << 20) - 1];
    for part in payload.chunks(30_000) {
        stream.feed_copying(part, &mut out).unwrap();
        assert_eq!(stream.kept(), 0);
    }
    stream.feed_copying(&[0, 0, 0, 1, 1], &mut out).unwrap();
    let unknown = Message::Unknown { id: 99, length: (1 << 20) - 1 };
    assert_eq!(out[1..], [Inbound::Message(unknown), Inbound::Message(Message::Unchoke)]);
}

#[test]
fn a_message_that_is_skipped_may_begin_with_a_read_of_its_length_alone() {
    let length = PeerStream::TAIL_MAX;
    let payload = vec![1; length];
    let mut stream = PeerStream::new();
    let mut out = Vec::new();
    stream.feed_copying(&connection(&[]), &mut out).unwrap();
    stream.feed_copying(&(1 + length as u32).to_be_bytes(), &mut out).unwrap();
    stream.feed_copying(&[99], &mut out).unwrap();
    stream.feed_copying(&payload[..9_000], &mut out).unwrap();
    assert_eq!(stream.kept(), 0);
    stream.feed_copying(&[&payload[9_000..], &[0, 0, 0, 1, 1]].concat(), &mut out).unwrap();
    let unknown = Message::Unknown { id: 99, length: length as u32 };
    assert_eq!(out[1..], [Inbound::Message(unknown), Inbound::Message(Message::Unchoke)]);
}

#[test]
fn an_endless_extension_message_is_not_kept() {
    let mut stream = PeerStream::new();
    let mut out = Vec::new();
    stream.feed_copying(&connection(&[]), &mut out).unwrap();
    stream.feed_copying(b"\0\x10\0\0\x14\0", &mut out).unwrap();
    stream.feed_copying(&[b'd'; 200_000], &mut out).unwrap();
    assert_eq!((stream.kept(), out.len()), (0, 1));
}

#[test]
fn nothing_is_kept_between_whole_messages() {
    let mut stream = PeerStream::new();
    let mut out = Vec::new();
    let bytes = connection(&[Message::Bitfield(vec![1; 50_000].into())]);
    let (first, last) = bytes.split_at(40_000);
    stream.feed_copying(first, &mut out).unwrap();
    assert!(stream.tail().is_empty() && stream.kept() > 39_000, "a long message gathers in the stream");
    stream.feed_copying(last, &mut out).unwrap();
    assert_eq!((out.len(), stream.kept()), (2, 0));
}

#[test]
fn what_came_before_an_error_is_not_lost() {
    let mut bytes = connection(&[Message::HaveAll]);
    bytes.extend(u32::MAX.to_be_bytes());
    let (items, end) = feed_split(&bytes, &[]);
    assert_eq!(items[1..], [Inbound::Message(Message::HaveAll)]);
    assert_eq!(end, Err(DecodeError::TooLong { length: u32::MAX }));
}

#[test]
fn a_handshake_stands_on_the_wire_as_bep_3_says() {
    let mut expected = PROTOCOL.to_vec();
    expected.extend([0, 0, 0, 0, 0, 0x10, 0, 0x04]);
    expected.extend([7; 20]);
    expected.extend(b"-bg0100-abcdefghijkl");
    assert_eq!(HANDSHAKE.encode().to_vec(), expected);
    assert_eq!(feed_split(&expected, &[67]).0, [Inbound::Handshake(HANDSHAKE)]);
}

#[test]
fn every_message_stands_on_the_wire_as_its_bep_says() {
    let piece = PieceIndex(42);
    let block = BlockRequest { piece, begin: 0x4000, length: 0x4000 };
    let block_with = |data: &[u8]| Message::Piece { piece, begin: 0x4000, data: data.to_vec().into() };
    let mut messages = BTreeMap::from([
        ("keep-alive", Message::KeepAlive),
        ("choke", Message::Choke),
        ("unchoke", Message::Unchoke),
        ("interested", Message::Interested),
        ("not-interested", Message::NotInterested),
        ("have", Message::Have(piece)),
        ("bitfield", Message::Bitfield([0xa0, 0x40].into())),
        ("request", Message::Request(block)),
        ("piece", block_with(b"abc")),
        ("piece-rejected", block_with(b"")),
        ("cancel", Message::Cancel(block)),
        ("port", Message::Port(6881)),
        ("suggest", Message::Suggest(piece)),
        ("have-all", Message::HaveAll),
        ("have-none", Message::HaveNone),
        ("reject", Message::Reject(block)),
        ("allowed-fast", Message::AllowedFast(piece)),
        ("extended", Message::Extended { id: 0, payload: (*b"d1:mdee").into() }),
        ("extended-3", Message::Extended { id: 3, payload: [0xff].into() }),
    ]);
    for line in include_str!("../../../fixtures/wire/peer_messages.txt").lines() {
        let (name, hex) = line.split_once(' ').unwrap();
        if name == "#" {
            continue;
        }
        let message = messages.remove(name).expect("every line has its message");
        let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        let golden: Vec<u8> = digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
        let mut encoded = Vec::new();
        encode(&message, &mut encoded);
        assert_eq!(encoded, golden, "{name}");
        let decoded = feed_split(&[&HANDSHAKE.encode()[..], &golden].concat(), &[]);
        assert_eq!(decoded.0[1..], [Inbound::Message(message)], "{name}");
    }
    assert!(messages.is_empty(), "not in the fixture: {:?}", messages.keys());
}

#[test]
fn a_decoder_holds_no_buffer() {
    assert!(size_of::<Decoder>() <= 16, "{} bytes", size_of::<Decoder>());
}
