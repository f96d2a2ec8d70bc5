//! What people may choose for data that was there before.

use std::fs;
use std::path::Path;

use super::{Disk, Sample, TORRENT, target};
use crate::base::hash::{InfoHashes, Sha1Hash};
use crate::engine::disk_job::{DiskError, DiskErrorKind, DiskJob, DiskResult, Existing, Unproven};
use crate::runtime::disk::{Keeping, OnConflict, Target};

const PIECE: u32 = 32_768;

/// The first and the last file have pieces of their own; those between share one.
fn sample() -> Sample {
    Sample::new(&[(100_000, false), (5_000, false), (6_000, false), (100_000, false)], PIECE)
}

fn disk(sample: &Sample, dir: &Path, on_conflict: OnConflict, part_suffix: bool) -> Disk {
    let hashes = InfoHashes { v1: Some(Sha1Hash([1; 20])), v2: None };
    let keeping = Keeping { state: Some((dir.join("state"), hashes)), ..Keeping::default() };
    let target = Target { on_conflict, part_suffix, ..target(&dir.join("data")) };
    Disk::new(sample.storage(target).keeping(keeping))
}

fn put(dir: &Path, name: &str, bytes: &[u8]) {
    let path = dir.join("data").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Fetches what is not right, and finishes all.
fn fetch(disk: &Disk, sample: &Sample, right: &[u32]) {
    for piece in (0..sample.layout.piece_count()).filter(|piece| !right.contains(piece)) {
        disk.advance(sample.job(piece, sample.all_blocks(piece))).1.unwrap();
    }
    (0..sample.files.len() as u32).for_each(|file| disk.finish(file).unwrap());
}

fn elsewhere(disk: &Disk) -> Result<Existing, DiskError> {
    let because = Box::new(DiskError {
        kind: DiskErrorKind::Exists,
        operation: "download to",
        file: "t".to_owned(),
        message: "because".to_owned(),
    });
    match disk.run(DiskJob::OpenElsewhere { torrent: TORRENT, because }) {
        DiskResult::Opened { result, .. } => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_data_is_written_over_if_people_say_so_and_right_data_is_kept() {
    for part_suffix in [true, false] {
        let sample = sample();
        let dir = tempfile::tempdir().unwrap();
        sample.put(&dir.path().join("data"));
        put(dir.path(), "t/f0", &vec![b'x'; 150_000]);
        put(dir.path(), "t/f2", b"notes");
        let first = disk(&sample, dir.path(), OnConflict::Overwrite, part_suffix);
        let (right, unproven) = first.start(&sample);
        assert_eq!((&right[..], unproven.files.len()), (&[4, 5, 6][..], 0));
        first.advance(sample.job(0, sample.all_blocks(0))).1.unwrap();
        drop(first);
        // What was written counts at the next start.
        let second = disk(&sample, dir.path(), OnConflict::Overwrite, part_suffix);
        let Ok(Existing::Known(known)) = second.open() else { panic!("it is not remembered") };
        let have: Vec<u32> = known.have.iter().map(|piece| piece.0).collect();
        assert_eq!(have, [0, 4, 5, 6]);
        second.run(DiskJob::FindUnproven { torrent: TORRENT });
        fetch(&second, &sample, &have);
        for file in 0..4 {
            let path = dir.path().join(format!("data/t/f{file}"));
            assert!(fs::read(path).unwrap() == sample.file(file), "{file}, {part_suffix}");
        }
        assert_eq!(fs::read_dir(dir.path().join("data/t")).unwrap().count(), 4);
    }
}

#[test]
fn what_is_no_file_is_not_written_over() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("data/t/f0")).unwrap();
    let error = disk(&sample, dir.path(), OnConflict::Overwrite, true).open().unwrap_err();
    assert_eq!(error.kind, DiskErrorKind::Exists);
}

#[test]
fn an_empty_file_takes_the_place_of_one_with_data_only_if_people_say_so() {
    let sample = Sample::new(&[(0, false), (40_000, false)], PIECE);
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "t/f0", b"notes");
    let error = disk(&sample, dir.path(), OnConflict::Keep, true).open().unwrap_err();
    assert_eq!(error.kind, DiskErrorKind::Exists);
    assert_eq!(fs::read(dir.path().join("data/t/f0")).unwrap(), b"notes");
    assert_eq!(disk(&sample, dir.path(), OnConflict::Overwrite, true).open(), Ok(Existing::Nothing));
    assert_eq!(fs::read(dir.path().join("data/t/f0")).unwrap(), b"");
}

