//! A disk that is full, read-only or somebody else's: nothing verified is lost, the message says what is the matter,
//! and what can go on goes on. Small file systems in memory are mounted for this, which needs root.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cli::program;
use crate::harness::free_address;
use crate::harness::payload::{BLOCK, Payload};
use crate::harness::program::Btget;
use crate::setting::{Setting, wait_for};

const PIECE: usize = 64 << 10;

/// A mounted file system; it goes with this value.
struct Mount(PathBuf);

impl Mount {
    /// A file system in memory of so many KiB, at `place`; `None`, said aloud, where this may not be mounted.
    fn memory(place: &Path, kib: usize) -> Option<Mount> {
        Mount::new(place, &["-t", "tmpfs", "-o", &format!("size={kib}k"), "none"])
    }

    /// What is below `place`, not to be written to.
    fn read_only(place: &Path) -> Option<Mount> {
        let path = place.to_str().expect("a plain path");
        let mount = Mount::new(place, &["--bind", path])?;
        let status = Command::new("mount").args(["-o", "remount,ro,bind", path]).status();
        assert!(status.expect("mount runs").success(), "{path} cannot be made read-only");
        Some(mount)
    }

    fn new(place: &Path, args: &[&str]) -> Option<Mount> {
        if !is_root() {
            skipped("only root may mount a file system");
            return None;
        }
        fs::create_dir_all(place).expect("a folder can be made");
        let mounted = Command::new("mount").args(args).arg(place).output().expect("mount runs");
        if !mounted.status.success() {
            let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
            skipped(&format!("nobody may mount a file system here: {why}"));
            return None;
        }
        Some(Mount(place.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What is left goes with the machine.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Says aloud, past what keeps the output of tests that pass to itself, that a test could not be done.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    writeln!(std::io::stderr(), "SKIPPED {test}: {why}").expect("stderr is there");
}

pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    output.stdout == b"0\n"
}

/// Fills a file system to the last byte with a file of this name.
fn fill(place: &Path) -> PathBuf {
    let path = place.join("ballast");
    let mut file = File::options().create(true).append(true).open(&path).expect("a file can be made");
    for size in [64 << 10, 4096, 1] {
        loop {
            match file.write(&vec![1; size]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    path
}

fn is_running(btget: &mut Btget) -> bool {
    btget.child.try_wait().expect("a child can be asked").is_none()
}

#[test]
fn a_file_system_that_does_not_count_its_space_is_not_taken_for_a_full_one() {
    let setting = Setting::new(Payload::single("film", 20 * PIECE, PIECE));
    let Some(_mount) = Mount::new(&setting.out(), &["-t", "ramfs", "none"]) else { return };
    let _seed = setting.seed(Duration::ZERO);
    setting.complete(&mut setting.start(&[]));
}

#[test]
fn what_does_not_fit_does_not_start() {
    let setting = Setting::new(Payload::single("too-big", 4 << 20, PIECE));
    let Some(_mount) = Mount::memory(&setting.out(), 3 << 10) else { return };
    let seed = setting.seed(Duration::ZERO);
    let said = setting.ends_with(9, &mut setting.start(&["--reserve", "1M"]));
    let numbers = "4 MiB are needed and 1 MiB are to be left free (--reserve), but only 3 MiB are free";
    assert!(said.contains(numbers), "{said}");
    assert_eq!(seed.record().connections, 0, "somebody was asked");
    assert_eq!(fs::read_dir(setting.out()).expect("it is there").count(), 0, "something was made");
    // What would fit if all of it might be used does not if some is to stay.
    drop(_mount);
    let Some(_mount) = Mount::memory(&setting.out(), 5 << 10) else { return };
    setting.ends_with(9, &mut setting.start(&["--reserve", "2M"]));
    setting.complete(&mut setting.start(&["--reserve", "512K"]));
}

/// How many bytes of a file the file system has.
fn on_disk(path: &Path) -> usize {
    let metadata = fs::metadata(path).expect("it is there");
    std::os::unix::fs::MetadataExt::blocks(&metadata) as usize * 512
}

#[test]
fn a_torrent_that_finds_no_space_is_code_9_and_leaves_what_was_there() {
    let work = tempfile::tempdir().expect("a folder can be made");
    let place = work.path().join("full");
    let Some(_mount) = Mount::memory(&place, 256) else { return };
    File::create(work.path().join("data")).and_then(|file| file.set_len(64 << 20)).expect("it can be made");
    let create = ["create", "data", "--piece-length", "16K", "-o", "full/new.torrent"];
    let make =
        program(work.path(), &["create", "data", "-o", "full/old.torrent"]).status().expect("it starts");
    assert!(make.success());
    let before = fs::read(place.join("old.torrent")).expect("it was made");
    fill(&place);
    let comment = "long ".repeat(2_000);
    for args in [&create[..], &["edit", "full/old.torrent", "--comment", &comment]] {
        let output = program(work.path(), args).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(9), "{args:?}: {said}");
        assert_eq!(fs::read_dir(&place).expect("it is there").count(), 2, "{args:?}");
        assert_eq!(fs::read(place.join("old.torrent")).expect("it is there"), before);
    }
}

/// A download whose disk fills up on the way and is cleared later, its state on the same disk or on another.
fn fills_up(is_state_there: bool, is_killed: bool) {
    let setting = Setting::new(Payload::single("fills-up", 8 << 20, PIECE));
    let Some(_mount) = Mount::memory(&setting.out(), 12 << 10) else { return };
    let state = setting.out().join("state");
    let mut flags = vec!["--reserve", "0"];
    if is_state_there {
        flags.extend(["--state-dir", state.to_str().expect("a plain path")]);
    }
    let seed = setting.seed(Duration::from_millis(1));
    let mut btget = setting.start(&flags);
    wait_for("a third", || seed.record().sent.len() > setting.blocks() / 3);
    let ballast = fill(&setting.out());
    wait_for("the wait", || btget.stderr().contains("waiting: the disk is full (0 B free, "));
    assert!(is_running(&mut btget), "{}", btget.stderr());
    assert!(seed.record().sent.len() < setting.blocks(), "it asks for what it has no place for");
    let mut lost = 64;
    if is_killed {
        drop(btget);
        // What was still in memory or on its way there.
        lost += seed.record().sent.len() - on_disk(&setting.out().join("fills-up.part")) / BLOCK;
        fs::remove_file(ballast).expect("it is there");
        btget = setting.start(&flags);
    } else {
        fs::remove_file(ballast).expect("it is there");
    }
    setting.complete(&mut btget);
    let record = seed.record();
    assert_eq!(record.faults, Vec::<String>::new());
    let again = record.sent.len() - setting.blocks();
    assert!(again <= lost, "{again} blocks were fetched again, and {lost} lost");
}

#[test]
fn a_disk_that_fills_up_is_waited_for() {
    fills_up(false, false);
}

#[test]
fn a_disk_that_fills_up_is_waited_for_with_the_state_on_it() {
    fills_up(true, false);
}

#[test]
fn a_run_that_is_killed_on_a_full_disk_is_gone_on_with() {
    fills_up(true, true);
}

#[test]
fn space_that_is_to_be_left_free_stays_so_when_others_fill_the_disk_on_the_way() {
    let setting = Setting::new(Payload::single("leaves-some", 8 << 20, PIECE));
    let Some(_mount) = Mount::memory(&setting.out(), 12 << 10) else { return };
    let free = || {
        let stat = rustix::fs::statvfs(setting.out()).expect("it is mounted");
        stat.f_bavail * stat.f_frsize
    };
    let seed = setting.seed(Duration::from_millis(1));
    let mut btget = setting.start(&["--reserve", "1M"]);
    wait_for("a third", || seed.record().sent.len() > setting.blocks() / 3);
    let ballast = setting.out().join("ballast");
    let mut file = File::create(&ballast).expect("a file can be made");
    while free() > 900 << 10 {
        file.write_all(&[1; 16 << 10]).expect("there is space");
    }
    wait_for("the wait", || btget.stderr().contains("waiting: the disk is full (0 B free, "));
    assert!(free() > 400 << 10, "{} bytes are left", free());
    drop(file);
    fs::remove_file(ballast).expect("it is there");
    setting.complete(&mut btget);
}

#[test]
fn with_stall_a_full_disk_ends_it() {
    let setting = Setting::new(Payload::single("stalls", 8 << 20, PIECE));
    let Some(_mount) = Mount::memory(&setting.out(), 12 << 10) else { return };
    let seed = setting.seed(Duration::from_millis(1));
    let mut btget = setting.start(&["--reserve", "0", "--stall", "3s"]);
    wait_for("a third", || seed.record().sent.len() > setting.blocks() / 3);
    let ballast = fill(&setting.out());
    let said = setting.ends_with(9, &mut btget);
    assert!(said.contains("the disk is full") && said.contains("is here and is kept"), "{said}");
    fs::remove_file(ballast).expect("it is there");
    setting.complete(&mut setting.start(&["--reserve", "0"]));
}

#[test]
fn a_state_folder_without_space_holds_nothing_up() {
    // So many pieces that what is noted of them does not fit into a page of memory that was there before.
    let setting = Setting::new(Payload::single("forgetful", 24 << 20, BLOCK));
    let state = setting.work.path().join("state");
    let Some(_mount) = Mount::memory(&state, 64) else { return };
    let flags = ["--state-dir", state.to_str().expect("a plain path")];
    let seed = setting.seed(Duration::from_micros(300));
    let mut btget = setting.start(&flags);
    wait_for("a third", || seed.record().sent.len() > setting.blocks() / 3);
    fill(&state);
    setting.complete(&mut btget);
    assert!(btget.stderr().contains("progress is not remembered"), "{}", btget.stderr());
    // What it does not remember is checked.
    setting.complete(&mut setting.start(&flags));
    assert_eq!(seed.record().sent.len(), setting.blocks(), "something was fetched again");
}

#[test]
fn a_read_only_folder_ends_it_before_anybody_is_asked() {
    let setting = Setting::new(Payload::single("read-only", 4 * PIECE, PIECE));
    fs::create_dir(setting.out()).expect("a folder can be made");
    let Some(_mount) = Mount::read_only(&setting.out()) else { return };
    let seed = setting.seed(Duration::ZERO);
    let said = setting.ends_with(17, &mut setting.start(&[]));
    assert!(said.contains("cannot write to ") && said.contains("/out: Read-only file system"), "{said}");
    assert_eq!(seed.record().connections, 0);
}

/// Runs it as another user, who may read what is there and not write it; what it says when it ends with 17.
fn refused_to_another_user(setting: &Setting) -> Option<String> {
    if !is_root() {
        skipped("only root may become somebody else");
        return None;
    }
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(setting.work.path(), everybody).expect("it is the test's own");
    let by = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut look = std::process::Command::new(by[0]);
    let gets_in = look.args(&by[1..]).args(["test", "-x"]).arg(setting.work.path()).status();
    if !gets_in.is_ok_and(|status| status.success()) {
        skipped("another user does not get into the folder for temporary files (TMPDIR)");
        return None;
    }
    let seed = setting.seed(Duration::ZERO);
    let mut btget = setting.start_by(&by, &["--no-state"]);
    let end = btget.wait(crate::setting::LIMIT).expect_err("it does not succeed");
    if end.starts_with("exit status: 126") || end.starts_with("exit status: 127") {
        skipped(&format!("another user may not run the program where it is: {end}"));
        return None;
    }
    let said = setting.ends_with(17, &mut btget);
    assert_eq!(seed.record().connections, 0, "somebody was asked");
    Some(said)
}

#[test]
fn a_folder_of_another_user_ends_it_before_anybody_is_asked() {
    let setting = Setting::new(Payload::single("not-mine", 4 * PIECE, PIECE));
    fs::create_dir(setting.out()).expect("a folder can be made");
    let Some(said) = refused_to_another_user(&setting) else { return };
    assert!(said.contains("cannot write to ") && said.contains("/out: Permission denied"), "{said}");
}

#[test]
fn a_file_or_a_folder_within_of_another_user_ends_it_before_anybody_is_asked() {
    for (there, expected) in [("mixed/a", "cannot write to "), ("mixed/b", "cannot create ")] {
        let files = [("a", 4 * PIECE), ("b/c", 4 * PIECE)];
        let setting = Setting::new(Payload::tree("mixed", &files, PIECE));
        fs::create_dir_all(setting.out().join("mixed")).expect("a folder can be made");
        let path = setting.out().join(there);
        if there == "mixed/b" {
            fs::create_dir(&path).expect("a folder can be made");
        } else {
            fs::write(&path, &setting.payload.bytes()[..PIECE]).expect("a file can be written");
        }
        for open in ["", "mixed"] {
            let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs::set_permissions(setting.out().join(open), everybody).expect("it is the test's own");
        }
        let Some(said) = refused_to_another_user(&setting) else { return };
        assert!(said.contains(expected) && said.contains("Permission denied"), "{said}");
        assert!(said.contains(there), "{said}");
    }
}

#[test]
fn what_one_target_cannot_do_does_not_hold_up_another() {
    let setting = Setting::new(Payload::single("good", 20 * PIECE, PIECE));
    let folder = setting.out().join("bad");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let Some(_mount) = Mount::read_only(&folder) else { return };
    let bad =
        Payload::tree("bad", &[("a", 1000), ("b", 1000)], PIECE).write_torrent(setting.work.path(), None);
    let _seed = setting.seed(Duration::ZERO);
    let mut btget = setting.start(&[bad.to_str().expect("a plain path")]);
    let said = setting.ends_with(3, &mut btget);
    assert!(said.contains("bad: cannot ") && said.contains("bad/a.part: Read-only file system"), "{said}");
    assert_eq!(setting.payload.difference_in(&setting.out()), None);
}

#[test]
fn a_disk_without_space_does_not_hold_up_a_target_that_has_its_own() {
    let setting = Setting::new(Payload::single("roomy", 8 << 20, PIECE));
    let folder = setting.out().join("tight");
    let Some(_mount) = Mount::memory(&folder, 1 << 10) else { return };
    let tight = Setting {
        address: free_address(Ipv4Addr::LOCALHOST),
        ..Setting::new(Payload::tree("tight", &[("a", 6 << 20)], PIECE))
    };
    let (seed, other) = (setting.seed(Duration::from_millis(1)), tight.seed(Duration::ZERO));
    let address = tight.address.to_string();
    // Both are asked of both, and each peer knows its own torrent only.
    let flags = [
        tight.torrent.to_str().expect("a plain path"),
        "--peer",
        &address,
        "--memory",
        "4M",
        "--stall",
        "5s",
    ];
    let mut btget = setting.start(&flags);
    let said = setting.ends_with(3, &mut btget);
    assert!(said.contains("tight: no data for 5.0 s (--stall): the disk is full"), "{said}");
    assert_eq!(setting.payload.difference_in(&setting.out()), None);
    assert!(other.record().sent.len() < 3 * tight.blocks(), "it asks again and again");
    drop(seed);
}
