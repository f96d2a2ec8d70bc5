//! A connection between two hosts: what waits to be sent, what has arrived and is not read yet, and the
//! credit that each engine gave.
//!
//! A message link carries typed messages and only counts their bytes; a wire link encodes them, cuts the
//! bytes anywhere and puts them through the decoder that the sockets use. Messages go before blocks that are
//! still to be read from disk, in order; nothing overtakes on the way.

use std::collections::VecDeque;

use super::content::Content;
use super::world::HostId;
use crate::base::index::BlockRequest;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};
use crate::engine::action::Direction;
use crate::engine::bandwidth::Credit;
use crate::engine::input::{CloseCause, ConnectionId};
use crate::wire::peer::message::{encode, encoded_len};
use crate::wire::peer::stream::PeerStream;
use crate::wire::peer::{Handshake, Inbound, Message};

/// What links carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkKind {
    /// Typed messages: fast, for large swarms.
    Messages,
    /// Bytes, through the real codec.
    Wire,
}

/// What is under way to an end.
pub(super) enum Parcel {
    /// Messages, of so many bytes in all.
    Messages(Vec<Inbound>, u64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing more will come.
    End,
}

/// What waits to be sent.
pub(super) enum Outgoing {
    /// A handshake or a message.
    Item(Inbound),
    /// Bytes as they are: only a scripted peer sends such.
    Raw(Vec<u8>),
}

/// What one turn of a host's line takes from an end.
pub(super) struct Sent {
    pub(super) parcel: Parcel,
    pub(super) bytes: u64,
    /// How many of these are metered.
    pub(super) metered: u64,
    pub(super) blocks: Vec<BlockRequest>,
}

/// What one read brings.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) messages: Vec<Inbound>,
    /// Metered bytes.
    pub(super) metered: u64,
    /// The connection has ended.
    pub(super) closed: Option<CloseCause>,
    /// There is more to read.
    pub(super) has_more: bool,
}

/// Bytes that may be on their way to an end, or arrived and unread, before the sender must wait.
const WINDOW: u64 = 1024 * 1024;
/// Bytes of messages that one turn of the line takes at the most.
const TURN: u64 = 64 * 1024;

/// A connection. Side 0 has dialled.
pub(super) struct Link {
    pub(super) ends: [End; 2],
    pub(super) latency: Duration,
    kind: LinkKind,
}

/// One end of a connection.
pub(super) struct End {
    pub(super) host: HostId,
    pub(super) run: u32,
    pub(super) connection: ConnectionId,
    /// Whether the host has been told of it and it has not ended.
    pub(super) is_open: bool,
    /// Whether it reads what comes.
    is_reading: bool,
    /// Whether it waits for its turn on the host's line.
    pub(super) is_listed: bool,
    /// Nothing may arrive earlier than what was sent before it.
    pub(super) last_arrival: Instant,
    outgoing: VecDeque<Outgoing>,
    blocks: VecDeque<BlockRequest>,
    credit: [Credit; 2],
    inbox: VecDeque<Parcel>,
    /// Bytes on their way here, or here and unread.
    unread: u64,
    stream: PeerStream,
    /// Bytes that a read left for later.
    held: Vec<u8>,
}

impl End {
    /// A new end at a host, not open yet.
    pub(super) fn new(host: HostId, run: u32, connection: ConnectionId) -> End {
        End {
            host,
            run,
            connection,
            is_open: false,
            is_reading: true,
            is_listed: false,
            last_arrival: Instant::ZERO,
            outgoing: VecDeque::new(),
            blocks: VecDeque::new(),
            // Handshakes cost nothing: only then does the engine know whom it meters.
            credit: [Credit::new(Handshake::LENGTH as u32); 2],
            inbox: VecDeque::new(),
            unread: 0,
            stream: PeerStream::new(),
            held: Vec::new(),
        }
    }

    /// Gives credit.
    pub(super) fn allow(&mut self, direction: Direction, bytes: u64) {
        self.credit[direction as usize].allow(bytes);
    }

    /// No bitfield is longer than of so many pieces.
    pub(super) fn expect_pieces(&mut self, pieces: u32) {
        self.stream.expect_pieces(pieces);
    }

    /// Reads nothing more.
    pub(super) fn stop_reading(&mut self) {
        self.is_reading = false;
    }

    /// Queues something to be sent.
    pub(super) fn send(&mut self, outgoing: Outgoing) {
        self.outgoing.push_back(outgoing);
    }

    /// Queues blocks to be sent.
    pub(super) fn upload(&mut self, blocks: Vec<BlockRequest>) {
        self.blocks.extend(blocks);
    }

