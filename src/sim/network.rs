//! The world's network: who connects to whom, whose turn it is on a line, and when what arrives.

use std::net::SocketAddr;

use super::event::Event;
use super::host::{Machine, Presence};
use super::link::{End, Link, Outgoing, Parcel};
use super::scripted::{Deed, Hand, PeerEvent};
use super::world::{HostId, World};
use crate::base::rate::ByteRate;
use crate::base::time::{Duration, Instant};
use crate::engine::action::{Action, Direction};
use crate::engine::input::{CloseCause, ConnectionId, DialId, Input, Origin, Transport};
use crate::wire::peer::{Inbound, Message};

/// How long a dial waits for a host from which nothing comes back.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two reads of bytes that came at once.
const READ_GAP: Duration = Duration::from_micros(50);

impl World {
    /// Performs an action that concerns connections.
    pub(super) fn perform_on_network(&mut self, id: HostId, action: Action) {
        let outgoing = |item| Outgoing::Item(item);
        match action {
            Action::Dial { dial, address } => self.dial(id, Some(dial), address),
            Action::SendHandshake { connection, handshake } => {
                self.with_end(id, connection, |end| end.send(outgoing(Inbound::Handshake(handshake))));
            }
            Action::Send { connection, message } => {
                self.with_end(id, connection, |end| end.send(outgoing(Inbound::Message(message))));
            }
            Action::SendHaves { connection, pieces } => self.with_end(id, connection, |end| {
                let haves = pieces.iter().map(|piece| Inbound::Message(Message::Have(*piece)));
                haves.for_each(|have| end.send(outgoing(have)));
            }),
            Action::Upload { connection, blocks, .. } => {
                self.with_end(id, connection, |end| end.upload(blocks));
            }
            Action::Retract { connection, blocks } => {
                let mut retracted = Vec::new();
                self.with_end(id, connection, |end| retracted = end.retract(&blocks));
                if !retracted.is_empty() {
                    let input = Input::Retracted { connection, blocks: retracted };
                    let run = self.hosts[id.0].run;
                    self.queue.push(self.now, Event::Input { host: id, run, input });
                }
            }
            Action::Expect { connection, pieces } => {
                self.with_end(id, connection, |end| end.expect_pieces(pieces));
            }
            Action::Allow { connection, direction, bytes } => {
                self.with_end(id, connection, |end| end.allow(direction, bytes));
                if let Some(&(link, side)) = self.hosts[id.0].connections.get(&connection) {
                    self.queue.push(self.now, Event::Read { link, side });
                }
            }
            Action::Close { connection, .. } => self.close(id, connection),
            Action::Disk(_) | Action::FetchHttp { .. } | Action::Notify(_) => {}
        }
    }

    /// Changes an open end, and lets it have its turn.
    fn with_end(&mut self, id: HostId, connection: ConnectionId, change: impl FnOnce(&mut End)) {
        let Some(&(link, side)) = self.hosts[id.0].connections.get(&connection) else { return };
        let end = &mut self.links[link].ends[side];
        if end.is_open {
            change(end);
            self.enlist(link, side);
        }
    }

    fn dial(&mut self, id: HostId, dial: Option<DialId>, address: SocketAddr) {
        let host = &self.hosts[id.0];
        let to = self.by_address.get(&address.ip()).map(|to| &self.hosts[to.0]);
        let time = host.line.latency + to.map_or(Duration::ZERO, |to| to.line.latency);
        let knock = Event::Knock { host: id, run: host.run, dial, address };
        self.queue.push(self.now + time, knock);
    }

