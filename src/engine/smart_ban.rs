//! Who spoiled a piece.
//!
//! When a piece fails its hash, the digest of each block is kept with whoever sent it. When the piece passes
//! later, the good digests tell who sent a block that differs: proof, and the only reason for a ban but one:
//! a piece that came whole from one sender, and failed. An honest sender of other blocks of a bad piece is
//! never accused, nor is one that shares an address with a culprit but not its port.
//!
//! It answers with the guilty; banning and disconnecting them is for the caller.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::base::hash::Sha1Hash;
use crate::base::index::PieceIndex;
use crate::base::limit;

/// A block of a failed piece: its digest, and who sent it if that is known.
type Evidence = (Sha1Hash, Option<SocketAddr>);

/// Failed pieces, kept until the truth is known.
#[derive(Default)]
pub struct SmartBan {
    /// By piece, the blocks of each of its failures. A failure may be fewer blocks than the piece has.
    failed: BTreeMap<PieceIndex, Vec<Vec<Evidence>>>,
}

impl SmartBan {
    /// Nothing has failed.
    pub fn new() -> SmartBan {
        SmartBan::default()
    }

    /// Whether `piece` has failed before, so that its block digests are wanted when it passes.
    pub fn is_suspect(&self, piece: PieceIndex) -> bool {
        self.failed.contains_key(&piece)
    }

    /// `piece` failed its hash. By block: digests, and senders (`None` where the block was on disk). Gives the
    /// guilty: the one sender of all blocks, and any that sent two versions of one block.
    pub fn on_failed(
        &mut self,
        piece: PieceIndex,
        digests: &[Sha1Hash],
        senders: &[Option<SocketAddr>],
    ) -> Vec<SocketAddr> {
        let senders_of_blocks = senders.iter().copied().chain(std::iter::repeat(None));
        let failure: Vec<Evidence> = digests.iter().copied().zip(senders_of_blocks).collect();
        let mut guilty = sole_sender(senders);
        let earlier = self.failed.get(&piece).into_iter().flatten();
        guilty.extend(earlier.flat_map(|earlier| contradictions(earlier, &failure)));
        self.keep(piece, failure);
        in_order(guilty)
    }

    /// `piece` passed; `digests` are those of its blocks. Gives everyone who ever sent a block that differs.
    pub fn on_passed(&mut self, piece: PieceIndex, digests: &[Sha1Hash]) -> Vec<SocketAddr> {
        let failures = self.failed.remove(&piece).unwrap_or_default();
        let blocks = failures.iter().flat_map(|failure| failure.iter().zip(digests));
        let guilty = blocks.filter(|((sent, _), good)| sent != *good).filter_map(|((_, sender), _)| *sender);
        in_order(guilty.collect())
    }

    fn keep(&mut self, piece: PieceIndex, failure: Vec<Evidence>) {
        if self.failed.len() >= limit::FAILED_PIECES && !self.failed.contains_key(&piece) {
            self.failed.pop_first();
        }
        let failures = self.failed.entry(piece).or_default();
        if failures.len() >= limit::FAILURES_OF_PIECE {
            failures.remove(0);
        }
        failures.push(failure);
    }
}

fn sole_sender(senders: &[Option<SocketAddr>]) -> Vec<SocketAddr> {
    match senders.split_first() {
        Some((Some(first), others)) if others.iter().all(|other| *other == Some(*first)) => vec![*first],
        _ => Vec::new(),
    }
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
