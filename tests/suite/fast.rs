//! The fast extension (BEP 6) as we speak it to peers: what is offered, what is suggested, and one answer to each
//! request.

use std::collections::{BTreeMap, BTreeSet};

use btget::base::bitfield::Bitfield;
use btget::base::index::{BlockRequest, PieceIndex};
use btget::base::limit;
use btget::base::rate::ByteRate;
use btget::base::time::Duration;
use btget::engine::settings::{Settings, Slots};
use btget::sim::host::Line;
use btget::sim::scenario::{Scenario, Swarm};
use btget::sim::tracker::TrackerMode;
use btget::wire::peer::Message;

use crate::puppet::{FAST, Manners, Puppet, block_of, payload};

const SECOND: Duration = Duration::from_secs(1);

fn wide() -> Line {
    Line { latency: Duration::from_millis(1), down: ByteRate(1 << 30), up: ByteRate(100_000_000) }
}

/// A seed alone, of so many pieces of this length.
fn seed(pieces: u32, length: u32, slots: Slots) -> Swarm {
    let settings = Settings { slots, ..Settings::default() };
    let files = [u64::from(pieces) * u64::from(length)];
    let scenario = Scenario::new(1).files(&files, length).line(wide()).tracker(TrackerMode::Dead);
    let mut swarm = scenario.settings(settings).seeds(1).build().expect("a layout that exists");
    let seed = swarm.seeds[0];
    assert!(swarm.world.run_until(60 * SECOND, |world| world.is_complete(seed)), "it checks for ever");
    swarm
}

fn puppet(swarm: &mut Swarm, name: u8, says: &[Message]) -> Puppet {
    let seed = swarm.seeds[0];
    let puppet = Puppet::on_line(swarm, seed, Manners { name, ..FAST }, wide());
    says.iter().for_each(|message| puppet.say(message.clone()));
    puppet
}

/// A seed whose slots are taken, and somebody who has all but one piece.
fn busy_seed(pieces: u32, length: u32) -> (Swarm, Vec<Puppet>) {
    let mut swarm = seed(pieces, length, Slots::Fixed(1));
    let mut almost = Bitfield::full(pieces);
    almost.remove(PieceIndex(pieces - 1));
    let mut others = vec![puppet(&mut swarm, b'z', &[Message::Bitfield(almost.to_wire().into())])];
    for name in [b'a', b'b'] {
        others.push(puppet(&mut swarm, name, &[Message::HaveNone, Message::Interested]));
    }
    swarm.world.run_for(SECOND);
    for holder in &others[1..] {
        assert!(holder.take_heard().contains(&Message::Unchoke));
    }
    (swarm, others)
}

fn offered(heard: &[Message]) -> Vec<u32> {
    let offer = |message: &Message| match message {
        Message::AllowedFast(piece) => Some(piece.0),
        _ => None,
    };
    heard.iter().filter_map(offer).collect()
}

fn rejects(heard: &[Message]) -> usize {
    heard.iter().filter(|message| matches!(message, Message::Reject(_))).count()
}

#[test]
fn whoever_waits_is_given_a_few_pieces_and_no_more_however_often_it_comes() {
    // By length of the pieces: how many are offered. Longer ones than the bound come singly.
    for (pieces, mib, expected) in [(64, 1, 4), (8, 2, 2), (4, 8, 1)] {
        let (mut swarm, _others) = busy_seed(pieces, mib << 20);
        let address = swarm.world.address(swarm.seeds[0]);
        let rider = puppet(&mut swarm, b'r', &[Message::HaveNone, Message::Interested]);
        let (mut taken, mut offers) = (0, Vec::new());
        for visit in 0..4 {
            swarm.world.run_for(SECOND);
            let heard = rider.take_heard();
            assert!(!heard.contains(&Message::Unchoke));
            if visit == 0 {
                offers = offered(&heard);
                assert_eq!(offers.len(), expected, "pieces of {mib} MiB: {heard:?}");
            } else {
                assert_eq!(offered(&heard), [0; 0], "it has had its share");
            }
            // It asks for what it was offered, twice over, and for what it was not.
            let blocks = mib * 64;
            for piece in offers.iter().chain(&offers).chain(&[pieces - 1]) {
                rider.ask(*piece, blocks);
            }
            swarm.world.run_for(SECOND);
            let heard = rider.take_heard();
            taken += payload(&heard);
            let asked = (2 * expected + 1) * blocks as usize;
            let served = if visit == 0 { expected * blocks as usize } else { 0 };
            assert_eq!(rejects(&heard), asked - served, "each request has its answer");
            rider.hang_up();
            rider.dial(address);
            rider.say(Message::HaveNone);
            rider.say(Message::Interested);
        }
        assert_eq!(taken, limit::FAST_BYTES.max(u64::from(mib) << 20));
        assert_eq!(swarm.world.faults(), [""; 0]);
    }
}

