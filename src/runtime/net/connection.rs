//! One peer connection's task: reads, decodes and takes turns; writes what its outbox holds.
//!
//! The task owns no read buffer. It reads into the scratch that all connections share; a large read hands
//! the scratch over, and its blocks are slices of it, a small one is copied. It reads and sends at most
//! [`BUDGET`] bytes a wake, then lets others run.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::buffers::{BufferPool, LARGEST, PooledBuffer};
use super::door::tcp;
use super::outbox::Outbox;
use super::unsent::Unsent;
use crate::base::block_data::{BlockData, Buffer};
use crate::engine::action::Direction;
use crate::engine::bandwidth::Credit;
use crate::engine::disk_job::DiskError;
use crate::engine::input::{CloseCause, ConnectionId, Input};
use crate::runtime::driver::Handle;
use crate::wire::peer::stream::PeerStream;
use crate::wire::peer::{Handshake, Message};

/// Bytes that a task reads and sends before it lets others run.
const BUDGET: usize = 512 * 1024;
/// What moves before the engine allows anything.
const HANDSHAKE: Credit = Credit::new(Handshake::LENGTH as u32);
/// A read of so many bytes hands its buffer over; a smaller one is copied.
const HAND_OVER: usize = 128 * 1024;

/// What the driver and a connection's task share.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) outbox: RefCell<Outbox>,
    /// Set once the connection is to end: why.
    closing: Cell<Option<CloseCause>>,
    /// Whether the peer is to know at once, whatever is still under way.
    is_lost: Cell<bool>,
    /// How many more bytes may be read, and how many sent with blocks.
    credit: [Cell<Credit>; 2],
    /// How many pieces the torrent has, once that is known and until the decoder knows.
    pieces: Cell<Option<u32>>,
    waker: RefCell<Option<Waker>>,
    /// Whether the task is running: it looks at everything before it rests, so it needs no waking.
    is_running: Cell<bool>,
}

impl Peer {
    pub(crate) fn new() -> Peer {
        Peer {
            outbox: RefCell::default(),
            closing: Cell::new(None),
            is_lost: Cell::new(false),
            // Handshakes cost nothing: only then does the engine know whom it meters.
            credit: [Cell::new(HANDSHAKE), Cell::new(HANDSHAKE)],
            pieces: Cell::new(None),
            waker: RefCell::default(),
            is_running: Cell::new(false),
        }
    }

    /// Has the task look at its outbox and flags.
    pub(crate) fn wake(&self) {
        if self.is_running.get() {
            return;
        }
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Ends the connection. Of several causes the first counts.
    fn close_for(&self, cause: CloseCause) {
        self.closing.update(|closing| closing.or(Some(cause)));
        self.wake();
    }

    pub(crate) fn close(&self) {
        self.close_for(CloseCause::Asked);
    }

    /// Ends the connection, as what the peer asked for can't be read.
    pub(crate) fn close_unreadable(&self, error: &DiskError) {
        tracing::warn!(%error, "cannot read what a peer asks for");
        self.close_for(CloseCause::Disk);
    }

    /// Closes it in such a way that the system waits for nothing of it to arrive.
    pub(crate) fn lose(&self) {
        self.is_lost.set(true);
        self.close();
    }

    /// Has messages sent, unless the peer reads so little that they only pile up: then it ends.
    pub(crate) fn send(&self, messages: impl IntoIterator<Item = Message>) {
        let mut outbox = self.outbox.borrow_mut();
        if outbox.is_unread() {
            return self.close_for(CloseCause::Unread);
        }
        messages.into_iter().for_each(|message| outbox.push(&message));
    }

    /// No bitfield is longer than of so many pieces.
    pub(crate) fn expect_pieces(&self, pieces: u32) {
        self.pieces.set(Some(pieces));
    }

    /// Lets `bytes` more move.
    pub(crate) fn allow(&self, direction: Direction, bytes: u64) {
        let credit = &self.credit[direction as usize];
        credit.update(|mut credit| {
            credit.allow(bytes);
            credit
        });
    }

    fn left(&self, direction: Direction) -> u64 {
        self.credit[direction as usize].get().left()
    }
}

/// The buffer that all connections of a thread read into.
pub(crate) struct Scratch {
    pool: Arc<BufferPool>,
    buffer: Cell<Option<PooledBuffer>>,
}

impl Scratch {
    pub(crate) fn new(pool: Arc<BufferPool>) -> Scratch {
        Scratch { pool, buffer: Cell::new(None) }
    }

