//! What strangers do costs others little, in simulated swarms: neither those who come again and again, nor those who
//! say nothing, nor what nobody asked for.

use std::net::SocketAddr;
use std::sync::Arc;

use btget::base::bitfield::Bitfield;
use btget::base::block_data::BlockData;
use btget::base::index::PieceIndex;
use btget::base::peer_id::PeerId;
use btget::base::random::Rng;
use btget::base::rate::ByteRate;
use btget::base::time::{Duration, Instant};
use btget::engine::action::Action;
use btget::engine::input::{ConnectionId, Input, Origin, Transport};
use btget::engine::session::Session;
use btget::engine::settings::{Limits, Settings};
use btget::engine::snapshot::{Detail, TorrentSnapshot};
use btget::sim::host::Line;
use btget::sim::scenario::{Scenario, Swarm};
use btget::sim::scripted::{Hand, PeerEvent, ScriptedPeer};
use btget::sim::world::{Departure, HostId};
use btget::wire::peer::message::Reserved;
use btget::wire::peer::{Handshake, Inbound, Message};

use crate::puppet::{FAST, Manners, Puppet, block_of};

const SECOND: Duration = Duration::from_secs(1);

fn build(scenario: &Scenario) -> Swarm {
    scenario.build().expect("a layout that exists")
}

fn seen(swarm: &Swarm, host: HostId) -> TorrentSnapshot {
    swarm.world.snapshot(host, Detail::Totals).expect("it is on")
}

/// Takes one block, hangs up, and is back at once.
struct Returner {
    whom: SocketAddr,
    connection: Option<ConnectionId>,
}

impl ScriptedPeer for Returner {
    fn handle(&mut self, event: PeerEvent, hand: &mut Hand<'_>) {
        match event {
            PeerEvent::Started | PeerEvent::Woken => hand.dial(self.whom),
            PeerEvent::Opened { connection, is_ours: true, .. } => {
                self.connection = Some(connection);
                let info_hash = hand.content.info_hashes().wire();
                let peer_id = PeerId(*b"-XX0001-comesagainag");
                let reserved = Reserved::NONE.with_fast();
                hand.send_handshake(connection, Handshake { reserved, info_hash, peer_id });
                hand.send(connection, Message::HaveNone);
                hand.send(connection, Message::Interested);
            }
            PeerEvent::Received { connection, messages } if self.connection == Some(connection) => {
                for message in messages {
                    match message {
                        Inbound::Message(Message::Unchoke) => {
                            hand.send(connection, Message::Request(block_of(0, 0)));
                        }
                        Inbound::Message(Message::Piece { .. }) => {
                            self.connection = None;
                            hand.close(connection);
                            return hand.wake_in(Duration::from_millis(5));
                        }
                        Inbound::Handshake(_) | Inbound::Message(_) => {}
                    }
                }
            }
            PeerEvent::Closed { connection } if self.connection == Some(connection) => {
                self.connection = None;
                hand.wake_in(Duration::from_millis(100));
            }
            _ => {}
        }
    }
}

#[test]
fn whoever_comes_anew_for_each_block_does_not_evade_a_limit_nor_starve_others() {
    const RATE: u64 = 100_000;
    let settings =
        Settings { limits: Limits { down: None, up: Some(ByteRate(RATE)) }, ..Settings::default() };
    let scenario = Scenario::new(1).files(&[64 << 20], 1 << 18).settings(settings).seeds(1);
    let pieces = build(&scenario).world.content().layout().piece_count();
    let mut swarm = build(&scenario.free_rider(Bitfield::empty(pieces)));
    let seed = swarm.seeds[0];
    let returner = Returner { whom: swarm.world.address(seed), connection: None };
    let line = Line { latency: Duration::from_millis(1), ..Line::default() };
    let host = swarm.world.add_scripted(line, Box::new(returner));
    swarm.world.start_in(host, SECOND);
    swarm.world.run_for(60 * SECOND);
    let uploaded = seen(&swarm, seed).uploaded;
    assert!(uploaded <= 63 * RATE, "{uploaded} bytes in a minute");
    let peers = swarm.world.snapshot(seed, Detail::Peers).expect("it is on").peer_list;
    let returner = swarm.world.address(host).ip();
    let honest: u64 = peers.iter().filter(|peer| peer.address.ip() != returner).map(|peer| peer.up.0).sum();
    assert!(honest >= RATE / 3, "the other gets {honest} bytes a second");
}

#[test]
fn what_nobody_asked_for_is_not_downloaded_and_ends_with_whoever_sends_it() {
    let mut swarm = build(&Scenario::new(1).files(&[1 << 20], 1 << 16).seeds(1));
    let seed = swarm.seeds[0];
    let liar = Puppet::new(&mut swarm, seed, FAST);
    let junk = |count: u32| {
        for _ in 0..count {
            let data = BlockData::from(vec![7; 16_384]);
            liar.say(Message::Piece { piece: PieceIndex(1), begin: 0, data });
        }
    };
    liar.say(Message::HaveNone);
    junk(32);
    swarm.world.run_for(20 * SECOND);
    assert_eq!((seen(&swarm, seed).downloaded, seen(&swarm, seed).wasted), (0, 32 * 16_384));
    assert!(liar.is_connected(), "so much may have been on its way");
    junk(300);
    swarm.world.run_for(60 * SECOND);
    assert!(!liar.is_connected());
    assert_eq!(seen(&swarm, seed).downloaded, 0);
}

#[test]
fn those_who_only_shake_hands_make_room_within_seconds() {
    let settings = Settings { max_peers_torrent: 8, ..Settings::default() };
    let mut swarm = build(&Scenario::new(1).settings(settings).seeds(1).leechers(1));
    let (seed, leecher) = (swarm.seeds[0], swarm.leechers[0]);
    swarm.world.stop_in(leecher, Duration::ZERO, Departure::Off);
    swarm.world.run_for(SECOND);
    for name in 0..20 {
        Puppet::new(&mut swarm, seed, Manners { name, ..FAST });
    }
    swarm.world.run_for(2 * SECOND);
    assert_eq!(seen(&swarm, seed).peers, 8, "all places are taken");
    swarm.world.run_for(5 * SECOND);
    swarm.world.start_in(leecher, Duration::ZERO);
    assert!(swarm.world.run_until(20 * SECOND, |world| world.is_complete(leecher)), "it never gets in");
}

#[test]
fn after_a_stall_many_that_wait_to_be_read_are_let_be() {
    let mut session = Session::new(Arc::new(Settings::default()), Rng::from_number(1), Instant::ZERO);
    let mut closed_of = |now: Instant, numbers: std::ops::Range<u32>| {
        for number in numbers {
            let (connection, address) = (ConnectionId(number), SocketAddr::from(([10, 0, 0, 1], 1000)));
            let (origin, transport) = (Origin::Accepted, Transport::Tcp);
            let opened = Input::ConnectionOpened { connection, address, origin, transport, encrypted: false };
            session.handle_input(now, opened);
        }
        let mut closed = 0;
        while let Some(action) = session.poll_action() {
            closed += usize::from(matches!(action, Action::Close { .. }));
        }
        closed
    };
    assert_eq!(closed_of(Instant::ZERO, 0..80), 0);
    assert_eq!(closed_of(Instant::ZERO + 2 * SECOND, 80..90), 10, "those have had time to speak");
    assert_eq!(closed_of(Instant::ZERO + 2 * SECOND, 90..140), 50, "no flood takes all places");
}
