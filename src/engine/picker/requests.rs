//! What each peer was asked for, oldest first, and which piece it is working on.
//!
//! Beside the blocks' states, so that whom to ask a second time, and what to release when a peer goes, is found
//! without looking at every block. It includes what a peer was late with, for its answer is still welcome: that is
//! where it differs from what a connection counts as out.

use std::collections::{BTreeMap, VecDeque};

use super::PeerKey;
use crate::base::index::{BlockAddress, PieceIndex};
use crate::base::time::{Duration, Instant};

#[derive(Default)]
pub(super) struct PeerRequests {
    /// The open pieces that the peer goes on with: one, or some that it works on side by side.
    own: Vec<PieceIndex>,
    /// The last piece that was opened for the peer.
    opened: Option<PieceIndex>,
    outstanding: VecDeque<(BlockAddress, Instant)>,
}

#[derive(Default)]
pub(super) struct Requests {
    peers: BTreeMap<PeerKey, PeerRequests>,
}

impl Requests {
    pub(super) fn own(&self, peer: PeerKey) -> &[PieceIndex] {
        self.peers.get(&peer).map_or(&[], |peer| &peer.own)
    }

    /// Gives `peer` other pieces to work on, and says which ones it had.
    pub(super) fn replace_own(&mut self, peer: PeerKey, own: Vec<PieceIndex>) -> Vec<PieceIndex> {
        std::mem::replace(&mut self.peers.entry(peer).or_default().own, own)
    }

    /// The last piece that was opened for `peer`.
    pub(super) fn last_opened(&self, peer: PeerKey) -> Option<PieceIndex> {
        self.peers.get(&peer)?.opened
    }

    pub(super) fn set_last_opened(&mut self, peer: PeerKey, piece: PieceIndex) {
        self.peers.entry(peer).or_default().opened = Some(piece);
    }

    /// The piece's turn comes after those of the peer's other pieces.
    pub(super) fn put_last(&mut self, peer: PeerKey, piece: PieceIndex) {
        let Some(PeerRequests { own, .. }) = self.peers.get_mut(&peer) else { return };
        if let Some(at) = own.iter().position(|own| *own == piece) {
            own[at..].rotate_left(1);
        }
    }

    pub(super) fn outstanding(&self, peer: PeerKey) -> usize {
        self.peers.get(&peer).map_or(0, |peer| peer.outstanding.len())
    }

    /// The blocks that `peer` was asked for.
    pub(super) fn oldest_first(&self, peer: PeerKey) -> impl DoubleEndedIterator<Item = BlockAddress> + '_ {
        let peer = self.peers.get(&peer).into_iter();
        peer.flat_map(|peer| peer.outstanding.iter().map(|(block, _)| *block))
    }

    pub(super) fn add(&mut self, peer: PeerKey, blocks: &[BlockAddress], now: Instant) {
        if !blocks.is_empty() {
            let outstanding = &mut self.peers.entry(peer).or_default().outstanding;
            outstanding.extend(blocks.iter().map(|block| (*block, now)));
        }
    }

    /// Blocks mostly come in the order in which they were asked for, so the search is short.
    pub(super) fn remove(&mut self, peer: PeerKey, block: BlockAddress) {
        let Some(PeerRequests { outstanding, .. }) = self.peers.get_mut(&peer) else { return };
        if let Some(at) = outstanding.iter().position(|(asked, _)| *asked == block) {
            outstanding.remove(at);
        }
    }

    /// Forgets `peer`.
    pub(super) fn release(&mut self, peer: PeerKey) -> (Vec<PieceIndex>, Vec<BlockAddress>) {
        let gone = self.peers.remove(&peer).unwrap_or_default();
        (gone.own, gone.outstanding.into_iter().map(|(block, _)| block).collect())
    }

    /// The peers but for `except` whose oldest request is at least `age` old, the most overdue first.
    pub(super) fn overdue(&self, now: Instant, age: Duration, except: PeerKey) -> Vec<PeerKey> {
        let mut found: Vec<(Instant, PeerKey)> = self
            .peers
            .iter()
            .filter(|(peer, _)| **peer != except)
            .filter_map(|(peer, requests)| Some((requests.outstanding.front()?.1, *peer)))
            .filter(|(asked, _)| now.since(*asked) >= age)
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, peer)| peer).collect()
    }

    /// All requests, by peer.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerKey, BlockAddress)> + '_ {
        self.peers.iter().flat_map(|(peer, of)| of.outstanding.iter().map(|(block, _)| (*peer, *block)))
    }
}
