//! A torrent that trades: its state, how it starts and stops, and when it wakes.
//!
//! What the session tells it stands beside what comes of it, in the files that [`super`] lists; those methods are the
//! ones that all of the engine sees.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Context;
use super::fast_offers::FastTakers;
use super::full_disk::FullDisk;
use super::lost_files::LostFiles;
use super::news::News;
use super::opening::Opening;
use super::parting::PartingGate;
use super::piece_buffer::PieceBuffer;
use super::suggestions::Suggestions;
use super::super_seed::SuperSeed;
use crate::base::bitfield::Bitfield;
use crate::base::hash::PieceHash;
use crate::base::index::PieceIndex;
use crate::base::random::Rng;
use crate::base::rate::RollingRate;
use crate::base::time::{Duration, Instant};
use crate::engine::action::{Action, CloseReason};
use crate::engine::disk_job::{DiskError, DiskJob, Traffic};
use crate::engine::input::{ConnectionId, FetchId};
use crate::engine::notice::Notice;
use crate::engine::order::{TorrentId, TorrentSpec};
use crate::engine::peer::PeerConnection;
use crate::engine::peer_list::PeerList;
use crate::engine::picker::PiecePicker;
use crate::engine::smart_ban::SmartBan;
use crate::engine::tracker::Announcer;
use crate::wire::peer::{Handshake, message::Reserved};

/// An active torrent.
pub(in crate::engine) struct Active {
    pub(super) id: TorrentId,
    pub(super) spec: TorrentSpec,
    pub(super) peers: BTreeMap<ConnectionId, PeerConnection>,
    pub(super) peer_list: PeerList,
    pub(super) announcer: Announcer,
    pub(super) fetches: BTreeMap<FetchId, crate::engine::tracker::FetchKey>,
    pub(super) picker: PiecePicker,
    pub(super) smart_ban: SmartBan,
    /// Pieces under way.
    pub(super) buffers: BTreeMap<PieceIndex, PieceBuffer>,
    /// When waiting blocks are looked through for those that have waited long enough.
    pub(super) spill_at: Option<Instant>,
    /// By file: pieces that it still lacks.
    pub(super) pieces_left: Vec<u32>,
    /// Files that do not have their final name yet.
    pub(super) files_left: usize,
    pub(super) news: News,
    pub(super) suggestions: Suggestions,
    pub(super) fast_takers: FastTakers,
    /// While we pretend to have only what each peer is shown.
    pub(super) super_seed: Option<SuperSeed>,
    /// Where peers said that they had everything, by subscriber: each may say so on many connections.
    pub(super) seeds_met: BTreeSet<IpAddr>,
    pub(super) is_crowded: bool,
    /// What waits for space on the disk, while there is none.
    pub(super) full_disk: Option<FullDisk>,
    /// What can no longer be read, if there is any such thing.
    pub(super) lost: Option<LostFiles>,
    /// How often there was no space since a piece was written last.
    pub(super) refusals: u32,
    pub(super) full_rng: Rng,
    pub(super) totals: Totals,
    /// What all earlier runs moved.
    pub(super) earlier: Traffic,
    /// What this one moved when that was told to be remembered, and when that is due again.
    remembered: (Traffic, Option<Instant>),
    pub(super) down: RollingRate,
    pub(super) up: RollingRate,
    /// When a useful block came last; the start before any.
    pub(super) last_block: Instant,
    pub(super) sweep_at: Option<Instant>,
    pub(super) dials_out: usize,
    /// No dial before this: there was no room for one.
    pub(super) dial_after: Instant,
    pub(super) parting_gate: PartingGate,
    /// Why it cannot go on, while the trackers are told.
    pub(super) failure: Option<DiskError>,
    is_complete: bool,
    is_stopping: bool,
}

/// Bytes of payload.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) downloaded: u64,
    pub(super) uploaded: u64,
    pub(super) wasted: u64,
    /// Of pieces that were not right.
    pub(super) corrupt: u64,
    /// Of pieces verified and written, pad files not counted.
    pub(super) verified: u64,
    /// Of all files but pad files.
    pub(super) payload: u64,
}

/// What moved is remembered so often, while something does.
const REMEMBER_EVERY: Duration = Duration::from_secs(5 * 60);

