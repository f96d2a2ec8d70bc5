//! Payload for peers: read so that it can be sent as it lies in memory.

use std::sync::Arc;

use super::storage::Payload;
use super::transfer::Read;
use crate::base::index::BlockRequest;
use crate::engine::disk_job::{DiskError, DiskErrorKind};
use crate::wire::peer::message::PIECE_HEADER;

/// Reads one torrent's payload. Does not know what is verified: whoever asks does.
#[derive(Debug)]
pub struct Reader {
    pub(super) payload: Arc<Payload>,
}

impl Reader {
    /// Fills `out`, which has the requested length, with what `request` names. Waits for the disk.
    pub fn read(&self, request: BlockRequest, out: &mut [u8]) -> Result<(), DiskError> {
        let start = self.offset(request)?;
        if out.len() != request.length as usize {
            return Err(self.refusal("the buffer has another length than the request"));
        }
        if self.payload.read(start, vec![out])?.is_done() { Ok(()) } else { Err(self.refusal(NOT_THERE)) }
    }

    /// Makes the front of `buffer` a row of blocks, each after a gap of [`PIECE_HEADER`] bytes for its
    /// message's header. Neighbours in the payload are read together. Waits for the disk. What the gaps hold is
    /// left as it is, and a longer buffer keeps its length: clearing it anew would be one more pass.
    pub fn read_blocks(&self, requests: &[BlockRequest], buffer: &mut Vec<u8>) -> Result<(), DiskError> {
        match self.read_rows(requests, buffer, |start, parts| self.payload.read(start, parts))? {
            Read::Done => Ok(()),
            Read::Absent | Read::NotCached => Err(self.refusal(NOT_THERE)),
        }
    }

    /// The same, but without waiting: `false` when some of it is not in memory, or that can't be told.
    pub fn read_blocks_cached(
        &self,
        requests: &[BlockRequest],
        buffer: &mut Vec<u8>,
    ) -> Result<bool, DiskError> {
        match self.read_rows(requests, buffer, |start, parts| self.payload.read_cached(start, parts))? {
            Read::Done => Ok(true),
            Read::NotCached => Ok(false),
            Read::Absent => Err(self.refusal(NOT_THERE)),
        }
    }

    fn read_rows(
        &self,
        requests: &[BlockRequest],
        buffer: &mut Vec<u8>,
        mut read: impl FnMut(u64, Vec<&mut [u8]>) -> Result<Read, DiskError>,
    ) -> Result<Read, DiskError> {
        let mut offsets = Vec::with_capacity(requests.len());
        for request in requests {
            offsets.push((self.offset(*request)?, request.length as usize));
        }
        let length = offsets.iter().map(|(_, length)| PIECE_HEADER + length).sum();
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        let mut rest = buffer.as_mut_slice();
        for run in offsets.chunk_by(|before, after| before.0 + before.1 as u64 == after.0) {
            let mut parts = Vec::with_capacity(run.len());
            for (_, length) in run {
                let (block, after) = std::mem::take(&mut rest).split_at_mut(PIECE_HEADER + length);
                parts.push(&mut block[PIECE_HEADER..]);
                rest = after;
            }
            match read(run[0].0, parts)? {
                Read::Done => {}
                other => return Ok(other),
            }
        }
        Ok(Read::Done)
    }

    fn offset(&self, request: BlockRequest) -> Result<u64, DiskError> {
        let layout = &self.payload.storage.layout;
        if !layout.has_piece(request.piece) || !layout.contains(request) {
            return Err(self.refusal("there is no such block"));
        }
        Ok(layout.piece_range(request.piece).start + u64::from(request.begin))
    }

    fn refusal(&self, message: &str) -> DiskError {
        DiskError {
            kind: DiskErrorKind::Other,
            operation: "read from",
            file: self.payload.storage.target.dir.to_string_lossy().into_owned(),
            message: message.to_owned(),
        }
    }
}

const NOT_THERE: &str = "a file is missing or has become shorter";
