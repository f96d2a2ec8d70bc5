//! `create`, `verify` and `edit` when times are hard: signals, little that is allowed, an environment that was meant for
//! something else. What they say is true, and they leave nothing behind.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::cli::{program, run_here, text};
use crate::create::{metainfo, write};
use crate::harness::payload::Payload;
use crate::setting::wait_for;

/// Runs the program after the shell has done what `before` says.
fn run_after(dir: &Path, before: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_btget")]).args(args);
    let output = command.current_dir(dir).output().expect("sh runs");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn few_open_files_are_enough_for_many_and_never_a_files_fault() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    for number in 0..1_500 {
        write(dir, &format!("t/{:02}/{number}", number % 90), format!("{number}").repeat(99).as_bytes());
    }
    assert_eq!(run_here(dir, &["create", "t", "--piece-length", "16K", "-o", "free"], b"").0, 0);
    for (limit, threads) in [("ulimit -n 64", "2"), ("ulimit -n 48", "64"), ("ulimit -Sn 40", "auto")] {
        let args = [
            "create",
            "t",
            "--piece-length",
            "16K",
            "-o",
            "poor",
            "--reproducible",
            "--check-threads",
            threads,
        ];
        let (code, _, stderr) = run_after(dir, limit, &args);
        assert_eq!(code, Some(0), "{limit}: {stderr}");
        assert_eq!(metainfo(dir, "poor").info, metainfo(dir, "free").info);
        fs::remove_file(dir.join("poor")).unwrap();
        let (code, stdout, stderr) =
            run_after(dir, limit, &["verify", "free", "--check-threads", threads, "-q"]);
        assert_eq!((code, stdout.as_str()), (Some(0), ""), "{limit}: {stderr}");
    }
    // With none to spare it is said what is wrong, and not of a file.
    let (code, stdout, stderr) = run_after(dir, "ulimit -n 14", &["verify", "free"]);
    assert!(code != Some(0) && stdout.is_empty() && stderr.contains("ulimit -n"), "{stdout}{stderr}");
}

#[test]
fn variables_that_are_meant_for_downloads_do_not_get_into_torrents() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    Payload::single("x", 50_000, 16_384).write_torrent(dir, Some("http://old.example/a"));
    write(dir, "data", b"data");
    let variables = "export BTGET_TRACKER=http://mine.example/passkey BTGET_WEBSEED=http://mine.example/ \
        BTGET_COMMENT=mine BTGET_SOURCE=mine BTGET_PRIVATE=1 BTGET_OUTPUT=video.iso BTGET_QUIET=1";
    let (code, _, stderr) = run_after(dir, variables, &["edit", "x.torrent", "--comment", "said"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let edited = metainfo(dir, "x.torrent");
    assert_eq!((edited.trackers.len(), edited.comment.as_deref()), (1, Some("said")));
    assert_eq!(edited.trackers[0], ["http://old.example/a"]);
    let (code, _, stderr) = run_after(dir, variables, &["create", "data"]);
    assert_eq!(code, Some(0), "{stderr}");
    let made = metainfo(dir, "data.torrent");
    assert!(made.trackers.is_empty() && made.web_seeds.is_empty() && !made.is_private);
    assert_eq!((made.comment, made.source), (None, None));
    assert!(!dir.join("video.iso").exists());
}

/// What is in a folder, sorted, but for the log of what is said.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("it can be read"));
    let mut names: Vec<String> = entries
        .map(|entry| text(entry.file_name().as_encoded_bytes()))
        .filter(|name| name != "log")
        .collect();
    names.sort();
    names
}

/// Starts the program, and sends it a signal `pause` after it has said something that `is_time` says yes to.
fn signalled(
    dir: &Path,
    args: &[&str],
    is_time: impl Fn(&str) -> bool,
    pause: Duration,
    signal: &str,
) -> (ExitStatus, String) {
    let log = dir.join("log");
    let mut command = program(dir, args);
    let mut child =
        command.stderr(fs::File::create(&log).expect("it can be made")).spawn().expect("it starts");
    wait_for("what it says", || is_time(&fs::read_to_string(&log).expect("it can be read")));
    std::thread::sleep(pause);
    // It may have ended already.
    let _ = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .stderr(std::process::Stdio::null())
        .status();
    let status = child.wait().expect("it is a child");
    (status, fs::read_to_string(&log).expect("it can be read"))
}

