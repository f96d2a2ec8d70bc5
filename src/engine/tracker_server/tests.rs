use super::*;
use crate::base::peer_id::PeerId;

struct Bench {
    tracker: TrackerServer,
    now: Instant,
}

impl Bench {
    fn new() -> Bench {
        let tracker = TrackerServer::new(TrackerServerSettings::default(), Rng::from_number(1));
        Bench { tracker, now: Instant::ZERO }
    }

    fn announce(&mut self, query: &AnnounceQuery, from: &str) -> AnnounceAnswer {
        self.tracker.handle_announce(self.now, query, from.parse().unwrap())
    }
}

fn leecher(number: u16) -> AnnounceQuery {
    let mut id = *b"-xx0000-000000000000";
    id[18..].copy_from_slice(&number.to_be_bytes());
    AnnounceQuery {
        info_hash: Sha1Hash([1; 20]),
        peer_id: PeerId(id),
        port: 6881,
        left: 1,
        event: None,
        numwant: None,
        key: b"key".to_vec(),
    }
}

fn seed(number: u16) -> AnnounceQuery {
    AnnounceQuery { left: 0, ..leecher(number) }
}

fn stopped(query: AnnounceQuery) -> AnnounceQuery {
    AnnounceQuery { event: Some(Event::Stopped), ..query }
}

fn peers(addresses: &[&str]) -> Vec<SocketAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

#[test]
fn peers_are_told_of_each_other_but_not_of_themselves() {
    let mut bench = Bench::new();
    let first = bench.announce(&leecher(1), "1.0.0.1");
    assert_eq!((first.seeds, first.leechers, first.peers), (Some(0), Some(1), Vec::new()));
    let second = bench.announce(&seed(2), "1.0.0.2");
    assert_eq!((second.seeds, second.leechers, second.peers), (Some(1), Some(1), peers(&["1.0.0.1:6881"])));
    assert_eq!(bench.announce(&leecher(1), "1.0.0.1").peers, peers(&["1.0.0.2:6881"]));
    assert_eq!(second.external_address, Some("1.0.0.2".parse().unwrap()));
}

#[test]
fn torrents_do_not_mix() {
    let mut bench = Bench::new();
    bench.announce(&seed(1), "1.0.0.1");
    let other = AnnounceQuery { info_hash: Sha1Hash([2; 20]), ..leecher(2) };
    assert_eq!(bench.announce(&other, "1.0.0.2").peers, []);
}

#[test]
fn a_seed_is_not_told_of_seeds() {
    let mut bench = Bench::new();
    bench.announce(&seed(1), "1.0.0.1");
    bench.announce(&leecher(2), "1.0.0.2");
    assert_eq!(bench.announce(&seed(3), "1.0.0.3").peers, peers(&["1.0.0.2:6881"]));
}

#[test]
fn a_peer_of_both_families_is_one_peer_with_two_addresses() {
    let mut bench = Bench::new();
    bench.announce(&seed(1), "1.0.0.1");
    bench.announce(&seed(1), "2a00::1");
    let answer = bench.announce(&leecher(2), "1.0.0.2");
    assert_eq!((answer.seeds, answer.peers), (Some(1), peers(&["1.0.0.1:6881", "[2a00::1]:6881"])));
}

#[test]
fn who_stops_is_forgotten_but_nobody_can_stop_another() {
    let mut bench = Bench::new();
    bench.announce(&seed(1), "1.0.0.1");
    let forged = AnnounceQuery { key: b"guess".to_vec(), ..stopped(seed(1)) };
    bench.announce(&forged, "6.6.6.6");
    assert_eq!(bench.announce(&leecher(2), "1.0.0.2").peers, peers(&["1.0.0.1:6881"]));
    let answer = bench.announce(&stopped(seed(1)), "1.0.0.1");
    assert_eq!((answer.seeds, answer.leechers, answer.peers), (Some(0), Some(1), Vec::new()));
    assert_eq!(bench.tracker.peers(), 1);
    assert_eq!(bench.announce(&leecher(2), "1.0.0.2").peers, []);
}

#[test]
fn who_is_silent_for_two_intervals_is_forgotten() {
    let mut bench = Bench::new();
    let interval = TrackerServerSettings::default().interval;
    bench.announce(&seed(1), "1.0.0.1");
    bench.now += interval * 2;
    assert_eq!(bench.announce(&leecher(2), "1.0.0.2").peers.len(), 1);
    bench.now += Duration::from_secs(1);
    assert_eq!(bench.announce(&leecher(2), "1.0.0.2").peers.len(), 0);
    let mut sweeps = 0;
    while let Some(due) = bench.tracker.poll_timeout() {
        bench.tracker.handle_timeout(due);
        sweeps += 1;
    }
    assert!(bench.tracker.peers() == 0 && sweeps < 10);
    assert!(bench.tracker.swarms.is_empty());
}

#[test]
fn a_completion_counts_once() {
    let mut bench = Bench::new();
    let done = AnnounceQuery { event: Some(Event::Completed), ..seed(1) };
    bench.announce(&done, "1.0.0.1");
    assert_eq!(bench.announce(&done, "2a00::1").downloaded, Some(1));
}

#[test]
fn as_many_peers_are_told_as_are_wanted_within_bounds_and_others_each_time() {
    let mut bench = Bench::new();
    for number in 0..1000 {
        bench.announce(&AnnounceQuery { port: number + 1, ..leecher(number) }, "1.0.0.1");
    }
    let mut told = |numwant| bench.announce(&AnnounceQuery { numwant, ..leecher(2000) }, "1.0.0.2").peers;
    for (numwant, count) in [(None, 50), (Some(0), 0), (Some(7), 7), (Some(usize::MAX), limit::TOLD_PEERS)] {
        let mut peers = told(numwant);
        peers.sort();
        peers.dedup();
        assert_eq!(peers.len(), count);
    }
    assert_ne!(told(Some(20)), told(Some(20)));
}

#[test]
fn an_address_is_told_only_to_those_who_may_dial_it() {
    let mut bench = Bench::new();
    bench.announce(&seed(1), "127.0.0.1");
    bench.announce(&seed(2), "10.0.0.2");
    assert_eq!(bench.announce(&leecher(3), "1.0.0.3").peers, peers(&["10.0.0.2:6881"]));
    assert_eq!(bench.announce(&leecher(4), "127.0.0.1").peers.len(), 3);
}

#[test]
fn a_full_tracker_refuses_newcomers_only() {
    let mut bench = Bench::new();
    for number in 0..limit::TRACKED_SWARM as u16 {
        bench.announce(&leecher(number), "1.0.0.1");
    }
    assert!(bench.announce(&leecher(60_000), "1.0.0.1").failure_reason.is_some());
    assert!(bench.announce(&leecher(1), "1.0.0.1").failure_reason.is_none());
    let other = |number: usize| {
        let mut hash = [0; 20];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        AnnounceQuery { info_hash: Sha1Hash(hash), ..leecher(1) }
    };
    let refused = (1..=limit::TRACKED_TORRENTS)
        .filter(|number| bench.announce(&other(*number), "1.0.0.1").failure_reason.is_some());
    assert_eq!(refused.count(), 1);
}

#[test]
fn a_query_that_is_no_announce_gets_the_reason() {
    let mut bench = Bench::new();
    let body = bench.tracker.handle_query(bench.now, "port=1", "1.0.0.1".parse().unwrap());
    let answer = AnnounceAnswer::decode(&body).unwrap();
    assert_eq!(answer.failure_reason.as_deref(), Some("info_hash is missing or malformed"));
}
