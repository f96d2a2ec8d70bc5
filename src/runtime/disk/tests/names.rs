//! Names on disk: `.part` and final ones, and what others put in their place.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::{Disk, Sample, TORRENT, target};
use crate::engine::disk_job::{DiskErrorKind, DiskJob, Existing, Unproven, Verdict};
use crate::runtime::disk::{Allocate, Target};

fn small() -> Sample {
    Sample::new(&[(40_000, false), (20_000, false)], 32_768)
}

fn fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[test]
fn a_file_has_its_final_name_only_when_it_is_complete() {
    let sample = small();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join("t").join(name);
    let disk = Disk::new(sample.storage(target(dir.path())));
    disk.open().unwrap();
    disk.advance(sample.job(0, sample.all_blocks(0))).1.unwrap();
    disk.advance(sample.job(1, sample.all_blocks(1))).1.unwrap();
    assert!(at("f0.part").exists() && at("f1.part").exists() && !at("f0").exists());
    disk.finish(0).unwrap();
    assert!(at("f0").exists() && !at("f0.part").exists());
    assert_eq!(fs::metadata(at("f0")).unwrap().permissions().mode() & 0o111, 0);
    disk.finish(0).unwrap();
    // Handles from before the renaming are good after it, and new ones find the new name.
    assert_eq!(disk.check(0..2), Ok(vec![0, 1]));
    disk.run(DiskJob::Close { torrent: TORRENT });
    assert!(disk.open().is_err(), "what is closed is forgotten");
    let disk = Disk::new(sample.storage(target(dir.path())));
    assert_eq!(disk.open(), Ok(Existing::Something));
    assert_eq!(disk.check(0..2), Ok(vec![0, 1]));
}

#[test]
fn a_part_file_of_an_earlier_run_is_gone_on_with() {
    let sample = small();
    let dir = tempfile::tempdir().unwrap();
    let first = Disk::new(sample.storage(target(dir.path())));
    first.open().unwrap();
    first.advance(sample.job(0, sample.all_blocks(0))).1.unwrap();
    drop(first);
    // Also by one who makes no such files.
    let disk = Disk::new(sample.storage(Target { part_suffix: false, ..target(dir.path()) }));
    assert_eq!(disk.open(), Ok(Existing::Something));
    assert_eq!(disk.check(0..2), Ok(vec![0]));
    disk.advance(sample.job(1, sample.all_blocks(1))).1.unwrap();
    disk.finish(0).unwrap();
    disk.finish(1).unwrap();
    assert!(fs::read(dir.path().join("t/f0")).unwrap() == sample.file(0));
    assert!(fs::read(dir.path().join("t/f1")).unwrap() == sample.file(1));
}

#[test]
fn a_file_that_takes_the_final_name_meanwhile_is_not_replaced() {
    let sample = small();
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    disk.open().unwrap();
    disk.advance(sample.job(0, sample.all_blocks(0))).1.unwrap();
    fs::write(dir.path().join("t/f0"), b"somebody's").unwrap();
    let error = disk.finish(0).unwrap_err();
    assert_eq!(error.kind, DiskErrorKind::Exists, "{error}");
    assert_eq!(fs::read(dir.path().join("t/f0")).unwrap(), b"somebody's");
    assert!(dir.path().join("t/f0.part").exists());
}

#[test]
fn only_what_may_be_executed_can_be() {
    let mut sample = Sample::new(&[(40_000, false), (0, false)], 65_536);
    sample.files.iter_mut().for_each(|file| file.executable = true);
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    disk.open().unwrap();
    disk.download(&sample);
    for name in ["t/f0", "t/f1"] {
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, (mode & 0o444) >> 2, "{name}: {mode:o}");
        assert_ne!(mode & 0o111, 0);
    }
}

#[test]
fn a_link_in_a_files_place_is_refused_and_its_end_untouched() {
    let sample = small();
    for (link, is_folder) in [("t/f0", false), ("t/f0.part", false), ("t", true)] {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let secret = elsewhere.path().join("f0");
        fs::write(&secret, b"secret").unwrap();
        if is_folder {
            symlink(elsewhere.path(), dir.path().join(link)).unwrap();
        } else {
            fs::create_dir(dir.path().join("t")).unwrap();
            symlink(&secret, dir.path().join(link)).unwrap();
        }
        let disk = Disk::new(sample.storage(target(dir.path())));
        let error = disk.open().unwrap_err();
        assert_eq!(error.kind, DiskErrorKind::Exists, "{link}: {error}");
        assert!(error.message.contains("symbolic link"), "{link}: {error}");
        let (_, result) = disk.advance(sample.job(0, sample.all_blocks(0)));
        assert_eq!(result.unwrap_err().kind, DiskErrorKind::Exists, "{link}");
        assert_eq!(fs::read(&secret).unwrap(), b"secret", "{link}");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "{link}");
    }
}

