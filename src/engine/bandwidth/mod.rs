//! Rate limits: who may move how many bytes when.
//!
//! One tree of allowances for each direction: the session's, each torrent's, and under them the connections. Limits
//! stand at the upper two; what they let through is shared among connections. The rules:
//!
//! - Shared is what fills up, at most every 50 ms, and only when somebody has used something. Nothing is limited,
//!   nothing is counted: a connection under no limit is allowed everything at once, and no timer runs.
//! - Max-min fair: whoever has run out has a claim to an equal share; whoever has not is only given back what it
//!   used lately, so what one does not use goes to the others. When there is not enough for all, those who
//!   waited longest come first, so that nobody is given less than a block at a time.
//! - Every connection may read a little at once (`FLOAT`), so that small messages never wait for payload: that is as
//!   free as the handshake, or whoever comes again and again would use up what is for others. Up, messages wait for
//!   nothing, and a newcomer holds nothing: it has a claim when it has asked for a block.
//! - What is given is taken from the allowances at once, and what a connection leaves behind goes back: over any
//!   time, no more moves than the limit, a burst of a quarter of a second, and what connections held before. So
//!   somebody who connects anew for each block takes his turn like those who stay.
//!
//! Counted are the bytes of the peer wire after the handshake: payload, headers and messages. What TCP and IP
//! add is not, nor are trackers. Who counts the bytes says so by
//! [`Input::Moved`](crate::engine::input::Input::Moved).

mod bucket;
mod credit;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::action::Direction;
use super::input::ConnectionId;
use super::order::TorrentId;
use super::settings::Limits;
use crate::base::layout::BLOCK_LENGTH;
use crate::base::time::{Duration, Instant};
use bucket::Bucket;
pub use credit::Credit;

/// Between two rounds of sharing.
const TICK: Duration = Duration::from_millis(50);
/// What is worth giving: a block and its header, bytes.
const QUANTUM: u64 = BLOCK_LENGTH as u64 + 13;
/// What a connection holds that uses nothing, bytes.
const FLOAT: u64 = 2048;

/// What a connection is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// To whom.
    pub connection: ConnectionId,
    /// Which way.
    pub direction: Direction,
    /// How many more; [`u64::MAX`]: no limit.
    pub bytes: u64,
}

/// The allowances of a session.
#[derive(Debug)]
pub struct Bandwidth {
    meters: [Meter; 2],
}

const DIRECTIONS: [Direction; 2] = [Direction::Down, Direction::Up];

impl Bandwidth {
    /// The allowances under `limits` for a whole session.
    pub fn new(now: Instant, limits: Limits) -> Bandwidth {
        let meter = |direction| Meter::new(limits.of(direction).map(|rate| Bucket::new(now, rate)));
        Bandwidth { meters: DIRECTIONS.map(meter) }
    }

    /// Limits one torrent too. Connections that it has already are not counted.
    pub fn limit_torrent(&mut self, now: Instant, torrent: TorrentId, limits: Limits) {
        for (meter, direction) in self.meters.iter_mut().zip(DIRECTIONS) {
            if let Some(rate) = limits.of(direction) {
                meter.torrents.insert(torrent, Bucket::new(now, rate));
            }
        }
    }

    /// A connection joined a torrent; `is_free`: it is not to be counted. What it is given at first.
    pub fn on_joined(&mut self, connection: ConnectionId, torrent: TorrentId, is_free: bool) -> [Grant; 2] {
        DIRECTIONS.map(|direction| {
            let float = if direction == Direction::Down { FLOAT } else { 0 };
            let bytes = self.meters[direction as usize].join(connection, torrent, is_free, float);
            Grant { connection, direction, bytes }
        })
    }

    /// A connection has asked for blocks.
    pub fn on_asked(&mut self, now: Instant, connection: ConnectionId) {
        self.meters[Direction::Up as usize].ask(now, connection);
    }

    /// A connection is gone.
    pub fn on_left(&mut self, connection: ConnectionId) {
        self.meters.iter_mut().for_each(|meter| meter.leave(connection));
    }

