//! What is remembered from run to run: a download that was killed goes on where it was, a complete one is known
//! again at once, and nothing that is wrong on disk is ever called right.

use std::fs;
use std::path::Path;
use std::time::Duration;

use btget::base::time::Duration as VirtualTime;
use btget::engine::snapshot::Detail;
use btget::sim::scenario::Scenario;
use btget::sim::world::Departure;

use crate::harness::payload::{BLOCK, Payload};
use crate::harness::program::Btget;
use crate::setting::{LIMIT, Setting, wait_for};

/// Kills a download `rounds` times; says how many bytes were fetched more than once.
fn fetched_again(piece_length: usize, rounds: usize) -> usize {
    let setting = Setting::new(Payload::single("killed", 24 << 20, piece_length));
    let seed = setting.seed(Duration::from_millis(1));
    let blocks = (24 << 20) / BLOCK;
    for round in 1..=rounds {
        let btget = setting.start(&[]);
        // Not at the same point of a piece each time.
        let until = round * blocks / (rounds + 1) + round * 7;
        wait_for("the seed's part", || seed.record().sent.len() >= until);
        // SIGKILL.
        drop(btget);
    }
    setting.complete(&mut setting.start(&[]));
    let record = seed.record();
    assert_eq!(record.faults, Vec::<String>::new());
    assert_eq!(record.connections, rounds + 1, "every run asked");
    record.sent.len() * BLOCK - (24 << 20)
}

#[test]
fn a_download_that_is_killed_again_and_again_loses_only_what_was_under_way() {
    for (piece_length, rounds) in [(64 << 10, 5), (4 << 20, 5)] {
        let lost = fetched_again(piece_length, rounds);
        // What peers were asked for and had sent, and blocks that waited for their run: far below 4 MiB.
        assert!(lost <= rounds * (4 << 20), "{lost} bytes were fetched again with pieces of {piece_length}");
    }
}

#[test]
fn a_complete_download_is_known_again_without_reading_it() {
    let setting =
        Setting::new(Payload::tree("known", &[("a", 300_000), ("b/c", 5_000_000), ("empty", 0)], 64 << 10));
    let seed = setting.seed(Duration::ZERO);
    setting.complete(&mut setting.start(&[]));
    drop(seed);
    assert_eq!(setting.state_files().len(), 1);
    // Changed behind its time's back, which only reading would find out.
    let path = setting.out().join("known/b/c");
    let time = fs::metadata(&path).expect("it is there").modified().expect("it has a time");
    let mut bytes = fs::read(&path).expect("it can be read");
    bytes[77] ^= 1;
    fs::write(&path, &bytes).expect("it can be written");
    fs::File::options()
        .write(true)
        .open(&path)
        .expect("it opens")
        .set_modified(time)
        .expect("times can be set");
    let mut btget = setting.start(&[]);
    btget.wait(LIMIT).expect("it is complete as far as it knows");
    assert!(btget.stderr().contains("was here already"), "{}", btget.stderr());

    // Changed openly: only the piece that is wrong is fetched.
    fs::write(&path, &bytes).expect("it can be written");
    let seed = setting.seed(Duration::ZERO);
    setting.complete(&mut setting.start(&[]));
    let record = seed.record();
    let wrong = (300_000 + 77) / setting.payload.piece_length();
    assert!(
        !record.sent.is_empty() && record.sent.iter().all(|(piece, _)| *piece == wrong),
        "{:?}",
        record.sent
    );
}

#[test]
fn nothing_is_remembered_with_no_state() {
    let setting = Setting::new(Payload::single("forgotten", 100_000, 32 << 10));
    let _seed = setting.seed(Duration::ZERO);
    setting.complete(&mut setting.start(&["--no-state"]));
    assert!(!Path::new(&setting.work.path().join("home/btget")).exists());
}

#[test]
fn two_on_one_target_are_told_apart_and_the_first_goes_on() {
    let setting = Setting::new(Payload::single("busy", 4 << 20, 64 << 10));
    let seed = setting.seed(Duration::from_millis(5));
    let mut first = setting.start(&[]);
    wait_for("the first block", || !seed.record().sent.is_empty());
    let other_work = setting.work.path().join("other");
    fs::create_dir(&other_work).expect("the test's folder takes a folder");
    let address = setting.address.to_string();
    for work in [setting.work.path().join("same"), other_work] {
        fs::create_dir_all(&work).expect("the test's folder takes a folder");
        let state = setting.work.path().join("home/btget");
        let mut args = vec!["--peer", &address];
        if work.ends_with("same") {
            args.extend(["--state-dir", state.to_str().expect("a plain path")]);
        }
        let mut second = Btget::download(&work, &setting.torrent, &setting.out(), &args);
        let end = second.wait(LIMIT).expect_err("it is refused");
        assert!(end.contains("exit status: 11"), "{end}");
        assert!(end.contains(&format!("process id {}", first.child.id())), "{end}");
    }
    setting.complete(&mut first);
    // The lock of one that was killed holds nobody up.
    fs::remove_dir_all(setting.out()).expect("it can be removed");
    let killed = setting.start(&[]);
    let before = seed.record().sent.len();
    wait_for("a block", || seed.record().sent.len() > before);
    drop(killed);
    setting.complete(&mut setting.start(&[]));
}

#[test]
fn what_was_moved_is_remembered_of_runs_that_end_without_a_word() {
    let scenario = Scenario::new(1).seeds(1).leechers(1).remembering();
    let mut swarm = scenario.build().expect("a layout that exists");
    let (seed, leecher) = (swarm.seeds[0], swarm.leechers[0]);
    assert!(swarm.finish(VirtualTime::from_secs(60)).is_done);
    let moved = |swarm: &btget::sim::scenario::Swarm| {
        [seed, leecher].map(|host| swarm.world.snapshot(host, Detail::Totals).expect("it is on").traffic())
    };
    let before = moved(&swarm);
    assert!(before[0].uploaded >= 64 * 65_536 && before[1].downloaded >= 64 * 65_536, "{before:?}");
    swarm.world.run_for(VirtualTime::from_secs(300));
    for _ in 0..2 {
        for host in [seed, leecher] {
            swarm.world.stop_in(host, VirtualTime::ZERO, Departure::Off);
            swarm.world.start_in(host, VirtualTime::from_secs(1));
        }
        swarm.world.run_for(VirtualTime::from_secs(5));
        assert_eq!(moved(&swarm), before);
    }
}
