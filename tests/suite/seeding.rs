//! Seeding by the program: where data is looked for, that nothing of it is changed, who may share it, and when it ends.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::cli::{run, text};
use crate::harness::free_address;
use crate::harness::payload::Payload;
use crate::harness::program::Btget;

pub(crate) const LIMIT: Duration = Duration::from_secs(100);

/// A btget that seeds.
pub(crate) struct Seed {
    pub(crate) btget: Btget,
    pub(crate) address: SocketAddr,
    pub(crate) _work: tempfile::TempDir,
}

impl Seed {
    /// Has a home of its own, unless `flags` name a state folder.
    pub(crate) fn start(torrent: &Path, dir: &Path, flags: &[&str]) -> Seed {
        let work = tempfile::tempdir().expect("a folder for the test");
        let address = free_address(Ipv4Addr::LOCALHOST);
        let port = address.port().to_string();
        let args = [&["-p", &port, "--progress", "line", "-v"], flags].concat();
        let btget = Btget::download(work.path(), torrent, dir, &args);
        Seed { btget, address, _work: work }
    }

    pub(crate) fn wait_until_said(&mut self, words: &str) {
        wait_for(words, || {
            let ended = self.btget.child.try_wait().expect("it was started");
            assert!(ended.is_none() || self.says(words), "{ended:?}:\n{}", self.btget.stderr());
            self.says(words)
        });
    }

    pub(crate) fn says(&self, words: &str) -> bool {
        self.btget.stderr().contains(words)
    }

    pub(crate) fn stop(&mut self, signal: &str) -> Option<i32> {
        let pid = self.btget.child.id().to_string();
        let stopped = std::process::Command::new("kill").args([signal, &pid]).status();
        assert!(stopped.is_ok_and(|status| status.success()));
        self.btget.child.wait().expect("it was started").code()
    }
}

pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A folder with a torrent, and one with its data.
pub(crate) struct Setting {
    pub(crate) work: tempfile::TempDir,
    pub(crate) payload: Payload,
    pub(crate) torrent: PathBuf,
}

impl Setting {
    pub(crate) fn new(payload: Payload) -> Setting {
        let work = tempfile::tempdir().expect("a folder for the test");
        let torrents = work.path().join("torrents");
        fs::create_dir(&torrents).expect("the test's folder takes a folder");
        let torrent = payload.write_torrent(&torrents, None);
        let setting = Setting { work, payload, torrent };
        setting.put(&setting.data(), "");
        setting
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.work.path().join("data")
    }

    /// Writes the payload into a folder, with something behind each name.
    fn put(&self, dir: &Path, suffix: &str) {
        for (path, bytes) in self.payload.files() {
            let path = dir.join(path.to_str().expect("names are plain").to_owned() + suffix);
            fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folders can be made");
            fs::write(path, bytes).expect("the test's folder takes a file");
        }
    }

    pub(crate) fn download_from(&self, seeds: &[&Seed]) {
        let work = tempfile::tempdir().expect("a folder for the test");
        let out = work.path().join("out");
        let peers = seeds.iter().flat_map(|seed| ["--peer".to_owned(), seed.address.to_string()]);
        let peers: Vec<String> = peers.collect();
        let args: Vec<&str> =
            ["--timeout", "90s"].into_iter().chain(peers.iter().map(String::as_str)).collect();
        let mut btget = Btget::download(work.path(), &self.torrent, &out, &args);
        if let Err(what) = btget.wait(LIMIT) {
            panic!("{what}\nthe seed:\n{}", seeds[0].btget.stderr());
        }
        assert_eq!(self.payload.difference_in(&out), None);
    }
}

pub(crate) fn tree() -> Payload {
    Payload::tree("tree", &[("a", 300_000), ("deep/b", 70_000), ("c", 1)], 64 << 10)
}

/// Every file and folder below `dir`, with what a change would change.
fn look(dir: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut seen = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("it can be read") {
            let path = entry.expect("an entry can be read").path();
            let metadata = fs::symlink_metadata(&path).expect("it is there");
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            seen.insert(path, (metadata.len(), metadata.modified().expect("it has a time")));
        }
    }
    seen
}

