//! Known peers, and whom to dial next.
//!
//! Decides whom, not how many at once: that is for the caller, who asks for one peer at a time and tells
//! what came of it. A peer is an address and a port. One that failed waits longer each time; one that a
//! person named or that has worked is tried again soon and for ever, so that a swarm that was gone is found
//! when it returns. Which addresses a source may name is [`may_dial`]'s rule; those of a
//! family that is not in use are taken from nobody.
//!
//! Who was a seed when we met it is not dialled while we are one too.
//!
//! A banned peer is never dialled again. The second banned port bans the whole IP, but never on loopback and
//! private ranges, where many honest peers may share one.

mod candidate;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use self::candidate::{Candidate, Contact};
use crate::base::address::{Families, Reach, may_dial};
use crate::base::limit;
use crate::base::random::Rng;
use crate::base::time::Instant;

/// Who named a peer, the least trusted first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PeerSource {
    /// It came to us, and said where it listens.
    Incoming,
    /// A tracker.
    Tracker,
    /// A person.
    Person,
}

/// The peers of a torrent that are known, connected or not.
pub struct PeerList {
    /// Families of addresses in use.
    families: Families,
    candidates: BTreeMap<SocketAddr, Candidate>,
    /// Candidates that are neither connected nor being dialled, by the time at which they may be.
    due: BTreeSet<(Instant, SocketAddr)>,
    /// Whether we lack nothing: seeds are not dialled.
    are_we_seed: bool,
    banned_ports: BTreeSet<SocketAddr>,
    banned_ips: BTreeSet<IpAddr>,
    ourselves: BTreeSet<SocketAddr>,
    rng: Rng,
}

impl PeerList {
    /// An empty list, for addresses of these families.
    pub fn new(families: Families, rng: Rng) -> PeerList {
        PeerList {
            families,
            candidates: BTreeMap::new(),
            due: BTreeSet::new(),
            are_we_seed: false,
            banned_ports: BTreeSet::new(),
            banned_ips: BTreeSet::new(),
            ourselves: BTreeSet::new(),
            rng,
        }
    }

    /// `source`, which reaches as far as `reach`, names a peer. Says whether it is new and may be dialled. A
    /// known one is remembered by its best source.
    pub fn add(&mut self, now: Instant, address: SocketAddr, source: PeerSource, reach: Reach) -> bool {
        let address = canonical(address);
        let may_dial = self.families.have(address.ip()) && may_dial(address, reach);
        if !may_dial || self.is_banned(address) || self.ourselves.contains(&address) {
            return false;
        }
        if let Some(known) = self.candidates.get(&address) {
            if known.source < source {
                self.change(address, |known| known.improve_source(now, source));
            }
            return false;
        }
        if self.candidates.len() >= limit::KNOWN_PEERS && !self.weed(source) {
            return false;
        }
        let tie_break = self.rng.next_u32();
        self.candidates.insert(address, Candidate::new(now, source, tie_break));
        self.due.insert((now, address));
        true
    }

    /// The best peer that may be dialled at `now`; it counts as being dialled from here on, until
    /// [`on_connected`](PeerList::on_connected) or [`on_dial_failed`](PeerList::on_dial_failed).
    pub fn pick_dial(&mut self, now: Instant) -> Option<SocketAddr> {
        self.next_dial_at().filter(|at| *at <= now)?;
        let due = self.candidates.iter().filter(|(_, peer)| self.due_at(peer).is_some_and(|at| at <= now));
        let (best, _) = due.max_by_key(|(_, peer)| peer.rank())?;
        let best = *best;
        self.change(best, Candidate::on_dialled);
        Some(best)
    }

