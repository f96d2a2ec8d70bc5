//! Who spoiled a piece.
//!
//! When a piece fails its hash, the digest of each block is kept with whoever sent it. When the piece passes
//! later, the good digests tell who sent a block that differs: proof, and the only reason for a ban but one:
//! a piece that came whole from one sender, and failed. An honest sender of other blocks of a bad piece is
//! never accused, nor is one that shares an address with a culprit but not its port.
//!
//! It answers with the guilty; banning and disconnecting them is for the caller.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::base::hash::Sha1Hash;
use crate::base::index::PieceIndex;
use crate::base::limit;

/// A block of a failed piece: its digest, and who sent it if that is known.
type Evidence = (Sha1Hash, Option<SocketAddr>);

/// One failure of a piece, block by block.
struct Failure {
    piece: PieceIndex,
    blocks: Vec<Evidence>,
}

/// Failed pieces, kept until the truth is known.
#[derive(Default)]
pub struct SmartBan {
    /// The oldest first; forgotten first too.
    failures: VecDeque<Failure>,
    /// Blocks of all failures.
    blocks: usize,
}

impl SmartBan {
    /// Nothing has failed.
    pub fn new() -> SmartBan {
        SmartBan::default()
    }

    /// Whether `piece` has failed before, so that its block digests are wanted when it passes.
    pub fn is_suspect(&self, piece: PieceIndex) -> bool {
        self.failures.iter().any(|failure| failure.piece == piece)
    }

    /// `piece` failed its hash. By block: digests, and senders (`None` where the block was on disk). Gives the
    /// guilty: the one sender of all blocks, and any that sent two versions of one block.
    pub fn on_failed(
        &mut self,
        piece: PieceIndex,
        digests: &[Sha1Hash],
        senders: &[Option<SocketAddr>],
    ) -> Vec<SocketAddr> {
        let senders_or_none = senders.iter().copied().chain(std::iter::repeat(None));
        let blocks: Vec<Evidence> = digests.iter().copied().zip(senders_or_none).collect();
        let earlier = self.failures.iter().filter(|failure| failure.piece == piece);
        let mut guilty: Vec<SocketAddr> =
            earlier.flat_map(|earlier| contradictions(&earlier.blocks, &blocks)).collect();
        guilty.extend(sole_sender(senders));
        self.keep(Failure { piece, blocks });
        in_order(guilty)
    }

    /// `piece` passed; `digests` are those of its blocks. Gives everyone who ever sent a block that differs.
    pub fn on_passed(&mut self, piece: PieceIndex, digests: &[Sha1Hash]) -> Vec<SocketAddr> {
        let of_piece = self.failures.iter().filter(|failure| failure.piece == piece);
        let blocks = of_piece.flat_map(|failure| failure.blocks.iter().zip(digests));
        let differing = blocks.filter(|((sent, _), good)| sent != *good);
        let guilty = in_order(differing.filter_map(|((_, sender), _)| *sender).collect());
        self.failures.retain(|failure| failure.piece != piece);
        self.blocks = self.failures.iter().map(|failure| failure.blocks.len()).sum();
        guilty
    }

    fn keep(&mut self, failure: Failure) {
        self.blocks += failure.blocks.len();
        self.failures.push_back(failure);
        while self.failures.len() > limit::FAILED_PIECES || self.blocks > limit::FAILED_BLOCKS {
            let Some(oldest) = self.failures.pop_front() else { return };
            self.blocks -= oldest.blocks.len();
        }
    }
}

fn sole_sender(senders: &[Option<SocketAddr>]) -> Option<SocketAddr> {
    let (first, others) = senders.split_first()?;
    first.filter(|_| others.iter().all(|other| other == first))
}

/// Senders of two versions of one block, of which at least one must be bad.
fn contradictions(earlier: &[Evidence], later: &[Evidence]) -> Vec<SocketAddr> {
    let pairs = earlier.iter().zip(later);
    let differing = pairs.filter(|((before, who), (after, again))| before != after && who == again);
    differing.filter_map(|((_, who), _)| *who).collect()
}