#[test]
fn a_folder_swapped_for_a_link_in_mid_download_is_not_followed() {
    let sample = small();
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    disk.open().unwrap();
    fs::rename(dir.path().join("t"), dir.path().join("moved")).unwrap();
    symlink(elsewhere.path(), dir.path().join("t")).unwrap();
    let (_, result) = disk.advance(sample.job(0, sample.all_blocks(0)));
    assert_eq!(result.unwrap_err().kind, DiskErrorKind::Exists);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn pipes_sockets_and_folders_are_refused_without_hanging() {
    let sample = small();
    type Make = fn(&Path);
    let kinds: [(&str, Make); 3] = [
        ("a named pipe", fifo),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
    ];
    for (kind, make) in kinds {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("t")).unwrap();
        let disk = Disk::new(sample.storage(target(dir.path())));
        make(&dir.path().join("t/f1"));
        let error = disk.open().unwrap_err();
        assert_eq!(error.kind, DiskErrorKind::Exists, "{error}");
        assert!(error.to_string().contains("t/f1") && error.message.contains(kind), "{error}");
        let (_, result) = disk.advance(sample.job(1, sample.all_blocks(1)));
        assert_eq!(result.unwrap_err().kind, DiskErrorKind::Exists);
    }
}

#[test]
fn a_file_in_a_folders_place_is_refused() {
    let sample = small();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("t"), b"a file").unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    assert_eq!(disk.open().unwrap_err().kind, DiskErrorKind::Exists);
    assert_eq!(fs::read(dir.path().join("t")).unwrap(), b"a file");
}

#[test]
fn an_empty_file_does_not_take_the_place_of_data() {
    let sample = Sample::new(&[(0, false), (10, false)], 32_768);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("t")).unwrap();
    fs::write(dir.path().join("t/f0"), b"data").unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    assert_eq!(disk.open().unwrap_err().kind, DiskErrorKind::Exists);
    assert_eq!(fs::read(dir.path().join("t/f0")).unwrap(), b"data");
}

#[test]
fn a_longer_file_gets_its_length_when_all_of_it_is_right() {
    let sample = small();
    let dir = tempfile::tempdir().unwrap();
    sample.put(dir.path());
    let mut longer = sample.file(1).to_vec();
    longer.extend_from_slice(b"tail");
    fs::write(dir.path().join("t/f1"), longer).unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    assert_eq!(disk.start(&sample), (vec![0, 1], Unproven { is_any_proven: true, ..Unproven::default() }));
    assert_eq!(fs::metadata(dir.path().join("t/f1")).unwrap().len(), 20_004, "a check changes nothing");
    disk.finish(1).unwrap();
    assert!(fs::read(dir.path().join("t/f1")).unwrap() == sample.file(1));
}

#[test]
fn a_file_that_vanished_or_was_replaced_is_not_called_complete() {
    let sample = small();
    for is_replaced in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(sample.storage(target(dir.path())));
        disk.open().unwrap();
        disk.advance(sample.job(0, sample.all_blocks(0))).1.unwrap();
        let part = dir.path().join("t/f0.part");
        fs::rename(&part, dir.path().join("elsewhere")).unwrap();
        if is_replaced {
            fs::write(&part, vec![0; 40_000]).unwrap();
        }
        let error = disk.finish(0).unwrap_err();
        assert!(error.message.contains("another program"), "{error}");
        assert!(!dir.path().join("t/f0").exists());
    }
}

#[test]
fn space_is_taken_as_asked_for() {
    let sample = Sample::new(&[(200_000, false)], 32_768);
    for allocate in [Allocate::Sparse, Allocate::Full, Allocate::None] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(sample.storage(Target { allocate, ..target(dir.path()) }));
        disk.open().unwrap();
        disk.advance(sample.job(1, sample.all_blocks(1))).1.unwrap();
        let found = fs::metadata(dir.path().join("t/f0.part")).unwrap();
        let space = std::os::unix::fs::MetadataExt::blocks(&found) * 512;
        let expected_length = if allocate == Allocate::None { 65_536 } else { 200_000 };
        assert_eq!(found.len(), expected_length, "{allocate:?}");
        assert_eq!(space >= 200_000, allocate == Allocate::Full, "{allocate:?}: {space}");
        disk.download(&sample);
        assert!(fs::read(dir.path().join("t/f0")).unwrap() == sample.content);
    }
}

#[test]
fn no_more_files_are_open_than_allowed() {
    let lengths = vec![(5_000, false); 300];
    let sample = Sample::new(&lengths, 65_536);
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::with_limit(sample.storage(target(dir.path())), 8);
    disk.open().unwrap();
    let mut most = 0;
    for piece in 0..sample.layout.piece_count() {
        let (_, verdict) = disk.advance(sample.job(piece, sample.all_blocks(piece)));
        assert_eq!(verdict, Ok(Some(Verdict::Passed { digests: Vec::new() })));
        most = most.max(open_below(dir.path()));
    }
    assert_eq!(disk.check(0..sample.layout.piece_count()).unwrap().len(), 23);
    most = most.max(open_below(dir.path()));
    // One more holds the lock.
    assert!(most <= 8 + 1, "{most} open");
    assert!(most > 1 || !Path::new("/proc/self/fd").exists(), "{most} seen");
    disk.run(DiskJob::Close { torrent: TORRENT });
    assert_eq!(open_below(dir.path()), 0);
}

/// Files below `dir` that this process has open; 0 where that can't be told.
fn open_below(dir: &Path) -> usize {
    let Ok(handles) = fs::read_dir("/proc/self/fd") else { return 0 };
    let opened = handles.filter_map(|handle| fs::read_link(handle.ok()?.path()).ok());
    opened.filter(|path| path.starts_with(dir.join("t"))).count()
}
