//! Memory for received payload: recycled, counted, bounded.
//!
//! What is read goes into buffers of a few sizes; blocks are slices of them, and a buffer comes back when
//! its last block has been written. Buffers that came back are kept: fresh pages cost more than the copy they
//! save. They are given back to the system only when one of another size is needed and there would be more than
//! the bound in all. What counts against the bound is whole buffers, not payload.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use crate::base::block_data::Buffer;

/// The smallest buffer: a block, its header and some small messages, bytes.
const UNIT: usize = 17 * 1024;
/// Buffers hold 1, 2, 4, 8 or 16 units.
const SIZES: usize = 5;
/// The largest buffer, bytes: what one read can bring.
pub(super) const LARGEST: usize = UNIT << (SIZES - 1);

/// The pool.
#[derive(Debug)]
pub(crate) struct BufferPool {
    limit: usize,
    /// Bytes of buffers that are out.
    out: AtomicUsize,
    free: Mutex<Free>,
    /// Whether somebody waits for room.
    has_waiters: AtomicBool,
    waiters: Mutex<Vec<Waker>>,
}

/// Buffers that are kept for later.
#[derive(Debug, Default)]
struct Free {
    by_size: [Vec<Box<[u8]>>; SIZES],
    bytes: usize,
}

impl Free {
    fn put(&mut self, buffer: Box<[u8]>) {
        self.bytes += buffer.len();
        self.by_size[(buffer.len() / UNIT).ilog2() as usize].push(buffer);
    }

    fn take(&mut self, size: usize) -> Option<Box<[u8]>> {
        let buffer = self.by_size[size].pop()?;
        self.bytes -= buffer.len();
        Some(buffer)
    }

    /// Gives back to the system what is more than `bytes`, the largest first.
    fn shrink_to(&mut self, bytes: usize) {
        for size in (0..SIZES).rev() {
            while self.bytes > bytes && self.take(size).is_some() {}
        }
    }
}

impl BufferPool {
    /// A pool that holds at most about `limit` bytes, whether they are out or kept.
    pub(crate) fn new(limit: usize) -> Arc<BufferPool> {
        Arc::new(BufferPool {
            limit: limit.max(2 * LARGEST),
            out: AtomicUsize::new(0),
            free: Mutex::default(),
            has_waiters: AtomicBool::new(false),
            waiters: Mutex::default(),
        })
    }

    /// A buffer of at least `length` bytes, at most [`LARGEST`]; it may hold old bytes.
    pub(super) fn take(self: &Arc<BufferPool>, length: usize) -> PooledBuffer {
        let size = (0..SIZES - 1).find(|size| UNIT << size >= length).unwrap_or(SIZES - 1);
        let bytes = self.kept(size).unwrap_or_else(|| vec![0; UNIT << size].into_boxed_slice());
        self.out.fetch_add(bytes.len(), Ordering::Relaxed);
        PooledBuffer { bytes, pool: self.clone() }
    }

    /// Whether so much is out that nothing more may be read.
    pub(super) fn is_full(&self) -> bool {
        self.out.load(Ordering::SeqCst) >= self.limit
    }

    /// Whether buffers count as crowded: from half full on, until less than a quarter is out.
    pub(crate) fn is_crowded(&self, was_crowded: bool) -> bool {
        let bound = if was_crowded { self.limit / 4 } else { self.limit / 2 };
        self.out.load(Ordering::Relaxed) > bound
    }

    /// Has `waker` woken once there may be room. Says whether there is room already.
    pub(super) fn wait_for_room(&self, waker: &Waker) -> bool {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiters.iter().any(|other| other.will_wake(waker)) {
            waiters.push(waker.clone());
        }
        drop(waiters);
        self.has_waiters.store(true, Ordering::SeqCst);
        !self.is_full()
    }

    /// A buffer of this size that came back. If there is none, room is made for a new one.
    fn kept(&self, size: usize) -> Option<Box<[u8]>> {
        let mut free = self.free();
        let kept = free.take(size);
        if kept.is_none() {
            let needed = self.out.load(Ordering::Relaxed) + (UNIT << size);
            free.shrink_to(self.limit.saturating_sub(needed));
        }
        kept
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_back(&self, bytes: Box<[u8]>) {
        let length = bytes.len();
        self.free().put(bytes);
        self.out.fetch_sub(length, Ordering::SeqCst);
        if self.has_waiters.load(Ordering::SeqCst) && !self.is_full() {
            self.has_waiters.store(false, Ordering::SeqCst);
            let waiters = std::mem::take(&mut *self.waiters.lock().unwrap_or_else(PoisonError::into_inner));
            waiters.into_iter().for_each(Waker::wake);
        }
    }
}

/// A buffer that goes back to its pool when it is dropped.
#[derive(Debug)]
pub(super) struct PooledBuffer {
    bytes: Box<[u8]>,
    pool: Arc<BufferPool>,
}

impl PooledBuffer {
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Buffer for PooledBuffer {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        self.pool.take_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again() {
        let pool = BufferPool::new(1 << 20);
        let first = pool.take(20_000);
        let place = first.bytes().as_ptr();
        assert_eq!(first.bytes().len(), 2 * UNIT);
        drop(first);
        assert_eq!(pool.take(30_000).bytes().as_ptr(), place);
    }

    #[test]
    fn buffers_of_all_sizes_together_are_no_more_than_the_pool_may_hold() {
        let limit = 64 * UNIT;
        let pool = BufferPool::new(limit);
        for size in [0, 4, 2, 1, 3, 0] {
            let mut held = Vec::new();
            while !pool.is_full() {
                held.push(pool.take(UNIT << size));
                assert!(pool.out.load(Ordering::Relaxed) + pool.free().bytes <= limit);
            }
            drop(held);
            assert_eq!(pool.free().bytes, limit, "what came back is kept");
        }
        let lengths = |free: &Free| free.by_size.iter().flatten().map(|buffer| buffer.len()).sum::<usize>();
        assert_eq!(lengths(&pool.free()), limit);
    }

    #[test]
    fn a_full_pool_wakes_whoever_waits_once_there_is_room() {
        struct Woken(AtomicBool);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let pool = BufferPool::new(0);
        let held: Vec<_> = (0..2).map(|_| pool.take(LARGEST)).collect();
        assert!(pool.is_full() && pool.is_crowded(false));
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        assert!(!pool.wait_for_room(&woken.clone().into()));
        drop(held);
        assert!(woken.0.load(Ordering::SeqCst));
        assert!(!pool.is_full() && !pool.is_crowded(true));
    }
}
