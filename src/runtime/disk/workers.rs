//! The threads that work on disk. What they take next is the queue's business.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::advance::{Lane, Scratch, finish, hash};
use super::check::Check;
use super::medium::Heads;
use super::open_files::{Key, OpenFiles};
use super::payload::Payload;
use super::queue::{Next, Pieces, Queue, Turn, Work};
use super::storage::Storage;
use super::sync_behind::SyncBehind;
use super::upload::{ReadFailure, Reader};
use super::write_together::write_together;
use crate::base::index::{BlockRequest, FileIndex};
use crate::engine::disk_job::{DiskError, DiskErrorKind, DiskJob, DiskResult, Existing, PieceJob};
use crate::engine::order::TorrentId;

/// Bytes that are checked before other work gets its turn.
const CHECK_SLICE: u64 = 8 * 1024 * 1024;
/// Called with what was read for an upload, on a worker thread.
pub type UploadDone = Box<dyn FnOnce(Result<Vec<u8>, ReadFailure>) + Send>;

/// The disk's worker threads. Dropping it ends them after the blocks in the queue are written, however long that
/// takes, unless [`DiskPool::end`] was called before; checks and uploads are forgotten.
pub struct DiskPool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Each worker holds the other end: it closes with the last of them.
    ended: Mutex<Receiver<Infallible>>,
}

struct Shared {
    queue: Mutex<Queue>,
    is_work: Condvar,
    torrents: RwLock<HashMap<TorrentId, Arc<Payload>>>,
    open_files: Arc<OpenFiles>,
    sync_behind: SyncBehind,
    heads: Arc<Heads>,
    on_finished: Box<dyn Fn(DiskResult) + Send + Sync>,
}

impl DiskPool {
    /// Starts `threads` workers, at least two, that keep at most `max_open_files` files open. `on_finished`
    /// is called on the workers; it must be quick.
    pub fn start(
        threads: usize,
        max_open_files: usize,
        on_finished: impl Fn(DiskResult) + Send + Sync + 'static,
    ) -> io::Result<DiskPool> {
        let threads = threads.max(2);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            is_work: Condvar::new(),
            torrents: RwLock::default(),
            open_files: Arc::new(OpenFiles::new(max_open_files)),
            sync_behind: SyncBehind::start()?,
            heads: Arc::default(),
            on_finished: Box::new(on_finished),
        });
        let (alive, ended) = channel();
        let mut pool = DiskPool { shared: shared.clone(), threads: Vec::new(), ended: Mutex::new(ended) };
        for number in 0..threads {
            let (shared, alive) = (shared.clone(), alive.clone());
            let worker = thread::Builder::new().name(format!("disk {number}"));
            pool.threads.push(worker.spawn(move || {
                shared.run();
                drop(alive);
            })?);
        }
        Ok(pool)
    }

    /// Has at most `threads` workers check data at a time.
    pub fn limit_checks(&self, threads: usize) {
        self.shared.queue().checking_max = Some(threads.max(1));
    }

    /// Makes a torrent's files known; comes before its first job. They are forgotten when it is closed.
    pub fn add_torrent(&self, torrent: TorrentId, storage: Storage) {
        let (open_files, sync_behind) = (self.shared.open_files.clone(), self.shared.sync_behind.clone());
        let heads = self.shared.heads.clone();
        let payload = Payload { torrent, storage, open_files, sync_behind, heads };
        self.shared.torrents_mut().insert(torrent, Arc::new(payload));
    }

    /// Queues a job; `on_finished` hears of it exactly once, unless the pool is dropped before.
    pub fn submit(&self, job: DiskJob) {
        let wakes = match job {
            DiskJob::Advance(job) => {
                let file = self.shared.first_file(&job);
                self.shared.queue().push_piece(file, job, Instant::now())
            }
            DiskJob::Check { torrent, pieces } => {
                self.shared.queue().checks.push_back((torrent, Check::new(pieces)));
                true
            }
            DiskJob::Remember { torrent, traffic } => {
                let payload = self.shared.payload(torrent);
                self.shared.queue().push(Work::Remember { torrent, payload, traffic });
                true
            }
            job => {
                self.shared.queue().push(Work::Job(job));
                true
            }
        };
        if wakes {
            self.shared.is_work.notify_one();
        }
    }

    /// A torrent's payload, to read on the calling thread.
    pub fn reader(&self, torrent: TorrentId) -> Option<Arc<Reader>> {
        Some(Arc::new(Reader { payload: self.shared.payload(torrent)? }))
    }

    /// Has a worker do [`Reader::read_blocks`] into `buffer`, which may be an old one, and call `done`.
    pub fn submit_upload(
        &self,
        torrent: TorrentId,
        blocks: Vec<BlockRequest>,
        buffer: Vec<u8>,
        done: UploadDone,
    ) {
        let Some(payload) = self.shared.payload(torrent) else {
            return done(Err(ReadFailure { file: None, error: unknown(torrent) }));
        };
        let work = Work::Upload { reader: Reader { payload }, blocks, buffer, done };
        self.shared.queue().push(work);
        self.shared.is_work.notify_one();
    }
}