    /// Forgets blocks that wait to be sent; gives those that did.
    pub(super) fn retract(&mut self, blocks: &[BlockRequest]) -> Vec<BlockRequest> {
        let mut retracted = Vec::new();
        for block in blocks {
            if let Some(at) = self.blocks.iter().position(|waiting| waiting == block) {
                retracted.extend(self.blocks.remove(at));
            }
        }
        retracted
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_idle(&self) -> bool {
        self.outgoing.is_empty() && self.blocks.is_empty()
    }

    /// Ends it: what is queued or unread is gone.
    pub(super) fn close(&mut self) {
        self.is_open = false;
        self.outgoing = VecDeque::new();
        self.blocks = VecDeque::new();
        self.inbox = VecDeque::new();
        self.held = Vec::new();
    }

    fn may_move(&self, direction: Direction) -> bool {
        self.credit[direction as usize].left() > 0
    }

    /// Notes that bytes moved; gives those that count.
    fn spend(&mut self, direction: Direction, bytes: u64) -> u64 {
        if self.credit[direction as usize].spend(bytes) { bytes } else { 0 }
    }
}

impl Link {
    /// A connection between two ends.
    pub(super) fn new(ends: [End; 2], latency: Duration, kind: LinkKind) -> Link {
        Link { ends, latency, kind }
    }

    /// Takes what `side` sends in one turn of its line: waiting messages, else a block that there is credit for.
    /// `None` when there is nothing, or the other end doesn't keep up.
    pub(super) fn take(&mut self, side: usize, content: &Content) -> Option<Sent> {
        let kind = self.kind;
        let is_blocked = self.ends[1 - side].unread >= WINDOW;
        let end = &mut self.ends[side];
        if !end.is_open || end.is_idle() || is_blocked {
            return None;
        }
        let mut turn = Turn::new(kind);
        while let Some(outgoing) = end.outgoing.pop_front() {
            turn.add(outgoing);
            if turn.bytes >= TURN {
                break;
            }
        }
        let mut blocks = Vec::new();
        if turn.bytes == 0 && !end.may_move(Direction::Up) {
            return None;
        }
        if turn.bytes == 0
            && let Some(block) = end.blocks.pop_front()
            && let Some(data) = content.block(block)
        {
            let BlockRequest { piece, begin, .. } = block;
            turn.add(Outgoing::Item(Inbound::Message(Message::Piece { piece, begin, data })));
            blocks.push(block);
        }
        let metered = end.spend(Direction::Up, turn.bytes);
        self.ends[1 - side].unread += turn.bytes;
        let bytes = turn.bytes;
        Some(Sent { parcel: turn.parcel(), bytes, metered, blocks })
    }

    /// Something reaches `side`.
    pub(super) fn arrive(&mut self, side: usize, parcel: Parcel) {
        self.ends[side].inbox.push_back(parcel);
    }

    /// Reads at `side`: messages all that is there, bytes up to anywhere.
    pub(super) fn read(&mut self, side: usize, rng: &mut Rng) -> Reading {
        let end = &mut self.ends[side];
        let mut reading = Reading::default();
        if !end.is_open || !end.is_reading {
            return reading;
        }
        while end.held.is_empty()
            && (end.may_move(Direction::Down) || matches!(end.inbox.front(), Some(Parcel::End)))
        {
            let Some(parcel) = end.inbox.pop_front() else { break };
            match parcel {
                Parcel::Messages(messages, bytes) => {
                    end.unread = end.unread.saturating_sub(bytes);
                    reading.metered += end.spend(Direction::Down, bytes);
                    reading.messages.extend(messages);
                }
                Parcel::Bytes(bytes) => {
                    end.unread = end.unread.saturating_sub(bytes.len() as u64);
                    reading.metered += end.spend(Direction::Down, bytes.len() as u64);
                    end.held = bytes;
                }
                Parcel::End => {
                    reading.closed = Some(CloseCause::ByPeer);
                    return reading;
                }
            }
        }
        if !end.held.is_empty() {
            let cut = 1 + rng.below(end.held.len());
            let rest = end.held.split_off(cut);
            let received = std::mem::replace(&mut end.held, rest);
            if let Err(error) = end.stream.feed_copying(&received, &mut reading.messages) {
                reading.closed = Some(CloseCause::Malformed(error));
            }
            reading.has_more = !end.held.is_empty() || !end.inbox.is_empty();
        }
        reading
    }
}

/// What is put together for one turn of a line.
struct Turn {
    kind: LinkKind,
    messages: Vec<Inbound>,
    encoded: Vec<u8>,
    bytes: u64,
    is_malformed: bool,
}

impl Turn {
    fn new(kind: LinkKind) -> Turn {
        Turn { kind, messages: Vec::new(), encoded: Vec::new(), bytes: 0, is_malformed: false }
    }

