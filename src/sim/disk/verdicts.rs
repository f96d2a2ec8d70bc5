//! What a disk does that keeps no payload of complete pieces, only which are right: for large swarms.

use std::ops::Range;

use super::VirtualDisk;
use crate::base::bitfield::Bitfield;
use crate::base::block_data::BlockData;
use crate::base::digest;
use crate::base::index::{BlockAddress, FileIndex, PieceIndex};
use crate::engine::disk_job::{
    DiskError, DiskErrorKind, DiskResult, PieceJob, Resume, Unproven, UnprovenFile, Verdict,
};

impl VirtualDisk {
    pub(super) fn known(&self) -> Resume {
        let written = |(piece, stored): (&PieceIndex, &Vec<Option<BlockData>>)| {
            (*piece, stored.iter().map(Option::is_some).collect())
        };
        Resume {
            have: self.right.clone(),
            unsure: Bitfield::empty(self.right.len()),
            written: self.under_way.iter().map(written).collect(),
            traffic: self.traffic,
        }
    }

    pub(super) fn check(&mut self, pieces: Range<u32>) -> (u64, Vec<PieceIndex>) {
        // What was under way is on disk, and is no piece.
        self.under_way.retain(|piece, _| !pieces.contains(&piece.0));
        let layout = self.content.layout();
        let bytes = pieces.clone().map(|piece| u64::from(layout.piece_len(PieceIndex(piece)))).sum();
        (bytes, pieces.map(PieceIndex).filter(|piece| self.right.has(*piece)).collect())
    }

    pub(super) fn unproven(&self) -> Unproven {
        let unproven = |file: &FileIndex| {
            let length = self.content.file_map().files().get(file.index())?.length;
            Some(UnprovenFile { file: *file, path: format!("{file:?}"), length, looks_interrupted: false })
        };
        Unproven {
            files: self.foreign.iter().filter_map(unproven).collect(),
            is_any_proven: !self.right.is_empty(),
        }
    }

    pub(super) fn advance(&mut self, mut job: Box<PieceJob>) -> (u64, DiskResult) {
        let piece = job.piece;
        let count = self.content.layout().blocks_in(piece);
        let bytes = job.blocks.iter().map(|(_, data)| u64::from(data.len())).sum();
        if self.out.insert(piece, bytes).is_some() {
            self.fault(format!("piece {piece} is sent to the disk while it is there"));
        }
        if self.is_full && !job.blocks.is_empty() {
            let error = DiskError {
                kind: DiskErrorKind::Full { free: Some(0) },
                operation: "write",
                file: format!("piece {piece}"),
                message: "it is full".to_owned(),
            };
            return (0, DiskResult::Advanced { job, result: Err(error) });
        }
        if self.right.has(piece) {
            self.fault(format!("piece {piece} is written though it is right already"));
        }
        if job.front == 0 && !job.written.contains(&true) {
            self.under_way.remove(&piece);
        }
        job.written.resize(count as usize, false);
        let mut stored = self.under_way.remove(&piece).unwrap_or_default();
        stored.resize(count as usize, None);
        if !job.blocks.is_sorted_by_key(|(block, _)| *block) {
            self.fault(format!("blocks of piece {piece} are not in order"));
        }
        for (block, data) in std::mem::take(&mut job.blocks) {
            let length = self.content.layout().block_len(BlockAddress { piece, block });
            if block >= count || length != data.len() || job.written[block as usize] {
                self.fault(format!("block {piece}.{block} of {} bytes is written", data.len()));
                continue;
            }
            job.written[block as usize] = true;
            stored[block as usize] = Some(data);
        }
        while job.written.get(job.front as usize) == Some(&true) {
            job.front += 1;
        }
        let verdict = (job.front == count).then(|| self.judge(piece, &stored, job.wants_digests));
        if verdict.is_none() {
            self.under_way.insert(piece, stored);
        }
        (bytes, DiskResult::Advanced { job, result: Ok(verdict) })
    }

    fn judge(&mut self, piece: PieceIndex, stored: &[Option<BlockData>], wants_digests: bool) -> Verdict {
        let layout = self.content.layout();
        let is_good = |(block, data): (usize, &Option<BlockData>)| {
            let request = layout.request_for(BlockAddress { piece, block: block as u32 });
            data.as_ref().is_some_and(|data| self.content.is_good(request, data))
        };
        let passed = stored.iter().enumerate().all(is_good);
        let digests =
            || stored.iter().map(|data| digest::sha1(data.as_ref().map_or(&[], BlockData::bytes))).collect();
        if passed {
            let digests = if wants_digests { digests() } else { Vec::new() };
            self.right.insert(piece);
            Verdict::Passed { digests }
        } else {
            Verdict::Failed { digests: digests() }
        }
    }
}
