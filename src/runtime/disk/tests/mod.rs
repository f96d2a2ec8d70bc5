//! Torrents with real files in a temporary folder, and a pool to work on them.

mod check;
mod download;
mod faults;
mod foreign;
mod names;
mod on_conflict;
mod pieces;
mod queue;
mod remembered;
mod upload;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use super::open_files::OpenFiles;
use super::payload::Payload;
use super::sync_behind::SyncBehind;
use super::{DiskPool, FileSpec, Storage, Target};
use crate::base::block_data::BlockData;
use crate::base::digest;
use crate::base::file_map::FileMap;
use crate::base::hash::PieceHashes;
use crate::base::index::{BlockAddress, FileIndex, PieceIndex};
use crate::base::layout::{BLOCK_LENGTH, Layout};
use crate::engine::disk_job::{DiskError, DiskJob, DiskResult, Existing, PieceJob, Unproven, Verdict};
use crate::engine::order::TorrentId;
use crate::hashing::RunningHash;

pub(super) const TORRENT: TorrentId = TorrentId(7);

/// A torrent's content and how it is cut.
pub(super) struct Sample {
    pub(super) content: Vec<u8>,
    pub(super) map: Arc<FileMap>,
    pub(super) layout: Arc<Layout>,
    pub(super) files: Vec<FileSpec>,
}

impl Sample {
    /// Files `t/f0`, `t/f1` ... of these lengths, the `true` ones padding.
    pub(super) fn new(lengths: &[(u64, bool)], piece_length: u32) -> Sample {
        let map = FileMap::new(lengths.iter().copied()).unwrap();
        let mut content: Vec<u8> = (0..map.total()).map(|at| (at * 7 + at / 251 + 1) as u8).collect();
        for span in map.files().iter().filter(|span| span.is_pad) {
            content[span.offset as usize..(span.offset + span.length) as usize].fill(0);
        }
        let file = |at| FileSpec { path: PathBuf::from(format!("t/f{at}")), executable: false, skip: false };
        Sample {
            layout: Arc::new(Layout::uniform(map.total(), piece_length).unwrap()),
            files: (0..lengths.len()).map(file).collect(),
            map: Arc::new(map),
            content,
        }
    }

    pub(super) fn storage(&self, target: Target) -> Storage {
        let hashes = self.layout.pieces().map(|piece| digest::sha1(self.piece(piece))).collect();
        let hashes = PieceHashes::v1(hashes);
        Storage::new(target, self.files.clone(), self.map.clone(), self.layout.clone(), hashes)
    }

    pub(super) fn piece(&self, piece: PieceIndex) -> &[u8] {
        let range = self.layout.piece_range(piece);
        &self.content[range.start as usize..range.end as usize]
    }

    pub(super) fn block(&self, piece: PieceIndex, block: u32) -> (u32, BlockData) {
        let length = self.layout.block_len(BlockAddress { piece, block });
        let start = (block * BLOCK_LENGTH) as usize;
        (block, BlockData::from(self.piece(piece)[start..start + length as usize].to_vec()))
    }

    /// What a file should hold.
    pub(super) fn file(&self, file: usize) -> &[u8] {
        let span = self.map.files()[file];
        &self.content[span.offset as usize..(span.offset + span.length) as usize]
    }

    /// Puts the files under their final names into `dir`.
    pub(super) fn put(&self, dir: &Path) {
        std::fs::create_dir_all(dir.join("t")).unwrap();
        for (at, file) in self.files.iter().enumerate().filter(|(at, _)| !self.map.files()[*at].is_pad) {
            std::fs::write(dir.join(&file.path), self.file(at)).unwrap();
        }
    }

    pub(super) fn job(&self, piece: u32, blocks: impl IntoIterator<Item = u32>) -> Box<PieceJob> {
        let piece = PieceIndex(piece);
        Box::new(PieceJob {
            torrent: TORRENT,
            piece,
            hash: RunningHash::default(),
            front: 0,
            written: vec![false; self.layout.blocks_in(piece) as usize],
            blocks: blocks.into_iter().map(|block| self.block(piece, block)).collect(),
            wants_digests: false,
        })
    }

    pub(super) fn all_blocks(&self, piece: u32) -> std::ops::Range<u32> {
        0..self.layout.blocks_in(PieceIndex(piece))
    }
}

pub(super) fn target(dir: &Path) -> Target {
    Target::new(dir)
}

/// A storage in use, without a pool.
pub(super) fn payload(storage: Storage) -> Arc<Payload> {
    let (sync_behind, open_files) = (SyncBehind::start().unwrap(), Arc::new(OpenFiles::new(4)));
    Arc::new(Payload { torrent: TORRENT, storage, open_files, sync_behind, heads: Arc::default() })
}

/// A pool whose jobs are waited for.
pub(super) struct Disk {
    pub(super) pool: DiskPool,
    results: Receiver<DiskResult>,
}

impl Disk {
    pub(super) fn new(storage: Storage) -> Disk {
        Disk::with_limit(storage, 100)
    }

    pub(super) fn with_limit(storage: Storage, max_open_files: usize) -> Disk {
        let (sender, results) = channel();
        let pool = DiskPool::start(2, max_open_files, move |result| {
            let _ = sender.send(result);
        });
        let disk = Disk { pool: pool.unwrap(), results };
        disk.pool.add_torrent(TORRENT, storage);
        disk
    }

    pub(super) fn run(&self, job: DiskJob) -> DiskResult {
        self.pool.submit(job);
        self.next()
    }

    pub(super) fn next(&self) -> DiskResult {
        self.results.recv_timeout(std::time::Duration::from_secs(60)).expect("a job's result comes")
    }

    pub(super) fn open(&self) -> Result<Existing, DiskError> {
        match self.run(DiskJob::Open { torrent: TORRENT }) {
            DiskResult::Opened { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn check(&self, pieces: std::ops::Range<u32>) -> Result<Vec<u32>, DiskError> {
        match self.run(DiskJob::Check { torrent: TORRENT, pieces }) {
            DiskResult::Checked { result, .. } => {
                result.map(|right| right.into_iter().map(|piece| piece.0).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    /// Opens and checks everything: which pieces are right, and what is unproven.
    pub(super) fn start(&self, sample: &Sample) -> (Vec<u32>, Unproven) {
        self.open().unwrap();
        let right = self.check(0..sample.layout.piece_count()).unwrap();
        match self.run(DiskJob::FindUnproven { torrent: TORRENT }) {
            DiskResult::UnprovenFound { result, .. } => (right, result.unwrap()),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn advance(&self, job: Box<PieceJob>) -> (Box<PieceJob>, Result<Option<Verdict>, DiskError>) {
        match self.run(DiskJob::Advance(job)) {
            DiskResult::Advanced { job, result } => (job, result),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn finish(&self, file: u32) -> Result<(), DiskError> {
        match self.run(DiskJob::FinishFile { torrent: TORRENT, file: FileIndex(file) }) {
            DiskResult::FileFinished { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    /// Fetches all pieces in order and finishes all files.
    pub(super) fn download(&self, sample: &Sample) {
        self.download_from(sample, 0);
    }

    /// The same, from this piece on.
    pub(super) fn download_from(&self, sample: &Sample, first: u32) {
        for piece in first..sample.layout.piece_count() {
            let (_, verdict) = self.advance(sample.job(piece, sample.all_blocks(piece)));
            assert_eq!(verdict, Ok(Some(Verdict::Passed { digests: Vec::new() })), "piece {piece}");
        }
        for file in 0..sample.files.len() as u32 {
            self.finish(file).unwrap();
        }
    }
}
