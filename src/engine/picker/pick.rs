//! What a peer is asked for next: the policy, and the search that it needs.

use super::availability::Rarity;
use super::open_piece::OpenPiece;
use super::{Pace, PeerKey, PiecePicker};
use crate::base::bitfield::Bitfield;
use crate::base::index::{BlockAddress, PieceIndex};
use crate::base::time::{Duration, Instant};

/// Until so many pieces are had, new ones are opened at random: something to trade soon is worth more than
/// something rare, which few could send.
const RANDOM_FIRST: u32 = 4;
/// A block asked for so long ago may be asked of a second peer that has nothing better to do.
const LATE: Duration = Duration::from_secs(10);
/// A peer with so many requests out is not asked for blocks that others were asked for.
const SECOND_REQUESTS: usize = 4;
/// Pieces shorter than this are opened in stretches of so many bytes: as much as is written and hashed in one.
const STRETCH: u32 = 256 * 1024;
/// Requests of others looked at for one to ask again.
const SECOND_PROBES: usize = 1024;

/// Where blocks for a peer may come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// The piece that the peer works on.
    Own,
    /// An open piece that nobody works on.
    Abandoned,
    /// A missing piece.
    New(Rarity),
    /// An open piece that another peer works on.
    Shared,
    /// A piece that has failed and is another peer's alone, who takes too long with it.
    Overdue,
    /// Blocks that the peer itself was late with. It was told that they are no longer wanted, so unless it is
    /// asked again they never come from it.
    Again,
    /// Blocks that another peer was asked for, and is late with.
    Second,
}

/// The order in which sources are tried for a peer: this is the whole policy.
fn preference(pace: Pace) -> &'static [Source] {
    use Source::{Abandoned, Again, New, Overdue, Own, Second, Shared};
    match pace {
        Pace::Abreast(_) | Pace::Fast => {
            &[Own, Abandoned, New(Rarity::RarestFirst), Shared, Overdue, Again, Second]
        }
        Pace::Slow => &[Own, Abandoned, Shared, New(Rarity::RarestFirst), Overdue, Again, Second],
        // Not what others were asked for: a block has room for two owners, and the second may be its rescue.
        Pace::Snubbed => &[Own, Abandoned, Shared, New(Rarity::CommonFirst), Again],
    }
}

impl PiecePicker {
    /// Appends at most `room` blocks to `out` that `peer` is to be asked for, and takes them as asked. Blocks
    /// of a piece come in ascending order. None are found when the peer has nothing that is still free.
    pub fn pick(
        &mut self,
        now: Instant,
        peer: PeerKey,
        peer_has: &Bitfield,
        pace: Pace,
        room: usize,
        out: &mut Vec<BlockAddress>,
    ) {
        let end = out.len().saturating_add(room);
        if let Pace::Abreast(pieces) = pace {
            self.pick_abreast(now, peer, peer_has, pieces.into(), end, out);
        }
        for &source in preference(pace) {
            while out.len() < end {
                let before = out.len();
                let piece = match source {
                    Source::Own => self.own_piece(peer, peer_has),
                    Source::Abandoned => self.adopt(peer, peer_has),
                    Source::New(rarity) => self.open_new(peer, peer_has, rarity),
                    Source::Shared => self.shared_piece(peer, peer_has),
                    Source::Overdue => self.overdue_piece(now, peer, peer_has),
                    Source::Again => {
                        self.ask_again(now, peer, peer_has, end - before, out);
                        break;
                    }
                    Source::Second => {
                        self.ask_second(now, peer, peer_has, end - before, out);
                        break;
                    }
                };
                if let Some(open) = piece.and_then(|piece| self.pieces.open_piece_mut(piece)) {
                    open.take(now, peer, end - before, out);
                }
                if out.len() == before {
                    break;
                }
                self.requests.add(peer, &out[before..], now);
            }
        }
    }

    /// Asks for a run of each of several pieces in turn. Opens pieces until there are so many.
    fn pick_abreast(
        &mut self,
        now: Instant,
        peer: PeerKey,
        peer_has: &Bitfield,
        pieces: usize,
        end: usize,
        out: &mut Vec<BlockAddress>,
    ) {
        while out.len() < end {
            let before = out.len();
            let own = self.own_pieces(peer, peer_has).count();
            let new = (own < pieces).then(|| {
                self.adopt(peer, peer_has).or_else(|| self.open_new(peer, peer_has, Rarity::RarestFirst))
            });
            let going_on = || self.own_pieces(peer, peer_has).next().map(|open| open.piece);
            let Some(piece) = new.flatten().or_else(going_on) else { return };
            if let Some(open) = self.pieces.open_piece_mut(piece) {
                open.take(now, peer, (end - before).min(open.to_end_of_run()), out);
            }
            if out.len() == before {
                return;
            }
            self.requests.add(peer, &out[before..], now);
            self.requests.put_last(peer, piece);
        }
    }

