//! What people see of an active torrent, and why nothing comes when nothing does.

use super::active::Active;
use super::piece_buffer::PieceBuffer;
use crate::base::rate::ByteRate;
use crate::base::time::{Duration, Instant};
use crate::engine::peer::PeerConnection;
use crate::engine::snapshot::{Detail, PeerSnapshot, Phase, StallReason, TorrentSnapshot};

/// Nothing useful for so long, and a reason is given.
const PATIENCE: Duration = Duration::from_secs(3);
/// A write that takes longer is worth telling, whatever else comes.
const SLOW: Duration = Duration::from_secs(5);

impl Active {
    pub(super) fn snapshot(&self, now: Instant, detail: Detail) -> TorrentSnapshot {
        let (mut down, mut up) = (self.down.clone(), self.up.clone());
        let down = down.rate(now);
        let left = self.totals.payload - self.totals.verified;
        let peer_list = match detail {
            Detail::Totals => Vec::new(),
            Detail::Peers => self.peers.values().map(|peer| peer_snapshot(peer, now)).collect(),
        };
        let partial: u64 = self.picker.partial_pieces().map(|piece| piece.received).sum();
        TorrentSnapshot {
            torrent: self.id,
            phase: if self.is_complete() { Phase::Seeding } else { Phase::Downloading },
            total: self.totals.payload,
            verified: self.totals.verified,
            pieces: self.have().len(),
            have: self.offered().count(),
            partial,
            downloaded: self.totals.downloaded,
            uploaded: self.totals.uploaded,
            earlier: self.earlier,
            wasted: self.totals.wasted,
            down,
            up: up.rate(now),
            peers: self.peers.len(),
            seeds: self.peers.values().filter(|peer| peer.is_seed()).count(),
            known_peers: self.peer_list.known(),
            swarm_seeds: self.swarm_seeds(),
            copies: self.picker.copies(),
            eta: down.time_for(left.saturating_sub(partial)),
            waiting: self.stall_reason(now, down),
            peer_list,
        }
    }

    /// Seeds beside ourselves. A tracker counts us too once it has heard that we are one.
    fn swarm_seeds(&self) -> usize {
        let told = self.announcer.seeds() as usize;
        told.saturating_sub(usize::from(self.is_complete())).max(self.seeds_met.len())
    }

    fn stall_reason(&self, now: Instant, down: ByteRate) -> Option<StallReason> {
        if self.is_complete() {
            return None;
        }
        if let Some(full) = &self.full_disk {
            let needed = self.totals.payload - self.totals.verified;
            return Some(StallReason::DiskFull { free: full.free, needed });
        }
        let is_slow = |buffer: &PieceBuffer| buffer.out_for(now).is_some_and(|time| time > SLOW);
        if self.buffers.values().any(is_slow) {
            return Some(StallReason::DiskSlow);
        }
        if self.peers.is_empty() && self.peer_list.known() == 0 && self.announcer.has_all_refused() {
            return Some(StallReason::TrackerRefused);
        }
        if now.since(self.last_block) < PATIENCE && !self.has_nobody_to_wait_for(now) {
            return None;
        }
        if self.peers.is_empty() {
            return Some(self.no_peers_reason());
        }
        let missing = self.picker.missing_from_all();
        if self.peers.values().any(|peer| !peer.requests.is_empty()) {
            return (down == ByteRate(0)).then_some(StallReason::PeersSilent);
        }
        if self.buffers.values().any(PieceBuffer::is_out) {
            return Some(StallReason::DiskSlow);
        }
        if missing > 0 && !self.peers.values().any(|peer| peer.wanted > 0) {
            return Some(StallReason::MissingPieces { pieces: missing, copies: self.copies_with_ours() });
        }
        let all_choke = self.peers.values().all(|peer| peer.peer_choking);
        Some(if all_choke { StallReason::AllChokeUs } else { StallReason::PeersSilent })
    }

    /// Whether nothing has come so far, and nobody is asked or dialled from whom something could.
    fn has_nobody_to_wait_for(&self, now: Instant) -> bool {
        let is_asking = !self.fetches.is_empty() || !self.peers.is_empty() || self.dials_out > 0;
        let may_dial = self.peer_list.next_dial_at().is_some_and(|at| at <= now);
        self.totals.downloaded == 0 && !is_asking && !may_dial
    }

    fn no_peers_reason(&self) -> StallReason {
        if self.peer_list.known() > 0 {
            StallReason::NoneConnectable
        } else if !self.announcer.has_trackers() {
            StallReason::NoTrackers
        } else {
            StallReason::NoPeersFound
        }
    }

    /// Copies in the swarm, our own pieces counted in: below 1 while a piece is nowhere.
    fn copies_with_ours(&self) -> f32 {
        let (pieces, missing) = (self.have().len().max(1), self.picker.missing_from_all());
        if missing > 0 { (pieces - missing) as f32 / pieces as f32 } else { self.picker.copies().max(1.0) }
    }
}

fn peer_snapshot(peer: &PeerConnection, now: Instant) -> PeerSnapshot {
    PeerSnapshot {
        address: peer.address,
        peer_id: peer.peer_id,
        has: peer.has.count() as f32 / peer.has.len().max(1) as f32,
        down: peer.down.clone().rate(now),
        up: peer.up.clone().rate(now),
        choking_us: peer.peer_choking,
        snubbed: peer.requests.is_snubbed(),
        requests: peer.requests.len(),
    }
}
