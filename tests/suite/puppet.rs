//! A simulated peer that a test leads by the hand: it dials, says what it is told to, and remembers what it hears.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use btget::base::index::{BlockRequest, PieceIndex};
use btget::base::peer_id::PeerId;
use btget::base::time::Duration;
use btget::engine::input::ConnectionId;
use btget::sim::host::Line;
use btget::sim::scenario::Swarm;
use btget::sim::scripted::{Hand, PeerEvent, ScriptedPeer};
use btget::sim::world::HostId;
use btget::wire::peer::message::Reserved;
use btget::wire::peer::{Handshake, Inbound, Message};

/// How soon it does what it is told to.
const STEP: Duration = Duration::from_millis(10);

/// The test's end of the strings.
pub(crate) struct Puppet {
    strings: Rc<RefCell<Strings>>,
}

/// How a puppet introduces itself.
#[derive(Clone, Copy)]
pub(crate) struct Manners {
    /// Two with the same name and address are the same peer.
    pub(crate) name: u8,
    /// Whether it speaks the fast extension.
    pub(crate) fast: bool,
    /// Whether it speaks the extension protocol.
    pub(crate) extension: bool,
}

/// With the fast extension alone.
pub(crate) const FAST: Manners = Manners { name: b'p', fast: true, extension: false };

#[derive(Default)]
struct Strings {
    pulls: VecDeque<Pull>,
    heard: Vec<Message>,
    connection: Option<ConnectionId>,
}

enum Pull {
    Dial(SocketAddr),
    Say(Message),
    HangUp,
}

struct Body {
    manners: Manners,
    strings: Rc<RefCell<Strings>>,
}

impl Puppet {
    /// One on a host of its own that dials `whom`.
    pub(crate) fn new(swarm: &mut Swarm, whom: HostId, manners: Manners) -> Puppet {
        let line = Line { latency: Duration::from_millis(1), ..Line::default() };
        Puppet::on_line(swarm, whom, manners, line)
    }

    /// The same, on this line.
    pub(crate) fn on_line(swarm: &mut Swarm, whom: HostId, manners: Manners, line: Line) -> Puppet {
        let puppet = Puppet { strings: Rc::default() };
        let body = Body { manners, strings: puppet.strings.clone() };
        let host = swarm.world.add_scripted(line, Box::new(body));
        puppet.dial(swarm.world.address(whom));
        swarm.world.start_in(host, Duration::ZERO);
        puppet
    }

    pub(crate) fn dial(&self, whom: SocketAddr) {
        self.strings.borrow_mut().pulls.push_back(Pull::Dial(whom));
    }

    pub(crate) fn say(&self, message: Message) {
        self.strings.borrow_mut().pulls.push_back(Pull::Say(message));
    }

    pub(crate) fn hang_up(&self) {
        self.strings.borrow_mut().pulls.push_back(Pull::HangUp);
    }

    /// Asks for blocks of a piece, from the first.
    pub(crate) fn ask(&self, piece: u32, blocks: u32) {
        for block in 0..blocks {
            self.say(Message::Request(block_of(piece, block)));
        }
    }

    /// What it heard since it was asked last.
    pub(crate) fn take_heard(&self) -> Vec<Message> {
        std::mem::take(&mut self.strings.borrow_mut().heard)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.strings.borrow().connection.is_some()
    }
}

/// A block of 16 KiB.
pub(crate) fn block_of(piece: u32, block: u32) -> BlockRequest {
    BlockRequest { piece: PieceIndex(piece), begin: block * 16_384, length: 16_384 }
}

/// The payload of the blocks among `heard`, bytes.
pub(crate) fn payload(heard: &[Message]) -> u64 {
    let length = |message: &Message| match message {
        Message::Piece { data, .. } => u64::from(data.len()),
        _ => 0,
    };
    heard.iter().map(length).sum()
}

impl ScriptedPeer for Body {
    fn handle(&mut self, event: PeerEvent, hand: &mut Hand<'_>) {
        let mut strings = self.strings.borrow_mut();
        match event {
            PeerEvent::Started => hand.wake_in(STEP),
            PeerEvent::Woken => {
                strings.follow(hand);
                hand.wake_in(STEP);
            }
            PeerEvent::Opened { connection, is_ours: true, .. } => {
                strings.connection = Some(connection);
                let fast = if self.manners.fast { Reserved::NONE.with_fast() } else { Reserved::NONE };
                let reserved = if self.manners.extension { fast.with_extension() } else { fast };
                let info_hash = hand.content.info_hashes().wire();
                let peer_id = PeerId([self.manners.name; 20]);
                hand.send_handshake(connection, Handshake { reserved, info_hash, peer_id });
            }
            PeerEvent::Received { connection, messages } if strings.connection == Some(connection) => {
                strings.heard.extend(messages.into_iter().filter_map(|inbound| match inbound {
                    Inbound::Message(message) => Some(message),
                    Inbound::Handshake(_) => None,
                }));
            }
            PeerEvent::Closed { connection } if strings.connection == Some(connection) => {
                strings.connection = None;
            }
            _ => {}
        }
    }
}

impl Strings {
    /// Follows the strings as far as it can: until a dial is through, nothing can be said.
    fn follow(&mut self, hand: &mut Hand<'_>) {
        while let Some(pull) = self.pulls.pop_front() {
            match (pull, self.connection) {
                (Pull::Dial(whom), _) => return hand.dial(whom),
                (Pull::Say(message), Some(connection)) => hand.send(connection, message),
                (Pull::HangUp, Some(connection)) => hand.close(connection),
                (pull @ Pull::Say(_), None) => return self.pulls.push_front(pull),
                (Pull::HangUp, None) => {}
            }
        }
    }
}
