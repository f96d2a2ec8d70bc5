//! What is remembered of a torrent's files from run to run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::{Disk, Sample, TORRENT, target};
use crate::base::hash::{InfoHashes, Sha1Hash};
use crate::base::index::FileIndex;
use crate::base::layout::BLOCK_LENGTH;
use crate::engine::disk_job::{DiskErrorKind, DiskJob, DiskResult, Existing, Resume, Traffic, Verdict};
use crate::runtime::disk::door::fault::{Call, planned::plan};
use crate::runtime::disk::{Keeping, Storage, Target};
use crate::runtime::state::tests::pretend_restart;

const BLOCKS: u32 = 4;

struct Setting {
    sample: Sample,
    dir: tempfile::TempDir,
}

impl Setting {
    /// Two files, six pieces; the second file begins within piece 2.
    fn new() -> Setting {
        let piece = u64::from(BLOCKS * BLOCK_LENGTH);
        let sample = Sample::new(&[(2 * piece + 100, false), (4 * piece - 200, false)], piece as u32);
        Setting { sample, dir: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn storage(&self, target: Target) -> Storage {
        let hashes = InfoHashes { v1: Some(Sha1Hash([1; 20])), v2: None };
        self.sample
            .storage(target)
            .keeping(Keeping { state: Some((self.state(), hashes)), ..Keeping::default() })
    }

    /// A process that works on it; it dies without a word when dropped.
    fn start(&self) -> (Disk, Result<Existing, crate::engine::disk_job::DiskError>) {
        let disk = Disk::new(self.storage(target(&self.data())));
        let existing = disk.open();
        (disk, existing)
    }

    /// Pieces 0 and 3 are complete, of pieces 1 and 5 some blocks are here.
    fn interrupted() -> Setting {
        let setting = Setting::new();
        let (disk, existing) = setting.start();
        assert_eq!(existing, Ok(Existing::Nothing));
        for piece in [0, 3] {
            let job = setting.sample.job(piece, setting.sample.all_blocks(piece));
            assert_eq!(disk.advance(job).1, Ok(Some(Verdict::Passed { digests: Vec::new() })));
        }
        assert_eq!(disk.advance(setting.sample.job(1, [0, 2])).1, Ok(None));
        assert_eq!(disk.advance(setting.sample.job(5, [1])).1, Ok(None));
        setting
    }

    fn state_file(&self) -> PathBuf {
        let mut files = fs::read_dir(self.state()).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|end| end == "state")).unwrap()
    }
}

fn known(existing: Result<Existing, crate::engine::disk_job::DiskError>) -> Resume {
    match existing {
        Ok(Existing::Known(resume)) => *resume,
        other => panic!("{other:?}"),
    }
}

fn numbers(set: &crate::base::bitfield::Bitfield) -> Vec<u32> {
    set.iter().map(|piece| piece.0).collect()
}

fn blocks(resume: &Resume) -> Vec<(u32, Vec<bool>)> {
    resume.written.iter().map(|(piece, written)| (piece.0, written.clone())).collect()
}

/// Changes a byte, and with it the time of change, be the file system's clock ever so coarse.
fn spoil(path: &Path, at: usize) {
    let modified = || fs::metadata(path).unwrap().modified().unwrap();
    let before = modified();
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    while modified() == before {
        fs::write(path, &bytes).unwrap();
    }
}

#[test]
fn a_killed_run_is_gone_on_from_without_any_check() {
    let setting = Setting::interrupted();
    for _ in 0..2 {
        let (_disk, existing) = setting.start();
        let resume = known(existing);
        assert_eq!((numbers(&resume.have), numbers(&resume.unsure)), (vec![0, 3], vec![]));
        let [one, five] = &blocks(&resume)[..] else { panic!("{resume:?}") };
        assert_eq!(*one, (1, vec![true, false, true, false]));
        assert_eq!((five.0, &five.1[..2]), (5, &[false, true][..]));
    }
}

