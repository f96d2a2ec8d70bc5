//! The network fails: hosts that vanish, trackers that are down for an hour, a program that was stopped for ten
//! minutes, links that go down and come back. Most of it in virtual time; links and addresses in network namespaces,
//! which need root.

use std::net::IpAddr;
use std::time::Instant;

use btget::base::rate::ByteRate;
use btget::base::time::Duration;
use btget::engine::notice::Notice;
use btget::engine::snapshot::Detail;
use btget::sim::host::Line;
use btget::sim::link::LinkKind;
use btget::sim::scenario::{Scenario, Swarm};
use btget::sim::tracker::TrackerMode;
use btget::sim::world::{Departure, HostId, World};

use crate::harness::payload::Payload;
use crate::http_server::{HttpServer, nobody};
use crate::namespace::Namespace;
use crate::setting::{Setting, wait_for};

const MINUTE: Duration = Duration::from_secs(60);
/// How long an announce takes to a tracker that does not answer.
const TRACKER_TIMEOUT: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

/// With lines that send so many bytes a second; 4 MiB are to be downloaded.
fn slow(scenario: Scenario, up: u64) -> Swarm {
    let line = Line { up: ByteRate(up), ..Line::default() };
    scenario.line(line).links(LinkKind::Wire).build().expect("a layout that exists")
}

fn have(world: &World, host: HostId) -> u32 {
    world.disk(host).expect("it has a session").right().count()
}

fn peers(world: &World, host: HostId) -> usize {
    world.snapshot(host, Detail::Totals).expect("it is on").peers
}

#[test]
fn what_a_lost_peer_owes_is_asked_of_another_within_half_a_minute_and_the_peer_is_gone_after_two() {
    for seed in 1..=3 {
        let mut swarm = slow(Scenario::new(seed).seeds(2).leechers(1), 70_000);
        let host = swarm.leechers[0];
        assert!(swarm.world.run_until(MINUTE, |world| have(world, host) > 16));
        swarm.world.stop_in(swarm.seeds[0], Duration::ZERO, Departure::Lost);
        let lost_at = swarm.world.now();
        // From the other one alone the rest takes less than a minute.
        let is_done = swarm.world.run_until(90 * SECOND, |world| world.is_complete(host));
        assert!(is_done, "seed {seed}: {} pieces after 90 s", have(&swarm.world, host));
        assert!(
            swarm.world.run_until(130 * SECOND, |world| peers(world, host) == 0 || peers(world, host) == 1)
        );
        let closed = swarm.world.notices(host).iter().find_map(|(at, notice)| match notice {
            Notice::PeerClosed { reason, .. } if reason.contains("silent") => Some(*at),
            _ => None,
        });
        // Both being complete, the one that is left has nothing to trade and leaves at once.
        let is_closed = closed.is_some_and(|at| at.since(lost_at) <= 130 * SECOND);
        assert!(is_closed || peers(&swarm.world, host) == 0, "seed {seed}: {closed:?}");
    }
}

#[test]
fn a_tracker_that_is_down_for_an_hour_is_asked_ever_less_and_found_again_at_the_next_time() {
    for seed in 1..=5 {
        let mut swarm =
            Scenario::new(seed).tracker(TrackerMode::Dead).seeds(1).leechers(1).build().expect("a layout");
        let host = swarm.leechers[0];
        swarm.world.run_for(60 * MINUTE);
        let failures = swarm.world.notices(host).iter().filter_map(|(at, notice)| match notice {
            Notice::TrackerFailed { .. } => Some(*at),
            _ => None,
        });
        let failures: Vec<_> = failures.collect();
        for (number, pair) in failures.windows(2).enumerate() {
            let number = number as f64 + 1.0;
            let expected = (5.0 + 12.5 * number * number).min(3600.0);
            let waited = pair[1].since(pair[0] + TRACKER_TIMEOUT).as_secs_f64();
            assert!(
                (waited / expected - 1.0).abs() <= 0.2,
                "seed {seed}: {waited} s instead of {expected} s"
            );
        }
        assert!((6..=14).contains(&failures.len()), "{failures:?}");
        swarm.world.tracker_mut().set_mode(TrackerMode::Works);
        let next: f64 = 1.1 * (5.0 + 12.5 * (failures.len() as f64).powi(2));
        let limit = Duration::from_secs_f64(next.min(3960.0)) + TRACKER_TIMEOUT;
        // Either may be the first to announce; the other hears of it at its own next time.
        assert!(swarm.world.run_until(limit + MINUTE, |world| world.is_complete(host)), "seed {seed}");
    }
}

