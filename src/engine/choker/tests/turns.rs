//! Whoever has no claim is tried out, in turns.

use super::*;

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

/// What each peer takes, over the last 20 s, of an uplink that they share, and no line is quite steady.
fn share_uplink(peers: &mut Peers, rng: &mut Rng) {
    let now = at(peers.now);
    for peer in &mut peers.all {
        let since = peer.changed.map_or(Duration::from_secs(20), |changed| now.since(changed));
        let part = since.as_secs().min(20);
        let part = if peer.is_unchoked { part } else { 20 - part };
        let is_new = peer.changed.is_none();
        let rate = 5000 * part + rng.below(20_000) as u64;
        peer.taken = ByteRate(if is_new || part == 0 { 0 } else { rate });
    }
}

#[test]
fn a_turn_lasts_thirty_seconds_though_equal_takers_change_places() {
    for slots in [Slots::Fixed(1), FOUR] {
        let mut peers = takers_and(0..0, 12);
        peers.choker = Choker::new(slots, Rng::from_number(3));
        let mut rng = Rng::from_number(7);
        let mut turns: BTreeMap<ConnectionId, u64> = BTreeMap::new();
        let mut changes = 0;
        peers.decide();
        for _ in 0..1800 {
            for (second, log) in std::mem::take(&mut peers.log) {
                for gone in log.choke {
                    let turn = second - turns[&gone];
                    assert!(turn >= 30, "{gone:?} is choked after {turn} s at {second}, {slots:?}");
                    changes += 1;
                }
                turns.extend(log.unchoke.into_iter().map(|come| (come, second)));
            }
            share_uplink(&mut peers, &mut rng);
            peers.run(1);
        }
        assert!((55..=60).contains(&changes), "{changes} turns end in half an hour, {slots:?}");
        assert_eq!(turns.len(), 12, "everybody has a turn");
    }
}

#[test]
fn the_best_giver_keeps_its_seat_when_one_that_is_free_has_just_been_taken() {
    let mut peers = Peers::new(12, FOUR, 1);
    peers.all[..4].iter_mut().for_each(|peer| peer.given = ByteRate(1000));
    peers.decide();
    peers.run(65);
    let tried = peers.all[4..].iter_mut().find(|peer| peer.is_unchoked).unwrap();
    (tried.given, tried.taken) = (ByteRate(9000), ByteRate(1000));
    let (best, drawn) = (tried.connection, peers.choker.tried[&tried.connection]);
    assert!(drawn > at(peers.now - 10), "its turn has begun");
    // One that is served goes, another is drawn for its seat, and at the next round a third has a claim to it.
    peers.all.remove(0);
    peers.decide();
    let third = peers.all[3..].iter_mut().find(|peer| !peer.is_unchoked).unwrap();
    third.given = ByteRate(500);
    peers.run(10);
    assert!(peers.all.iter().any(|peer| peer.connection == best && peer.is_unchoked));
}
