//! Who gives way when every place is taken and others wait.
//!
//! Places are few, and whoever only holds one keeps out those who would trade. A peer may be asked to leave when it
//! has been here for a while and no data has moved either way for long: two minutes if neither end wants anything of
//! the other, ten if one does, for it may be waiting for its turn. The longest idle goes first, and only one in ten
//! seconds: whoever comes in its place may be no better.
//!
//! Whoever has said nothing at all since its handshake goes before all others, and nobody waits for that: after a few
//! seconds, or sooner if there are several such from one address and the newcomer is from another. So many
//! connections that only shake hands keep nobody out, whatever range they come from.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::Context;
use super::active::Active;
use crate::base::time::{Duration, Instant};
use crate::engine::action::CloseReason;
use crate::engine::input::ConnectionId;
use crate::engine::peer::PeerConnection;

/// Nobody is asked to leave so soon after it came.
const YOUNG: Duration = Duration::from_secs(60);
/// A peer of no interest, to which we are of none, may be idle for so long.
const IDLE_UNWANTED: Duration = Duration::from_secs(2 * 60);
/// Any other peer may.
const IDLE_WANTED: Duration = Duration::from_secs(10 * 60);
/// An honest peer has said something within so long.
const MUTE: Duration = Duration::from_secs(5);
/// One of several that say nothing and are at the same address has.
const MUTE_IN_CROWD: Duration = Duration::from_secs(1);
/// So many of them are several.
const CROWD: usize = 4;
/// Between two that leave.
const GAP: Duration = Duration::from_secs(10);

/// Lets one leave at a time: a torrent has such a gate, and so has the session for all of them.
#[derive(Debug)]
pub(in crate::engine) struct PartingGate {
    opens: Instant,
}

impl PartingGate {
    /// One that is open.
    pub(in crate::engine) fn new() -> PartingGate {
        PartingGate { opens: Instant::ZERO }
    }

    /// Whether somebody may be looked for who has to leave; the next one not before a while.
    pub(in crate::engine) fn pass(&mut self, now: Instant) -> bool {
        let is_open = self.opens <= now;
        if is_open {
            self.opens = now + GAP;
        }
        is_open
    }
}

/// Among those that say nothing: one of the most from one address first, then the oldest.
pub(in crate::engine) type MuteRank = (Reverse<usize>, Instant);

/// The least goes first.
pub(in crate::engine) type Rank = (bool, Instant);

impl Active {
    /// The peer that would be missed least, if there is one that may be asked to leave.
    pub(in crate::engine) fn least_useful(&self, now: Instant) -> Option<(Rank, ConnectionId)> {
        let ranked = |(id, peer): (&ConnectionId, &PeerConnection)| Some((rank(peer, now)?, *id));
        self.peers.iter().filter_map(ranked).min()
    }

    /// The peer that has said nothing for so long that it may be asked to leave at once, for a `newcomer` or for
    /// whoever is to be dialled.
    pub(in crate::engine) fn mute_to_part_with(
        &self,
        now: Instant,
        newcomer: Option<SocketAddr>,
    ) -> Option<(MuteRank, ConnectionId)> {
        let mute = || self.peers.iter().filter(|(_, peer)| peer.is_mute);
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        mute().for_each(|(_, peer)| *counts.entry(peer.address.ip()).or_default() += 1);
        let may_go = |peer: &PeerConnection, count: usize| {
            let is_other = newcomer.is_none_or(|newcomer| newcomer.ip() != peer.address.ip());
            let patience = if is_other && count >= CROWD { MUTE_IN_CROWD } else { MUTE };
            now.since(peer.since) >= patience
        };
        let ranked = mute().filter_map(|(id, peer)| {
            let count = counts.get(&peer.address.ip()).copied().unwrap_or(0);
            may_go(peer, count).then_some(((Reverse(count), peer.since), *id))
        });
        ranked.min()
    }

    /// Closes a peer for the sake of others; it is not looked for before them.
    pub(in crate::engine) fn part_with(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        let Some(peer) = self.peers.get(&connection) else { return };
        let address = peer.listens.unwrap_or(peer.address);
        self.leave(ctx, connection, CloseReason::Useless);
        self.peer_list.on_useless(ctx.now, address);
    }

    /// Has the least useful peer leave for a `newcomer`, or for whoever is to be dialled, if the last one is long
    /// enough ago. Says whether.
    pub(super) fn make_room(&mut self, ctx: &mut Context<'_>, newcomer: Option<SocketAddr>) -> bool {
        if let Some((_, mute)) = self.mute_to_part_with(ctx.now, newcomer) {
            self.part_with(ctx, mute);
            return true;
        }
        if !self.parting_gate.pass(ctx.now) {
            return false;
        }
        let Some((_, connection)) = self.least_useful(ctx.now) else { return false };
        self.part_with(ctx, connection);
        true
    }
}

fn rank(peer: &PeerConnection, now: Instant) -> Option<Rank> {
    let is_wanted = peer.peer_interested || peer.am_interested;
    let patience = if is_wanted { IDLE_WANTED } else { IDLE_UNWANTED };
    let may_go = now.since(peer.since) >= YOUNG && now.since(peer.last_data) >= patience;
    may_go.then_some((is_wanted, peer.last_data))
}
