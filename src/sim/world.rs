//! The world: hosts, links, a tracker, and a heap of events in virtual time.
//!
//! A step takes the next event, tells it to the host that it concerns, and takes the host's actions to the
//! end; what comes of them are events to come. Performing an action never calls a session. After each step
//! the host's invariants are checked. Everything random comes from one seed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::checks::Watch;
use super::content::Content;
use super::disk::VirtualDisk;
use super::event::{Event, EventQueue};
use super::host::{Host, HostPlan, Line, Machine, Network, Node, Presence};
use super::link::{Link, LinkKind};
use super::scripted::{PeerEvent, ScriptedPeer};
use super::trace::Trace;
use super::tracker::{Tracker, TrackerMode};
use crate::base::index::PieceIndex;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};
use crate::engine::action::Action;
use crate::engine::input::{HttpFailure, Input};
use crate::engine::notice::Notice;
use crate::engine::order::{Order, TorrentId, TorrentSpec};
use crate::engine::session::Session;
use crate::engine::snapshot::{Detail, TorrentSnapshot};

/// Names a simulated machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(pub usize);

/// How a host goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Departure {
    /// Switched off; its connections are closed by the system.
    Off,
    /// Without a word: its peers must find out by themselves.
    Lost,
}

/// The one torrent of a world.
pub const TORRENT: TorrentId = TorrentId(0);
/// Where every host listens.
const PORT: u16 = 6881;
/// Wakes at the same time before a session is said to spin.
const SPINS: u32 = 1_000;
/// Faults that are kept.
const FAULTS: usize = 20;

/// A simulated world.
pub struct World {
    pub(super) now: Instant,
    pub(super) queue: EventQueue,
    pub(super) content: Content,
    pub(super) kind: LinkKind,
    pub(super) hosts: Vec<Host>,
    pub(super) by_address: BTreeMap<IpAddr, HostId>,
    pub(super) links: Vec<Link>,
    pub(super) tracker: Tracker,
    pub(super) rng: Rng,
    trace: Trace,
    faults: Vec<String>,
    seed: u64,
    steps: u64,
}

impl World {
    /// A world without hosts.
    pub fn new(seed: u64, content: Content, kind: LinkKind, tracker: TrackerMode) -> World {
        let rng = Rng::from_number(seed);
        World {
            now: Instant::ZERO + Duration::from_secs(1),
            queue: EventQueue::default(),
            content,
            kind,
            hosts: Vec::new(),
            by_address: BTreeMap::new(),
            links: Vec::new(),
            tracker: Tracker::new(tracker, rng.fork("tracker")),
            rng: rng.fork("world"),
            trace: Trace::new(),
            faults: Vec::new(),
            seed,
            steps: 0,
        }
    }

    /// Adds a host with a session. It is switched off.
    pub fn add_session(&mut self, plan: HostPlan) -> HostId {
        let disk = VirtualDisk::new(self.content.clone(), plan.disk, plan.has.clone());
        let disk = disk.with_foreign(plan.foreign.clone());
        let node = Node {
            disk: match &plan.medium {
                Some((medium, patience)) => {
                    VirtualDisk::keeping(self.content.clone(), plan.disk, medium.clone(), *patience)
                }
                None if plan.remembers => disk.remembering(),
                None => disk,
            },
            session: None,
            watch: Watch::default(),
            armed: None,
            spins: (Instant::ZERO, 0),
            is_crowded: false,
            fetches_out: 0,
            notices: Vec::new(),
            network: Network::default(),
            plan,
        };
        let line = node.plan.line;
        self.add(line, Machine::Node(Box::new(node)))
    }

    /// Adds a host with a script. It is switched off.
    pub fn add_scripted(&mut self, line: Line, script: Box<dyn ScriptedPeer>) -> HostId {
        self.add(line, Machine::Script(script))
    }

    fn add(&mut self, line: Line, machine: Machine) -> HostId {
        let id = HostId(self.hosts.len());
        let number = id.0 as u32 + 1;
        let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
        let rng = Rng::from_number(self.seed).fork(&format!("host {}", id.0));
        self.by_address.insert(ip, id);
        self.hosts.push(Host::new(SocketAddr::new(ip, PORT), line, rng, machine));
        id
    }

    /// Switches a host on, after a while.
    pub fn start_in(&mut self, host: HostId, after: Duration) {
        self.queue.push(self.now + after, Event::Start { host });
    }

    /// Switches a host off, after a while.
    pub fn stop_in(&mut self, host: HostId, after: Duration, departure: Departure) {
        self.queue.push(self.now + after, Event::Stop { host, departure });
    }

    /// Stops a host's program for a while, as a signal does: what comes meanwhile waits, and its clock goes on.
    pub fn freeze(&mut self, host: HostId, time: Duration) {
        self.hosts[host.0].frozen_until = self.now + time;
    }

