//! Peers that behave badly, each in one way.
//!
//! All but the mute ones shake hands and claim to have everything; what follows is their own.

use std::collections::{BTreeMap, VecDeque};

use super::scripted::{Hand, PeerEvent, ScriptedPeer};
use crate::base::bitfield::Bitfield;
use crate::base::block_data::BlockData;
use crate::base::index::{BlockRequest, PieceIndex};
use crate::base::layout::BLOCK_LENGTH;
use crate::base::peer_id::PeerId;
use crate::base::time::Duration;
use crate::engine::input::ConnectionId;
use crate::wire::peer::message::Reserved;
use crate::wire::peer::{Handshake, Inbound, Message};

/// In which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lie {
    /// Serves, and every so many blocks one is wrong.
    BadBlocks {
        /// One block in so many.
        every: u32,
    },
    /// Accepts connections and says nothing at all.
    Mute,
    /// Shakes hands and says nothing more.
    Silent,
    /// Shakes hands and then only keeps the connection alive.
    Lingers,
    /// Never unchokes.
    Chokes,
    /// Unchokes and never sends a block.
    Withholds,
    /// Rejects every request.
    Rejects,
    /// Closes the connection at the first request, and comes back.
    Disconnects,
    /// Chokes and unchokes all the time, and serves nothing.
    Flaps,
    /// Sends what makes no sense, as fast as it can, and serves.
    Floods,
    /// Sends bytes that are no peer wire.
    Garbage,
    /// Serves one block a second.
    Crawls,
}

/// How long a liar that comes back stays away.
const AWAY: Duration = Duration::from_secs(2);
/// Between two keep-alives.
const LINGER: Duration = Duration::from_secs(60);

/// A peer that behaves badly.
pub struct Liar {
    lie: Lie,
    peer_id: Option<PeerId>,
    served: u32,
    /// Who is connected, and whether our handshake went out.
    connections: BTreeMap<ConnectionId, bool>,
    /// Whom to dial again.
    left: VecDeque<std::net::SocketAddr>,
    addresses: BTreeMap<ConnectionId, std::net::SocketAddr>,
    waiting: VecDeque<(ConnectionId, BlockRequest)>,
}

