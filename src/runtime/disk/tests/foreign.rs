//! Files that were there before us and may be somebody else's: never written to, cut, renamed or removed.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{Disk, Sample, target};
use crate::base::index::PieceIndex;
use crate::engine::disk_job::{DiskError, DiskErrorKind, Unproven};
use crate::runtime::disk::{Allocate, Target};

const PIECE: u32 = 32_768;

/// The first and the last file have pieces of their own; those between share one.
fn sample() -> Sample {
    Sample::new(&[(100_000, false), (5_000, false), (6_000, false), (100_000, false)], PIECE)
}

fn put(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

fn files(unproven: &Unproven) -> Vec<u32> {
    unproven.files.iter().map(|found| found.file.0).collect()
}

/// Fetches what is not right, and finishes what can be: the errors.
fn fetch(disk: &Disk, sample: &Sample, right: &[u32]) -> Vec<DiskError> {
    for piece in (0..sample.layout.piece_count()).filter(|piece| !right.contains(piece)) {
        disk.advance(sample.job(piece, sample.all_blocks(piece))).1.unwrap();
    }
    (0..sample.files.len() as u32).filter_map(|file| disk.finish(file).err()).collect()
}

#[test]
fn a_foreign_file_is_found_and_stays_as_it_is_whatever_comes() {
    let sample = sample();
    let full = vec![b'x'; 100_000];
    let long = vec![b'x'; 150_000];
    for (allocate, foreign) in [
        (Allocate::Sparse, &b"somebody's"[..]),
        (Allocate::Full, &full),
        (Allocate::None, &full),
        (Allocate::Sparse, &long),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = put(dir.path(), "t/f0", foreign);
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        for part_suffix in [true, false] {
            let disk = Disk::new(sample.storage(Target { allocate, part_suffix, ..target(dir.path()) }));
            let (right, unproven) = disk.start(&sample);
            assert_eq!((right.len(), files(&unproven), unproven.is_any_proven), (0, vec![0], false));
            assert_eq!(unproven.files[0].length, foreign.len() as u64);
            assert_eq!(PathBuf::from(&unproven.files[0].path), path);
            assert!(!unproven.files[0].looks_interrupted);
            assert_eq!(fs::read_dir(dir.path().join("t")).unwrap().count(), 1, "only looked at");
            // Even when the engine goes on.
            for piece in 0..sample.layout.piece_count() {
                disk.advance(sample.job(piece, sample.all_blocks(piece))).1.unwrap();
            }
            let error = disk.finish(0).unwrap_err();
            assert_eq!(error.kind, DiskErrorKind::Exists);
            assert!(error.message.contains("other data") && error.message.contains("f0.part"), "{error}");
            assert!(fs::read(&path).unwrap() == foreign);
            assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
            assert!(fs::read(dir.path().join("t/f0.part")).unwrap() == sample.file(0));
            for name in ["f0.part", "f1", "f1.part", "f2", "f2.part", "f3", "f3.part"] {
                let _ = fs::remove_file(dir.path().join("t").join(name));
            }
        }
    }
}

#[test]
fn files_with_a_right_piece_are_gone_on_with_in_place() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), "t/f0", sample.file(0));
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"damage", 10).unwrap();
    file.set_len(90_000).unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    let (right, unproven) = disk.start(&sample);
    assert_eq!((&right[..], unproven.files.len(), unproven.is_any_proven), (&[1][..], 0, true));
    assert_eq!(fetch(&disk, &sample, &right), []);
    assert!(fs::read(&path).unwrap() == sample.file(0));
    assert!(!dir.path().join("t/f0.part").exists());
}

#[test]
fn a_right_file_whose_neighbour_was_deleted_is_kept() {
    let sample = sample();
    for allocate in [Allocate::Sparse, Allocate::Full, Allocate::None] {
        let dir = tempfile::tempdir().unwrap();
        sample.put(dir.path());
        fs::remove_file(dir.path().join("t/f1")).unwrap();
        let disk = Disk::new(sample.storage(Target { allocate, ..target(dir.path()) }));
        let (right, unproven) = disk.start(&sample);
        // It shares its only piece with the one that is missing.
        assert_eq!((&right[..], files(&unproven)), (&[0, 1, 2, 4, 5, 6][..], vec![2]));
        assert!(unproven.is_any_proven);
        assert_eq!(fetch(&disk, &sample, &right), []);
        let mut names: Vec<_> =
            fs::read_dir(dir.path().join("t")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["f0", "f1", "f2", "f3"]);
        for (file, name) in names.iter().enumerate() {
            assert!(fs::read(dir.path().join("t").join(name)).unwrap() == sample.file(file), "{name:?}");
        }
    }
}

#[test]
fn a_foreign_file_among_right_ones_is_not_replaced() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    sample.put(dir.path());
    let path = put(dir.path(), "t/f2", b"notes");
    let disk = Disk::new(sample.storage(target(dir.path())));
    let (right, unproven) = disk.start(&sample);
    assert_eq!(files(&unproven), [1, 2], "their only piece is wrong");
    let errors = fetch(&disk, &sample, &right);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].kind == DiskErrorKind::Exists && errors[0].file.ends_with("t/f2"), "{:?}", errors[0]);
    assert!(errors[0].message.contains("f2.part"), "{}", errors[0]);
    assert_eq!(fs::read(&path).unwrap(), b"notes");
}

