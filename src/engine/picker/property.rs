//! The picker against a model, through any sequence of events.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};

const PEERS: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Pick {
        peer: usize,
        pace: u8,
        room: usize,
    },
    /// A block that the peer was asked for comes.
    Receive {
        peer: usize,
        nth: usize,
    },
    /// Any block comes from anyone.
    Intrude {
        peer: usize,
        piece: u32,
        block: u32,
    },
    Unrequest {
        peer: usize,
        nth: usize,
    },
    Late {
        peer: usize,
        nth: usize,
    },
    Verify {
        piece: u32,
        passes: bool,
    },
    /// Of a piece's blocks every so-many-th is gone again.
    Lose {
        piece: u32,
        every: u32,
    },
    Has {
        peer: usize,
        piece: u32,
    },
    Lost {
        peer: usize,
        piece: u32,
    },
    Choke {
        peer: usize,
    },
    /// The peer goes, and another comes with these pieces.
    Replace {
        peer: usize,
        pieces: Vec<u32>,
        is_seed: bool,
    },
    Wait {
        secs: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let peer = || 0..PEERS;
    let piece = || 0u32..14;
    let step = prop_oneof![
        6 => (peer(), 0u8..4, 0usize..7).prop_map(|(peer, pace, room)| Step::Pick { peer, pace, room }),
        6 => (peer(), 0usize..8).prop_map(|(peer, nth)| Step::Receive { peer, nth }),
        1 => (peer(), piece(), 0u32..5).prop_map(|(peer, piece, block)| Step::Intrude { peer, piece, block }),
        1 => (peer(), 0usize..8).prop_map(|(peer, nth)| Step::Unrequest { peer, nth }),
        2 => (peer(), 0usize..8).prop_map(|(peer, nth)| Step::Late { peer, nth }),
        2 => (piece(), prop::bool::weighted(0.6)).prop_map(|(piece, passes)| Step::Verify { piece, passes }),
        1 => (piece(), 1u32..4).prop_map(|(piece, every)| Step::Lose { piece, every }),
        3 => (peer(), piece()).prop_map(|(peer, piece)| Step::Has { peer, piece }),
        1 => (peer(), piece()).prop_map(|(peer, piece)| Step::Lost { peer, piece }),
        1 => peer().prop_map(|peer| Step::Choke { peer }),
        2 => (peer(), prop::collection::vec(piece(), 0..14), prop::bool::weighted(0.3))
            .prop_map(|(peer, pieces, is_seed)| Step::Replace { peer, pieces, is_seed }),
        1 => (0u64..15).prop_map(|secs| Step::Wait { secs }),
    ];
    prop::collection::vec(step, 0..150)
}

fn layouts() -> impl Strategy<Value = Layout> {
    let lengths = prop::collection::vec(1u64..120_000, 1..6);
    (lengths, 16_000u32..70_000, any::<bool>()).prop_map(|(lengths, piece_length, is_aligned)| {
        if is_aligned {
            Layout::file_aligned(lengths, piece_length).unwrap()
        } else {
            Layout::uniform(lengths.iter().sum(), piece_length).unwrap()
        }
    })
}

#[derive(Clone)]
struct Peer {
    key: PeerKey,
    has: Bitfield,
    asked: BTreeSet<BlockAddress>,
    /// Of those, the ones that it was late with.
    late: BTreeSet<BlockAddress>,
}

impl Peer {
    fn forget(&mut self, block: BlockAddress) -> bool {
        self.late.remove(&block);
        self.asked.remove(&block)
    }
}

struct World {
    layout: Arc<Layout>,
    picker: PiecePicker,
    now: Instant,
    peers: Vec<Peer>,
    next_key: u32,
    unpickable: u32,
    received: BTreeSet<BlockAddress>,
    verifying: BTreeSet<PieceIndex>,
}

