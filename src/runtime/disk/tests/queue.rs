//! In which order pieces are written and hashed, and by how many at a time.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{Sample, TORRENT, payload, target};
use crate::base::index::FileIndex;
use crate::base::layout::BLOCK_LENGTH;
use crate::engine::disk_job::{DiskJob, DiskResult, PieceJob, Verdict};
use crate::hashing;
use crate::runtime::disk::advance::{Lane, Scratch, hash};
use crate::runtime::disk::door::fault::{Call, planned::plan};
use crate::runtime::disk::open_files::Key;
use crate::runtime::disk::queue::{Next, Queue, Turn, Work};
use crate::runtime::disk::upload::Reader;
use crate::runtime::disk::write_together::write_together;

mod threads;

const FIRST: Key = (TORRENT, FileIndex(0));
const SECOND: Key = (TORRENT, FileIndex(1));
/// Longer than anything is waited for.
const AGES: Duration = Duration::from_secs(1);

/// Pieces of one block each.
fn sample(pieces: u32) -> Sample {
    Sample::new(&[(u64::from(pieces) * u64::from(BLOCK_LENGTH), false)], BLOCK_LENGTH)
}

fn written_next(queue: &mut Queue, now: Instant) -> (Key, Vec<u32>) {
    match queue.take(now) {
        Next::Turn(Turn::Write(file, jobs)) => (file, jobs.iter().map(|job| job.piece.0).collect()),
        _ => panic!("there is something to write"),
    }
}

#[test]
fn one_worker_at_a_time_writes_to_a_file_and_others_write_to_others() {
    let (sample, now) = (sample(5), Instant::now());
    let mut queue = Queue::default();
    assert!(queue.push_piece(FIRST, sample.job(0, [0]), now));
    let at = now + AGES;
    assert_eq!(written_next(&mut queue, at), (FIRST, vec![0]));
    assert!(!queue.push_piece(FIRST, sample.job(1, [0]), at), "whoever writes comes back for it");
    assert!(!queue.has_more());
    assert!(queue.push_piece(SECOND, sample.job(2, [0]), at));
    queue.push_piece(FIRST, sample.job(3, [0]), at);
    assert!(queue.has_more());
    assert_eq!(written_next(&mut queue, at + AGES), (SECOND, vec![2]));
    assert!(matches!(queue.take(at + AGES), Next::Nothing));
    queue.on_written(FIRST, Vec::new(), at + AGES);
    assert_eq!(written_next(&mut queue, at + AGES), (FIRST, vec![1, 3]));
}

#[test]
fn jobs_go_in_the_order_in_which_they_came() {
    let (sample, now) = (sample(2), Instant::now());
    let mut queue = Queue::default();
    queue.push(Work::Job(DiskJob::Settle { torrent: TORRENT }));
    queue.push_piece(FIRST, sample.job(0, [0]), now);
    queue.push(Work::Job(DiskJob::Close { torrent: TORRENT }));
    let mut told = Vec::new();
    while let Next::Turn(turn) = queue.take(now + AGES) {
        told.push(match turn {
            Turn::Other(Work::Job(DiskJob::Settle { .. })) => "settle",
            Turn::Other(Work::Job(DiskJob::Close { .. })) => "close",
            Turn::Write(..) => "write",
            _ => "something else",
        });
    }
    assert_eq!(told, ["settle", "write", "close"]);
}