#[test]
fn a_file_fetched_beside_another_has_what_was_right_in_that_one() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    // Its last bytes are those of a piece that is right, and too few to tell whose it is.
    let mut foreign = vec![b'x'; 98_304];
    foreign.extend_from_slice(&sample.file(0)[98_304..]);
    let path = put(dir.path(), "t/f0", &foreign);
    (1..4).for_each(|file| drop(put(dir.path(), &format!("t/f{file}"), sample.file(file))));
    let disk = Disk::new(sample.storage(target(dir.path())));
    let (right, unproven) = disk.start(&sample);
    assert_eq!((&right[..], files(&unproven)), (&[3, 4, 5, 6][..], vec![0]));
    assert_eq!(fetch(&disk, &sample, &right).len(), 1);
    assert_eq!(fs::read(&path).unwrap(), foreign);
    assert_eq!(fs::read(dir.path().join("t/f0.part")).unwrap(), sample.file(0));
    assert_eq!(disk.check(0..7), Ok((0..7).collect()));
}

#[test]
fn holes_zeros_and_empty_files_are_absent() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "t/f0", &[0; 100_000]);
    put(dir.path(), "t/f1", b"");
    put(dir.path(), "t/f2", b"");
    fs::File::create(dir.path().join("t/f3")).unwrap().set_len(100_000).unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    let (right, unproven) = disk.start(&sample);
    assert_eq!((right.len(), unproven), (0, Unproven::default()));
    assert_eq!(fetch(&disk, &sample, &right), []);
    assert!(fs::read(dir.path().join("t/f0")).unwrap() == sample.file(0));
}

#[test]
fn a_piece_of_zeros_proves_nothing() {
    let mut sample = Sample::new(&[(100_000, false)], PIECE);
    let zeros = sample.layout.piece_range(PieceIndex(1));
    sample.content[zeros.start as usize..zeros.end as usize].fill(0);
    let dir = tempfile::tempdir().unwrap();
    let mut foreign = vec![b'x'; 100_000];
    foreign[PIECE as usize..2 * PIECE as usize].fill(0);
    let path = put(dir.path(), "t/f0", &foreign);
    let disk = Disk::new(sample.storage(Target { allocate: Allocate::None, ..target(dir.path()) }));
    let (right, unproven) = disk.start(&sample);
    assert_eq!((&right[..], files(&unproven), unproven.is_any_proven), (&[1][..], vec![0], false));
    assert_eq!(fetch(&disk, &sample, &right).len(), 1);
    assert!(fs::read(&path).unwrap() == foreign);
    assert!(fs::read(dir.path().join("t/f0.part")).unwrap() == sample.content);
}

#[test]
fn a_common_beginning_in_a_neighbours_piece_proves_nothing() {
    // Of the second file 1000 bytes are in the first one's last piece.
    let sample = Sample::new(&[(u64::from(PIECE) * 2 - 1000, false), (100_000, false)], PIECE);
    let dir = tempfile::tempdir().unwrap();
    sample.put(dir.path());
    let mut foreign = vec![b'x'; 100_000];
    foreign[..1000].copy_from_slice(&sample.file(1)[..1000]);
    put(dir.path(), "t/f1", &foreign);
    let disk = Disk::new(sample.storage(target(dir.path())));
    let (right, unproven) = disk.start(&sample);
    assert_eq!((&right[..], files(&unproven)), (&[0, 1][..], vec![1]));
}

#[test]
fn an_interrupted_run_without_part_names_is_gone_on_with() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    let plain = Target { part_suffix: false, ..target(dir.path()) };
    let first = Disk::new(sample.storage(plain.clone()));
    first.open().unwrap();
    // No piece is complete.
    first.advance(sample.job(0, [1])).1.unwrap();
    first.advance(sample.job(5, [0])).1.unwrap();
    drop(first);
    let disk = Disk::new(sample.storage(plain));
    let (right, unproven) = disk.start(&sample);
    assert_eq!((right.len(), files(&unproven)), (0, vec![0, 3]));
    assert!(unproven.files.iter().all(|found| found.looks_interrupted));
    assert_eq!(fetch(&disk, &sample, &right), []);
    for file in 0..4 {
        assert!(fs::read(dir.path().join(format!("t/f{file}"))).unwrap() == sample.file(file), "{file}");
    }
    assert!(!dir.path().join("t/f0.part").exists());
    // One who gives such names does not take them for its own.
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), "t/f0", b"");
    let sparse = fs::OpenOptions::new().write(true).open(path).unwrap();
    sparse.write_all_at(b"x", 60_000).unwrap();
    let (_, unproven) = Disk::new(sample.storage(target(dir.path()))).start(&sample);
    assert!(!unproven.files[0].looks_interrupted);
}

#[test]
fn nothing_is_asked_of_files_that_are_only_read() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "t/f0", b"somebody's");
    let disk = Disk::new(sample.storage(Target { read_only: true, ..target(dir.path()) }));
    assert_eq!(disk.start(&sample), (Vec::new(), Unproven::default()));
}
