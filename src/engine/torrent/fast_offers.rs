//! What is given to newcomers that have to wait for a slot (BEP 6), and how much of it.
//!
//! A newcomer is offered a few pieces, so that it has something to trade. They cost a slot's worth of the uplink, and
//! nobody has to give for them, so there is a bound: some MiB, or one piece, for each subscriber's address and once,
//! however often it comes, under whatever name, and from whatever port.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::Context;
use super::active::Active;
use crate::base::address::subscriber;
use crate::base::index::BlockRequest;
use crate::base::limit;
use crate::engine::input::ConnectionId;
use crate::engine::peer::{PeerConnection, allowed_fast};
use crate::engine::settings::Slots;
use crate::wire::peer::Message;

/// What choked peers took, bytes, by subscriber. Who took first is forgotten first.
#[derive(Default)]
pub(super) struct FastTakers {
    taken: BTreeMap<IpAddr, u64>,
    order: VecDeque<IpAddr>,
}

impl FastTakers {
    /// What may still be given to whoever is behind `ip`, bytes.
    fn left(&self, ip: IpAddr, piece_length: u32) -> u64 {
        let taken = self.taken.get(&subscriber(ip)).copied().unwrap_or(0);
        limit::FAST_BYTES.max(u64::from(piece_length)).saturating_sub(taken)
    }

    fn take(&mut self, ip: IpAddr, bytes: u32) {
        let ip = subscriber(ip);
        if !self.taken.contains_key(&ip) {
            self.order.push_back(ip);
            if self.order.len() > limit::KNOWN_PEERS
                && let Some(first) = self.order.pop_front()
            {
                self.taken.remove(&first);
            }
        }
        *self.taken.entry(ip).or_default() += u64::from(bytes);
    }
}

impl Active {
    /// Offers a few pieces to a newcomer that has to wait. Pieces that no other peer has are kept for those whose
    /// turn it is: they pass them on, while all newcomers from one place would be sent the same few.
    pub(in crate::engine) fn offer_fast(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        let Some(peer) = self.peers.get(&connection) else { return };
        if !is_newcomer(peer) || self.super_seed.is_some() || ctx.settings.slots == Slots::Fixed(0) {
            return;
        }
        let layout = &self.spec.layout;
        let ip = peer.address.ip();
        let mut left = self.fast_takers.left(ip, layout.piece_length());
        let mut set = allowed_fast::pieces(ip, self.spec.info_hashes.wire(), layout.piece_count());
        set.retain(|piece| self.offers(*piece) && self.picker.availability(*piece) > 0);
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        for piece in set.into_iter().filter(|piece| !peer.has.has(*piece)) {
            let length = u64::from(layout.piece_len(piece));
            if length <= left {
                left -= length;
                peer.fast_offers.push(piece);
                peer.last_sent = ctx.now;
                ctx.send(connection, Message::AllowedFast(piece));
            }
        }
    }

    /// Whether a request of a peer is served: all of one that has a slot, of another what was offered to it and
    /// is within the bound.
    pub(super) fn is_served(&mut self, connection: ConnectionId, request: BlockRequest) -> bool {
        let Some(peer) = self.peers.get(&connection) else { return false };
        if !peer.am_choking {
            return true;
        }
        let ip = peer.address.ip();
        let is_offered = peer.fast_offers.contains(&request.piece)
            && u64::from(request.length) <= self.fast_takers.left(ip, self.spec.layout.piece_length());
        if is_offered {
            self.fast_takers.take(ip, request.length);
        }
        is_offered
    }
}

/// Whether a peer waits for a slot and has next to nothing to trade.
fn is_newcomer(peer: &PeerConnection) -> bool {
    peer.has_fast
        && peer.am_choking
        && !peer.wants_nothing()
        && peer.fast_offers.is_empty()
        && peer.has.count() < allowed_fast::PIECES as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_took_first_is_forgotten_first_and_nobody_else() {
        let mut takers = FastTakers::default();
        let ip = |number: usize| IpAddr::from([20, 0, (number / 256) as u8, (number % 256) as u8]);
        for number in 0..=limit::KNOWN_PEERS {
            takers.take(ip(number), 1 << 20);
        }
        assert_eq!(takers.left(ip(0), 1), limit::FAST_BYTES);
        for number in 1..=limit::KNOWN_PEERS {
            assert_eq!(takers.left(ip(number), 1), limit::FAST_BYTES - (1 << 20));
        }
    }
}
