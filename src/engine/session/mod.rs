//! All torrents of one client: the engine's front door.
//!
//! [`Session`] hands each input to the torrent that it concerns, keeps the connections that have not shaken
//! hands yet, and keeps the budgets that torrents share. It has four verbs:
//! `handle_input`, `handle_timeout`, `poll_action`, `poll_timeout`; whoever drives it drains `poll_action`
//! after every `handle_*`.

mod choking;
mod connections;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use super::action::{Action, Direction};
use super::bandwidth::{Bandwidth, Grant};
use super::choker::Choker;
use super::input::{ConnectionId, DialId, FetchId, Input};
use super::notice::{Notice, TorrentFailure};
use super::order::{Order, TorrentId, TorrentSpec};
use super::settings::Settings;
use super::snapshot::{Detail, SessionSnapshot, StallReason, TorrentSnapshot};
use super::timers::{TimerReason, Timers};
use super::torrent::{Active, Asking, Context, DialEnd, Names, PartingGate, Room, Torrent, Wishes};
use crate::base::peer_id::PeerId;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};

use connections::Connections;

/// A deadline that is missed by so much was slept through.
const SLEPT: Duration = Duration::from_secs(10);

/// A client's torrents and connections, as a machine without input or output of its own.
pub struct Session {
    settings: Arc<Settings>,
    rng: Rng,
    peer_id: PeerId,
    actions: VecDeque<Action>,
    timers: Timers,
    torrents: BTreeMap<TorrentId, Torrent>,
    connections: Connections,
    dials: BTreeMap<DialId, (TorrentId, SocketAddr)>,
    fetches: BTreeMap<FetchId, TorrentId>,
    names: Names,
    wishes: Wishes,
    choker: Choker,
    parting_gate: PartingGate,
    /// When it last went on after a sleep.
    woken_at: Instant,
    bandwidth: Bandwidth,
    /// What peers under a limit are asked for: of each torrent, and of all. Only kept with a limit.
    asking: (BTreeMap<TorrentId, Asking>, Asking),
}

impl Session {
    /// A session without torrents. The same settings, generator and inputs give the same actions.
    pub fn new(settings: Arc<Settings>, rng: Rng, now: Instant) -> Session {
        let peer_id = PeerId::random(&mut rng.fork("peer id"));
        Session {
            bandwidth: Bandwidth::new(now, settings.limits),
            choker: Choker::new(settings.slots, rng.fork("choker")),
            settings,
            rng,
            peer_id,
            actions: VecDeque::new(),
            timers: Timers::default(),
            torrents: BTreeMap::new(),
            connections: Connections::default(),
            dials: BTreeMap::new(),
            fetches: BTreeMap::new(),
            names: Names::default(),
            asking: Default::default(),
            wishes: Wishes::default(),
            parting_gate: PartingGate::new(),
            woken_at: now,
        }
    }

