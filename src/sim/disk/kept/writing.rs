//! The files' side: blocks are written where they belong, as `runtime/disk`'s `write_together` and
//! `payload::writable` do it, and read back.

use super::{Fault, KeptDisk, Name, Result};
use crate::base::block_data::BlockData;
use crate::base::digest;
use crate::base::hash::Sha1Hash;
use crate::base::index::{BlockAddress, FileIndex, PieceIndex};
use crate::base::layout::BLOCK_LENGTH;
use crate::engine::disk_job::{DiskError, PieceJob, Verdict};

impl KeptDisk {
    /// Under which name a file is written to; it is made if it is missing.
    fn writable(&mut self, file: FileIndex) -> Result<Name> {
        let known = self.name(file)?;
        let is_beside = known == Some(Name::Final) && !self.memory.ours.contains(&file);
        let name = match known {
            Some(Name::Final) if is_beside => {
                // Beside somebody else's.
                if self.medium.look(file, Name::Part)?.is_none() {
                    self.medium.create(file, Name::Part)?;
                }
                Name::Part
            }
            Some(name) => name,
            None => {
                self.medium.create(file, Name::Part)?;
                Name::Part
            }
        };
        self.memory.names.insert(file, name);
        self.memory.opened.insert(file);
        let length = self.length(file);
        if self.medium.peek(file, name).is_some_and(|stamp| stamp.length < length) {
            self.medium.set_length(file, name, length)?;
        }
        if is_beside {
            self.bring_over(file)?;
        }
        Ok(name)
    }

    /// Copies what right pieces have in the older file to the one beside it.
    fn bring_over(&mut self, file: FileIndex) -> Result<()> {
        let content = self.content.clone();
        let slices = |piece: &PieceIndex| content.file_map().slices(content.layout().piece_range(*piece));
        let proven: Vec<_> =
            self.memory.proof.iter().flat_map(slices).filter(|slice| slice.file == file).collect();
        for slice in proven {
            let bytes = self.medium.read(file, Name::Final, slice.offset, slice.length)?.ok_or(Fault)?;
            self.medium.write(file, Name::Part, slice.offset, &bytes)?;
        }
        Ok(())
    }

    /// Writes a job's blocks and hashes the piece on, as far as it goes.
    pub(in crate::sim::disk) fn advance(
        &mut self,
        job: &mut PieceJob,
    ) -> std::result::Result<Option<Verdict>, DiskError> {
        self.advanced(job).map_err(|fault| self.error("write", fault))
    }

    fn advanced(&mut self, job: &mut PieceJob) -> Result<Option<Verdict>> {
        let piece = job.piece;
        let blocks: Vec<(u32, BlockData)> = std::mem::take(&mut job.blocks);
        self.memory.unrecorded.insert(piece, blocks.iter().map(|(block, _)| *block).collect());
        for run in blocks.chunk_by(|(before, _), (after, _)| before + 1 == *after) {
            let bytes = run.iter().map(|(_, data)| data.bytes()).collect::<Vec<_>>().concat();
            self.write(self.start_of(piece, run[0].0), &bytes)?;
            run.iter().for_each(|(block, _)| job.written[*block as usize] = true);
        }
        let mut is_right = job.front == 0 || self.memory.hashed.get(&piece).copied().unwrap_or(false);
        while job.written.get(job.front as usize) == Some(&true) {
            let address = BlockAddress { piece, block: job.front };
            let good = self.content.block(self.content.layout().request_for(address));
            let good = good.as_ref().map_or(&[][..], BlockData::bytes);
            is_right &= match blocks.iter().find(|(block, _)| *block == job.front) {
                Some((_, data)) => data.bytes() == good,
                None => self.read(self.start_of(piece, job.front), good.len() as u64)?.ok_or(Fault)? == good,
            };
            job.front += 1;
        }
        self.memory.hashed.insert(piece, is_right);
        let verdict = if job.front == self.content.layout().blocks_in(piece) {
            self.memory.hashed.remove(&piece);
            let digests =
                if is_right && !job.wants_digests { Vec::new() } else { self.block_digests(piece)? };
            Some(if is_right { Verdict::Passed { digests } } else { Verdict::Failed { digests } })
        } else {
            None
        };
        Ok(verdict)
    }

    fn block_digests(&mut self, piece: PieceIndex) -> Result<Vec<Sha1Hash>> {
        let layout = self.content.layout();
        let lengths: Vec<u64> = (0..layout.blocks_in(piece))
            .map(|block| u64::from(layout.block_len(BlockAddress { piece, block })))
            .collect();
        let digest = |(block, length): (u32, u64)| {
            let bytes = self.read(self.start_of(piece, block), length)?.ok_or(Fault)?;
            Ok(digest::sha1(&bytes))
        };
        (0..).zip(lengths).map(digest).collect()
    }

    /// Where a block begins in the payload.
    pub(super) fn start_of(&self, piece: PieceIndex, block: u32) -> u64 {
        self.content.layout().piece_range(piece).start + u64::from(block) * u64::from(BLOCK_LENGTH)
    }

    fn write(&mut self, start: u64, bytes: &[u8]) -> Result<()> {
        let map = self.content.clone();
        let mut at = 0;
        for slice in map.file_map().slices(start..start + bytes.len() as u64) {
            let name = self.writable(slice.file)?;
            let end = at + slice.length as usize;
            self.medium.write(slice.file, name, slice.offset, &bytes[at..end])?;
            at = end;
        }
        Ok(())
    }

    pub(super) fn read(&mut self, start: u64, length: u64) -> Result<Option<Vec<u8>>> {
        let map = self.content.clone();
        let mut bytes = Vec::new();
        for slice in map.file_map().slices(start..start + length) {
            let Some(name) = self.name(slice.file)? else { return Ok(None) };
            let Some(read) = self.medium.read(slice.file, name, slice.offset, slice.length)? else {
                return Ok(None);
            };
            bytes.extend(read);
        }
        Ok(Some(bytes))
    }
}
