//! The command line as a contract: exit codes, what goes to which stream, help, signals, hostile names. The
//! built program runs as a child process; where a terminal plays no part it also runs inside the test.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use btget::cli::output::stderr::Stderr;
use btget::cli::{self, env::Env};

use crate::harness::payload::Payload;
use crate::harness::program::Btget;

pub(crate) fn program(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_btget"));
    command.args(args).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"BTGET_") {
            command.env_remove(name);
        }
    }
    command.env("XDG_STATE_HOME", dir.join("state"));
    command
}

pub(crate) fn run(dir: &Path, args: &[&str]) -> Output {
    program(dir, args).output().expect("btget starts")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("btget writes UTF-8")
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics with it").write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs the program inside this process: exit code, standard output, standard error.
pub(crate) fn run_here(dir: &Path, args: &[&str], stdin: &[u8]) -> (u8, String, String) {
    let (stdout, stderr) = (Shared::default(), Shared::default());
    let code = cli::run(Env {
        args: ["btget"].iter().chain(args).map(OsString::from).collect(),
        dir: dir.to_owned(),
        state_home: None,
        stdin: Box::new(std::io::Cursor::new(stdin.to_vec())),
        stdout: Box::new(stdout.clone()),
        stderr: Stderr::over(Box::new(stderr.clone())),
        stderr_is_terminal: false,
        no_color: false,
        catches_signals: false,
    });
    let written = |stream: Shared| text(&stream.0.lock().expect("nobody panics with it"));
    (code.number(), written(stdout), written(stderr))
}

#[test]
fn mistakes_on_the_command_line_are_code_2_and_leave_standard_output_empty() {
    let work = tempfile::tempdir().unwrap();
    let payload = Payload::single("good", 40_000, 16_384);
    payload.write_torrent(work.path(), None);
    for (args, said) in [
        (&[][..], "no target"),
        (&["--nonsense"], "--nonsense"),
        (&["nosuch.torrent"], "no such file or command"),
        (&["god.torrent"], "did you mean good.torrent?"),
        (&["dmeo"], "did you mean demo?"),
        (&["scrape", "x"], "not built yet"),
        (&["magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567"], "not supported yet"),
        (&["0123456789abcdef0123456789abcdef01234567"], "not supported yet"),
        (&["good.torrent", "--timeout", "soon"], "a duration is such as"),
        (&["good.torrent", "--progress", "json"], "not built yet"),
        (&["good.torrent", "--transport", "tcp,utp"], "only tcp"),
        (&["good.torrent", "--encryption", "require"], "only off"),
        (&["good.torrent", "--tracker", "udp://t.example:1"], "not supported yet"),
        (&["good.torrent", "good.torrent", "-o", "x"], "several targets"),
        (&["."], "is a folder"),
        (&["-"], "names no target"),
        (&["demo", "--size", "0"], "--size"),
    ] {
        let (code, stdout, stderr) = run_here(work.path(), args, b"");
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(said) && stderr.starts_with("error: "), "{args:?}: {stderr}");
    }
}

#[test]
fn help_and_version_are_results() {
    let work = tempfile::tempdir().unwrap();
    for args in [&["--help"][..], &["help"], &["-h"]] {
        let output = run(work.path(), args);
        assert_eq!(output.status.code(), Some(0));
        let help = text(&output.stdout);
        for part in ["Usage:", "Examples:", "Where:", "Network:", "Giving up:", "btget show", "--peer"] {
            assert!(help.contains(part), "{part} is missing from:\n{help}");
        }
    }
    let output = run(work.path(), &["--version"]);
    assert!(text(&output.stdout).starts_with("btget 0."));
}

