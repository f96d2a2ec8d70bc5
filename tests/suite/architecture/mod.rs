//! Rules about code, held by tests: floors, names that a floor must not know, doors, files.
//!
//! Each rule is also shown to fail: a rule that catches nothing is worth nothing.

mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use rules::{check, top_level};

#[test]
fn every_file_keeps_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches"] {
        rust_files(&root.join(folder), &mut files);
    }
    assert!(files.len() > 30, "only {} files found: the rules look in the wrong place", files.len());
    let faults: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let path = file.strip_prefix(root).unwrap().to_str().unwrap();
            check(path, &fs::read_to_string(file).unwrap())
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_what_belongs_there_lies_at_the_top() {
    let entries = fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
    let faults: Vec<String> =
        entries.filter_map(|entry| top_level(entry.unwrap().file_name().to_str().unwrap())).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(top_level("notes.txt").is_some());
}

#[test]
fn a_file_that_looks_up_or_sideways_is_caught() {
    for (path, code) in [
        ("src/base/hash.rs", "use crate::engine::input::Input;"),
        ("src/wire/peer/message.rs", "use crate::metainfo::info_dict;"),
        ("src/wire/peer/message.rs", "use crate::{base::hash, hashing::Run};"),
        ("src/metainfo/edit.rs", "fn f(x: crate::hashing::Run<'_>) {}"),
        ("src/hashing/mod.rs", "use super::wire::peer;"),
        ("src/engine/picker/mod.rs", "use super::super::runtime::driver;"),
        ("src/engine/torrent/mod.rs", "use crate::sim::world;"),
        ("src/runtime/driver.rs", "use crate::sim::world;"),
        ("src/sim/world.rs", "use crate::runtime::driver;"),
        ("src/sim/mod.rs", "use crate::cli;\nuse crate::cli::settings;"),
        ("src/base/hash.rs", "#[cfg(test)]\nmod tests { use crate::cli::args; }"),
    ] {
        catches(path, code, "must not know");
    }
    passes("src/engine/peer/mod.rs", "use crate::wire::peer::Message;\nuse crate::engine::input::Input;");
    passes("src/wire/peer/decoder.rs", "//! [`hashing`](crate::hashing)\nuse super::message::Message;");
}

#[test]
fn machines_of_the_engine_that_know_each_other_are_caught() {
    for (path, code) in [
        ("src/engine/picker/mod.rs", "use super::peer_list::PeerList;"),
        ("src/engine/picker/order.rs", "use super::super::smart_ban::SmartBan;"),
        ("src/engine/smart_ban.rs", "use crate::engine::picker::PiecePicker;"),
        ("src/engine/tracker/mod.rs", "use crate::engine::{input::FetchId, tracker_server::Server};"),
        ("src/engine/peer_list.rs", "use super::session::Session;"),
        ("src/engine/peer/mod.rs", "use super::torrent::Torrent;"),
        ("src/engine/torrent/mod.rs", "use super::session::Session;"),
        ("src/engine/input.rs", "use super::picker::PiecePicker;"),
    ] {
        catches(path, code, "must not know engine/");
    }
    passes("src/engine/torrent/mod.rs", "use super::{peer::PeerConnection, picker::PiecePicker};");
    passes("src/engine/picker/order.rs", "use super::rarity::Rarity;\nuse super::super::order::TorrentId;");
    passes("src/engine/tracker/mod.rs", "use super::action::Action;\nuse crate::engine::input::FetchId;");
}

