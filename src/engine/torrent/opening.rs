//! From nothing known to ready: look at what is on disk, then check it.
//!
//! Checking is cut into jobs of about 16 MiB, and of 16 pieces at least, which are hashed side by side. A few of
//! them are out at a time, so that it can be watched and stopped. Without data there is nothing to check, and of
//! what an earlier run wrote down only what is unsure. Data that nothing has shown to be the torrent's is the last
//! question, and `conflict` the answer.

use std::net::SocketAddr;

use super::Context;
use super::conflict::conflict;
use crate::base::bitfield::Bitfield;
use crate::base::index::PieceIndex;
use crate::base::random::Rng;
use crate::base::rate::ByteRate;
use crate::base::time::Instant;
use crate::engine::action::Action;
use crate::engine::disk_job::{DiskJob, DiskResult, Existing, Traffic};
use crate::engine::notice::{Missing, TorrentFailure};
use crate::engine::order::{TorrentId, TorrentSpec};
use crate::engine::snapshot::{Phase, TorrentSnapshot};
use crate::hashing;

/// Bytes that one job checks, at least.
const CHECK_BYTES: u64 = 16 * 1024 * 1024;
/// Pieces that one job checks, at least: as many as the widest kernel hashes side by side.
const CHECK_PIECES: u32 = hashing::MAX_LANES as u32;

/// What comes next.
pub(super) enum Step {
    /// More results are due.
    Wait,
    /// All is known.
    Ready,
    /// It cannot trade.
    Failed(TorrentFailure),
}

/// A torrent before it trades.
#[derive(Debug)]
pub(super) struct Opening {
    id: TorrentId,
    spec: TorrentSpec,
    rng: Rng,
    /// Peers named by people meanwhile.
    peers: Vec<SocketAddr>,
    have: Bitfield,
    /// Payload of these, bytes.
    verified: u64,
    /// Blocks of unfinished pieces that are on disk.
    written: Vec<(PieceIndex, Vec<bool>)>,
    /// What all earlier runs moved.
    earlier: Traffic,
    is_checking: bool,
    /// Pieces to check that no job has been given yet.
    unsure: Bitfield,
    /// Pieces to check in all.
    to_check: u32,
    /// No piece before this one is to be given to a job.
    next: u32,
    /// Pieces looked at.
    done: u32,
    /// When the check began.
    since: Instant,
    jobs_out: usize,
}

impl Opening {
    pub(super) fn new(id: TorrentId, spec: TorrentSpec, rng: Rng) -> Opening {
        let none = Bitfield::empty(spec.layout.piece_count());
        Opening {
            id,
            spec,
            rng,
            peers: Vec::new(),
            have: none.clone(),
            verified: 0,
            written: Vec::new(),
            earlier: Traffic::default(),
            is_checking: false,
            unsure: none,
            to_check: 0,
            next: 0,
            done: 0,
            since: Instant::ZERO,
            jobs_out: 0,
        }
    }

    pub(super) fn id(&self) -> TorrentId {
        self.id
    }

    pub(super) fn spec(&self) -> &TorrentSpec {
        &self.spec
    }

    pub(super) fn rng(&self) -> &Rng {
        &self.rng
    }

    pub(super) fn peers(&self) -> &[SocketAddr] {
        &self.peers
    }

    pub(super) fn have(&self) -> &Bitfield {
        &self.have
    }

    /// What all earlier runs moved.
    pub(super) fn earlier(&self) -> Traffic {
        self.earlier
    }

    /// Blocks of unfinished pieces that are on disk.
    pub(super) fn take_written(&mut self) -> Vec<(PieceIndex, Vec<bool>)> {
        std::mem::take(&mut self.written)
    }

    pub(super) fn add_peers(&mut self, addresses: &[SocketAddr]) {
        let room = crate::base::limit::KNOWN_PEERS - self.peers.len().min(crate::base::limit::KNOWN_PEERS);
        self.peers.extend(addresses.iter().take(room));
    }

