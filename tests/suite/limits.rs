//! Limits of rates and places, in simulated swarms: they are kept, they are shared fairly, and what they are not meant
//! for does not suffer from them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use btget::base::bitfield::Bitfield;
use btget::base::index::PieceIndex;
use btget::base::peer_id::PeerId;
use btget::base::random::Rng;
use btget::base::rate::ByteRate;
use btget::base::time::{Duration, Instant};
use btget::engine::action::Action;
use btget::engine::disk_job::{DiskJob, DiskResult, Existing, Unproven};
use btget::engine::input::{ConnectionId, Input, Origin, Transport};
use btget::engine::order::{Order, TorrentId};
use btget::engine::session::Session;
use btget::engine::settings::{Limits, Settings, Slots};
use btget::engine::snapshot::{Detail, PeerSnapshot, StallReason, TorrentSnapshot};
use btget::sim::content::Content;
use btget::sim::disk::DiskSpeed;
use btget::sim::host::Line;
use btget::sim::liar::Lie;
use btget::sim::scenario::{Scenario, Swarm};
use btget::sim::world::{HostId, World};
use btget::wire::peer::message::Reserved;
use btget::wire::peer::{Handshake, Inbound, Message};

const MINUTE: Duration = Duration::from_secs(60);
const TEN: Duration = Duration::from_secs(10);
const MEGA: u64 = 1_000_000;

fn down(rate: u64) -> Settings {
    Settings { limits: Limits { down: Some(ByteRate(rate)), up: None }, ..Settings::default() }
}

fn up(rate: u64) -> Settings {
    Settings { limits: Limits { down: None, up: Some(ByteRate(rate)) }, ..Settings::default() }
}

/// A swarm whose lines and disks are much faster than `rate`, with enough to do for `seconds`.
fn fast(rate: u64, seconds: u64, settings: Settings) -> Scenario {
    let line = Line { latency: Duration::from_millis(5), down: ByteRate(10 * rate), up: ByteRate(4 * rate) };
    let disk = DiskSpeed { rate: ByteRate(20 * rate), ..DiskSpeed::default() };
    let piece = if rate > 20 * MEGA { 4 << 20 } else { 1 << 18 };
    Scenario::new(1).files(&[rate * seconds], piece).line(line).disk(disk).settings(settings)
}

fn build(scenario: &Scenario) -> Swarm {
    scenario.build().expect("a layout that exists")
}

fn seen(world: &World, host: HostId) -> TorrentSnapshot {
    world.snapshot(host, Detail::Peers).expect("it is on")
}

fn assert_near(moved: u64, expected: u64, percent: u64) {
    let off = moved.abs_diff(expected);
    assert!(off * 100 <= expected * percent, "{moved} is not within {percent} % of {expected}");
}

#[test]
fn a_download_keeps_its_limit_to_three_percent_and_asks_for_a_second_of_it() {
    for rate in [MEGA, 10 * MEGA, 100 * MEGA] {
        let mut swarm = build(&fast(rate, 15, down(rate)).seeds(2).leechers(1));
        let leecher = swarm.leechers[0];
        swarm.world.run_for(Duration::from_secs(3));
        let before = seen(&swarm.world, leecher).downloaded;
        let budget = rate / 16_384;
        for _ in 0..100 {
            swarm.world.run_for(TEN / 100);
            let out: usize = seen(&swarm.world, leecher).peer_list.iter().map(|peer| peer.requests).sum();
            assert!(out as u64 <= budget, "{out} requests out, of {budget}");
        }
        assert_near(seen(&swarm.world, leecher).downloaded - before, 10 * rate, 3);
        assert_eq!(swarm.world.faults(), [""; 0]);
    }
}

#[test]
fn an_upload_keeps_its_limit_to_three_percent() {
    for rate in [MEGA, 10 * MEGA, 100 * MEGA] {
        let mut swarm = build(&fast(rate, 15, up(rate)).seeds(1).leechers(1));
        let seed = swarm.seeds[0];
        swarm.world.run_for(Duration::from_secs(3));
        let before = seen(&swarm.world, seed).uploaded;
        swarm.world.run_for(TEN);
        assert_near(seen(&swarm.world, seed).uploaded - before, 10 * rate, 3);
    }
}

/// What `host` sees of each of its peers by `rate`.
fn rates(world: &World, host: HostId, rate: impl Fn(&PeerSnapshot) -> ByteRate) -> Vec<u64> {
    seen(world, host).peer_list.iter().map(|peer| rate(peer).0).collect()
}

