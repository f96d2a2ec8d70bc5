//! The client: starts the engine and everything around it, and is how front-ends speak to it.
//!
//! Threads: one for the engine and all peer sockets, one for HTTP, as many workers for the disk as there
//! are processors. A [`Client`] is a handle; it holds no state of torrents. Front-ends give orders, hear
//! notices and ask for snapshots.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::clock::Clock;
use super::disk::{self, DiskPool, FileSpec, Keeping, OnConflict, Storage, SyncPolicy, Target};
use super::driver::{Event, Handle, Parts};
use super::http::HttpWorker;
use super::net::buffers::BufferPool;
use super::net::door::tcp;
pub use super::net::door::tcp::Listen;
use super::notices;
use crate::base::address::Families;
use crate::base::random::Rng;
use crate::engine::input::Input;
use crate::engine::notice::Notice;
use crate::engine::order::{Order, TorrentId, TorrentSpec};
use crate::engine::session::Session;
use crate::engine::settings::{Limits, Settings};
use crate::engine::snapshot::{Detail, SessionSnapshot, TorrentSnapshot};
use crate::metainfo::{File, Metainfo};

#[cfg(test)]
mod tests;

/// Ports tried when none is chosen: above the well-known ones, below those that systems give out.
const RANDOM_PORTS: RangeInclusive<u16> = 10_000..=32_000;
/// Random ports tried before the system is asked for one.
const RANDOM_TRIES: usize = 20;
/// Events that the engine's thread takes before it lets its connections run.
const EVENT_BATCH: usize = 64;
/// Tasks that run before the system is asked what else has come. A connection moves up to 512 KiB a turn, and one
/// that takes all it is given is always ready for the next: until then nobody's cancel is heard, nor its own.
const TURNS_UNHEARD: u32 = 8;
/// Of the time that a polite end may take, this much is for what comes when nobody is waited for any more.
const LAST_STEPS: Duration = Duration::from_millis(250);
/// How long the disk may take then to end what it is at.
const DISK_END: Duration = Duration::from_millis(200);
/// Checks that are out for each worker: the next one is there when one is done.
const CHECKS_PER_WORKER: usize = 2;
/// Files kept open at the most; fewer when the system allows fewer.
const OPEN_FILES: u64 = 4096;
/// Handles that are for anything but payload and peers.
const OTHER_HANDLES: u64 = 512;

/// How many connections a process may have that may open so many files: payload has half of them, and what else a
/// process needs, from journals to the tracker's connections, a quarter at the most.
fn connections(handles: u64) -> usize {
    let others = (handles / 4).min(OTHER_HANDLES);
    let left = handles - (handles / 2).min(OPEN_FILES) - others;
    usize::try_from(left).unwrap_or(usize::MAX).max(1)
}

/// How a client is to run.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Ports to listen on, the first free one; a random one when `None`.
    pub ports: Option<RangeInclusive<u16>>,
    /// Where to listen.
    pub listen: Listen,
    /// Workers that may check data at a time; all of them when `None`.
    pub check_threads: Option<usize>,
    /// Where torrents are remembered from run to run; `None`: nowhere.
    pub state: Option<PathBuf>,
    /// When complete files must be on the disk.
    pub sync: SyncPolicy,
    /// The engine's choices; the port and the families are filled in here.
    pub engine: Settings,
}

/// A torrent to add, and where its files go.
#[derive(Clone, Debug)]
pub struct NewTorrent {
    /// The torrent.
    pub metainfo: Arc<Metainfo>,
    /// Where its files go.
    pub target: Target,
    /// What takes the place of the torrent's name in its files' paths.
    pub output: Option<PathBuf>,
    /// Peers that a person named.
    pub peers: Vec<SocketAddr>,
    /// Trackers that a person named, each a tier of its own after the torrent's.
    pub trackers: Vec<String>,
    /// Whether it is only to be served, as [`TorrentSpec::seed_only`].
    pub seed_only: bool,
    /// Whether it is to be super-seeded, as [`TorrentSpec::super_seed`].
    pub super_seed: bool,
}