impl Liar {
    /// A peer that lies in this way.
    pub fn new(lie: Lie) -> Liar {
        Liar {
            lie,
            peer_id: None,
            served: 0,
            connections: BTreeMap::new(),
            left: VecDeque::new(),
            addresses: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }

    fn greet(&mut self, connection: ConnectionId, hand: &mut Hand<'_>) {
        let Some(is_greeted) = self.connections.get_mut(&connection) else { return };
        if std::mem::replace(is_greeted, true) || self.lie == Lie::Mute {
            return;
        }
        if self.lie == Lie::Garbage {
            let mut bytes = vec![0; 1000];
            hand.rng.fill(&mut bytes);
            hand.send_raw(connection, bytes);
            return;
        }
        let peer_id = *self.peer_id.get_or_insert_with(|| PeerId::random(hand.rng));
        let is_fast = matches!(self.lie, Lie::Rejects | Lie::Floods);
        let reserved = if is_fast { Reserved::NONE.with_fast() } else { Reserved::NONE };
        let info_hash = hand.content.info_hashes().wire();
        hand.send_handshake(connection, Handshake { reserved, info_hash, peer_id });
        if self.lie == Lie::Silent {
            return;
        }
        if self.lie == Lie::Lingers {
            return hand.wake_in(LINGER);
        }
        let all = Bitfield::full(hand.content.layout().piece_count());
        hand.send(connection, Message::Bitfield(all.to_wire().into()));
        if self.lie == Lie::Floods {
            self.flood(connection, hand);
        }
    }

    fn on_message(&mut self, connection: ConnectionId, message: Message, hand: &mut Hand<'_>) {
        match (self.lie, message) {
            (Lie::Mute | Lie::Silent | Lie::Lingers | Lie::Chokes | Lie::Garbage, _) => {}
            (_, Message::Interested) => {
                hand.send(connection, Message::Unchoke);
                if self.lie == Lie::Flaps {
                    hand.send(connection, Message::Choke);
                    hand.wake_in(Duration::from_millis(100));
                }
            }
            (_, Message::Request(request)) => self.on_request(connection, request, hand),
            _ => {}
        }
    }

    fn on_request(&mut self, connection: ConnectionId, request: BlockRequest, hand: &mut Hand<'_>) {
        match self.lie {
            Lie::BadBlocks { every } => {
                self.served += 1;
                let is_bad = self.served.is_multiple_of(every.max(1));
                let block =
                    if is_bad { hand.content.bad_block(request) } else { hand.content.block(request) };
                self.serve(connection, request, block, hand);
            }
            Lie::Floods => {
                let block = hand.content.block(request);
                self.serve(connection, request, block, hand);
            }
            Lie::Rejects => hand.send(connection, Message::Reject(request)),
            Lie::Disconnects => hand.close(connection),
            Lie::Crawls => {
                if self.waiting.is_empty() {
                    hand.wake_in(Duration::from_secs(1));
                }
                self.waiting.push_back((connection, request));
            }
            _ => {}
        }
    }

    fn serve(&self, to: ConnectionId, request: BlockRequest, block: Option<BlockData>, hand: &mut Hand<'_>) {
        if let Some(data) = block {
            hand.send(to, Message::Piece { piece: request.piece, begin: request.begin, data });
        }
    }

    fn flood(&mut self, connection: ConnectionId, hand: &mut Hand<'_>) {
        let pieces = hand.content.layout().piece_count();
        for _ in 0..20 {
            let piece = PieceIndex(hand.rng.below(pieces as usize) as u32);
            let begin = hand.rng.next_u32();
            let wild = BlockRequest { piece, begin, length: hand.rng.next_u32() };
            let block = BlockRequest { piece, begin: 0, length: BLOCK_LENGTH };
            let message = match hand.rng.below(9) {
                0 => Message::KeepAlive,
                1 => Message::Cancel(block),
                2 => Message::Reject(block),
                3 => Message::Suggest(PieceIndex(begin)),
                4 => Message::AllowedFast(piece),
                5 => Message::Have(piece),
                6 => Message::Request(wild),
                7 => Message::Piece { piece, begin: 0, data: BlockData::from(vec![7; 100]) },
                _ => Message::Extended { id: 0, payload: b"d1:m".as_slice().into() },
            };
            hand.send(connection, message);
        }
        hand.wake_in(Duration::from_millis(500));
    }

    fn on_woken(&mut self, hand: &mut Hand<'_>) {
        let connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
        match self.lie {
            Lie::Disconnects => {
                if let Some(address) = self.left.pop_front() {
                    hand.dial(address);
                }
            }
            Lie::Flaps => {
                for connection in connections {
                    hand.send(connection, Message::Unchoke);
                    hand.send(connection, Message::Choke);
                }
                hand.wake_in(Duration::from_millis(100));
            }
            // One flood for all: the others end here.
            Lie::Floods => {
                if let Some(connection) = connections.first() {
                    self.flood(*connection, hand);
                }
            }
            Lie::Lingers if !connections.is_empty() => {
                connections.into_iter().for_each(|connection| hand.send(connection, Message::KeepAlive));
                hand.wake_in(LINGER);
            }
            Lie::Crawls => {
                if let Some((connection, request)) = self.waiting.pop_front() {
                    let block = hand.content.block(request);
                    self.serve(connection, request, block, hand);
                    hand.wake_in(Duration::from_secs(1));
                }
            }
            _ => {}
        }
    }
}

impl ScriptedPeer for Liar {
    fn handle(&mut self, event: PeerEvent, hand: &mut Hand<'_>) {
        match event {
            PeerEvent::Started => {}
            PeerEvent::Opened { connection, address, is_ours } => {
                self.connections.insert(connection, false);
                if is_ours {
                    self.addresses.insert(connection, address);
                    self.greet(connection, hand);
                }
            }
            PeerEvent::Received { connection, messages } => {
                for inbound in messages {
                    match inbound {
                        Inbound::Handshake(_) => self.greet(connection, hand),
                        Inbound::Message(message) => self.on_message(connection, message, hand),
                    }
                }
            }
            PeerEvent::Closed { connection } => {
                self.connections.remove(&connection);
                self.waiting.retain(|(waiting, _)| *waiting != connection);
                if self.lie == Lie::Disconnects
                    && let Some(address) = self.addresses.remove(&connection)
                {
                    self.left.push_back(address);
                    hand.wake_in(AWAY);
                }
            }
            PeerEvent::Woken => self.on_woken(hand),
        }
    }
}
