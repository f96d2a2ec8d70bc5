//! Blocks go to disk and come back as pieces.

use std::net::SocketAddr;

use super::Context;
use super::active::Active;
use super::members::{Outcome, key};
use super::piece_buffer::PieceBuffer;
use crate::base::block_data::BlockData;
use crate::base::hash::Sha1Hash;
use crate::base::index::{BlockAddress, BlockRequest, FileIndex, PieceIndex};
use crate::base::limit;
use crate::base::time::Instant;
use crate::engine::action::{Action, CloseReason};
use crate::engine::disk_job::{DiskError, DiskErrorKind, DiskJob, DiskResult, PieceJob, Verdict};
use crate::engine::input::ConnectionId;
use crate::engine::notice::Notice;
use crate::engine::picker::Received;
use crate::wire::peer::Message;

impl Active {
    /// A block came. Late ones, after a cancel or a time-out, are as good as any: the hash decides. What is of no use
    /// and nobody asked for was not downloaded: trackers, and a ratio, would be told whatever a stranger likes.
    pub(super) fn on_block(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        piece: PieceIndex,
        begin: u32,
        data: BlockData,
    ) -> Outcome {
        let length = data.len();
        self.on_moved(ctx.now);
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        if length == 0 {
            return self.on_empty_block(ctx, connection, piece, begin);
        }
        peer.down.add(ctx.now, length);
        self.down.add(ctx.now, length);
        let sender = peer.address;
        let Some(block) = self.spec.layout.block_at(BlockRequest { piece, begin, length }) else {
            return self.on_waste(ctx, connection, length);
        };
        let was_asked = peer.requests.on_received(ctx.now, block, &mut peer.down);
        if was_asked {
            self.totals.downloaded += u64::from(length);
        }
        if !self.has_room_for(ctx, length) {
            self.totals.wasted += u64::from(length);
            self.picker.mark_unrequested(block, key(connection));
            return Ok(());
        }
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        let received = self.picker.mark_received(block, key(connection));
        let Received::New { cancel, .. } = received else {
            return self.on_waste(ctx, connection, length);
        };
        if !was_asked {
            self.totals.downloaded += u64::from(length);
        }
        peer.given += u64::from(length);
        peer.last_data = ctx.now;
        peer.giving.add(ctx.now, length);
        self.last_block = ctx.now;
        if let Some(other) = cancel {
            self.cancel(ctx, ConnectionId(other.0), block);
        }
        self.keep(ctx, block, data, sender);
        Ok(())
    }

    /// Some clients reject a request by sending the block without its bytes.
    fn on_empty_block(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        piece: PieceIndex,
        begin: u32,
    ) -> Outcome {
        let block = BlockAddress { piece, block: begin / crate::base::layout::BLOCK_LENGTH };
        let is_block = self.spec.layout.block_len(block) > 0;
        if is_block && self.on_reject(ctx, connection, self.spec.layout.request_for(block)) {
            return Ok(());
        }
        self.on_idle_talk(ctx, connection)
    }

    fn on_waste(&mut self, ctx: &Context<'_>, connection: ConnectionId, length: u32) -> Outcome {
        self.totals.wasted += u64::from(length);
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        peer.wasted += u64::from(length);
        let most = if self.picker.is_complete() { limit::WASTED_ON_SEED } else { limit::WASTED_BY_PEER };
        if peer.wasted > peer.given + most {
            return Err(CloseReason::Protocol("it sends what nobody asked for"));
        }
        self.on_idle_talk(ctx, connection)
    }

    fn cancel(&mut self, ctx: &mut Context<'_>, connection: ConnectionId, block: BlockAddress) {
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        if peer.requests.forget(block) {
            peer.last_sent = ctx.now;
            ctx.send(connection, Message::Cancel(self.spec.layout.request_for(block)));
        }
    }

    fn keep(&mut self, ctx: &mut Context<'_>, block: BlockAddress, data: BlockData, sender: SocketAddr) {
        let (id, piece) = (self.id, block.piece);
        let blocks = self.spec.layout.blocks_in(piece);
        let wants_digests = self.smart_ban.is_suspect(piece);
        let buffer =
            self.buffers.entry(piece).or_insert_with(|| PieceBuffer::new(id, piece, blocks, wants_digests));
        buffer.add(ctx.now, block.block, data, sender);
        self.offer(ctx, piece);
    }

    /// Has what is on disk of unfinished pieces hashed as far as it goes.
    pub(super) fn offer_resumed(&mut self, ctx: &mut Context<'_>) {
        let resumed: Vec<PieceIndex> = self.buffers.keys().copied().collect();
        for piece in resumed {
            self.offer(ctx, piece);
        }
    }

    /// Sends a piece's blocks to the disk if they are worth a job, and else sees to it that they do not
    /// wait for ever.
    fn offer(&mut self, ctx: &mut Context<'_>, piece: PieceIndex) {
        if self.full_disk.is_some() {
            return;
        }
        let Some(buffer) = self.buffers.get_mut(&piece) else { return };
        let spill = self.is_crowded && buffer.is_heavy();
        if let Some(job) = buffer.take_job(ctx.now, spill) {
            ctx.actions.push_back(Action::Disk(DiskJob::Advance(job)));
        } else if let (None, Some(at)) = (self.spill_at, buffer.spill_at()) {
            self.spill_at = Some(at);
        }
    }

    /// Writes what has waited long enough. The deadline is the first of those that waited when it was set;
    /// the next one is looked for only when it has passed, since there may be thousands of pieces.
    pub(super) fn spill(&mut self, ctx: &mut Context<'_>) {
        self.submit(ctx, |buffer, now| buffer.spill_at().is_some_and(|at| at <= now));
        self.spill_at = self.buffers.values().filter_map(PieceBuffer::spill_at).min();
    }