impl NewTorrent {
    /// Whether all of its files are where they go, or in the folder `other`, as far as names and lengths tell.
    pub fn looks_complete(&self, other: Option<&Path>) -> bool {
        let files = |dir: &Path| file_specs(&self.metainfo, dir, self.output.as_deref());
        let mut folders = std::iter::once(self.target.dir.as_path()).chain(other);
        folders.any(|dir| disk::looks_complete(dir, &files(dir), &self.metainfo.file_map))
    }

    /// If none of its data is where its files go, but some is in the folder `other`, they go there. Names are not
    /// enough in a folder that nobody chose: a piece has to be right. And what is not right there stays.
    pub fn look_in(&mut self, other: &Path) -> bool {
        let files = |dir: &Path| file_specs(&self.metainfo, dir, self.output.as_deref());
        let Metainfo { file_map, layout, piece_hashes, .. } = &*self.metainfo;
        let is_there = !disk::has_data(&self.target.dir, &files(&self.target.dir))
            && disk::has_right_piece(other, &files(other), file_map, layout, piece_hashes);
        if is_there {
            other.clone_into(&mut self.target.dir);
            if self.target.on_conflict != OnConflict::Fail {
                self.target.on_conflict = OnConflict::Keep;
            }
        }
        is_there
    }
}

/// Why a client could not start.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No port to listen on.
    #[error("cannot listen on {ports}: {error}")]
    Listen {
        /// The ports tried, in words.
        ports: String,
        /// The system's word for it.
        error: io::Error,
    },
    /// The system refuses a thread or a runtime.
    #[error("{0}")]
    Start(#[from] io::Error),
}

/// A running client. Dropping it ends it at once; see [`Client::shut_down`] for a polite end.
pub struct Client {
    events: UnboundedSender<Event>,
    notices: notices::Listener,
    told: notices::Teller,
    state: Option<PathBuf>,
    sync: SyncPolicy,
    disk: Arc<DiskPool>,
    engine: Option<thread::JoinHandle<()>>,
    next_torrent: AtomicU32,
    port: u16,
}