#[test]
fn show_prints_json_and_refuses_with_code_25() {
    let work = tempfile::tempdir().unwrap();
    Payload::single("good", 40_000, 16_384).write_torrent(work.path(), Some("http://t.example/announce"));
    let output = run(work.path(), &["show", "--json", "good.torrent"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["name"], "good");
    assert_eq!(json["num_pieces"], 3);
    assert_eq!(json["trackers"][0][0], "http://t.example/announce");

    fs::write(work.path().join("bad.torrent"), b"d4:infodee").unwrap();
    for args in [&["show", "--json", "bad.torrent"][..], &["show", "bad.torrent"], &["bad.torrent"]] {
        let output = run(work.path(), args);
        assert_eq!(output.status.code(), Some(25), "{args:?}");
        assert_eq!(text(&output.stdout), "");
        assert!(text(&output.stderr).contains("bad.torrent: "), "{}", text(&output.stderr));
    }
}

#[test]
fn a_hostile_name_is_shown_escaped_wherever_it_appears() {
    let work = tempfile::tempdir().unwrap();
    let name = "evil\x1b[2J\u{202e}name";
    let payload = Payload::single(name, 20_000, 16_384);
    fs::rename(payload.write_torrent(work.path(), None), work.path().join("x.torrent")).unwrap();
    for args in [&["show", "x.torrent"][..], &["x.torrent", "--timeout", "300ms", "-d", "out"]] {
        let output = run(work.path(), args);
        let shown = text(&output.stdout) + &text(&output.stderr);
        assert!(shown.contains("evil") && shown.contains("name"), "{shown}");
        assert!(!shown.contains(['\x1b', '\u{202e}']), "{shown:?}");
    }
    let output = run(work.path(), &["no\x1b[2Jfile"]);
    assert!(!text(&output.stderr).contains('\x1b'));
}

#[test]
fn a_timeout_is_code_5_and_nothing_is_redrawn_where_there_is_no_terminal() {
    let work = tempfile::tempdir().unwrap();
    Payload::single("lonely", 40_000, 16_384).write_torrent(work.path(), None);
    let began = Instant::now();
    let output = run(work.path(), &["lonely.torrent", "--timeout", "6s", "-d", "out", "--progress", "bar"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(text(&output.stdout), "");
    assert!(!output.stderr.contains(&b'\r') && !output.stderr.contains(&0x1b), "{stderr:?}");
    assert!(stderr.contains("lonely: waiting: no tracker and no peer is known"), "{stderr}");
    assert!(stderr.contains("--timeout"), "{stderr}");
}

#[test]
fn a_stall_is_code_5_and_one_bad_target_of_two_makes_it_partial_or_common() {
    let work = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        Payload::single(name, 40_000, 16_384).write_torrent(work.path(), None);
    }
    let (code, _, stderr) = run_here(work.path(), &["one.torrent", "two.torrent", "--stall", "300ms"], b"");
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains("0 of 2 done, 2 failed"), "{stderr}");

    let payload = Payload::single("three", 40_000, 16_384);
    payload.write_torrent(work.path(), None);
    fs::write(work.path().join("three"), payload.bytes()).unwrap();
    let list = b"three.torrent\none.torrent\n";
    let (code, _, stderr) = run_here(work.path(), &["-", "--timeout", "2s"], list);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("three: done, all"), "{stderr}");
}

#[test]
fn two_targets_never_go_to_the_same_place() {
    let work = tempfile::tempdir().unwrap();
    let torrent = |length, file: &str| {
        let path = Payload::single("same", length, 16_384).write_torrent(work.path(), None);
        fs::rename(path, work.path().join(file)).unwrap();
    };
    torrent(40_000, "a.torrent");
    torrent(50_000, "b.torrent");
    let (_, _, stderr) = run_here(work.path(), &["a.torrent", "b.torrent", "--timeout", "300ms"], b"");
    assert!(stderr.contains("b.torrent: another target already goes to same"), "{stderr}");
}

#[test]
fn what_is_there_is_verified_and_quiet_says_nothing() {
    let work = tempfile::tempdir().unwrap();
    let payload = Payload::single("here", 100_000, 16_384);
    payload.write_torrent(work.path(), None);
    fs::write(work.path().join("renamed"), payload.bytes()).unwrap();
    let output = run(work.path(), &["-q", "here.torrent", "-o", "renamed"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout) + &text(&output.stderr), "");
}

