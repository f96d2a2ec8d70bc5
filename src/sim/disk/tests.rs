use super::*;
use crate::base::index::BlockAddress;
use crate::base::random::Rng;
use crate::engine::disk_job::{PieceJob, Verdict};
use crate::engine::order::TorrentId;
use crate::hashing::RunningHash;

const PIECE: PieceIndex = PieceIndex(1);

fn disk() -> VirtualDisk {
    let content = Content::new(&[200_000], 65_536, &mut Rng::from_number(1)).unwrap();
    VirtualDisk::new(content, DiskSpeed::default(), Bitfield::empty(4))
}

fn fresh_job() -> Box<PieceJob> {
    Box::new(PieceJob {
        torrent: TorrentId(0),
        piece: PIECE,
        hash: RunningHash::default(),
        front: 0,
        written: vec![false; 4],
        blocks: Vec::new(),
        wants_digests: false,
    })
}

/// Writes these blocks, the bad ones with wrong bytes.
fn advance(
    disk: &mut VirtualDisk,
    mut job: Box<PieceJob>,
    blocks: &[u32],
    bad: &[u32],
) -> (Box<PieceJob>, Option<Verdict>) {
    for &block in blocks {
        let request = disk.content.layout().request_for(BlockAddress { piece: PIECE, block });
        let is_bad = bad.contains(&block);
        let data = if is_bad { disk.content.bad_block(request) } else { disk.content.block(request) };
        job.blocks.push((block, data.unwrap()));
    }
    let (_, result) = disk.start(Instant::ZERO, DiskJob::Advance(job));
    disk.finish(Instant::ZERO, &result);
    let DiskResult::Advanced { job, result } = result else { panic!("{result:?}") };
    (job, result.unwrap())
}

#[test]
fn a_piece_passes_once_its_front_has_caught_up_with_spilled_blocks() {
    let mut disk = disk();
    let (job, verdict) = advance(&mut disk, fresh_job(), &[0, 2], &[]);
    assert_eq!((job.front, job.written.clone(), verdict), (1, vec![true, false, true, false], None));
    let (job, verdict) = advance(&mut disk, job, &[1, 3], &[]);
    assert_eq!((job.front, verdict), (4, Some(Verdict::Passed { digests: Vec::new() })));
    assert!(disk.right().has(PIECE));
    assert_eq!(disk.take_faults(), [""; 0]);
}

#[test]
fn a_piece_with_a_bad_block_fails_and_can_be_written_again() {
    let mut disk = disk();
    let (_, verdict) = advance(&mut disk, fresh_job(), &[0, 1, 2, 3], &[2]);
    let Some(Verdict::Failed { digests: first }) = verdict else { panic!("{verdict:?}") };
    assert!(!disk.right().has(PIECE));
    let again = Box::new(PieceJob { wants_digests: true, ..*fresh_job() });
    let (_, verdict) = advance(&mut disk, again, &[0, 1, 2, 3], &[]);
    let Some(Verdict::Passed { digests: second }) = verdict else { panic!("{verdict:?}") };
    let differing: Vec<usize> = (0..4).filter(|block| first[*block] != second[*block]).collect();
    assert_eq!(differing, [2]);
    assert_eq!(disk.take_faults(), [""; 0]);
}

#[test]
fn what_no_disk_should_be_asked_is_a_fault() {
    let mut disk = disk();
    let (job, _) = advance(&mut disk, fresh_job(), &[0], &[]);
    advance(&mut disk, job, &[0], &[]);
    disk.start(Instant::ZERO, DiskJob::FinishFile { torrent: TorrentId(0), file: FileIndex(0) });
    assert_eq!(disk.take_faults().len(), 2);
}

#[test]
fn jobs_are_done_one_after_the_other() {
    let mut disk = disk();
    let (first, _) = disk.start(Instant::ZERO, DiskJob::Check { torrent: TorrentId(0), pieces: 0..4 });
    let (second, _) = disk.start(Instant::ZERO, DiskJob::Open { torrent: TorrentId(0) });
    assert!(first >= Instant::ZERO + Duration::from_micros(700));
    assert_eq!(second, first + DiskSpeed::default().latency);
}
