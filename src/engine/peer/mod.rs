//! One connection's protocol state (BEP 3, 6, 10): who chokes and wants whom, what the peer has, what is
//! asked of it and what it has asked of us.
//!
//! This is bookkeeping with rules; which blocks to ask for, whom to serve and when to close is decided by
//! the torrent that the connection belongs to.

pub mod allowed_fast;
mod pipeline;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use super::input::Origin;
use crate::base::bitfield::Bitfield;
use crate::base::index::{BlockRequest, PieceIndex};
use crate::base::limit;
use crate::base::peer_id::PeerId;
use crate::base::rate::RollingRate;
use crate::base::time::Instant;
use crate::wire::extension::{ExtensionHandshake, ExtensionIds};
use crate::wire::peer::Handshake;

pub use pipeline::RequestPipeline;

/// A peer that shook hands.
#[derive(Debug)]
pub struct PeerConnection {
    /// The other end.
    pub address: SocketAddr,
    /// Who opened the connection.
    pub origin: Origin,
    /// Where a peer that came to us says that it listens.
    pub listens: Option<SocketAddr>,
    /// What the peer calls itself.
    pub peer_id: PeerId,
    /// Whether both ends speak the fast extension (BEP 6).
    pub has_fast: bool,
    /// Whether both ends speak the extension protocol (BEP 10).
    pub has_extension: bool,
    /// The pieces that it says it has.
    pub has: Bitfield,
    /// How many of these we want.
    pub wanted: u32,
    /// Whether it has said what it has: what it says after that can only be more.
    pub has_spoken: bool,
    /// Whether it has said nothing at all since its handshake.
    pub is_mute: bool,
    /// We refuse its requests.
    pub am_choking: bool,
    /// We have told it that we want something.
    pub am_interested: bool,
    /// It refuses our requests.
    pub peer_choking: bool,
    /// It wants something of ours.
    pub peer_interested: bool,
    /// It has said that it will never want anything (BEP 21).
    pub is_upload_only: bool,
    /// What we have asked for.
    pub requests: RequestPipeline,
    /// Requests of its that are being answered, in order.
    pub uploading: VecDeque<BlockRequest>,
    /// How many of these, from the first, have been handed on to be read and sent.
    pub uploads_begun: usize,
    /// When something was queued for it that had nothing queued before.
    pub queued_at: Instant,
    /// When it took a block last.
    pub last_taken: Option<Instant>,
    /// Pieces that it serves us even while it chokes us.
    pub allowed_fast: Vec<PieceIndex>,
    /// Requests that it has taken back in this turn.
    pub cancelled: BTreeSet<BlockRequest>,
    /// Pieces that we serve it even while we choke it, within bounds.
    pub fast_offers: Vec<PieceIndex>,
    /// Pieces that we suggested to it and that it has not begun.
    pub suggested: Vec<PieceIndex>,
    /// By which numbers it wants extensions to be addressed.
    pub extension_ids: ExtensionIds,
    /// When we choked or unchoked it last while it wanted something.
    pub choke_changed: Option<Instant>,
    /// When it asked for something last, or was unchoked.
    pub last_asked: Instant,
    /// Rate of payload from it.
    pub down: RollingRate,
    /// Rate of useful payload from it: what it has a claim with.
    pub giving: RollingRate,
    /// Rate of payload to it.
    pub up: RollingRate,
    /// Useful payload that it gave, bytes.
    pub given: u64,
    /// Payload that it took, bytes.
    pub taken: u64,
    /// Payload that nobody asked it for, or that came twice, bytes.
    pub wasted: u64,
    /// When it joined.
    pub since: Instant,
    /// When useful payload moved last, either way; before any, when it joined.
    pub last_data: Instant,
    /// When something came last.
    pub last_received: Instant,
    /// When the network changed while it owed blocks, if it has not been heard since.
    pub doubted_at: Option<Instant>,
    /// When something was sent last.
    pub last_sent: Instant,
    /// How many of the pieces that became ours it has been told.
    pub news_told: usize,
    /// Requests refused as impossible.
    pub bad_requests: u32,
    /// Messages that brought nothing.
    idle_talk: Flood,
    /// Times it choked or unchoked us, or changed its interest.
    state_changes: Flood,
}

