//! Drives the engine on its thread: takes turns with what happens, does what it wants done.
//!
//! One thread holds one [`Driver`] and all peer sockets. A turn borrows it, hands one input to the session,
//! drains the actions into outboxes and job lists, and lets go before anybody is woken. Doing an action
//! never calls the session; what comes of it is a later input. Nothing is borrowed across an await.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_local;

use super::clock::Clock;
use super::disk::{DiskPool, ReadFailure};
use super::http::HttpWorker;
use super::net::buffers::BufferPool;
use super::net::connection::{Connection, Peer, Scratch};
use super::net::door::changes::Changes;
use super::net::door::tcp;
use super::net::upload_reader::UploadReader;
use super::notices::Teller;
use crate::base::index::BlockRequest;
use crate::base::time::Instant;
use crate::engine::action::{Action, CloseReason};
use crate::engine::disk_job::{DiskJob, DiskResult};
use crate::engine::input::{
    ConnectionId, DialId, FetchId, HttpAnswer, HttpFailure, Input, Origin, Transport,
};
use crate::engine::order::TorrentId;
use crate::engine::session::Session;
use crate::engine::snapshot::{Detail, SessionSnapshot, TorrentSnapshot};
use crate::wire::peer::Message;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// After a failure to accept, such as too many open files, listening rests so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A change of the network is complete so long after its first sign.
const CHANGE_SETTLES: Duration = Duration::from_secs(1);
/// Between two changes that the session is told of.
const CHANGE_PAUSE: Duration = Duration::from_secs(5);

/// What other threads tell the engine's thread.
pub(crate) enum Event {
    /// For the session.
    Input(Input),
    /// Blocks were read for a peer.
    UploadRead(ConnectionId, TorrentId, Vec<BlockRequest>, Result<Vec<u8>, ReadFailure>),
    /// Somebody wants to see the session.
    Snapshot(Detail, oneshot::Sender<SessionSnapshot>),
    /// Somebody wants to see one torrent.
    TorrentSnapshot(TorrentId, oneshot::Sender<Option<TorrentSnapshot>>),
    /// The thread is to end.
    End,
}

impl From<DiskResult> for Event {
    fn from(result: DiskResult) -> Event {
        Event::Input(Input::DiskFinished(result))
    }
}

/// What the engine's thread works with.
pub(crate) struct Parts {
    pub(crate) session: Session,
    pub(crate) clock: Clock,
    pub(crate) disk: Arc<DiskPool>,
    pub(crate) http: HttpWorker,
    pub(crate) pool: Arc<BufferPool>,
    pub(crate) events: UnboundedSender<Event>,
    pub(crate) notices: Teller,
}

struct Driver {
    session: Session,
    peers: HashMap<ConnectionId, Rc<Peer>>,
    next_connection: u32,
    /// When the timer will fire.
    armed: Option<Instant>,
    is_crowded: bool,
    /// Peers with something new in their outbox or flags.
    dirty: Vec<Rc<Peer>>,
}

struct Outside {
    clock: Clock,
    disk: Arc<DiskPool>,
    http: HttpWorker,
    pool: Arc<BufferPool>,
    scratch: Scratch,
    uploads: UploadReader,
    events: UnboundedSender<Event>,
    notices: Teller,
    timer: Notify,
}

/// The driver, as the tasks of its thread share it.
#[derive(Clone)]
pub(crate) struct Handle {
    driver: Rc<RefCell<Driver>>,
    outside: Rc<Outside>,
}

impl Handle {
    pub(crate) fn new(parts: Parts) -> Handle {
        let driver = Driver {
            session: parts.session,
            peers: HashMap::new(),
            next_connection: 0,
            armed: None,
            is_crowded: false,
            dirty: Vec::new(),
        };
        let outside = Outside {
            clock: parts.clock,
            uploads: UploadReader::new(parts.disk.clone(), parts.events.clone()),
            disk: parts.disk,
            http: parts.http,
            scratch: Scratch::new(parts.pool.clone()),
            pool: parts.pool,
            events: parts.events,
            notices: parts.notices,
            timer: Notify::new(),
        };
        Handle { driver: Rc::new(RefCell::new(driver)), outside: Rc::new(outside) }
    }

    pub(crate) fn pool(&self) -> &Arc<BufferPool> {
        &self.outside.pool
    }

