//! Hashes all pieces of a payload that lies in files: for `create`, which wants the digests, and for `verify`,
//! which compares them.
//!
//! Workers claim neighbouring pieces and hash them side by side (`worker`), reading ahead as the disk likes it
//! (`medium`). Memory is bounded whatever the length of pieces. What lies below a folder is found by [`tree`];
//! where a torrent's files are, by [`locate`]. Nothing is ever written.

mod afterwards;
mod files;
pub mod locate;
mod medium;
mod shares;
pub mod tree;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::disk::door::{Door, Found};
use super::disk::raise_file_limit;
use crate::base::file_map::FileMap;
use crate::base::hash::Sha1Hash;
use crate::base::index::FileIndex;
use crate::base::layout::Layout;
use crate::base::limit;
use medium::Media;
use shares::shares;
use worker::{Claims, Worker};

/// Where the bytes of one entry of a file list are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// They are zeros that lie in no file: padding.
    Zeros,
    /// There is no such file: pieces with bytes of it are left out.
    Absent,
    /// In this file.
    File {
        /// Relative to the folder of the payload.
        path: PathBuf,
        /// What it was when it was looked at. Pieces beyond its length are left out.
        seen: Found,
    },
}

/// What is done when a file cannot be read, or changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strictness {
    /// All ends with an error: every piece is wanted, of files as they were looked at.
    Strict,
    /// The pieces in question are left out.
    Lenient,
}

/// A payload that is to be hashed.
#[derive(Debug)]
pub struct Payload {
    door: Arc<Door>,
    dir: PathBuf,
    sources: Vec<Source>,
    file_map: Arc<FileMap>,
    layout: Arc<Layout>,
    strictness: Strictness,
    media: Media,
}

/// How far the work is; shared with whoever watches.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    read: AtomicU64,
    is_stopped: AtomicBool,
}

/// What came of hashing.
#[derive(Debug, Default)]
pub struct Hashed {
    /// The digest of each piece, in order; `None` for those that are not all there.
    pub digests: Vec<Option<Sha1Hash>>,
    /// Files that could not be read, and why: only when lenient.
    pub faults: BTreeMap<FileIndex, io::Error>,
    /// Files that have become shorter meanwhile, and what they are now: only when lenient.
    pub shorter: BTreeMap<FileIndex, Found>,
}

/// Why there are no digests.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// [`Progress::stop`] was called.
    #[error("stopped")]
    Stopped,
    /// A file, or the folder, cannot be read.
    #[error("cannot read it: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's word for it.
        error: io::Error,
    },
    /// A file is not the one that was looked at any more.
    #[error("it changed while it was being read")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Something about a file is new, its data perhaps: times can be set back, but for the one that tells of this.
    #[error("its attributes or links changed while it was being read, and perhaps its data")]
    Touched {
        /// The file.
        path: PathBuf,
    },
    /// Not even one file can be opened besides those that are: no fault of the file.
    #[error("{0}")]
    TooManyFiles(io::Error),
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    NoThread(io::Error),
}

impl Progress {
    /// Bytes that are dealt with, of all pieces.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Bytes of those that were read: not holes, nor what is not there.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Ends the work soon.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Whether [`stop`](Progress::stop) was called.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    fn pass(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn add_read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
        self.pass(bytes);
    }
}

impl Payload {
    /// The payload of files below the folder `dir`: `sources` has an entry for each of `file_map`'s.
    ///
    /// # Panics
    /// When there are not as many.
    pub fn open(
        dir: &Path,
        sources: Vec<Source>,
        file_map: Arc<FileMap>,
        layout: Arc<Layout>,
        strictness: Strictness,
    ) -> io::Result<Payload> {
        assert_eq!(sources.len(), file_map.files().len(), "one entry a file");
        let door = Arc::new(Door::open(dir, false)?);
        let media = Media::of(dir, &sources);
        Ok(Payload { door, dir: dir.to_owned(), sources, file_map, layout, strictness, media })
    }

    /// Hashes all pieces on `threads` threads; without a number on all processors. A rotating disk is read by one
    /// of them at a time.
    pub fn hash(&self, threads: Option<usize>, progress: &Progress) -> Result<Hashed, HashError> {
        let automatic = || thread::available_parallelism().map_or(2, usize::from);
        let pieces = self.layout.piece_count() as usize;
        let threads = threads.unwrap_or_else(automatic).clamp(1, limit::CHECK_THREADS.min(pieces.max(1)));
        let (threads, open_files) = shares(raise_file_limit(), threads);
        let claims = Claims::new(self, threads, open_files);
        let failure: Mutex<Option<HashError>> = Mutex::default();
        let fail = |error: HashError| {
            claims.end();
            let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert(error);
        };
        let mut hashed = Hashed { digests: vec![None; pieces], ..Hashed::default() };
        thread::scope(|scope| {
            let mut workers = Vec::with_capacity(threads);
            for number in 0..threads {
                let (claims, fail) = (&claims, &fail);
                let started =
                    thread::Builder::new().name(format!("hash {number}")).spawn_scoped(scope, move || {
                        let mut worker = Worker::new(self, claims, progress);
                        worker.run().unwrap_or_else(fail);
                        worker.into_hashed()
                    });
                match started {
                    Ok(worker) => workers.push(worker),
                    Err(error) if workers.is_empty() => fail(HashError::NoThread(error)),
                    // Fewer will do.
                    Err(_) => break,
                }
            }
            for worker in workers {
                let (digests, faults) = worker.join().unwrap_or_else(|panic| resume_unwind(panic));
                digests.into_iter().for_each(|(piece, digest)| hashed.digests[piece.index()] = Some(digest));
                hashed.faults.extend(faults);
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => self.look_again(&mut hashed, progress).map(|()| hashed),
        }
    }
}
