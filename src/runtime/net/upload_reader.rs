//! Reads what peers asked for, into buffers that are used again and again.
//!
//! What the system has in memory is read on the engine's thread: a worker for every batch would cost more in
//! waking each other than the read itself. What it has not, or can't tell of, a worker reads. What several peers
//! want at once is read for the first of them (`hot_rows`). Rows are long, since every call that sends wakes
//! the other side and starts the system's pacing anew, and become short when many wait to be sent.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::block_row::{ReadRow, RowBuffers};
use super::hot_rows::HotRows;
use crate::base::index::BlockRequest;
use crate::base::layout::BLOCK_LENGTH;
use crate::base::limit;
use crate::engine::input::ConnectionId;
use crate::engine::order::TorrentId;
use crate::runtime::disk::{DiskPool, ReadFailure};
use crate::runtime::driver::Event;

/// Reads for all connections of a thread.
pub(crate) struct UploadReader {
    disk: Arc<DiskPool>,
    events: UnboundedSender<Event>,
    buffers: Rc<RowBuffers>,
    hot: RefCell<HotRows>,
    /// Blocks that workers read.
    waited_for: Cell<usize>,
}

impl UploadReader {
    pub(crate) fn new(disk: Arc<DiskPool>, events: UnboundedSender<Event>) -> UploadReader {
        UploadReader {
            disk,
            events,
            buffers: Rc::default(),
            hot: RefCell::default(),
            waited_for: Cell::new(0),
        }
    }

    /// How many blocks may be read for a peer at a time.
    pub(crate) fn batch_max(&self) -> usize {
        let waiting = self.buffers.out() + self.waited_for.get() * BLOCK_LENGTH as usize;
        if waiting < limit::LONG_ROWS { limit::LONG_ROW } else { limit::SHORT_ROW }
    }

    /// Reads blocks. `None` when that has to be waited for, or fails: then what comes of it is an
    /// [`Event::UploadRead`].
    pub(crate) fn read(
        &self,
        connection: ConnectionId,
        torrent: TorrentId,
        blocks: &[BlockRequest],
    ) -> Option<Rc<ReadRow>> {
        if let Some(row) = self.hot.borrow_mut().find(torrent, blocks) {
            return Some(row);
        }
        let mut buffer = self.buffers.take();
        if let Some(reader) = self.disk.reader(torrent)
            && reader.read_blocks_cached(blocks, &mut buffer)
        {
            return Some(self.row(connection, torrent, blocks, buffer));
        }
        self.waited_for.update(|count| count + blocks.len());
        let (events, asked) = (self.events.clone(), blocks.to_vec());
        let done = move |result| {
            // The engine's thread is gone only when nobody waits for the blocks any more.
            let _ = events.send(Event::UploadRead(connection, torrent, asked, result));
        };
        self.disk.submit_upload(torrent, blocks.to_vec(), buffer, Box::new(done));
        None
    }

    /// What was waited for has come.
    pub(crate) fn on_read(
        &self,
        connection: ConnectionId,
        torrent: TorrentId,
        blocks: &[BlockRequest],
        result: Result<Vec<u8>, ReadFailure>,
    ) -> Result<Rc<ReadRow>, ReadFailure> {
        self.waited_for.update(|count| count - blocks.len());
        Ok(self.row(connection, torrent, blocks, result?))
    }

    fn row(
        &self,
        connection: ConnectionId,
        torrent: TorrentId,
        blocks: &[BlockRequest],
        bytes: Vec<u8>,
    ) -> Rc<ReadRow> {
        let row = Rc::new(ReadRow::new(blocks.to_vec(), bytes, self.buffers.clone()));
        self.hot.borrow_mut().on_read(torrent, connection, &row);
        row
    }

    /// A torrent's files are opened or closed: what they held does not count any more.
    pub(crate) fn forget(&self, torrent: TorrentId) {
        self.hot.borrow_mut().forget(torrent);
    }
}
