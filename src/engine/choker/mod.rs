//! Who is served: choking and unchoking (BEP 3), by what peers give or take.
//!
//! Decides only that. Who a peer is, what it wants and how fast it is are plain facts that the caller brings
//! to every call ([`Standing`]), so that a choker can serve the peers of one torrent or of many. The rules:
//!
//! - A round is held every 10 s. The interested peers with the best rate over the last 20 s have the regular
//!   slots: while we leech by what they give us, while we seed by what they take. Whoever gives (or takes)
//!   nothing has no claim to one. Those of torrents that we leech come first: what they give depends on it.
//! - One slot more, and every regular slot that nobody has a claim to, is for trying peers out
//!   (optimistic unchoke). A turn lasts 30 s at least, unless somebody has a claim to the slot, and every 30 s one ends:
//!   of those that are over that of whoever took least, so that large pieces come whole. Whoever has proved itself by
//!   then has a claim. Newcomers are three times as likely to be tried.
//! - A free slot is taken at once. A peer that wants nothing keeps its unchoke only until somebody waits,
//!   and so does one that asks for nothing for 30 s.
//! - Whoever takes nothing for 20 s of what it has asked for, though we would send it, gives its seat up to
//!   whoever waits, and comes behind all others: until it takes something, or for five minutes. One that gives
//!   while we leech has its slot for that. Before that, from the third second on, its seat counts for nothing, and
//!   somebody else has one in addition: many that only ask cannot take turns at keeping the rest out.
//! - No peer is choked and unchoked within 10 s.
//! - Peers that will never want anything (BEP 21) have no slot.
//!
//! As long as nobody waits there is nothing to decide, and no round is held.

mod slots;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::input::ConnectionId;
use super::settings::Slots;
use crate::base::random::Rng;
use crate::base::rate::ByteRate;
use crate::base::time::{Duration, Instant};
use slots::SlotCount;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(10);
/// Time between two changes of those that are tried out, and the shortest turn.
const ROTATION: Duration = Duration::from_secs(30);
/// A peer is not unchoked so soon after a choke, nor choked so soon after an unchoke.
const NO_CHANGE_WITHIN: Duration = Duration::from_secs(10);
/// A peer that asks for nothing for so long does not need its slot.
const IDLE_AFTER: Duration = Duration::from_secs(30);
/// A peer that lets what it asked for lie for so long does not need its seat either.
const UNTAKEN_AFTER: Duration = Duration::from_secs(20);
/// The seat of one that lets it lie for so long is no longer counted.
const STUCK_AFTER: Duration = Duration::from_secs(3);
/// It comes behind all others for so long: a line may have been down, and nobody is to starve.
const LAST_FOR: Duration = Duration::from_secs(5 * 60);
/// How many times as likely a newcomer is to be tried.
const NEWCOMER_WEIGHT: usize = 3;

/// What a choker is told of a peer.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Which peer.
    pub connection: ConnectionId,
    /// Whether it wants something of ours.
    pub is_interested: bool,
    /// Whether it has everything, or says that it will never want anything (BEP 21).
    pub is_upload_only: bool,
    /// Whether we have everything of its torrent: then what it takes counts, not what it gives.
    pub are_we_seed: bool,
    /// What it gave us over the last 20 s.
    pub given: ByteRate,
    /// What it took over the last 20 s.
    pub taken: ByteRate,
    /// All payload that was ever sent to it, bytes.
    pub sent: u64,
    /// When it connected.
    pub since: Instant,
    /// Whether it is unchoked.
    pub is_unchoked: bool,
    /// When it was choked or unchoked last while it wanted something, if ever.
    pub changed: Option<Instant>,
    /// When it asked for something last, or was unchoked.
    pub asked: Instant,
    /// Since when we would have sent it what it has asked for, and it has taken none; `None` when nothing waits
    /// for it, or only for a limit of ours.
    pub owed: Option<Instant>,
    /// When it took something last.
    pub took: Option<Instant>,
}

impl Standing {
    /// What counts for it in a round.
    fn rate(&self) -> ByteRate {
        if self.are_we_seed { self.taken } else { self.given }
    }

    fn may_have_slot(&self) -> bool {
        self.is_interested && !self.is_upload_only
    }

