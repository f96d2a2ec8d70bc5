mod lying;
mod turns;

use super::*;

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

/// Peers that do what the choker says, in steps of a second.
struct Peers {
    choker: Choker,
    all: Vec<Standing>,
    now: u64,
    /// By second: whom the choker choked and unchoked.
    log: Vec<(u64, Changes)>,
    is_asking: bool,
    /// Of these everything that they ask for lies, from when they are unchoked.
    lying: BTreeSet<u32>,
}

impl Peers {
    /// So many interested peers that give and take nothing.
    fn new(count: u32, slots: Slots, seed: u64) -> Peers {
        let standing = |number| Standing {
            connection: ConnectionId(number),
            is_interested: true,
            is_upload_only: false,
            are_we_seed: false,
            given: ByteRate(0),
            taken: ByteRate(0),
            sent: 0,
            since: at(0),
            is_unchoked: false,
            changed: None,
            asked: at(0),
            owed: None,
            took: None,
        };
        Peers {
            choker: Choker::new(slots, Rng::from_number(seed)),
            all: (0..count).map(standing).collect(),
            now: 1000,
            log: Vec::new(),
            is_asking: true,
            lying: BTreeSet::new(),
        }
    }

    fn decide(&mut self) {
        let changes = self.choker.decide(at(self.now), &self.all);
        for peer in &mut self.all {
            let (choke, unchoke) =
                (changes.choke.contains(&peer.connection), changes.unchoke.contains(&peer.connection));
            assert!(!(choke && !peer.is_unchoked || unchoke && peer.is_unchoked), "{peer:?} is so already");
            if choke || unchoke {
                peer.is_unchoked = unchoke;
                peer.changed = peer.is_interested.then(|| at(self.now));
                peer.asked = if unchoke { at(self.now) } else { peer.asked };
                peer.owed = (unchoke && self.lying.contains(&peer.connection.0)).then(|| at(self.now));
            }
        }
        if changes != Changes::default() {
            self.log.push((self.now, changes));
        }
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += 1;
            if self.is_asking {
                self.all.iter_mut().for_each(|peer| peer.asked = at(self.now));
            }
            if self.choker.poll_timeout().is_some_and(|due| due <= at(self.now)) {
                self.decide();
                assert!(self.choker.poll_timeout().is_none_or(|due| due > at(self.now)), "it spins");
            }
        }
    }

    fn unchoked(&self) -> Vec<u32> {
        self.all.iter().filter(|peer| peer.is_unchoked).map(|peer| peer.connection.0).collect()
    }
}

const FOUR: Slots = Slots::Fixed(4);

/// Peers of a seed, of which these take nothing.
fn takers_and(lying: std::ops::Range<u32>, count: u32) -> Peers {
    let mut peers = Peers::new(count, FOUR, 1);
    peers.lying = lying.collect();
    peers.all.iter_mut().for_each(|peer| peer.are_we_seed = true);
    peers
}

#[test]
fn free_slots_go_to_interested_peers_at_once() {
    let mut peers = Peers::new(5, FOUR, 1);
    peers.all.iter_mut().for_each(|peer| peer.is_interested = false);
    for number in 0..5 {
        peers.all[number].is_interested = true;
        peers.now += 1;
        peers.decide();
        assert!(peers.all[number].is_unchoked, "{number}");
    }
}

#[test]
fn four_are_served_and_one_is_tried_out() {
    let mut peers = Peers::new(12, FOUR, 1);
    peers.decide();
    assert_eq!(peers.unchoked().len(), 5);
    peers.run(300);
    assert_eq!(peers.unchoked().len(), 5);
}

