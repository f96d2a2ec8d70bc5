//! What happens when calls to the system fail, or do not come back: nothing written is lost, nothing else is
//! believed.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{Disk, Sample, TORRENT, payload, target};
use crate::base::hash::{InfoHashes, Sha1Hash};
use crate::base::layout::BLOCK_LENGTH;
use crate::engine::disk_job::{DiskErrorKind, DiskJob, Existing, Resume, Verdict};
use crate::runtime::disk::door::fault::{Call, planned::plan};
use crate::runtime::disk::target::{Allocate, Target};
use crate::runtime::disk::{Keeping, Storage};

const PIECE: u32 = 4 * BLOCK_LENGTH;

/// Two files of three pieces each.
fn sample() -> Sample {
    Sample::new(&[(3 * u64::from(PIECE), false), (3 * u64::from(PIECE), false)], PIECE)
}

fn remembered(sample: &Sample, dir: &Path) -> Storage {
    let hashes = InfoHashes { v1: Some(Sha1Hash([1; 20])), v2: None };
    let keeping = Keeping { state: Some((dir.join("state"), hashes)), ..Keeping::default() };
    sample.storage(target(&dir.join("data"))).keeping(keeping)
}

/// What an open run would hear at the next start.
fn resumed(sample: &Sample, dir: &Path) -> Resume {
    match Disk::new(remembered(sample, dir)).open() {
        Ok(Existing::Known(resume)) => *resume,
        other => panic!("{other:?}"),
    }
}

fn numbers(set: &crate::base::bitfield::Bitfield) -> Vec<u32> {
    set.iter().map(|piece| piece.0).collect()
}

fn passed() -> Option<Verdict> {
    Some(Verdict::Passed { digests: Vec::new() })
}

#[test]
fn space_that_is_to_be_left_free_is_not_written_into_either() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    let block = vec![7; BLOCK_LENGTH as usize];
    let write = |allocate| {
        let target = Target { reserve: 1 << 60, allocate, ..target(dir.path()) };
        payload(sample.storage(target)).write(0, &[&block])
    };
    let error = write(Allocate::Sparse).unwrap_err();
    assert_eq!(error.kind, DiskErrorKind::Full { free: Some(0) }, "nothing is free for us");
    assert!(error.message.contains("--reserve"), "{error}");
    assert_eq!(write(Allocate::Full), Ok(()), "the file has taken its space before");
}

#[test]
fn blocks_that_found_no_space_come_back_and_can_be_written_later() {
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        let sample = sample();
        let dir = tempfile::tempdir().unwrap();
        let writes = AtomicU32::new(0);
        plan(&dir.path().join("data"), move |call, _| {
            // The first run of the second job, and nothing after it until the fifth write.
            let number = if call == Call::Write { writes.fetch_add(1, Ordering::SeqCst) } else { 0 };
            if (2..5).contains(&number) { Err(errno.into()) } else { Ok(()) }
        });
        let disk = Disk::new(remembered(&sample, dir.path()));
        disk.open().unwrap();
        assert_eq!(disk.advance(sample.job(0, 0..4)).1, Ok(passed()));
        let (mut job, result) = disk.advance(sample.job(1, [0, 2, 3]));
        let error = result.unwrap_err();
        let DiskErrorKind::Full { free } = error.kind else { panic!("{error:?}") };
        assert_eq!(free.is_some(), errno == Errno::NOSPC, "how much is free says nothing of a quota");
        assert!(error.to_string().contains("cannot write") && error.file.ends_with("t/f0"), "{error}");
        assert_eq!(job.written, [true, false, false, false]);
        for _ in 0..2 {
            assert_eq!(job.blocks.iter().map(|(block, _)| *block).collect::<Vec<_>>(), [2, 3]);
            let (back, result) = disk.advance(job);
            assert!(result.is_err());
            job = back;
        }
        let (mut job, result) = disk.advance(job);
        assert_eq!(result, Ok(None));
        job.blocks = vec![sample.block(job.piece, 1)];
        assert_eq!(disk.advance(job).1, Ok(passed()));
        assert_eq!(
            fs::read(dir.path().join("data/t/f0.part")).unwrap()[..2 * PIECE as usize],
            sample.content[..2 * PIECE as usize]
        );
    }
}

#[test]
fn a_write_that_fails_makes_nothing_doubtful_that_was_written_before() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    let is_broken = Arc::new(AtomicBool::new(false));
    let seen = is_broken.clone();
    plan(&dir.path().join("data"), move |call, path| {
        let fails = call == Call::Write && path == Path::new("t/f0") && seen.load(Ordering::SeqCst);
        if fails { Err(Errno::IO.into()) } else { Ok(()) }
    });
    let disk = Disk::new(remembered(&sample, dir.path()));
    disk.open().unwrap();
    for piece in [0, 3] {
        assert_eq!(disk.advance(sample.job(piece, 0..4)).1, Ok(passed()));
    }
    is_broken.store(true, Ordering::SeqCst);
    let (job, result) = disk.advance(sample.job(1, 0..4));
    let error = result.unwrap_err();
    assert_eq!(error.kind, DiskErrorKind::Other);
    assert!(
        error.to_string().starts_with("cannot write ") && error.to_string().contains("t/f0: "),
        "{error}"
    );
    assert!(job.blocks.is_empty(), "it holds no memory");
    assert_eq!(disk.advance(sample.job(4, 0..4)).1, Ok(passed()), "the other file goes on");
    drop(disk);
    // As a write that fails half-way does.
    let resume = resumed(&sample, dir.path());
    assert_eq!((numbers(&resume.have), numbers(&resume.unsure)), (vec![0, 3, 4], vec![]));
}

