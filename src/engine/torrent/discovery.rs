//! Where peers come from: trackers are asked, and candidates dialled while there is room.

use std::net::SocketAddr;

use super::active::Active;
use super::{Context, DialEnd};
use crate::base::address::Reach;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};
use crate::engine::action::Action;
use crate::engine::input::{FetchId, HttpAnswer, HttpFailure};
use crate::engine::notice::Notice;
use crate::engine::order::TorrentSpec;
use crate::engine::peer_list::{PeerList, PeerSource};
use crate::engine::tracker::{self, Announcer, AnnouncerSettings, TrackerOutput};

/// More peers are asked for while fewer than this are connected or waiting to be dialled.
const PEERS_WANTED: usize = 20;
/// Without room for a dial, room is looked for again so much later.
const ROOM_RETRY: Duration = Duration::from_secs(5);

pub(super) fn announcer(ctx: &Context<'_>, spec: &TorrentSpec, mut rng: Rng) -> Announcer {
    let settings = AnnouncerSettings {
        info_hash: spec.info_hashes.wire(),
        peer_id: ctx.peer_id,
        port: ctx.settings.listen_port,
        key: rng.next_u32(),
        families: ctx.settings.families,
        numwant: ctx.settings.numwant,
        supports_encryption: false,
    };
    Announcer::new(settings, spec.trackers.clone(), rng)
}

/// Adds peers that a person named.
pub(super) fn add_named(list: &mut PeerList, now: Instant, addresses: &[SocketAddr]) {
    for address in addresses {
        list.add(now, *address, PeerSource::Person, Reach::Loopback);
    }
}

/// Adds the address at which a peer that came to us says that it listens, as one that is connected.
pub(super) fn add_incoming(list: &mut PeerList, now: Instant, listens: SocketAddr) {
    if let Some(reach) = Reach::of(listens.ip()) {
        list.add(now, listens, PeerSource::Incoming, reach);
        list.on_accepted(listens);
    }
}

impl Active {
    pub(super) fn add_peers(&mut self, ctx: &mut Context<'_>, addresses: &[SocketAddr]) {
        add_named(&mut self.peer_list, ctx.now, addresses);
        self.dial(ctx);
    }

    /// Lets the announcer act, and does what it wants.
    pub(super) fn pump_tracker(&mut self, ctx: &mut Context<'_>) {
        let connected = self.peers.len() + self.dials_out;
        self.announcer.set_need(!self.is_complete() && connected < PEERS_WANTED);
        self.announcer.handle_timeout(ctx.now);
        while let Some(output) = self.announcer.poll_output(self.announced()) {
            self.on_tracker_output(ctx, output);
        }
    }

    fn announced(&self) -> tracker::Totals {
        tracker::Totals {
            uploaded: self.totals.uploaded,
            downloaded: self.totals.downloaded,
            left: self.totals.payload - self.totals.verified,
            corrupt: self.totals.corrupt,
        }
    }

    fn on_tracker_output(&mut self, ctx: &mut Context<'_>, output: TrackerOutput) {
        let torrent = self.id;
        match output {
            TrackerOutput::Fetch { key, request } => {
                let fetch = ctx.names.fetch();
                self.fetches.insert(fetch, key);
                ctx.actions.push_back(Action::FetchHttp { fetch, request });
            }
            TrackerOutput::Peers { addresses, reach } => {
                for address in addresses {
                    self.peer_list.add(ctx.now, address, PeerSource::Tracker, reach);
                }
            }
            TrackerOutput::Answered { tracker, peers, warning } => {
                ctx.notify(Notice::TrackerAnswered { torrent, tracker, peers, warning });
            }
            TrackerOutput::Failed { tracker, reason, refused } => {
                ctx.notify(Notice::TrackerFailed { torrent, tracker, reason, refused });
            }
        }
    }

    /// An announce is done.
    pub(in crate::engine) fn on_http_finished(
        &mut self,
        ctx: &mut Context<'_>,
        fetch: FetchId,
        result: Result<HttpAnswer, HttpFailure>,
    ) {
        let Some(key) = self.fetches.remove(&fetch) else { return };
        self.announcer.on_http_finished(ctx.now, key, result);
        self.pump_tracker(ctx);
        self.dial(ctx);
    }

    /// Dials candidates as far as there is room.
    pub(super) fn dial(&mut self, ctx: &mut Context<'_>) {
        loop {
            if !self.may_dial(ctx) {
                self.dial_after = ctx.now + ROOM_RETRY;
                return self.want_room(ctx);
            }
            let Some(address) = self.peer_list.pick_dial(ctx.now) else { return };
            let dial = ctx.names.dial(address);
            self.dials_out += 1;
            ctx.room.dials -= 1;
            ctx.room.connections -= 1;
            ctx.actions.push_back(Action::Dial { dial, address });
        }
    }

    /// There is no room for a dial: if there is somebody to dial, a peer that is of no use may have to leave.
    fn want_room(&mut self, ctx: &mut Context<'_>) {
        if self.is_stopping() || self.peer_list.next_dial_at().is_none_or(|at| at > ctx.now) {
            return;
        }
        if self.peers.len() >= ctx.settings.max_peers_torrent {
            self.make_room(ctx, None);
        } else if ctx.room.connections == 0 {
            ctx.wishes.room = true;
        }
    }

    fn may_dial(&self, ctx: &Context<'_>) -> bool {
        !self.is_stopping()
            && ctx.room.dials > 0
            && ctx.room.connections > 0
            && self.peers.len() + self.dials_out < ctx.settings.max_peers_torrent
    }

    /// When there may be somebody to dial.
    pub(super) fn dial_at(&self) -> Option<Instant> {
        self.peer_list.next_dial_at().map(|at| at.max(self.dial_after))
    }

    /// A dialled peer became a member.
    pub(in crate::engine) fn on_dial_succeeded(&mut self) {
        self.dials_out -= 1;
    }

    /// A dialled peer did not become a member.
    pub(in crate::engine) fn on_dial_failed(
        &mut self,
        ctx: &mut Context<'_>,
        address: SocketAddr,
        end: DialEnd,
    ) {
        self.dials_out -= 1;
        match end {
            DialEnd::Unreachable(reason) => {
                ctx.notify(Notice::PeerUnreachable { torrent: self.id, address, reason });
                self.peer_list.on_dial_failed(ctx.now, address);
            }
            DialEnd::Ourselves => self.peer_list.mark_ourselves(address),
            DialEnd::Unwanted => {
                self.peer_list.on_connected(address);
                self.peer_list.on_disconnected(ctx.now, address, false);
            }
        }
        self.dial(ctx);
    }
}
