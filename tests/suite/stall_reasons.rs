//! Why nothing comes: every reason is provoked in a simulated swarm, and shown in the same words wherever it is shown.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use btget::base::bitfield::Bitfield;
use btget::base::index::PieceIndex;
use btget::base::rate::ByteRate;
use btget::base::time::Duration;
use btget::engine::settings::{Limits, Settings};
use btget::engine::snapshot::{Detail, StallReason};
use btget::sim::disk::DiskSpeed;
use btget::sim::host::{HostPlan, Line};
use btget::sim::liar::Lie;
use btget::sim::scenario::{Scenario, Swarm};
use btget::sim::tracker::{Tracker, TrackerMode};
use btget::sim::world::{Departure, HostId};

const PIECES: u32 = 64;
const MINUTE: Duration = Duration::from_secs(60);

fn build(scenario: Scenario) -> Swarm {
    scenario.build().expect("a layout that exists")
}

/// Runs until `host` gives this reason, in five minutes at the most.
fn waits_for(swarm: &mut Swarm, host: HostId, reason: &str) -> StallReason {
    let waiting =
        |swarm: &Swarm| swarm.world.snapshot(host, Detail::Totals).and_then(|torrent| torrent.waiting);
    for _ in 0..300 {
        swarm.world.run_for(Duration::from_secs(1));
        if let Some(given) = waiting(swarm).filter(|given| given.name() == reason) {
            return given;
        }
    }
    panic!("not {reason} but {:?}, {:?}", waiting(swarm), swarm.world.faults());
}

fn leecher_waits(scenario: Scenario, reason: &str) -> StallReason {
    let mut swarm = build(scenario.leechers(1));
    let host = *swarm.leechers.last().expect("there is a leecher");
    waits_for(&mut swarm, host, reason)
}

/// A leecher that is told of these trackers and peers.
fn told_of(trackers: &[&str], peers: &[SocketAddr], reason: &str) -> StallReason {
    let mut swarm = build(Scenario::new(1));
    let host = swarm.world.add_session(HostPlan {
        line: Line::default(),
        disk: DiskSpeed::default(),
        has: Bitfield::empty(PIECES),
        foreign: BTreeSet::new(),
        remembers: false,
        kept: None,
        settings: Arc::default(),
        trackers: trackers.iter().map(|url| vec![(*url).to_owned()]).collect(),
        peers: peers.to_vec(),
        super_seed: false,
    });
    swarm.world.start_in(host, Duration::ZERO);
    waits_for(&mut swarm, host, reason)
}

/// Has somebody give the reason of this name.
type Provocation = fn(&str) -> StallReason;

/// Each reason, and who gives it.
const TABLE: &[(&str, Provocation)] = &[
    ("no-trackers", |reason| told_of(&[], &[], reason)),
    ("tracker-refused", |reason| leecher_waits(Scenario::new(1).tracker(TrackerMode::Refuses), reason)),
    ("no-peers-found", |reason| {
        told_of(&[Tracker::URL], &[], reason);
        leecher_waits(Scenario::new(1).tracker(TrackerMode::Dead), reason)
    }),
    ("none-connectable", |reason| {
        let nobody = SocketAddr::from((Ipv4Addr::new(10, 9, 9, 9), 6881));
        told_of(&[Tracker::URL], &[nobody], reason)
    }),
    ("all-choke-us", |reason| leecher_waits(Scenario::new(1).liar(Lie::Chokes), reason)),
    ("missing-pieces", |reason| {
        let mut has = Bitfield::full(PIECES);
        [3, 40].into_iter().for_each(|piece| assert!(has.remove(PieceIndex(piece))));
        leecher_waits(Scenario::new(1).having(has), reason)
    }),
    ("peers-silent", |reason| leecher_waits(Scenario::new(1).liar(Lie::Withholds), reason)),
    ("disk-slow", |reason| {
        let disk = DiskSpeed { latency: Duration::from_secs(20), ..DiskSpeed::default() };
        leecher_waits(Scenario::new(1).disk(disk).seeds(1), reason)
    }),
    ("disk-full", |reason| {
        let mut swarm = build(Scenario::new(1).seeds(1).leechers(1));
        let host = swarm.leechers[0];
        swarm.world.set_full(host, true);
        waits_for(&mut swarm, host, reason)
    }),
    ("limited-by-user", |reason| {
        let limits = Limits { down: Some(ByteRate(300)), up: None };
        let settings = Settings { limits, ..Settings::default() };
        leecher_waits(Scenario::new(1).settings(settings).seeds(1), reason)
    }),
];

#[test]
fn every_reason_is_given_when_it_holds() {
    for (reason, provoke) in TABLE {
        println!("{reason}");
        assert_eq!(provoke(reason).name(), *reason);
    }
    let provoked: Vec<&str> = TABLE.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(provoked, StallReason::NAMES, "the table and the program's own list differ");
}

#[test]
fn a_peer_that_is_gone_is_no_reason_any_more_when_data_comes_from_another() {
    let mut swarm = build(Scenario::new(2).seeds(1).leechers(1));
    let (seed, host) = (swarm.seeds[0], swarm.leechers[0]);
    swarm.world.run_for(Duration::from_secs(1));
    swarm.world.stop_in(seed, Duration::ZERO, Departure::Off);
    waits_for(&mut swarm, host, "none-connectable");
    swarm.world.start_in(seed, Duration::ZERO);
    swarm.world.run_for(2 * MINUTE);
    assert!(swarm.world.is_complete(host));
    assert_eq!(swarm.world.snapshot(host, Detail::Totals).expect("it is on").waiting, None);
}