#[test]
fn two_equal_peers_get_the_same_each_way() {
    for rate in [MEGA, 10 * MEGA] {
        let mut swarm = build(&fast(rate, 40, down(rate)).seeds(2).leechers(1));
        swarm.world.run_for(Duration::from_secs(25));
        let got = rates(&swarm.world, swarm.leechers[0], |peer| peer.down);
        assert_eq!(got.len(), 2);
        got.iter().for_each(|one| assert_near(*one, rate / 2, 10));

        // Leechers that serve nobody, so that all they get is the seed's.
        let pieces = build(&fast(rate, 40, up(rate)).seeds(1)).world.content().layout().piece_count();
        let none = || Bitfield::empty(pieces);
        let mut swarm = build(&fast(rate, 40, up(rate)).seeds(1).free_rider(none()).free_rider(none()));
        swarm.world.run_for(Duration::from_secs(25));
        let given = rates(&swarm.world, swarm.seeds[0], |peer| peer.up);
        assert_eq!(given.len(), 2);
        given.iter().for_each(|one| assert_near(*one, rate / 2, 10));
    }
}

#[test]
fn peers_nearby_may_be_left_out_of_the_limit() {
    let settings = Settings { lan_unlimited: true, ..down(10_000) };
    // All simulated hosts have private addresses.
    let mut swarm = build(&Scenario::new(1).settings(settings).seeds(1).leechers(2));
    assert!(swarm.finish(MINUTE).is_done);
}

#[test]
fn a_swarm_under_tight_limits_finishes_and_no_message_starves() {
    for (seed, settings) in [(1, down(40_000)), (2, up(40_000)), (3, up(2_000))] {
        let is_hopeless = settings.limits.up == Some(ByteRate(2_000));
        let scenario = Scenario::new(seed).files(&[1_000_000], 65_536).settings(settings);
        let mut swarm = build(&scenario.seeds(1).leechers(5));
        swarm.world.run_for(TEN);
        for &leecher in &swarm.leechers {
            let seen = seen(&swarm.world, leecher);
            assert_eq!((seen.peers, seen.seeds), (5, 1), "it does not know what its peers have");
        }
        let report = swarm.finish(if is_hopeless { TEN } else { 10 * MINUTE });
        assert!(report.is_done || is_hopeless, "{report}");
        assert_eq!(swarm.world.faults(), [""; 0]);
    }
}

#[test]
fn a_crawl_that_a_person_asked_for_is_called_so() {
    let mut swarm = build(&Scenario::new(1).settings(down(500)).seeds(1).leechers(1));
    let leecher = swarm.leechers[0];
    swarm.world.run_for(Duration::from_secs(1));
    let is_said = |world: &World| seen(world, leecher).waiting == Some(StallReason::LimitedByUser);
    assert!(swarm.world.run_until(MINUTE, is_said), "{:?}", seen(&swarm.world, leecher));
}

#[test]
fn peers_that_only_hold_a_place_give_way_to_those_who_trade() {
    let settings = Settings { max_peers_torrent: 8, ..Settings::default() };
    let mut scenario = Scenario::new(1).settings(settings);
    for _ in 0..20 {
        scenario = scenario.liar(Lie::Lingers);
    }
    let mut swarm = build(&scenario.leechers(1).seeds(1));
    let (leecher, seed) = (swarm.leechers[0], swarm.seeds[0]);
    swarm.world.stop_in(seed, Duration::ZERO, btget::sim::world::Departure::Off);
    swarm.world.run_for(3 * MINUTE);
    assert_eq!(seen(&swarm.world, leecher).peers, 8, "all places are taken");
    swarm.world.start_in(seed, Duration::ZERO);
    let came = swarm.world.now();
    assert!(swarm.world.run_until(10 * MINUTE, |world| world.is_complete(leecher)), "the seed never gets in");
    println!("complete {:.0} s after the seed came", swarm.world.now().since(came).as_secs_f64());
}

#[test]
fn those_who_trade_stay_whoever_knocks() {
    let settings = Settings { max_peers_torrent: 4, ..Settings::default() };
    let line = Line { latency: Duration::from_millis(20), down: ByteRate(100_000), up: ByteRate(20_000) };
    let scenario = Scenario::new(1).files(&[256 * 65_536], 65_536).line(line).settings(settings);
    let mut swarm = build(&scenario.seeds(1).leechers(12));
    let seed = swarm.seeds[0];
    swarm.world.run_for(2 * MINUTE);
    let busy = |world: &World| -> Vec<_> {
        let peers = seen(world, seed).peer_list.into_iter().filter(|peer| peer.up > ByteRate(0));
        peers.map(|peer| peer.address).collect()
    };
    for _ in 0..20 {
        let before = busy(&swarm.world);
        swarm.world.run_for(Duration::from_secs(15));
        let after: Vec<_> = seen(&swarm.world, seed).peer_list.into_iter().map(|peer| peer.address).collect();
        assert!(before.iter().all(|peer| after.contains(peer)), "{before:?} {after:?}");
    }
    assert!(swarm.world.now() > Instant::ZERO + 6 * MINUTE);
}

