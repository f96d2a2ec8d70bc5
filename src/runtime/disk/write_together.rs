//! Blocks of several pieces onto disk, those that follow each other with one call: short pieces are cheap that way.
//!
//! Whatever goes wrong with such a call is found out piece by piece, so that each piece fails for itself. A block that
//! is written, and perhaps hashed already, never changes on disk.

use super::advance::Lane;
use crate::base::index::BlockAddress;
use crate::base::layout::BLOCK_LENGTH;
use crate::engine::disk_job::DiskError;

/// Writes what the pieces have to write. Those of which that fails get their outcome.
pub(super) fn write_together(lanes: &mut [Lane]) {
    for lane in lanes.iter_mut() {
        lane.outcome = lane.leave_out_what_is_written().err().map(Err);
    }
    lanes.sort_by_key(|lane| (lane.job.torrent, lane.job.piece));
    for neighbours in lanes.chunk_by_mut(Lane::is_before) {
        if neighbours.len() > 1 && write_as_one(neighbours) {
            neighbours.iter_mut().for_each(Lane::mark_written);
            continue;
        }
        for lane in neighbours.iter_mut().filter(|lane| lane.outcome.is_none()) {
            lane.outcome = lane.write().err().map(Err);
        }
    }
}

/// Writes whole pieces that follow each other; whether it worked.
fn write_as_one(lanes: &[Lane]) -> bool {
    let bytes: Vec<&[u8]> =
        lanes.iter().flat_map(|lane| &lane.job.blocks).map(|(_, data)| data.bytes()).collect();
    let Some(first) = lanes.first() else { return true };
    first.payload.write(first.payload.storage.layout.piece_range(first.job.piece).start, &bytes).is_ok()
}

impl Lane {
    /// Whether all of this piece and all of the one that follows it in the payload are to be written.
    fn is_before(&self, other: &Lane) -> bool {
        let layout = &self.payload.storage.layout;
        self.job.torrent == other.job.torrent
            && layout.piece_range(self.job.piece).end == layout.piece_range(other.job.piece).start
            && self.is_all_here()
            && other.is_all_here()
    }

    fn is_all_here(&self) -> bool {
        self.outcome.is_none() && self.job.blocks.len() == self.block_count() as usize
    }

    /// Only what is to be written stays, and only if it is the piece's.
    fn leave_out_what_is_written(&mut self) -> Result<(), DiskError> {
        let (layout, piece) = (&self.payload.storage.layout, self.job.piece);
        let (written, blocks) = (&mut self.job.written, &mut self.job.blocks);
        written.resize(layout.blocks_in(piece) as usize, false);
        let fits = blocks.iter().all(|(block, data)| {
            (*block as usize) < written.len()
                && data.len() == layout.block_len(BlockAddress { piece, block: *block })
        });
        if !fits {
            return Err(self.payload.refusal(piece, "the job's blocks are none of the piece's"));
        }
        blocks.retain(|(block, _)| !written[*block as usize]);
        Ok(())
    }

    fn mark_written(&mut self) {
        for (block, _) in &self.job.blocks {
            self.job.written[*block as usize] = true;
        }
    }

    /// Writes what there is, adjacent blocks together.
    fn write(&mut self) -> Result<(), DiskError> {
        let start = self.payload.storage.layout.piece_range(self.job.piece).start;
        let (written, blocks) = (&mut self.job.written, &self.job.blocks);
        for run in blocks.chunk_by(|(before, _), (after, _)| before + 1 == *after) {
            let bytes: Vec<&[u8]> = run.iter().map(|(_, data)| data.bytes()).collect();
            self.payload.write(start + u64::from(run[0].0) * u64::from(BLOCK_LENGTH), &bytes)?;
            for (block, _) in run {
                written[*block as usize] = true;
            }
        }
        Ok(())
    }
}
