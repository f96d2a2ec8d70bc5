//! The rules. Each takes a file's path and text and says what is wrong with it, so that a test can show
//! that a small offender is caught.

use super::source::{names, paths, strip, without_tests};

/// Every top-level folder of `src`, and its floor.
const FLOORS: [(&str, u32); 8] = [
    ("base", 0),
    ("metainfo", 1),
    ("wire", 1),
    ("hashing", 1),
    ("engine", 2),
    ("runtime", 3),
    ("sim", 3),
    ("cli", 4),
];

/// What every part of the engine may know.
const CONTRACT: [&str; 8] =
    ["input", "action", "order", "notice", "settings", "snapshot", "disk_job", "timers"];

/// The folders that decide: the same inputs give the same outputs.
const PURE: [&str; 5] = ["base", "metainfo", "wire", "hashing", "engine"];

/// Names of the outside world.
const OUTSIDE: [&str; 22] = [
    "tokio",
    "reqwest",
    "axum",
    "socket2",
    "rustix",
    "indicatif",
    "clap",
    "bytes::",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "Mutex",
    "RwLock",
    "Condvar",
    "mpsc",
    "thread::spawn",
    "thread::sleep",
    "rand::rng",
    "thread_rng",
    "StdRng",
    "println",
];

/// Paths of the outside world.
const OUTSIDE_STD: [&str; 6] =
    ["std::fs", "std::thread", "std::env", "std::process", "std::os", "std::time::Instant"];

/// What makes a socket or a client of the network.
const SOCKETS: [&str; 12] = [
    "TcpStream::connect*",
    "TcpListener::bind",
    "TcpSocket::new*",
    "UdpSocket::bind",
    "Socket::new*",
    "UnixStream::connect",
    "UnixListener::bind",
    "Client::new",
    "Client::builder",
    "ClientBuilder",
    "reqwest::get",
    "rustix::net::socket*",
];

/// What opens a file.
const OPENERS: [&str; 6] =
    ["File::open", "File::create*", "File::options", "OpenOptions", "openat", "openat2"];

/// Files outside of the payload's door that may open files, none of them payload but the demo's own.
const OPENS_FILES: [&str; 5] = [
    "src/cli/torrent_file",
    "src/cli/new_file",
    "src/cli/config_file",
    "src/cli/command/demo",
    "src/runtime/state/folder",
];

/// What tells the time of day, which people and servers set back and forth: whatever waits or measures counts from
/// a start of its own instead.
const WALL_CLOCK: [&str; 5] = ["SystemTime", "UNIX_EPOCH", "ClockId::Realtime*", "chrono", "OffsetDateTime"];

/// The date that is written into a torrent is one for people.
const TELLS_DATES: [&str; 1] = ["src/cli/command/create.rs"];

/// Where `unsafe` may stand.
const UNSAFE: &str = "src/hashing/kernel/";

/// A variable of the environment chooses the hash kernel: any of them gives the same digests.
const READS_ENVIRONMENT: &str = "src/hashing/plan.rs";

const LINES: usize = 600;
const VAGUE: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "misc", "manager", "managers", "stuff"];
const TOP_LEVEL: [&str; 8] =
    ["Cargo.toml", "Cargo.lock", "src", "tests", "fixtures", "README.md", "LICENSE", "benches"];

/// All rules about one file.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let mut faults = file_rules(path, text);
    if path.starts_with("src/") {
        let code = strip(text);
        faults.extend(floors(path, &code));
        faults.extend(engine_parts(path, &code));
        let code = without_tests(path, &code);
        faults.extend(forbidden_names(path, code));
        faults.extend(doors(path, code));
        faults.extend(wall_clock(path, code));
    }
    faults.into_iter().map(|fault| format!("{path}: {fault}")).collect()
}

/// Short files that say what they are, under names that say something.
fn file_rules(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > LINES {
        faults.push(format!("{lines} lines, more than {LINES}"));
    }
    // The name of a file of tests says what it holds.
    let is_told = text.starts_with("//!") || text.starts_with("#![doc") || path.ends_with("/tests.rs");
    if !is_told {
        faults.push("does not open with //!".to_owned());
    }
    let vague = path.split(['/', '.']).find(|name| VAGUE.contains(name));
    faults.extend(vague.map(|name| format!("{name} is no name for anything")));
    faults
}

/// `crate::` only from a strictly lower floor or from the same top-level folder.
fn floors(path: &str, code: &str) -> Vec<String> {
    let Some((own, floor)) = FLOORS.into_iter().find(|(name, _)| in_folder(path, name)) else {
        return Vec::new();
    };
    let outside = used_folders(path, code).into_iter().filter(|name| name != own);
    let too_high = outside.filter(|name| {
        FLOORS.iter().find(|(other, _)| other == name).is_none_or(|(_, other)| *other >= floor)
    });
    too_high.map(|name| format!("{own} must not know crate::{name}")).collect()
}

