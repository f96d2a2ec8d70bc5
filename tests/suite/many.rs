//! The program with many torrents and with limits, on loopback: one process seeds them all, targets run in order, and
//! rates are kept on real sockets. A limit is judged by the least time that it must take, and by several times as much,
//! for a busy machine.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::cli::program;
use crate::harness::free_address;
use crate::harness::payload::Payload;
use crate::harness::program::Btget;

const LIMIT: Duration = Duration::from_secs(100);

/// A btget that seeds, killed when the test lets go of it.
struct Seed {
    child: Child,
    address: SocketAddr,
    work: tempfile::TempDir,
    runs: u32,
}

impl Seed {
    /// Seeds `payloads` out of a folder of its own; their torrents come by a list on standard input.
    fn start(payloads: &[Payload], flags: &[&str]) -> Seed {
        let work = tempfile::tempdir().expect("a folder for the test");
        for payload in payloads {
            payload.write_torrent(work.path(), None);
            for (path, bytes) in payload.files() {
                fs::write(work.path().join(path), bytes).expect("the test's folder takes a file");
            }
        }
        let address = free_address(Ipv4Addr::LOCALHOST);
        let child = launch(work.path(), address, flags, 0);
        let mut seed = Seed { child, address, work, runs: 0 };
        seed.wait_until_said("done, all", payloads.len());
        seed
    }