    /// When [`pick_dial`](PeerList::pick_dial) can next find a peer; `None` while it never will. In the past
    /// when it can at once.
    pub fn next_dial_at(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A peer that was dialled has shaken hands. An unknown one is not added.
    pub fn on_connected(&mut self, address: SocketAddr) {
        self.change(canonical(address), Candidate::on_connected);
    }

    /// A peer came to us, and says that it listens at `address`. That is its word only: one that names a
    /// thousand ports must not have them all dialled before what trackers name. An unknown one is not added.
    pub fn on_accepted(&mut self, address: SocketAddr) {
        self.change(canonical(address), Candidate::on_accepted);
    }

    /// A dial came to nothing: no connection, or no handshake.
    pub fn on_dial_failed(&mut self, now: Instant, address: SocketAddr) {
        self.change(canonical(address), |peer| peer.on_failed(now));
    }

    /// A connected peer is gone. `was_useful` when it sent or took payload, or would have.
    pub fn on_disconnected(&mut self, now: Instant, address: SocketAddr, was_useful: bool) {
        self.change(canonical(address), |peer| peer.on_disconnected(now, was_useful));
    }

    /// A peer that is connected will want nothing, or will again: what it told last counts.
    pub fn mark_seed(&mut self, address: SocketAddr, is_seed: bool) {
        self.change(canonical(address), |peer| peer.is_seed = is_seed);
    }

    /// Whether we lack nothing ourselves. Two seeds have nothing to trade: while it is so, none is dialled.
    pub fn set_complete(&mut self, are_we_seed: bool) {
        self.are_we_seed = are_we_seed;
        let place = |(address, peer): (&SocketAddr, &Candidate)| Some((self.due_at(peer)?, *address));
        self.due = self.candidates.iter().filter_map(place).collect();
    }

    /// A peer that was connected had to leave for others: all of them come before it.
    pub fn on_useless(&mut self, now: Instant, address: SocketAddr) {
        self.change(canonical(address), |peer| peer.on_useless(now));
    }

    /// The network has changed: whoever could not be reached may be now.
    pub fn hurry(&mut self, now: Instant) {
        let waiting: Vec<SocketAddr> = self.due.iter().map(|(_, address)| *address).collect();
        waiting.into_iter().for_each(|address| self.change(address, |peer| peer.hurry(now)));
    }

    /// A peer was lost by no fault of its own: it is dialled in a moment.
    pub fn hurry_one(&mut self, now: Instant, address: SocketAddr) {
        self.change(canonical(address), |peer| peer.retry_soon(now));
    }

    /// Never again speak to a peer.
    pub fn ban(&mut self, address: SocketAddr) {
        let address = canonical(address);
        remember(&mut self.banned_ports, address);
        let of_ip = |port| SocketAddr::new(address.ip(), port);
        let is_second = self.banned_ports.range(of_ip(0)..=of_ip(u16::MAX)).count() > 1;
        if is_second && Reach::of(address.ip()) == Some(Reach::Global) {
            remember(&mut self.banned_ips, address.ip());
            self.banned_ports.retain(|banned| banned.ip() != address.ip());
        }
        let known = self.candidates.range(of_ip(0)..=of_ip(u16::MAX)).map(|(address, _)| *address);
        let banned: Vec<SocketAddr> = known.filter(|address| self.is_banned(*address)).collect();
        banned.into_iter().for_each(|address| self.forget(address));
    }

    /// Whether a peer, or its whole IP, is banned.
    pub fn is_banned(&self, address: SocketAddr) -> bool {
        let address = canonical(address);
        self.banned_ips.contains(&address.ip()) || self.banned_ports.contains(&address)
    }

    /// We have met ourselves at `address`: it is not dialled again.
    pub fn mark_ourselves(&mut self, address: SocketAddr) {
        let address = canonical(address);
        if self.ourselves.len() < limit::OWN_ADDRESSES {
            self.ourselves.insert(address);
        }
        self.forget(address);
    }

    /// How many peers are known, banned ones left out.
    pub fn known(&self) -> usize {
        self.candidates.len()
    }

    /// Changes a candidate, and its place in the order of dials with it.
    fn change(&mut self, address: SocketAddr, step: impl FnOnce(&mut Candidate)) {
        let Some(mut peer) = self.candidates.get(&address).copied() else { return };
        if let Some(at) = self.due_at(&peer) {
            self.due.remove(&(at, address));
        }
        step(&mut peer);
        if let Some(at) = self.due_at(&peer) {
            self.due.insert((at, address));
        }
        self.candidates.insert(address, peer);
    }

    fn forget(&mut self, address: SocketAddr) {
        if let Some(at) = self.candidates.remove(&address).and_then(|peer| self.due_at(&peer)) {
            self.due.remove(&(at, address));
        }
    }

    /// When a candidate may be dialled; `None` while it may not at all.
    fn due_at(&self, peer: &Candidate) -> Option<Instant> {
        match peer.contact {
            Contact::Apart { until } if !(peer.is_seed && self.are_we_seed) => Some(until),
            _ => None,
        }
    }

    /// Makes room for a peer from `source` by forgetting the worst one that is not in use, if that is worse
    /// than an untried one; says whether it did.
    fn weed(&mut self, source: PeerSource) -> bool {
        let idle = self.candidates.iter().filter(|(_, peer)| matches!(peer.contact, Contact::Apart { .. }));
        let Some((worst, peer)) = idle.min_by_key(|(_, peer)| peer.rank()) else { return false };
        let (worst, is_worse) = (*worst, peer.rank() < Candidate::new(Instant::ZERO, source, 0).rank());
        if is_worse {
            self.forget(worst);
        }
        is_worse
    }
}

/// Adds to a bounded set.
fn remember<T: Ord>(set: &mut BTreeSet<T>, item: T) {
    if set.len() >= limit::BANNED_PEERS && !set.contains(&item) {
        set.pop_first();
    }
    set.insert(item);
}

/// An IPv4 address in IPv6 clothes is the same peer.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