#[test]
fn a_name_that_a_floor_must_not_know_is_caught() {
    for (path, code) in [
        ("src/engine/session/mod.rs", "let m = HashMap::new();"),
        ("src/engine/session/mod.rs", "use std::{collections::BTreeMap, time::Instant};"),
        ("src/engine/session/mod.rs", "use std::sync::{Arc, Mutex};"),
        ("src/engine/session/mod.rs", "let x: Rc<RefCell<u8>>;"),
        ("src/engine/tracker/mod.rs", "let c = reqwest::Client::new();"),
        ("src/base/time.rs", "std::time::SystemTime::now()"),
        ("src/base/random.rs", "rand::rng()"),
        ("src/metainfo/mod.rs", "std::fs::read(path)"),
        ("src/wire/peer/stream.rs", "fn read(s: &mut TcpStream) {}"),
        ("src/wire/peer/stream.rs", "use bytes::Bytes;"),
        ("src/hashing/scheduler.rs", "std::thread::spawn(|| 1);"),
        ("src/hashing/scheduler.rs", "std::env::var(name)"),
        ("src/hashing/plan.rs", "std::fs::read(path)"),
        ("src/hashing/plan.rs", "unsafe { kernel() }"),
        ("src/sim/world.rs", "tokio::spawn(x)"),
        ("src/sim/world.rs", "let now = std::time::Instant::now();"),
        ("src/sim/world.rs", "use std::collections::HashSet;"),
        ("src/runtime/driver.rs", "let x = unsafe { *p };"),
        ("src/base/hash.rs", "#[allow(unsafe_code)] mod x;"),
    ] {
        catches(path, code, "must not name");
    }
    passes("src/engine/session/mod.rs", "use crate::base::time::Instant; // never std::time::Instant");
    passes("src/base/hash.rs", "#[cfg(test)]\nmod tests { use std::fs; }");
    passes("src/hashing/kernel/avx2.rs", "unsafe { kernel() }");
    passes("src/hashing/plan.rs", "std::env::var(name)");
}

#[test]
fn a_socket_or_a_file_opened_beside_its_door_is_caught() {
    for (path, code) in [
        ("src/runtime/net/listener.rs", "TcpListener::bind(address)"),
        ("src/runtime/net/dial.rs", "let socket = TcpSocket::new_v4()?;"),
        ("src/runtime/http.rs", "reqwest::Client::builder()"),
        ("src/cli/command/probe.rs", "UdpSocket::bind(any)"),
        ("src/runtime/disk/writer.rs", "File::open(path)"),
        ("src/runtime/disk/writer.rs", "OpenOptions::new().write(true)"),
        ("src/runtime/hash_files.rs", "rustix::fs::openat(dir, name, flags, mode)"),
        ("src/cli/output/json.rs", "File::create(path)"),
    ] {
        catches(path, code, "is for runtime/");
    }
    passes("src/runtime/net/door.rs", "TcpSocket::new_v6()");
    passes("src/runtime/net/door/mod.rs", "TcpListener::bind(address)");
    passes("src/runtime/disk/door.rs", "openat2(dir, name)");
    passes("src/cli/torrent_file.rs", "File::open(path)");
}

#[test]
fn whoever_depends_on_the_time_of_day_is_caught() {
    for (path, code) in [
        ("src/runtime/clock.rs", "std::time::SystemTime::now()"),
        ("src/runtime/disk/keep.rs", "modified.duration_since(UNIX_EPOCH)"),
        ("src/runtime/driver.rs", "rustix::time::clock_gettime(ClockId::RealtimeCoarse)"),
        ("src/cli/output/progress.rs", "use std::time::{Instant, SystemTime};"),
    ] {
        catches(path, code, "time of day");
    }
    passes("src/runtime/clock.rs", "use std::time::Instant;");
    passes("src/cli/command/create.rs", "SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)");
}

#[test]
fn a_file_that_is_long_or_vague_or_says_nothing_is_caught() {
    catches("src/base/hash.rs", &"let x = 1;\n".repeat(601), "lines");
    for path in ["src/engine/util.rs", "src/runtime/disk/helpers.rs", "tests/suite/common/mod.rs"] {
        catches(path, "", "no name");
    }
    let faults = check("src/base/hash.rs", "use std::fmt;\n");
    assert!(faults.iter().any(|fault| fault.contains("does not open with")), "{faults:?}");
}

fn catches(path: &str, code: &str, fault: &str) {
    let faults = check(path, &format!("//! A module.\n{code}\n"));
    assert!(faults.iter().any(|found| found.contains(fault)), "{path}: {code}: {faults:?}");
}

fn passes(path: &str, code: &str) {
    assert_eq!(check(path, &format!("//! A module.\n{code}\n")), [""; 0]);
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}
