//! The peers of one torrent, as a tracker knows them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::query::AnnounceQuery;
use crate::base::address::{Reach, may_dial};
use crate::base::limit;
use crate::base::peer_id::PeerId;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};
use crate::wire::tracker::Event;

/// A peer is who names the same id and key: an id alone is told to everybody.
type Name = (PeerId, Vec<u8>);

/// The peers of one torrent.
#[derive(Debug, Default)]
pub(super) struct Swarm {
    peers: BTreeMap<Name, Peer>,
    completed: u32,
}

#[derive(Debug)]
struct Peer {
    is_seed: bool,
    has_completed: bool,
    /// By family, IPv4 first: where it listens, and when it last said so.
    addresses: [Option<(SocketAddr, Instant)>; 2],
}

impl Swarm {
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn seeds(&self) -> u32 {
        self.peers.values().filter(|peer| peer.is_seed).count() as u32
    }

    pub(super) fn leechers(&self) -> u32 {
        self.peers.values().filter(|peer| !peer.is_seed).count() as u32
    }

    /// How often the torrent has been completed.
    pub(super) fn completed(&self) -> u32 {
        self.completed
    }

    /// Takes note of a peer at `address`; `false` when it is new and there is no room.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        query: &AnnounceQuery,
        address: SocketAddr,
        has_room: bool,
    ) -> bool {
        let name = (query.peer_id, query.key.clone());
        let is_full = !has_room || self.peers.len() >= limit::TRACKED_SWARM;
        if is_full && !self.peers.contains_key(&name) {
            return false;
        }
        let new = Peer { is_seed: false, has_completed: false, addresses: [None, None] };
        let peer = self.peers.entry(name).or_insert(new);
        peer.is_seed = query.left == 0;
        peer.addresses[usize::from(address.is_ipv6())] = Some((address, now));
        if query.event == Some(Event::Completed) && !peer.has_completed {
            peer.has_completed = true;
            self.completed = self.completed.saturating_add(1);
        }
        true
    }

    /// Forgets a peer; says whether it was there.
    pub(super) fn remove(&mut self, query: &AnnounceQuery) -> bool {
        self.peers.remove(&(query.peer_id, query.key.clone())).is_some()
    }

    /// Forgets addresses that are older than `lifetime`, and peers without any.
    pub(super) fn expire(&mut self, now: Instant, lifetime: Duration) {
        self.peers.retain(|_, peer| {
            for address in &mut peer.addresses {
                *address = address.filter(|(_, seen)| now.since(*seen) <= lifetime);
            }
            peer.addresses.iter().any(Option::is_some)
        });
    }

    /// The addresses of up to `wanted` random peers that are of use to who asks from `remote`.
    pub(super) fn pick(
        &self,
        query: &AnnounceQuery,
        remote: IpAddr,
        wanted: usize,
        rng: &mut Rng,
    ) -> Vec<SocketAddr> {
        let source = Reach::of(remote).unwrap_or(Reach::Global);
        let others = self
            .peers
            .iter()
            .filter(|((id, _), peer)| *id != query.peer_id && !(peer.is_seed && query.left == 0));
        let mut others: Vec<&Peer> = others.map(|(_, peer)| peer).collect();
        let wanted = wanted.min(others.len());
        for place in 0..wanted {
            let other = place + rng.below(others.len() - place);
            others.swap(place, other);
        }
        let addresses = others[..wanted].iter().flat_map(|peer| peer.addresses.iter().flatten());
        addresses.map(|(address, _)| *address).filter(|address| may_dial(*address, source)).collect()
    }
}
