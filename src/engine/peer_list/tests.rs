//! The peer list against its promises.

use proptest::prelude::*;

use super::*;
use crate::base::random::Rng;
use crate::base::time::Duration;

fn peer(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn list() -> PeerList {
    PeerList::new(Families::BOTH, Rng::from_number(1))
}

fn secs(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

/// A list that a tracker far away has named these to.
fn list_of(peers: &[&str]) -> PeerList {
    let mut list = list();
    for text in peers {
        assert!(list.add(Instant::ZERO, peer(text), PeerSource::Tracker, Reach::Global), "{text}");
    }
    list
}

/// The seconds between dials of a peer that never answers.
fn waits(source: PeerSource, dials: usize) -> Vec<u64> {
    let mut list = list();
    list.add(Instant::ZERO, peer("1.2.3.4:5"), source, Reach::Global);
    failures(&mut list, Instant::ZERO, dials)
}

fn failures(list: &mut PeerList, mut now: Instant, dials: usize) -> Vec<u64> {
    let mut waits = Vec::new();
    for _ in 0..dials {
        let address = list.pick_dial(now).unwrap();
        assert_eq!(list.next_dial_at(), None);
        list.on_dial_failed(now, address);
        let next = list.next_dial_at().unwrap();
        waits.push(next.since(now).as_secs());
        now = next;
    }
    waits
}

#[test]
fn an_address_of_a_family_that_is_not_in_use_is_taken_from_nobody() {
    let addresses = ["192.0.2.1:1", "[::ffff:192.0.2.2]:1", "[2001:db8::1]:1"];
    for (v4, v6, taken) in [(true, false, [true, true, false]), (false, true, [false, false, true])] {
        for source in [PeerSource::Incoming, PeerSource::Tracker, PeerSource::Person] {
            let mut list = PeerList::new(Families { v4, v6 }, Rng::from_number(1));
            let added = addresses.map(|text| list.add(Instant::ZERO, peer(text), source, Reach::Loopback));
            assert_eq!(added, taken, "{source:?}");
        }
    }
}

#[test]
fn a_stranger_that_fails_waits_longer_each_time() {
    assert_eq!(waits(PeerSource::Tracker, 3), [120, 180, 240]);
    assert!(waits(PeerSource::Tracker, 100).iter().all(|wait| *wait <= 3600));
}

#[test]
fn a_peer_that_had_to_leave_comes_after_all_others() {
    let mut list = list_of(&["1.2.3.4:5"]);
    let held = list.pick_dial(Instant::ZERO).unwrap();
    list.on_connected(held);
    list.on_disconnected(secs(200), held, false);
    list.on_useless(secs(200), held);
    assert_eq!(list.next_dial_at(), Some(secs(320)));
    list.add(secs(200), peer("1.2.3.4:6"), PeerSource::Incoming, Reach::Global);
    assert_eq!(list.pick_dial(secs(400)), Some(peer("1.2.3.4:6")));
    assert_eq!(list.pick_dial(secs(400)), Some(held));
}

#[test]
fn a_port_that_a_stranger_claims_is_not_dialled_before_what_a_tracker_named() {
    let mut list = list_of(&["1.2.3.4:5"]);
    let claimed = peer("5.6.7.8:9");
    assert!(list.add(Instant::ZERO, claimed, PeerSource::Incoming, Reach::Global));
    list.on_accepted(claimed);
    list.on_disconnected(Instant::ZERO, claimed, false);
    assert_eq!(list.pick_dial(secs(1000)), Some(peer("1.2.3.4:5")));
    assert_eq!(list.pick_dial(secs(1000)), Some(claimed));
}

#[test]
fn a_peer_that_a_person_named_is_tried_soon_and_for_ever() {
    assert_eq!(waits(PeerSource::Person, 6), [5, 10, 20, 40, 40, 40]);
    assert_eq!(waits(PeerSource::Person, 100).last(), Some(&40));
}

#[test]
fn a_peer_that_has_worked_is_found_again_soon() {
    let mut list = list_of(&["1.2.3.4:5"]);
    let address = list.pick_dial(Instant::ZERO).unwrap();
    list.on_connected(address);
    assert_eq!(list.pick_dial(secs(1)), None);
    list.on_disconnected(secs(100), address, true);
    assert_eq!(list.next_dial_at(), Some(secs(105)));
    assert_eq!(failures(&mut list, secs(105), 3), [5, 10, 20]);
}

#[test]
fn a_seed_is_not_dialled_by_a_seed_and_again_when_either_lacks_something() {
    let mut list = list_of(&["1.2.3.4:5", "1.2.3.4:6"]);
    let seed = list.pick_dial(Instant::ZERO).unwrap();
    list.on_connected(seed);
    list.mark_seed(seed, true);
    list.set_complete(true);
    list.on_disconnected(secs(1), seed, false);
    let other = list.pick_dial(secs(10_000)).unwrap();
    assert_ne!(other, seed);
    assert_eq!(list.next_dial_at(), None, "it would sleep for ever");
    list.hurry(secs(10_000));
    assert_eq!(list.pick_dial(secs(10_000)), None);
    list.set_complete(false);
    assert_eq!(list.pick_dial(secs(10_000)), Some(seed));
    list.on_dial_failed(secs(10_000), seed);
    list.set_complete(true);
    assert_eq!(list.pick_dial(secs(20_000)), None);
    // It comes to us and lacks something.
    list.on_accepted(seed);
    list.mark_seed(seed, false);
    list.on_disconnected(secs(20_000), seed, false);
    assert!(list.next_dial_at().is_some());
}

#[test]
fn a_source_may_not_name_what_is_more_local_than_itself() {
    let mut list = list();
    assert!(!list.add(Instant::ZERO, peer("127.0.0.1:1"), PeerSource::Tracker, Reach::Global));
    assert!(!list.add(Instant::ZERO, peer("8.8.8.8:0"), PeerSource::Person, Reach::Loopback));
    assert_eq!(list.known(), 0);
    assert!(list.add(Instant::ZERO, peer("127.0.0.1:1"), PeerSource::Person, Reach::Loopback));
}

#[test]
fn a_peer_is_known_once_in_either_clothes() {
    let mut list = list_of(&["1.2.3.4:5"]);
    assert!(!list.add(Instant::ZERO, peer("[::ffff:1.2.3.4]:5"), PeerSource::Person, Reach::Global));
    assert_eq!(list.known(), 1);
    list.ban(peer("[::ffff:1.2.3.4]:5"));
    assert!(list.is_banned(peer("1.2.3.4:5")));
    assert_eq!(list.known(), 0);
}

#[test]
fn a_person_who_names_a_known_peer_has_it_tried_at_once() {
    let mut list = list_of(&["1.2.3.4:5"]);
    failures(&mut list, Instant::ZERO, 1);
    assert_eq!(list.pick_dial(secs(1)), None);
    list.add(secs(1), peer("1.2.3.4:5"), PeerSource::Person, Reach::Loopback);
    assert_eq!(list.pick_dial(secs(1)), Some(peer("1.2.3.4:5")));
}

#[test]
fn peers_that_are_worth_more_are_dialled_first() {
    let mut list = list_of(&["1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1"]);
    list.add(Instant::ZERO, peer("9.9.9.9:9"), PeerSource::Person, Reach::Loopback);
    assert_eq!(list.pick_dial(Instant::ZERO), Some(peer("9.9.9.9:9")));
    list.on_dial_failed(Instant::ZERO, peer("9.9.9.9:9"));
    let fresh = list.pick_dial(Instant::ZERO).unwrap();
    list.on_dial_failed(Instant::ZERO, fresh);
    assert_eq!(list.pick_dial(secs(200)), Some(peer("9.9.9.9:9")));
    assert_ne!(list.pick_dial(secs(200)), Some(fresh), "untried ones come before one that failed");
}

#[test]
fn the_second_banned_port_bans_the_ip() {
    let mut list = list_of(&["1.2.3.4:1", "1.2.3.4:2", "1.2.3.4:3", "1.2.3.5:1"]);
    list.ban(peer("1.2.3.4:1"));
    assert_eq!((list.known(), list.is_banned(peer("1.2.3.4:3"))), (3, false));
    list.ban(peer("1.2.3.4:1"));
    assert!(!list.is_banned(peer("1.2.3.4:3")), "the same port twice is one");
    list.ban(peer("1.2.3.4:2"));
    assert!(list.is_banned(peer("1.2.3.4:3")) && list.is_banned(peer("1.2.3.4:1")));
    assert_eq!(list.pick_dial(secs(1)), Some(peer("1.2.3.5:1")));
    assert!(!list.add(Instant::ZERO, peer("1.2.3.4:9"), PeerSource::Person, Reach::Loopback));
}

#[test]
fn no_ban_widens_where_honest_peers_share_an_address() {
    for ip in ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.1.1", "[::1]", "[fd00::1]"] {
        let mut list = list();
        let at = |port| peer(&format!("{ip}:{port}"));
        list.ban(at(1));
        list.ban(at(2));
        assert!(list.is_banned(at(1)) && list.is_banned(at(2)) && !list.is_banned(at(3)), "{ip}");
    }
}

#[test]
fn a_banned_peer_that_is_connected_is_not_dialled_when_it_goes() {
    let mut list = list_of(&["1.2.3.4:5"]);
    let address = list.pick_dial(Instant::ZERO).unwrap();
    list.on_connected(address);
    list.ban(address);
    list.on_disconnected(secs(1), address, true);
    assert_eq!(list.next_dial_at(), None);
}

#[test]
fn we_do_not_dial_ourselves_again() {
    let mut list = list_of(&["1.2.3.4:5"]);
    let address = list.pick_dial(Instant::ZERO).unwrap();
    list.mark_ourselves(address);
    list.on_dial_failed(Instant::ZERO, address);
    assert!(!list.add(secs(1), address, PeerSource::Tracker, Reach::Global));
    assert_eq!(list.next_dial_at(), None);
    assert!(!list.is_banned(address), "what was ourselves may be another's tomorrow");
}

#[test]
fn a_full_list_gives_up_who_failed_and_keeps_who_is_in_use() {
    let mut list = list();
    let stranger = |number: usize| SocketAddr::from(([20, 0, (number / 250) as u8, (number % 250) as u8], 1));
    for number in 0..limit::KNOWN_PEERS {
        assert!(list.add(Instant::ZERO, stranger(number), PeerSource::Tracker, Reach::Global));
    }
    let (failed, used) = (list.pick_dial(secs(0)).unwrap(), list.pick_dial(secs(0)).unwrap());
    list.on_dial_failed(secs(0), failed);
    list.on_connected(used);
    let mut add = |text, source| list.add(secs(1), peer(text), source, Reach::Global);
    assert!(add("9.0.0.1:1", PeerSource::Tracker), "instead of the one that failed");
    assert!(!add("9.0.0.2:1", PeerSource::Incoming), "nobody is worse");
    assert!(add("9.0.0.3:1", PeerSource::Person), "instead of a stranger");
    assert_eq!(list.known(), limit::KNOWN_PEERS);
    assert!(list.add(secs(1), failed, PeerSource::Person, Reach::Global), "it was forgotten");
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, PeerSource),
    Dial,
    Connected(u8),
    Failed(u8),
    Disconnected(u8, bool),
    Ban(u8),
    Ourselves(u8),
    Seed(u8, bool),
    Complete(bool),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = || 0u8..12;
    let source = prop::sample::select(vec![PeerSource::Incoming, PeerSource::Tracker, PeerSource::Person]);
    let step = prop_oneof![
        4 => (number(), source).prop_map(|(number, source)| Step::Add(number, source)),
        6 => Just(Step::Dial),
        2 => number().prop_map(Step::Connected),
        3 => number().prop_map(Step::Failed),
        2 => (number(), any::<bool>()).prop_map(|(number, useful)| Step::Disconnected(number, useful)),
        1 => number().prop_map(Step::Ban),
        1 => number().prop_map(Step::Ourselves),
        1 => (number(), any::<bool>()).prop_map(|(number, is_seed)| Step::Seed(number, is_seed)),
        1 => any::<bool>().prop_map(Step::Complete),
        3 => (0u64..200).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..120)
}

