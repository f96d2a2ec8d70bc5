//! Who is served in a swarm: giving pays, taking alone does not, and newcomers come in.

use btget::base::bitfield::Bitfield;
use btget::base::index::PieceIndex;
use btget::base::random::Rng;
use btget::base::rate::ByteRate;
use btget::base::time::{Duration, Instant};
use btget::engine::notice::Notice;
use btget::engine::settings::{Settings, Slots};
use btget::engine::snapshot::{Detail, PeerSnapshot};
use btget::sim::host::Line;
use btget::sim::scenario::{Scenario, Swarm};
use btget::sim::world::{Departure, HostId, World};

const MINUTE: Duration = Duration::from_secs(60);

fn build(scenario: &Scenario) -> Swarm {
    scenario.build().expect("a layout that exists")
}

/// Lines on which the torrent takes minutes, not seconds.
fn slow_line() -> Line {
    Line { latency: Duration::from_millis(20), down: ByteRate(1_000_000), up: ByteRate(100_000) }
}

fn finished_at(world: &World, host: HostId) -> Option<Instant> {
    let is_complete = |notice: &&(Instant, Notice)| matches!(notice.1, Notice::Complete { .. });
    world.notices(host).iter().find(is_complete).map(|(at, _)| *at)
}

/// Whether `one` serves `other` by what `other` sees.
fn is_served(world: &World, other: HostId, one: HostId) -> bool {
    peer_seen(world, other, one).is_some_and(|peer| !peer.choking_us)
}

/// How much `other` gets from `one`.
fn rate_from(world: &World, other: HostId, one: HostId) -> ByteRate {
    peer_seen(world, other, one).map_or(ByteRate(0), |peer| peer.down)
}

fn peer_seen(world: &World, by: HostId, host: HostId) -> Option<PeerSnapshot> {
    let peers = world.snapshot(by, Detail::Peers)?.peer_list;
    peers.into_iter().find(|peer| peer.address.ip() == world.address(host).ip())
}

/// The pieces that `is_there` names, of so many.
fn pieces(count: u32, mut is_there: impl FnMut(u32) -> bool) -> Bitfield {
    let mut pieces = Bitfield::empty(count);
    for piece in (0..count).filter(|piece| is_there(*piece)) {
        pieces.insert(PieceIndex(piece));
    }
    pieces
}

#[test]
fn alice_tries_bob_out_and_they_become_mutual_favourites() {
    for seed in 1..=3 {
        // Alice and Bob have what the other lacks. Both are in a crowd of leechers that have little to give.
        let line = Line { up: ByteRate(300_000), ..slow_line() };
        let settings = Settings { slots: Slots::Fixed(2), ..Settings::default() };
        let half = |odd| pieces(512, |piece| piece % 2 == odd);
        let scenario = Scenario::new(seed).files(&[512 * 65_536], 65_536).line(line).settings(settings);
        let mut scenario = scenario.having(half(0)).having(half(1));
        for _ in 0..8 {
            scenario = scenario.free_rider(Bitfield::empty(512));
        }
        let mut swarm = build(&scenario);
        let (alice, bob) = (swarm.leechers[0], swarm.leechers[1]);
        let are_mutual = |world: &World| is_served(world, alice, bob) && is_served(world, bob, alice);
        assert!(swarm.world.run_until(10 * MINUTE, are_mutual), "seed {seed}: they never meet");
        // From then on each is the other's best peer, round after round.
        swarm.world.run_for(Duration::from_secs(25));
        for _ in 0..5 {
            swarm.world.run_for(Duration::from_secs(10));
            if swarm.world.is_complete(alice) || swarm.world.is_complete(bob) {
                break;
            }
            assert!(are_mutual(&swarm.world), "seed {seed}");
            assert!(rate_from(&swarm.world, alice, bob) > ByteRate(20_000), "seed {seed}");
            assert!(rate_from(&swarm.world, bob, alice) > ByteRate(20_000), "seed {seed}");
        }
    }
}