/// A part of the engine knows the contract, itself and what is below it: session, torrent, peer, and the
/// machines that never know each other.
fn engine_parts(path: &str, code: &str) -> Vec<String> {
    let Some(own) = path.strip_prefix("src/engine/").and_then(|path| path.split(['/', '.']).next()) else {
        return Vec::new();
    };
    if own == "mod" {
        return Vec::new();
    }
    let used = paths(code).into_iter().filter_map(|used| match depth_of_supers(&used) {
        0 => (used.get(1).is_some_and(|name| name == "engine")).then(|| used.get(2).cloned()).flatten(),
        supers => (supers + 1 == module_depth(path)).then(|| used.get(supers).cloned()).flatten(),
    });
    used.filter(|name| name != own && name != "*" && name.starts_with(char::is_lowercase))
        .filter(|name| rank(name) > 0 && rank(name) >= rank(own))
        .map(|name| format!("engine/{own} must not know engine/{name}"))
        .collect()
}

/// How far up a part of the engine stands; the contract stands at 0, for everyone.
fn rank(part: &str) -> u32 {
    match part {
        "session" => 4,
        "torrent" => 3,
        "peer" => 2,
        part if CONTRACT.contains(&part) => 0,
        _ => 1,
    }
}

/// What must not be named on a floor.
fn forbidden_names(path: &str, code: &str) -> Vec<String> {
    let mut forbidden: Vec<&str> = Vec::new();
    let is_pure = PURE.iter().any(|name| in_folder(path, name));
    if is_pure || in_folder(path, "sim") {
        forbidden.extend(OUTSIDE);
        let reads_environment = path == READS_ENVIRONMENT;
        forbidden.extend(OUTSIDE_STD.into_iter().filter(|name| !(reads_environment && *name == "std::env")));
    }
    if in_folder(path, "engine") || in_folder(path, "sim") {
        forbidden.extend(["HashMap", "HashSet"]);
    }
    if in_folder(path, "engine") {
        forbidden.extend(["RefCell", "Rc"]);
    }
    if !path.starts_with(UNSAFE) {
        forbidden.extend(["unsafe", "unsafe_code"]);
    }
    let used: Vec<String> = paths(code).iter().map(|path| path.join("::") + "::").collect();
    let is_used = |name: &str| {
        names(code, name)
            || used.iter().any(|path| path.starts_with(&format!("{}::", name.trim_end_matches(':'))))
    };
    forbidden.into_iter().filter(|name| is_used(name)).map(|name| format!("must not name {name}")).collect()
}

/// Sockets and payload files are made behind one door each.
fn doors(path: &str, code: &str) -> Vec<String> {
    let is_behind = |door: &str| path.starts_with(&format!("{door}/")) || path == format!("{door}.rs");
    let mut faults = Vec::new();
    if !is_behind("src/runtime/net/door") {
        let made = SOCKETS.into_iter().filter(|name| names(code, name));
        faults.extend(made.map(|name| format!("{name} is for runtime/net/door")));
    }
    let opens = in_folder(path, "runtime") || in_folder(path, "cli");
    if opens && !is_behind("src/runtime/disk/door") && !OPENS_FILES.iter().any(|place| is_behind(place)) {
        let opened = OPENERS.into_iter().filter(|name| names(code, name));
        faults.extend(opened.map(|name| format!("{name} is for runtime/disk/door")));
    }
    faults
}

/// Nothing depends on the time of day.
fn wall_clock(path: &str, code: &str) -> Vec<String> {
    if TELLS_DATES.contains(&path) {
        return Vec::new();
    }
    let read = WALL_CLOCK.into_iter().filter(|name| names(code, name));
    read.map(|name| format!("{name} is the time of day, which may be set")).collect()
}

/// Only what belongs there lies at the top.
pub(super) fn top_level(name: &str) -> Option<String> {
    let is_known = TOP_LEVEL.contains(&name) || name.starts_with('.') || name == "target";
    (!is_known).then(|| format!("{name} does not belong at the top level"))
}

fn in_folder(path: &str, folder: &str) -> bool {
    path.strip_prefix("src/")
        .and_then(|path| path.strip_prefix(folder))
        .is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// The top-level folders that `code` names, by `crate::` or by as many `super::` as it takes.
fn used_folders(path: &str, code: &str) -> Vec<String> {
    let is_floor = |name: &str| FLOORS.iter().any(|(floor, _)| *floor == name);
    paths(code)
        .into_iter()
        .filter_map(|used| match depth_of_supers(&used) {
            0 => (used[0] == "crate").then(|| used.get(1).cloned()).flatten(),
            supers if supers >= module_depth(path) => used.get(supers).cloned().filter(|name| is_floor(name)),
            _ => None,
        })
        .collect()
}

fn depth_of_supers(path: &[String]) -> usize {
    path.iter().take_while(|segment| *segment == "super").count()
}

/// How many `super::` lead from a file to the crate's root.
fn module_depth(path: &str) -> usize {
    let module = path.trim_start_matches("src/").trim_end_matches(".rs");
    module.trim_end_matches("/mod").split('/').count()
}