#[test]
fn somebody_elses_file_is_code_13_and_stays_as_it_is() {
    let work = tempfile::tempdir().unwrap();
    Payload::single("big.bin", 100_000, 16_384).write_torrent(work.path(), None);
    Payload::tree("few", &[("a", 1_000), ("b", 2_000)], 16_384).write_torrent(work.path(), None);
    for (target, file, length) in [
        ("big.bin.torrent", "big.bin", 1_000),
        ("big.bin.torrent", "big.bin", 100_000),
        ("big.bin.torrent", "big.bin", 200_000),
        ("few.torrent", "few/a", 1_000),
    ] {
        for flag in ["--part", "--no-part"] {
            let dir = tempfile::tempdir_in(work.path()).unwrap();
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, vec![b'x'; length]).unwrap();
            let before = fs::metadata(&path).unwrap().modified().unwrap();
            let out = dir.path().to_str().unwrap();
            let output = run(work.path(), &[target, "-d", out, flag, "--timeout", "30s"]);
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(13), "{file}, {length}: {stderr}");
            assert!(stderr.contains(path.to_str().unwrap()), "it names the file: {stderr}");
            assert!(stderr.contains("move it away") && stderr.contains("--dir"), "{stderr}");
            assert!(fs::read(&path).unwrap() == vec![b'x'; length], "{file}, {length}");
            assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
            assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is put beside it");
        }
    }
}

#[test]
fn an_option_may_come_from_the_environment_and_the_command_line_beats_it() {
    let work = tempfile::tempdir().unwrap();
    let payload = Payload::single("here", 40_000, 16_384);
    payload.write_torrent(work.path(), None);
    let folder = work.path().join("elsewhere");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("here"), payload.bytes()).unwrap();
    let run = |timeout: &str, args: &[&str]| {
        let mut command = program(work.path(), args);
        command.env("BTGET_DIR", &folder).env("BTGET_TIMEOUT", timeout).env("BTGET_NO_DHT", "1");
        command.output().expect("btget starts").status.code()
    };
    assert_eq!(run("60s", &["here.torrent"]), Some(0));
    assert_eq!(run("300ms", &["here.torrent", "-d", "."]), Some(5));
}

#[test]
fn an_interrupted_download_ends_soon_with_code_130() {
    let work = tempfile::tempdir().unwrap();
    let payload = Payload::single("lonely", 40_000, 16_384);
    let torrent = payload.write_torrent(work.path(), None);
    // The first line is said once signals are caught.
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut child = program(work.path(), &["-d", "out", "--progress", "line"])
            .arg(&torrent)
            .spawn()
            .expect("btget starts");
        let mut stderr = std::io::BufReader::new(child.stderr.take().expect("it is a pipe"));
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
        assert!(line.starts_with("lonely: "), "{line}");
        let began = Instant::now();
        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

#[test]
fn a_seed_that_is_interrupted_has_done_its_work() {
    let work = tempfile::tempdir().unwrap();
    let payload = Payload::single("seeded", 300_000, 16_384);
    let torrent = payload.write_torrent(work.path(), None);
    fs::write(work.path().join("seeded"), payload.bytes()).unwrap();
    let address = crate::harness::free_address([127, 0, 0, 1]);
    let port = address.port().to_string();
    let mut seed =
        program(work.path(), &["--seed", "-p", &port, "--progress", "line"]).arg(&torrent).spawn().unwrap();
    let out = work.path().join("out");
    let mut leech = Btget::download(work.path(), &torrent, &out, &["--peer", &address.to_string()]);
    leech.wait(Duration::from_secs(60)).expect("it downloads from the seed");
    assert_eq!(payload.difference_in(&out), None);
    assert!(leech.stderr().contains("seeded: done, "), "{}", leech.stderr());
    let killed = Command::new("kill").args(["-INT", &seed.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(seed.wait().unwrap().code(), Some(0));
}

#[test]
fn the_demo_downloads_verifies_and_cleans_up() {
    let work = tempfile::tempdir().unwrap();
    let mut command = program(work.path(), &["demo", "--size", "5M"]);
    let output = command.env("TMPDIR", work.path()).output().expect("btget starts");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let stdout = text(&output.stdout);
    assert!(stdout.starts_with("demo: 5 MiB in ") && stdout.ends_with("every byte identical\n"), "{stdout}");
    assert!(stderr.contains("demo.bin: done, 5 MiB"), "{stderr}");
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0, "nothing is left behind");
}
