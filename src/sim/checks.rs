//! What must hold after every step, judged from outside: only by what a host was told and what it did.
//!
//! A session asks a peer only for blocks that the peer has and lets it ask for, no more at once than the
//! peer takes, none twice; it is interested only in a peer that has something which it lacks; it serves only what it has and what was asked for, and
//! answers each request once; it claims only pieces that are
//! verified and written.

use std::collections::{BTreeMap, BTreeSet};

use super::content::Content;
use super::disk::VirtualDisk;
use crate::base::bitfield::Bitfield;
use crate::base::index::{BlockRequest, PieceIndex};
use crate::base::limit;
use crate::engine::action::Action;
use crate::engine::input::{ConnectionId, Input};
use crate::wire::extension::handshake::ExtensionHandshake;
use crate::wire::peer::{Inbound, Message};

/// One session, watched.
#[derive(Default)]
pub(super) struct Watch {
    connections: BTreeMap<ConnectionId, Seen>,
    faults: Vec<String>,
    /// Blocks asked for of one peer while another had been asked for them already.
    pub(super) duplicates: u64,
    /// Blocks that came, by piece and first byte.
    pub(super) fetched: Vec<(PieceIndex, u32)>,
}

/// What is known of one connection.
struct Seen {
    has: Bitfield,
    is_fast: [bool; 2],
    is_choking_us: bool,
    /// Whether the session has said that it wants something.
    is_interested: bool,
    /// Whether the session has ended it.
    is_over: bool,
    allowed_fast: BTreeSet<PieceIndex>,
    reqq: usize,
    /// Blocks that we have asked for.
    asked: BTreeSet<(PieceIndex, u32)>,
    /// Blocks that the peer has asked for.
    wanted: BTreeMap<BlockKey, Wanted>,
}

type BlockKey = (PieceIndex, u32, u32);

/// How often a block is asked for, taken back, and on its way. A peer may do all of it in one breath, before
/// the session can answer the first.
#[derive(Clone, Copy, Default)]
struct Wanted {
    asked: u32,
    cancelled: u32,
    uploading: u32,
}

impl Seen {
    fn new(pieces: u32) -> Seen {
        Seen {
            has: Bitfield::empty(pieces),
            is_fast: [false; 2],
            is_choking_us: true,
            is_interested: false,
            is_over: false,
            allowed_fast: BTreeSet::new(),
            reqq: usize::from(limit::REQUESTS_OUT_UNTOLD),
            asked: BTreeSet::new(),
            wanted: BTreeMap::new(),
        }
    }

    fn is_fast(&self) -> bool {
        self.is_fast == [true, true]
    }
}

impl Watch {
    /// What was wrong since it was last asked.
    pub(super) fn take_faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    /// Requests that are out, all connections together.
    pub(super) fn requests_out(&self) -> usize {
        self.connections.values().map(|seen| seen.asked.len()).sum()
    }

    /// What must hold when the session has done all that follows from an input. What is being written is right
    /// before the session knows it.
    pub(super) fn on_settled(&mut self, disk: &VirtualDisk) {
        if disk.is_busy() {
            return;
        }
        for (connection, seen) in &self.connections {
            if seen.is_interested && !seen.is_over && !seen.has.has_beyond(disk.right()) {
                self.faults.push(format!("is interested in {connection:?}, which has nothing new"));
            }
        }
    }

    /// Something is told to the session.
    pub(super) fn on_input(&mut self, input: &Input, content: &Content) {
        match input {
            Input::ConnectionOpened { connection, .. } => {
                self.connections.insert(*connection, Seen::new(content.layout().piece_count()));
            }
            Input::ConnectionClosed { connection, .. } => {
                self.connections.remove(connection);
            }
            Input::MessagesReceived { connection, messages } => {
                self.fetched.extend(messages.iter().filter_map(|message| match message {
                    Inbound::Message(Message::Piece { piece, begin, .. }) => Some((*piece, *begin)),
                    _ => None,
                }));
                if let Some(seen) = self.connections.get_mut(connection) {
                    messages.iter().for_each(|message| seen.on_received(message));
                }
            }
            Input::Uploaded { connection, blocks } => {
                if let Some(seen) = self.connections.get_mut(connection) {
                    blocks.iter().for_each(|block| seen.on_uploaded(*block));
                }
            }
            Input::Retracted { connection, blocks } => {
                if let Some(seen) = self.connections.get_mut(connection) {
                    blocks.iter().for_each(|block| seen.on_retracted(*block));
                }
            }
            _ => {}
        }
    }

    /// The session does something.
    pub(super) fn on_action(&mut self, action: &Action, content: &Content, disk: &VirtualDisk) {
        let fault = match action {
            Action::SendHandshake { connection, handshake } => self.seen(*connection).map(|seen| {
                seen.is_fast[0] = handshake.reserved.has_fast();
            }),
            Action::Send { connection, message: Message::Request(request) } => {
                self.on_request(*connection, *request, content, disk)
            }
            Action::Send { connection, message } => {
                self.seen(*connection).and_then(|seen| seen.on_sent(message, disk.right()))
            }
            Action::SendHaves { connection, pieces } => self.seen(*connection).and_then(|seen| {
                pieces.iter().try_for_each(|piece| seen.on_sent(&Message::Have(*piece), disk.right()))
            }),
            Action::Close { connection, .. } => self.seen(*connection).map(|seen| seen.is_over = true),
            Action::Upload { connection, blocks, .. } => self
                .seen(*connection)
                .and_then(|seen| blocks.iter().try_for_each(|block| seen.on_upload(*block, disk.right()))),
            _ => Ok(()),
        };
        self.faults.extend(fault.err());
    }

