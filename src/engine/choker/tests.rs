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
fn whoever_gives_nothing_has_only_the_chance_to_be_tried() {
    let mut peers = Peers::new(8, FOUR, 1);
    peers.all[..4].iter_mut().for_each(|peer| peer.given = ByteRate(1000));
    peers.decide();
    peers.run(30);
    assert!(peers.unchoked().starts_with(&[0, 1, 2, 3]));
    // One ceases to give: its slot is for trying others out, itself among them.
    peers.all[0].given = ByteRate(0);
    let mut served = 0;
    for _ in 0..100 {
        peers.run(30);
        served += u32::from(peers.all[0].is_unchoked);
    }
    assert!((10..=90).contains(&served), "{served} of 100");
}

#[test]
fn the_one_that_is_tried_out_changes_every_thirty_seconds_and_everybody_has_a_turn() {
    let mut peers = Peers::new(10, FOUR, 1);
    peers.all[..4].iter_mut().for_each(|peer| peer.given = ByteRate(1000));
    peers.decide();
    peers.run(60);
    peers.log.clear();
    peers.run(3000);
    let turns: Vec<(u64, ConnectionId)> = peers
        .log
        .iter()
        .flat_map(|(second, changes)| changes.unchoke.iter().map(|who| (*second, *who)))
        .collect();
    assert!((95..=105).contains(&turns.len()), "{turns:?}");
    assert!(turns.iter().zip(&turns[1..]).all(|(one, two)| two.0 - one.0 == 30), "{turns:?}");
    let who: BTreeSet<ConnectionId> = turns.iter().map(|(_, who)| *who).collect();
    assert_eq!(who.len(), 6);
}

