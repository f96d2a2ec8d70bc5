//! Super-seeding in simulated swarms: the first seed sends little twice, nobody is held up by it, and it is only for
//! those who have everything.

use btget::base::bitfield::Bitfield;
use btget::base::index::PieceIndex;
use btget::base::rate::ByteRate;
use btget::base::time::{Duration, Instant};
use btget::engine::settings::{Settings, Slots};
use btget::engine::snapshot::Detail;
use btget::sim::host::Line;
use btget::sim::scenario::{Scenario, Swarm};
use btget::sim::tracker::TrackerMode;
use btget::sim::world::{Departure, World};
use btget::wire::peer::Message;

use crate::puppet::{FAST, Manners, Puppet};

const MINUTE: Duration = Duration::from_secs(60);
const PIECES: u32 = 128;
const SIZE: u64 = PIECES as u64 * 262_144;

fn scenario(seed: u64) -> Scenario {
    let line = Line { latency: Duration::from_millis(20), down: ByteRate(4 << 20), up: ByteRate(512 << 10) };
    Scenario::new(seed).files(&[SIZE], 262_144).line(line)
}

fn build(scenario: &Scenario) -> Swarm {
    scenario.build().expect("a layout that exists")
}

fn uploaded(swarm: &Swarm) -> u64 {
    swarm.world.snapshot(swarm.seeds[0], Detail::Totals).expect("it is on").uploaded
}

/// What the seed had sent when the leechers together had one copy, over the size; and when that was, in seconds.
fn cost_of_a_copy(swarm: &mut Swarm) -> (f64, f64) {
    let leechers = swarm.leechers.clone();
    let is_copied = |world: &World| {
        let disks = || leechers.iter().filter_map(|host| world.disk(*host));
        (0..PIECES).all(|piece| disks().any(|disk| disk.right().has(PieceIndex(piece))))
    };
    assert!(swarm.world.run_until(30 * MINUTE, is_copied), "{:?}", swarm.world.faults());
    let time = swarm.world.now().since(Instant::ZERO).as_secs_f64();
    (uploaded(swarm) as f64 / SIZE as f64, time)
}

#[test]
fn a_super_seed_sends_hardly_more_than_one_copy_until_the_swarm_has_one() {
    for (seed, leechers) in [(1, 5), (2, 10), (3, 30), (4, 10)] {
        let (plain, plain_time) = cost_of_a_copy(&mut build(&scenario(seed).seeds(1).leechers(leechers)));
        let mut swarm = build(&scenario(seed).super_seeding().seeds(1).leechers(leechers));
        let (cost, time) = cost_of_a_copy(&mut swarm);
        println!(
            "{leechers} leechers: {cost:.3} copies in {time:.0} s, without {plain:.3} in {plain_time:.0} s"
        );
        assert!(cost <= 1.1, "{cost} copies were sent to {leechers}");
        let report = swarm.finish(30 * MINUTE);
        assert!(report.is_done, "{report}");
    }
}

#[test]
fn peers_that_only_take_or_that_leave_do_not_hold_up_the_rest() {
    for seed in 1..=3 {
        let mut scenario = scenario(seed).super_seeding().seeds(1).leechers(6);
        for _ in 0..3 {
            scenario = scenario.free_rider(Bitfield::empty(PIECES));
        }
        let mut swarm = build(&scenario);
        swarm.world.stop_in(swarm.leechers[0], Duration::from_secs(20), Departure::Off);
        swarm.world.stop_in(swarm.leechers[1], Duration::from_secs(30), Departure::Lost);
        let left: Vec<_> = swarm.leechers[2..].to_vec();
        let is_done = |world: &World| left.iter().all(|host| world.is_complete(*host));
        assert!(swarm.world.run_until(30 * MINUTE, is_done), "seed {seed}: {:?}", swarm.world.faults());
    }
}

#[test]
fn a_single_peer_and_one_that_nobody_takes_from_get_everything() {
    let mut swarm = build(&scenario(1).super_seeding().seeds(1).leechers(1));
    assert!(swarm.finish(10 * MINUTE).is_done);
    let settings = Settings { slots: Slots::Fixed(1), ..Settings::default() };
    let mut scenario = scenario(1).super_seeding().settings(settings).seeds(1);
    for _ in 0..2 {
        scenario = scenario.free_rider(Bitfield::empty(PIECES));
    }
    let mut swarm = build(&scenario);
    let report = swarm.finish(60 * 8 * MINUTE);
    assert!(report.is_done, "{report}");
}

#[test]
fn who_still_downloads_hides_nothing() {
    let almost = |odd| {
        let mut pieces = Bitfield::empty(PIECES);
        (0..PIECES).filter(|piece| piece % 2 == odd).for_each(|piece| {
            pieces.insert(PieceIndex(piece));
        });
        pieces
    };
    let mut swarm = build(&scenario(1).super_seeding().having(almost(0)).having(almost(1)));
    swarm.world.run_for(Duration::from_secs(5));
    for host in swarm.leechers.clone() {
        let seen = swarm.world.snapshot(host, Detail::Peers).expect("it is on");
        assert!(seen.peer_list.iter().any(|peer| peer.has >= 0.5), "{:?}", seen.peer_list);
    }
    assert!(swarm.finish(10 * MINUTE).is_done);
}

#[test]
fn whoever_says_that_it_has_everything_does_not_end_it() {
    let mut swarm = build(&scenario(1).super_seeding().tracker(TrackerMode::Dead).seeds(1));
    let seed = swarm.seeds[0];
    assert!(swarm.world.run_until(MINUTE, |world| world.is_complete(seed)), "it checks for ever");
    let first = Puppet::new(&mut swarm, seed, Manners { name: b'1', ..FAST });
    first.say(Message::HaveNone);
    swarm.world.run_for(Duration::from_secs(1));
    for name in b'a'..b'f' {
        let liar = Puppet::new(&mut swarm, seed, Manners { name, ..FAST });
        liar.say(Message::HaveAll);
        swarm.world.run_for(Duration::from_secs(1));
        assert!(!liar.is_connected());
    }
    let last = Puppet::new(&mut swarm, seed, Manners { name: b'2', ..FAST });
    last.say(Message::HaveNone);
    swarm.world.run_for(Duration::from_secs(1));
    for peer in [first, last] {
        let heard = peer.take_heard();
        let shown = heard.iter().filter(|message| matches!(message, Message::Have(_))).count();
        assert!(heard.contains(&Message::HaveNone) && shown == 2, "{heard:?}");
    }
}

#[test]
fn what_left_with_whoever_had_it_is_shown_after_all() {
    let mut swarm = build(&scenario(1).super_seeding().seeds(1).leechers(2));
    let seed = swarm.seeds[0];
    let visitor = Puppet::new(&mut swarm, seed, FAST);
    let mut almost = Bitfield::full(PIECES);
    almost.remove(PieceIndex(7));
    visitor.say(Message::Bitfield(almost.to_wire().into()));
    swarm.world.run_for(Duration::from_secs(5));
    visitor.hang_up();
    let report = swarm.finish(20 * MINUTE);
    assert!(report.is_done, "{report}");
}