    /// A connection has used so much.
    pub fn on_moved(&mut self, now: Instant, connection: ConnectionId, direction: Direction, bytes: u64) {
        self.meters[direction as usize].spend(now, connection, bytes);
    }

    /// When to call [`Bandwidth::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.meters.iter().filter_map(|meter| meter.next).min()
    }

    /// Shares what has filled up.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Grant> {
        let mut grants = Vec::new();
        for (meter, direction) in self.meters.iter_mut().zip(DIRECTIONS) {
            if meter.next.is_some_and(|next| next <= now) {
                let given = meter.share(now).into_iter();
                grants.extend(given.map(|(connection, bytes)| Grant { connection, direction, bytes }));
            }
        }
        grants
    }

    /// Since when no limit has held a connection back; `None` while one does.
    pub fn free_since(&self, connection: ConnectionId, direction: Direction) -> Option<Instant> {
        let Some(member) = self.meters[direction as usize].members.get(&connection) else {
            return Some(Instant::ZERO);
        };
        (member.held > 0).then_some(member.free_since)
    }

    /// Whether one of a torrent's connections could move more, were it not for a limit.
    pub fn is_holding_back(&self, torrent: TorrentId, direction: Direction) -> bool {
        let members = self.meters[direction as usize].members.values();
        members.filter(|member| member.torrent == torrent).any(Member::is_waiting)
    }
}

/// One direction.
#[derive(Debug)]
struct Meter {
    session: Option<Bucket>,
    /// Those that have a limit of their own.
    torrents: BTreeMap<TorrentId, Bucket>,
    members: BTreeMap<ConnectionId, Member>,
    next: Option<Instant>,
    last_round: Option<Instant>,
    rounds: u64,
}

/// A connection that is counted.
#[derive(Debug)]
struct Member {
    torrent: TorrentId,
    /// Given and not used, bytes; below zero when it used more.
    held: i64,
    /// What it held at first, bytes: that was not taken from the allowances.
    float: i64,
    /// Whether it could use what it is given: else it only pays for messages.
    has_use: bool,
    /// Whether it was given anything since it joined.
    has_share: bool,
    /// Used since the last round, bytes.
    used: u64,
    /// The round in which it was given something last.
    round: u64,
    /// When it was given something after it had run out.
    free_since: Instant,
}

impl Member {
    /// Whether it could move more, were it not for a limit.
    fn is_waiting(&self) -> bool {
        self.held <= 0 && self.has_use
    }
}

/// What a member could do with, and in the end gets.
struct Claim {
    connection: ConnectionId,
    torrent: TorrentId,
    bytes: u64,
    round: u64,
}

impl Meter {
    fn new(session: Option<Bucket>) -> Meter {
        Meter {
            session,
            torrents: BTreeMap::new(),
            members: BTreeMap::new(),
            next: None,
            last_round: None,
            rounds: 0,
        }
    }

    fn join(&mut self, connection: ConnectionId, torrent: TorrentId, is_free: bool, float: u64) -> u64 {
        if is_free || (self.session.is_none() && !self.torrents.contains_key(&torrent)) {
            return u64::MAX;
        }
        let member = Member {
            torrent,
            held: float as i64,
            float: float as i64,
            has_use: float > 0,
            has_share: false,
            used: 0,
            round: self.rounds,
            free_since: Instant::ZERO,
        };
        self.members.insert(connection, member);
        float
    }

    fn ask(&mut self, now: Instant, connection: ConnectionId) {
        let Some(member) = self.members.get_mut(&connection) else { return };
        member.has_use = true;
        if member.held <= 0 {
            let torrent = member.torrent;
            self.arm(now, torrent);
        }
    }

    fn leave(&mut self, connection: ConnectionId) {
        let Some(member) = self.members.remove(&connection) else { return };
        // What was never paid for is nobody's debt: it was the float, or messages.
        let left =
            if member.held > 0 { member.held.saturating_sub(member.float).max(0) } else { member.held };
        if member.has_share {
            self.take(member.torrent, left.saturating_neg());
        }
    }

