//! What is there already, and how much of it is right.

use std::fs;
use std::os::unix::fs::FileExt as _;

use super::{Disk, Sample, target};
use crate::engine::disk_job::{DiskErrorKind, Existing};
use crate::runtime::disk::Target;

fn sample() -> Sample {
    Sample::new(&[(100_000, false), (31_072, false), (70_001, false)], 32_768)
}

#[test]
fn only_the_pieces_with_wrong_bytes_are_wrong() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    sample.put(dir.path());
    let disk = Disk::new(sample.storage(target(dir.path())));
    assert_eq!(disk.open(), Ok(Existing::Something));
    assert_eq!(disk.check(0..7), Ok(vec![0, 1, 2, 3, 4, 5, 6]));
    let file = fs::File::options().write(true).open(dir.path().join("t/f0")).unwrap();
    file.write_all_at(b"?", 40_000).unwrap();
    file.write_all_at(b"?", 99_999).unwrap();
    assert_eq!(disk.check(0..7), Ok(vec![0, 2, 4, 5, 6]), "the byte at the end is in piece 3");
    assert_eq!(disk.check(2..4), Ok(vec![2]));
    assert_eq!(disk.check(5..u32::MAX), Ok(vec![5, 6]), "pieces that there are not are not right");
}

#[test]
fn missing_and_short_files_are_no_error() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    sample.put(dir.path());
    fs::remove_file(dir.path().join("t/f1")).unwrap();
    fs::File::options().write(true).open(dir.path().join("t/f2")).unwrap().set_len(70_000).unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    assert_eq!(disk.open(), Ok(Existing::Something));
    assert_eq!(disk.check(0..7), Ok(vec![0, 1, 2, 4, 5]));
}

#[test]
fn a_file_of_holes_is_nothing_unless_zeros_belong_there() {
    let mut sample = Sample::new(&[(4 * 32_768, false), (5, false)], 32_768);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("t")).unwrap();
    let file = fs::File::create(dir.path().join("t/f0.part")).unwrap();
    file.set_len(4 * 32_768).unwrap();
    assert_eq!(Disk::new(sample.storage(target(dir.path()))).open(), Ok(Existing::Nothing));
    sample.content[32_768..65_536].fill(0);
    let disk = Disk::new(sample.storage(target(dir.path())));
    assert_eq!(disk.open(), Ok(Existing::Something));
    assert_eq!(disk.check(0..5), Ok(vec![1]));
    file.write_all_at(sample.piece(crate::base::index::PieceIndex(3)), 3 * 32_768).unwrap();
    assert_eq!(disk.open(), Ok(Existing::Something));
    assert_eq!(disk.check(0..5), Ok(vec![1, 3]));
}

#[test]
fn a_piece_much_longer_than_a_step_is_checked() {
    let sample = Sample::new(&[(3_000_000, false), (200_000, false)], 2 << 20);
    let dir = tempfile::tempdir().unwrap();
    sample.put(dir.path());
    let disk = Disk::new(sample.storage(target(dir.path())));
    assert_eq!(disk.check(0..2), Ok(vec![0, 1]));
}

#[test]
fn a_check_that_takes_many_turns_comes_back_once() {
    let sample = Sample::new(&[(20 << 20, false)], 1 << 20);
    let dir = tempfile::tempdir().unwrap();
    sample.put(dir.path());
    let disk = Disk::new(sample.storage(target(dir.path())));
    assert_eq!(disk.check(0..20), Ok((0..20).collect()));
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_made() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(sample.storage(Target { reserve: 1 << 60, ..target(dir.path()) }));
    let error = disk.open().unwrap_err();
    assert!(matches!(error.kind, DiskErrorKind::Full { free: Some(_) }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("196.4 KiB are needed and 1 EiB are to be left free"), "{message}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn complete_files_need_no_space() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    sample.put(dir.path());
    let disk = Disk::new(sample.storage(Target { reserve: 1 << 60, ..target(dir.path()) }));
    assert_eq!(disk.open(), Ok(Existing::Something));
}

#[test]
fn reading_only_makes_nothing() {
    let sample = Sample::new(&[(100_000, false), (0, false)], 32_768);
    let dir = tempfile::tempdir().unwrap();
    for place in [dir.path().to_owned(), dir.path().join("missing")] {
        let disk = Disk::new(sample.storage(Target { read_only: true, ..target(&place) }));
        assert_eq!(disk.open(), Ok(Existing::Nothing));
        assert_eq!(disk.check(0..4), Ok(vec![]));
        assert_eq!(disk.finish(0), Ok(()));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