    /// The pieces that the peer works on and has more to send of.
    fn own_pieces(&self, peer: PeerKey, peer_has: &Bitfield) -> impl Iterator<Item = &OpenPiece> {
        let open = self.requests.own(peer).iter().filter_map(|own| self.pieces.open_piece(*own));
        open.filter(move |open| {
            open.owner == Some(peer) && peer_has.has(open.piece) && open.has_free_for(peer)
        })
    }

    fn own_piece(&self, peer: PeerKey, peer_has: &Bitfield) -> Option<PieceIndex> {
        let own = self.own_pieces(peer, peer_has);
        own.min_by_key(|open| (open.free(), open.piece)).map(|open| open.piece)
    }

    fn adopt(&mut self, peer: PeerKey, peer_has: &Bitfield) -> Option<PieceIndex> {
        let piece = self.most_complete(peer, peer_has, |open| open.owner.is_none())?;
        self.give(piece, peer, peer_has);
        Some(piece)
    }

    fn shared_piece(&self, peer: PeerKey, peer_has: &Bitfield) -> Option<PieceIndex> {
        let is_active = |owner| self.requests.outstanding(owner) > 0;
        self.most_complete(peer, peer_has, |open| !(open.has_failed() && open.owner.is_some_and(is_active)))
    }

    fn overdue_piece(&self, now: Instant, peer: PeerKey, peer_has: &Bitfield) -> Option<PieceIndex> {
        self.most_complete(peer, peer_has, |open| open.is_overdue(now))
    }

    /// Of the open pieces that pass `filter` and have a block for the peer, the one with the least to ask for.
    fn most_complete(
        &self,
        peer: PeerKey,
        peer_has: &Bitfield,
        filter: impl Fn(&OpenPiece) -> bool,
    ) -> Option<PieceIndex> {
        let open = self.pieces.open_pieces().iter();
        open.filter(|open| open.free() > 0 && filter(open) && peer_has.has(open.piece))
            .filter(|open| open.has_free_for(peer))
            .min_by_key(|open| (open.free(), open.piece))
            .map(|open| open.piece)
    }

    fn open_new(&mut self, peer: PeerKey, peer_has: &Bitfield, rarity: Rarity) -> Option<PieceIndex> {
        let closed = self.pieces.closed();
        let piece = if self.have().count() < RANDOM_FIRST {
            self.availability.choose_any(peer_has, closed, &mut self.rng)
        } else {
            self.availability.choose(rarity, peer_has, closed, &mut self.rng)
        }?;
        let better = self.suggested_for(peer, peer_has, rarity, piece);
        let piece = better.or_else(|| self.neighbour_for(peer, peer_has, rarity, piece)).unwrap_or(piece);
        self.pieces.open(piece)?;
        self.requests.set_last_opened(peer, piece);
        self.availability.unlist(piece);
        self.give(piece, peer, peer_has);
        Some(piece)
    }

    /// Asks for blocks that the peer itself was late with, and nobody was asked for since.
    fn ask_again(
        &mut self,
        now: Instant,
        peer: PeerKey,
        peer_has: &Bitfield,
        room: usize,
        out: &mut Vec<BlockAddress>,
    ) {
        let (before, end) = (out.len(), out.len() + room);
        let late = self.pieces.open_pieces().iter().filter(|open| open.has_late_of(peer));
        let late: Vec<PieceIndex> =
            late.map(|open| open.piece).filter(|piece| peer_has.has(*piece)).collect();
        for piece in late {
            if let Some(open) = self.pieces.open_piece_mut(piece) {
                open.take_again(peer, end - out.len(), out);
            }
        }
        for block in &out[before..] {
            self.requests.remove(peer, *block);
        }
        self.requests.add(peer, &out[before..], now);
    }

