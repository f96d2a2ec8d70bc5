//! One torrent: composes its peers, picker, peer list, announcer and pieces under way.
//!
//! A torrent is opened (what is on disk?), checked, and then active: it dials peers, asks for pieces, serves
//! those that it has, and is complete when every piece is verified and written. The parts are in files of
//! their own:
//!
//! - `conflict`: what stands in the way before anything is written
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
//! Questions to the session are arguments (`Context`); what is to be done is pushed to its actions.

mod active;
mod conflict;
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

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::action::{Action, CloseReason};
use super::choker::Standing;
use super::disk_job::{DiskError, DiskJob, DiskResult};
use super::input::{ConnectionId, DialId, FetchId, HttpAnswer, HttpFailure, Origin};
use super::notice::{Missing, Notice, TorrentFailure};
use super::order::{TorrentId, TorrentSpec};
use super::settings::Settings;
use super::snapshot::{Detail, Phase, TorrentSnapshot};
use crate::base::bitfield::Bitfield;
use crate::base::hash::Sha1Hash;
use crate::base::index::{BlockRequest, FileIndex};
use crate::base::peer_id::PeerId;
use crate::base::random::Rng;
use crate::base::time::Instant;
use crate::wire::peer::{Handshake, Message};

use active::Active;
use opening::{Opening, Step};
pub(super) use parting::PartingGate;
pub(super) use request_budget::Asking;

/// What a torrent may use of its session while it handles something.
pub(super) struct Context<'a> {
    /// The time.
    pub(super) now: Instant,
    /// The session's choices.
    pub(super) settings: &'a Settings,
    /// Where actions go.
    pub(super) actions: &'a mut VecDeque<Action>,
    /// How we call ourselves.
    pub(super) peer_id: PeerId,
    /// How many more connections and dials the session has room for.
    pub(super) room: &'a mut Room,
    /// Names for dials and requests.
    pub(super) names: &'a mut Names,
    /// What it wishes of the session.
    pub(super) wishes: &'a mut Wishes,
    /// What the other torrents' peers are asked for, if the rate is limited.
    pub(super) asked_elsewhere: Asking,
}

impl Context<'_> {
    fn notify(&mut self, notice: Notice) {
        self.actions.push_back(Action::Notify(Box::new(notice)));
    }

    fn send(&mut self, connection: ConnectionId, message: Message) {
        self.actions.push_back(Action::Send { connection, message });
    }

    fn close(&mut self, connection: ConnectionId, reason: CloseReason) {
        self.actions.push_back(Action::Close { connection, reason });
    }
}

/// What is left of the session's budgets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Connections that may still be opened, dials under way counted as open.
    pub(super) connections: usize,
    /// Dials that may still be started.
    pub(super) dials: usize,
}

/// What torrents wish of their session; granted when the input is dealt with.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// That the choker decides anew.
    pub(super) rechoke: bool,
    /// That these, if they are choked still, are offered something meanwhile.
    pub(super) newcomers: Vec<(TorrentId, ConnectionId)>,
    /// That a place becomes free in some torrent: all of the session's are taken, and there is somebody to dial.
    pub(super) room: bool,
}

/// The next free names, and whose the given ones are.
#[derive(Debug, Default)]
pub(super) struct Names {
    next_dial: u32,
    next_fetch: u32,
    /// Dials begun since the session last looked.
    pub(super) dials: Vec<(DialId, SocketAddr)>,
    /// Fetches begun since the session last looked.
    pub(super) fetches: Vec<FetchId>,
}

impl Names {
    fn dial(&mut self, address: SocketAddr) -> DialId {
        let dial = DialId(self.next_dial);
        self.next_dial = self.next_dial.wrapping_add(1);
        self.dials.push((dial, address));
        dial
    }