impl Active {
    /// The torrent that `opening` found.
    pub(super) fn new(ctx: &Context<'_>, opening: &mut Opening) -> Active {
        let written = opening.take_written();
        let (spec, rng) = (opening.spec().clone(), opening.rng());
        let have = opening.have();
        let is_pickable = |piece| spec.piece_hashes.of(piece) != PieceHash::Unknown;
        let mut picker = PiecePicker::new(spec.layout.clone(), have, is_pickable, rng.fork("picker"));
        let mut buffers = BTreeMap::new();
        for (piece, written) in written {
            if picker.mark_written(piece, &written) {
                buffers.insert(piece, PieceBuffer::resumed(opening.id(), piece, written));
            }
        }
        let payload = spec.payload();
        let verified = have.iter().map(|piece| spec.payload_of(piece)).sum();
        let totals = Totals { payload, verified, ..Totals::default() };
        let announcer = super::discovery::announcer(ctx, &spec, rng.fork("tracker"));
        let mut peer_list = PeerList::new(ctx.settings.families, rng.fork("peer list"));
        super::discovery::add_named(&mut peer_list, ctx.now, opening.peers());
        let pieces_left = pieces_left(&spec, have);
        Active {
            id: opening.id(),
            peers: BTreeMap::new(),
            peer_list,
            announcer,
            fetches: BTreeMap::new(),
            picker,
            smart_ban: SmartBan::new(),
            buffers,
            spill_at: None,
            files_left: pieces_left.len(),
            pieces_left,
            news: News::default(),
            suggestions: Suggestions::new(rng.fork("suggestions")),
            fast_takers: FastTakers::default(),
            super_seed: (spec.super_seed && have.is_full())
                .then(|| SuperSeed::new(ctx.now, &spec.layout, rng.fork("super-seed"))),
            seeds_met: BTreeSet::new(),
            is_crowded: false,
            full_disk: None,
            lost: None,
            refusals: 0,
            full_rng: rng.fork("full disk"),
            totals,
            earlier: opening.earlier(),
            remembered: (Traffic::default(), None),
            down: RollingRate::new(ctx.now),
            up: RollingRate::new(ctx.now),
            last_block: ctx.now,
            sweep_at: None,
            dials_out: 0,
            dial_after: Instant::ZERO,
            parting_gate: PartingGate::new(),
            failure: None,
            is_complete: false,
            is_stopping: false,
            spec,
        }
    }

    /// Begins to trade: files that are complete get their names, trackers are asked, peers dialled.
    pub(super) fn start(&mut self, ctx: &mut Context<'_>) {
        self.finish_ready_files(ctx);
        self.offer_resumed(ctx);
        self.announcer.start(ctx.now);
        if self.picker.is_complete() && self.files_left == 0 {
            self.become_complete(ctx, false);
        }
        self.pump_tracker(ctx);
        self.dial(ctx);
    }

    pub(super) fn spec(&self) -> &TorrentSpec {
        &self.spec
    }

    pub(super) fn have(&self) -> &Bitfield {
        self.picker.have()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    pub(in crate::engine) fn handshake(&self, ctx: &Context<'_>) -> Handshake {
        Handshake {
            reserved: Reserved::NONE.with_fast().with_extension(),
            info_hash: self.spec.info_hashes.wire(),
            peer_id: ctx.peer_id,
        }
    }

    /// Every piece is verified and written and every file has its name. `fetched`: in this run.
    pub(super) fn become_complete(&mut self, ctx: &mut Context<'_>, fetched: bool) {
        self.is_complete = true;
        self.peer_list.set_complete(true);
        self.remember_traffic(ctx);
        ctx.actions.push_back(Action::Disk(DiskJob::Settle { torrent: self.id }));
        if fetched {
            self.announcer.on_complete();
        }
        ctx.notify(Notice::Complete { torrent: self.id });
        if self.super_seed.is_none() {
            self.end_news(ctx);
        }
        let useless: Vec<ConnectionId> =
            self.peers.iter().filter(|(_, peer)| peer.wants_nothing()).map(|(id, _)| *id).collect();
        for connection in useless {
            self.leave(ctx, connection, CloseReason::NothingToTrade);
        }
    }

    /// Stops trading: requests nothing, closes every connection, tells the trackers.
    pub(super) fn stop(&mut self, ctx: &mut Context<'_>) {
        if self.failure.is_some() {
            return;
        }
        self.is_stopping = true;
        self.full_disk = None;
        self.submit_all(ctx);
        self.remember_traffic(ctx);
        self.close_all(ctx, CloseReason::Stopped);
        self.announcer.stop(ctx.now);
        self.pump_tracker(ctx);
    }

    /// The disk has refused, and it will not be asked again: closes every connection and tells the trackers.
    pub(super) fn fail(&mut self, ctx: &mut Context<'_>, error: DiskError) {
        self.failure = Some(error);
        self.is_stopping = true;
        self.remember_traffic(ctx);
        self.close_all(ctx, CloseReason::Stopped);
        self.announcer.stop(ctx.now);
        self.pump_tracker(ctx);
    }

    /// Whether nothing is left to do after a stop or a failure.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopping
            && self.announcer.is_idle_after_stop()
            && (self.failure.is_some() || !self.buffers.values().any(PieceBuffer::is_out))
    }