    /// A dial reaches its host: accepted, refused, or lost.
    pub(super) fn knock(&mut self, id: HostId, run: u32, dial: Option<DialId>, address: SocketAddr) {
        if !self.hosts[id.0].is_in_run(run) {
            return;
        }
        let to = self.by_address.get(&address.ip()).copied();
        let to = to.filter(|to| self.hosts[to.0].address == address && *to != id);
        let latency =
            self.hosts[id.0].line.latency + to.map_or(Duration::ZERO, |to| self.hosts[to.0].line.latency);
        let presence = to.map_or(Presence::Lost, |to| self.hosts[to.0].presence);
        let fails = dial.is_some() && self.network_fails(id);
        let (Some(to), Presence::On, false) = (to, presence, fails) else {
            let time = if presence == Presence::Off { latency } else { DIAL_TIMEOUT };
            if let Some(dial) = dial {
                let input = Input::DialFailed { dial, reason: "no answer".to_owned() };
                self.queue.push(self.now + time, Event::Input { host: id, run, input });
            }
            return;
        };
        let ends = [id, to].map(|host| {
            let host_state = &mut self.hosts[host.0];
            End::new(host, host_state.run, host_state.next_connection())
        });
        let link = self.links.len();
        self.links.push(Link::new(ends, latency, self.kind));
        // The dialler's port is its system's choice.
        let from = SocketAddr::new(self.hosts[id.0].address.ip(), 32_768 + (link % 28_000) as u16);
        self.open(link, 1, from, Origin::Accepted);
        self.queue.push(self.now + latency, Event::Established { link, dial });
    }

    /// The dialler learns that its connection is open.
    pub(super) fn establish(&mut self, link: usize, dial: Option<DialId>) {
        let [End { host, run, .. }, End { host: to, .. }] = self.links[link].ends;
        if self.hosts[host.0].is_in_run(run) {
            let address = self.hosts[to.0].address;
            self.open(link, 0, address, Origin::Dialled(dial.unwrap_or(DialId(0))));
        } else {
            self.send_end(link, 0);
        }
    }

    fn open(&mut self, link: usize, side: usize, address: SocketAddr, origin: Origin) {
        let end = &mut self.links[link].ends[side];
        end.is_open = true;
        let (id, run, connection) = (end.host, end.run, end.connection);
        self.hosts[id.0].connections.insert(connection, (link, side));
        if let Machine::Script(_) = self.hosts[id.0].machine {
            // Scripts know no credit.
            for direction in [Direction::Down, Direction::Up] {
                self.links[link].ends[side].allow(direction, u64::MAX);
            }
            let is_ours = matches!(origin, Origin::Dialled(_));
            self.play(id, run, PeerEvent::Opened { connection, address, is_ours });
        } else {
            let transport = Transport::Tcp;
            let opened = Input::ConnectionOpened { connection, address, origin, transport, encrypted: false };
            self.give(id, run, opened);
        }
        self.read(link, side);
    }

    /// Ends a connection from this side.
    fn close(&mut self, id: HostId, connection: ConnectionId) {
        let Some(&(link, side)) = self.hosts[id.0].connections.get(&connection) else { return };
        if self.links[link].ends[side].is_open {
            self.end(link, side, CloseCause::Asked);
            self.send_end(link, side);
        }
    }

    /// An end is over: its host is told, a moment later.
    fn end(&mut self, link: usize, side: usize, cause: CloseCause) {
        let end = &mut self.links[link].ends[side];
        end.close();
        let (host, run, connection) = (end.host, end.run, end.connection);
        self.hosts[host.0].connections.remove(&connection);
        let event = match self.hosts[host.0].machine {
            Machine::Script(_) => Event::Scripted { host, run, event: PeerEvent::Closed { connection } },
            Machine::Node(_) => {
                Event::Input { host, run, input: Input::ConnectionClosed { connection, cause } }
            }
        };
        self.queue.push(self.now, event);
    }

    /// A connection breaks at this side.
    fn reset(&mut self, link: usize, side: usize) {
        if self.links[link].ends[side].is_open {
            self.end(link, side, CloseCause::Network);
            self.send_end(link, side);
        }
    }

    /// The other side learns that nothing more will come, after all that was sent before.
    pub(super) fn send_end(&mut self, link: usize, side: usize) {
        self.send_parcel(link, side, self.now, Parcel::End, 0);
    }

    fn send_parcel(&mut self, link: usize, side: usize, leaves: Instant, parcel: Parcel, bytes: u64) {
        let to = 1 - side;
        let latency = self.links[link].latency;
        let end = &mut self.links[link].ends[to];
        let host = &mut self.hosts[end.host.0];
        let mut at = (leaves + latency).max(end.last_arrival);
        if bytes > 0 {
            host.down_free_at = host.down_free_at.max(at) + time_for(host.line.down, bytes);
            at = host.down_free_at;
        }
        end.last_arrival = at;
        self.queue.push(at, Event::Arrived { link, side: to, parcel });
    }