#[test]
fn a_program_that_was_stopped_for_ten_minutes_goes_on_without_a_burst() {
    for seed in 1..=3 {
        let scenario = Scenario::new(seed).files(&[32 << 20], 65_536).seeds(20).leechers(1);
        let mut swarm = slow(scenario, 10_000);
        let host = swarm.leechers[0];
        swarm.world.run_for(MINUTE / 2);
        swarm.world.freeze(host, 10 * MINUTE);
        // Half of them leave meanwhile, without a word; what they had sent is there when it goes on.
        for &gone in &swarm.seeds[..10] {
            swarm.world.stop_in(gone, MINUTE, Departure::Lost);
        }
        swarm.world.run_for(10 * MINUTE);
        let (announces, before) = (swarm.world.tracker_mut().announces(), have(&swarm.world, host));
        swarm.world.keep_trace();
        swarm.world.run_for(SECOND);
        let dials = swarm.world.take_trace().iter().filter(|line| line.contains("Dial {")).count();
        assert!(dials <= 30, "{dials} dials at once");
        assert!(swarm.world.tracker_mut().announces() <= announces + 1);
        // The living are kept, and the others gone as soon as any that fall silent.
        swarm.world.run_for(130 * SECOND);
        assert!(have(&swarm.world, host) > before, "seed {seed}: nothing comes any more");
        let kept = swarm.world.snapshot(host, Detail::Peers).expect("it is on").peer_list;
        let alive: Vec<_> = swarm.seeds[10..].iter().map(|seed| swarm.world.address(*seed).ip()).collect();
        assert!(kept.iter().all(|peer| alive.contains(&peer.address.ip())), "seed {seed}: {kept:?}");
        assert!(kept.len() >= 8, "seed {seed}: {} peers are left", kept.len());
        let is_done = swarm.world.run_until(15 * MINUTE, |world| world.is_complete(host));
        assert!(is_done, "seed {seed}: {} pieces", have(&swarm.world, host));
    }
}

#[test]
fn after_a_change_of_the_network_a_peer_that_stays_silent_is_dialled_anew_and_one_that_speaks_is_kept() {
    for seed in 1..=3 {
        let mut swarm = slow(Scenario::new(seed).seeds(2).leechers(1), 70_000);
        let host = swarm.leechers[0];
        let closed = |world: &World| {
            let is_lost = |notice: &Notice| matches!(notice, Notice::PeerClosed { reason, .. } if reason.contains("network changed"));
            world.notices(host).iter().filter(|(_, notice)| is_lost(notice)).count()
        };
        assert!(swarm.world.run_until(MINUTE, |world| have(world, host) > 3));
        // Both send on; then one goes, and there is another change before the first is dealt with.
        swarm.world.change_network(host);
        swarm.world.run_for(3 * SECOND);
        swarm.world.stop_in(swarm.seeds[0], Duration::ZERO, Departure::Lost);
        swarm.world.run_for(2 * SECOND);
        swarm.world.change_network(host);
        swarm.world.run_for(7 * SECOND);
        assert_eq!(closed(&swarm.world), 0);
        swarm.world.keep_trace();
        swarm.world.run_for(3 * SECOND);
        assert_eq!(closed(&swarm.world), 1, "seed {seed}");
        let dialled = swarm.world.take_trace().iter().filter(|line| line.contains("Dial {")).count();
        assert_eq!((dialled, peers(&swarm.world, host)), (1, 1), "seed {seed}");
    }
}

#[test]
fn a_link_that_was_down_is_used_again_sooner_than_the_system_tries() {
    let Some((namespace, setting)) = in_namespace("link") else { return };
    let seed = setting.seed(Duration::from_millis(20));
    let mut btget = setting.start_by(&namespace.enter(), &[]);
    let sent = || seed.record().sent.len();
    wait_for("a part", || sent() > setting.blocks() / 4);
    namespace.plug(false);
    // What was on its way has arrived after a moment.
    wait_until_still(&sent);
    // So long that the system would try again only in twenty seconds.
    std::thread::sleep(Duration::from_secs(30));
    assert!(sent() < setting.blocks(), "it was to be in the midst of it");
    let before = sent();
    namespace.plug(true);
    let up_at = Instant::now();
    // The old connection would go on with the system's next try.
    wait_for("a block over a new connection", || sent() > before && seed.record().connections > 1);
    println!("resumed {:?} after the link", up_at.elapsed());
    setting.complete(&mut btget);
}

#[test]
fn under_a_new_address_it_goes_on_and_tells_the_tracker_within_half_a_minute() {
    let Some((namespace, setting)) = in_namespace("address") else { return };
    let tracker = HttpServer::start(setting.address.ip(), |_, _| Some(nobody()));
    let seed = setting.seed(Duration::from_millis(20));
    let mut btget = setting.start_by(&namespace.enter(), &["--tracker", &tracker.announce_url()]);
    let sent = || seed.record().sent.len();
    wait_for("a part", || sent() > setting.blocks() / 4 && !tracker.requests().is_empty());
    let new: IpAddr = namespace.change_address();
    let changed_at = Instant::now();
    wait_until_still(&sent);
    wait_for("an announce", || tracker.requests().iter().any(|request| request.from == new));
    println!("announced {:?} after the change", changed_at.elapsed());
    assert!(changed_at.elapsed() <= Duration::from_secs(30), "{}", btget.stderr());
    setting.complete(&mut btget);
}

/// A namespace, and a download whose seed is outside of it; `None`, said aloud, where there can be none.
fn in_namespace(name: &str) -> Option<(Namespace, Setting)> {
    let namespace = match Namespace::create() {
        Ok(namespace) => namespace,
        Err(why) => {
            crate::disk_faults::skipped(&format!("no network namespace: {why}"));
            return None;
        }
    };
    let mut setting = Setting::new(Payload::single(name, 16 << 20, 64 << 10));
    setting.address = crate::harness::free_address(namespace.outside());
    Some((namespace, setting))
}

/// Waits until `count` has not changed for a second.
fn wait_until_still(count: &impl Fn() -> usize) {
    let mut last = (count(), Instant::now());
    while last.1.elapsed() < SECOND {
        std::thread::sleep(Duration::from_millis(20));
        if count() != last.0 {
            last = (count(), Instant::now());
        }
    }
}