    pub(super) fn on_disk_finished(&mut self, ctx: &mut Context<'_>, result: DiskResult) -> Step {
        match result {
            DiskResult::Opened { result: Err(error), .. }
            | DiskResult::Checked { result: Err(error), .. }
            | DiskResult::UnprovenFound { result: Err(error), .. } => {
                return Step::Failed(TorrentFailure::Disk(error));
            }
            DiskResult::Opened { result: Ok(Existing::Nothing), .. } => return self.ready(),
            DiskResult::Opened { result: Ok(Existing::Something), .. } => {
                self.begin_check(ctx.now, Bitfield::full(self.spec.layout.piece_count()));
            }
            DiskResult::Opened { result: Ok(Existing::Known(known)), .. } => {
                self.have = known.have;
                self.verified = self.have.iter().map(|piece| self.spec.payload_of(piece)).sum();
                self.written = known.written;
                self.earlier = known.traffic;
                self.begin_check(ctx.now, known.unsure);
            }
            DiskResult::Checked { pieces, result: Ok(good), .. } => {
                self.jobs_out -= 1;
                self.done += pieces.end - pieces.start;
                for piece in good {
                    if self.have.insert(piece) {
                        self.verified += self.spec.payload_of(piece);
                    }
                }
            }
            DiskResult::UnprovenFound { result: Ok(unproven), .. } => {
                let Some(because) = conflict(&self.spec, &unproven).map(Box::new) else {
                    return self.ready();
                };
                self.forget_disk();
                ctx.actions.push_back(Action::Disk(DiskJob::OpenElsewhere { torrent: self.id, because }));
                return Step::Wait;
            }
            DiskResult::Advanced { .. }
            | DiskResult::FileFinished { .. }
            | DiskResult::Settled { .. }
            | DiskResult::Remembered { .. }
            | DiskResult::Closed { .. } => {}
        }
        self.order_checks(ctx);
        if self.is_checking && self.jobs_out == 0 {
            ctx.actions.push_back(Action::Disk(DiskJob::FindUnproven { torrent: self.id }));
        }
        Step::Wait
    }

    /// All is known: one that may only be served must be whole.
    fn ready(&self) -> Step {
        if self.spec.seed_only && !self.have.is_full() {
            return Step::Failed(TorrentFailure::Incomplete(missing(&self.spec, &self.have)));
        }
        Step::Ready
    }

    /// What is known of the disk was about another place.
    fn forget_disk(&mut self) {
        let none = Bitfield::empty(self.spec.layout.piece_count());
        (self.have, self.unsure) = (none.clone(), none);
        self.verified = 0;
        self.written = Vec::new();
        self.earlier = Traffic::default();
        self.is_checking = false;
        (self.to_check, self.next, self.done) = (0, 0, 0);
    }

    fn begin_check(&mut self, now: Instant, unsure: Bitfield) {
        self.since = now;
        self.is_checking = true;
        self.to_check = unsure.count();
        self.unsure = unsure;
    }

    fn order_checks(&mut self, ctx: &mut Context<'_>) {
        let step = CHECK_BYTES.div_ceil(u64::from(self.spec.layout.piece_length())) as u32;
        let step = step.max(CHECK_PIECES);
        while self.jobs_out < ctx.settings.check_jobs.max(1) {
            let pieces = self.spec.layout.piece_count();
            let is_unsure = |piece: &u32| self.unsure.has(PieceIndex(*piece));
            let Some(first) = (self.next..pieces).find(is_unsure) else {
                self.next = pieces;
                return;
            };
            let count = (first..pieces).take(step as usize).take_while(is_unsure).count() as u32;
            self.next = first + count;
            let job = DiskJob::Check { torrent: self.id, pieces: first..self.next };
            ctx.actions.push_back(Action::Disk(job));
            self.jobs_out += 1;
        }
    }

    pub(super) fn snapshot(&self, now: Instant) -> TorrentSnapshot {
        let pieces = self.spec.layout.piece_count();
        let (mut phase, mut eta) = (Phase::Opening, None);
        if self.is_checking {
            let bytes = |pieces: u32| u64::from(pieces) * u64::from(self.spec.layout.piece_length());
            let time = now.since(self.since).as_secs_f64().max(0.001);
            let rate = ByteRate((bytes(self.done) as f64 / time) as u64);
            phase = Phase::Checking { done: self.done, pieces: self.to_check, rate };
            eta = rate.time_for(bytes(self.to_check.saturating_sub(self.done)));
        }
        TorrentSnapshot {
            torrent: self.id,
            phase,
            total: self.spec.payload(),
            verified: self.verified,
            partial: 0,
            pieces,
            have: self.have.count(),
            downloaded: 0,
            uploaded: 0,
            earlier: self.earlier,
            wasted: 0,
            down: ByteRate(0),
            up: ByteRate(0),
            peers: 0,
            seeds: 0,
            known_peers: self.peers.len(),
            swarm_seeds: 0,
            copies: 0.0,
            eta,
            waiting: None,
            peer_list: Vec::new(),
        }
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
