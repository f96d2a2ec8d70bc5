//! Blocks into pieces: in any order, across files, good and bad.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::{Disk, Sample, payload, target};
use crate::base::block_data::{BlockData, Buffer};
use crate::base::digest;
use crate::base::layout::BLOCK_LENGTH;
use crate::engine::disk_job::{DiskResult, PieceJob, Verdict};
use crate::runtime::disk::advance::{Lane, Scratch, hash};
use crate::runtime::disk::write_together::write_together;

const BLOCK: u64 = BLOCK_LENGTH as u64;

fn passed() -> Option<Verdict> {
    Some(Verdict::Passed { digests: Vec::new() })
}

/// Gives a job that came back its next blocks.
fn with(sample: &Sample, mut job: Box<PieceJob>, blocks: &[u32]) -> Box<PieceJob> {
    job.blocks = blocks.iter().map(|block| sample.block(job.piece, *block)).collect();
    job
}

#[test]
fn blocks_beyond_the_front_are_read_back_when_it_comes_to_them() {
    let sample = Sample::new(&[(6 * BLOCK, false)], 6 * BLOCK_LENGTH);
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    disk.open().unwrap();
    let (job, result) = disk.advance(sample.job(0, [1, 2, 4]));
    assert_eq!((job.front, result), (0, Ok(None)));
    assert_eq!(job.written, [false, true, true, false, true, false]);
    assert!(job.blocks.is_empty(), "what is written is let go");
    let (job, result) = disk.advance(with(&sample, job, &[0]));
    assert_eq!((job.front, result), (3, Ok(None)));
    let (_, result) = disk.advance(with(&sample, job, &[3, 5]));
    assert_eq!(result, Ok(passed()));
    assert!(std::fs::read(dir.path().join("t/f0.part")).unwrap() == sample.content);
}

#[test]
fn a_piece_across_five_files_goes_to_each_of_them() {
    let lengths = [(10_000, false), (3, false), (0, false), (50_000, false), (1, false), (60_000, false)];
    let sample = Sample::new(&lengths, 131_072);
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    disk.open().unwrap();
    assert_eq!(sample.layout.piece_count(), 1, "all five share a piece");
    disk.download(&sample);
    for file in 0..lengths.len() {
        assert!(std::fs::read(dir.path().join(format!("t/f{file}"))).unwrap() == sample.file(file), "{file}");
    }
}

#[test]
fn a_failed_verdict_points_at_the_bad_block() {
    let sample = Sample::new(&[(20 * BLOCK + 100, false)], 32 * BLOCK_LENGTH);
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    disk.open().unwrap();
    let mut job = sample.job(0, sample.all_blocks(0));
    job.blocks[17].1 = BlockData::from(vec![9; BLOCK_LENGTH as usize]);
    let (_, result) = disk.advance(job);
    let Ok(Some(Verdict::Failed { digests: bad })) = result else { panic!("{result:?}") };
    let mut again = sample.job(0, sample.all_blocks(0));
    again.wants_digests = true;
    let (_, result) = disk.advance(again);
    let Ok(Some(Verdict::Passed { digests: good })) = result else { panic!("{result:?}") };
    assert_eq!(good.len(), 21);
    let last = sample.block(crate::base::index::PieceIndex(0), 20).1;
    assert_eq!(good[20], digest::sha1(last.bytes()), "the short last block has its own digest");
    let differing: Vec<usize> = (0..21).filter(|block| bad[*block] != good[*block]).collect();
    assert_eq!(differing, [17]);
}

#[test]
fn what_a_peer_says_of_padding_does_not_matter() {
    let sample = Sample::new(&[(20_000, false), (12_768, true), (40_000, false)], 32_768);
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    disk.open().unwrap();
    let mut job = sample.job(0, [0, 1]);
    let mut bytes = job.blocks[1].1.bytes().to_vec();
    bytes[5_000..].fill(0xff);
    job.blocks[1].1 = BlockData::from(bytes);
    let (_, result) = disk.advance(job);
    assert_eq!(result, Ok(passed()));
    assert!(!dir.path().join("t/f1").exists() && !dir.path().join("t/f1.part").exists());
}

#[test]
fn a_block_that_is_written_is_not_written_over() {
    let sample = Sample::new(&[(2 * BLOCK, false)], 2 * BLOCK_LENGTH);
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    disk.open().unwrap();
    let (mut job, _) = disk.advance(sample.job(0, [0]));
    job.blocks = vec![(0, BlockData::from(vec![9; BLOCK_LENGTH as usize])), sample.block(job.piece, 1)];
    let (_, result) = disk.advance(job);
    assert_eq!(result, Ok(passed()));
    assert!(std::fs::read(dir.path().join("t/f0.part")).unwrap() == sample.content);
}