/// Two ports on each of six addresses, half of them private.
fn numbered(number: u8) -> SocketAddr {
    let first = if number < 6 { 10 } else { 20 };
    SocketAddr::from(([first, 0, 0, number / 2], u16::from(number % 2) + 1))
}

proptest! {
    #[test]
    fn nobody_is_dialled_twice_or_too_soon_or_though_banned(steps in steps()) {
        let (mut list, mut now) = (list(), Instant::ZERO);
        let (mut busy, mut out) = (BTreeSet::new(), BTreeSet::new());
        let mut not_before: BTreeMap<SocketAddr, Instant> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Add(number, source) => {
                    let is_new = list.add(now, numbered(number), source, Reach::Loopback);
                    prop_assert!(!is_new || !out.contains(&numbered(number)));
                    if source == PeerSource::Person {
                        not_before.remove(&numbered(number));
                    }
                }
                Step::Dial => {
                    let is_due = list.next_dial_at().is_some_and(|at| at <= now);
                    let picked = list.pick_dial(now);
                    prop_assert_eq!(picked.is_some(), is_due);
                    if let Some(address) = picked {
                        prop_assert!(!list.is_banned(address) && !out.contains(&address));
                        prop_assert!(not_before.get(&address).is_none_or(|at| *at <= now), "too soon");
                        prop_assert!(busy.insert(address), "it is being dialled or connected");
                    }
                }
                Step::Connected(number) if busy.contains(&numbered(number)) => {
                    list.on_connected(numbered(number));
                }
                Step::Failed(number) if busy.remove(&numbered(number)) => {
                    list.on_dial_failed(now, numbered(number));
                    not_before.insert(numbered(number), now + Duration::from_secs(5));
                }
                Step::Disconnected(number, was_useful) if busy.remove(&numbered(number)) => {
                    list.on_disconnected(now, numbered(number), was_useful);
                    not_before.insert(numbered(number), now + Duration::from_secs(5));
                }
                Step::Ban(number) => {
                    list.ban(numbered(number));
                    out.insert(numbered(number));
                    prop_assert!(list.is_banned(numbered(number)));
                }
                Step::Ourselves(number) => {
                    list.mark_ourselves(numbered(number));
                    out.insert(numbered(number));
                }
                Step::Seed(number, is_seed) => list.mark_seed(numbered(number), is_seed),
                Step::Complete(are_we_seed) => list.set_complete(are_we_seed),
                Step::Wait(secs) => now += Duration::from_secs(secs),
                Step::Connected(_) | Step::Failed(_) | Step::Disconnected(..) => {}
            }
            let apart = list.candidates.values().filter(|peer| matches!(peer.contact, Contact::Apart { .. }));
            let due = apart.filter(|peer| !(peer.is_seed && list.are_we_seed));
            prop_assert_eq!(list.due.len(), due.count());
        }
        list.set_complete(false);
        now += Duration::from_secs(2 * 60 * 60);
        let idle = list.due.len();
        let dials = std::iter::from_fn(|| list.pick_dial(now)).count();
        prop_assert_eq!(dials, idle, "everyone is tried again in the end");
    }
}

#[test]
fn when_the_network_has_changed_nobody_is_waited_for_and_strangers_come_one_after_the_other() {
    let mut list = PeerList::new(Families::BOTH, Rng::from_number(1));
    let now = Instant::ZERO;
    let named: SocketAddr = "192.0.2.1:1".parse().unwrap();
    list.add(now, named, PeerSource::Person, Reach::Loopback);
    for host in 2..200_u8 {
        list.add(now, SocketAddr::from(([198, 51, 100, host], 1)), PeerSource::Tracker, Reach::Loopback);
    }
    for _ in 0..5 {
        let late = now + Duration::from_secs(3600);
        while let Some(address) = list.pick_dial(late) {
            list.on_dial_failed(late, address);
        }
    }
    let now = now + Duration::from_secs(3601);
    assert_eq!(list.pick_dial(now), None);
    list.hurry(now);
    let due = |list: &mut PeerList, at: Instant| std::iter::from_fn(|| list.pick_dial(at)).count();
    assert_eq!(list.pick_dial(now), Some(named));
    let at_once = due(&mut list, now + Duration::from_secs(3));
    assert!((1..60).contains(&at_once), "{at_once}");
    assert_eq!(at_once + due(&mut list, now + Duration::from_secs(30)), 198);
}