    fn spend(&mut self, now: Instant, connection: ConnectionId, bytes: u64) {
        let Some(member) = self.members.get_mut(&connection) else { return };
        member.held = member.held.saturating_sub_unsigned(bytes);
        member.used = member.used.saturating_add(bytes);
        let torrent = member.torrent;
        self.arm(now, torrent);
    }

    /// Has a round held as soon as there is something to share for a torrent.
    fn arm(&mut self, now: Instant, torrent: TorrentId) {
        let round = self.last_round.map_or(now, |last| now.max(last + TICK)).max(self.ready_at(torrent));
        self.next = Some(self.next.map_or(round, |next| next.min(round)));
    }

    fn take(&mut self, torrent: TorrentId, bytes: i64) {
        let buckets = self.session.iter_mut().chain(self.torrents.get_mut(&torrent));
        buckets.for_each(|bucket| bucket.take(bytes));
    }

    /// A round: who gets how much.
    fn share(&mut self, now: Instant) -> Vec<(ConnectionId, u64)> {
        self.rounds += 1;
        self.last_round = Some(now);
        self.session.iter_mut().chain(self.torrents.values_mut()).for_each(|bucket| bucket.fill(now));
        let mut claims = self.claims();
        for (torrent, bucket) in &self.torrents {
            cut(claims.iter_mut().filter(|claim| claim.torrent == *torrent).collect(), bucket.available());
        }
        if let Some(session) = &self.session {
            cut(claims.iter_mut().filter(|claim| claim.bytes > 0).collect(), session.available());
        }
        claims.retain(|claim| claim.bytes > 0);
        for claim in &claims {
            self.take(claim.torrent, i64::try_from(claim.bytes).unwrap_or(i64::MAX));
            if let Some(member) = self.members.get_mut(&claim.connection) {
                if member.held <= 0 {
                    member.free_since = now;
                }
                member.held = member.held.saturating_add_unsigned(claim.bytes);
                member.round = self.rounds;
                member.has_share = true;
            }
        }
        // The others say so once they have used what they hold.
        let waiting = self.members.values().filter(|member| member.is_waiting() || member.held < 0);
        self.next = waiting.map(|member| self.ready_at(member.torrent).max(now + TICK)).min();
        claims.into_iter().map(|claim| (claim.connection, claim.bytes)).collect()
    }

    /// What each could do with: all there is if it has run out, what it owes if it could not use more, else what it
    /// used since the last round, twice, so that it never runs out while it is not the limit that holds it back.
    fn claims(&mut self) -> Vec<Claim> {
        let mut claims = Vec::new();
        for (&connection, member) in &mut self.members {
            let used = std::mem::take(&mut member.used);
            let wanted = FLOAT.saturating_add(used.saturating_mul(2));
            let bytes = match u64::try_from(member.held) {
                Ok(held) if held > 0 => wanted.saturating_sub(held),
                _ if member.has_use => u64::MAX,
                _ => member.held.unsigned_abs(),
            };
            if bytes > 0 {
                claims.push(Claim { connection, torrent: member.torrent, bytes, round: member.round });
            }
        }
        claims
    }

    /// When a connection of a torrent can be given something worth it.
    fn ready_at(&self, torrent: TorrentId) -> Instant {
        let buckets = self.session.iter().chain(self.torrents.get(&torrent));
        buckets.map(Bucket::ready_at).max().unwrap_or(Instant::ZERO)
    }
}

/// Cuts claims down to what is available, in equal shares.
fn cut(mut claims: Vec<&mut Claim>, available: u64) {
    claims.sort_by_key(|claim| (claim.round, claim.connection));
    let count = claims.len().min(usize::try_from(available / QUANTUM).unwrap_or(usize::MAX));
    let (served, waiting) = claims.split_at_mut(count);
    waiting.iter_mut().for_each(|claim| claim.bytes = 0);
    served.sort_by_key(|claim| claim.bytes);
    let mut left = available;
    for (at, claim) in served.iter_mut().enumerate() {
        claim.bytes = claim.bytes.min(left / (count - at) as u64);
        left -= claim.bytes;
    }
}
