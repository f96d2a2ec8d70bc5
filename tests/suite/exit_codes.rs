//! Every exit code, provoked with the real program: scripts rely on the numbers. README's table, the program's own
//! list and the tests here name the same codes.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};

use btget::cli::exit_code::ExitCode;

use crate::cli::{program, run, text};
use crate::harness::free_address;
use crate::harness::payload::Payload;
use crate::http_server::HttpServer;
use crate::setting::wait_for;

const PIECE: usize = 16_384;

/// A folder with torrents: `good` is here, of `lonely` nothing is, nor has it a tracker; `bad` is none.
fn folder() -> tempfile::TempDir {
    let work = tempfile::tempdir().expect("a folder for the test");
    let good = Payload::single("good", 40_000, PIECE);
    good.write_torrent(work.path(), None);
    fs::write(work.path().join("good"), good.bytes()).expect("a file can be written");
    Payload::single("lonely", 40_000, PIECE).write_torrent(work.path(), None);
    fs::write(work.path().join("bad.torrent"), b"d4:infodee").expect("a file can be written");
    work
}

fn ends_with(code: ExitCode, output: &Output) -> String {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code.number().into()), "{stderr}");
    stderr
}

/// Provokes one code; says what it is that was provoked.
type Provocation = fn(&Path, ExitCode);

/// Every code that can occur, and what brings it about.
const TABLE: &[(ExitCode, Provocation)] = &[
    (ExitCode::Ok, |work, code| {
        ends_with(code, &run(work, &["good.torrent"]));
    }),
    (ExitCode::Error, |work, code| {
        // Two failures with different codes.
        ends_with(code, &run(work, &["bad.torrent", "lonely.torrent", "--timeout", "300ms"]));
    }),
    (ExitCode::Usage, |work, code| {
        ends_with(code, &run(work, &["good.torrent", "--nonsense"]));
        let said = ends_with(code, &run(work, &[""]));
        assert!(said.starts_with("error: a target is empty"), "{said}");
    }),
    (ExitCode::Partial, |work, code| {
        let said = ends_with(code, &run(work, &["good.torrent", "bad.torrent"]));
        assert!(said.contains("1 of 2 done, 1 failed"), "{said}");
    }),
    (ExitCode::Network, |work, code| {
        let port = free_address(Ipv4Addr::LOCALHOST).port();
        let url = format!("http://127.0.0.1:{port}/x.torrent");
        ends_with(code, &run(work, &[&url]));
    }),
    (ExitCode::Stalled, |work, code| {
        ends_with(code, &run(work, &["lonely.torrent", "--timeout", "300ms"]));
        ends_with(code, &run(work, &["lonely.torrent", "--stall", "300ms"]));
    }),
    (ExitCode::DiskFull, |work, code| {
        ends_with(code, &run(work, &["lonely.torrent", "--reserve", "1000000T"]));
    }),
    (ExitCode::Tracker, |work, code| {
        let reason = "not\\here \x1b[2J \"no\"";
        let answer = format!("d14:failure reason{}:{reason}e", reason.len());
        let tracker = HttpServer::start(Ipv4Addr::LOCALHOST, move |_, _| Some(answer.clone().into_bytes()));
        let said = ends_with(code, &run(work, &["lonely.torrent", "--tracker", &tracker.announce_url()]));
        // Escaped, and only once.
        assert!(said.contains("refused: not\\here \\u{1b}[2J \"no\"\n"), "{said}");
    }),
    (ExitCode::Busy, |work, code| {
        let log = fs::File::create(work.join("log")).expect("a file can be made");
        let mut first = program(work, &["lonely.torrent"]).stderr(log).spawn().expect("btget starts");
        let said = || fs::read_to_string(work.join("log")).unwrap_or_default();
        wait_for("the first one", || said().contains("lonely: waiting"));
        ends_with(code, &run(work, &["lonely.torrent", "--timeout", "20s"]));
        first.kill().and_then(|()| first.wait()).expect("it runs");
    }),
    (ExitCode::Exists, |work, code| {
        fs::write(work.join("lonely"), [b'x'; 40_000]).expect("a file can be written");
        ends_with(code, &run(work, &["lonely.torrent"]));
    }),
    (ExitCode::Io, |work, code| {
        ends_with(code, &run(work, &["lonely.torrent", "-d", "good/below-a-file"]));
    }),
    (ExitCode::BadTorrent, |work, code| {
        ends_with(code, &run(work, &["bad.torrent"]));
    }),
    (ExitCode::Corrupt, |work, code| {
        fs::write(work.join("lonely"), [b'x'; 40_000]).expect("a file can be written");
        ends_with(code, &run(work, &["verify", "lonely.torrent"]));
    }),
    (ExitCode::Interrupted, |work, code| stopped_by("-INT", work, code)),
    (ExitCode::Terminated, |work, code| stopped_by("-TERM", work, code)),
];

/// A signal beats 3: one of these targets is done when it comes.
fn stopped_by(signal: &str, work: &Path, code: ExitCode) {
    let log = fs::File::create(work.join("log")).expect("a file can be made");
    let mut child = program(work, &["good.torrent", "lonely.torrent", "--progress", "line"])
        .stderr(log)
        .spawn()
        .expect("btget starts");
    let said = || fs::read_to_string(work.join("log")).unwrap_or_default();
    wait_for("one target", || said().contains("good: done"));
    let killed = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    let status = child.wait().expect("it is a child");
    assert_eq!(status.code(), Some(code.number().into()), "{}", said());
}

#[test]
fn every_code_is_what_it_is_said_to_be() {
    for (code, provoke) in TABLE {
        let work = folder();
        println!("{code:?}");
        provoke(work.path(), *code);
    }
}

#[test]
fn readme_the_program_and_the_tests_name_the_same_codes() {
    let readme = include_str!("../../README.md");
    let table = readme.split("| exit code | when |").nth(1).expect("README has a table of exit codes");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let told: BTreeSet<u8> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|codes| codes.split(','))
        .map(|code| code.trim().parse().expect("a number"))
        .collect();
    let ours: BTreeSet<u8> = ExitCode::ALL.iter().map(|code| code.number()).collect();
    let provoked: BTreeSet<u8> = TABLE.iter().map(|(code, _)| code.number()).collect();
    assert_eq!(told, ours);
    assert_eq!(provoked, ours);
}

#[test]
fn with_fail_fast_the_first_failure_ends_it_and_what_was_not_begun_counts_for_nothing() {
    let work = folder();
    fs::write(work.path().join("lonely"), [b'x'; 40_000]).expect("a file can be written");
    Payload::single("waits", 40_000, PIECE).write_torrent(work.path(), None);
    let run = |words: &[&str]| run(work.path(), &[words, &["-j", "1", "--timeout", "60s"]].concat());
    let said = ends_with(ExitCode::Exists, &run(&["lonely.torrent", "waits.torrent", "--fail-fast"]));
    assert!(said.contains("0 of 2 done, 1 failed"), "{said}");
    let words = ["good.torrent", "lonely.torrent", "waits.torrent", "--fail-fast"];
    let said = ends_with(ExitCode::Partial, &run(&words));
    assert!(said.contains("1 of 3 done, 1 failed"), "{said}");
    // Without it the others are gone on with.
    let said = ends_with(ExitCode::Partial, &run(&["bad.torrent", "good.torrent", "--keep-going"]));
    assert!(said.contains("good: done"), "{said}");
}