    /// Writes everything that waits.
    pub(super) fn submit_all(&mut self, ctx: &mut Context<'_>) {
        self.submit(ctx, |_, _| true);
    }

    fn submit(&mut self, ctx: &mut Context<'_>, is_due: impl Fn(&PieceBuffer, Instant) -> bool) {
        for buffer in self.buffers.values_mut().filter(|buffer| is_due(buffer, ctx.now)) {
            if let Some(job) = buffer.take_job(ctx.now, true) {
                ctx.actions.push_back(Action::Disk(DiskJob::Advance(job)));
            }
        }
    }

    /// Buffers are, or are no longer, more than half full. At that moment everything that waits is written;
    /// from then on a piece's blocks are as soon as a run's worth of them waits, wherever they lie.
    pub(in crate::engine) fn on_buffers_crowded(&mut self, ctx: &mut Context<'_>, crowded: bool) {
        self.is_crowded = crowded;
        if crowded && self.full_disk.is_none() && self.failure.is_none() {
            self.submit_all(ctx);
        }
    }

    /// A disk job is done. When the disk refuses for any other reason than that it is full, the torrent ends.
    pub(super) fn on_disk_finished(&mut self, ctx: &mut Context<'_>, result: DiskResult) {
        if self.failure.is_none()
            && let Err(error) = self.on_disk_result(ctx, result)
        {
            self.fail(ctx, error);
        }
    }

    fn on_disk_result(&mut self, ctx: &mut Context<'_>, result: DiskResult) -> Result<(), DiskError> {
        match result {
            DiskResult::Advanced { job, result: Err(error) } => match error.kind {
                DiskErrorKind::Full { free } => self.on_job_refused(ctx, job, free),
                _ => return Err(error),
            },
            DiskResult::Advanced { job, result: Ok(verdict) } => {
                self.on_advanced(ctx, job, verdict);
                self.on_job_taken(ctx);
            }
            DiskResult::FileFinished { file, result: Err(error), .. } => match error.kind {
                DiskErrorKind::Full { free } => self.on_finish_refused(ctx, file, free),
                _ => return Err(error),
            },
            DiskResult::FileFinished { file, result: Ok(()), .. } => {
                self.on_file_finished(ctx, file);
                self.on_job_taken(ctx);
            }
            DiskResult::Opened { .. }
            | DiskResult::Checked { .. }
            | DiskResult::UnprovenFound { .. }
            | DiskResult::Settled { .. }
            | DiskResult::Remembered { .. }
            | DiskResult::Closed { .. } => {}
        }
        Ok(())
    }

    fn on_advanced(&mut self, ctx: &mut Context<'_>, job: Box<PieceJob>, verdict: Option<Verdict>) {
        let piece = job.piece;
        let Some(verdict) = verdict else {
            let Some(buffer) = self.buffers.get_mut(&piece) else { return };
            buffer.on_job_back(job);
            return self.offer(ctx, piece);
        };
        let Some(buffer) = self.buffers.remove(&piece) else { return };
        match verdict {
            Verdict::Passed { digests } => self.on_passed(ctx, piece, &digests),
            Verdict::Failed { digests } => self.on_failed(ctx, piece, &digests, buffer.senders()),
        }
    }

    fn on_passed(&mut self, ctx: &mut Context<'_>, piece: PieceIndex, digests: &[Sha1Hash]) {
        self.refusals = 0;
        self.picker.mark_verified(piece);
        self.on_piece_had(ctx, piece);
        self.totals.verified += self.spec.payload_of(piece);
        self.news.push(ctx.now, piece);
        for guilty in self.smart_ban.on_passed(piece, digests) {
            self.ban(ctx, guilty, "it sent bad data");
        }
        let range = self.spec.layout.piece_range(piece);
        for slice in self.spec.file_map.slices(range) {
            self.pieces_left[slice.file.index()] -= 1;
            if self.pieces_left[slice.file.index()] == 0 {
                let job = DiskJob::FinishFile { torrent: self.id, file: slice.file };
                ctx.actions.push_back(Action::Disk(job));
            }
        }
    }

    fn on_failed(
        &mut self,
        ctx: &mut Context<'_>,
        piece: PieceIndex,
        digests: &[Sha1Hash],
        senders: &[Option<SocketAddr>],
    ) {
        ctx.notify(Notice::PieceFailed { torrent: self.id, piece });
        let bytes = u64::from(self.spec.layout.piece_len(piece));
        self.totals.wasted += bytes;
        self.totals.corrupt += bytes;
        self.picker.mark_failed(piece);
        for guilty in self.smart_ban.on_failed(piece, digests, senders) {
            self.ban(ctx, guilty, "it sent bad data");
        }
        self.refill_idle(ctx);
    }

    /// Gives their final names to the files that are complete at the start.
    pub(super) fn finish_ready_files(&mut self, ctx: &mut Context<'_>) {
        let ready = self.pieces_left.iter().enumerate().filter(|(_, left)| **left == 0);
        for (file, _) in ready {
            let file = FileIndex(file as u32);
            ctx.actions.push_back(Action::Disk(DiskJob::FinishFile { torrent: self.id, file }));
        }
    }

    fn on_file_finished(&mut self, ctx: &mut Context<'_>, file: FileIndex) {
        self.files_left -= 1;
        let is_pad = self.spec.file_map.files().get(file.index()).is_some_and(|file| file.is_pad);
        if !is_pad {
            ctx.notify(Notice::FileComplete { torrent: self.id, file });
        }
        if self.files_left == 0 {
            self.become_complete(ctx, self.news.end() > 0);
            self.pump_tracker(ctx);
        }
    }
}
