//! Downloads from clients that others wrote. `tests/interop/install.sh` installs them; without one of them its
//! tests say that they did not run; with `BTGET_INTEROP=require` they fail, and with `off` none runs.

#[path = "interop/clients.rs"]
mod clients;
#[path = "harness/mod.rs"]
mod harness;
#[path = "interop/making.rs"]
mod making;
#[path = "interop/namespace.rs"]
mod namespace;
#[path = "interop/peer_process.rs"]
mod peer_process;
#[path = "interop/seeding.rs"]
mod seeding;
#[path = "interop/serving.rs"]
mod serving;
#[path = "interop/tracker.rs"]
mod tracker;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::free_address;
use harness::payload::Payload;
use harness::program::Btget;
use harness::scripted_peer::{Script, ScriptedPeer};
use namespace::Namespace;
use peer_process::{PeerProcess, find, find_libtorrent, find_rqbit, not_here};
use seeding::{SeedFolder, download_all, loopback, payloads, wait_until_seeding, write_data};
use tracker::Tracker;

const LIMIT: Duration = Duration::from_secs(100);

#[test]
fn libtorrent_seeds_each_torrent() {
    let Some(python) = find_libtorrent() else { return };
    let folder = SeedFolder::with_all(None);
    let address = loopback();
    let data = folder.data();
    let torrents: Vec<(&Path, &Path)> = folder.torrents().iter().map(|path| (&**path, &*data)).collect();
    let peer = clients::libtorrent(&python, &folder.client(), address, &[], &torrents);
    download_all(&folder, &peer, &[address]);
}

#[test]
fn aria2_seeds_each_torrent() {
    let Some(program) = find("aria2c") else { return };
    let folder = SeedFolder::with_all(None);
    let address = loopback();
    let peer = clients::aria2(&program, &folder, address.port());
    download_all(&folder, &peer, &[address]);
}

#[test]
fn transmission_seeds_each_torrent() {
    let Some(program) = find("transmission-cli") else { return };
    let folder = SeedFolder::with_all(None);
    let namespace = match Namespace::create() {
        Ok(namespace) => namespace,
        Err(why) => return not_here(&format!("no network namespace: {why}")).unwrap_or_default(),
    };
    let ports: Vec<u16> = payloads().iter().map(|_| loopback().port()).collect();
    let addresses: Vec<SocketAddr> = ports.iter().map(|port| namespace.address(*port)).collect();
    let peers = clients::transmission(&program, &folder, &namespace, &ports);
    download_all(&folder, &peers[0], &addresses);
}

#[test]
fn qbittorrent_seeds_each_torrent() {
    let Some(program) = find("qbittorrent-nox") else { return };
    let folder = SeedFolder::with_all(None);
    let address = loopback();
    let peer = clients::qbittorrent(&program, &folder, address.port(), loopback().port());
    download_all(&folder, &peer, &[address]);
}

#[test]
fn rtorrent_seeds_each_torrent() {
    let Some(program) = find("rtorrent") else { return };
    // It loads no torrent without a tracker.
    let tracker = Tracker::start(Vec::new());
    let folder = SeedFolder::with_all(Some(&tracker.url()));
    let address = loopback();
    let peer = clients::rtorrent(&program, &folder, address.port());
    download_all(&folder, &peer, &[address]);
}

#[test]
fn rqbit_seeds_each_torrent() {
    let Some(program) = find_rqbit() else { return };
    let folder = SeedFolder::with_all(None);
    let addresses: Vec<SocketAddr> = payloads().iter().map(|_| loopback()).collect();
    let ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
    let peers = clients::rqbit(&program, &folder, &ports);
    download_all(&folder, &peers[0], &addresses);
}