#[test]
fn pieces_of_a_changed_file_are_unsure_and_the_others_are_not() {
    let setting = Setting::interrupted();
    spoil(&setting.data().join("t/f1.part"), 5 * 1000);
    let (disk, existing) = setting.start();
    let resume = known(existing);
    assert_eq!((numbers(&resume.have), numbers(&resume.unsure)), (vec![0], vec![2, 3, 4, 5]));
    assert_eq!(blocks(&resume).len(), 2, "blocks are judged with their piece");
    // Killed before the check has ended, it is still unsure, though nobody touches the file again.
    assert_eq!(disk.check(2..4), Ok(vec![3]));
    drop(disk);
    let resume = known(setting.start().1);
    assert_eq!((numbers(&resume.have), numbers(&resume.unsure)), (vec![0, 3], vec![4, 5]));
}

#[test]
fn a_write_that_nobody_told_of_makes_its_file_unsure() {
    let setting = Setting::interrupted();
    // As when the process is killed between a write and its record.
    spoil(&setting.data().join("t/f0.part"), 70_000);
    let resume = known(setting.start().1);
    assert_eq!((numbers(&resume.have), numbers(&resume.unsure)), (vec![3], vec![0, 1, 2]));
}

#[test]
fn a_file_that_was_replaced_or_removed_is_not_believed_in() {
    let setting = Setting::interrupted();
    let path = setting.data().join("t/f1.part");
    let (length, time) =
        (fs::metadata(&path).unwrap().len(), fs::metadata(&path).unwrap().modified().unwrap());
    fs::rename(&path, setting.dir.path().join("away")).unwrap();
    let other = fs::File::create(&path).unwrap();
    other.set_len(length).unwrap();
    other.set_modified(time).unwrap();
    let resume = known(setting.start().1);
    assert_eq!((numbers(&resume.have), numbers(&resume.unsure)), (vec![0], vec![2, 3, 4, 5]));
    fs::remove_file(&path).unwrap();
    let resume = known(setting.start().1);
    assert_eq!((numbers(&resume.have), numbers(&resume.unsure)), (vec![0], vec![]));
    assert_eq!(blocks(&resume).len(), 1);
    fs::remove_dir_all(setting.data()).unwrap();
    assert_eq!(setting.start().1, Ok(Existing::Nothing));
}

#[test]
fn damage_to_the_state_never_makes_a_wrong_piece_right_nor_loses_a_right_one() {
    let setting = Setting::interrupted();
    let path = setting.state_file();
    let bytes = fs::read(&path).unwrap();
    let check = |what: String| {
        let (disk, existing) = setting.start();
        let (have, unsure) = match existing.unwrap() {
            Existing::Known(resume) => (numbers(&resume.have), numbers(&resume.unsure)),
            Existing::Something => (vec![], (0..6).collect()),
            Existing::Nothing => panic!("{what}: all is forgotten"),
        };
        assert!(have.iter().all(|piece| [0, 3].contains(piece)), "{what}: {have:?} are said to be right");
        for piece in [0, 3] {
            assert!(have.contains(&piece) || unsure.contains(&piece), "{what}: piece {piece} is lost");
        }
        drop(disk);
    };
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        check(format!("cut to {length}"));
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        fs::write(&path, flipped).unwrap();
        check(format!("flipped at {at}"));
    }
}

#[test]
fn after_another_start_of_the_system_only_what_is_durable_counts() {
    let setting = Setting::interrupted();
    let (disk, _) = setting.start();
    // What is written now was never synced; what the first run left has been by then.
    disk.pool.reader(TORRENT).unwrap().payload.sync_behind();
    let job = setting.sample.job(4, setting.sample.all_blocks(4));
    disk.advance(job).1.unwrap();
    drop(disk);
    let same = known(setting.start().1);
    assert_eq!((numbers(&same.have), numbers(&same.unsure)), (vec![0, 3, 4], vec![]));
    pretend_restart(&setting.state_file());
    let other = known(setting.start().1);
    assert_eq!((numbers(&other.have), numbers(&other.unsure)), (vec![0, 3], vec![4]));
}

