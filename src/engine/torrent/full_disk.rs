//! A disk without space: the torrent waits, and goes on by itself when there is some again.
//!
//! What a job could not write comes back with it and waits in memory. Nothing more is asked of peers, what was
//! asked is cancelled; what comes all the same is kept as long as this torrent holds no more than its share of
//! the buffers, which other torrents, on other disks perhaps, need too. After a pause one job is tried. If it
//! succeeds, everything goes on; if not, the next pause is longer. Nothing here ends a torrent: that is for
//! people's patience.

use super::Context;
use super::active::Active;
use super::members::key;
use super::piece_buffer::PieceBuffer;
use crate::base::index::{FileIndex, PieceIndex};
use crate::base::time::{Duration, Instant};
use crate::engine::action::Action;
use crate::engine::disk_job::{DiskJob, PieceJob};
use crate::engine::input::ConnectionId;
use crate::wire::peer::Message;

/// The first pause, at most; each one after may be twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Of the buffers this part may be held by what waits for space.
const SHARE: u64 = 4;

/// What is known of a disk that is full.
#[derive(Debug)]
pub(super) struct FullDisk {
    /// Bytes that are free, as the system said last.
    pub(super) free: Option<u64>,
    /// When a job is tried; `None` while one is out.
    retry_at: Option<Instant>,
    /// Bytes that wait in memory, about.
    held: u64,
    /// Files that could not be finished.
    unfinished: Vec<FileIndex>,
}

impl Active {
    /// A job's blocks could not be written.
    pub(super) fn on_job_refused(&mut self, ctx: &mut Context<'_>, job: Box<PieceJob>, free: Option<u64>) {
        let Some(buffer) = self.buffers.get_mut(&job.piece) else { return };
        let before = buffer.waiting_bytes();
        buffer.on_job_refused(ctx.now, job);
        let refused = buffer.waiting_bytes() - before;
        if let Some(full) = &mut self.full_disk {
            full.held += refused;
        }
        if self.is_stopping() {
            return;
        }
        self.wait_for_space(ctx, free);
        self.give_up_excess(ctx);
    }

    /// A complete file could not be given its name.
    pub(super) fn on_finish_refused(&mut self, ctx: &mut Context<'_>, file: FileIndex, free: Option<u64>) {
        if self.is_stopping() {
            return;
        }
        self.wait_for_space(ctx, free);
        if let Some(full) = &mut self.full_disk {
            full.unfinished.push(file);
        }
    }

    /// Something was written. What was on its way when the disk became full may be as lucky, and is no sign.
    pub(super) fn on_job_taken(&mut self, ctx: &mut Context<'_>) {
        if self.full_disk.as_ref().is_some_and(|full| full.retry_at.is_none()) {
            self.go_on(ctx);
        }
    }

    /// Whether a block of this many bytes can be kept.
    pub(super) fn has_room_for(&mut self, ctx: &Context<'_>, length: u32) -> bool {
        let Some(full) = &mut self.full_disk else { return true };
        let held = full.held + u64::from(length);
        if held > ctx.settings.memory / SHARE {
            return false;
        }
        full.held = held;
        true
    }

    /// When a full disk is tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.full_disk.as_ref().and_then(|full| full.retry_at)
    }

    /// Tries whether there is space.
    pub(super) fn retry_disk(&mut self, ctx: &mut Context<'_>) {
        let Some(full) = &mut self.full_disk else { return };
        full.retry_at = None;
        let unfinished = std::mem::take(&mut full.unfinished);
        let job = self.buffers.values_mut().find_map(|buffer| buffer.take_job(ctx.now, true));
        let taken = job.iter().flat_map(|job| &job.blocks).map(|(_, data)| u64::from(data.len())).sum();
        full.held = full.held.saturating_sub(taken);
        if unfinished.is_empty() && job.is_none() {
            return self.go_on(ctx);
        }
        let torrent = self.id;
        let files = unfinished.into_iter().map(|file| DiskJob::FinishFile { torrent, file });
        let jobs = files.chain(job.map(DiskJob::Advance));
        ctx.actions.extend(jobs.map(Action::Disk));
    }

    fn wait_for_space(&mut self, ctx: &mut Context<'_>, free: Option<u64>) {
        let retry_at = match &self.full_disk {
            Some(FullDisk { retry_at: Some(at), .. }) => *at,
            _ => {
                let longest = (PAUSE * 2_u32.pow(self.refusals.min(8))).min(PAUSE_MAX);
                self.refusals += 1;
                // Torrents on one disk are not to come back all at once.
                let part = 512 + self.full_rng.below(512) as u32;
                ctx.now + longest * part / 1024
            }
        };
        if let Some(full) = &mut self.full_disk {
            (full.free, full.retry_at) = (free, Some(retry_at));
            return;
        }
        let held = self.buffers.values().map(PieceBuffer::waiting_bytes).sum();
        self.full_disk = Some(FullDisk { free, retry_at: Some(retry_at), held, unfinished: Vec::new() });
        self.cancel_all(ctx);
    }

    /// Takes back what peers were asked for. What is on its way already is still welcome.
    fn cancel_all(&mut self, ctx: &mut Context<'_>) {
        for (&connection, peer) in &mut self.peers {
            for block in peer.requests.clear() {
                peer.last_sent = ctx.now;
                ctx.send(connection, Message::Cancel(self.spec.layout.request_for(block)));
                self.picker.mark_late(block, key(connection));
            }
        }
    }

    /// Forgets blocks of the last pieces under way while this torrent holds more than its share. Those of the
    /// first stay, to have something to try with.
    fn give_up_excess(&mut self, ctx: &Context<'_>) {
        let Some(full) = &mut self.full_disk else { return };
        let mut waiting = self.buffers.iter_mut().filter(|(_, buffer)| buffer.waiting_bytes() > 0);
        let _first = waiting.next();
        let mut void: Vec<PieceIndex> = Vec::new();
        for (piece, buffer) in waiting.rev() {
            if full.held <= ctx.settings.memory / SHARE {
                break;
            }
            let bytes = buffer.waiting_bytes();
            full.held = full.held.saturating_sub(bytes);
            self.totals.wasted += bytes;
            self.picker.mark_lost(*piece, &buffer.drop_waiting());
            if buffer.is_void() {
                void.push(*piece);
            }
        }
        for piece in void {
            self.buffers.remove(&piece);
        }
    }

    /// There is space again.
    fn go_on(&mut self, ctx: &mut Context<'_>) {
        self.full_disk = None;
        self.submit_all(ctx);
        self.spill(ctx);
        let all: Vec<ConnectionId> = self.peers.keys().copied().collect();
        for connection in all {
            self.refill(ctx, connection);
        }
        self.refill_idle(ctx);
    }
}