#[test]
fn a_signal_while_files_are_hashed_or_holes_looked_at_ends_it_and_leaves_nothing() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    // Holes alone, and so many pieces of them that there is time.
    fs::File::create(dir.join("holes")).unwrap().set_len(1_500_000 << 20).unwrap();
    let create = ["create", "holes", "--piece-length", "1M"];
    // On a busy machine the signal may come too late.
    let in_time = |args: &[&str], signal: &str, is_time: fn(&str) -> bool, late: &dyn Fn()| {
        for _ in 0..20 {
            let ended = signalled(dir, args, is_time, Duration::ZERO, signal);
            if !ended.0.success() {
                return ended;
            }
            late();
        }
        panic!("no signal came in time");
    };
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let remove = || fs::remove_file(dir.join("holes.torrent")).expect("it was made");
        let (status, said) = in_time(&create, signal, |said| said.contains("hashing"), &remove);
        assert_eq!(status.code(), Some(code), "{said}");
        assert!(said.contains("stopped before everything was read"), "{said}");
        assert_eq!(names(dir), ["holes"]);
    }
    assert_eq!(run_here(dir, &create, b"").0, 0);
    let verify = ["verify", "holes.torrent"];
    let (status, said) = in_time(&verify, "-INT", |said| said.contains("verifying"), &|| ());
    assert_eq!(status.code(), Some(130), "{said}");
}

#[test]
fn a_signal_at_any_moment_leaves_a_whole_torrent_or_none() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    for number in 0..2_000 {
        write(dir, &format!("t/{number}"), b"some data");
    }
    let create = ["create", "t", "--piece-length", "16K"];
    let comment = "long ".repeat(100_000);
    let edit = ["edit", "edited", "--comment", &comment[..100_000]];
    assert_eq!(run_here(dir, &["create", "t", "-o", "edited"], b"").0, 0);
    for round in 0..24_u64 {
        let args = if round % 2 == 0 { &create[..] } else { &edit };
        let pause = Duration::from_micros(round * 1_500);
        let (status, said) =
            signalled(dir, args, |_| true, pause, if round % 4 < 2 { "-INT" } else { "-TERM" });
        if fs::remove_file(dir.join("t.torrent")).is_ok() {
            assert_eq!(status.code(), Some(0), "{said}");
        }
        assert_eq!(names(dir), ["edited", "t"], "round {round}: {status}, {said}");
        metainfo(dir, "edited");
    }
}

#[test]
fn a_limit_on_the_length_of_files_is_an_error_that_leaves_nothing() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    fs::File::create(dir.join("data")).unwrap().set_len(40 << 20).unwrap();
    assert_eq!(run_here(dir, &["create", "data", "-o", "short", "--piece-length", "4M"], b"").0, 0);
    let comment = "long ".repeat(1_000);
    for args in [&["create", "data", "--piece-length", "16K"][..], &["edit", "short", "--comment", &comment]]
    {
        let (code, _, stderr) = run_after(dir, "ulimit -f 1", args);
        assert_eq!(code, Some(17), "{stderr}");
        assert!(stderr.contains("File too large"), "{stderr}");
        assert_eq!(names(dir), ["data", "short"]);
    }
    assert_eq!(metainfo(dir, "short").comment, None);
}

#[test]
fn a_name_of_dots_is_warned_of_and_verbose_names_all_that_is_left_out() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    write(dir, "t/...", b"dots");
    write(dir, "t/..a", b"no dots alone");
    for number in 10..50 {
        std::os::unix::fs::symlink("elsewhere", dir.join(format!("t/link{number}"))).unwrap();
    }
    let (code, _, stderr) = run_here(dir, &["create", "t", "-o", "few"], b"");
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("some clients refuse a torrent with this name: ...\n"), "{stderr}");
    assert!(!stderr.contains("..a") && !stderr.contains("link49"), "{stderr}");
    assert!(stderr.contains("left out: 20 more; -v names all"), "{stderr}");
    let (_, _, stderr) = run_here(dir, &["create", "t", "-o", "all", "-v"], b"");
    assert!(stderr.contains("left out: link49: a symbolic link") && !stderr.contains(" more"), "{stderr}");
}