fn set_mode(dir: &Path, folder: u32, file: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    for path in look(dir).into_keys().chain([dir.to_owned()]) {
        let mode = if path.is_dir() { folder } else { file };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }
}

#[test]
fn what_nobody_may_write_to_is_seeded_under_either_name_and_left_as_it_is() {
    for (suffix, flags) in [("", &["--seed"][..]), ("", &["--seed-only"]), (".part", &["--seed-only"])] {
        let setting = Setting::new(tree());
        let dir = setting.work.path().join("read-only");
        setting.put(&dir, suffix);
        set_mode(&dir, 0o555, 0o444);
        let before = look(&dir);
        let mut seed = Seed::start(&setting.torrent, &dir, flags);
        seed.wait_until_said("done, all");
        setting.download_from(&[&seed]);
        assert_eq!(seed.stop("-INT"), Some(0), "{}", seed.btget.stderr());
        assert_eq!(look(&dir), before);
        set_mode(&dir, 0o755, 0o644);
    }
}

#[test]
fn several_may_begin_to_seed_the_same_data_at_once() {
    // Long enough to check that they meet.
    let setting = Setting::new(Payload::single("shared", 48 << 20, 64 << 10));
    let state = setting.work.path().join("state").into_os_string().into_string().expect("names are plain");
    for flags in [&["--seed"][..], &["--seed", "--state-dir", &state], &["--seed", "--no-state"]] {
        let mut seeds: Vec<Seed> =
            (0..3).map(|_| Seed::start(&setting.torrent, &setting.data(), flags)).collect();
        seeds.iter_mut().for_each(|seed| seed.wait_until_said("done, all"));
        let all: Vec<&Seed> = seeds.iter().collect();
        setting.download_from(&all);
        assert!(seeds.iter_mut().all(|seed| seed.stop("-TERM") == Some(0)));
    }
}

#[test]
fn data_beside_the_torrent_is_found_and_what_is_in_the_chosen_folder_comes_first() {
    let setting = Setting::new(tree());
    let torrents = setting.torrent.parent().expect("it is in a folder");
    let empty = setting.work.path().join("empty");
    setting.put(torrents, ".part");
    let mut seed = Seed::start(&setting.torrent, &empty, &["--seed"]);
    seed.wait_until_said("done, all");
    setting.download_from(&[&seed]);
    drop(seed);
    assert!(!empty.exists());
    assert_eq!(setting.payload.difference_in(torrents), None, "the files have their names by now");
    let mut seed = Seed::start(&setting.torrent, &setting.data(), &["--seed"]);
    seed.wait_until_said("done, all");
    assert!(!seed.says("its data is in"), "{}", seed.btget.stderr());
}

#[test]
fn a_file_of_somebody_elses_beside_the_torrent_is_never_touched() {
    let setting = Setting::new(tree());
    let torrents = setting.torrent.parent().expect("it is in a folder");
    let mut seed = Seed::start(&setting.torrent, &setting.data(), &["--seed"]);
    seed.wait_until_said("done, all");
    let address = seed.address.to_string();
    fs::create_dir(torrents.join("tree")).expect("the test's folder takes a folder");
    fs::write(torrents.join("tree/a"), "my own notes\n".repeat(30_000))
        .expect("the test's folder takes a file");
    for conflict in ["overwrite", "rename", "keep"] {
        let before = look(torrents);
        let out = setting.work.path().join(conflict);
        let flags = ["--seed", "--on-conflict", conflict, "--peer", &address];
        let mut second = Seed::start(&setting.torrent, &out, &flags);
        second.wait_until_said("done, ");
        assert_eq!(setting.payload.difference_in(&out), None, "{conflict}");
        assert_eq!(look(torrents), before, "{conflict}");
    }
    // With a right piece beside it that folder is the place, and the file's owner is asked.
    fs::create_dir(torrents.join("tree/deep")).expect("the test's folder takes a folder");
    for file in ["tree/deep/b", "tree/c"] {
        fs::copy(setting.data().join(file), torrents.join(file)).expect("it can be copied");
    }
    let notes = fs::read(torrents.join("tree/a")).expect("it is there");
    let out = setting.work.path().join("unused");
    let flags = ["--seed", "--on-conflict", "overwrite", "--peer", &address];
    let mut second = Seed::start(&setting.torrent, &out, &flags);
    let ended = second.btget.wait(LIMIT).expect_err("the file is in the way");
    assert!(ended.contains("13"), "{ended}");
    assert_eq!(fs::read(torrents.join("tree/a")).expect("it is there"), notes);
}

