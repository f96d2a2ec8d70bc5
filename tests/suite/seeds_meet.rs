//! What seeds make of each other: they part, are left alone, and are counted as what they are.

use btget::base::time::Duration;
use btget::engine::notice::Notice;
use btget::engine::order::Order;
use btget::engine::snapshot::Detail;
use btget::sim::scenario::{Scenario, Swarm};
use btget::sim::tracker::TrackerMode;
use btget::sim::world::{HostId, TORRENT};
use btget::wire::peer::Message;

use crate::puppet::{FAST, Puppet};

const MINUTE: Duration = Duration::from_secs(60);

fn build(scenario: &Scenario) -> Swarm {
    scenario.build().expect("a layout that exists")
}

fn connections(swarm: &Swarm, host: HostId) -> usize {
    let connected = |(_, notice): &&(_, Notice)| matches!(notice, Notice::PeerConnected { .. });
    swarm.world.notices(host).iter().filter(connected).count()
}

fn swarm_seeds(swarm: &Swarm, host: HostId) -> usize {
    swarm.world.snapshot(host, Detail::Totals).expect("it is on").swarm_seeds
}

#[test]
fn seeds_that_have_met_leave_each_other_alone() {
    let mut swarm = build(&Scenario::new(1).seeds(4));
    swarm.world.run_for(60 * MINUTE);
    for seed in swarm.seeds.clone() {
        // Each may dial the other once.
        let met = connections(&swarm, seed);
        assert!((3..=6).contains(&met), "{met} connections with 3 seeds in an hour");
    }
}

#[test]
fn whoever_says_that_it_has_everything_is_one_seed_however_often_it_comes() {
    let mut swarm = build(&Scenario::new(1).tracker(TrackerMode::Dead).seeds(2).leechers(1));
    let (seed, other) = (swarm.seeds[0], swarm.seeds[1]);
    let address = swarm.world.address(seed);
    let liar = Puppet::new(&mut swarm, seed, FAST);
    for _ in 0..5 {
        liar.say(Message::HaveAll);
        swarm.world.run_for(Duration::from_secs(1));
        assert!(!liar.is_connected());
        liar.dial(address);
    }
    assert!(connections(&swarm, seed) >= 5);
    assert_eq!(swarm_seeds(&swarm, seed), 1);
    // Another seed is the second, and one that fetches it from us the third.
    let addresses = vec![swarm.world.address(other), swarm.world.address(swarm.leechers[0])];
    swarm.world.order(seed, Order::AddPeers { torrent: TORRENT, addresses });
    swarm.world.run_for(MINUTE);
    assert_eq!(swarm_seeds(&swarm, seed), 3);
}