fn in_order(mut guilty: Vec<SocketAddr>) -> Vec<SocketAddr> {
    guilty.sort_unstable();
    guilty.dedup();
    guilty
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::sha1;
    use proptest::prelude::*;

    const PIECE: PieceIndex = PieceIndex(7);

    fn peer(number: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], number))
    }

    /// Digests of blocks of which those named are bad, each in the way of the peer that sent it.
    fn digests(senders: &[u16], bad: &[usize]) -> Vec<Sha1Hash> {
        let digest = |(at, sender): (usize, &u16)| match bad.contains(&at) {
            true => sha1(format!("bad {at} from {sender}").as_bytes()),
            false => sha1(format!("good {at}").as_bytes()),
        };
        senders.iter().enumerate().map(digest).collect()
    }

    fn fail(smart_ban: &mut SmartBan, senders: &[u16], bad: &[usize]) -> Vec<SocketAddr> {
        let addresses: Vec<_> = senders.iter().map(|sender| Some(peer(*sender))).collect();
        smart_ban.on_failed(PIECE, &digests(senders, bad), &addresses)
    }

    fn pass(smart_ban: &mut SmartBan, blocks: usize) -> Vec<SocketAddr> {
        smart_ban.on_passed(PIECE, &digests(&vec![0; blocks], &[]))
    }

    #[test]
    fn the_sender_of_the_bad_block_is_named_when_the_piece_passes() {
        let mut smart_ban = SmartBan::new();
        assert_eq!(fail(&mut smart_ban, &[1, 2, 3, 1], &[1]), []);
        assert!(smart_ban.is_suspect(PIECE));
        assert_eq!(pass(&mut smart_ban, 4), [peer(2)]);
        assert!(!smart_ban.is_suspect(PIECE));
        assert_eq!(pass(&mut smart_ban, 4), []);
    }

    #[test]
    fn two_who_spoil_in_turn_are_both_named() {
        let mut smart_ban = SmartBan::new();
        fail(&mut smart_ban, &[1, 2, 3], &[1, 2]);
        fail(&mut smart_ban, &[1, 4, 3], &[1]);
        assert_eq!(pass(&mut smart_ban, 3), [peer(2), peer(3), peer(4)]);
    }

    #[test]
    fn the_sole_sender_of_a_bad_piece_is_named_at_once() {
        assert_eq!(fail(&mut SmartBan::new(), &[5, 5, 5], &[0]), [peer(5)]);
        assert_eq!(fail(&mut SmartBan::new(), &[5], &[0]), [peer(5)]);
        assert_eq!(fail(&mut SmartBan::new(), &[], &[]), []);
        let partly_from_disk = [Some(peer(5)), None];
        assert_eq!(SmartBan::new().on_failed(PIECE, &digests(&[5, 5], &[1]), &partly_from_disk), []);
    }

    #[test]
    fn who_sends_two_versions_of_a_block_is_named_at_once() {
        let mut smart_ban = SmartBan::new();
        fail(&mut smart_ban, &[1, 2], &[0]);
        assert_eq!(fail(&mut smart_ban, &[1, 2], &[1]), [peer(1), peer(2)], "each was bad once");
        assert_eq!(fail(&mut smart_ban, &[3, 4], &[1]), [], "others never contradict anyone");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut smart_ban = SmartBan::new();
        let many = vec![sha1(b""); limit::FAILED_BLOCKS / 2];
        for piece in 0..5 {
            smart_ban.on_failed(PieceIndex(piece), &many, &[]);
        }
        assert_eq!((smart_ban.failures.len(), smart_ban.blocks), (2, limit::FAILED_BLOCKS));
        assert!(smart_ban.is_suspect(PieceIndex(4)), "the newest are kept");
        for piece in 0..1000 {
            smart_ban.on_failed(PieceIndex(piece), &many[..1], &[]);
        }
        assert_eq!(smart_ban.failures.len(), limit::FAILED_PIECES);
    }

    proptest! {
        #[test]
        fn exactly_those_who_sent_a_bad_block_are_named(
            rounds in prop::collection::vec(prop::collection::vec((1u16..8, any::<bool>()), 6), 1..5),
            culprits in prop::collection::btree_set(1u16..8, 0..4),
        ) {
            let mut smart_ban = SmartBan::new();
            let (mut named, mut spoilers) = (Vec::new(), Vec::new());
            for round in &rounds {
                let senders: Vec<u16> = round.iter().map(|(sender, _)| *sender).collect();
                let is_bad = |(sender, wants): &(u16, bool)| *wants && culprits.contains(sender);
                let bad: Vec<usize> = (0..6).filter(|at| is_bad(&round[*at])).collect();
                if bad.is_empty() {
                    continue;
                }
                spoilers.extend(bad.iter().map(|at| peer(senders[*at])));
                let at_once = fail(&mut smart_ban, &senders, &bad);
                prop_assert!(at_once.iter().all(|named| spoilers.contains(named)));
                named.extend(at_once);
            }
            named.extend(pass(&mut smart_ban, 6));
            prop_assert_eq!(in_order(named), in_order(spoilers));
        }
    }
}