    pub(super) fn close_all(&mut self, ctx: &mut Context<'_>, reason: CloseReason) {
        let all: Vec<ConnectionId> = self.peers.keys().copied().collect();
        for connection in all {
            self.leave(ctx, connection, reason);
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.failure.is_some() {
            return self.announcer.poll_timeout();
        }
        let dial = if self.is_stopping { None } else { self.dial_at() };
        // Nothing is spilled to a full disk.
        let disk = if self.full_disk.is_none() { self.spill_at } else { self.retry_at() };
        let remember = self.remembered.1;
        [self.sweep_at, self.news.due(), disk, remember, self.announcer.poll_timeout(), dial]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due.
    pub(in crate::engine) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.failure.is_some() {
            return self.pump_tracker(ctx);
        }
        let now = ctx.now;
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.news.due()) {
            self.tell_news(ctx);
        }
        if is_due(self.retry_at()) {
            self.retry_disk(ctx);
        }
        if is_due(self.spill_at) && self.full_disk.is_none() {
            self.spill(ctx);
        }
        if is_due(self.remembered.1) {
            self.remember_traffic(ctx);
        }
        if is_due(self.sweep_at) {
            self.sweep(ctx);
        }
        self.pump_tracker(ctx);
        self.dial(ctx);
    }

    /// Something has moved: it is to be remembered before long.
    pub(super) fn on_moved(&mut self, now: Instant) {
        if !self.is_stopping {
            self.remembered.1.get_or_insert(now + REMEMBER_EVERY);
        }
    }

    /// Has what moved since the last time remembered, with what earlier runs did.
    pub(super) fn remember_traffic(&mut self, ctx: &mut Context<'_>) {
        let Totals { uploaded, downloaded, .. } = self.totals;
        let all = Traffic { uploaded, downloaded };
        let (before, _) = std::mem::replace(&mut self.remembered, (all, None));
        if all != before {
            let job = DiskJob::Remember { torrent: self.id, traffic: all.since(before) };
            ctx.actions.push_back(Action::Disk(job));
        }
    }

    pub(in crate::engine) fn check_invariants(&self) {
        self.picker.check_invariants();
        for (connection, peer) in &self.peers {
            assert!(
                peer.requests.len() <= peer.requests.limit(),
                "{connection:?} has more requests out than it accepts"
            );
            assert_eq!(peer.wanted, self.picker.wanted_of(&peer.has), "{connection:?} has what we want");
            assert_eq!(peer.am_interested, peer.wanted > 0, "{connection:?} is told what we want");
            for block in peer.requests.iter() {
                assert!(peer.has.has(block.piece), "{connection:?} is asked for {block:?} that it lacks");
            }
            let due = self.picker.due_from(super::members::key(*connection));
            assert!(
                peer.requests.iter().eq(due),
                "{connection:?}: pipeline and picker know the same requests"
            );
        }
        assert!(!self.is_complete || self.buffers.is_empty(), "complete with pieces under way");
    }
}

fn pieces_left(spec: &TorrentSpec, have: &Bitfield) -> Vec<u32> {
    let mut left = vec![0; spec.file_map.files().len()];
    for piece in spec.layout.pieces().filter(|piece| !have.has(*piece)) {
        for slice in spec.file_map.slices(spec.layout.piece_range(piece)) {
            left[slice.file.index()] += 1;
        }
    }
    left
}