    /// A host's system tells that the network has changed.
    pub fn change_network(&mut self, host: HostId) {
        let run = self.hosts[host.0].run;
        self.queue.push(self.now, Event::Input { host, run, input: Input::NetworkChanged });
    }

    /// A person wishes something of a host's session.
    pub fn order(&mut self, host: HostId, order: Order) {
        let run = self.hosts[host.0].run;
        self.queue.push(self.now, Event::Input { host, run, input: Input::OrderGiven(order) });
    }

    /// A host's disk has no more space, or has some again.
    pub fn set_full(&mut self, host: HostId, is_full: bool) {
        if let Some(node) = self.hosts[host.0].node_mut() {
            node.disk.set_full(is_full);
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The seed that makes this world again.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The digest of every (time, host, input, action) so far.
    pub fn digest(&self) -> u64 {
        self.trace.digest()
    }

    /// Keeps every (time, host, input, action) as a line from here on.
    pub fn keep_trace(&mut self) {
        self.trace.keep_lines();
    }

    /// The lines kept so far.
    pub fn take_trace(&mut self) -> Vec<String> {
        self.trace.take_lines()
    }

    /// Rules that were broken so far, in words.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    /// Whether a host is switched on.
    pub fn is_on(&self, host: HostId) -> bool {
        self.hosts[host.0].presence == Presence::On
    }

    /// Where a host listens.
    pub fn address(&self, host: HostId) -> SocketAddr {
        self.hosts[host.0].address
    }

    /// The swarm's torrent.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The tracker.
    pub fn tracker_mut(&mut self) -> &mut Tracker {
        &mut self.tracker
    }

    /// The disk of a host with a session.
    pub fn disk(&self, host: HostId) -> Option<&VirtualDisk> {
        self.hosts[host.0].node().map(|node| &node.disk)
    }

    /// The same, to do it harm.
    pub fn disk_mut(&mut self, host: HostId) -> Option<&mut VirtualDisk> {
        self.hosts[host.0].node_mut().map(|node| &mut node.disk)
    }

    /// Has this call of a host to the network fail, counted from now; `None`: none.
    pub fn fail_network(&mut self, host: HostId, call: Option<u64>) {
        if let Some(node) = self.hosts[host.0].node_mut() {
            node.network = Network { calls: 0, failing: call };
        }
    }

    /// Calls of a host to the network since they were last planned to fail, or not to.
    pub fn network_calls(&self, host: HostId) -> u64 {
        self.hosts[host.0].node().map_or(0, |node| node.network.calls)
    }

    /// Whether a call of a host to the network fails.
    pub(super) fn network_fails(&mut self, host: HostId) -> bool {
        self.hosts[host.0].node_mut().is_some_and(|node| node.network.fails())
    }

    /// Blocks that a host received in its present run, in order.
    pub fn fetched(&self, host: HostId) -> &[(PieceIndex, u32)] {
        self.hosts[host.0].node().map_or(&[], |node| &node.watch.fetched)
    }

    /// What a host's session told its people, in all its runs.
    pub fn notices(&self, host: HostId) -> &[(Instant, Notice)] {
        self.hosts[host.0].node().map_or(&[], |node| &node.notices)
    }

    /// Blocks that a host asked for while it had asked another peer for them, in its present run.
    pub fn duplicates(&self, host: HostId) -> u64 {
        self.hosts[host.0].node().map_or(0, |node| node.watch.duplicates)
    }

    /// The torrent as people at a host see it; `None` where no session is.
    pub fn snapshot(&self, host: HostId, detail: Detail) -> Option<TorrentSnapshot> {
        let session = self.hosts[host.0].node()?.session.as_ref()?;
        session.snapshot(self.now, detail).torrents.into_iter().find(|torrent| torrent.torrent == TORRENT)
    }

    /// Whether a host has every piece and every file has its name.
    pub fn is_complete(&self, host: HostId) -> bool {
        self.disk(host).is_some_and(|disk| disk.right().is_full())
            && self.notices(host).iter().any(|(_, notice)| matches!(notice, Notice::Complete { .. }))
    }

    /// What is still under way at a host: requests, disk jobs and fetches.
    pub fn outstanding(&self, host: HostId) -> (usize, bool, u32) {
        self.hosts[host.0]
            .node()
            .map_or((0, false, 0), |node| (node.watch.requests_out(), node.disk.is_busy(), node.fetches_out))
    }

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
    pub(super) fn give(&mut self, id: HostId, run: u32, input: Input) {
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

    /// Remembers that a rule was broken.
    pub(super) fn fault(&mut self, host: HostId, what: &str) {
        if self.faults.len() < FAULTS {
            self.faults.push(format!("{:?} host {}: {what}", self.now, host.0));
        }
    }
}

fn node_in_run(hosts: &mut [Host], id: HostId, run: u32) -> Option<&mut Node> {
    hosts[id.0].is_in_run(run).then(|| hosts[id.0].node_mut()).flatten()
}