#[test]
fn a_file_of_which_a_sync_has_failed_is_checked_after_another_start_of_the_system() {
    let setting = Setting::interrupted();
    let fails = AtomicBool::new(true);
    plan(&setting.data(), move |call, path| {
        let is_it = call == Call::Sync && path == Path::new("t/f1") && fails.swap(false, Ordering::SeqCst);
        if is_it { Err(Errno::IO.into()) } else { Ok(()) }
    });
    let (disk, _) = setting.start();
    let payload = disk.pool.reader(TORRENT).unwrap().payload.clone();
    assert!(payload.sync(FileIndex(1)).is_err());
    disk.advance(setting.sample.job(4, setting.sample.all_blocks(4))).1.unwrap();
    payload.sync_behind();
    // With --sync end, a file that may not be on the disk is not complete.
    assert!(payload.sync(FileIndex(0)).is_ok());
    assert!(payload.sync(FileIndex(1)).unwrap_err().to_string().contains("an earlier attempt has failed"));
    drop((payload, disk));
    // In the next run a sync that works says nothing either.
    let (disk, _) = setting.start();
    disk.pool.reader(TORRENT).unwrap().payload.sync_behind();
    drop(disk);
    pretend_restart(&setting.state_file());
    let other = known(setting.start().1);
    assert_eq!((numbers(&other.have), numbers(&other.unsure)), (vec![0], vec![3, 4]));
}

#[test]
fn a_finished_file_that_a_loss_of_power_spoiled_and_made_us_forget_is_no_strangers() {
    let setting = Setting::new();
    let (disk, _) = setting.start();
    disk.advance(setting.sample.job(0, setting.sample.all_blocks(0))).1.unwrap();
    let early = fs::read(setting.state_file()).unwrap();
    disk.download_from(&setting.sample, 1);
    drop(disk);
    let path = setting.data().join("t/f1");
    let length = fs::metadata(&path).unwrap().len() as usize;
    let mut bytes = vec![0; length];
    bytes[50_000..150_000].copy_from_slice(&setting.sample.file(1)[50_000..150_000]);
    fs::write(&path, bytes).unwrap();
    fs::write(setting.state_file(), &early).unwrap();
    let unproven = || {
        let (disk, _) = setting.start();
        disk.check(4..6).unwrap();
        let DiskResult::UnprovenFound { result, .. } = disk.run(DiskJob::FindUnproven { torrent: TORRENT })
        else {
            panic!("it is another result");
        };
        let files = result.unwrap().files;
        files.iter().map(|file| (file.file.0, file.looks_interrupted)).collect::<Vec<_>>()
    };
    // A kill forgets nothing, so then it is a stranger's.
    assert_eq!(unproven(), [(1, false)]);
    fs::write(setting.state_file(), &early).unwrap();
    pretend_restart(&setting.state_file());
    assert_eq!(unproven(), [(1, true)]);
    // It stays so from run to run.
    assert_eq!(unproven(), [(1, true)]);
}

#[test]
fn one_process_at_a_time_works_on_a_payload_whatever_its_state_folder() {
    let setting = Setting::interrupted();
    let (first, _) = setting.start();
    let storage = setting.sample.storage(target(&setting.data()));
    let second = Disk::new(storage).open().unwrap_err();
    assert_eq!(second.kind, DiskErrorKind::Busy);
    assert!(second.message.contains(&std::process::id().to_string()), "{second}");
    first.run(DiskJob::Close { torrent: TORRENT });
    assert!(Disk::new(setting.sample.storage(target(&setting.data()))).open().is_ok());
}

#[test]
fn a_complete_payload_is_shared_by_those_who_only_read() {
    let setting = Setting::new();
    let (first, _) = setting.start();
    first.download(&setting.sample);
    first.run(DiskJob::Settle { torrent: TORRENT });
    let (second, existing) = setting.start();
    assert_eq!(known(existing).have.count(), 6);
    let third = Disk::new(setting.sample.storage(target(&setting.data())));
    assert_eq!(third.open(), Ok(Existing::Something));
    assert_eq!(third.check(0..6).unwrap().len(), 6);
    for reader in [second, third] {
        let error = reader.advance(setting.sample.job(0, [0])).1.unwrap_err();
        assert_eq!(error.kind, DiskErrorKind::Busy);
    }
    drop(first);
}

#[test]
fn of_those_who_begin_to_seed_at_once_one_writes_down_and_none_waits() {
    let setting = Setting::new();
    setting.sample.put(&setting.data());
    let (first, existing) = setting.start();
    assert_eq!(existing, Ok(Existing::Something));
    let (second, existing) = setting.start();
    assert_eq!(existing, Ok(Existing::Something));
    for disk in [&second, &first] {
        assert_eq!(disk.check(0..6).unwrap().len(), 6);
        disk.run(DiskJob::Settle { torrent: TORRENT });
    }
    drop((first, second));
    assert_eq!(known(setting.start().1).have.count(), 6);
}

