//! Complete files that can no longer be read: what is in them is not offered any more, and the rest still is. What is
//! missing is still fetched: one file that is damaged is no reason to leave the others as they are.
//!
//! The wire has no word for what we have no longer, so all peers are closed, and hear the truth when they come back.
//! A torrent ends instead when nothing is left to serve or to fetch, and when so many files are lost that it must be
//! the disk.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::Context;
use super::active::Active;
use crate::base::bitfield::Bitfield;
use crate::base::index::{BlockRequest, FileIndex, PieceIndex};
use crate::engine::action::CloseReason;
use crate::engine::disk_job::DiskError;
use crate::engine::input::ConnectionId;
use crate::engine::notice::Notice;

/// Files that may be lost before the torrent ends.
const FILES: usize = 8;

/// What can no longer be read.
#[derive(Debug)]
pub(super) struct LostFiles {
    files: BTreeSet<FileIndex>,
    /// Those with something in one of the files.
    pieces: Bitfield,
}

impl Active {
    /// Whether a piece is here to be served.
    pub(super) fn offers(&self, piece: PieceIndex) -> bool {
        self.have().has(piece) && !self.lost.as_ref().is_some_and(|lost| lost.pieces.has(piece))
    }

    /// The pieces that are here to be served.
    pub(super) fn offered(&self) -> Cow<'_, Bitfield> {
        let mut offered = Cow::Borrowed(self.have());
        for piece in self.lost.iter().flat_map(|lost| lost.pieces.iter()) {
            offered.to_mut().remove(piece);
        }
        offered
    }

    /// Blocks for a member cannot be read.
    pub(in crate::engine) fn on_upload_failed(
        &mut self,
        ctx: &mut Context<'_>,
        connection: ConnectionId,
        blocks: &[BlockRequest],
        file: FileIndex,
        error: DiskError,
    ) {
        self.on_retracted(ctx, connection, blocks);
        if let Err(error) = self.on_unreadable(ctx, file, error) {
            self.fail(ctx, error);
        }
    }

    /// A file cannot be read. An error ends the torrent.
    fn on_unreadable(
        &mut self,
        ctx: &mut Context<'_>,
        file: FileIndex,
        error: DiskError,
    ) -> Result<(), DiskError> {
        let Some(span) = self.spec.file_map.files().get(file.index()) else { return Ok(()) };
        let is_known = self.lost.as_ref().is_some_and(|lost| lost.files.contains(&file));
        if is_known || self.is_stopping() {
            return Ok(());
        }
        if self.super_seed.is_some() {
            return Err(error);
        }
        let layout = self.spec.layout.clone();
        let lost = self.lost.get_or_insert_with(|| LostFiles {
            files: BTreeSet::new(),
            pieces: Bitfield::empty(layout.piece_count()),
        });
        lost.files.insert(file);
        let last = (span.offset + span.length).saturating_sub(1);
        if let Some((first, last)) = layout.piece_at(span.offset).zip(layout.piece_at(last)) {
            for piece in (first.0..=last.0).map(PieceIndex) {
                if self.picker.have().has(piece) && lost.pieces.insert(piece) {
                    self.totals.verified -= self.spec.payload_of(piece);
                }
            }
        }
        if lost.files.len() > FILES || lost.pieces.is_full() {
            return Err(error);
        }
        ctx.notify(Notice::FileLost { torrent: self.id, error });
        self.close_all(ctx, CloseReason::DataLost);
        Ok(())
    }
}