impl Client {
    /// Listens and starts all threads.
    pub fn start(settings: ClientSettings) -> Result<Client, ClientError> {
        let rng = Rng::from_seed(rand::random());
        let (port, listeners) = listen(&settings, &mut rng.fork("port"))?;
        let (events, received) = unbounded_channel();
        let (notices, heard) = notices::channel();
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let handles = disk::raise_file_limit();
        let open_files = (handles / 2).min(OPEN_FILES) as usize;
        let results = events.clone();
        let check_jobs = CHECKS_PER_WORKER * cores.max(2);
        let disk = Arc::new(DiskPool::start(cores, open_files, move |result| {
            // The engine's thread is gone only when no result matters any more.
            let _ = results.send(Event::from(result));
        })?);
        if let Some(threads) = settings.check_threads {
            disk.limit_checks(threads);
        }
        let http = HttpWorker::start()?;
        let families = Families { v4: settings.listen.v4, v6: settings.listen.v6 };
        let max_peers = settings.engine.max_peers.min(connections(handles));
        if max_peers < settings.engine.max_peers {
            tracing::warn!(handles, max_peers, "the limit of open files allows fewer connections");
        }
        let engine = Settings { listen_port: port, families, check_jobs, max_peers, ..settings.engine };
        let pool = BufferPool::new(usize::try_from(engine.memory).unwrap_or(usize::MAX));
        let (for_engine, for_events, told) = (disk.clone(), events.clone(), notices.clone());
        let end = notices::End(notices.clone());
        let (started, has_started) = mpsc::channel();
        let thread = thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let clock = Clock::start();
            let parts = Parts {
                session: Session::new(Arc::new(engine), rng, clock.now()),
                clock,
                disk: for_engine,
                http,
                pool,
                events: for_events,
                notices,
            };
            // However this thread ends.
            let _end = end;
            run(parts, listeners, received, &started);
        })?;
        has_started.recv().unwrap_or_else(|_| Err(io::Error::other("the engine's thread has ended")))?;
        Ok(Client {
            events,
            notices: heard,
            told,
            state: settings.state,
            sync: settings.sync,
            disk,
            engine: Some(thread),
            next_torrent: AtomicU32::new(0),
            port,
        })
    }

    /// The port that peers can reach it at.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Adds a torrent: it is checked, and downloaded as far as it is not there.
    pub fn add(&self, torrent: NewTorrent) -> TorrentId {
        let id = TorrentId(self.next_torrent.fetch_add(1, Ordering::Relaxed));
        let metainfo = &torrent.metainfo;
        let layout = Arc::new(metainfo.layout.clone());
        let file_map = Arc::new(metainfo.file_map.clone());
        let files = file_specs(metainfo, &torrent.target.dir, torrent.output.as_deref());
        let hashes = metainfo.piece_hashes.clone();
        let notices = self.told.clone();
        let keeping = Keeping {
            state: self.state.clone().map(|folder| (folder, metainfo.info_hashes)),
            sync: self.sync,
            warn: Some(Arc::new(move |text| {
                notices.tell(Notice::Warning { torrent: id, text });
            })),
        };
        let storage = Storage::new(torrent.target, files, file_map.clone(), layout.clone(), hashes.clone());
        let storage = storage.keeping(keeping);
        self.disk.add_torrent(id, storage);
        let mut trackers = metainfo.trackers.clone();
        trackers.extend(torrent.trackers.into_iter().map(|tracker| vec![tracker]));
        let spec = TorrentSpec {
            info_hashes: metainfo.info_hashes,
            layout,
            piece_hashes: hashes,
            file_map,
            is_private: metainfo.is_private,
            trackers,
            limits: Limits::default(),
            seed_only: torrent.seed_only,
            super_seed: torrent.super_seed,
        };
        self.order(Order::AddTorrent { torrent: id, spec: Box::new(spec) });
        if !torrent.peers.is_empty() {
            self.order(Order::AddPeers { torrent: id, addresses: torrent.peers });
        }
        id
    }

    /// Stops a torrent; [`Notice::Stopped`] follows.
    pub fn stop(&self, torrent: TorrentId) {
        self.order(Order::StopTorrent { torrent });
    }

    /// Asks the trackers of all torrents soon.
    pub fn announce(&self) {
        self.order(Order::Announce);
    }

    /// All torrents as they are now; empty once the client has ended.
    pub async fn snapshot(&self, detail: Detail) -> SessionSnapshot {
        let (answer, answered) = oneshot::channel();
        // An engine that has ended drops the question, and the answer is empty.
        let _ = self.events.send(Event::Snapshot(detail, answer));
        answered.await.unwrap_or_default()
    }

    /// One torrent as it is now; `None` when there is none of that name, or the client has ended.
    pub async fn torrent(&self, torrent: TorrentId) -> Option<TorrentSnapshot> {
        let (answer, answered) = oneshot::channel();
        // As above.
        let _ = self.events.send(Event::TorrentSnapshot(torrent, answer));
        answered.await.ok().flatten()
    }

    /// The next notice; `None` once the client has ended. May be dropped while it waits.
    pub async fn notice(&mut self) -> Option<Notice> {
        self.notices.next().await
    }

    /// The next notice, if there is one already.
    pub fn ready_notice(&mut self) -> Option<Notice> {
        self.notices.ready()
    }

    /// Stops every torrent, tells the trackers, and ends; within `within`, whatever does not answer.
    pub async fn shut_down(mut self, within: Duration) {
        let snapshot = self.snapshot(Detail::Totals).await;
        let mut left = snapshot.torrents.len();
        for torrent in snapshot.torrents {
            self.stop(torrent.torrent);
        }
        let all_stopped = async {
            while left > 0 {
                match self.notice().await {
                    Some(Notice::Stopped { .. }) => left -= 1,
                    Some(_) => {}
                    None => return,
                }
            }
        };
        // What has not stopped by then is ended all the same.
        let _ = tokio::time::timeout(within.saturating_sub(LAST_STEPS), all_stopped).await;
    }

    fn order(&self, order: Order) {
        // After the end there is nobody to take orders, and nothing to do.
        let _ = self.events.send(Event::Input(Input::OrderGiven(order)));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The thread may have ended by itself.
        let _ = self.events.send(Event::End);
        if let Some(engine) = self.engine.take() {
            let _ = engine.join();
        }
        // What was written has been written down by whoever wrote it; the rest is fetched again.
        if !self.disk.end(DISK_END) {
            tracing::warn!("the disk does not answer: leaving without what it has not written");
        }
    }
}