    fn take(&self) -> PooledBuffer {
        self.buffer.take().unwrap_or_else(|| self.pool.take(LARGEST))
    }

    fn put_back(&self, buffer: PooledBuffer) {
        self.buffer.set(Some(buffer));
    }
}

/// A connection's task.
pub(crate) struct Connection {
    id: ConnectionId,
    driver: Handle,
    stream: TcpStream,
    decoder: PeerStream,
    unsent: Unsent,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, driver: Handle, stream: TcpStream) -> Connection {
        Connection { id, driver, stream, decoder: PeerStream::new(), unsent: Unsent::new() }
    }

    /// Runs until the connection ends, then says so, once.
    pub(crate) async fn run(mut self) {
        let peer = self.driver.peer(self.id);
        let Some(peer) = peer else { return };
        let cause = poll_fn(|cx| {
            *peer.waker.borrow_mut() = Some(cx.waker().clone());
            peer.is_running.set(true);
            let polled = self.poll(cx, &peer);
            peer.is_running.set(false);
            polled
        })
        .await;
        // The last words, such as a reject or a handshake, go out if the system takes them at once.
        if cause == CloseCause::Asked {
            let unsent = peer.outbox.borrow().unsent().to_vec();
            let _ = self.stream.try_write(&unsent);
        }
        if peer.is_lost.get() {
            tcp::reset(&self.stream);
        }
        tracing::debug!(connection = ?self.id, %cause, "closed");
        self.driver.remove_peer(self.id);
        self.driver.turn(Input::ConnectionClosed { connection: self.id, cause });
    }

