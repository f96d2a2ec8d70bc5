//! Payload for peers: read so that it can be sent as it lies in memory.

use std::io;
use std::sync::Arc;

use super::names::OPEN_FOLDER;
use super::payload::Payload;
use super::transfer::Read;
use crate::base::index::{BlockRequest, FileIndex};
use crate::engine::disk_job::{DiskError, DiskErrorKind};
use crate::wire::peer::message::PIECE_HEADER;

/// Why blocks could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadFailure {
    /// The file that is to blame, if one is.
    pub file: Option<FileIndex>,
    /// What went wrong with it.
    pub error: DiskError,
}

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
    pub fn read_blocks(&self, requests: &[BlockRequest], buffer: &mut Vec<u8>) -> Result<(), ReadFailure> {
        let mut read = || {
            let read = self.read_rows(requests, buffer, |start, parts| self.payload.read(start, parts));
            read.and_then(|read| if read.is_done() { Ok(()) } else { Err(self.refusal(NOT_THERE)) })
        };
        // If no file is to blame any more, or none ever was, it may have been for a moment only.
        read().or_else(|_| match self.culprit(requests) {
            Some(failure) => Err(failure),
            None => read().map_err(|error| ReadFailure { file: None, error }),
        })
    }

    /// The same, but without waiting: `false` when some of it is not in memory, or cannot be read at all.
    pub fn read_blocks_cached(&self, requests: &[BlockRequest], buffer: &mut Vec<u8>) -> bool {
        let read = self.read_rows(requests, buffer, |start, parts| self.payload.read_cached(start, parts));
        read.is_ok_and(Read::is_done)
    }

    /// The first file that has something of these blocks and cannot be read there. None is to blame when it is the
    /// system that lacks something.
    fn culprit(&self, requests: &[BlockRequest]) -> Option<ReadFailure> {
        let storage = &self.payload.storage;
        for request in requests {
            let start = self.offset(*request).ok()?;
            for slice in storage.file_map.slices(start..start + u64::from(request.length)) {
                let at = storage.file_map.files()[slice.file.index()].offset + slice.offset;
                let mut bytes = vec![0; usize::try_from(slice.length).ok()?];
                let error = match self.payload.read(at, vec![&mut bytes]) {
                    Ok(read) if read.is_done() => continue,
                    Ok(_) => self.payload.error("read", slice.file, &io::Error::other(GONE)),
                    Err(error) if error.kind == DiskErrorKind::Strained => return None,
                    // It is the file that is of no use now, whatever is the matter with the folder.
                    Err(error) if error.operation == OPEN_FOLDER => {
                        let error =
                            io::Error::other(format!("its folder cannot be opened: {}", error.message));
                        self.payload.error("read", slice.file, &error)
                    }
                    Err(error) => error,
                };
                return Some(ReadFailure { file: Some(slice.file), error });
            }
        }
        None
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
const GONE: &str = "it is missing or has become shorter";
