//! Reads what peers asked for, into buffers that are used again and again.
//!
//! What the system has in memory is read on the engine's thread: a worker for every batch would cost more in
//! waking each other than the read itself. What it has not, or can't tell of, a worker reads. The buffer that
//! was sent last is the next to be read into, since it is still in the processor's cache; a connection has one
//! only while its socket takes no more.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use crate::base::index::BlockRequest;
use crate::engine::disk_job::DiskError;
use crate::engine::input::ConnectionId;
use crate::engine::order::TorrentId;
use crate::runtime::disk::DiskPool;
use crate::runtime::driver::Event;

/// Buffers that are kept while nobody needs them.
const SPARE: usize = 4;

/// Reads for all connections of a thread.
pub(crate) struct UploadReader {
    disk: Arc<DiskPool>,
    events: UnboundedSender<Event>,
    spare: RefCell<Vec<Vec<u8>>>,
}

impl UploadReader {
    pub(crate) fn new(disk: Arc<DiskPool>, events: UnboundedSender<Event>) -> UploadReader {
        UploadReader { disk, events, spare: RefCell::default() }
    }

    /// Reads blocks, each behind room for its header. `None` when that has to be waited for: then they come
    /// as an [`Event::UploadRead`].
    pub(crate) fn read(
        &self,
        connection: ConnectionId,
        torrent: TorrentId,
        blocks: &[BlockRequest],
    ) -> Result<Option<Vec<u8>>, DiskError> {
        let mut buffer = self.spare.borrow_mut().pop().unwrap_or_default();
        if let Some(reader) = self.disk.reader(torrent)
            && reader.read_blocks_cached(blocks, &mut buffer)?
        {
            return Ok(Some(buffer));
        }
        let (events, asked) = (self.events.clone(), blocks.to_vec());
        let done = move |result| {
            // The engine's thread is gone only when nobody waits for the blocks any more.
            let _ = events.send(Event::UploadRead(connection, asked, result));
        };
        self.disk.submit_upload(torrent, blocks.to_vec(), buffer, Box::new(done));
        Ok(None)
    }

    /// Takes a buffer back.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE {
            spare.push(buffer);
        }
    }
}