impl World {
    fn new(layout: Layout, seed: u64) -> World {
        let layout = Arc::new(layout);
        let count = layout.piece_count();
        // One piece in three worlds is of unknown hash, so that the others can complete.
        let unpickable = seed as u32 % (3 * count);
        let mut have = Bitfield::empty(count);
        have.insert(PieceIndex(seed as u32 / 7 % (2 * count)));
        let pickable = |piece: PieceIndex| piece.0 != unpickable;
        let picker = PiecePicker::new(layout.clone(), &have, pickable, Rng::from_number(seed));
        let peer = |key| Peer {
            key: PeerKey(key),
            has: Bitfield::empty(count),
            asked: BTreeSet::new(),
            late: BTreeSet::new(),
        };
        World {
            layout,
            picker,
            now: Instant::ZERO,
            peers: (0..PEERS as u32).map(peer).collect(),
            next_key: PEERS as u32,
            unpickable,
            received: BTreeSet::new(),
            verifying: BTreeSet::new(),
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Pick { peer, pace, room } => {
                let pace = [Pace::Fast, Pace::Slow, Pace::Snubbed, Pace::Abreast(3)][usize::from(pace)];
                self.pick(peer, pace, room);
            }
            Step::Receive { peer, nth } => {
                if let Some(block) = self.nth_asked(peer, nth) {
                    self.receive(peer, block);
                }
            }
            Step::Intrude { peer, piece, block } => {
                self.receive(peer, BlockAddress { piece: PieceIndex(piece), block });
            }
            Step::Unrequest { peer, nth } => {
                if let Some(block) = self.nth_asked(peer, nth) {
                    self.picker.mark_unrequested(block, self.peers[peer].key);
                    self.peers[peer].forget(block);
                }
            }
            Step::Late { peer, nth } => {
                if let Some(block) = self.nth_asked(peer, nth) {
                    self.picker.mark_late(block, self.peers[peer].key);
                    if self.owners(block) == 1 {
                        self.peers[peer].late.insert(block);
                    } else {
                        self.peers[peer].forget(block);
                    }
                }
            }
            Step::Verify { piece, passes } => self.verify(PieceIndex(piece), passes),
            Step::Lose { piece, every } => self.lose(PieceIndex(piece), every),
            Step::Has { peer, piece } => {
                if self.peers[peer].has.insert(PieceIndex(piece)) {
                    self.picker.on_peer_has(PieceIndex(piece));
                }
            }
            Step::Lost { peer, piece } => {
                if self.peers[peer].has.remove(PieceIndex(piece)) {
                    self.picker.on_peer_lost(PieceIndex(piece));
                }
            }
            Step::Choke { peer } => {
                self.picker.release_peer(self.peers[peer].key);
                self.peers[peer].asked.clear();
                self.peers[peer].late.clear();
            }
            Step::Replace { peer, pieces, is_seed } => {
                let mut has = Bitfield::empty(self.layout.piece_count());
                pieces.into_iter().for_each(|piece| _ = has.insert(PieceIndex(piece)));
                let has = if is_seed { Bitfield::full(has.len()) } else { has };
                self.replace(peer, has);
            }
            Step::Wait { secs } => self.now += Duration::from_secs(secs),
        }
    }

    fn nth_asked(&self, peer: usize, nth: usize) -> Option<BlockAddress> {
        self.peers[peer].asked.iter().nth(nth).copied()
    }

    fn owners(&self, block: BlockAddress) -> usize {
        self.peers.iter().filter(|peer| peer.asked.contains(&block)).count()
    }

    fn pick(&mut self, peer: usize, pace: Pace, room: usize) {
        let Peer { key, has, .. } = self.peers[peer].clone();
        let mut out = Vec::new();
        self.picker.pick(self.now, key, &has, pace, room, &mut out);
        assert!(out.len() <= room);
        for block in out {
            assert!(has.has(block.piece), "{block:?} is asked of a peer that lacks it");
            assert_ne!(block.piece.0, self.unpickable, "a piece of unknown hash is asked for");
            assert!(self.layout.block_len(block) > 0, "{block:?} does not exist");
            assert!(!self.picker.have().has(block.piece), "{block:?} is had");
            assert!(!self.verifying.contains(&block.piece), "{block:?} is being verified");
            assert!(!self.received.contains(&block), "{block:?} is received");
            let was_late = self.peers[peer].late.remove(&block);
            let is_new = self.peers[peer].asked.insert(block);
            assert!(is_new || was_late, "{block:?} is asked of a peer twice");
            if self.owners(block) == 3 {
                let late = self.peers.iter_mut().find(|other| other.late.contains(&block));
                late.expect("one of the two was late").forget(block);
            }
            assert!(self.owners(block) <= 2, "{block:?} is asked of three");
        }
    }

    fn receive(&mut self, peer: usize, block: BlockAddress) {
        let was_asked = self.peers[peer].asked.contains(&block);
        match self.picker.mark_received(block, self.peers[peer].key) {
            Received::New { complete, cancel } => {
                assert!(was_asked, "{block:?} is taken from a peer that was not asked");
                self.peers[peer].forget(block);
                for other in &mut self.peers {
                    let was_cancelled = other.forget(block);
                    assert_eq!(was_cancelled, cancel == Some(other.key));
                }
                assert!(self.received.insert(block));
                let of_piece = self.received.iter().filter(|received| received.piece == block.piece).count();
                assert_eq!(complete, of_piece as u32 == self.layout.blocks_in(block.piece));
                if complete {
                    self.verifying.insert(block.piece);
                }
            }
            Received::Duplicate => {
                assert!(!was_asked);
                assert!(self.received.contains(&block) || !self.is_missing(block.piece));
            }
            Received::Unwanted => assert!(!was_asked, "{block:?} was asked for and is refused"),
        }
    }