/// How often a peer did something in the present window of time.
#[derive(Debug)]
struct Flood {
    count: u32,
    since: Instant,
}

impl Flood {
    fn count(&mut self, now: Instant) -> u32 {
        if now.since(self.since) >= limit::FLOOD_WINDOW {
            *self = Flood { count: 0, since: now };
        }
        self.count += 1;
        self.count
    }
}

impl PeerConnection {
    /// A peer that just shook hands and has told nothing else; `pieces` is how many the torrent has.
    pub fn new(
        now: Instant,
        address: SocketAddr,
        origin: Origin,
        handshake: &Handshake,
        pieces: u32,
    ) -> PeerConnection {
        PeerConnection {
            address,
            origin,
            listens: None,
            peer_id: handshake.peer_id,
            has_fast: handshake.reserved.has_fast(),
            has_extension: handshake.reserved.has_extension(),
            has: Bitfield::empty(pieces),
            wanted: 0,
            has_spoken: false,
            is_mute: true,
            am_choking: true,
            am_interested: false,
            peer_choking: true,
            peer_interested: false,
            is_upload_only: false,
            requests: RequestPipeline::new(now),
            uploading: VecDeque::new(),
            uploads_begun: 0,
            queued_at: now,
            last_taken: None,
            allowed_fast: Vec::new(),
            cancelled: BTreeSet::new(),
            fast_offers: Vec::new(),
            suggested: Vec::new(),
            extension_ids: ExtensionIds::default(),
            choke_changed: None,
            last_asked: now,
            down: RollingRate::new(now),
            giving: RollingRate::new(now),
            up: RollingRate::new(now),
            given: 0,
            taken: 0,
            wasted: 0,
            since: now,
            last_data: now,
            last_received: now,
            doubted_at: None,
            last_sent: now,
            news_told: 0,
            bad_requests: 0,
            idle_talk: Flood { count: 0, since: now },
            state_changes: Flood { count: 0, since: now },
        }
    }

    /// Whether it has every piece.
    pub fn is_seed(&self) -> bool {
        self.has.is_full()
    }

    /// Takes what the peer tells of itself (BEP 10). Repeats add to what is known.
    pub fn on_extension_handshake(&mut self, told: &ExtensionHandshake) {
        if let Some(reqq) = told.reqq {
            self.requests.set_limit(reqq);
        }
        self.extension_ids.update(&told.messages);
        if let Some(upload_only) = told.upload_only {
            self.is_upload_only = upload_only;
        }
    }

    /// Remembers that the peer serves `piece` even while choking; a bounded number of them.
    pub fn on_allowed_fast(&mut self, piece: PieceIndex) {
        if self.allowed_fast.len() < limit::ALLOWED_FAST && !self.allowed_fast.contains(&piece) {
            self.allowed_fast.push(piece);
        }
    }

    /// Counts a message that brought nothing. False when there are so many of them that the peer can have
    /// nothing else in mind.
    #[must_use]
    pub fn count_idle_talk(&mut self, now: Instant) -> bool {
        self.idle_talk.count(now) <= limit::IDLE_TALK
    }

    /// Counts a change of choking or interest. False when there are so many of them that it can mean nothing.
    #[must_use]
    pub fn count_state_change(&mut self, now: Instant) -> bool {
        self.state_changes.count(now) <= limit::STATE_CHANGES
    }

    /// Whether it will never want anything.
    pub fn wants_nothing(&self) -> bool {
        self.is_upload_only || self.is_seed()
    }

    /// Since when something waits for it, and it has taken nothing; `None` when nothing does.
    pub fn owed_since(&self) -> Option<Instant> {
        let taken = self.last_taken.unwrap_or(Instant::ZERO);
        (!self.uploading.is_empty()).then(|| self.queued_at.max(taken))
    }

    /// Queues a request of its.
    pub fn queue_upload(&mut self, now: Instant, request: BlockRequest) {
        if self.uploading.is_empty() {
            self.queued_at = now;
        }
        self.uploading.push_back(request);
    }

    /// Whether it may be asked for something at all.
    pub fn may_request(&self) -> bool {
        self.am_interested && (!self.peer_choking || !self.allowed_fast.is_empty())
    }
}