    fn restart(&mut self, flags: &[&str], torrents: usize) {
        let stopped = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(stopped.is_ok_and(|status| status.success()));
        assert_eq!(self.child.wait().expect("it was started").code(), Some(0));
        self.runs += 1;
        self.child = launch(self.work.path(), self.address, flags, self.runs);
        self.wait_until_said("done, all", torrents);
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.work.path().join(format!("seed{}.stderr", self.runs))).unwrap_or_default()
    }

    fn wait_until_said(&mut self, words: &str, times: usize) {
        let deadline = Instant::now() + LIMIT;
        while self.stderr().matches(words).count() < times {
            let ended = self.child.try_wait().expect("it was started");
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn download(&self, payload: &Payload, flags: &[&str]) -> Duration {
        let work = tempfile::tempdir().expect("a folder for the test");
        let torrent = payload.write_torrent(work.path(), None);
        let out = work.path().join("out");
        let peer = self.address.to_string();
        let args: Vec<&str> = ["--peer", &peer].iter().chain(flags).copied().collect();
        let began = Instant::now();
        let mut btget = Btget::download(work.path(), &torrent, &out, &args);
        if let Err(what) = btget.wait(LIMIT) {
            panic!("{what}\nthe seed:\n{}", self.stderr());
        }
        assert_eq!(payload.difference_in(&out), None);
        began.elapsed()
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(work: &Path, address: SocketAddr, flags: &[&str], run: u32) -> Child {
    let port = address.port().to_string();
    let stderr =
        fs::File::create(work.join(format!("seed{run}.stderr"))).expect("the test's folder takes a file");
    let mut command = program(work, &["--seed", "-p", &port, "--progress", "line", "-"]);
    command.args(flags).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(stderr);
    let mut child = command.spawn().expect("btget starts");
    let mut torrents: Vec<_> = fs::read_dir(work)
        .expect("the test's folder can be read")
        .map(|entry| entry.expect("an entry can be read").file_name().into_string().expect("names are plain"))
        .filter(|name| name.ends_with(".torrent"))
        .collect();
    torrents.sort();
    let list = torrents.join("\n");
    child.stdin.take().expect("it is piped").write_all(list.as_bytes()).expect("it reads its list");
    child
}

#[test]
fn one_process_seeds_a_thousand_torrents_and_knows_them_again() {
    let payload = |number: usize| Payload::single(&format!("p{number:04}"), 30_000 + number, 16_384);
    let payloads: Vec<Payload> = (0..1000).map(payload).collect();
    let mut seed = Seed::start(&payloads, &[]);
    seed.restart(&[], payloads.len());
    for number in [0, 123, 377, 501, 750, 999] {
        seed.download(&payloads[number], &[]);
    }
}

#[test]
fn a_limited_download_takes_its_time() {
    let payload = Payload::single("slowly", 3_000_000, 65_536);
    let seed = Seed::start(std::slice::from_ref(&payload), &[]);
    assert_near_three_seconds(seed.download(&payload, &["-r", "1MB"]));
    seed.download(&payload, &["-r", "1K", "--lan-unlimited"]);
}

#[test]
fn a_limited_upload_takes_its_time() {
    let payload = Payload::single("slowly-up", 3_000_000, 65_536);
    let seed = Seed::start(std::slice::from_ref(&payload), &["-u", "1MB"]);
    assert_near_three_seconds(seed.download(&payload, &[]));
}

/// 3 MB at 1 MB/s, on a machine that may be busy with other things.
fn assert_near_three_seconds(took: Duration) {
    assert!(took >= Duration::from_millis(2_500), "{took:?}");
    assert!(took <= Duration::from_secs(15), "{took:?}");
}

#[test]
fn two_equal_peers_share_a_limited_upload_equally() {
    const RATE: u64 = 10_000_000;
    let payload = Payload::single("shared-up", 32 << 20, 1 << 20);
    let seed = Seed::start(std::slice::from_ref(&payload), &["-u", "10MB"]);
    let start = Barrier::new(2);
    let got: Vec<u64> = std::thread::scope(|scope| {
        let take = |name: u8| {
            let (start, payload) = (&start, &payload);
            scope.spawn(move || taken_in(seed.address, payload, name, start, Duration::from_secs(5)))
        };
        let takers = [take(b'1'), take(b'2')];
        takers.map(|taker| taker.join().expect("no panic in a taker")).into()
    });
    let all: u64 = got.iter().sum();
    println!("{got:?} bytes in 5 s");
    assert!((5 * RATE / 5..=5 * RATE * 12 / 10).contains(&all), "{got:?}");
    assert!(got[0].abs_diff(got[1]) * 10 <= all, "{got:?} are not within a fifth of each other");
}

/// How many bytes of blocks a peer gets in `time` once both are served, and have had a second.
fn taken_in(seed: SocketAddr, payload: &Payload, name: u8, start: &Barrier, time: Duration) -> u64 {
    let mut stream = TcpStream::connect(seed).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a time is good");
    let mut says = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    says.extend(payload.info_hash());
    says.extend(b"-XX0000-takes-half-.");
    *says.last_mut().expect("it is long") = name;
    says.extend([0, 0, 0, 1, 2]);
    stream.write_all(&says).expect("it reads");
    stream.read_exact(&mut [0; 68]).expect("it answers");
    let (mut asked, mut bytes, mut from) = (0_u32, 0, None);
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).expect("it goes on");
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut message).expect("messages are whole");
        let wanted = match message.first() {
            Some(1) => {
                start.wait();
                from = Some(Instant::now() + Duration::from_secs(1));
                200
            }
            Some(7) => 1,
            _ => continue,
        };
        let now = Instant::now();
        if from.is_some_and(|from| now >= from + time) {
            return bytes;
        }
        bytes += if from.is_some_and(|from| now >= from) { message.len() as u64 } else { 0 };
        let blocks = (payload.bytes().len() / 16_384) as u32;
        for number in asked..asked + wanted {
            let block = number % blocks;
            let mut request = vec![0, 0, 0, 13, 6];
            let words = [block / 64, block % 64 * 16_384, 16_384];
            words.iter().for_each(|word: &u32| request.extend(word.to_be_bytes()));
            stream.write_all(&request).expect("it reads");
        }
        asked += wanted;
    }
}

#[test]
fn targets_run_one_after_the_other_and_each_has_its_own_end() {
    let work = tempfile::tempdir().expect("a folder for the test");
    for name in ["one", "two", "three"] {
        let payload = Payload::single(name, 40_000, 16_384);
        payload.write_torrent(work.path(), None);
        let bytes = if name == "two" { &[7; 40_000][..] } else { payload.bytes() };
        fs::write(work.path().join(name), bytes).expect("the test's folder takes a file");
    }
    fs::write(work.path().join("bad.torrent"), b"d4:infodee").expect("the test's folder takes a file");
    let args = ["-j", "1", "three.torrent", "bad.torrent", "two.torrent", "one.torrent"];
    let (code, _, stderr) = crate::cli::run_here(work.path(), &args, b"");
    assert_eq!(code, 3, "{stderr}");
    let at = |words: &str| stderr.find(words).unwrap_or_else(|| panic!("no {words:?}:\n{stderr}"));
    let ends = [at("three: done"), at("error: two: "), at("one: done"), at("2 of 4 done, 2 failed")];
    assert!(ends.is_sorted(), "{stderr}");
    // One begins when the one before has ended.
    assert!(at("three: done") < at("two: 39.1 KiB") && at("error: two: ") < at("one: 39.1 KiB"), "{stderr}");
    at("bad.torrent: ");
}
