//! One budget of slots for the whole session, and room for those who wait.
//!
//! Torrents share one uplink, so they share its slots too: how many peers it can serve well does not depend on how
//! many torrents they are in. Torrents say that something has changed; when the input is dealt with, the choker
//! looks at all of their peers, and each torrent does what it says.

use std::net::SocketAddr;

use super::Session;
use crate::base::limit;
use crate::base::time::Instant;
use crate::engine::action::{CloseReason, Direction};
use crate::engine::choker::{Changes, Standing};
use crate::engine::timers::TimerReason;
use crate::engine::torrent::Torrent;

impl Session {
    /// Grants what torrents wished for while the input was dealt with.
    pub(super) fn grant_wishes(&mut self, now: Instant) {
        for connection in std::mem::take(&mut self.wishes.untaken) {
            let free = self.bandwidth.free_since(connection, Direction::Up);
            if free.is_some_and(|free| now.since(free) >= limit::UNTAKEN) {
                let reason = CloseReason::TakesNothing;
                self.with_member(now, connection, |active, ctx| active.leave(ctx, connection, reason));
            }
        }
        if std::mem::take(&mut self.wishes.room) {
            self.make_room(now, None);
        }
        if std::mem::take(&mut self.wishes.rechoke) {
            self.rechoke(now);
        }
        for (torrent, newcomer) in std::mem::take(&mut self.wishes.newcomers) {
            self.with_active(now, torrent, |active, ctx| active.offer_fast(ctx, newcomer));
        }
        let asked = std::mem::take(&mut self.wishes.asked);
        if !asked.is_empty() {
            asked.into_iter().for_each(|connection| self.bandwidth.on_asked(now, connection));
            self.timers.set(TimerReason::Bandwidth, self.bandwidth.poll_timeout());
        }
    }

    /// Lets the choker decide anew.
    pub(super) fn rechoke(&mut self, now: Instant) {
        let mut standings: Vec<Standing> = Vec::new();
        for active in self.torrents.values_mut().filter_map(Torrent::active_mut) {
            active.add_standings(now, &mut standings);
        }
        for standing in &mut standings {
            // What a limit of ours has held back was not left lying.
            let free = self.bandwidth.free_since(standing.connection, Direction::Up);
            standing.owed = standing.owed.zip(free).map(|(owed, free)| owed.max(free));
        }
        let Changes { choke, unchoke } = self.choker.decide(now, &standings);
        self.timers.set(TimerReason::Choker, self.choker.poll_timeout());
        for connection in choke {
            self.with_member(now, connection, |active, ctx| active.choke(ctx, connection));
        }
        for connection in unchoke {
            self.with_member(now, connection, |active, ctx| active.unchoke(ctx, connection));
        }
    }

    /// Has the least useful peer of all torrents leave for a `newcomer`, or for whoever is to be dialled, if there is
    /// one that may be asked to and the last one is long enough ago. Says whether.
    pub(super) fn make_room(&mut self, now: Instant, newcomer: Option<SocketAddr>) -> bool {
        let active = self.torrents.values().filter_map(Torrent::active);
        let mute = active.filter_map(|active| active.mute_to_part_with(now, newcomer)).min();
        let mut connection = mute.map(|(_, connection)| connection);
        if connection.is_none() && self.parting_gate.pass(now) {
            let active = self.torrents.values().filter_map(Torrent::active);
            let least = active.filter_map(|active| active.least_useful(now)).min();
            connection = least.map(|(_, connection)| connection);
        }
        let Some(connection) = connection else { return false };
        self.with_member(now, connection, |active, ctx| active.part_with(ctx, connection));
        true
    }
}