    /// A piece that the peer suggested, if it is no less to the point than `other`.
    fn suggested_for(
        &self,
        peer: PeerKey,
        peer_has: &Bitfield,
        rarity: Rarity,
        other: PieceIndex,
    ) -> Option<PieceIndex> {
        let suggested = self.suggested.get(&peer).filter(|_| rarity == Rarity::RarestFirst)?;
        suggested.iter().copied().find(|piece| self.is_as_good(*piece, other, peer_has))
    }

    /// Short pieces are opened one after the other where that costs no rarity: a stretch of them is chosen at random
    /// rather than each piece, so that they are written and hashed together, as one of usual length is.
    fn neighbour_for(
        &self,
        peer: PeerKey,
        peer_has: &Bitfield,
        rarity: Rarity,
        other: PieceIndex,
    ) -> Option<PieceIndex> {
        let stretch = STRETCH / self.pieces.layout().piece_length();
        if stretch < 2 || rarity != Rarity::RarestFirst {
            return None;
        }
        let is_fit = |piece: &PieceIndex| self.is_as_good(*piece, other, peer_has);
        let last = self.requests.last_opened(peer).map(|last| PieceIndex(last.0.saturating_add(1)));
        let next = last.filter(|next| !next.0.is_multiple_of(stretch)).filter(is_fit);
        next.or_else(|| (other.0 - other.0 % stretch..other.0).map(PieceIndex).find(is_fit))
    }

    /// Whether a piece may be opened with this peer, and is no more common than `other`.
    fn is_as_good(&self, piece: PieceIndex, other: PieceIndex, peer_has: &Bitfield) -> bool {
        peer_has.has(piece)
            && self.pieces.is_openable(piece)
            && self.availability.of(piece) <= self.availability.of(other)
    }

    /// Asks for blocks that others were asked for. As long as anything is free, only late ones: the peer has
    /// nothing else to send, but the torrent can wait. At the end, any: the most overdue peer's first, and of
    /// its requests the last, which it would come to last. A piece that has failed is left to its one peer for a
    /// while unless that is late: whoever answers first with rubbish would spoil it again and again.
    fn ask_second(
        &mut self,
        now: Instant,
        peer: PeerKey,
        peer_has: &Bitfield,
        room: usize,
        out: &mut Vec<BlockAddress>,
    ) {
        let few = SECOND_REQUESTS.saturating_sub(self.requests.outstanding(peer));
        let end = out.len() + room.min(few);
        if out.len() == end {
            return;
        }
        let (before, mut replaced) = (out.len(), Vec::new());
        let age = if self.has_free_block() { LATE } else { Duration::ZERO };
        let late = self.requests.overdue(now, LATE, peer);
        let overdue = self.requests.overdue(now, age, peer);
        let asked = overdue.into_iter().flat_map(|other| {
            let is_late = late.contains(&other);
            self.requests.oldest_first(other).rev().map(move |block| (block, is_late))
        });
        for (block, is_late) in asked.take(SECOND_PROBES).filter(|(block, _)| peer_has.has(block.piece)) {
            let open =
                self.pieces.open_piece_mut(block.piece).filter(|open| is_late || !open.is_reserved(now));
            let Some(open) = open else { continue };
            if let Some(late) = open.take_over(block.block, peer) {
                replaced.push((late, block));
            } else if !open.take_second(block.block, peer) {
                continue;
            }
            out.push(block);
            if out.len() == end {
                break;
            }
        }
        for (late, block) in replaced {
            self.requests.remove(late, block);
        }
        self.requests.add(peer, &out[before..], now);
    }

    /// Whether there is a block to ask for that some peer has.
    fn has_free_block(&self) -> bool {
        let is_free = |open: &OpenPiece| open.free() > 0 && self.availability.of(open.piece) > 0;
        self.availability.obtainable() > 0 || self.pieces.open_pieces().iter().any(is_free)
    }

    /// Makes `peer` the one who works on `piece`, beside those that it has more to send of.
    fn give(&mut self, piece: PieceIndex, peer: PeerKey, peer_has: &Bitfield) {
        let mut own: Vec<PieceIndex> = self.own_pieces(peer, peer_has).map(|open| open.piece).collect();
        own.push(piece);
        let before = self.requests.replace_own(peer, own.clone());
        for gone in before.into_iter().filter(|piece| !own.contains(piece)) {
            self.disown(gone, peer);
        }
        if let Some(open) = self.pieces.open_piece_mut(piece) {
            open.owner = Some(peer);
        }
    }
}