    /// Gives an end its place among those that want to send.
    fn enlist(&mut self, link: usize, side: usize) {
        let end = &mut self.links[link].ends[side];
        let id = end.host;
        if !end.is_listed && !end.is_idle() {
            end.is_listed = true;
            self.hosts[id.0].ring.push_back((link, side));
            self.use_line(id);
        }
    }

    /// Sends what the next end in turn has, when the line is free.
    pub(super) fn use_line(&mut self, id: HostId) {
        while !self.hosts[id.0].is_line_busy {
            let Some((link, side)) = self.hosts[id.0].ring.pop_front() else { return };
            self.links[link].ends[side].is_listed = false;
            let Some(sent) = self.links[link].take(side, &self.content) else { continue };
            let host = &mut self.hosts[id.0];
            host.is_line_busy = true;
            let (run, free_at) = (host.run, self.now + time_for(host.line.up, sent.bytes));
            let end = &mut self.links[link].ends[side];
            if !end.is_idle() {
                end.is_listed = true;
                self.hosts[id.0].ring.push_back((link, side));
            }
            let connection = end.connection;
            if self.network_fails(id) {
                self.hosts[id.0].is_line_busy = false;
                self.reset(link, side);
                continue;
            }
            self.send_parcel(link, side, free_at, sent.parcel, sent.bytes);
            if sent.metered > 0 {
                let input = Input::Moved { connection, direction: Direction::Up, bytes: sent.metered };
                self.queue.push(self.now, Event::Input { host: id, run, input });
            }
            if !sent.blocks.is_empty() {
                let input = Input::Uploaded { connection, blocks: sent.blocks };
                self.queue.push(free_at, Event::Input { host: id, run, input });
            }
            self.queue.push(free_at, Event::UplinkFree { host: id, run });
        }
    }

    /// An end reads what is there, and its host is told.
    pub(super) fn read(&mut self, link: usize, side: usize) {
        let reading = self.links[link].read(side, &mut self.rng);
        let end = &self.links[link].ends[side];
        let (host, run, connection) = (end.host, end.run, end.connection);
        if !self.hosts[host.0].is_in_run(run) {
            return;
        }
        if reading.has_more {
            self.queue.push(self.now + READ_GAP, Event::Read { link, side });
        }
        // What was read may let the other side send on.
        self.enlist(link, 1 - side);
        if reading.metered > 0 {
            let moved = Input::Moved { connection, direction: Direction::Down, bytes: reading.metered };
            self.give(host, run, moved);
        }
        if !reading.messages.is_empty() && self.network_fails(host) {
            return self.reset(link, side);
        }
        if !reading.messages.is_empty() {
            let messages = reading.messages;
            if let Machine::Script(_) = self.hosts[host.0].machine {
                self.play(host, run, PeerEvent::Received { connection, messages });
            } else {
                self.give(host, run, Input::MessagesReceived { connection, messages });
            }
        }
        if let Some(cause) = reading.closed.filter(|_| self.links[link].ends[side].is_open) {
            self.end(link, side, cause);
            if matches!(cause, CloseCause::Malformed(_)) {
                self.send_end(link, side);
            }
        }
    }

    /// Tells a scripted peer something, and does what it wants.
    pub(super) fn play(&mut self, id: HostId, run: u32, event: PeerEvent) {
        let host = &mut self.hosts[id.0];
        if !host.is_in_run(run) {
            return;
        }
        let Machine::Script(script) = &mut host.machine else { return };
        let mut hand = Hand { now: self.now, content: &self.content, rng: &mut host.rng, deeds: Vec::new() };
        script.handle(event, &mut hand);
        for deed in hand.deeds {
            match deed {
                Deed::Dial(address) => self.dial(id, None, address),
                Deed::Send(connection, item) => {
                    self.with_end(id, connection, |end| end.send(Outgoing::Item(item)));
                }
                Deed::SendRaw(connection, bytes) => {
                    self.with_end(id, connection, |end| end.send(Outgoing::Raw(bytes)));
                }
                Deed::Close(connection) => self.close(id, connection),
                Deed::StopReading(connection) => self.with_end(id, connection, End::stop_reading),
                Deed::Wake(time) => {
                    let event = Event::Scripted { host: id, run, event: PeerEvent::Woken };
                    self.queue.push(self.now + time, event);
                }
            }
        }
    }
}

fn time_for(rate: ByteRate, bytes: u64) -> Duration {
    rate.time_for(bytes).unwrap_or_default()
}