#[test]
fn newcomers_are_three_times_as_likely_to_be_tried() {
    let mut newcomers = 0;
    for seed in 0..400 {
        let mut peers = Peers::new(6, FOUR, seed);
        peers.all[..4].iter_mut().for_each(|peer| peer.given = ByteRate(1000));
        peers.decide();
        peers.run(31);
        // Of two that wait at the next change, one has come since the last, in place of one that waits.
        let waiting = peers.all.iter().find(|peer| !peer.is_unchoked);
        let (old, new) = (*waiting.unwrap(), ConnectionId(100));
        peers.all.push(Standing { connection: new, since: at(peers.now), is_unchoked: false, ..old });
        peers.all.push(Standing { connection: ConnectionId(101), is_unchoked: false, ..old });
        peers.all.retain(|peer| peer.connection != old.connection);
        peers.decide();
        peers.log.clear();
        peers.run(31);
        newcomers += usize::from(peers.log.iter().any(|(_, changes)| changes.unchoke.contains(&new)));
    }
    assert!((260..=340).contains(&newcomers), "{newcomers} of 400, 300 expected");
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
fn one_that_is_drawn_late_has_its_whole_turn() {
    for late in 1..30 {
        let mut peers = Peers::new(9, FOUR, 1);
        peers.all[..4].iter_mut().for_each(|peer| peer.given = ByteRate(1000));
        peers.decide();
        peers.run(60 + late);
        // Whoever is tried out leaves: another one is drawn at once.
        let tried = peers.all[4..].iter().position(|peer| peer.is_unchoked).unwrap();
        peers.all.remove(4 + tried);
        peers.decide();
        let drawn = peers.all[4..].iter().find(|peer| peer.is_unchoked).unwrap().connection;
        peers.log.clear();
        let since = peers.now;
        while !peers.log.iter().any(|(_, changes)| changes.choke.contains(&drawn)) {
            peers.run(1);
        }
        let turn = peers.now - since;
        assert!((30..=40).contains(&turn), "drawn after {late} s, choked {turn} s later");
    }
}

#[test]
fn of_those_to_whom_nobody_has_a_claim_one_changes_at_a_time_and_it_is_who_takes_least() {
    let mut peers = Peers::new(12, FOUR, 1);
    peers.decide();
    let mut changes = Vec::new();
    for _ in 0..20 {
        let before = peers.unchoked();
        peers.all.iter_mut().filter(|peer| peer.is_unchoked).for_each(|peer| {
            peer.taken = ByteRate(1000 * u64::from(peer.connection.0));
        });
        peers.run(30);
        let after = peers.unchoked();
        let gone: Vec<u32> = before.iter().copied().filter(|peer| !after.contains(peer)).collect();
        assert!(gone.len() <= 1, "{before:?}, then {after:?}");
        changes.extend(gone);
        assert!(peers.unchoked().len() == 5);
    }
    assert!(changes.len() >= 15 && !changes.contains(&11), "{changes:?}");
}

/// Peers of a seed, of which these take nothing.
fn takers_and(lying: std::ops::Range<u32>, count: u32) -> Peers {
    let mut peers = Peers::new(count, FOUR, 1);
    peers.lying = lying.collect();
    peers.all.iter_mut().for_each(|peer| peer.are_we_seed = true);
    peers
}

#[test]
fn whoever_takes_nothing_for_twenty_seconds_gives_its_seat_up_at_once() {
    let mut peers = takers_and(0..5, 5);
    peers.decide();
    assert_eq!(peers.unchoked(), [0, 1, 2, 3, 4]);
    peers.run(3);
    let newcomer = Standing { connection: ConnectionId(5), is_unchoked: false, ..peers.all[0] };
    peers.all.push(Standing { changed: None, owed: None, ..newcomer });
    peers.decide();
    peers.run(16);
    assert!(!peers.all[5].is_unchoked, "they have a second more");
    peers.run(1);
    assert!(peers.all[5].is_unchoked);
    assert_eq!(peers.unchoked().len(), 5, "nobody else waits, so the others are let be");
    // Who comes later need not wait at all.
    let later = Standing { connection: ConnectionId(6), is_unchoked: false, changed: None, ..peers.all[5] };
    peers.all.push(later);
    peers.decide();
    assert!(peers.all[6].is_unchoked && peers.unchoked().len() == 5);
}

#[test]
fn whoever_took_nothing_has_no_turn_before_all_others() {
    let mut peers = takers_and(0..8, 14);
    peers.decide();
    // By now each has had its turn.
    peers.run(120);
    let honest = |peers: &Peers| peers.unchoked().into_iter().filter(|number| *number >= 8).count();
    for _ in 0..180 {
        assert_eq!(honest(&peers), 5, "{:?}", peers.unchoked());
        peers.run(1);
    }
}

#[test]
fn whoever_took_nothing_has_another_turn_once_it_takes_something_or_after_five_minutes() {
    for takes in [true, false] {
        let mut peers = takers_and(0..1, 7);
        // It has the seat of one that goes.
        peers.all[1..].iter_mut().for_each(|peer| peer.is_interested = false);
        peers.decide();
        peers.all[1..].iter_mut().for_each(|peer| peer.is_interested = true);
        peers.decide();
        peers.run(20);
        assert!(!peers.all[0].is_unchoked);
        let since = peers.now;
        if takes {
            peers.lying.clear();
            peers.all[0].took = Some(at(peers.now + 1));
        }
        while !peers.all[0].is_unchoked && peers.now < since + 3000 {
            peers.run(1);
        }
        let waited = peers.now - since;
        assert!(if takes { waited < 290 } else { (300..2000).contains(&waited) }, "{takes}: {waited}");
    }
}

#[test]
fn whoever_takes_slowly_keeps_its_seat() {
    let mut peers = takers_and(0..5, 6);
    peers.decide();
    let slow = peers.unchoked();
    for second in 0..29 {
        // A block every 19 s, which a rate over 20 s hardly shows.
        if second % 19 == 18 {
            let now = at(peers.now);
            for peer in peers.all.iter_mut().filter(|peer| peer.is_unchoked) {
                (peer.owed, peer.took, peer.taken) = (Some(now), Some(now), ByteRate(800));
            }
        }
        peers.run(1);
        assert_eq!(peers.unchoked(), slow);
    }
}

#[test]
fn whoever_gives_while_we_leech_keeps_its_slot_whatever_it_takes() {
    let mut peers = Peers::new(12, FOUR, 1);
    peers.lying = (0..4).collect();
    peers.all[..4].iter_mut().for_each(|peer| peer.given = ByteRate(1000));
    peers.decide();
    peers.run(30);
    for _ in 0..100 {
        peers.run(1);
        assert!(peers.unchoked().starts_with(&[0, 1, 2, 3]));
    }
}
