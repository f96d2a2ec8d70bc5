//! How many files are open at a time, and which.
//!
//! A handle is kept until it is the least recently used of too many; whoever uses one keeps it alive by
//! counting, so closing never disturbs a transfer.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::file_system::is_in_memory;
use crate::base::index::FileIndex;
use crate::engine::order::TorrentId;

/// Which file of which torrent.
pub(super) type Key = (TorrentId, FileIndex);

/// A file that is open.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: File,
    pub(super) is_writable: bool,
    /// Its file system can't say whether a read would wait, so none is tried without waiting.
    pub(super) is_blunt: AtomicBool,
    /// It has no disk to wait for.
    pub(super) is_memory: bool,
}

impl OpenFile {
    pub(super) fn new(file: File, is_writable: bool) -> OpenFile {
        let is_memory = is_in_memory(&file);
        OpenFile { file, is_writable, is_blunt: AtomicBool::new(false), is_memory }
    }
}

/// The open files of all torrents.
#[derive(Debug)]
pub(super) struct OpenFiles {
    limit: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    clock: u64,
    files: HashMap<Key, (u64, Arc<OpenFile>)>,
    by_use: BTreeMap<u64, Key>,
}

impl OpenFiles {
    /// Keeps at most `limit` files open, and at least one.
    pub(super) fn new(limit: usize) -> OpenFiles {
        OpenFiles { limit: limit.max(1), inner: Mutex::default() }
    }

    /// The file if it is open, for writing too when `write`.
    pub(super) fn find(&self, key: Key, write: bool) -> Option<Arc<OpenFile>> {
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        let (used, file) = inner.files.get_mut(&key)?;
        if write && !file.is_writable {
            return None;
        }
        let (before, file) = (std::mem::replace(used, now), file.clone());
        inner.by_use.remove(&before);
        inner.by_use.insert(now, key);
        Some(file)
    }

    /// Closes as many as it takes to open one more.
    pub(super) fn make_room(&self) {
        self.shrink_to(self.limit - 1);
    }

    /// Closes all that can be closed: the system has no handles left.
    pub(super) fn close_all(&self) {
        self.shrink_to(0);
    }

    /// Keeps `file` open, in place of an older handle on it.
    pub(super) fn insert(&self, key: Key, file: OpenFile) -> Arc<OpenFile> {
        let file = Arc::new(file);
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        let older = inner.files.insert(key, (now, file.clone()));
        if let Some((used, _)) = &older {
            inner.by_use.remove(used);
        }
        inner.by_use.insert(now, key);
        drop(inner);
        file
    }

    /// Forgets the handles of one torrent.
    pub(super) fn close_torrent(&self, torrent: TorrentId) {
        let mut inner = self.lock();
        let keys: Vec<Key> = inner.files.keys().filter(|key| key.0 == torrent).copied().collect();
        let closed: Vec<_> = keys.iter().filter_map(|key| inner.files.remove(key)).collect();
        for (used, _) in &closed {
            inner.by_use.remove(used);
        }
        drop(inner);
        drop(closed);
    }

    fn shrink_to(&self, count: usize) {
        let mut closed = Vec::new();
        let mut inner = self.lock();
        while inner.files.len() > count {
            let Some((_, key)) = inner.by_use.pop_first() else { break };
            closed.extend(inner.files.remove(&key));
        }
        // Closing may have to wait for the disk: not under the lock.
        drop(inner);
        drop(closed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