#[test]
fn what_looks_complete_and_is_not_is_mended_by_whoever_is_alone() {
    let setting = Setting::new();
    setting.sample.put(&setting.data());
    let path = setting.data().join("t").join(setting.sample.files[0].path.file_name().unwrap());
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] ^= 1;
    fs::write(&path, bytes).unwrap();
    let disks = [setting.start().0, setting.start().0];
    for disk in &disks {
        assert_eq!(disk.check(0..6).unwrap(), [1, 2, 3, 4, 5]);
    }
    let mend = |disk: &Disk| disk.advance(setting.sample.job(0, setting.sample.all_blocks(0))).1;
    assert_eq!(mend(&disks[0]).unwrap_err().kind, DiskErrorKind::Busy);
    let [first, second] = disks;
    first.run(DiskJob::Close { torrent: TORRENT });
    assert!(matches!(mend(&second), Ok(Some(Verdict::Passed { .. }))));
}

#[test]
fn what_may_only_be_read_is_remembered_too() {
    let setting = Setting::new();
    setting.sample.put(&setting.data());
    let read_only = || Disk::new(setting.storage(Target { read_only: true, ..target(&setting.data()) }));
    let disk = read_only();
    assert_eq!(disk.open(), Ok(Existing::Something));
    assert_eq!(disk.check(0..6).unwrap().len(), 6);
    drop(disk);
    let disk = read_only();
    assert_eq!(known(disk.open()).have.count(), 6);
    assert!(disk.advance(setting.sample.job(0, setting.sample.all_blocks(0))).1.is_err());
}

fn move_bytes(disk: &Disk, uploaded: u64, downloaded: u64) {
    disk.run(DiskJob::Remember { torrent: TORRENT, traffic: Traffic { uploaded, downloaded } });
}

/// Settles it, and waits until everything is on the disk and others may have the journal.
fn settle(disk: &Disk) {
    disk.run(DiskJob::Settle { torrent: TORRENT });
    let payload = disk.pool.reader(TORRENT).unwrap().payload.clone();
    while payload.has_journal() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn what_was_moved_right_before_the_end_is_remembered_whichever_worker_comes_first() {
    let setting = Setting::new();
    setting.start().0.download(&setting.sample);
    for _ in 0..20 {
        let (disk, _) = setting.start();
        disk.run(DiskJob::Settle { torrent: TORRENT });
        let traffic = Traffic { uploaded: 1, downloaded: 0 };
        disk.pool.submit(DiskJob::Remember { torrent: TORRENT, traffic });
        disk.pool.submit(DiskJob::Close { torrent: TORRENT });
        disk.next();
        disk.next();
    }
    assert_eq!(known(setting.start().1).traffic.uploaded, 20);
}

#[test]
fn what_was_moved_is_added_up_over_all_runs_and_all_who_seed() {
    let setting = Setting::new();
    let (first, _) = setting.start();
    move_bytes(&first, 3, 5);
    first.download(&setting.sample);
    move_bytes(&first, 0, 1000);
    settle(&first);
    move_bytes(&first, 20, 0);
    let (second, existing) = setting.start();
    assert_eq!(known(existing).traffic, Traffic { uploaded: 23, downloaded: 1005 });
    // The second one has the journal until it is settled: the first waits with what it has to say.
    move_bytes(&first, 100, 0);
    settle(&second);
    move_bytes(&second, 7000, 0);
    second.run(DiskJob::Close { torrent: TORRENT });
    move_bytes(&first, 1, 0);
    drop((first, second));
    let (third, existing) = setting.start();
    let resume = known(existing);
    assert_eq!(resume.traffic, Traffic { uploaded: 7124, downloaded: 1005 });
    assert_eq!(resume.have.count(), 6, "nothing else of the journal has changed");
    drop(third);
    fs::remove_dir_all(setting.data()).unwrap();
    let (fourth, _) = setting.start();
    move_bytes(&fourth, 0, 1);
    fourth.download(&setting.sample);
    drop(fourth);
    let traffic = known(setting.start().1).traffic;
    assert_eq!(traffic, Traffic { uploaded: 0, downloaded: 1 }, "what is fetched anew is counted anew");
}
