//! The steps of a world.
//!
//! A step takes the next event, tells it to the host that it concerns, and takes the host's actions to the
//! end; what comes of them are events to come. Performing an action never calls a session. After each step
//! the host's invariants are checked.

use super::{Departure, HostId, PORT, TORRENT, World};
use crate::base::time::{Duration, Instant};
use crate::engine::action::Action;
use crate::engine::input::{HttpFailure, Input};
use crate::engine::order::{Order, TorrentSpec};
use crate::engine::session::Session;
use crate::sim::checks::Watch;
use crate::sim::event::Event;
use crate::sim::host::{Host, Node, Presence};
use crate::sim::scripted::PeerEvent;

/// Wakes at the same time before a session is said to spin.
const SPINS: u32 = 1_000;

impl World {
    /// Steps until `is_done`, or until `limit` has passed; says whether it is done. Stops at the first fault.
    pub fn run_until(&mut self, limit: Duration, mut is_done: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if is_done(self) {
                return true;
            }
            if !self.faults.is_empty() || self.queue.next_at().is_none_or(|at| at > end) {
                self.now = end;
                return false;
            }
            self.step();
        }
    }

    /// Steps for a while.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// The next event; says whether there was one.
    pub fn step(&mut self) -> bool {
        let Some((at, event)) = self.queue.pop() else { return false };
        self.now = self.now.max(at);
        self.steps += 1;
        let Some(event) = self.unless_frozen(event) else { return true };
        match event {
            Event::Input { host, run, input } => self.give(host, run, input),
            Event::Timeout { host, run } => self.wake(host, run, at),
            Event::Scripted { host, run, event } => self.play(host, run, event),
            Event::Knock { host, run, dial, address } => self.knock(host, run, dial, address),
            Event::Established { link, dial } => self.establish(link, dial),
            Event::UplinkFree { host, run } => {
                if self.hosts[host.0].is_in_run(run) {
                    self.hosts[host.0].is_line_busy = false;
                    self.use_line(host);
                }
            }
            Event::Arrived { link, side, parcel } => {
                self.links[link].arrive(side, parcel);
                self.read(link, side);
            }
            Event::Read { link, side } => self.read(link, side),
            Event::Start { host } => self.start(host),
            Event::Stop { host, departure } => self.stop(host, departure),
        }
        true
    }

    /// Puts off what concerns a host that is frozen.
    fn unless_frozen(&mut self, event: Event) -> Option<Event> {
        let id = match &event {
            Event::Input { host, .. }
            | Event::Timeout { host, .. }
            | Event::Scripted { host, .. }
            | Event::UplinkFree { host, .. } => *host,
            Event::Established { link, .. } => self.links[*link].ends[0].host,
            Event::Arrived { link, side, .. } | Event::Read { link, side } => {
                self.links[*link].ends[*side].host
            }
            Event::Knock { host, address, .. } => *self.by_address.get(&address.ip()).unwrap_or(host),
            Event::Start { .. } | Event::Stop { .. } => return Some(event),
        };
        let until = self.hosts[id.0].frozen_until;
        if until <= self.now {
            return Some(event);
        }
        if let (Event::Timeout { .. }, Some(node)) = (&event, self.hosts[id.0].node_mut()) {
            node.armed = Some(until);
        }
        self.queue.push(until, event);
        None
    }

    fn start(&mut self, id: HostId) {
        let now = self.now;
        let host = &mut self.hosts[id.0];
        if host.presence == Presence::On {
            return;
        }
        host.presence = Presence::On;
        host.run += 1;
        host.is_line_busy = false;
        host.down_free_at = now;
        let (run, rng) = (host.run, host.rng.fork(&format!("run {}", host.run)));
        let Some(node) = host.node_mut() else {
            self.tracker.join(self.hosts[id.0].address);
            self.play(id, run, PeerEvent::Started);
            return;
        };
        let mut settings = node.plan.settings.clone();
        std::sync::Arc::make_mut(&mut settings).listen_port = PORT;
        node.session = Some(Session::new(settings, rng, now));
        (node.watch, node.armed, node.is_crowded) = (Watch::default(), None, false);
        node.fetches_out = 0;
        let spec = self.content.spec(node.plan.trackers.clone());
        let spec = Box::new(TorrentSpec { super_seed: node.plan.super_seed, ..spec });
        let addresses = node.plan.peers.clone();
        self.give(id, run, Input::OrderGiven(Order::AddTorrent { torrent: TORRENT, spec }));
        if !addresses.is_empty() {
            self.give(id, run, Input::OrderGiven(Order::AddPeers { torrent: TORRENT, addresses }));
        }
    }

    fn stop(&mut self, id: HostId, departure: Departure) {
        let host = &mut self.hosts[id.0];
        host.presence = match departure {
            Departure::Off => Presence::Off,
            Departure::Lost => Presence::Lost,
        };
        host.ring.clear();
        let connections = std::mem::take(&mut host.connections);
        if let Some(node) = host.node_mut() {
            node.session = None;
            node.disk.power_off();
        }
        for (link, side) in connections.into_values() {
            self.links[link].ends[side].close();
            if departure == Departure::Off {
                self.send_end(link, side);
            }
        }
    }

    /// Tells a session something, and performs what it wants.
    pub(in crate::sim) fn give(&mut self, id: HostId, run: u32, input: Input) {
        let now = self.now;
        let Some(node) = node_in_run(&mut self.hosts, id, run) else { return };
        self.trace.record(now, id, &input);
        node.watch.on_input(&input, &self.content);
        match &input {
            Input::DiskFinished(result) => node.disk.finish(now, result),
            Input::HttpFinished { .. } => node.fetches_out = node.fetches_out.saturating_sub(1),
            _ => {}
        }
        if let Some(session) = &mut node.session {
            session.handle_input(now, input);
        }
        self.settle(id, run);
    }

    fn wake(&mut self, id: HostId, run: u32, at: Instant) {
        let now = self.now;
        let Some(node) = node_in_run(&mut self.hosts, id, run) else { return };
        if node.armed != Some(at) {
            return;
        }
        node.armed = None;
        node.spins = if node.spins.0 == now { (now, node.spins.1 + 1) } else { (now, 0) };
        if node.spins.1 > SPINS {
            let reason = node.session.as_ref().and_then(Session::poll_timeout);
            self.fault(id, &format!("wakes again and again for {reason:?}"));
            return;
        }
        self.trace.record(now, id, &"timeout");
        if let Some(session) = &mut node.session {
            session.handle_timeout(now);
        }
        self.settle(id, run);
    }

    /// Takes a session's actions to the end, checks it, and plans its next deadline.
    fn settle(&mut self, id: HostId, run: u32) {
        let now = self.now;
        while let Some(node) = node_in_run(&mut self.hosts, id, run) {
            let Some(action) = node.session.as_mut().and_then(Session::poll_action) else { break };
            self.trace.record(now, id, &action);
            node.watch.on_action(&action, &self.content, &node.disk);
            self.perform(id, action);
        }
        let Some(node) = node_in_run(&mut self.hosts, id, run) else { return };
        let Some(session) = &node.session else { return };
        session.check_invariants();
        node.watch.on_settled(&node.disk);
        let due = session.poll_timeout().map(|(at, _)| at.max(now));
        if due != node.armed {
            node.armed = due;
            if let Some(at) = due.filter(|at| *at != Instant::FAR) {
                self.queue.push(at, Event::Timeout { host: id, run });
            }
        }
        let is_crowded = node.disk.buffered() > node.plan.settings.memory / 2;
        if is_crowded != node.is_crowded {
            node.is_crowded = is_crowded;
            self.queue.push(now, Event::Input { host: id, run, input: Input::BuffersCrowded(is_crowded) });
        }
        let faults = [node.watch.take_faults(), node.disk.take_faults()].concat();
        faults.iter().for_each(|fault| self.fault(id, fault));
    }

    fn perform(&mut self, id: HostId, action: Action) {
        let run = self.hosts[id.0].run;
        match action {
            Action::Disk(job) => {
                let Some(node) = self.hosts[id.0].node_mut() else { return };
                let (at, result) = node.disk.start(self.now, job);
                let input = Input::DiskFinished(result);
                self.queue.push(at, Event::Input { host: id, run, input });
            }
            Action::FetchHttp { fetch, request } => {
                let from = self.hosts[id.0].address.ip();
                let result = match self.network_fails(id) {
                    true => Err(HttpFailure::TimedOut),
                    false => self.tracker.fetch(from, &request),
                };
                let is_lost = matches!(result, Err(HttpFailure::TimedOut));
                let time = if is_lost { request.timeout } else { Duration::from_millis(80) };
                if let Some(node) = self.hosts[id.0].node_mut() {
                    node.fetches_out += 1;
                }
                let input = Input::HttpFinished { fetch, result };
                self.queue.push(self.now + time, Event::Input { host: id, run, input });
            }
            Action::Notify(notice) => {
                let now = self.now;
                if let Some(node) = self.hosts[id.0].node_mut() {
                    node.notices.push((now, *notice));
                }
            }
            action => self.perform_on_network(id, action),
        }
    }
}

fn node_in_run(hosts: &mut [Host], id: HostId, run: u32) -> Option<&mut Node> {
    hosts[id.0].is_in_run(run).then(|| hosts[id.0].node_mut()).flatten()
}