#[test]
fn a_seed_suggests_to_each_whom_it_serves_other_pieces_that_nobody_has() {
    let mut swarm = seed(32, 65_536, Slots::Fixed(4));
    let suggested = |heard: &[Message]| -> Vec<u32> {
        let suggestion = |message: &Message| match message {
            Message::Suggest(piece) => Some(piece.0),
            _ => None,
        };
        heard.iter().filter_map(suggestion).collect()
    };
    let mut has = Bitfield::empty(32);
    for piece in 0..16 {
        has.insert(PieceIndex(piece));
    }
    let has = Message::Bitfield(has.to_wire().into());
    let puppets: Vec<Puppet> =
        (0..3).map(|at| puppet(&mut swarm, b'a' + at, &[has.clone(), Message::Interested])).collect();
    swarm.world.run_for(SECOND);
    let mut all = BTreeSet::new();
    for puppet in &puppets {
        let heard = puppet.take_heard();
        let unchoked = heard.iter().position(|message| *message == Message::Unchoke).expect("a slot is free");
        let pieces = suggested(&heard[..unchoked]);
        assert_eq!(pieces.len(), 2, "before it may ask: {heard:?}");
        assert!(pieces.iter().all(|piece| *piece >= 16), "nobody has them: {pieces:?}");
        assert!(pieces.iter().all(|piece| all.insert(*piece)), "others for each");
        // It begins one of them, and is told of another.
        puppet.ask(pieces[0], 1);
        swarm.world.run_for(SECOND);
        let more = suggested(&puppet.take_heard());
        assert!(more.len() == 1 && !pieces.contains(&more[0]), "{pieces:?}, then {more:?}");
        all.extend(more);
    }
    // Without the fast extension nothing of it is said.
    let whom = swarm.seeds[0];
    let plain = Puppet::new(&mut swarm, whom, Manners { name: b'n', fast: false, extension: false });
    plain.say(Message::Interested);
    swarm.world.run_for(SECOND);
    let heard = plain.take_heard();
    assert!(heard.contains(&Message::Unchoke) && suggested(&heard).is_empty(), "{heard:?}");
}

/// How often each block was sent, and rejected.
fn answers(heard: &[Message]) -> BTreeMap<BlockRequest, (u32, u32)> {
    let mut answers: BTreeMap<BlockRequest, (u32, u32)> = BTreeMap::new();
    for message in heard {
        match message {
            Message::Piece { piece, begin, data } => {
                let request = BlockRequest { piece: *piece, begin: *begin, length: data.len() };
                answers.entry(request).or_default().0 += 1;
            }
            Message::Reject(request) => answers.entry(*request).or_default().1 += 1,
            _ => {}
        }
    }
    answers
}

#[test]
fn a_block_that_is_cancelled_comes_or_is_rejected_and_never_both() {
    for millis in [0, 10, 50, 100, 200] {
        let mut swarm = seed(16, 1 << 20, Slots::Fixed(4));
        let taker = puppet(&mut swarm, b'a', &[Message::HaveNone, Message::Interested]);
        swarm.world.run_for(SECOND);
        taker.take_heard();
        let all: Vec<BlockRequest> =
            (0..16).flat_map(|piece| (0..64).map(move |at| block_of(piece, at))).collect();
        all.iter().for_each(|request| taker.say(Message::Request(*request)));
        swarm.world.run_for(Duration::from_millis(millis));
        // The last first, some of them twice, and one that is then asked for again.
        for request in all.iter().rev() {
            taker.say(Message::Cancel(*request));
        }
        all[..100].iter().for_each(|request| taker.say(Message::Cancel(*request)));
        let again = all[1023];
        taker.say(Message::Request(again));
        swarm.world.run_for(10 * SECOND);
        let answers = answers(&taker.take_heard());
        assert_eq!(answers.len(), all.len());
        for (request, (sent, rejected)) in &answers {
            let asked = 1 + u32::from(*request == again);
            assert_eq!(sent + rejected, asked, "{request:?}: {sent} sent, {rejected} rejected");
        }
        assert!(answers[&again].0 >= 1, "what is asked for again comes");
        let rejected: u32 = answers.values().map(|(_, rejected)| rejected).sum();
        assert!(rejected >= 1 || millis >= 100, "after {millis} ms nothing was taken back");
        assert_eq!(swarm.world.faults(), [""; 0]);
    }
}