#[test]
fn what_could_not_be_synced_is_never_called_durable_and_is_read_again_at_the_next_start() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    let syncs = Arc::new(AtomicU32::new(0));
    let seen = syncs.clone();
    plan(&dir.path().join("data"), move |call, path| {
        let is_first =
            call == Call::Sync && path == Path::new("t/f0") && seen.fetch_add(1, Ordering::SeqCst) == 0;
        if is_first { Err(Errno::IO.into()) } else { Ok(()) }
    });
    let (warnings, heard) = channel();
    let mut storage = remembered(&sample, dir.path());
    storage.keeping.warn = Some(Arc::new(move |text| drop(warnings.send(text))));
    let disk = Disk::new(storage);
    disk.open().unwrap();
    for piece in [0, 1, 3] {
        assert_eq!(disk.advance(sample.job(piece, 0..4)).1, Ok(passed()));
    }
    let sync = || disk.pool.reader(TORRENT).unwrap().payload.sync_behind();
    sync();
    let warning = heard.try_recv().unwrap();
    assert!(warning.contains("cannot sync") && warning.contains("t/f0"), "{warning}");
    // Written after the sync that failed: the next one that works would not say whether it is all there.
    assert_eq!(disk.advance(sample.job(2, 0..4)).1, Ok(passed()));
    sync();
    assert_eq!(syncs.load(Ordering::SeqCst), 1, "it is not tried again");
    assert!(heard.try_recv().is_err(), "it is told once");
    drop(disk);
    let resume = resumed(&sample, dir.path());
    assert_eq!((numbers(&resume.have), numbers(&resume.unsure)), (vec![3], vec![0, 1, 2]));
}

#[test]
fn with_sync_at_the_end_a_file_that_cannot_be_synced_is_not_complete_and_not_tried_again() {
    for errno in [Errno::IO, Errno::NOSPC] {
        let sample = Sample::new(&[(100_000, false)], 32_768);
        let dir = tempfile::tempdir().unwrap();
        plan(
            &dir.path().join("data"),
            move |call, _| {
                if call == Call::Sync { Err(errno.into()) } else { Ok(()) }
            },
        );
        let mut storage = sample.storage(target(&dir.path().join("data")));
        storage.keeping.sync = crate::runtime::disk::SyncPolicy::End;
        let disk = Disk::new(storage);
        disk.open().unwrap();
        for piece in 0..4 {
            disk.advance(sample.job(piece, sample.all_blocks(piece))).1.unwrap();
        }
        let error = disk.finish(0).unwrap_err();
        assert_eq!((error.kind, error.operation), (DiskErrorKind::Other, "sync"), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_ends_the_check() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    sample.put(&dir.path().join("data"));
    plan(&dir.path().join("data"), |call, path| {
        let fails = call == Call::Read && path == Path::new("t/f1");
        if fails { Err(io::Error::from(Errno::IO)) } else { Ok(()) }
    });
    let disk = Disk::new(sample.storage(target(&dir.path().join("data"))));
    disk.open().unwrap();
    assert_eq!(disk.check(0..3), Ok(vec![0, 1, 2]));
    let error = disk.check(3..6).unwrap_err();
    assert!(error.to_string().starts_with("cannot read ") && error.file.ends_with("t/f1"), "{error}");
}

#[test]
fn a_write_that_never_comes_back_holds_up_neither_other_files_nor_whoever_leaves() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (hung, is_hanging) = channel();
    let hung = Mutex::new(hung);
    let waited = gate.clone();
    let is_all_stuck = Arc::new(AtomicBool::new(false));
    let seen = is_all_stuck.clone();
    plan(&dir.path().join("data"), move |call, path| {
        if call == Call::Write && (path == Path::new("t/f1") || seen.load(Ordering::SeqCst)) {
            let _ = hung.lock().unwrap().send(());
            let is_open = waited.0.lock().unwrap();
            drop(waited.1.wait_while(is_open, |is_open| !*is_open).unwrap());
        }
        Ok(())
    });
    let disk = Disk::new(remembered(&sample, dir.path()));
    disk.open().unwrap();
    assert_eq!(disk.advance(sample.job(0, 0..4)).1, Ok(passed()));
    disk.pool.submit(DiskJob::Advance(sample.job(3, 0..4)));
    is_hanging.recv_timeout(Duration::from_secs(60)).unwrap();
    disk.pool.submit(DiskJob::Advance(sample.job(4, 0..4)));
    assert_eq!(disk.advance(sample.job(1, 0..4)).1, Ok(passed()), "the other file goes on");
    is_all_stuck.store(true, Ordering::SeqCst);
    disk.pool.submit(DiskJob::Advance(sample.job(2, 0..4)));
    is_hanging.recv_timeout(Duration::from_secs(60)).unwrap();
    let began = Instant::now();
    assert!(!disk.pool.end(Duration::from_millis(100)));
    drop(disk);
    assert!(began.elapsed() < Duration::from_secs(30), "it was waited for");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

#[test]
fn a_disk_that_works_ends_after_all_that_was_queued_is_written() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(remembered(&sample, dir.path()));
    disk.open().unwrap();
    for piece in 0..6 {
        disk.pool.submit(DiskJob::Advance(sample.job(piece, 0..4)));
    }
    assert!(disk.pool.end(Duration::from_secs(60)));
    drop(disk);
    assert_eq!(numbers(&resumed(&sample, dir.path()).have), [0, 1, 2, 3, 4, 5]);
}
