//! What peers are told of pieces that became ours, and when.
//!
//! Verified pieces wait a moment, so that several are told of in one write. Each peer has its place in the list of
//! them, and is told a slice at a time: a list may be longer than an honest peer on a narrow line can read before it
//! counts as one that does not read. That we want nothing more (BEP 21) is told when all of that is.

use std::sync::Arc;

use super::Context;
use super::active::Active;
use crate::base::index::PieceIndex;
use crate::base::time::{Duration, Instant};
use crate::engine::action::Action;
use crate::wire::extension::Extension;
use crate::wire::peer::Message;

/// How long pieces wait to be told of, and the time between two slices.
const DELAY: Duration = Duration::from_millis(100);
/// Pieces in a slice: 46 kB/s to a peer.
const SLICE: usize = 512;

/// Pieces to be told of.
#[derive(Default)]
pub(super) struct News {
    /// In order: each peer is told them from where it stands.
    pieces: Vec<PieceIndex>,
    /// When those that are not told yet are due.
    due: Option<Instant>,
    /// Whether peers are to be told, after that, that we want nothing more.
    ends_with_upload_only: bool,
}

impl News {
    /// Where whoever knows all that we have now stands.
    pub(super) fn end(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn push(&mut self, now: Instant, piece: PieceIndex) {
        self.pieces.push(piece);
        self.due.get_or_insert(now + DELAY);
    }
}

impl Active {
    /// Tells every peer more of the pieces that became ours since it was told last.
    pub(super) fn tell_news(&mut self, ctx: &mut Context<'_>) {
        self.news.due = None;
        let mut shared: Option<(usize, Arc<[PieceIndex]>)> = None;
        let end = self.news.end();
        for (&connection, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.news_told < end) {
            let told = peer.news_told;
            peer.news_told = end.min(told + SLICE);
            let (_, pieces) = match &shared {
                Some(same) if same.0 == told => same,
                _ => shared.insert((told, self.news.pieces[told..peer.news_told].into())),
            };
            ctx.actions.push_back(Action::SendHaves { connection, pieces: pieces.clone() });
            peer.last_sent = ctx.now;
            if peer.news_told < end {
                self.news.due = Some(ctx.now + DELAY);
            }
        }
        if self.news.due.is_none() && std::mem::take(&mut self.news.ends_with_upload_only) {
            self.tell_upload_only(ctx);
        }
    }

    /// Tells every peer of all these, which are ours but were kept from them, then that we want nothing.
    pub(super) fn tell_all(&mut self, ctx: &mut Context<'_>, pieces: Vec<PieceIndex>) {
        self.peers.values_mut().for_each(|peer| peer.news_told = 0);
        self.news.pieces = pieces;
        self.end_news(ctx);
    }

    /// Nothing more will become ours: tells what is left to tell, then that we want nothing.
    pub(super) fn end_news(&mut self, ctx: &mut Context<'_>) {
        self.news.ends_with_upload_only = true;
        self.tell_news(ctx);
    }

    fn tell_upload_only(&mut self, ctx: &mut Context<'_>) {
        for (&connection, peer) in &mut self.peers {
            if let Some(id) = peer.extension_ids.id_of(Extension::UploadOnly) {
                peer.last_sent = ctx.now;
                ctx.send(connection, Message::Extended { id, payload: [1].into() });
            }
        }
    }
}