    fn is_waiting(&self) -> bool {
        self.may_have_slot() && !self.is_unchoked
    }

    fn has_slot(&self) -> bool {
        self.may_have_slot() && self.is_unchoked
    }

    /// When its choking may change again.
    fn may_change_at(&self) -> Instant {
        self.changed.map_or(Instant::ZERO, |changed| changed + NO_CHANGE_WITHIN)
    }

    fn may_change(&self, now: Instant) -> bool {
        self.may_change_at() <= now
    }

    fn is_idle(&self, now: Instant) -> bool {
        now.since(self.asked) >= IDLE_AFTER
    }

    /// When it will have taken nothing for too long, if it takes nothing until then.
    fn untaken_at(&self) -> Option<Instant> {
        Some(self.untaken_since()? + UNTAKEN_AFTER)
    }

    /// Since when it has a seat, is owed something and takes nothing, if it does not give either.
    fn untaken_since(&self) -> Option<Instant> {
        let is_for_giving = !self.are_we_seed && self.given > ByteRate(0);
        let owed = self.owed.filter(|_| self.has_slot() && !is_for_giving)?;
        Some(self.changed.map_or(owed, |changed| owed.max(changed)))
    }

    /// When its seat counts for nothing any more, if it takes nothing until then.
    fn stuck_at(&self) -> Option<Instant> {
        Some(self.untaken_since()? + STUCK_AFTER)
    }

    fn lets_lie(&self, now: Instant) -> bool {
        self.untaken_at().is_some_and(|at| at <= now)
    }
}

/// What is to change.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Changes {
    /// Whom to choke; to be done first.
    pub choke: Vec<ConnectionId>,
    /// Whom to unchoke.
    pub unchoke: Vec<ConnectionId>,
}

/// Decides who is served.
#[derive(Debug)]
pub struct Choker {
    slots: SlotCount,
    rng: Rng,
    /// Peers that have their slot to be tried out, and since when.
    tried: BTreeMap<ConnectionId, Instant>,
    /// Peers that come behind all others, and since when.
    last: BTreeMap<ConnectionId, Instant>,
    last_round: Option<Instant>,
    /// When a turn ended last.
    last_rotation: Instant,
    next: Option<Instant>,
}

impl Choker {
    /// A choker that serves nobody yet.
    pub fn new(slots: Slots, rng: Rng) -> Choker {
        Choker {
            slots: SlotCount::new(slots),
            rng,
            tried: BTreeMap::new(),
            last: BTreeMap::new(),
            last_round: None,
            last_rotation: Instant::ZERO,
            next: None,
        }
    }

    /// When to call [`Choker::decide`], if nothing happens before; `None` while nobody waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Decides anew: to be called when the time of [`Choker::poll_timeout`] has come, a peer begins or ceases
    /// to be interested, or one that was unchoked is gone. `peers` are all there are.
    pub fn decide(&mut self, now: Instant, peers: &[Standing]) -> Changes {
        let is_anybody_waiting = peers.iter().any(Standing::is_waiting);
        if !is_anybody_waiting {
            self.next = None;
            return Changes::default();
        }
        let holders: BTreeSet<ConnectionId> =
            peers.iter().filter(|peer| peer.has_slot()).map(|peer| peer.connection).collect();
        self.put_last(now, peers);
        self.tried.retain(|tried, _| holders.contains(tried) && !self.last.contains_key(tried));
        let is_round = self.last_round.is_none_or(|last| last + ROUND <= now);
        let served = if is_round { self.hold_round(now, peers) } else { self.fill(now, peers) };
        self.set_next(now, peers, &served);
        changes(now, peers, &served)
    }

    /// How many may be unchoked at once: with no regular slot, nobody is tried out either. Those that take nothing
    /// are not counted.
    fn seats(&self, now: Instant, peers: &[Standing]) -> usize {
        let is_stuck = |peer: &&Standing| peer.stuck_at().is_some_and(|at| at <= now);
        match self.slots.count() {
            0 => 0,
            count => count + 1 + peers.iter().filter(is_stuck).count(),
        }
    }