    fn is_missing(&self, piece: PieceIndex) -> bool {
        !self.picker.have().has(piece) && !self.verifying.contains(&piece)
    }

    fn verify(&mut self, piece: PieceIndex, passes: bool) {
        let had = self.picker.have().has(piece);
        let due = self.verifying.remove(&piece);
        if passes {
            self.picker.mark_verified(piece);
        } else {
            self.picker.mark_failed(piece);
        }
        assert_eq!(self.picker.have().has(piece), had || due && passes);
        if due && !passes {
            self.received.retain(|block| block.piece != piece);
        }
    }

    fn lose(&mut self, piece: PieceIndex, every: u32) {
        if self.picker.have().has(piece) {
            return;
        }
        let blocks: Vec<u32> = (0..5).filter(|block| block % every == 0).collect();
        self.picker.mark_lost(piece, &blocks);
        let is_lost = |block: &BlockAddress| block.piece == piece && blocks.contains(&block.block);
        let before = self.received.len();
        self.received.retain(|block| !is_lost(block));
        if self.received.len() < before {
            self.verifying.remove(&piece);
        }
    }

    fn replace(&mut self, peer: usize, has: Bitfield) {
        let old = &mut self.peers[peer];
        self.picker.release_peer(old.key);
        self.picker.on_bitfield_gone(&old.has);
        self.picker.on_bitfield(&has);
        *old = Peer { key: PeerKey(self.next_key), has, asked: BTreeSet::new(), late: BTreeSet::new() };
        self.next_key += 1;
    }

    fn check(&self) {
        self.picker.check_invariants();
        let wanted = |piece: &PieceIndex| piece.0 != self.unpickable && !self.picker.have().has(*piece);
        for peer in &self.peers {
            assert_eq!(self.picker.outstanding(peer.key), peer.asked.len(), "{:?}", peer.key);
            assert_eq!(self.picker.wanted_of(&peer.has) as usize, peer.has.iter().filter(wanted).count());
            assert!(peer.has.iter().all(|piece| self.picker.is_wanted(piece) == wanted(&piece)));
        }
        let having = |piece| self.peers.iter().filter(|peer| peer.has.has(piece)).count() as u32;
        let counts: Vec<u32> = self.layout.pieces().map(having).collect();
        for piece in self.layout.pieces() {
            assert_eq!(self.picker.availability(piece), counts[piece.index()], "peers that have {piece:?}");
        }
        let nobody = self.layout.pieces().filter(|piece| !self.picker.have().has(*piece));
        let nobody = nobody.filter(|piece| counts[piece.index()] == 0).count();
        assert_eq!(self.picker.missing_from_all(), nobody as u32);
        let partial: u64 = self.picker.partial_pieces().map(|piece| piece.received).sum();
        let under_way = self.received.iter().filter(|block| !self.picker.have().has(block.piece));
        let bytes: u64 = under_way.map(|block| u64::from(self.layout.block_len(*block))).sum();
        assert_eq!(partial, bytes);
    }

    /// Everyone goes, one seed comes: whatever happened before, it can send all that is lacking.
    fn finish(&mut self) {
        for peer in 0..PEERS {
            self.replace(peer, Bitfield::empty(self.layout.piece_count()));
        }
        self.replace(0, Bitfield::full(self.layout.piece_count()));
        for _ in 0..10_000 {
            for piece in self.verifying.clone() {
                self.verify(piece, true);
            }
            self.pick(0, Pace::Fast, 3);
            let Some(block) = self.nth_asked(0, 0) else { break };
            self.receive(0, block);
        }
        self.check();
        let lacking = self.layout.piece_count() - self.picker.have().count();
        let unpickable = PieceIndex(self.unpickable);
        let never = self.layout.has_piece(unpickable) && !self.picker.have().has(unpickable);
        assert_eq!(lacking, u32::from(never), "one seed can complete the torrent");
    }
}

proptest! {
    #[test]
    fn the_picker_agrees_with_its_model(layout in layouts(), seed: u64, steps in steps()) {
        let mut world = World::new(layout, seed);
        for step in steps {
            world.apply(step);
            world.check();
        }
        world.finish();
    }

    #[test]
    fn the_same_seed_and_events_give_the_same_picks(layout in layouts(), seed: u64, steps in steps()) {
        let run = || {
            let mut world = World::new(layout.clone(), seed);
            steps.iter().cloned().for_each(|step| world.apply(step));
            world.peers.into_iter().map(|peer| peer.asked).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}