    fn poll(&mut self, cx: &mut Context<'_>, peer: &Peer) -> Poll<CloseCause> {
        let mut budget = BUDGET;
        loop {
            if let Some(cause) = peer.closing.get() {
                return Poll::Ready(cause);
            }
            match self.poll_send(cx, peer, budget) {
                Ok(count) => budget = budget.saturating_sub(count),
                Err(_) => return Poll::Ready(CloseCause::Network),
            }
            if let Some(cause) = peer.closing.get() {
                return Poll::Ready(cause);
            }
            match self.poll_receive(cx, peer) {
                Poll::Ready(Ok(count)) => budget = budget.saturating_sub(count),
                Poll::Ready(Err(cause)) => return Poll::Ready(cause),
                Poll::Pending if budget > 0 => return Poll::Pending,
                Poll::Pending => {}
            }
            if budget == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Writes as much of the outbox as the socket takes, and stops after `budget` bytes. Says how many it
    /// wrote.
    fn poll_send(&mut self, cx: &mut Context<'_>, peer: &Peer, budget: usize) -> io::Result<usize> {
        let mut count = 0;
        while count < budget {
            let mut outbox = peer.outbox.borrow_mut();
            let uploads = self.driver.uploads();
            if let Some((torrent, batch)) = outbox.next_batch(uploads.batch_max(), peer.left(Direction::Up))
                && let Some(row) = uploads.read(self.id, torrent, &batch)
            {
                outbox.push_batch(&batch, row);
            }
            if outbox.unsent().is_empty() {
                break;
            }
            let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(cx, outbox.unsent()) else {
                outbox.on_full();
                if let Some(bytes) = self.unsent.on_full(Instant::now()) {
                    tcp::bound_unsent(&self.stream, bytes);
                }
                break;
            };
            let written = written?;
            count += written;
            self.unsent.on_taken(written);
            let blocks = outbox.on_sent(written);
            drop(outbox);
            self.spend(peer, Direction::Up, written);
            if !blocks.is_empty() {
                self.driver.turn(Input::Uploaded { connection: self.id, blocks });
            }
        }
        Ok(count)
    }

    /// Tells the engine of bytes that it counts.
    fn spend(&self, peer: &Peer, direction: Direction, bytes: usize) {
        let (credit, bytes) = (&peer.credit[direction as usize], bytes as u64);
        let mut left = credit.get();
        if left.spend(bytes) {
            credit.set(left);
            self.driver.turn(Input::Moved { connection: self.id, direction, bytes });
        }
    }

    /// Reads once and takes a turn with what came; says how many bytes.
    fn poll_receive(&mut self, cx: &mut Context<'_>, peer: &Peer) -> Poll<Result<usize, CloseCause>> {
        let pool = self.driver.pool();
        let allowed = usize::try_from(peer.left(Direction::Down)).unwrap_or(usize::MAX);
        if allowed == 0 || (pool.is_full() && !pool.wait_for_room(cx.waker())) {
            return Poll::Pending;
        }
        let scratch = self.driver.scratch();
        let mut buffer = scratch.take();
        let tail = self.decoder.tail().len();
        buffer.bytes_mut()[..tail].copy_from_slice(self.decoder.tail());
        let end = LARGEST.min(tail.saturating_add(allowed));
        let mut space = ReadBuf::new(&mut buffer.bytes_mut()[tail..end]);
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut space);
        let count = space.filled().len();
        match read {
            Poll::Ready(Ok(())) if count > 0 => {}
            other => {
                scratch.put_back(buffer);
                return other.map(|read| Err(read.map_or(CloseCause::Network, |()| CloseCause::ByPeer)));
            }
        }
        self.spend(peer, Direction::Down, count);
        let mut messages = Vec::new();
        let filled = tail + count;
        let decoded = if count >= HAND_OVER {
            let shared: Arc<dyn Buffer> = Arc::new(buffer);
            let block = |range: std::ops::Range<usize>| slice(&shared, range);
            self.decoder.feed(&shared.bytes()[..filled], block, &mut messages)
        } else {
            let mut copy: Option<Arc<dyn Buffer>> = None;
            let bytes = &buffer.bytes()[..filled];
            let block = |range: std::ops::Range<usize>| {
                let shared = copy.get_or_insert_with(|| {
                    let mut kept = pool.take(filled);
                    kept.bytes_mut()[..filled].copy_from_slice(bytes);
                    Arc::new(kept)
                });
                slice(shared, range)
            };
            let decoded = self.decoder.feed(bytes, block, &mut messages);
            scratch.put_back(buffer);
            decoded
        };
        if !messages.is_empty() {
            self.driver.turn(Input::MessagesReceived { connection: self.id, messages });
            if let Some(pieces) = peer.pieces.take() {
                self.decoder.expect_pieces(pieces);
            }
        }
        Poll::Ready(decoded.map(|()| count).map_err(CloseCause::Malformed))
    }
}

fn slice(buffer: &Arc<dyn Buffer>, range: std::ops::Range<usize>) -> BlockData {
    BlockData::new(buffer.clone(), range.start, range.len())
        .expect("the decoder gives ranges of what it was fed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::index::PieceIndex;
    use crate::base::limit;

    #[test]
    fn a_peer_that_reads_nothing_of_what_it_is_told_ends_whatever_it_is() {
        let haves = || (0..100).map(|piece| Message::Have(PieceIndex(piece)));
        let peer = Peer::new();
        let mut told = 0;
        while peer.closing.get().is_none() {
            peer.send(haves());
            told += 900;
            assert!(told < limit::UNREAD + 10_000, "{told} bytes wait");
        }
        assert_eq!(peer.closing.get(), Some(CloseCause::Unread));
        peer.close();
        assert_eq!(peer.closing.get(), Some(CloseCause::Unread), "the first cause counts");
    }
}