    pub(crate) fn uploads(&self) -> &UploadReader {
        &self.outside.uploads
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.outside.scratch
    }

    pub(crate) fn peer(&self, connection: ConnectionId) -> Option<Rc<Peer>> {
        self.driver.borrow().peers.get(&connection).cloned()
    }

    pub(crate) fn remove_peer(&self, connection: ConnectionId) {
        self.driver.borrow_mut().peers.remove(&connection);
    }

    /// Hands the session one input and does what follows.
    pub(crate) fn turn(&self, input: Input) {
        self.take_turn(|session, now| session.handle_input(now, input));
    }

    fn take_turn(&self, act: impl FnOnce(&mut Session, Instant)) {
        let mut driver = self.driver.borrow_mut();
        let now = self.outside.clock.now();
        let is_crowded = self.outside.pool.is_crowded(driver.is_crowded);
        if is_crowded != driver.is_crowded {
            driver.is_crowded = is_crowded;
            driver.session.handle_input(now, Input::BuffersCrowded(is_crowded));
        }
        act(&mut driver.session, now);
        while let Some(action) = driver.session.poll_action() {
            self.perform(&mut driver, action);
        }
        let deadline = driver.session.poll_timeout().map(|(at, _)| at);
        let is_earlier = deadline.is_some_and(|at| driver.armed.is_none_or(|armed| at < armed));
        if is_earlier {
            driver.armed = deadline;
        }
        let dirty = std::mem::take(&mut driver.dirty);
        drop(driver);
        dirty.iter().for_each(|peer| peer.wake());
        if is_earlier {
            self.outside.timer.notify_one();
        }
    }

    fn perform(&self, driver: &mut Driver, action: Action) {
        match action {
            Action::Dial { dial, address } => {
                spawn_local(self.clone().connect(dial, address));
            }
            Action::SendHandshake { connection, handshake } => {
                driver.with_peer(connection, |peer| peer.outbox.borrow_mut().push_handshake(&handshake));
            }
            Action::Send { connection, message } => {
                driver.with_peer(connection, |peer| peer.send([message]));
            }
            Action::SendHaves { connection, pieces } => {
                let haves = pieces.iter().map(|piece| Message::Have(*piece));
                driver.with_peer(connection, |peer| peer.send(haves));
            }
            Action::Expect { connection, pieces } => {
                driver.with_peer(connection, |peer| peer.expect_pieces(pieces));
            }
            Action::Allow { connection, direction, bytes } => {
                driver.with_peer(connection, |peer| peer.allow(direction, bytes));
            }
            Action::Upload { connection, torrent, blocks } => {
                driver.with_peer(connection, |peer| peer.outbox.borrow_mut().push_uploads(torrent, blocks));
            }
            Action::Retract { connection, blocks } => driver.with_peer(connection, |peer| {
                let blocks = peer.outbox.borrow_mut().retract(&blocks);
                if !blocks.is_empty() {
                    // An input of the next turn; nobody listens only when all ends.
                    let _ = self.outside.events.send(Event::Input(Input::Retracted { connection, blocks }));
                }
            }),
            Action::Close { connection, reason } => {
                tracing::debug!(?connection, %reason, "close");
                driver.with_peer(connection, |peer| match reason {
                    CloseReason::Lost => peer.lose(),
                    _ => peer.close(),
                });
            }
            Action::Disk(job) => {
                if let DiskJob::Open { torrent }
                | DiskJob::OpenElsewhere { torrent, .. }
                | DiskJob::Close { torrent } = &job
                {
                    self.outside.uploads.forget(*torrent);
                }
                self.outside.disk.submit(job);
            }
            Action::FetchHttp { fetch, request } => {
                let events = self.outside.events.clone();
                self.outside.http.fetch(*request, move |result| answer(&events, fetch, result));
            }
            Action::Notify(notice) => self.outside.notices.tell(*notice),
        }
    }