    fn seen(&mut self, connection: ConnectionId) -> Result<&mut Seen, String> {
        self.connections.get_mut(&connection).ok_or_else(|| format!("{connection:?} is not open"))
    }

    fn on_request(
        &mut self,
        connection: ConnectionId,
        request: BlockRequest,
        content: &Content,
        disk: &VirtualDisk,
    ) -> Result<(), String> {
        let key = (request.piece, request.begin);
        let is_asked = self.connections.values().any(|seen| seen.asked.contains(&key));
        self.duplicates += u64::from(is_asked);
        let seen = self.seen(connection)?;
        let fault = if content.layout().block_at(request).is_none() {
            Some("it is no block")
        } else if disk.right().has(request.piece) {
            Some("the piece is here already")
        } else if !seen.has.has(request.piece) {
            Some("the peer lacks the piece")
        } else if seen.is_choking_us && !(seen.is_fast() && seen.allowed_fast.contains(&request.piece)) {
            Some("the peer chokes")
        } else if !seen.asked.insert(key) {
            Some("it was asked for already")
        } else if seen.asked.len() > seen.reqq {
            Some("the peer takes no more requests")
        } else {
            None
        };
        fault.map_or(Ok(()), |why| Err(format!("{connection:?} is asked for {request:?}, but {why}")))
    }
}

impl Seen {
    fn on_received(&mut self, inbound: &Inbound) {
        let message = match inbound {
            Inbound::Handshake(handshake) => {
                self.is_fast[1] = handshake.reserved.has_fast();
                return;
            }
            Inbound::Message(message) => message,
        };
        match message {
            Message::Choke => {
                self.is_choking_us = true;
                if !self.is_fast() {
                    self.asked.clear();
                }
            }
            Message::Unchoke => self.is_choking_us = false,
            Message::Have(piece) => {
                self.has.insert(*piece);
            }
            Message::Bitfield(bytes) => {
                // After the first it can only be more.
                if let Ok(told) = Bitfield::from_wire(bytes, self.has.len()) {
                    told.iter().for_each(|piece| {
                        self.has.insert(piece);
                    });
                }
            }
            Message::HaveAll => self.has = Bitfield::full(self.has.len()),
            Message::AllowedFast(piece) => {
                self.allowed_fast.insert(*piece);
            }
            Message::Piece { piece, begin, .. } => {
                self.asked.remove(&(*piece, *begin));
            }
            Message::Reject(request) => {
                self.asked.remove(&(request.piece, request.begin));
            }
            Message::Request(request) => self.wanted.entry(key(*request)).or_default().asked += 1,
            Message::Cancel(request) => {
                let wanted = self.wanted.entry(key(*request)).or_default();
                if wanted.asked > 0 {
                    wanted.asked -= 1;
                    wanted.cancelled += 1;
                }
            }
            Message::Extended { id: 0, payload } => {
                if let Some(reqq) = ExtensionHandshake::decode(payload).and_then(|handshake| handshake.reqq) {
                    self.reqq = usize::from(reqq).max(1);
                }
            }
            _ => {}
        }
    }

    fn on_sent(&mut self, message: &Message, right: &Bitfield) -> Result<(), String> {
        match message {
            Message::Cancel(request) => {
                self.asked.remove(&(request.piece, request.begin));
            }
            Message::Reject(request) => {
                let wanted = self.wanted.get(&key(*request)).copied().unwrap_or_default();
                self.forget(*request);
                if wanted.asked + wanted.cancelled <= wanted.uploading {
                    return Err(format!("rejects {request:?}, which it sends or has answered"));
                }
            }
            Message::Interested => self.is_interested = true,
            Message::NotInterested => self.is_interested = false,
            Message::Choke if !self.is_fast() => self.wanted.clear(),
            Message::Have(piece) if !right.has(*piece) => {
                return Err(format!("claims piece {piece}, which is not right"));
            }
            Message::HaveAll if !right.is_full() => return Err("claims to have all".to_owned()),
            Message::Bitfield(bytes) => {
                let told = Bitfield::from_wire(bytes, right.len()).map_err(|error| error.to_string())?;
                if told.has_beyond(right) {
                    return Err("claims pieces that are not right".to_owned());
                }
            }
            Message::Piece { data, .. } if !data.is_empty() => {
                return Err("sends a block by itself".to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    fn on_upload(&mut self, block: BlockRequest, right: &Bitfield) -> Result<(), String> {
        if !right.has(block.piece) {
            return Err(format!("serves {block:?} without having it"));
        }
        let wanted = self.wanted.entry(key(block)).or_default();
        wanted.uploading += 1;
        if wanted.uploading > wanted.asked + wanted.cancelled {
            return Err(format!("serves {block:?}, which nobody asked for"));
        }
        Ok(())
    }

    /// A request is answered, by its block or by a reject.
    fn forget(&mut self, block: BlockRequest) {
        let Some(wanted) = self.wanted.get_mut(&key(block)) else { return };
        if wanted.cancelled > 0 {
            wanted.cancelled -= 1;
        } else {
            wanted.asked = wanted.asked.saturating_sub(1);
        }
        if wanted.asked + wanted.cancelled == 0 {
            self.wanted.remove(&key(block));
        }
    }

    fn on_uploaded(&mut self, block: BlockRequest) {
        if let Some(wanted) = self.wanted.get_mut(&key(block)) {
            wanted.uploading = wanted.uploading.saturating_sub(1);
        }
        self.forget(block);
    }

    fn on_retracted(&mut self, block: BlockRequest) {
        if let Some(wanted) = self.wanted.get_mut(&key(block)) {
            wanted.uploading = wanted.uploading.saturating_sub(1);
        }
    }
}

fn key(block: BlockRequest) -> BlockKey {
    (block.piece, block.begin, block.length)
}