    fn hold_round(&mut self, now: Instant, peers: &[Standing]) -> Served {
        self.last_round = Some(now);
        self.slots.on_round(now, peers);
        let mut served = Served::new(self.seats(now, peers));
        let fresh = peers.iter().filter(|peer| peer.has_slot() && !peer.may_change(now));
        fresh.for_each(|peer| served.add_beyond(peer.connection));
        for idle in peers.iter().filter(|peer| peer.is_idle(now)) {
            self.tried.remove(&idle.connection);
        }
        let mut tried = self.tried_in_order(now, peers);
        // Whoever has the seat beside the regular slots does not compete for those before its turn is over: else the
        // one whose place it took would have to go, and so would the next, one a round where all take much the same.
        let has_seat = |tried| served.has_only(tried);
        let beside = tried.first().filter(|(is_over, _, tried)| !is_over && has_seat(*tried));
        let beside = beside.map(|(.., tried)| *tried);
        let regular = regular(now, peers, self.slots.count(), beside);
        regular.iter().for_each(|regular| served.add(*regular));
        let mut is_over = tried.iter().any(|(is_over, _, tried)| *is_over && regular.contains(tried));
        tried.retain(|(.., tried)| !regular.contains(tried));
        if !is_over && self.last_rotation + ROTATION <= now {
            is_over = tried.pop_if(|(is_over, ..)| *is_over).is_some();
        }
        self.tried.retain(|peer, _| tried.iter().any(|(.., tried)| tried == peer));
        tried.iter().for_each(|(.., tried)| served.add(*tried));
        self.share_out(now, peers, &mut served);
        if is_over {
            // Whoever came since the last turn ended was a newcomer in this draw.
            self.last_rotation = now;
        }
        served
    }

    /// Those that are tried out, the last of whom is the first to give way: whose turn is over come after the
    /// others, whoever takes least after those who take more.
    fn tried_in_order(&self, now: Instant, peers: &[Standing]) -> Vec<Tried> {
        let tried = peers.iter().filter_map(|peer| {
            let drawn = *self.tried.get(&peer.connection)?;
            Some((drawn + ROTATION <= now, Reverse((peer.taken, drawn)), peer.connection))
        });
        let mut tried: Vec<Tried> = tried.collect();
        tried.sort_unstable();
        tried
    }

    /// Between rounds: whoever has a slot and a use for it keeps it, and what is free is taken.
    fn fill(&mut self, now: Instant, peers: &[Standing]) -> Served {
        let mut served = Served::new(self.seats(now, peers));
        let keeps = |peer: &&Standing| peer.has_slot() && !(self.is_last(peer) && peer.may_change(now));
        peers.iter().filter(keeps).for_each(|peer| served.add_beyond(peer.connection));
        self.share_out(now, peers, &mut served);
        served
    }

    /// Finds out who comes behind all others.
    fn put_last(&mut self, now: Instant, peers: &[Standing]) {
        let mut last = BTreeMap::new();
        for peer in peers {
            let before = self.last.get(&peer.connection).copied();
            let is_still =
                |since: &Instant| peer.took.is_none_or(|took| took <= *since) && now.since(*since) < LAST_FOR;
            let since = if peer.lets_lie(now) { Some(now) } else { before.filter(is_still) };
            last.extend(since.map(|since| (peer.connection, since)));
        }
        self.last = last;
    }

    fn is_last(&self, peer: &Standing) -> bool {
        self.last.contains_key(&peer.connection)
    }

    /// Gives the seats that are left: to peers that wait, to those that have one so far, and last to those that
    /// come behind all others.
    fn share_out(&mut self, now: Instant, peers: &[Standing], served: &mut Served) {
        self.draw(now, peers, served, false);
        served.add_rest(peers);
        self.draw(now, peers, served, true);
    }

    /// Gives the seats that are left to peers that wait, at random: those that come last, or the others.
    fn draw(&mut self, now: Instant, peers: &[Standing], served: &mut Served, last: bool) {
        let is_drawn =
            |peer: &&Standing| peer.is_waiting() && peer.may_change(now) && self.is_last(peer) == last;
        let mut waiting: Vec<&Standing> =
            peers.iter().filter(is_drawn).filter(|peer| !served.has(peer.connection)).collect();
        let weight = |peer: &Standing| if peer.since >= self.last_rotation { NEWCOMER_WEIGHT } else { 1 };
        while served.has_room() && !waiting.is_empty() {
            let mut ticket = self.rng.below(waiting.iter().map(|peer| weight(peer)).sum());
            let drawn = waiting.iter().position(|peer| {
                let is_it = ticket < weight(peer);
                ticket = ticket.saturating_sub(weight(peer));
                is_it
            });
            let Some(drawn) = drawn else { return };
            let peer = waiting.remove(drawn);
            served.add(peer.connection);
            self.tried.insert(peer.connection, now);
        }
    }

