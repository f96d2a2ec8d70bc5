//! Whoever lets lie what it has asked for comes last.

use super::*;

#[test]
fn whoever_takes_nothing_for_three_seconds_keeps_nobody_from_a_seat() {
    let mut peers = takers_and(0..5, 5);
    peers.decide();
    assert_eq!(peers.unchoked(), [0, 1, 2, 3, 4]);
    peers.run(2);
    let newcomer = Standing { connection: ConnectionId(5), is_unchoked: false, ..peers.all[0] };
    peers.all.push(Standing { changed: None, owed: None, ..newcomer });
    peers.decide();
    assert!(!peers.all[5].is_unchoked, "they have a second more");
    peers.run(1);
    assert_eq!(peers.unchoked(), [0, 1, 2, 3, 4, 5]);
    // Who comes later need not wait at all.
    let later = Standing { connection: ConnectionId(6), is_unchoked: false, changed: None, ..peers.all[5] };
    peers.all.push(later);
    peers.decide();
    assert!(peers.all[6].is_unchoked);
}

#[test]
fn whoever_takes_nothing_for_twenty_seconds_gives_its_seat_up_at_once() {
    let mut peers = takers_and(0..5, 5);
    peers.decide();
    let waiting = |number| Standing {
        connection: ConnectionId(number),
        is_unchoked: false,
        changed: None,
        owed: None,
        ..peers.all[0]
    };
    let more: Vec<Standing> = (5..20).map(waiting).collect();
    peers.all.extend(more);
    peers.decide();
    peers.run(19);
    assert_eq!(peers.unchoked().iter().filter(|number| **number < 5).count(), 5, "they have a second more");
    peers.run(1);
    assert!(peers.unchoked().iter().all(|number| *number >= 5), "{:?}", peers.unchoked());
    peers.run(20);
    assert_eq!(peers.unchoked().len(), 5, "the seats beside theirs have gone with them");
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
        assert!(slow.iter().all(|slow| peers.unchoked().contains(slow)), "{:?}", peers.unchoked());
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
