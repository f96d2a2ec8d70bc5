//! The other way round: btget is who has what others need, all of it or the half that they lack.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::clients;
use crate::harness::payload::Payload;
use crate::harness::program::Btget;
use crate::namespace::Namespace;
use crate::peer_process::{PeerProcess, find, find_libtorrent, find_rqbit, not_here};
use crate::seeding::{SeedFolder, loopback, wait_until_answering, wait_until_seeding};
use crate::tracker::Tracker;

const LIMIT: Duration = Duration::from_secs(240);

fn payload() -> Payload {
    Payload::tree("spread", &[("first", 5 << 20), ("deep/second", (3 << 20) + 999)], 64 << 10)
}

/// A client that lacks something.
struct Taker {
    name: &'static str,
    folder: SeedFolder,
    peers: Vec<PeerProcess>,
}

impl Taker {
    fn new(
        name: &'static str,
        folder: SeedFolder,
        start: impl FnOnce(&SeedFolder) -> Vec<PeerProcess>,
    ) -> Taker {
        let peers = start(&folder);
        Taker { name, folder, peers }
    }

    fn assert_finishes(&self, payload: &Payload, btget: &Btget) {
        let deadline = Instant::now() + LIMIT;
        while let Some(difference) = payload.difference_in(&self.folder.data()) {
            let last_words = self.peers[0].last_words();
            assert!(
                Instant::now() < deadline,
                "{}: {difference}\n  its last words:\n    {last_words}\n  btget's:\n{}",
                self.name,
                btget.stderr()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// A btget that has, under `work`, the pieces that `has` names, and stays.
fn btget(work: &TempDir, payload: &Payload, has: fn(usize) -> bool, flags: &[&str]) -> Btget {
    let (torrents, data) = (work.path().join("torrents"), work.path().join("data"));
    for folder in [&torrents, &data] {
        std::fs::create_dir(folder).expect("the test's folder takes a folder");
    }
    let torrent = payload.write_torrent(&torrents, None);
    crate::seeding::write_data(payload, has, &data);
    let args = [&["--seed", "--progress", "line", "-v"], flags].concat();
    Btget::download(work.path(), &torrent, &data, &args)
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("btget-interop-").tempdir().expect("a folder for the test")
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    let SocketAddr::V4(address) = address else { unreachable!("all is IPv4 here") };
    address
}

#[test]
fn one_btget_is_the_only_seed_of_all_clients_at_once() {
    assert_all_are_served(&[]);
}

#[test]
fn all_clients_finish_with_a_seed_that_serves_two_at_a_time_and_chokes_the_others() {
    assert_all_are_served(&["--slots", "1"]);
}

fn assert_all_are_served(flags: &[&str]) {
    let payload = payload();
    let seed = loopback();
    let port = seed.port().to_string();
    let work = folder();
    let btget = btget(&work, &payload, |_| true, &[&["-p", &port], flags].concat());
    if let Err(what) = wait_until_seeding(seed, &payload) {
        panic!("{what}:\n{}", btget.stderr());
    }
    let tracker = Tracker::start(vec![v4(seed)]);
    let empty = || SeedFolder::with(&payload, None, Some(&tracker.url()));
    let mut takers = Vec::new();
    if let Some(python) = find_libtorrent() {
        takers.push(Taker::new("libtorrent", empty(), |folder| {
            let flags = ["--dial", &seed.to_string()];
            let torrents = [(&*folder.torrents()[0], &*folder.data())];
            vec![clients::libtorrent(&python, &folder.client(), loopback(), &flags, &torrents)]
        }));
    }
    if let Some(program) = find("aria2c") {
        takers.push(Taker::new("aria2", empty(), |folder| {
            vec![clients::aria2(&program, folder, loopback().port())]
        }));
    }
    if let Some(program) = find("qbittorrent-nox") {
        takers.push(Taker::new("qBittorrent", empty(), |folder| {
            vec![clients::qbittorrent(&program, folder, loopback().port(), loopback().port())]
        }));
    }
    if let Some(program) = find_rqbit() {
        takers.push(Taker::new("rqbit", empty(), |folder| {
            clients::rqbit(&program, folder, &[loopback().port()])
        }));
    }
    // What is inside reaches neither loopback nor its tracker. The cable goes last: the tracker ends by a connection.
    let mut inside = None;
    if let Some(program) = find("transmission-cli") {
        match Namespace::create() {
            Ok(namespace) => {
                let seed = SocketAddrV4::new(namespace.outside(), seed.port());
                let tracker = Tracker::start_at(namespace.outside(), vec![seed]);
                let folder = SeedFolder::with(&payload, None, Some(&tracker.url()));
                takers.push(Taker::new("Transmission", folder, |folder| {
                    clients::transmission(&program, folder, &namespace, &[loopback().port()])
                }));
                inside = Some((tracker, namespace));
            }
            Err(why) => not_here(&format!("no network namespace: {why}")).unwrap_or_default(),
        }
    }
    takers.iter().for_each(|taker| taker.assert_finishes(&payload, &btget));
    drop(takers);
    drop(inside);
}

/// The client has every other piece, and btget the rest; both are to become whole.
fn assert_halves_become_whole(
    name: &'static str,
    address: SocketAddr,
    start: impl FnOnce(&SeedFolder) -> Vec<PeerProcess>,
) {
    let payload = payload();
    let taker = Taker::new(name, SeedFolder::with(&payload, Some(|piece| piece % 2 == 0), None), start);
    if let Err(what) = wait_until_answering(address, &payload) {
        panic!("{what}\n  its last words:\n    {}", taker.peers[0].last_words());
    }
    let work = folder();
    let btget = btget(&work, &payload, |piece| piece % 2 == 1, &["--peer", &address.to_string()]);
    taker.assert_finishes(&payload, &btget);
    let deadline = Instant::now() + LIMIT;
    while payload.difference_in(&work.path().join("data")).is_some() {
        let last_words = taker.peers[0].last_words();
        assert!(Instant::now() < deadline, "{name}: {last_words}\n  btget's:\n{}", btget.stderr());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn aria2_and_btget_complete_each_other() {
    let Some(program) = find("aria2c") else { return };
    let address = loopback();
    assert_halves_become_whole("aria2", address, |folder| {
        vec![clients::aria2(&program, folder, address.port())]
    });
}

#[test]
fn qbittorrent_and_btget_complete_each_other() {
    let Some(program) = find("qbittorrent-nox") else { return };
    let address = loopback();
    assert_halves_become_whole("qBittorrent", address, |folder| {
        vec![clients::qbittorrent(&program, folder, address.port(), loopback().port())]
    });
}

#[test]
fn rqbit_and_btget_complete_each_other() {
    let Some(program) = find_rqbit() else { return };
    let address = loopback();
    assert_halves_become_whole("rqbit", address, |folder| {
        clients::rqbit(&program, folder, &[address.port()])
    });
}

#[test]
fn transmission_and_btget_complete_each_other() {
    let Some(program) = find("transmission-cli") else { return };
    let namespace = match Namespace::create() {
        Ok(namespace) => namespace,
        Err(why) => return not_here(&format!("no network namespace: {why}")).unwrap_or_default(),
    };
    let port = crate::harness::free_address(Ipv4Addr::LOCALHOST).port();
    assert_halves_become_whole("Transmission", namespace.address(port), |folder| {
        clients::transmission(&program, folder, &namespace, &[port])
    });
}

#[test]
fn libtorrent_and_btget_complete_each_other() {
    let Some(python) = find_libtorrent() else { return };
    let address = loopback();
    assert_halves_become_whole("libtorrent", address, |folder| {
        let torrents = [(&*folder.torrents()[0], &*folder.data())];
        vec![clients::libtorrent(&python, &folder.client(), address, &[], &torrents)]
    });
}