/// The engine's thread; tells whether it could start.
fn run(
    parts: Parts,
    listeners: Vec<TcpListener>,
    mut received: UnboundedReceiver<Event>,
    started: &mpsc::Sender<io::Result<()>>,
) {
    let built = Builder::new_current_thread()
        .enable_all()
        .event_interval(TURNS_UNHEARD)
        .build_local(LocalOptions::default());
    let (runtime, result) = match built {
        Ok(runtime) => (Some(runtime), Ok(())),
        Err(error) => (None, Err(error)),
    };
    // Whoever starts the client waits for this.
    let _ = started.send(result);
    let Some(runtime) = runtime else { return };
    runtime.block_on(async move {
        let handle = Handle::new(parts);
        for listener in listeners {
            match tcp::listener(listener) {
                Ok(listener) => drop(spawn_local(handle.clone().listen(listener))),
                Err(error) => tracing::error!(%error, "cannot listen"),
            }
        }
        spawn_local(handle.clone().keep_time());
        spawn_local(handle.clone().watch_network());
        let mut batch = Vec::with_capacity(EVENT_BATCH);
        loop {
            if received.recv_many(&mut batch, EVENT_BATCH).await == 0 {
                return;
            }
            for event in batch.drain(..) {
                if !handle.on_event(event) {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    });
}

fn listen(settings: &ClientSettings, rng: &mut Rng) -> Result<(u16, Vec<TcpListener>), ClientError> {
    let ports: Vec<u16> = match &settings.ports {
        Some(ports) => ports.clone().collect(),
        None => {
            let (first, count) = (*RANDOM_PORTS.start(), RANDOM_PORTS.len());
            let random = (0..RANDOM_TRIES).map(|_| first + rng.below(count) as u16);
            random.chain([0]).collect()
        }
    };
    let mut failure = io::Error::other("no port is given");
    for port in ports {
        match settings.listen.bind(port) {
            Ok(listeners) => {
                let bound = listeners.first().and_then(|listener| listener.local_addr().ok());
                return Ok((bound.map_or(port, |address| address.port()), listeners));
            }
            Err(error) => failure = error,
        }
    }
    let ports = match &settings.ports {
        Some(ports) if ports.start() == ports.end() => format!("port {}", ports.start()),
        Some(ports) => format!("any port of {}-{}", ports.start(), ports.end()),
        None => "any port".to_owned(),
    };
    Err(ClientError::Listen { ports, error: failure })
}

/// Where the files go in `dir`, or are already.
fn file_specs(metainfo: &Metainfo, dir: &Path, output: Option<&Path>) -> Vec<FileSpec> {
    let path = |file: &File| match output {
        Some(output) if metainfo.has_folder => output.join(&file.path),
        Some(output) => output.to_owned(),
        None => PathBuf::from(metainfo.path_of(file)),
    };
    let safe: Vec<PathBuf> = metainfo.files.iter().map(path).collect();
    let makers = metainfo.makers_names.as_ref().and_then(|names| {
        let makers = match output {
            Some(output) if metainfo.has_folder => names.paths().map(|path| output.join(path)).collect(),
            Some(_) => return None,
            None => names.paths_with_folder().map(PathBuf::from).collect(),
        };
        disk::names_on_disk(dir, &safe, makers)
    });
    let files = metainfo.files.iter().zip(makers.unwrap_or(safe));
    let spec = |(file, path): (&File, PathBuf)| {
        let attributes = file.attributes;
        FileSpec { path, executable: attributes.executable, skip: attributes.symlink }
    };
    files.map(spec).collect()
}