impl DiskPool {
    /// Ends the workers after the blocks in the queue are written, or after `within`: a disk that hangs must not
    /// hold up whoever leaves. Then their threads are left to themselves. Says whether all have ended.
    pub fn end(&self, within: Duration) -> bool {
        self.begin_end();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = matches!(ended.recv_timeout(within), Err(RecvTimeoutError::Timeout));
        if is_late {
            self.shared.queue().abandon();
        }
        !is_late
    }

    fn begin_end(&self) {
        self.shared.queue().end();
        self.shared.is_work.notify_all();
    }
}

impl Drop for DiskPool {
    fn drop(&mut self) {
        self.begin_end();
        if self.shared.queue().is_abandoned {
            return;
        }
        for thread in self.threads.drain(..) {
            // A worker that panicked has told so itself.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// A worker's life.
    fn run(&self) {
        let mut scratch = Scratch::new();
        while let Some(turn) = self.next_turn() {
            match turn {
                Turn::Write(file, jobs) => self.write(file, jobs),
                Turn::Hash(lanes) => {
                    let rest = hash(lanes, &mut scratch, &*self.on_finished);
                    self.queue().on_hashed(rest, Instant::now());
                }
                Turn::Check(torrent, check) => self.check(torrent, check, &mut scratch),
                Turn::Other(Work::Upload { reader, blocks, mut buffer, done }) => {
                    done(reader.read_blocks(&blocks, &mut buffer).map(|()| buffer));
                }
                Turn::Other(Work::Remember { torrent, payload, traffic }) => {
                    if let Some(payload) = payload {
                        payload.remember(traffic);
                    }
                    (self.on_finished)(DiskResult::Remembered { torrent });
                }
                Turn::Other(Work::Job(job)) => {
                    if let Some(result) = self.execute(job) {
                        (self.on_finished)(result);
                    }
                }
            }
        }
    }

    /// Waits for work; `None` when the pool ends and all blocks are written.
    fn next_turn(&self) -> Option<Turn> {
        let mut queue = self.queue();
        loop {
            match queue.take(Instant::now()) {
                Next::Turn(turn) => {
                    if queue.has_more() {
                        self.is_work.notify_one();
                    }
                    return Some(turn);
                }
                Next::Later(wait) if !queue.is_gathering => {
                    queue.is_gathering = true;
                    let waited = self.is_work.wait_timeout(queue, wait);
                    (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
                    queue.is_gathering = false;
                }
                Next::Nothing if queue.is_ending => return None,
                Next::Later(_) | Next::Nothing => {
                    queue = self.is_work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Where the first of a piece's blocks goes to.
    fn first_file(&self, job: &PieceJob) -> Key {
        let file = self.payload(job.torrent).and_then(|payload| payload.first_file(job));
        (job.torrent, file.unwrap_or(FileIndex(0)))
    }

    fn write(&self, file: Key, jobs: Pieces) {
        let mut lanes = Vec::with_capacity(jobs.len());
        for mut job in jobs {
            match self.payload(job.torrent) {
                Some(payload) => lanes.push(Lane::new(payload, job)),
                None => {
                    job.blocks.clear();
                    let result = Err(unknown(job.torrent));
                    (self.on_finished)(DiskResult::Advanced { job, result });
                }
            }
        }
        write_together(&mut lanes);
        finish(lanes.extract_if(.., |lane| lane.has_ended()), &*self.on_finished);
        self.queue().on_written(file, lanes, Instant::now());
    }

    fn check(&self, torrent: TorrentId, mut check: Check, scratch: &mut Scratch) {
        let result = match self.payload(torrent) {
            Some(payload) => check.advance(&payload, CHECK_SLICE, scratch),
            None => Err(unknown(torrent)),
        };
        let result = match result {
            Ok(Some(right)) => {
                if let Some(payload) = self.payload(torrent) {
                    payload.prove(&right);
                    payload.record_check(&check.pieces, &right);
                }
                Ok(right)
            }
            Err(error) => Err(error),
            Ok(None) => {
                let mut queue = self.check_paused();
                if !queue.is_ending {
                    // Before the others: checks end in the order in which they began.
                    queue.checks.push_front((torrent, check));
                    self.is_work.notify_one();
                }
                return;
            }
        };
        drop(self.check_paused());
        (self.on_finished)(DiskResult::Checked { torrent, pieces: check.pieces, result });
    }

    /// A worker checks no more, for now at least: another may.
    fn check_paused(&self) -> MutexGuard<'_, Queue> {
        let mut queue = self.queue();
        queue.checking -= 1;
        if !queue.checks.is_empty() {
            self.is_work.notify_one();
        }
        queue
    }

    fn execute(&self, job: DiskJob) -> Option<DiskResult> {
        Some(match job {
            DiskJob::Open { torrent } => {
                let result = self.known(torrent).and_then(|payload| {
                    let payload = match payload.remembered_elsewhere()? {
                        Some(moved) => self.move_to(moved),
                        None => payload,
                    };
                    self.open(payload)
                });
                DiskResult::Opened { torrent, result }
            }
            DiskJob::OpenElsewhere { torrent, because } => {
                let result = self.known(torrent).and_then(|payload| {
                    let moved = payload.elsewhere().ok_or(*because)?;
                    self.open(self.move_to(moved))
                });
                DiskResult::Opened { torrent, result }
            }
            DiskJob::FindUnproven { torrent } => {
                let result = self.known(torrent).and_then(|payload| payload.find_unproven());
                DiskResult::UnprovenFound { torrent, result }
            }
            DiskJob::FinishFile { torrent, file } => {
                let result = self.known(torrent).and_then(|payload| payload.finish_file(file));
                DiskResult::FileFinished { torrent, file, result }
            }
            DiskJob::Settle { torrent } => {
                if let Some(payload) = self.payload(torrent) {
                    payload.settle();
                }
                DiskResult::Settled { torrent }
            }
            DiskJob::Close { torrent } => {
                // What still is in the queue for it fails.
                let removed = self.torrents_mut().remove(&torrent);
                if let Some(payload) = removed {
                    payload.close();
                }
                DiskResult::Closed { torrent }
            }
            // Queued otherwise and taken as turns of their own.
            DiskJob::Check { .. } | DiskJob::Advance(_) | DiskJob::Remember { .. } => return None,
        })
    }

    /// Opens a torrent's files, under another name if something that is no file of ours has the place.
    fn open(&self, mut payload: Arc<Payload>) -> Result<Existing, DiskError> {
        loop {
            let existing = match payload.prepare() {
                Ok(existing) => existing,
                Err(error) if error.kind == DiskErrorKind::Exists => {
                    payload = self.move_to(payload.elsewhere().ok_or(error)?);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Existing::Known(known) = &existing {
                payload.prove(&known.have.iter().collect::<Vec<_>>());
            }
            payload.sync_soon();
            return Ok(existing);
        }
    }

    /// The torrent's files are these from here on. Only as long as it is opened: no other job is under way then.
    fn move_to(&self, moved: Payload) -> Arc<Payload> {
        let moved = Arc::new(moved);
        // It may have been closed meanwhile.
        if let Some(payload) = self.torrents_mut().get_mut(&moved.torrent) {
            *payload = moved.clone();
        }
        moved
    }

    fn known(&self, torrent: TorrentId) -> Result<Arc<Payload>, DiskError> {
        self.payload(torrent).ok_or_else(|| unknown(torrent))
    }

    fn payload(&self, torrent: TorrentId) -> Option<Arc<Payload>> {
        self.torrents.read().unwrap_or_else(PoisonError::into_inner).get(&torrent).cloned()
    }

    fn torrents_mut(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<TorrentId, Arc<Payload>>> {
        self.torrents.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(torrent: TorrentId) -> DiskError {
    DiskError {
        kind: DiskErrorKind::Other,
        operation: "use",
        file: format!("the files of torrent {}", torrent.0),
        message: "the torrent was removed".to_owned(),
    }
}