    fn on_upload_read(
        &self,
        connection: ConnectionId,
        torrent: TorrentId,
        blocks: Vec<BlockRequest>,
        result: Result<Vec<u8>, ReadFailure>,
    ) {
        let row = self.outside.uploads.on_read(connection, torrent, &blocks, result);
        let Some(peer) = self.peer(connection) else { return };
        match row {
            Ok(row) => {
                peer.outbox.borrow_mut().push_batch(&blocks, row);
                peer.wake();
            }
            Err(ReadFailure { file: Some(file), error }) => {
                peer.outbox.borrow_mut().drop_batch();
                self.turn(Input::UploadFailed { connection, blocks, file, error: Box::new(error) });
            }
            Err(ReadFailure { file: None, error }) => peer.close_unreadable(&error),
        }
    }

    /// Takes what other threads tell. False once the thread is to end.
    pub(crate) fn on_event(&self, event: Event) -> bool {
        match event {
            Event::Input(input) => self.turn(input),
            Event::UploadRead(connection, torrent, blocks, result) => {
                self.on_upload_read(connection, torrent, blocks, result);
            }
            Event::Snapshot(detail, answer) => {
                let driver = self.driver.borrow();
                // Whoever asked may have stopped waiting.
                let _ = answer.send(driver.session.snapshot(self.outside.clock.now(), detail));
            }
            Event::TorrentSnapshot(torrent, answer) => {
                let driver = self.driver.borrow();
                let now = self.outside.clock.now();
                let _ = answer.send(driver.session.torrent_snapshot(torrent, now, Detail::Totals));
            }
            Event::End => return false,
        }
        true
    }

    /// Wakes the session at its deadlines, for ever.
    pub(crate) async fn keep_time(self) {
        loop {
            let armed = self.driver.borrow().armed;
            let due = async {
                match armed {
                    Some(at) => tokio::time::sleep_until(self.outside.clock.to_timer(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {
                    self.driver.borrow_mut().armed = None;
                    self.take_turn(Session::handle_timeout);
                }
                () = self.outside.timer.notified() => {}
            }
        }
    }

    /// Tells the session when the network comes back, for as long as the system tells us.
    pub(crate) async fn watch_network(self) {
        let mut changes = match Changes::listen() {
            Ok(changes) => changes,
            Err(error) => return tracing::debug!(%error, "changes of the network are not heard of"),
        };
        while let Ok(()) = changes.next().await {
            // One change comes as many.
            tokio::time::sleep(CHANGE_SETTLES).await;
            self.turn(Input::NetworkChanged);
            tokio::time::sleep(CHANGE_PAUSE).await;
        }
    }

    /// Accepts connections, for ever.
    pub(crate) async fn listen(self, listener: TcpListener) {
        loop {
            match tcp::accept(&listener).await {
                Ok((stream, address)) => self.open(stream, address, Origin::Accepted),
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connect(self, dial: DialId, address: SocketAddr) {
        match tokio::time::timeout(CONNECT_TIMEOUT, tcp::connect(address)).await {
            Ok(Ok(stream)) => self.open(stream, address, Origin::Dialled(dial)),
            Ok(Err(error)) => self.turn(Input::DialFailed { dial, reason: error.kind().to_string() }),
            Err(_) => self.turn(Input::DialFailed { dial, reason: "no answer".to_owned() }),
        }
    }

    fn open(&self, stream: TcpStream, address: SocketAddr, origin: Origin) {
        let connection = {
            let mut driver = self.driver.borrow_mut();
            let connection = ConnectionId(driver.next_connection);
            driver.next_connection += 1;
            driver.peers.insert(connection, Rc::new(Peer::new()));
            connection
        };
        self.turn(Input::ConnectionOpened {
            connection,
            address,
            origin,
            transport: Transport::Tcp,
            encrypted: false,
        });
        let task = Connection::new(connection, self.clone(), stream);
        spawn_local(task.run());
    }
}

impl Driver {
    /// Does something to a connection, if it still is one, and has it woken after the turn.
    fn with_peer(&mut self, connection: ConnectionId, act: impl FnOnce(&Peer)) {
        let Some(peer) = self.peers.get(&connection) else { return };
        act(peer);
        if !self.dirty.last().is_some_and(|last| Rc::ptr_eq(last, peer)) {
            self.dirty.push(peer.clone());
        }
    }
}

fn answer(events: &UnboundedSender<Event>, fetch: FetchId, result: Result<HttpAnswer, HttpFailure>) {
    // The engine's thread is gone only when no tracker matters any more.
    let _ = events.send(Event::Input(Input::HttpFinished { fetch, result }));
}