#[test]
fn with_fail_any_data_that_the_state_does_not_claim_ends_it_before_it_is_read() {
    let sample = sample();
    for name in ["t/f1", "t/f3", "t/f3.part"] {
        let dir = tempfile::tempdir().unwrap();
        // Right, for that matter.
        put(dir.path(), name, sample.file(name[3..4].parse().unwrap()));
        let error = disk(&sample, dir.path(), OnConflict::Fail, true).open().unwrap_err();
        assert_eq!(error.kind, DiskErrorKind::Exists);
        assert!(error.file.ends_with(name), "{error}");
        assert_eq!(fs::read_dir(dir.path().join("data/t")).unwrap().count(), 1, "nothing is made");
    }
}

#[test]
fn with_fail_what_an_earlier_run_wrote_or_found_right_is_gone_on_with() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "t/f0", sample.file(0));
    put(dir.path(), "t/f1", b"");
    let first = disk(&sample, dir.path(), OnConflict::Keep, true);
    assert_eq!(first.start(&sample).0, [0, 1, 2]);
    first.advance(sample.job(5, [0])).1.unwrap();
    drop(first);
    for _ in 0..2 {
        let again = disk(&sample, dir.path(), OnConflict::Fail, true);
        let Ok(Existing::Known(known)) = again.open() else { panic!("it is not remembered") };
        assert_eq!((known.have.count(), known.written.len()), (3, 1));
    }
}

#[test]
fn a_download_whose_place_is_taken_goes_to_the_next_name_and_is_found_there_again() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "t/f0", &[b'x'; 100_000]);
    // No folder can be made here.
    put(dir.path(), "t.1", b"a file");
    let first = disk(&sample, dir.path(), OnConflict::Rename, true);
    assert_eq!(first.start(&sample).1.files.len(), 1);
    assert_eq!(elsewhere(&first), Ok(Existing::Nothing));
    first.advance(sample.job(0, sample.all_blocks(0))).1.unwrap();
    assert!(dir.path().join("data/t.2/f0.part").exists());
    drop(first);
    let second = disk(&sample, dir.path(), OnConflict::Rename, true);
    let Ok(Existing::Known(known)) = second.open() else { panic!("it is not remembered") };
    assert_eq!(known.have.iter().map(|piece| piece.0).collect::<Vec<_>>(), [0]);
    fetch(&second, &sample, &[0]);
    for file in 0..4 {
        assert!(fs::read(dir.path().join(format!("data/t.2/f{file}"))).unwrap() == sample.file(file));
    }
    assert!(fs::read(dir.path().join("data/t/f0")).unwrap() == [b'x'; 100_000]);
    assert_eq!(fs::read(dir.path().join("data/t.1")).unwrap(), b"a file");
    // Neither is it moved when it can stay.
    drop(second);
    let third = disk(&sample, dir.path(), OnConflict::Rename, true);
    let Ok(Existing::Known(known)) = third.open() else { panic!("it is not remembered") };
    assert!(known.have.is_full());
}

#[test]
fn right_data_under_another_name_is_used() {
    let sample = Sample::new(&[(100_000, false)], PIECE);
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "t/f0", &[b'x'; 100_000]);
    put(dir.path(), "t.1/f0", sample.file(0));
    let disk = disk(&sample, dir.path(), OnConflict::Rename, true);
    disk.start(&sample);
    assert_eq!(elsewhere(&disk), Ok(Existing::Something));
    assert_eq!(disk.check(0..4), Ok(vec![0, 1, 2, 3]));
    match disk.run(DiskJob::FindUnproven { torrent: TORRENT }) {
        DiskResult::UnprovenFound { result, .. } => {
            assert_eq!(result, Ok(Unproven { files: Vec::new(), is_any_proven: true }));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_rename_it_stays_where_it_is() {
    let sample = sample();
    for on_conflict in [OnConflict::Keep, OnConflict::Fail, OnConflict::Overwrite] {
        let dir = tempfile::tempdir().unwrap();
        let disk = disk(&sample, dir.path(), on_conflict, true);
        disk.open().unwrap();
        assert_eq!(elsewhere(&disk).unwrap_err().message, "because");
    }
}
