//! One torrent: composes its peers, picker, peer list, announcer and pieces under way.
//!
//! A torrent is opened (what is on disk?), checked, and then active: it dials peers, asks for pieces, serves
//! those that it has, and is complete when every piece is verified and written. The parts are in files of
//! their own:
//!
//! - `opening`: what is on disk, `conflict`: what stands in the way before anything is written
//! - `active`: how it starts and stops to trade, and when it wakes
//! - `members`: peers join, speak and leave
//! - `parting`: who leaves when others wait
//! - `requests`: what each peer is asked for, `request_budget`: how much under a limit
//! - `pieces`: blocks go to disk and come back as pieces
//! - `news`: peers are told of pieces that became ours
//! - `full_disk`: what waits while there is no space
//! - `lost_files`: what a seed can no longer read
//! - `uploads`: who is served, `fast_offers`: what those get who are not
//! - `suggestions`: which pieces a seed would rather send, `super_seed`: which alone it shows, if asked to
//! - `discovery`: trackers and dials
//! - `recovery`: the network comes back, or the program does
//! - `view`: what people see
//!
//! What concerns only a torrent that trades, the session says to that ([`Torrent::when_active`]); here is what
//! depends on the state, and what changes it.

mod active;
mod conflict;
mod context;
mod discovery;
mod fast_offers;
mod full_disk;
mod lost_files;
mod members;
mod news;
mod opening;
mod parting;
mod piece_buffer;
mod pieces;
mod recovery;
mod request_budget;
mod requests;
mod suggestions;
mod super_seed;
mod uploads;
mod view;

use std::net::SocketAddr;

use super::action::Action;
use super::disk_job::{DiskJob, DiskResult};
use super::notice::{Notice, TorrentFailure};
use super::order::{TorrentId, TorrentSpec};
use super::snapshot::{Detail, Phase, TorrentSnapshot};
use crate::base::hash::Sha1Hash;
use crate::base::random::Rng;
use crate::base::time::Instant;

pub(super) use active::Active;
pub(super) use context::{Context, DialEnd, Names, Room, Wishes};
use opening::{Opening, Step};
pub(super) use parting::PartingGate;
pub(super) use request_budget::Asking;

/// One torrent of a session.
pub(super) struct Torrent {
    id: TorrentId,
    state: State,
}

/// Exactly one of these; changed only in this file.
enum State {
    /// Looking at and checking what is on disk.
    Opening(Box<Opening>),
    /// Trading.
    Active(Box<Active>),
    /// It cannot go on; what was shown last stays.
    Ended(Box<TorrentSnapshot>),
}

impl Torrent {
    /// A torrent whose data is looked for at once.
    pub(super) fn new(ctx: &mut Context<'_>, id: TorrentId, spec: TorrentSpec, rng: Rng) -> Torrent {
        ctx.actions.push_back(Action::Disk(DiskJob::Open { torrent: id }));
        Torrent { id, state: State::Opening(Box::new(Opening::new(id, spec, rng))) }
    }

    /// Itself, if it trades.
    pub(super) fn active(&self) -> Option<&Active> {
        match &self.state {
            State::Active(active) => Some(active),
            State::Opening(_) | State::Ended(_) => None,
        }
    }

    /// Itself, if it trades, for what cannot be the last thing that it does.
    pub(super) fn active_mut(&mut self) -> Option<&mut Active> {
        match &mut self.state {
            State::Active(active) => Some(active),
            State::Opening(_) | State::Ended(_) => None,
        }
    }

    /// Runs `act` on it if it trades. It ends if that was the last thing that it had to do.
    pub(super) fn when_active<R>(
        &mut self,
        ctx: &mut Context<'_>,
        act: impl FnOnce(&mut Active, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let result = act(self.active_mut()?, ctx);
        self.end_if_stopped(ctx);
        Some(result)
    }

    /// Whether a handshake with this info-hash is meant for it.
    pub(super) fn matches(&self, info_hash: Sha1Hash) -> bool {
        match &self.state {
            State::Opening(opening) => opening.spec().info_hashes.matches(info_hash),
            State::Active(active) => active.spec().info_hashes.matches(info_hash),
            State::Ended(_) => false,
        }
    }

    /// People name peers.
    pub(super) fn add_peers(&mut self, ctx: &mut Context<'_>, addresses: &[SocketAddr]) {
        match &mut self.state {
            State::Opening(opening) => opening.add_peers(addresses),
            State::Active(active) => active.add_peers(ctx, addresses),
            State::Ended(_) => {}
        }
    }

    /// A disk job is done.
    pub(super) fn on_disk_finished(&mut self, ctx: &mut Context<'_>, result: DiskResult) {
        match &mut self.state {
            State::Opening(opening) => match opening.on_disk_finished(ctx, result) {
                Step::Wait => {}
                Step::Ready => self.activate(ctx),
                Step::Failed(failure) => self.end(ctx, Some(failure)),
            },
            State::Active(active) => active.on_disk_finished(ctx, result),
            State::Ended(_) => {}
        }
        self.end_if_stopped(ctx);
    }

    /// Stop: a notice follows once the trackers are told.
    pub(super) fn stop(&mut self, ctx: &mut Context<'_>) {
        match &mut self.state {
            State::Opening(_) => self.end(ctx, None),
            State::Active(active) => active.stop(ctx),
            State::Ended(_) => ctx.notify(Notice::Stopped { torrent: self.id }),
        }
        self.end_if_stopped(ctx);
    }

    /// When it wants to be woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.active()?.deadline()
    }

    /// What people see.
    pub(super) fn snapshot(&self, now: Instant, detail: Detail) -> TorrentSnapshot {
        match &self.state {
            State::Opening(opening) => opening.snapshot(now),
            State::Active(active) => active.snapshot(now, detail),
            State::Ended(last) => (**last).clone(),
        }
    }

    fn activate(&mut self, ctx: &mut Context<'_>) {
        let State::Opening(opening) = &mut self.state else { return };
        let mut active = Box::new(Active::new(ctx, opening));
        ctx.notify(Notice::Checked {
            torrent: self.id,
            have: active.have().count(),
            pieces: active.have().len(),
        });
        active.start(ctx);
        self.state = State::Active(active);
    }

    fn end_if_stopped(&mut self, ctx: &mut Context<'_>) {
        let Some(active) = self.active_mut().filter(|active| active.is_stopped()) else { return };
        let failure = active.failure.take().map(TorrentFailure::Disk);
        self.end(ctx, failure);
    }

    fn end(&mut self, ctx: &mut Context<'_>, failure: Option<TorrentFailure>) {
        let torrent = self.id;
        let (phase, notice) = match failure {
            Some(failure) => (Phase::Failed, Notice::Failed { torrent, failure }),
            None => (Phase::Stopped, Notice::Stopped { torrent }),
        };
        let last = TorrentSnapshot { phase, waiting: None, ..self.snapshot(ctx.now, Detail::Totals) };
        self.state = State::Ended(Box::new(last));
        ctx.actions.push_back(Action::Disk(DiskJob::Close { torrent }));
        ctx.notify(notice);
    }
}