#[test]
fn a_seed_that_lacks_something_fetches_it_first() {
    let setting = Setting::new(tree());
    let mut seed = Seed::start(&setting.torrent, &setting.data(), &["--seed"]);
    seed.wait_until_said("done, all");
    for files in [&[][..], &["tree/a"]] {
        let partly = tempfile::tempdir().expect("a folder for the test");
        fs::create_dir(partly.path().join("tree")).expect("the test's folder takes a folder");
        for file in files {
            fs::copy(setting.data().join(file), partly.path().join(file)).expect("it can be copied");
        }
        let address = seed.address.to_string();
        let mut second = Seed::start(&setting.torrent, partly.path(), &["--seed", "--peer", &address]);
        second.wait_until_said("done, ");
        setting.download_from(&[&second]);
        assert_eq!(setting.payload.difference_in(partly.path()), None);
    }
}

#[test]
fn who_only_seeds_and_lacks_something_says_what_and_touches_nothing() {
    let setting = Setting::new(tree());
    let data = setting.data();
    fs::remove_file(data.join("tree/deep/b")).expect("it is there");
    let before = look(&data);
    let output = run(setting.work.path(), &["--seed-only", "-d", "data", "torrents/tree.torrent"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(32), "{stderr}");
    assert!(stderr.contains("not here or not right: tree/deep/b (68.4/68.4 KiB)"), "{stderr}");
    assert!(stderr.contains("error: tree: 2 pieces are missing or bad"), "{stderr}");
    assert_eq!(look(&data), before);
    let output = run(setting.work.path(), &["--seed-only", "-d", "nowhere", "torrents/tree.torrent"]);
    assert_eq!(output.status.code(), Some(32), "{}", text(&output.stderr));
    assert!(!setting.work.path().join("nowhere").exists());
}

#[test]
fn data_under_names_that_we_would_change_is_found_and_left_as_it_is() {
    let setting = Setting::new(Payload::tree(
        "tree",
        &[("back\\slash", 70_000), ("esc\x1b[2J", 5), ("plain", 9)],
        16 << 10,
    ));
    let before = look(&setting.data());
    let seed = ["--seed-only", "--seed-time", "1s", "-d", "data", "torrents/tree.torrent"];
    let output = run(setting.work.path(), &seed);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(look(&setting.data()), before);
    // Beside a file that bears the name which another gets from us, only what is right counts.
    fs::rename(setting.data().join("tree/back\\slash"), setting.data().join("tree/back_slash")).unwrap();
    let output = run(setting.work.path(), &seed);
    assert_eq!(output.status.code(), Some(0), "some under their own names: {}", text(&output.stderr));
}

#[test]
fn each_goal_ends_a_seed_well_and_is_named() {
    let setting = Setting::new(Payload::single("goal", 200_000, 16_384));
    let mut timed = Seed::start(&setting.torrent, &setting.data(), &["--seed-time", "1"]);
    let mut idle = Seed::start(&setting.torrent, &setting.data(), &["--seed-idle", "1s"]);
    let mut by_ratio = Seed::start(&setting.torrent, &setting.data(), &["--ratio", "1"]);
    let mut until = Seed::start(&setting.torrent, &setting.data(), &["--until-seeds", "1"]);
    by_ratio.wait_until_said("done, all");
    setting.download_from(&[&by_ratio]);
    until.wait_until_said("done, all");
    let address = until.address.to_string();
    let other = setting.work.path().join("other");
    let flags = ["--seed", "--peer", &address];
    let _other = Seed::start(&setting.torrent, &other, &flags);
    for (seed, goal) in [
        (&mut timed, "--seed-time"),
        (&mut idle, "--seed-idle"),
        (&mut by_ratio, "--ratio"),
        (&mut until, "--until-seeds"),
    ] {
        assert_eq!(seed.btget.wait(LIMIT), Ok(()), "{goal}");
        assert!(seed.says(&format!("({goal})")), "{goal}: {}", seed.btget.stderr());
    }
}

#[test]
fn a_ratio_goes_on_where_the_last_run_has_left_off() {
    let setting = Setting::new(Payload::single("goal", 200_000, 16_384));
    let state = setting.work.path().join("state");
    let flags = ["--ratio", "1.5", "--state-dir", state.to_str().expect("a plain path")];
    let mut seed = Seed::start(&setting.torrent, &setting.data(), &flags);
    seed.wait_until_said("done, all");
    setting.download_from(&[&seed]);
    assert_eq!(seed.stop("-TERM"), Some(143), "{}", seed.btget.stderr());
    let mut seed = Seed::start(&setting.torrent, &setting.data(), &flags);
    seed.wait_until_said("done, all");
    setting.download_from(&[&seed]);
    assert_eq!(seed.btget.wait(LIMIT), Ok(()), "{}", seed.btget.stderr());
    assert!(seed.says("with 390.6 KiB sent (--ratio)"), "{}", seed.btget.stderr());
}

#[test]
fn super_seeding_by_one_who_lacks_something_is_said_to_be_none() {
    let setting = Setting::new(Payload::single("lacking", 200_000, 16_384));
    let mut seed = Seed::start(&setting.torrent, &setting.data(), &["--seed", "--super"]);
    seed.wait_until_said("done, all");
    assert!(!seed.says("first seed"), "{}", seed.btget.stderr());
    let dir = setting.work.path().join("elsewhere");
    let mut other = Seed::start(&setting.torrent, &dir, &["--seed", "--super"]);
    other.wait_until_said("is no first seed");
    assert_eq!(other.btget.stderr().matches("is no first seed").count(), 1);
}

#[test]
fn with_stop_when_all_a_seed_ends_at_the_last_of_its_goals() {
    let setting = Setting::new(Payload::single("goals", 200_000, 16_384));
    let goals = ["--seed-time", "1s", "--ratio", "1"];
    let all = [&goals[..], &["--stop-when", "all"]].concat();
    let mut patient = Seed::start(&setting.torrent, &setting.data(), &all);
    patient.wait_until_said("done, all");
    // Begun later, this one ends when the other has met the same goal.
    let mut any = Seed::start(&setting.torrent, &setting.data(), &goals);
    assert_eq!(any.btget.wait(LIMIT), Ok(()));
    assert!(any.says("(--seed-time)") && !any.says("(--ratio)"), "{}", any.btget.stderr());
    assert!(patient.btget.child.try_wait().expect("it was started").is_none(), "{}", patient.btget.stderr());
    setting.download_from(&[&patient]);
    assert_eq!(patient.btget.wait(LIMIT), Ok(()));
    assert!(patient.says("(--seed-time)") && patient.says("(--ratio)"), "{}", patient.btget.stderr());
}

#[test]
fn a_signal_before_the_goal_is_told_by_the_exit_code() {
    let setting = Setting::new(Payload::single("goal", 200_000, 16_384));
    let mut seed = Seed::start(&setting.torrent, &setting.data(), &["--ratio", "1"]);
    seed.wait_until_said("done, all");
    assert_eq!(seed.stop("-TERM"), Some(143), "{}", seed.btget.stderr());
    let mut seed = Seed::start(&setting.torrent, &setting.data(), &["--seed", "--super"]);
    seed.wait_until_said("done, all");
    setting.download_from(&[&seed]);
    assert_eq!(seed.stop("-TERM"), Some(0), "{}", seed.btget.stderr());
}

#[cfg(target_os = "linux")]
#[test]
fn a_complete_torrent_keeps_no_file_open_but_what_is_read() {
    let setting = Setting::new(Payload::single("few", 200_000, 16_384));
    let mut seed = Seed::start(&setting.torrent, &setting.data(), &["--seed"]);
    seed.wait_until_said("done, all");
    setting.download_from(&[&seed]);
    let open = |seed: &Seed| -> Vec<PathBuf> {
        let handles = fs::read_dir(format!("/proc/{}/fd", seed.btget.child.id())).expect("it runs");
        let files = handles.filter_map(|handle| fs::read_link(handle.ok()?.path()).ok());
        // Whoever runs the tests may have handed down more.
        let is_of_test =
            |path: &PathBuf| path.starts_with(setting.work.path()) || path.starts_with(seed._work.path());
        files.filter(|path| is_of_test(path) && !path.ends_with("btget.stderr")).collect()
    };
    let is_payload = |path: &PathBuf| path.ends_with("few");
    wait_for("letting go", || {
        let open = open(&seed);
        open.iter().filter(|path| is_payload(path)).count() == 1 && open.iter().all(is_payload)
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_asks_for_much_and_never_reads_costs_little_and_holds_up_nobody() {
    let setting = Setting::new(Payload::single("unread", 64 << 20, 1 << 20));
    let mut seed = Seed::start(&setting.torrent, &setting.data(), &["--seed", "--slots", "30"]);
    seed.wait_until_said("done, all");
    let before = memory_of(&seed);
    let silent: Vec<TcpStream> = (0..20).map(|_| ask_for_all(&seed, &setting.payload)).collect();
    setting.download_from(&[&seed]);
    let after = memory_of(&seed);
    assert!(after < before + (48 << 20), "{before} bytes before, {after} after");
    drop(silent);
}

/// Asks for every block and reads no more than the handshake.
#[cfg(target_os = "linux")]
fn ask_for_all(seed: &Seed, payload: &Payload) -> TcpStream {
    let mut stream = TcpStream::connect(seed.address).expect("it listens");
    let mut says = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    says.extend(payload.info_hash());
    says.extend(b"-XX0000-");
    says.extend(name_of(&stream));
    says.extend([0, 0, 0, 1, 2]);
    stream.write_all(&says).expect("it reads");
    stream.read_exact(&mut [0; 68]).expect("it answers");
    for piece in 0..64_u32 {
        for block in 0..4_u32 {
            let mut request = vec![0, 0, 0, 13, 6];
            request.extend(piece.to_be_bytes());
            request.extend((block * 16_384).to_be_bytes());
            request.extend(16_384_u32.to_be_bytes());
            stream.write_all(&request).expect("it reads");
        }
    }
    stream
}

/// A name that no other connection has.
#[cfg(target_os = "linux")]
fn name_of(stream: &TcpStream) -> [u8; 12] {
    let port = stream.local_addr().expect("it is connected").port();
    let mut name = *b"unread......";
    name[10..].copy_from_slice(&port.to_be_bytes());
    name
}

#[cfg(target_os = "linux")]
fn memory_of(seed: &Seed) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", seed.btget.child.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells");
    let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    kilobytes.expect("a number") * 1024
}

#[test]
fn what_is_complete_is_seeded_whatever_the_download_in_front_of_it_is_at() {
    let setting = Setting::new(Payload::single("whole", 200_000, 16_384));
    let stuck = setting.work.path().join("stuck");
    fs::create_dir(&stuck).expect("the test's folder takes a folder");
    let stuck: Vec<PathBuf> = ["first", "second"]
        .map(|name| Payload::single(name, 50_000, 16_384).write_torrent(&stuck, None))
        .to_vec();
    let last = setting.torrent.to_str().expect("a plain path");
    let second = stuck[1].to_str().expect("a plain path");
    let mut seed = Seed::start(&stuck[0], &setting.data(), &["--seed", "-j", "1", second, last]);
    seed.wait_until_said("whole: done, all");
    assert!(seed.says("waiting for their turn: 1 target (-j 1)"), "{}", seed.btget.stderr());
    setting.download_from(&[&seed]);
}

#[test]
fn what_does_nothing_and_what_is_given_twice_is_said() {
    let setting = Setting::new(Payload::single("said", 50_000, 16_384));
    let torrent = setting.torrent.to_str().expect("a plain path");
    let dir = setting.data();
    let run = |words: &[&str]| {
        let words = [words, &["--no-state", "-d", dir.to_str().expect("a plain path"), torrent]].concat();
        let output = run(setting.work.path(), &words);
        (output.status.code(), text(&output.stderr))
    };
    for flags in [&["--super"][..], &["--stop-when", "all"]] {
        let (code, said) = run(flags);
        assert!(code == Some(0) && said.contains("does nothing without --seed"), "{said}");
    }
    let (code, said) = run(&[torrent]);
    assert!(code == Some(3) && said.contains("the same torrent was given before"), "{said}");
}