#[test]
fn while_leeching_the_four_who_give_most_are_served() {
    let mut peers = Peers::new(12, FOUR, 1);
    for (number, peer) in peers.all.iter_mut().enumerate() {
        peer.given = ByteRate(1000 * number as u64);
        peer.taken = ByteRate(1_000_000 - 1000 * number as u64);
    }
    peers.decide();
    for _ in 0..10 {
        peers.run(30);
        let unchoked = peers.unchoked();
        assert!(unchoked.ends_with(&[8, 9, 10, 11]) && unchoked.len() == 5, "{unchoked:?}");
    }
}

#[test]
fn while_seeding_the_four_who_take_most_are_served() {
    let mut peers = Peers::new(12, FOUR, 1);
    for (number, peer) in peers.all.iter_mut().enumerate() {
        peer.are_we_seed = true;
        peer.given = ByteRate(1_000_000 - 1000 * number as u64);
        peer.taken = ByteRate(1000 * number as u64);
    }
    peers.decide();
    peers.run(60);
    let unchoked = peers.unchoked();
    assert!(unchoked.ends_with(&[8, 9, 10, 11]) && unchoked.len() == 5, "{unchoked:?}");
}

#[test]
fn a_round_is_held_every_ten_seconds() {
    let mut peers = Peers::new(12, FOUR, 1);
    peers.decide();
    peers.run(40);
    let best = peers.all.iter_mut().find(|peer| !peer.is_unchoked).unwrap();
    best.given = ByteRate(5000);
    let best = best.connection;
    peers.log.clear();
    peers.run(10);
    assert!(peers.log.iter().any(|(_, changes)| changes.unchoke.contains(&best)));
    let times: BTreeSet<u64> = peers.log.iter().map(|(second, _)| *second).collect();
    assert!(times.iter().zip(times.iter().skip(1)).all(|(one, two)| two - one >= 10), "{times:?}");
}

#[test]
fn nobody_is_choked_and_unchoked_within_ten_seconds() {
    let mut peers = Peers::new(20, Slots::Auto, 1);
    let mut rng = Rng::from_number(5);
    let mut last: std::collections::BTreeMap<ConnectionId, u64> = Default::default();
    let mut changes = 0;
    for _ in 0..2000 {
        // Rates jump, and somebody who has no slot stops and begins to be interested.
        peers.all.iter_mut().for_each(|peer| peer.given = ByteRate(rng.below(5) as u64 * 1000));
        let number = rng.below(20);
        if !peers.all[number].is_unchoked {
            peers.all[number].is_interested = !peers.all[number].is_interested;
            peers.decide();
        }
        peers.run(1);
        for (second, log) in std::mem::take(&mut peers.log) {
            for who in log.choke.iter().chain(&log.unchoke) {
                let before = last.insert(*who, second);
                assert!(before.is_none_or(|before| second - before >= 10), "{who:?} at {second}: {before:?}");
                changes += 1;
            }
        }
    }
    assert!(changes > 200, "{changes}");
}

#[test]
fn upload_only_peers_and_seeds_have_no_slot() {
    let mut peers = Peers::new(7, FOUR, 1);
    peers.all[0].is_upload_only = true;
    peers.all[1].is_upload_only = true;
    peers.all[1].given = ByteRate(1_000_000);
    peers.decide();
    peers.run(100);
    assert_eq!(peers.unchoked(), [2, 3, 4, 5, 6]);
}