    /// How this session calls itself to peers and trackers.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Something happened outside.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.wake_up(now);
        self.on_input(now, input);
        self.grant_wishes(now);
    }

    fn on_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::OrderGiven(order) => self.handle_order(now, order),
            Input::ConnectionOpened { connection, address, origin, .. } => {
                self.handle_opened(now, connection, address, origin);
            }
            Input::DialFailed { dial, reason } => {
                self.handle_dial_failed(now, dial, DialEnd::Unreachable(reason));
            }
            Input::MessagesReceived { connection, messages } => {
                self.handle_messages(now, connection, messages);
            }
            Input::Uploaded { connection, blocks } => {
                self.with_member(now, connection, |active, ctx| active.on_uploaded(ctx, connection, &blocks));
            }
            Input::Retracted { connection, blocks } => {
                self.with_member(now, connection, |active, ctx| {
                    active.on_retracted(ctx, connection, &blocks);
                });
            }
            Input::UploadFailed { connection, blocks, file, error } => {
                self.with_member(now, connection, |active, ctx| {
                    active.on_upload_failed(ctx, connection, &blocks, file, *error);
                });
            }
            Input::Moved { connection, direction, bytes } => {
                self.bandwidth.on_moved(now, connection, direction, bytes);
                self.timers.set(TimerReason::Bandwidth, self.bandwidth.poll_timeout());
            }
            Input::ConnectionClosed { connection, cause } => self.handle_closed(now, connection, cause),
            Input::NetworkChanged => {
                self.with_every_active(now, |active, ctx| active.on_network_changed(ctx));
            }
            Input::DiskFinished(result) => {
                self.with_torrent(now, result.torrent(), |torrent, ctx| {
                    torrent.on_disk_finished(ctx, result)
                });
            }
            Input::BuffersCrowded(crowded) => {
                self.with_every_active(now, |active, ctx| active.on_buffers_crowded(ctx, crowded));
            }
            Input::HttpFinished { fetch, result } => {
                if let Some(torrent) = self.fetches.remove(&fetch) {
                    self.with_active(now, torrent, |active, ctx| active.on_http_finished(ctx, fetch, result));
                }
            }
        }
    }

    /// The deadline of [`Session::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.wake_up(now);
        while let Some(reason) = self.timers.take_due(now) {
            match reason {
                TimerReason::Handshake(connection) => self.handle_handshake_timeout(now, connection),
                TimerReason::Bandwidth => {
                    let grants = self.bandwidth.handle_timeout(now);
                    grants.into_iter().for_each(|grant| self.allow(grant));
                    self.timers.set(TimerReason::Bandwidth, self.bandwidth.poll_timeout());
                }
                TimerReason::Choker => self.wishes.rechoke = true,
                TimerReason::Torrent(torrent) => {
                    self.with_active(now, torrent, |active, ctx| active.handle_timeout(ctx));
                }
            }
        }
        self.grant_wishes(now);
    }

    /// What to do next; `None` when there is nothing more until something happens.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Session::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Instant, TimerReason)> {
        self.timers.next()
    }

    /// The session as people see it.
    pub fn snapshot(&self, now: Instant, detail: Detail) -> SessionSnapshot {
        let all = self.torrents.keys();
        let torrents = all.filter_map(|torrent| self.torrent_snapshot(*torrent, now, detail));
        SessionSnapshot { torrents: torrents.collect() }
    }

    /// One torrent as people see it.
    pub fn torrent_snapshot(&self, id: TorrentId, now: Instant, detail: Detail) -> Option<TorrentSnapshot> {
        let mut torrent = self.torrents.get(&id)?.snapshot(now, detail);
        let is_silent = torrent.waiting == Some(StallReason::PeersSilent);
        if is_silent && self.bandwidth.is_holding_back(id, Direction::Down) {
            torrent.waiting = Some(StallReason::LimitedByUser);
        }
        Some(torrent)
    }

    /// Panics when something is not as it must be: for simulations and tests.
    pub fn check_invariants(&self) {
        assert!(self.actions.is_empty(), "actions are left undrained");
        self.torrents.values().filter_map(Torrent::active).for_each(Active::check_invariants);
    }

    fn allow(&mut self, Grant { connection, direction, bytes }: Grant) {
        self.actions.push_back(Action::Allow { connection, direction, bytes });
    }

    /// A deadline that is long past tells that the program was stopped, or the machine asleep: what is due is not
    /// to be done all at once, and silence meanwhile was nobody's fault.
    fn wake_up(&mut self, now: Instant) {
        let is_late = self.timers.next().is_some_and(|(at, _)| now.since(at) >= SLEPT);
        if is_late && now.since(self.woken_at) >= SLEPT {
            self.woken_at = now;
            self.with_every_active(now, |active, ctx| active.on_woken(ctx));
        }
    }

    fn handle_order(&mut self, now: Instant, order: Order) {
        match order {
            Order::AddTorrent { torrent, spec } => self.add_torrent(now, torrent, *spec),
            Order::AddPeers { torrent, addresses } => {
                self.with_torrent(now, torrent, |torrent, ctx| torrent.add_peers(ctx, &addresses));
            }
            Order::Announce => self.with_every_active(now, |active, ctx| active.announce(ctx)),
            Order::StopTorrent { torrent } => {
                self.with_torrent(now, torrent, |torrent, ctx| torrent.stop(ctx));
            }
        }
    }

    fn add_torrent(&mut self, now: Instant, id: TorrentId, spec: TorrentSpec) {
        if self.torrents.contains_key(&id) || self.torrent_for(spec.info_hashes.wire()).is_some() {
            let failure = TorrentFailure::Duplicate;
            self.actions.push_back(Action::Notify(Box::new(Notice::Failed { torrent: id, failure })));
            return;
        }
        self.bandwidth.limit_torrent(now, id, spec.limits);
        let rng = self.rng.fork(&format!("torrent {}", id.0));
        let torrent = self.with_context(now, |ctx| Torrent::new(ctx, id, spec, rng));
        self.torrents.insert(id, torrent);
    }

    /// Runs `act` on a torrent, then books what it began and re-arms its timer.
    fn with_torrent<R>(
        &mut self,
        now: Instant,
        id: TorrentId,
        act: impl FnOnce(&mut Torrent, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let mut torrent = self.torrents.remove(&id)?;
        let is_limited = self.settings.limits.down.is_some();
        let before = self.asking.0.get(&id).copied().unwrap_or_default();
        let (result, asking) = self.with_context(now, |ctx| {
            ctx.asked_elsewhere = ctx.asked_elsewhere - before;
            let result = act(&mut torrent, ctx);
            let asking = is_limited.then(|| torrent.active_mut().map(|active| active.asking(ctx)));
            (result, asking.map(Option::unwrap_or_default))
        });
        if let Some(asking) = asking {
            self.asking.1 = self.asking.1 - before + asking;
            self.asking.0.insert(id, asking);
        }
        for (dial, address) in self.names.dials.drain(..) {
            self.dials.insert(dial, (id, address));
        }
        for fetch in self.names.fetches.drain(..) {
            self.fetches.insert(fetch, id);
        }
        self.timers.set(TimerReason::Torrent(id), torrent.deadline());
        self.torrents.insert(id, torrent);
        Some(result)
    }

    /// Runs `act` on a torrent that trades.
    fn with_active<R>(
        &mut self,
        now: Instant,
        id: TorrentId,
        act: impl FnOnce(&mut Active, &mut Context<'_>) -> R,
    ) -> Option<R> {
        self.with_torrent(now, id, |torrent, ctx| torrent.when_active(ctx, act)).flatten()
    }

    /// Runs `act` on the torrent that a connection is a member of.
    fn with_member(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        act: impl FnOnce(&mut Active, &mut Context<'_>),
    ) {
        if let Some(torrent) = self.connections.member_of(connection) {
            self.with_active(now, torrent, act);
        }
    }

    fn with_every_active(&mut self, now: Instant, act: impl Fn(&mut Active, &mut Context<'_>)) {
        let all: Vec<TorrentId> = self.torrents.keys().copied().collect();
        for torrent in all {
            self.with_active(now, torrent, &act);
        }
    }

    fn with_context<R>(&mut self, now: Instant, act: impl FnOnce(&mut Context<'_>) -> R) -> R {
        let mut room = Room {
            connections: self.settings.max_peers.saturating_sub(self.places_taken()),
            dials: self.settings.max_dials.saturating_sub(self.dials.len()),
        };
        let mut ctx = Context {
            now,
            settings: &self.settings,
            actions: &mut self.actions,
            peer_id: self.peer_id,
            room: &mut room,
            names: &mut self.names,
            wishes: &mut self.wishes,
            asked_elsewhere: self.asking.1,
        };
        act(&mut ctx)
    }
}