    fn add(&mut self, outgoing: Outgoing) {
        match (outgoing, self.kind) {
            (Outgoing::Raw(bytes), _) => {
                self.bytes += bytes.len() as u64;
                self.encoded.extend(bytes);
                self.is_malformed = true;
            }
            (Outgoing::Item(item), LinkKind::Messages) => {
                self.bytes += length(&item) as u64;
                self.messages.push(item);
            }
            (Outgoing::Item(item), LinkKind::Wire) => {
                let before = self.encoded.len();
                match item {
                    Inbound::Handshake(handshake) => self.encoded.extend(handshake.encode()),
                    Inbound::Message(message) => encode(&message, &mut self.encoded),
                }
                self.bytes += (self.encoded.len() - before) as u64;
            }
        }
    }

    /// On a message link, raw bytes are garbage, and garbage ends the connection.
    fn parcel(self) -> Parcel {
        match self.kind {
            LinkKind::Wire => Parcel::Bytes(self.encoded),
            LinkKind::Messages if self.is_malformed => Parcel::End,
            LinkKind::Messages => Parcel::Messages(self.messages, self.bytes),
        }
    }
}

/// Bytes on the wire; at least one, so that an item without an encoding moves along too.
fn length(item: &Inbound) -> usize {
    match item {
        Inbound::Handshake(_) => Handshake::LENGTH,
        Inbound::Message(message) => encoded_len(message).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::index::PieceIndex;
    use crate::base::layout::BLOCK_LENGTH;
    use crate::base::peer_id::PeerId;
    use crate::wire::peer::message::Reserved;

    fn open_link(kind: LinkKind) -> (Link, Content) {
        let content = Content::new(&[1_000_000], 65_536, &mut Rng::from_number(1)).unwrap();
        let mut ends = [0, 1].map(|at| End::new(HostId(at), 0, ConnectionId(at as u32)));
        for end in &mut ends {
            end.is_open = true;
            end.allow(Direction::Up, u64::MAX);
            end.allow(Direction::Down, u64::MAX);
        }
        (Link::new(ends, Duration::ZERO, kind), content)
    }

    fn block(at: u32) -> BlockRequest {
        BlockRequest { piece: PieceIndex(at), begin: 0, length: BLOCK_LENGTH }
    }

    fn transfer(link: &mut Link, content: &Content, rng: &mut Rng) -> Vec<Inbound> {
        while let Some(sent) = link.take(0, content) {
            link.arrive(1, sent.parcel);
        }
        let mut all = Vec::new();
        loop {
            let reading = link.read(1, rng);
            assert_eq!(reading.closed, None);
            all.extend(reading.messages);
            if !reading.has_more {
                return all;
            }
        }
    }

    #[test]
    fn both_kinds_of_links_carry_the_same_messages() {
        let carry = |kind, seed| {
            let (mut link, content) = open_link(kind);
            let handshake = Handshake {
                reserved: Reserved::NONE,
                info_hash: Default::default(),
                peer_id: PeerId([7; 20]),
            };
            link.ends[0].send(Outgoing::Item(Inbound::Handshake(handshake)));
            link.ends[0].send(Outgoing::Item(Inbound::Message(Message::Unchoke)));
            link.ends[0].upload((0..5).map(block).collect());
            assert_eq!(link.ends[0].retract(&[block(2), block(7)]), [block(2)]);
            transfer(&mut link, &content, &mut Rng::from_number(seed))
        };
        let expected = carry(LinkKind::Messages, 0);
        assert_eq!(expected.len(), 6);
        for seed in 0..20 {
            assert_eq!(carry(LinkKind::Wire, seed), expected, "seed {seed}");
        }
    }

    #[test]
    fn nothing_moves_without_credit_or_beyond_the_window() {
        let (mut link, content) = open_link(LinkKind::Messages);
        link.ends[0].credit = [Credit::new(0); 2];
        link.ends[0].upload((0..2).map(block).collect());
        assert!(link.take(0, &content).is_none());
        link.ends[0].send(Outgoing::Item(Inbound::Message(Message::Unchoke)));
        assert!(link.take(0, &content).is_some_and(|sent| sent.blocks.is_empty()), "messages never wait");
        link.ends[0].allow(Direction::Up, 6);
        assert!(link.take(0, &content).is_some_and(|sent| sent.blocks.len() == 1));
        assert!(link.take(0, &content).is_none());
        link.ends[0].allow(Direction::Up, u64::MAX);
        link.ends[1].unread = WINDOW;
        assert!(link.take(0, &content).is_none());
    }
}
