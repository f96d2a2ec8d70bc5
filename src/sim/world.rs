//! The world: hosts, links, a tracker, and a heap of events in virtual time.
//!
//! What it is made of, what may be done to it from outside, and what can be asked of it; how it goes on is
//! `running`'s. Everything random comes from one seed.

mod running;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::checks::Watch;
use super::content::Content;
use super::disk::VirtualDisk;
use super::event::{Event, EventQueue};
use super::host::{Host, HostPlan, Line, Machine, Network, Node, Presence};
use super::link::{Link, LinkKind};
use super::scripted::ScriptedPeer;
use super::trace::Trace;
use super::tracker::{Tracker, TrackerMode};
use crate::base::index::PieceIndex;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};
use crate::engine::input::Input;
use crate::engine::notice::Notice;
use crate::engine::order::{Order, TorrentId};
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
            disk: match &plan.kept {
                Some(kept) => VirtualDisk::keeping(self.content.clone(), plan.disk, kept.clone()),
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

    /// Remembers that a rule was broken.
    pub(super) fn fault(&mut self, host: HostId, what: &str) {
        if self.faults.len() < FAULTS {
            self.faults.push(format!("{:?} host {}: {what}", self.now, host.0));
        }
    }
}