#[test]
fn a_seed_that_only_a_tracker_names_is_found_and_the_tracker_hears_of_start_end_and_leaving() {
    let Some(python) = find_libtorrent() else { return };
    let address = loopback();
    let SocketAddr::V4(v4) = address else { unreachable!("loopback is IPv4 here") };
    let tracker = Tracker::start(vec![v4]);
    let folder = SeedFolder::empty();
    let payload = &payloads()[0];
    let quiet = folder.add(payload, |_| true, None);
    let data = folder.data();
    let peer = clients::libtorrent(&python, &folder.client(), address, &[], &[(&quiet, &data)]);
    wait_until_seeding(address, payload).expect("libtorrent seeds");

    let torrent = payload.write_torrent(&folder.client(), Some(&tracker.url()));
    let result = seeding::download(payload, &torrent, &[]);
    assert_eq!(result, Ok(()), "libtorrent's last words: {}", peer.last_words());

    // A leaving client does not wait, so its last words may be under way still.
    let deadline = Instant::now() + Duration::from_secs(5);
    let is_last =
        |announce: &tracker::Announce| announce.get("event").is_some_and(|event| event == b"stopped");
    while !tracker.announces().last().is_some_and(is_last) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let announces = tracker.announces();
    let text = |at: usize, name: &str| {
        announces[at].get(name).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    let events: Vec<String> = (0..announces.len()).map(|at| text(at, "event")).collect();
    assert_eq!(
        events.iter().filter(|event| !event.is_empty()).collect::<Vec<_>>(),
        ["started", "completed", "stopped"]
    );
    assert_eq!(text(0, "left"), payload.bytes().len().to_string());
    assert_eq!(text(announces.len() - 1, "left"), "0");
    for announce in &announces {
        assert_eq!(announce["info_hash"], payload.info_hash());
        assert_eq!(announce["peer_id"].len(), 20);
        assert_ne!(announce["port"], b"0");
    }
}

/// A btget and a libtorrent that each have every other piece of one payload.
struct Halves {
    folder: SeedFolder,
    payload: Payload,
    torrent: PathBuf,
    out: PathBuf,
    libtorrent: PeerProcess,
}

/// Starts libtorrent, which gives little at a time: it must not make us finish, and leave, before it has all.
fn libtorrent_with_half(python: &Path, address: SocketAddr, flags: &[&str]) -> Halves {
    let folder = SeedFolder::empty();
    let payload = Payload::tree("halves", &[("first", 3 << 20), ("second", (3 << 20) + 999)], 64 << 10);
    let torrent = folder.add(&payload, |piece| piece % 2 == 0, None);
    let out = folder.client().join("out");
    fs::create_dir(&out).expect("the test's folder takes a folder");
    write_data(&payload, |piece| piece % 2 == 1, &out);
    let flags = [&["--upload-limit", "800000"], flags].concat();
    let torrents = [(&*torrent, &*folder.data())];
    let libtorrent = clients::libtorrent(python, &folder.client(), address, &flags, &torrents);
    Halves { folder, payload, torrent, out, libtorrent }
}

impl Halves {
    fn assert_both_finish(&self, flags: &[&str]) {
        let args = [&["--timeout", "90s"], flags].concat();
        let mut btget = Btget::download(&self.folder.client(), &self.torrent, &self.out, &args);
        let result = btget.wait(LIMIT);
        assert_eq!(result, Ok(()), "libtorrent's last words: {}", self.libtorrent.last_words());
        assert_eq!(self.payload.difference_in(&self.out), None);

        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.libtorrent.log().contains("complete") {
            let status = "btget finished, libtorrent got less than all from it";
            assert!(Instant::now() < deadline, "{status}: {}", self.libtorrent.last_words());
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(self.payload.difference_in(&self.folder.data()), None);
    }
}

#[test]
fn two_complementary_halves_make_both_whole_when_we_dial() {
    let Some(python) = find_libtorrent() else { return };
    let address = loopback();
    let halves = libtorrent_with_half(&python, address, &[]);
    halves.assert_both_finish(&["--peer", &address.to_string()]);
}

#[test]
fn two_complementary_halves_make_both_whole_when_libtorrent_dials() {
    let Some(python) = find_libtorrent() else { return };
    let [theirs, ours] = [loopback(), loopback()];
    let halves = libtorrent_with_half(&python, theirs, &["--dial", &ours.to_string()]);
    halves.assert_both_finish(&["--port", &ours.port().to_string()]);
}

// A ban may hold for a whole address, so the spoiler needs its own; only Linux gives all of 127/8.
#[cfg(target_os = "linux")]
#[test]
fn beside_four_libtorrent_seeds_a_spoiling_one_is_banned() {
    let Some(python) = find_libtorrent() else { return };
    let payload = Payload::single("spoiled", 64 << 20, 256 << 10);
    let folder = SeedFolder::empty();
    let torrent = folder.add(&payload, |_| true, None);
    let data = folder.data();
    let seeds: Vec<(SocketAddr, PeerProcess)> = (2..6)
        .map(|last| {
            let address = free_address(Ipv4Addr::new(127, 0, 0, last));
            let work = folder.client().join(last.to_string());
            fs::create_dir(&work).expect("the test's folder takes a folder");
            let flags = ["--upload-limit", "8000000"];
            (address, clients::libtorrent(&python, &work, address, &flags, &[(&torrent, &data)]))
        })
        .collect();
    for (address, _) in &seeds {
        wait_until_seeding(*address, &payload).expect("libtorrent seeds");
    }
    let address = free_address(Ipv4Addr::new(127, 0, 0, 6));
    let spoiler = ScriptedPeer::start(
        &payload,
        Script {
            address,
            dials: false,
            pieces: 0..payload.num_pieces(),
            corrupts_every: 10,
            pause: Duration::from_millis(1),
            leaves_when_served: false,
        },
    );
    let addresses = seeds.iter().map(|(address, _)| *address).chain([spoiler.address()]);
    let flags: Vec<String> =
        addresses.flat_map(|address| ["--peer".to_owned(), address.to_string()]).collect();
    let mut args = vec!["--timeout", "90s", "-v", "--encryption", "off"];
    args.extend(flags.iter().map(String::as_str));
    let out = folder.client().join("out");
    fs::create_dir(&out).expect("the test's folder takes a folder");
    let mut btget = Btget::download(&folder.client(), &torrent, &out, &args);
    assert_eq!(btget.wait(LIMIT), Ok(()), "libtorrent's last words: {}", seeds[0].1.last_words());
    assert_eq!(payload.difference_in(&out), None);

    let record = spoiler.record();
    assert_eq!(record.faults, Vec::<String>::new());
    assert!(!record.spoiled.is_empty(), "the spoiler was never asked for ten blocks");
    assert!(record.sent.len() < payload.bytes().len() / harness::payload::BLOCK / 2, "it was never banned");
    let stderr = btget.stderr();
    let names_it = |line: &str| line.to_lowercase().contains("ban") && line.contains("127.0.0.6:");
    assert!(stderr.lines().any(names_it), "no word of a ban of {address}:\n{stderr}");
}