#[test]
fn pieces_that_wait_for_others_hold_up_neither_reads_nor_what_comes_behind_them() {
    if hashing::lanes() < 4 {
        return;
    }
    let (sample, now) = (sample(4), Instant::now());
    let dir = tempfile::tempdir().unwrap();
    let payload = payload(sample.storage(target(dir.path())));
    let mut queue = Queue::default();
    queue.push_piece(FIRST, sample.job(0, [0]), now);
    queue.push_piece(FIRST, sample.job(1, [0]), now);
    assert!(matches!(queue.take(now), Next::Later(_)), "they come thick and fast");
    let reader = Reader { payload };
    queue.push(Work::Upload { reader, blocks: Vec::new(), buffer: Vec::new(), done: Box::new(|_| ()) });
    assert!(matches!(queue.take(now), Next::Turn(Turn::Other(Work::Upload { .. }))));
    assert!(matches!(queue.take(now), Next::Later(_)));
    queue.push(Work::Job(DiskJob::Settle { torrent: TORRENT }));
    assert_eq!(written_next(&mut queue, now), (FIRST, vec![0, 1]));
    assert!(matches!(queue.take(now), Next::Turn(Turn::Other(Work::Job(_)))));
}

#[test]
fn pieces_are_hashed_as_many_as_go_side_by_side_and_never_wait_for_a_write_that_hangs() {
    let lanes = hashing::lanes();
    let sample = sample(lanes as u32 + 3);
    let dir = tempfile::tempdir().unwrap();
    let payload = payload(sample.storage(target(dir.path())));
    let lane = |piece| Lane::new(payload.clone(), sample.job(piece, [0]));
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.push_piece(FIRST, sample.job(lanes as u32 + 2, [0]), now);
    written_next(&mut queue, now + AGES);
    queue.on_written(SECOND, (0..lanes as u32 + 2).map(lane).collect(), now + AGES);
    let hashed = |next| match next {
        Next::Turn(Turn::Hash(lanes)) => lanes.len(),
        Next::Later(_) => 0,
        _ => panic!("there is something to hash"),
    };
    assert_eq!(hashed(queue.take(now + AGES)), lanes);
    if lanes > 2 {
        assert_eq!(hashed(queue.take(now + AGES)), 0, "more are being written");
    }
    assert_eq!(hashed(queue.take(now + 2 * AGES)), 2.min(lanes), "that takes too long");
}

#[test]
fn short_pieces_that_follow_each_other_are_written_with_one_call_and_fail_each_for_itself() {
    let sample = sample(8);
    let dir = tempfile::tempdir().unwrap();
    let writes = Arc::new(AtomicU32::new(0));
    let seen = writes.clone();
    plan(dir.path(), move |call, _| {
        let number = if call == Call::Write { seen.fetch_add(1, Ordering::SeqCst) } else { 0 };
        // The call for the second four, and then the third of them.
        if [1, 4].contains(&number) { Err(io::Error::from(Errno::IO)) } else { Ok(()) }
    });
    let payload = payload(sample.storage(target(dir.path())));
    let told = Mutex::new(Vec::new());
    let finished = |result| match result {
        DiskResult::Advanced { job, result } => {
            let has_passed = matches!(result, Ok(Some(Verdict::Passed { .. })));
            told.lock().unwrap().push((job.piece.0, has_passed));
        }
        other => panic!("{other:?}"),
    };
    let advance = |pieces: [u32; 4]| {
        let jobs = pieces.map(|piece| -> Box<PieceJob> { sample.job(piece, [0]) });
        let mut lanes: Vec<Lane> = jobs.into_iter().map(|job| Lane::new(payload.clone(), job)).collect();
        write_together(&mut lanes);
        let mut scratch = Scratch::new();
        while !lanes.is_empty() {
            lanes = hash(lanes, &mut scratch, &finished);
        }
        let mut told = std::mem::take(&mut *told.lock().unwrap());
        told.sort_unstable();
        told
    };
    assert_eq!(advance([3, 0, 2, 1]), [(0, true), (1, true), (2, true), (3, true)]);
    assert_eq!(writes.load(Ordering::SeqCst), 1);
    assert_eq!(advance([4, 5, 6, 7]), [(4, true), (5, true), (6, false), (7, true)]);
    let there = std::fs::read(dir.path().join("t/f0.part")).unwrap();
    let bad = 6 * BLOCK_LENGTH as usize..7 * BLOCK_LENGTH as usize;
    assert!(
        there[..bad.start] == sample.content[..bad.start] && there[bad.end..] == sample.content[bad.end..]
    );
}
