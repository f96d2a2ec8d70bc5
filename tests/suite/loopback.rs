//! The program against peers of a script, on loopback: what it does about a peer that spoils blocks, and when
//! all peers leave before the end. The scripted peers speak BEP 3 only, so no other client is needed.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::harness::free_address;
use crate::harness::payload::Payload;
use crate::harness::program::Btget;
use crate::harness::scripted_peer::{Script, ScriptedPeer};

const LIMIT: Duration = Duration::from_secs(100);

/// An honest seed that listens at an address of its own.
fn seed(payload: &Payload, address: SocketAddr) -> Script {
    Script {
        address,
        dials: false,
        pieces: 0..payload.num_pieces(),
        corrupts_every: 0,
        pause: Duration::ZERO,
        leaves_when_served: false,
    }
}

fn peer_flags(peers: &[SocketAddr]) -> Vec<String> {
    peers.iter().flat_map(|peer| ["--peer".to_owned(), peer.to_string()]).collect()
}

fn start(work: &tempfile::TempDir, payload: &Payload, flags: &[String]) -> Btget {
    let out = work.path().join("out");
    fs::create_dir(&out).expect("the test's folder takes a folder");
    let torrent = payload.write_torrent(work.path(), None);
    let mut args = vec!["--timeout", "90s", "--progress", "line", "-v", "--encryption", "off"];
    args.extend(flags.iter().map(String::as_str));
    Btget::download(work.path(), &torrent, &out, &args)
}

/// Waits until the program has said `words` on stderr, in any case.
fn wait_for_words(btget: &Btget, words: &str, limit: Duration) {
    let deadline = Instant::now() + limit;
    while !btget.stderr().to_lowercase().contains(words) {
        assert!(Instant::now() < deadline, "no \"{words}\" within {limit:?}:\n{}", btget.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn assert_complete(btget: &mut Btget, work: &tempfile::TempDir, payload: &Payload) {
    if let Err(what) = btget.wait(LIMIT) {
        panic!("btget did not finish: {what}");
    }
    assert_eq!(payload.difference_in(&work.path().join("out")), None);
}

// Each peer needs an address of its own, for a ban may hold for the whole address; only Linux gives all of 127/8.
#[cfg(target_os = "linux")]
#[test]
fn a_seed_that_spoils_every_tenth_block_is_banned_and_nobody_else_is() {
    let work = tempfile::tempdir().expect("a folder for the test");
    let payload = Payload::single("spoiled", 32 << 20, 256 << 10);
    let peers: Vec<ScriptedPeer> = (2..7)
        .map(|last| {
            let address = free_address(Ipv4Addr::new(127, 0, 0, last));
            let corrupts_every = if last == 6 { 10 } else { 0 };
            // A rest, so that the download lasts until everyone has given a share.
            let pause = Duration::from_millis(1);
            ScriptedPeer::start(&payload, Script { corrupts_every, pause, ..seed(&payload, address) })
        })
        .collect();
    let addresses: Vec<SocketAddr> = peers.iter().map(ScriptedPeer::address).collect();
    let mut btget = start(&work, &payload, &peer_flags(&addresses));
    assert_complete(&mut btget, &work, &payload);

    let [.., spoiler] = peers.as_slice() else { unreachable!() };
    assert!(!spoiler.record().spoiled.is_empty(), "the spoiling peer was never asked for ten blocks");
    let stderr = btget.stderr();
    let bans = |last: u8| {
        let peer = format!("127.0.0.{last}:");
        stderr.lines().filter(|line| line.to_lowercase().contains("ban") && line.contains(&peer)).count()
    };
    assert!(bans(6) > 0, "no word of a ban of 127.0.0.6:\n{stderr}");
    assert_eq!((2..6).map(bans).sum::<usize>(), 0, "an honest seed was banned:\n{stderr}");
    assert_eq!(spoiler.record().connections, 1, "it was let in again after the ban");

    for peer in &peers {
        assert_eq!(peer.record().faults, Vec::<String>::new());
    }
}

#[test]
fn when_all_peers_leave_before_the_last_piece_it_says_why_it_waits_and_dials_them_when_they_return() {
    let work = tempfile::tempdir().expect("a folder for the test");
    let payload = Payload::single("left-alone", 100 * (64 << 10) - 5000, 64 << 10);
    let address = free_address(Ipv4Addr::LOCALHOST);
    let script = seed(&payload, address);
    let first = Script { pieces: 0..99, leaves_when_served: true, ..script.clone() };
    let first = ScriptedPeer::start(&payload, first);
    let mut btget = start(&work, &payload, &peer_flags(&[address]));
    wait_for_words(&btget, "waiting", Duration::from_secs(30));
    assert_eq!(first.record().faults, Vec::<String>::new());
    drop(first);

    let second = ScriptedPeer::start(&payload, script);
    assert_complete(&mut btget, &work, &payload);
    let record = second.record();
    assert!(record.sent.iter().all(|(piece, _)| *piece == 99), "fetched again: {:?}", record.sent);
}

#[test]
fn a_peer_that_dials_it_brings_the_piece_it_waits_for() {
    let work = tempfile::tempdir().expect("a folder for the test");
    let files = [("a", 50_000), ("b/empty", 0), ("b/c", 100 * (64 << 10) - 55_000)];
    let payload = Payload::tree("dialed", &files, 64 << 10);
    let [address, listens] = [free_address(Ipv4Addr::LOCALHOST), free_address(Ipv4Addr::LOCALHOST)];
    let first = Script { pieces: 0..99, leaves_when_served: true, ..seed(&payload, address) };
    let first = ScriptedPeer::start(&payload, first);
    let mut flags = peer_flags(&[address]);
    flags.extend(["--port".to_owned(), listens.port().to_string()]);
    let mut btget = start(&work, &payload, &flags);
    wait_for_words(&btget, "waiting", Duration::from_secs(30));
    assert_eq!(first.record().faults, Vec::<String>::new());
    drop(first);

    let second = ScriptedPeer::start(&payload, Script { dials: true, ..seed(&payload, listens) });
    assert_complete(&mut btget, &work, &payload);
    let record = second.record();
    assert!(record.sent.iter().all(|(piece, _)| *piece == 99), "fetched again: {:?}", record.sent);
}