    fn set_next(&mut self, now: Instant, peers: &[Standing], served: &Served) {
        let left = || peers.iter().filter(|peer| peer.may_have_slot() && !served.has(peer.connection));
        if self.slots.count() == 0 || left().next().is_none() {
            self.next = None;
            return;
        }
        let round = self.last_round.map_or(now, |last| last + ROUND);
        // Seats are left only for peers that were choked a moment ago.
        let change = left().map(Standing::may_change_at).min().filter(|at| served.has_room() && *at > now);
        let holders = peers.iter().filter(|peer| served.has(peer.connection));
        let untaken = holders.flat_map(|peer| [peer.stuck_at(), peer.untaken_at()]);
        let untaken = untaken.flatten().filter(|at| *at > now).min();
        self.next = [change, untaken].into_iter().flatten().chain([round]).min();
    }
}

/// The peers that have a claim to a regular slot, the best first, but for one that has another seat. Among equals
/// whoever has one keeps it.
fn regular(
    now: Instant,
    peers: &[Standing],
    slots: usize,
    except: Option<ConnectionId>,
) -> Vec<ConnectionId> {
    let has_claim = |peer: &&Standing| {
        let is_possible = peer.has_slot() && !peer.is_idle(now) || peer.is_waiting() && peer.may_change(now);
        is_possible && peer.rate() > ByteRate(0) && Some(peer.connection) != except
    };
    let mut regular: Vec<&Standing> = peers.iter().filter(has_claim).collect();
    let order =
        |peer: &&Standing| (peer.are_we_seed, Reverse(peer.rate()), !peer.is_unchoked, peer.connection);
    regular.sort_by_key(order);
    regular.iter().take(slots).map(|peer| peer.connection).collect()
}

/// Whether its turn is over, what it takes and when it was drawn, the best first, and who it is.
type Tried = (bool, Reverse<(ByteRate, Instant)>, ConnectionId);

/// Who is to be unchoked from here on.
struct Served {
    seats: usize,
    peers: BTreeSet<ConnectionId>,
}

impl Served {
    fn new(seats: usize) -> Served {
        Served { seats, peers: BTreeSet::new() }
    }

    fn has(&self, peer: ConnectionId) -> bool {
        self.peers.contains(&peer)
    }

    /// Whether nobody else is served so far.
    fn has_only(&self, peer: ConnectionId) -> bool {
        self.peers.iter().all(|served| *served == peer)
    }

    fn has_room(&self) -> bool {
        self.peers.len() < self.seats
    }

    fn add(&mut self, peer: ConnectionId) {
        if self.has_room() {
            self.peers.insert(peer);
        }
    }

    /// Adds a peer that must not be choked yet, whether there is room or not.
    fn add_beyond(&mut self, peer: ConnectionId) {
        self.peers.insert(peer);
    }

    /// Lets whoever is unchoked stay so while there is room: first those that have a use for it.
    fn add_rest(&mut self, peers: &[Standing]) {
        for wants in [true, false] {
            let unchoked = peers.iter().filter(|peer| peer.is_unchoked && peer.has_slot() == wants);
            unchoked.for_each(|peer| self.add(peer.connection));
        }
    }
}

/// The changes that lead to `served`. One that wants nothing may be choked at any time.
fn changes(now: Instant, peers: &[Standing], served: &Served) -> Changes {
    let is_choked = |peer: &&Standing| {
        peer.is_unchoked && !served.has(peer.connection) && (!peer.has_slot() || peer.may_change(now))
    };
    let is_freed = |peer: &&Standing| !peer.is_unchoked && served.has(peer.connection);
    let names = |peer: &Standing| peer.connection;
    Changes {
        choke: peers.iter().filter(is_choked).map(names).collect(),
        unchoke: peers.iter().filter(is_freed).map(names).collect(),
    }
}