    fn fetch(&mut self) -> FetchId {
        let fetch = FetchId(self.next_fetch);
        self.next_fetch = self.next_fetch.wrapping_add(1);
        self.fetches.push(fetch);
        fetch
    }
}

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

    /// Whether a handshake with this info-hash is meant for it.
    pub(super) fn matches(&self, info_hash: Sha1Hash) -> bool {
        match &self.state {
            State::Opening(opening) => opening.spec().info_hashes.matches(info_hash),
            State::Active(active) => active.spec().info_hashes.matches(info_hash),
            State::Ended(_) => false,
        }
    }

    /// The hash by which it names itself in a handshake; `None` when it takes no peers.
    pub(super) fn handshake(&self, ctx: &Context<'_>) -> Option<Handshake> {
        match &self.state {
            State::Active(active) => Some(active.handshake(ctx)),
            State::Opening(_) | State::Ended(_) => None,
        }
    }

    /// A peer shook hands: take it in, or say why not.
    pub(super) fn admit(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        address: SocketAddr,
        origin: Origin,
        handshake: &Handshake,
    ) -> Result<(), CloseReason> {
        match &mut self.state {
            State::Active(active) => active.admit(ctx, connection, address, origin, handshake),
            State::Opening(_) | State::Ended(_) => Err(CloseReason::WrongTorrent),
        }
    }

    /// A member's messages.
    pub(super) fn on_messages(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        messages: impl Iterator<Item = Message>,
    ) {
        if let State::Active(active) = &mut self.state {
            active.on_messages(ctx, connection, messages);
        }
    }

    /// Blocks have gone out to a member.
    pub(super) fn on_uploaded(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        blocks: &[BlockRequest],
    ) {
        if let State::Active(active) = &mut self.state {
            active.on_uploaded(ctx, connection, blocks);
        }
    }

    /// Blocks that were asked for will not go out to a member.
    pub(super) fn on_retracted(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        blocks: &[BlockRequest],
    ) {
        if let State::Active(active) = &mut self.state {
            active.on_retracted(ctx, connection, blocks);
        }
    }

    /// Blocks for a member cannot be read.
    pub(super) fn on_upload_failed(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        blocks: &[BlockRequest],
        file: FileIndex,
        error: DiskError,
    ) {
        let State::Active(active) = &mut self.state else { return };
        active.on_retracted(ctx, connection, blocks);
        if let Err(error) = active.on_unreadable(ctx, file, error) {
            self.fail(ctx, error);
        }
    }

    /// A member is gone, for this reason in words.
    pub(super) fn on_closed(&mut self, ctx: &mut Context<'_>, connection: ConnectionId, reason: String) {
        if let State::Active(active) = &mut self.state {
            active.on_closed(ctx, connection, reason);
        }
    }

    /// A dialled peer became a member.
    pub(super) fn on_dial_succeeded(&mut self) {
        if let State::Active(active) = &mut self.state {
            active.dials_out -= 1;
        }
    }

    /// A dialled peer did not become a member.
    pub(super) fn on_dial_failed(&mut self, ctx: &mut Context<'_>, address: SocketAddr, reason: DialEnd) {
        if let State::Active(active) = &mut self.state {
            active.on_dial_failed(ctx, address, reason);
        }
    }

    /// Adds how its peers stand, for the choker.
    pub(super) fn add_standings(&mut self, now: Instant, standings: &mut Vec<Standing>) {
        if let State::Active(active) = &mut self.state {
            active.add_standings(now, standings);
        }
    }

    /// Chokes or unchokes a member.
    pub(super) fn set_choking(&mut self, ctx: &mut Context<'_>, connection: ConnectionId, choke: bool) {
        match &mut self.state {
            State::Active(active) if choke => active.choke(ctx, connection),
            State::Active(active) => active.unchoke(ctx, connection),
            State::Opening(_) | State::Ended(_) => {}
        }
    }

    /// Offers something to a newcomer that has to wait.
    pub(super) fn offer_fast(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        if let State::Active(active) = &mut self.state {
            active.offer_fast(ctx, connection);
        }
    }

    /// The member that would be missed least, if there is one that may be asked to leave.
    pub(super) fn least_useful(&self, now: Instant) -> Option<(parting::Rank, ConnectionId)> {
        match &self.state {
            State::Active(active) => active.least_useful(now),
            State::Opening(_) | State::Ended(_) => None,
        }
    }

    /// Closes a member for the sake of others.
    pub(super) fn part_with(&mut self, ctx: &mut Context<'_>, connection: ConnectionId) {
        if let State::Active(active) = &mut self.state {
            active.part_with(ctx, connection);
        }
    }

    /// A person wishes that the trackers are asked soon.
    pub(super) fn announce(&mut self, ctx: &mut Context<'_>) {
        if let State::Active(active) = &mut self.state {
            active.announce(ctx);
        }
    }

    /// The network has come back, or is another one.
    pub(super) fn on_network_changed(&mut self, ctx: &mut Context<'_>) {
        if let State::Active(active) = &mut self.state {
            active.on_network_changed(ctx);
        }
    }

    /// The program goes on after it was stopped for a while.
    pub(super) fn on_woken(&mut self, ctx: &mut Context<'_>) {
        if let State::Active(active) = &mut self.state {
            active.on_woken(ctx);
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

    /// An announce is done.
    pub(super) fn on_http_finished(
        &mut self,
        ctx: &mut Context<'_>,
        fetch: FetchId,
        result: Result<HttpAnswer, HttpFailure>,
    ) {
        if let State::Active(active) = &mut self.state {
            active.on_http_finished(ctx, fetch, result);
            self.end_if_stopped(ctx);
        }
    }

    /// A disk job is done.
    pub(super) fn on_disk_finished(&mut self, ctx: &mut Context<'_>, result: DiskResult) {
        let failure = match &mut self.state {
            State::Opening(opening) => match opening.on_disk_finished(ctx, result) {
                Step::Wait => None,
                Step::Ready => {
                    self.activate(ctx);
                    None
                }
                Step::Failed(error) => Some(error),
            },
            State::Active(active) if active.failure.is_some() => None,
            State::Active(active) => active.on_disk_finished(ctx, result).err(),
            State::Ended(_) => None,
        };
        if let Some(error) = failure {
            self.fail(ctx, error);
        }
        self.end_if_stopped(ctx);
    }

    /// Buffers are, or are no longer, more than half full.
    pub(super) fn on_buffers_crowded(&mut self, ctx: &mut Context<'_>, crowded: bool) {
        if let State::Active(active) = &mut self.state {
            active.on_buffers_crowded(ctx, crowded);
        }
    }

    /// The torrent's deadline has passed.
    pub(super) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        if let State::Active(active) = &mut self.state {
            active.handle_timeout(ctx);
            self.end_if_stopped(ctx);
        }
    }

    /// When it wants to be woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Active(active) => active.deadline(),
            State::Opening(_) | State::Ended(_) => None,
        }
    }

    /// Stop: a notice follows once the trackers are told.
    pub(super) fn stop(&mut self, ctx: &mut Context<'_>) {
        match &mut self.state {
            State::Active(active) => active.stop(ctx),
            State::Opening(_) => self.end(ctx, Phase::Stopped, Notice::Stopped { torrent: self.id }),
            State::Ended(_) => ctx.notify(Notice::Stopped { torrent: self.id }),
        }
        self.end_if_stopped(ctx);
    }

    /// What its peers under a limit are asked for.
    pub(super) fn asking(&mut self, ctx: &Context<'_>) -> Asking {
        match &mut self.state {
            State::Active(active) => active.asking(ctx),
            State::Opening(_) | State::Ended(_) => Asking::default(),
        }
    }

    /// What people see.
    pub(super) fn snapshot(&self, now: Instant, detail: Detail) -> TorrentSnapshot {
        match &self.state {
            State::Opening(opening) => opening.snapshot(now),
            State::Active(active) => active.snapshot(now, detail),
            State::Ended(last) => (**last).clone(),
        }
    }

    /// Panics when something is not as it must be: for simulations and tests.
    pub(super) fn check_invariants(&self) {
        if let State::Active(active) = &self.state {
            active.check_invariants();
        }
    }

    fn activate(&mut self, ctx: &mut Context<'_>) {
        let State::Opening(opening) = &mut self.state else { return };
        if opening.spec().seed_only && !opening.have().is_full() {
            let failure = TorrentFailure::Incomplete(missing(opening.spec(), opening.have()));
            return self.end(ctx, Phase::Failed, Notice::Failed { torrent: self.id, failure });
        }
        let mut active = Box::new(Active::new(ctx, opening));
        ctx.notify(Notice::Checked {
            torrent: self.id,
            have: active.have().count(),
            pieces: active.have().len(),
        });
        active.start(ctx);
        self.state = State::Active(active);
    }

    fn fail(&mut self, ctx: &mut Context<'_>, error: DiskError) {
        match &mut self.state {
            State::Active(active) => {
                active.fail(ctx, error);
                self.end_if_stopped(ctx);
            }
            State::Opening(_) | State::Ended(_) => self.end_failed(ctx, error),
        }
    }

    fn end_failed(&mut self, ctx: &mut Context<'_>, error: DiskError) {
        let failure = TorrentFailure::Disk(error);
        self.end(ctx, Phase::Failed, Notice::Failed { torrent: self.id, failure });
    }

    fn end_if_stopped(&mut self, ctx: &mut Context<'_>) {
        let State::Active(active) = &mut self.state else { return };
        if !active.is_stopped() {
            return;
        }
        match active.failure.take() {
            Some(error) => self.end_failed(ctx, error),
            None => self.end(ctx, Phase::Stopped, Notice::Stopped { torrent: self.id }),
        }
    }

    fn end(&mut self, ctx: &mut Context<'_>, phase: Phase, notice: Notice) {
        let mut last = self.snapshot(ctx.now, Detail::Totals);
        last.phase = phase;
        last.waiting = None;
        self.state = State::Ended(Box::new(last));
        ctx.actions.push_back(Action::Disk(DiskJob::Close { torrent: self.id }));
        ctx.notify(notice);
    }
}

/// What is missing of a torrent of which we `have` this.
fn missing(spec: &TorrentSpec, have: &Bitfield) -> Missing {
    let mut missing = Missing { pieces: 0, files: Vec::new() };
    for piece in spec.layout.pieces().filter(|piece| !have.has(*piece)) {
        missing.pieces += 1;
        let slices = spec.file_map.slices(spec.layout.piece_range(piece));
        for slice in slices.filter(|slice| !slice.is_pad && slice.length > 0) {
            match missing.files.last_mut() {
                Some((file, bytes)) if *file == slice.file => *bytes += slice.length,
                _ => missing.files.push((slice.file, slice.length)),
            }
        }
    }
    missing
}

/// How a dial ended without a new member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DialEnd {
    /// No connection, or none that got as far as a handshake.
    Unreachable,
    /// It was ourselves.
    Ourselves,
    /// The connection was good, but is not wanted.
    Unwanted,
}