/// A session that seeds these torrents, at `now`.
fn seeding(now: Instant, contents: &[Content], settings: Settings) -> Session {
    let mut session = Session::new(Arc::new(settings), Rng::from_number(1), now);
    for (id, content) in (0..).zip(contents) {
        let spec = Box::new(content.spec(Vec::new()));
        session.handle_input(now, Input::OrderGiven(Order::AddTorrent { torrent: TorrentId(id), spec }));
        while let Some(action) = session.poll_action() {
            let Action::Disk(job) = action else { continue };
            let result = match job {
                DiskJob::Open { torrent } => DiskResult::Opened { torrent, result: Ok(Existing::Something) },
                DiskJob::Check { torrent, pieces } => {
                    let right = pieces.clone().map(PieceIndex).collect();
                    DiskResult::Checked { torrent, pieces, result: Ok(right) }
                }
                DiskJob::FindUnproven { torrent } => {
                    let unproven = Unproven { files: Vec::new(), is_any_proven: true };
                    DiskResult::UnprovenFound { torrent, result: Ok(unproven) }
                }
                DiskJob::FinishFile { torrent, file } => {
                    DiskResult::FileFinished { torrent, file, result: Ok(()) }
                }
                DiskJob::Advance(_)
                | DiskJob::OpenElsewhere { .. }
                | DiskJob::Settle { .. }
                | DiskJob::Remember { .. }
                | DiskJob::Close { .. } => continue,
            };
            session.handle_input(now, Input::DiskFinished(result));
        }
    }
    session
}

#[test]
fn torrents_of_one_session_share_its_slots() {
    let content = |seed| Content::new(&[100_000], 16_384, &mut Rng::from_number(seed)).expect("it fits");
    let contents = [content(1), content(2), content(3)];
    let mut now = Instant::ZERO;
    let settings = Settings { slots: Slots::Fixed(1), ..Settings::default() };
    let mut session = seeding(now, &contents, settings);
    for number in 0..9 {
        let connection = ConnectionId(number);
        let address = SocketAddr::from(([9, 9, 9, number as u8], 6881));
        let (origin, transport) = (Origin::Accepted, Transport::Tcp);
        let opened = Input::ConnectionOpened { connection, address, origin, transport, encrypted: false };
        session.handle_input(now, opened);
        let info_hash = contents[number as usize % 3].info_hashes().wire();
        let handshake =
            Handshake { reserved: Reserved::NONE, info_hash, peer_id: PeerId([number as u8; 20]) };
        let messages = vec![Inbound::Handshake(handshake), Inbound::Message(Message::Interested)];
        session.handle_input(now, Input::MessagesReceived { connection, messages });
    }
    let (mut unchoked, mut served) = (BTreeSet::new(), BTreeSet::new());
    while now < Instant::ZERO + Duration::from_secs(110) {
        while let Some(action) = session.poll_action() {
            match action {
                Action::Send { connection, message: Message::Unchoke } => {
                    unchoked.insert(connection);
                    served.insert(connection.0 % 3);
                }
                Action::Send { connection, message: Message::Choke } => {
                    unchoked.remove(&connection);
                }
                _ => {}
            }
        }
        assert_eq!(unchoked.len(), 2, "one slot, and one to try others out");
        now = session.poll_timeout().expect("peers wait").0.max(now);
        session.handle_timeout(now);
    }
    assert_eq!(served.len(), 3, "a torrent's peers never had a turn");
}

#[test]
fn a_dial_that_waits_for_a_handshake_takes_one_place() {
    let content = Content::new(&[100_000], 16_384, &mut Rng::from_number(1)).expect("it fits");
    let now = Instant::ZERO;
    let settings = Settings { max_peers: 3, ..Settings::default() };
    let mut session = Session::new(Arc::new(settings), Rng::from_number(1), now);
    let (torrent, spec) = (TorrentId(0), Box::new(content.spec(Vec::new())));
    session.handle_input(now, Input::OrderGiven(Order::AddTorrent { torrent, spec }));
    let opened = DiskResult::Opened { torrent, result: Ok(Existing::Nothing) };
    session.handle_input(now, Input::DiskFinished(opened));
    let mut dial = |numbers: Range<u8>| {
        let addresses = numbers.map(|number| SocketAddr::from(([9, 9, 9, number], 6881))).collect();
        session.handle_input(now, Input::OrderGiven(Order::AddPeers { torrent, addresses }));
        let mut dials = 0;
        while let Some(action) = session.poll_action() {
            let Action::Dial { dial, address } = action else { continue };
            dials += 1;
            let (connection, origin) = (ConnectionId(dial.0), Origin::Dialled(dial));
            let transport = Transport::Tcp;
            let opened = Input::ConnectionOpened { connection, address, origin, transport, encrypted: false };
            session.handle_input(now, opened);
        }
        dials
    };
    assert_eq!(dial(1..2), 1);
    assert_eq!(dial(2..9), 2, "three places in all");
}
