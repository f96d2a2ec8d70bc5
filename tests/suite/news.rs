//! What peers are told of our pieces: each of them once, in time, and in an order that makes sense.

use std::collections::BTreeSet;

use btget::base::bitfield::Bitfield;
use btget::base::index::PieceIndex;
use btget::base::rate::ByteRate;
use btget::base::time::Duration;
use btget::sim::host::Line;
use btget::sim::link::LinkKind;
use btget::sim::scenario::{Scenario, Swarm};
use btget::wire::extension::{Extension, ExtensionHandshake, ExtensionIds};
use btget::wire::peer::Message;

use crate::puppet::{FAST, Manners, Puppet};

const SECOND: Duration = Duration::from_secs(1);
const TALKS: Manners = Manners { name: b't', fast: true, extension: true };

fn build(scenario: &Scenario) -> Swarm {
    scenario.build().expect("a layout that exists")
}

/// An extension handshake that wants `upload_only` to be told by 3.
fn introduction() -> Message {
    let mut messages = ExtensionIds::default();
    messages.set(Extension::UploadOnly, 3);
    let told = ExtensionHandshake { messages, ..ExtensionHandshake::default() };
    Message::Extended { id: 0, payload: told.encode().into() }
}

fn is_upload_only(message: &Message) -> bool {
    matches!(message, Message::Extended { id: 3, payload } if **payload == [1])
}

fn haves(heard: &[Message]) -> Vec<PieceIndex> {
    let have = |message: &Message| match message {
        Message::Have(piece) => Some(*piece),
        _ => None,
    };
    heard.iter().filter_map(have).collect()
}

#[test]
fn whenever_a_peer_comes_it_is_told_of_each_piece_once_and_then_that_nothing_is_wanted() {
    let line = Line { down: ByteRate(500_000), up: ByteRate(500_000), ..Line::default() };
    for links in [LinkKind::Messages, LinkKind::Wire] {
        let mut swarm = build(&Scenario::new(1).links(links).line(line).seeds(1).leechers(1));
        let leecher = swarm.leechers[0];
        let mut watchers = Vec::new();
        for name in 0..4 {
            let watcher = Puppet::new(&mut swarm, leecher, Manners { name, ..TALKS });
            watcher.say(introduction());
            watcher.say(Message::HaveNone);
            watchers.push(watcher);
            swarm.world.run_for(2 * SECOND);
        }
        assert!(!swarm.world.is_complete(leecher), "the last comes too late");
        assert!(swarm.world.run_until(60 * SECOND, |world| world.is_complete(leecher)));
        swarm.world.run_for(SECOND);
        for watcher in watchers {
            let heard = watcher.take_heard();
            let greeting = heard.iter().find_map(|message| match message {
                Message::Bitfield(bytes) => Some(Bitfield::from_wire(bytes, 64).expect("of 64 pieces")),
                Message::HaveNone => Some(Bitfield::empty(64)),
                _ => None,
            });
            let told: Vec<PieceIndex> =
                greeting.expect("it is greeted").iter().chain(haves(&heard)).collect();
            assert_eq!(told.len(), 64, "none twice");
            assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), 64, "none left out");
            assert!(heard.last().is_some_and(is_upload_only), "{:?}", heard.last());
        }
    }
}

#[test]
fn a_peer_that_tells_later_that_it_only_uploads_is_of_no_use_to_a_seed() {
    for links in [LinkKind::Messages, LinkKind::Wire] {
        let mut swarm = build(&Scenario::new(1).links(links).seeds(1));
        let seed = swarm.seeds[0];
        let peer = Puppet::new(&mut swarm, seed, TALKS);
        peer.say(introduction());
        peer.say(Message::HaveNone);
        peer.say(Message::Interested);
        swarm.world.run_for(SECOND);
        let heard = peer.take_heard();
        assert!(heard.contains(&Message::Unchoke) && peer.is_connected());
        let ours = heard.iter().find_map(|message| match message {
            Message::Extended { id: 0, payload } => ExtensionHandshake::decode(payload),
            _ => None,
        });
        let ours = ours.expect("it introduces itself");
        assert_eq!(ours.upload_only, Some(true));
        let id = ours.messages.id_of(Extension::UploadOnly).expect("it wants to be told");
        for (told, stays) in [(0, true), (1, false)] {
            peer.say(Message::Extended { id, payload: [told].into() });
            swarm.world.run_for(SECOND);
            assert_eq!(peer.is_connected(), stays);
        }
    }
}

#[test]
fn the_end_of_super_seeding_is_told_in_slices_that_a_narrow_line_can_take() {
    const PIECES: u32 = 20_000;
    let scenario = Scenario::new(1).files(&[u64::from(PIECES) * 16_384], 16_384).super_seeding();
    let mut swarm = build(&scenario.seeds(1));
    let seed = swarm.seeds[0];
    assert!(swarm.world.run_until(60 * SECOND, |world| world.is_complete(seed)), "it checks for ever");
    let watcher = Puppet::new(&mut swarm, seed, TALKS);
    watcher.say(introduction());
    watcher.say(Message::HaveNone);
    swarm.world.run_for(SECOND);
    let shown = haves(&watcher.take_heard());
    assert!(shown.len() <= 2, "{shown:?}");
    for half in 0..2 {
        let mut has = Bitfield::empty(PIECES);
        for piece in (0..PIECES).filter(|piece| piece % 2 == half) {
            has.insert(PieceIndex(piece));
        }
        let holder = Puppet::new(&mut swarm, seed, Manners { name: b'0' + half as u8, ..FAST });
        holder.say(Message::Bitfield(has.to_wire().into()));
    }
    let (mut told, mut last) = (BTreeSet::new(), Vec::new());
    for _ in 0..60 {
        swarm.world.run_for(SECOND / 10);
        last = watcher.take_heard();
        assert!(haves(&last).len() <= 2 * 512, "{} at once", haves(&last).len());
        told.extend(haves(&last));
        if last.last().is_some_and(is_upload_only) {
            break;
        }
    }
    assert_eq!(told.len(), PIECES as usize);
    assert!(last.last().is_some_and(is_upload_only), "that nothing is wanted comes last");
}