#[test]
fn a_peer_that_wants_nothing_keeps_its_unchoke_until_somebody_waits() {
    let mut peers = Peers::new(6, FOUR, 1);
    peers.all[5].is_interested = false;
    peers.decide();
    peers.run(20);
    peers.all[2].is_interested = false;
    peers.decide();
    assert_eq!(peers.unchoked(), [0, 1, 2, 3, 4]);
    peers.all[5].is_interested = true;
    peers.decide();
    assert_eq!(peers.unchoked(), [0, 1, 3, 4, 5]);
    // It gave its slot up by itself, so it need not wait for the next free one.
    peers.all[2].is_interested = true;
    peers.all[0].is_interested = false;
    peers.decide();
    assert_eq!(peers.unchoked(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_peer_that_asks_for_nothing_loses_its_slot_to_those_who_wait() {
    let mut peers = Peers::new(6, FOUR, 1);
    peers.all.iter_mut().for_each(|peer| peer.given = ByteRate(1000));
    peers.all[0].given = ByteRate(9000);
    peers.decide();
    peers.run(35);
    assert!(peers.all[0].is_unchoked);
    peers.is_asking = false;
    let since = peers.now;
    while peers.all[0].is_unchoked && peers.now < since + 60 {
        let now = at(peers.now);
        peers.all[1..].iter_mut().for_each(|peer| peer.asked = now);
        peers.run(1);
    }
    assert!((30..=40).contains(&(peers.now - since)), "{}", peers.now - since);
    assert_eq!(peers.unchoked(), [1, 2, 3, 4, 5]);
}

#[test]
fn who_gives_to_a_torrent_that_we_lack_comes_before_who_takes_from_one_that_we_have() {
    let mut peers = Peers::new(12, FOUR, 1);
    for peer in &mut peers.all[..6] {
        (peer.are_we_seed, peer.taken) = (true, ByteRate(1_000_000));
    }
    for peer in &mut peers.all[6..9] {
        peer.given = ByteRate(1_000);
    }
    peers.decide();
    peers.run(60);
    let unchoked = peers.unchoked();
    assert!([6, 7, 8].iter().all(|giver| unchoked.contains(giver)), "{unchoked:?}");
    let takers = unchoked.iter().filter(|peer| **peer < 6).count();
    assert!(takers >= 1 && unchoked.len() == 5, "the slot that is left goes to the best taker: {unchoked:?}");
}

#[test]
fn with_no_slots_nobody_is_served() {
    let mut peers = Peers::new(6, Slots::Fixed(0), 1);
    peers.decide();
    peers.run(60);
    assert!(peers.unchoked().is_empty());
}

#[test]
fn a_choker_for_which_nobody_waits_sleeps() {
    let mut peers = Peers::new(5, FOUR, 1);
    assert_eq!(peers.choker.poll_timeout(), None);
    peers.decide();
    assert_eq!(peers.choker.poll_timeout(), None);
    let six = Standing { connection: ConnectionId(9), is_unchoked: false, ..peers.all[0] };
    peers.all.push(six);
    peers.decide();
    assert_eq!(peers.choker.poll_timeout(), Some(at(peers.now + 10)));
    peers.all.pop();
    peers.decide();
    assert_eq!(peers.choker.poll_timeout(), None);
}

#[test]
fn slots_grow_while_the_uplink_is_not_full() {
    let mut peers = Peers::new(30, Slots::Auto, 1);
    peers.decide();
    for _ in 0..200 {
        peers.all.iter_mut().filter(|peer| peer.is_unchoked).for_each(|peer| peer.sent += 1000);
        peers.run(1);
    }
    assert_eq!(peers.unchoked().len(), 11);
}

#[test]
fn slots_grow_at_once_while_one_fast_taker_and_slow_ones_leave_the_uplink_idle() {
    for seed in 1..20 {
        let mut peers = Peers::new(14, Slots::Auto, seed);
        peers.all.iter_mut().for_each(|peer| peer.are_we_seed = true);
        peers.decide();
        for _ in 0..80 {
            for (number, peer) in peers.all.iter_mut().enumerate() {
                let takes = if number == 0 { 15_000_000 } else { 300_000 };
                let rate = if peer.is_unchoked { takes } else { 0 };
                (peer.taken, peer.sent) = (ByteRate(rate), peer.sent + rate);
            }
            peers.run(1);
        }
        assert_eq!(peers.unchoked().len(), 11, "seed {seed}");
    }
}

#[test]
fn without_slots_there_is_nothing_to_wait_for() {
    let mut peers = Peers::new(3, Slots::Fixed(0), 1);
    peers.decide();
    assert_eq!(peers.choker.poll_timeout(), None);
}
