//! Peers that mean harm, in virtual time: whoever is honest is served and finishes all the same.

use std::collections::VecDeque;
use std::net::SocketAddr;

use btget::base::bitfield::Bitfield;
use btget::base::block_data::BlockData;
use btget::base::index::{BlockRequest, PieceIndex};
use btget::base::peer_id::PeerId;
use btget::base::rate::ByteRate;
use btget::base::time::Duration;
use btget::engine::input::ConnectionId;
use btget::engine::notice::Notice;
use btget::engine::settings::{Limits, Settings, Slots};
use btget::engine::snapshot::Detail;
use btget::sim::host::Line;
use btget::sim::liar::Lie;
use btget::sim::scenario::{Scenario, Swarm};
use btget::sim::scripted::{Hand, PeerEvent, ScriptedPeer};
use btget::sim::world::World;
use btget::wire::peer::message::Reserved;
use btget::wire::peer::{Handshake, Inbound, Message};

const MINUTE: Duration = Duration::from_secs(60);

fn build(scenario: &Scenario) -> Swarm {
    scenario.build().expect("a layout that exists")
}

fn finishes(swarm: &mut Swarm, limit: Duration) {
    let report = swarm.finish(limit);
    assert!(report.is_done, "{report}");
}

/// Why peers were closed, in the words of a host.
fn reasons(swarm: &Swarm) -> Vec<String> {
    let notices = swarm.world.notices(swarm.leechers[0]).iter();
    let reason = |notice: &Notice| match notice {
        Notice::PeerClosed { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    notices.filter_map(|(_, notice)| reason(notice)).collect()
}

fn greet(connection: ConnectionId, name: [u8; 20], hand: &mut Hand<'_>) {
    let reserved = Reserved::NONE.with_fast();
    let info_hash = hand.content.info_hashes().wire();
    hand.send_handshake(connection, Handshake { reserved, info_hash, peer_id: PeerId(name) });
}

/// A seed that keeps the protocol. After 20 blocks it sends nothing for half a minute, then goes on.
#[derive(Default)]
struct StallingSeed {
    asked: VecDeque<BlockRequest>,
    connection: Option<ConnectionId>,
    sent: u32,
}

impl ScriptedPeer for StallingSeed {
    fn handle(&mut self, event: PeerEvent, hand: &mut Hand<'_>) {
        match event {
            PeerEvent::Received { connection, messages } => {
                self.connection = Some(connection);
                for inbound in messages {
                    self.on_inbound(connection, inbound, hand);
                }
            }
            PeerEvent::Woken => self.serve(hand),
            _ => {}
        }
    }
}

impl StallingSeed {
    fn on_inbound(&mut self, connection: ConnectionId, inbound: Inbound, hand: &mut Hand<'_>) {
        match inbound {
            Inbound::Handshake(_) => {
                greet(connection, *b"-XX0001-stallingseed", hand);
                hand.send(connection, Message::HaveAll);
                hand.send(connection, Message::Unchoke);
                hand.wake_in(Duration::from_millis(20));
            }
            Inbound::Message(Message::Request(request)) => self.asked.push_back(request),
            Inbound::Message(Message::Cancel(request)) => {
                if self.asked.contains(&request) {
                    self.asked.retain(|asked| *asked != request);
                    hand.send(connection, Message::Reject(request));
                }
            }
            Inbound::Message(_) => {}
        }
    }

    fn serve(&mut self, hand: &mut Hand<'_>) {
        let (Some(connection), Some(request)) = (self.connection, self.asked.pop_front()) else {
            return hand.wake_in(Duration::from_millis(20));
        };
        let data = hand.content.block(request).expect("a block that there is");
        hand.send(connection, Message::Piece { piece: request.piece, begin: request.begin, data });
        self.sent += 1;
        let rest = if self.sent == 20 { Duration::from_secs(30) } else { Duration::from_millis(20) };
        hand.wake_in(rest);
    }
}

#[test]
fn a_seed_that_stalls_is_asked_again_for_what_it_was_told_to_forget() {
    let mut swarm = build(&Scenario::new(1).leechers(1));
    let seed = swarm.world.add_scripted(Line::default(), Box::new(StallingSeed::default()));
    let address = swarm.world.address(seed);
    swarm.world.tracker_mut().join(address);
    swarm.world.start_in(seed, Duration::ZERO);
    finishes(&mut swarm, 3 * MINUTE);
}

#[test]
fn peers_that_send_nothing_do_not_keep_the_last_blocks_from_a_slow_seed() {
    for count in [2, 20] {
        let line = Line { up: ByteRate(100_000), ..Line::default() };
        let mut scenario = Scenario::new(1).line(line).leechers(1);
        for _ in 0..count {
            scenario = scenario.liar(Lie::Withholds);
        }
        let mut swarm = build(&scenario.seeds(1));
        for at in 0..count {
            let address = swarm.world.address(swarm.liars[at]);
            swarm.world.tracker_mut().join(address);
        }
        // The liars are there first.
        swarm.world.stop_in(swarm.seeds[0], Duration::ZERO, btget::sim::world::Departure::Off);
        swarm.world.start_in(swarm.seeds[0], Duration::from_secs(5));
        // The seed alone takes 42 s; silent peers are thrown out after two minutes.
        finishes(&mut swarm, Duration::from_secs(100));
        let gone = reasons(&swarm);
        assert!(!gone.iter().any(|reason| reason.contains("silent")), "{gone:?}");
    }
}

/// Dials somebody with the same name as others, and sends the same again and again.
struct Talker {
    whom: SocketAddr,
    name: [u8; 20],
    dials: usize,
    speaks: bool,
    says: Option<Message>,
}

impl ScriptedPeer for Talker {
    fn handle(&mut self, event: PeerEvent, hand: &mut Hand<'_>) {
        match event {
            PeerEvent::Started => (0..self.dials).for_each(|_| hand.dial(self.whom)),
            PeerEvent::Opened { connection, is_ours: true, .. } if self.speaks => {
                greet(connection, self.name, hand);
                hand.send(connection, Message::HaveAll);
                if let Some(message) = &self.says {
                    (0..11_000).for_each(|_| hand.send(connection, message.clone()));
                }
            }
            _ => {}
        }
    }
}

fn talker(swarm: &mut Swarm, talker: Talker) {
    let host = swarm.world.add_scripted(Line::default(), Box::new(talker));
    swarm.world.start_in(host, Duration::from_secs(2));
}

#[test]
fn whoever_talks_without_end_and_says_nothing_is_closed() {
    let request = BlockRequest { piece: PieceIndex(0), begin: 0, length: 16_384 };
    for message in [
        Message::KeepAlive,
        Message::HaveAll,
        Message::HaveNone,
        Message::Bitfield([255; 8].into()),
        Message::Have(PieceIndex(3)),
        Message::Suggest(PieceIndex(3)),
        Message::AllowedFast(PieceIndex(3)),
        Message::Port(1),
        Message::Unknown { id: 99, length: 3 },
        Message::Extended { id: 0, payload: b"de".as_slice().into() },
        Message::Extended { id: 9, payload: b"de".as_slice().into() },
        Message::Reject(request),
        Message::Cancel(request),
        Message::Piece { piece: PieceIndex(1), begin: 0, data: BlockData::from(vec![7]) },
        Message::Piece { piece: PieceIndex(1), begin: 0, data: BlockData::from(Vec::new()) },
    ] {
        let mut swarm = build(&Scenario::new(1).leechers(1));
        let whom = swarm.world.address(swarm.leechers[0]);
        let name = *b"-XX0001-talkstoomuch";
        talker(&mut swarm, Talker { whom, name, dials: 1, speaks: true, says: Some(message.clone()) });
        swarm.world.run_for(Duration::from_secs(9));
        let gone = reasons(&swarm);
        assert!(gone.iter().any(|reason| reason.contains("says nothing")), "{message:?}: {gone:?}");
    }
}

#[test]
fn a_peer_that_takes_the_name_of_another_does_not_throw_it_out() {
    for name in [[0; 20], [0xff; 20]] {
        let mut swarm = build(&Scenario::new(1).leechers(1));
        let whom = swarm.world.address(swarm.leechers[0]);
        for _ in 0..2 {
            talker(&mut swarm, Talker { whom, name, dials: 1, speaks: true, says: None });
        }
        swarm.world.run_for(Duration::from_secs(9));
        let snapshot = swarm.world.snapshot(swarm.leechers[0], Detail::Totals).expect("it is switched on");
        assert_eq!((snapshot.peers, reasons(&swarm)), (2, Vec::new()));
    }
}

#[test]
fn connections_that_never_speak_leave_room_for_whoever_does() {
    let mut swarm = build(&Scenario::new(1).leechers(1).seeds(1));
    let whom = swarm.world.address(swarm.leechers[0]);
    let name = [0; 20];
    talker(&mut swarm, Talker { whom, name, dials: 1_000, speaks: false, says: None });
    swarm.world.stop_in(swarm.seeds[0], Duration::ZERO, btget::sim::world::Departure::Off);
    swarm.world.start_in(swarm.seeds[0], Duration::from_secs(4));
    finishes(&mut swarm, Duration::from_secs(10));
}

/// Asks a seed for the same again and again, whether it is served or not.
struct Asker {
    whom: SocketAddr,
    request: BlockRequest,
    fast: bool,
    interested: bool,
}

impl ScriptedPeer for Asker {
    fn handle(&mut self, event: PeerEvent, hand: &mut Hand<'_>) {
        match event {
            PeerEvent::Started => hand.dial(self.whom),
            PeerEvent::Opened { connection, is_ours: true, .. } => {
                let reserved = if self.fast { Reserved::NONE.with_fast() } else { Reserved::NONE };
                let info_hash = hand.content.info_hashes().wire();
                let peer_id = PeerId(*b"-XX0001-askswithoend");
                hand.send_handshake(connection, Handshake { reserved, info_hash, peer_id });
                if self.interested {
                    hand.send(connection, Message::Interested);
                }
                (0..100_000).for_each(|_| hand.send(connection, Message::Request(self.request)));
            }
            _ => {}
        }
    }
}

#[test]
fn floods_of_requests_end_with_whoever_sends_them() {
    let good = BlockRequest { piece: PieceIndex(0), begin: 0, length: 16_384 };
    for (what, slots, request) in [
        ("while served", Slots::Auto, good),
        ("while choked", Slots::Fixed(0), good),
        ("out of range", Slots::Auto, BlockRequest { begin: 65_536, ..good }),
        ("no such piece", Slots::Auto, BlockRequest { piece: PieceIndex(64), ..good }),
        ("too long", Slots::Auto, BlockRequest { length: 131_072, ..good }),
        ("of nothing", Slots::Auto, BlockRequest { length: 0, ..good }),
        ("over the end", Slots::Auto, BlockRequest { begin: 65_535, ..good }),
    ] {
        for (fast, interested) in [(true, true), (false, false)] {
            let settings = Settings { slots, ..Settings::default() };
            let mut swarm = build(&Scenario::new(1).settings(settings).seeds(1).leechers(1));
            let seed = swarm.seeds[0];
            let asker = Asker { whom: swarm.world.address(seed), request, fast, interested };
            let line = Line { up: ByteRate(50_000_000), ..Line::default() };
            let host = swarm.world.add_scripted(line, Box::new(asker));
            swarm.world.start_in(host, Duration::ZERO);
            let address = swarm.world.address(host);
            let is_thrown_out = |world: &World| {
                let closed = |notice: &Notice| {
                    matches!(notice, Notice::PeerClosed { address: from, reason, .. }
                    if from.ip() == address.ip() && reason != "closed by the peer")
                };
                world.notices(seed).iter().any(|(_, notice)| closed(notice))
            };
            assert!(swarm.world.run_until(MINUTE, is_thrown_out), "{what}, fast {fast}: it is let be");
            let sent = swarm.world.snapshot(seed, Detail::Totals).expect("it is on").uploaded;
            assert!(sent < 100 << 20, "{what}: {sent} bytes sent");
            if slots != Slots::Fixed(0) {
                finishes(&mut swarm, MINUTE);
            }
        }
    }
}

/// Asks a seed for everything again and again, and reads nothing once it is served.
struct NonReader {
    whom: SocketAddr,
    number: u8,
    connection: Option<ConnectionId>,
}

impl ScriptedPeer for NonReader {
    fn handle(&mut self, event: PeerEvent, hand: &mut Hand<'_>) {
        match event {
            PeerEvent::Started => hand.dial(self.whom),
            PeerEvent::Opened { connection, is_ours: true, .. } => {
                self.connection = Some(connection);
                let mut name = *b"-XX0001-readsnothing";
                name[19] = self.number;
                greet(connection, name, hand);
                hand.send(connection, Message::HaveNone);
                hand.send(connection, Message::Interested);
            }
            PeerEvent::Received { connection, messages }
                if messages.contains(&Inbound::Message(Message::Unchoke)) =>
            {
                hand.stop_reading(connection);
                self.ask(hand);
            }
            PeerEvent::Woken => self.ask(hand),
            _ => {}
        }
    }
}

impl NonReader {
    fn ask(&self, hand: &mut Hand<'_>) {
        let Some(connection) = self.connection else { return };
        let layout = hand.content.layout().clone();
        for piece in layout.pieces() {
            let request = BlockRequest { piece, begin: 0, length: 16_384 };
            hand.send(connection, Message::Request(request));
        }
        hand.wake_in(Duration::from_secs(5));
    }
}

#[test]
fn twenty_that_ask_for_everything_and_read_nothing_have_one_turn_each_and_then_hold_up_nobody() {
    for (seed, head_start) in [(1, 0), (2, 0), (3, 10), (4, 30), (5, 120), (6, 120), (7, 600)] {
        let mut swarm = build(&Scenario::new(seed).files(&[256 << 20], 1 << 20).seeds(1).leechers(1));
        let (whom, newcomer) = (swarm.world.address(swarm.seeds[0]), swarm.leechers[0]);
        swarm.world.stop_in(newcomer, Duration::ZERO, btget::sim::world::Departure::Off);
        for number in 0..20 {
            let reader = NonReader { whom, number, connection: None };
            let host = swarm.world.add_scripted(Line::default(), Box::new(reader));
            swarm.world.start_in(host, Duration::from_secs(1));
        }
        swarm.world.run_for(Duration::from_secs(1 + head_start));
        swarm.world.start_in(newcomer, Duration::ZERO);
        let came = swarm.world.now();
        let has_piece = |world: &World| world.disk(newcomer).is_some_and(|disk| disk.right().count() > 0);
        assert!(swarm.world.run_until(10 * MINUTE, has_piece), "seed {seed}");
        let waited = swarm.world.now().since(came);
        println!("{head_start} s behind them: first piece after {:.1} s", waited.as_secs_f64());
        // Each of them has one turn of 20 s, five at a time; who comes later finds them behind all others.
        let patience = if head_start < 80 { 80 } else { 10 };
        assert!(waited <= Duration::from_secs(patience), "seed {seed}: {waited:?}");
    }
}

#[test]
fn as_many_of_them_as_there_are_places_keep_nobody_waiting_for_long() {
    let mut swarm = build(&Scenario::new(1).files(&[256 << 20], 1 << 20).seeds(1).leechers(1));
    let (whom, newcomer) = (swarm.world.address(swarm.seeds[0]), swarm.leechers[0]);
    swarm.world.stop_in(newcomer, Duration::ZERO, btget::sim::world::Departure::Off);
    for number in 0..79 {
        let host =
            swarm.world.add_scripted(Line::default(), Box::new(NonReader { whom, number, connection: None }));
        swarm.world.start_in(host, Duration::from_secs(1));
    }
    swarm.world.run_for(Duration::from_secs(5));
    swarm.world.start_in(newcomer, Duration::ZERO);
    let came = swarm.world.now();
    let has_piece = |world: &World| world.disk(newcomer).is_some_and(|disk| disk.right().count() > 0);
    assert!(swarm.world.run_until(10 * MINUTE, has_piece));
    let waited = swarm.world.now().since(came);
    println!("first piece after {:.1} s", waited.as_secs_f64());
    assert!(waited <= MINUTE, "{waited:?}");
}

#[test]
fn whoever_asks_and_takes_nothing_is_closed_after_minutes_but_not_for_a_limit_of_ours() {
    let scenario = Scenario::new(1).files(&[256 << 20], 1 << 20).seeds(1);
    let mut swarm = build(&scenario);
    let seed = swarm.seeds[0];
    let reader = NonReader { whom: swarm.world.address(seed), number: 0, connection: None };
    let host = swarm.world.add_scripted(Line::default(), Box::new(reader));
    swarm.world.start_in(host, Duration::from_secs(5));
    let is_closed = |world: &World| {
        let is_it = |notice: &Notice| matches!(notice, Notice::PeerClosed { reason, .. } if reason.contains("takes nothing"));
        world.notices(seed).iter().any(|(_, notice)| is_it(notice))
    };
    swarm.world.run_for(2 * MINUTE);
    assert!(!is_closed(&swarm.world));
    assert!(swarm.world.run_until(4 * MINUTE, is_closed));

    // A block takes more than five minutes.
    let limits = Limits { down: None, up: Some(ByteRate(50)) };
    let pieces = swarm.world.content().layout().piece_count();
    let none = Bitfield::empty(pieces);
    let mut swarm = build(&scenario.settings(Settings { limits, ..Settings::default() }).free_rider(none));
    swarm.world.run_for(20 * MINUTE);
    assert!(!is_closed(&swarm.world));
}

#[test]
fn a_slow_peer_that_has_a_failed_piece_to_itself_does_not_keep_it_from_others_for_long() {
    // One piece of 256 blocks. Who spoils it is thrown out, and then one that sends a block a second has it.
    let scenario = Scenario::new(1).files(&[4 << 20], 4 << 20).leechers(1).seeds(1);
    let mut swarm = build(&scenario.liar(Lie::BadBlocks { every: 10 }).liar(Lie::Crawls));
    let (leecher, seed) = (swarm.leechers[0], swarm.seeds[0]);
    swarm.world.stop_in(seed, Duration::ZERO, btget::sim::world::Departure::Off);
    let liars = swarm.liars.clone();
    for liar in liars {
        let address = swarm.world.address(liar);
        swarm.world.tracker_mut().join(address);
    }
    let has_failed = |world: &World| {
        let is_ban = |notice: &Notice| matches!(notice, Notice::PeerBanned { .. });
        world.notices(leecher).iter().any(|(_, notice)| is_ban(notice))
    };
    assert!(swarm.world.run_until(5 * MINUTE, has_failed));
    swarm.world.start_in(seed, Duration::from_secs(5));
    finishes(&mut swarm, MINUTE + Duration::from_secs(30));
}