#[test]
fn a_free_rider_among_twenty_sharers_finishes_much_later_than_they_do() {
    let mut ratios = Vec::new();
    for seed in 1..=3 {
        // Each has half of the pieces at random, so that what it gets depends on trade, not on a seed. Lines
        // down are narrow enough that the free-rider cannot catch up at once when the others become seeds.
        let mut rng = Rng::from_number(seed).fork("halves");
        let mut half = || pieces(512, |_| rng.below(2) == 0);
        let line = Line { down: ByteRate(150_000), ..slow_line() };
        let mut scenario = Scenario::new(seed).files(&[512 * 65_536], 65_536).line(line);
        for _ in 0..20 {
            scenario = scenario.having(half());
        }
        let mut swarm = build(&scenario.free_rider(half()));
        let report = swarm.finish(120 * MINUTE);
        assert!(report.is_done, "{report}");
        let started = Instant::ZERO + Duration::from_secs(1);
        let mut times: Vec<f64> = swarm
            .leechers
            .iter()
            .map(|host| finished_at(&swarm.world, *host).expect("all finished").since(started).as_secs_f64())
            .collect();
        let rider = times.pop().expect("the free-rider is the last");
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        println!("seed {seed}: sharers {mean:.0} s, free-rider {rider:.0} s, {:.2}", rider / mean);
        ratios.push(rider / mean);
    }
    assert!(ratios.iter().sum::<f64>() >= 1.3 * ratios.len() as f64, "{ratios:?}");
    assert!(ratios.iter().all(|ratio| *ratio >= 1.2), "{ratios:?}");
}

#[test]
fn a_newcomer_has_its_first_piece_within_a_minute() {
    for seed in 1..=5 {
        let scenario = Scenario::new(seed).files(&[1024 * 65_536], 65_536).line(slow_line());
        let mut swarm = build(&scenario.seeds(1).leechers(30));
        let newcomer = *swarm.leechers.last().expect("there are leechers");
        swarm.world.stop_in(newcomer, Duration::ZERO, Departure::Off);
        swarm.world.run_for(3 * MINUTE);
        assert!(swarm.leechers.iter().all(|host| !swarm.world.is_complete(*host)), "it comes too late");
        swarm.world.start_in(newcomer, Duration::ZERO);
        let has_piece = |world: &World| world.disk(newcomer).is_some_and(|disk| disk.right().count() > 0);
        assert!(!has_piece(&swarm.world));
        let before = swarm.world.now();
        assert!(swarm.world.run_until(MINUTE, has_piece), "seed {seed}");
        println!("seed {seed}: first piece after {:.1} s", swarm.world.now().since(before).as_secs_f64());
    }
}

#[test]
fn two_that_became_complete_part() {
    let mut swarm = build(&Scenario::new(1).seeds(2).leechers(3));
    assert!(swarm.finish(10 * MINUTE).is_done);
    // News of the last pieces wait a moment.
    swarm.world.run_for(Duration::from_secs(1));
    for host in swarm.world.hosts() {
        assert_eq!(swarm.world.snapshot(host, Detail::Totals).expect("it is on").peers, 0);
    }
}

/// Ten leechers and a seed, all with lines up of 2 MiB/s and none down to speak of: the last one cannot be
/// done before the seed has sent all once.
#[test]
fn ten_leechers_of_one_seed_come_near_the_bound() {
    const SIZE: u64 = 64 << 20;
    for seed in 1..=3 {
        let up = 2 << 20;
        let line = Line { latency: Duration::from_micros(250), down: ByteRate(1 << 30), up: ByteRate(up) };
        let scenario = Scenario::new(seed).files(&[SIZE], 1 << 20).line(line);
        let mut swarm = build(&scenario.seeds(1).leechers(10));
        let (seeder, leechers) = (swarm.seeds[0], swarm.leechers.clone());
        let is_copied = |world: &World| {
            let disks = || leechers.iter().filter_map(|host| world.disk(*host));
            (0..64).all(|piece| disks().any(|disk| disk.right().has(PieceIndex(piece))))
        };
        assert!(swarm.world.run_until(5 * MINUTE, is_copied));
        let copied = swarm.world.now().since(Instant::ZERO + Duration::from_secs(1)).as_secs_f64();
        let sent = swarm.world.snapshot(seeder, Detail::Totals).expect("it is on").uploaded;
        assert!(swarm.finish(5 * MINUTE).is_done);
        let last = leechers.iter().filter_map(|host| finished_at(&swarm.world, *host)).max();
        let last = last.expect("all finished").since(Instant::ZERO + Duration::from_secs(1)).as_secs_f64();
        let bound = SIZE as f64 / up as f64;
        println!(
            "seed {seed}: last after {:.2} of the bound; a full copy at {:.2}, of {:.2} sent",
            last / bound,
            copied / bound,
            sent as f64 / SIZE as f64
        );
        assert!(last <= 1.3 * bound, "seed {seed}: {last:.1} s, bound {bound:.1} s");
        assert!(sent as f64 <= 1.25 * SIZE as f64, "seed {seed}: {sent} bytes for one full copy");
    }
}