#[test]
fn a_job_with_a_block_of_the_wrong_length_is_refused() {
    let sample = Sample::new(&[(2 * BLOCK, false)], 2 * BLOCK_LENGTH);
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    disk.open().unwrap();
    for (block, length) in [(0, 7), (1, 16_385), (2, 16_384), (u32::MAX, 16_384)] {
        let mut job = sample.job(0, []);
        job.blocks = vec![(block, BlockData::from(vec![1; length]))];
        let (job, result) = disk.advance(job);
        assert!(result.is_err(), "block {block} of {length} bytes");
        assert_eq!(job.written, [false, false]);
    }
}

#[test]
fn pieces_side_by_side_do_not_mix() {
    let sample = Sample::new(&[(70 * BLOCK + 5, false)], 20 * BLOCK_LENGTH);
    let dir = tempfile::tempdir().unwrap();
    let payload = payload(sample.storage(target(dir.path())));
    let verdicts = Mutex::new(BTreeMap::new());
    let finished = |result| match result {
        DiskResult::Advanced { job, result } => {
            verdicts.lock().unwrap().insert(job.piece.0, (job, result));
        }
        other => panic!("{other:?}"),
    };
    let mut scratch = Scratch::new();
    let advance = |jobs: Vec<Box<PieceJob>>, scratch: &mut Scratch| {
        let mut lanes: Vec<Lane> = jobs.into_iter().map(|job| Lane::new(payload.clone(), job)).collect();
        write_together(&mut lanes);
        while !lanes.is_empty() {
            lanes = hash(lanes, scratch, &finished);
        }
    };
    // Whole, in part, only beyond its front, and with a bad block.
    let mut bad = sample.job(3, sample.all_blocks(3));
    bad.blocks[10].1 = BlockData::from(vec![5; 5]);
    let jobs = vec![sample.job(0, 0..20), sample.job(1, 0..18), sample.job(2, 3..20), bad];
    advance(jobs, &mut scratch);
    let mut first = std::mem::take(&mut *verdicts.lock().unwrap());
    assert_eq!(first[&0].1, Ok(passed()));
    assert_eq!(first[&1].1, Ok(None));
    assert_eq!(first[&2].1, Ok(None));
    assert!(matches!(first[&3].1, Ok(Some(Verdict::Failed { .. }))));
    let mut rest = |piece: u32, blocks: &[u32]| with(&sample, first.remove(&piece).unwrap().0, blocks);
    advance(vec![rest(1, &[18, 19]), rest(2, &[0, 1, 2])], &mut scratch);
    let second = verdicts.lock().unwrap();
    assert_eq!((&second[&1].1, &second[&2].1), (&Ok(passed()), &Ok(passed())));
}

struct Counted(Vec<u8>);

impl Buffer for Counted {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[test]
fn buffers_are_free_before_the_result_is_told() {
    let sample = Sample::new(&[(BLOCK, false)], BLOCK_LENGTH);
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    disk.open().unwrap();
    let buffer: Arc<dyn Buffer> = Arc::new(Counted(sample.content.clone()));
    let weak = Arc::downgrade(&buffer);
    let mut job = sample.job(0, []);
    job.blocks = vec![(0, BlockData::new(buffer, 0, BLOCK_LENGTH as usize).unwrap())];
    let (_, result) = disk.advance(job);
    assert_eq!(result, Ok(passed()));
    assert!(weak.upgrade().is_none());
}

/// A payload of a few files and, for each piece, its blocks in some order, cut into jobs.
fn downloads() -> impl Strategy<Value = (Vec<(u64, bool)>, u32, Vec<u32>, usize)> {
    let lengths = prop::collection::vec((0u64..60_000, prop::bool::weighted(0.2)), 1..8);
    (lengths, 1u32..80_000, prop::collection::vec(any::<u32>(), 64), 1usize..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_of_blocks_gives_the_files((lengths, piece_length, keys, per_job) in downloads()) {
        let sample = Sample::new(&lengths, piece_length.max(2_000));
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::with_limit(sample.storage(target(dir.path())), 2);
        disk.open().unwrap();
        for piece in 0..sample.layout.piece_count() {
            let mut order: Vec<u32> = sample.all_blocks(piece).collect();
            order.sort_by_key(|block| keys[(*block + piece) as usize % keys.len()]);
            let mut job = sample.job(piece, []);
            let mut verdict = None;
            for blocks in order.chunks(per_job) {
                prop_assert_eq!(verdict, None, "a verdict before the last block");
                let mut blocks = blocks.to_vec();
                blocks.sort_unstable();
                let (back, result) = disk.advance(with(&sample, job, &blocks));
                (job, verdict) = (back, result.unwrap());
            }
            prop_assert_eq!(verdict, passed());
        }
        for (at, (_, is_pad)) in lengths.iter().enumerate() {
            disk.finish(at as u32).unwrap();
            let path = dir.path().join(format!("t/f{at}"));
            prop_assert_eq!(path.exists(), !is_pad);
            prop_assert!(*is_pad || std::fs::read(path).unwrap() == sample.file(at), "file {}", at);
        }
    }
}
