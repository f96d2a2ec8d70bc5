//! A seed whose files or handles fail: it names what is lost, gives the rest, and takes nothing for lost that is not.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::harness::free_address;
use crate::harness::payload::Payload;
use crate::harness::program::Btget;
use crate::harness::scripted_peer::{Script, ScriptedPeer};
use crate::seeding::{LIMIT, Seed, Setting, tree, wait_for};

#[test]
fn a_seed_whose_file_is_gone_names_it_and_gives_what_is_left() {
    let setting = Setting::new(tree());
    let mut seed = Seed::start(&setting.torrent, &setting.data(), &["--seed"]);
    seed.wait_until_said("done, all");
    assert_eq!(ask_for(&seed, &setting.payload, 0), (vec![0b1111_1100], true));
    cut(&setting.data().join("tree/a"));
    assert!(!ask_for(&seed, &setting.payload, 0).1, "half of the block is gone");
    for _ in 0..2 {
        assert_eq!(ask_for(&seed, &setting.payload, 5), (vec![0b0000_0100], true), "the rest is there");
    }
    assert_eq!(seed.stop("-INT"), Some(17), "{}", seed.btget.stderr());
    let stderr = seed.btget.stderr();
    let complaints =
        stderr.lines().filter(|line| line.contains("tree/a: it is missing or has become shorter"));
    assert_eq!(complaints.count(), 1, "{stderr}");
}

#[test]
fn a_seed_that_has_nothing_left_to_give_ends_and_names_the_file() {
    let setting = Setting::new(Payload::single("short", 200_000, 16_384));
    let mut seed = Seed::start(&setting.torrent, &setting.data(), &["--seed"]);
    seed.wait_until_said("done, all");
    cut(&setting.data().join("short"));
    assert!(!ask_for(&seed, &setting.payload, 3).1);
    let ended = seed.btget.wait(LIMIT).expect_err("there is nothing to seed");
    assert!(ended.contains("exit status: 17") && ended.contains("data/short: it is missing"), "{ended}");
}

#[test]
fn a_download_goes_on_when_a_complete_file_of_its_becomes_unreadable() {
    let setting = Setting::new(Payload::tree("tree", &[("a", 5 << 16), ("b", 70_000)], 1 << 16));
    let out = setting.work.path().join("out");
    let name = Path::new("tree/a");
    let bytes = setting
        .payload
        .files()
        .into_iter()
        .find(|(path, _)| path.ends_with("a"))
        .map(|(_, bytes)| bytes.to_vec());
    fs::create_dir_all(out.join("tree")).expect("the test's folder takes a folder");
    fs::write(out.join(name), bytes.expect("it has the file")).expect("the test's folder takes a file");
    let mut btget = Seed::start(&setting.torrent, &out, &["--seed-time", "1s"]);
    btget.wait_until_said("5 of 7 pieces are here already");
    let file = fs::File::options().write(true).open(out.join(name)).expect("it is there");
    file.set_len(10).expect("it can be cut");
    let mut taker = TcpStream::connect(btget.address).expect("it listens");
    taker.set_read_timeout(Some(LIMIT)).expect("a stream takes a time");
    let mut says = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    says.extend(setting.payload.info_hash());
    says.extend(b"-XX0000-asksforit000");
    says.extend([0, 0, 0, 1, 2]);
    taker.write_all(&says).expect("it reads");
    let mut unchoked = [0; 68 + 4 + 2 + 5];
    taker.read_exact(&mut unchoked).expect("a bitfield, and then it is unchoked");
    let request = [0, 0, 0, 13, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, 0];
    taker.write_all(&request).expect("it reads");
    btget.wait_until_said("is not served any more");
    let script = Script {
        address: btget.address,
        dials: true,
        pieces: 0..setting.payload.num_pieces(),
        corrupts_every: 0,
        pause: Duration::ZERO,
        leaves_when_served: false,
    };
    let _seed = ScriptedPeer::start(&setting.payload, script);
    wait_for("the end", || btget.btget.child.try_wait().expect("it was started").is_some());
    let code = btget.btget.child.wait().expect("it was started").code();
    assert_eq!(code, Some(17), "{}", btget.btget.stderr());
    let wanted = setting
        .payload
        .files()
        .into_iter()
        .find(|(path, _)| path.ends_with("b"))
        .map(|(_, bytes)| bytes.to_vec());
    assert_eq!(fs::read(out.join("tree/b")).ok(), wanted);
}

#[test]
fn few_handles_and_many_peers_are_no_reason_to_take_a_file_for_lost() {
    let files: Vec<(String, usize)> = (0..100).map(|number| (format!("{number}"), 40_000)).collect();
    let files: Vec<(&str, usize)> = files.iter().map(|(name, length)| (name.as_str(), *length)).collect();
    let setting = Setting::new(Payload::tree("many", &files, 1 << 16));
    let work = tempfile::tempdir().expect("a folder for the test");
    let address = free_address(Ipv4Addr::LOCALHOST);
    let port = address.port().to_string();
    let args = ["-p", &port, "--progress", "line", "--seed", "--max-peers", "500"];
    let few = ["sh", "-c", "ulimit -n 64 && exec \"$@\"", "sh"];
    let btget = Btget::download_by(&few, work.path(), &setting.torrent, &setting.data(), &args);
    let mut seed = Seed { btget, address, _work: work };
    seed.wait_until_said("done, all");
    let greet = |number: u8| {
        let mut stream = TcpStream::connect(address).ok()?;
        let mut says = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
        says.extend(setting.payload.info_hash());
        says.extend([number; 20]);
        stream.write_all(&says).ok()?;
        Some(stream)
    };
    let greeted: Vec<Option<TcpStream>> = (0..60).map(greet).collect();
    setting.download_from(&[&seed]);
    drop(greeted);
    assert!(!seed.says("not served any more"), "{}", seed.btget.stderr());
    assert_eq!(seed.stop("-INT"), Some(0), "{}", seed.btget.stderr());
}

/// Leaves 1000 bytes of a file.
fn cut(path: &Path) {
    let file = fs::File::options().write(true).open(path).expect("it is there");
    file.set_len(1000).expect("it can be cut");
}

/// Asks for the first block of a piece: what the seed says it has, and whether the block came before the end.
fn ask_for(seed: &Seed, payload: &Payload, piece: u32) -> (Vec<u8>, bool) {
    let mut stream = TcpStream::connect(seed.address).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a time is good");
    let mut says = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    says.extend(payload.info_hash());
    says.extend(b"-XX0000-asks-for-one");
    says.extend([0, 0, 0, 1, 2]);
    stream.write_all(&says).expect("it reads");
    stream.read_exact(&mut [0; 68]).expect("it answers");
    let mut has = Vec::new();
    loop {
        let mut length = [0; 4];
        if stream.read_exact(&mut length).is_err() {
            return (has, false);
        }
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut message).expect("messages are whole");
        match message.first() {
            Some(5) => has = message[1..].to_vec(),
            Some(1) => {
                let mut request = vec![0, 0, 0, 13, 6];
                [piece, 0, 16_384].iter().for_each(|number: &u32| request.extend(number.to_be_bytes()));
                stream.write_all(&request).expect("it reads");
            }
            Some(7) => return (has, true),
            _ => {}
        }
    }
}
