//! What options mean to the program as a whole: which families of addresses are used, what the command line and the
//! environment say together, and what is said of mistakes in either.

use std::fs;
use std::time::Duration;

use crate::cli::{program, run_here, text};
use crate::harness::payload::Payload;
use crate::setting::{Setting, wait_for};
use crate::signals::send;

fn here() -> (tempfile::TempDir, Payload) {
    let work = tempfile::tempdir().expect("a folder for the test");
    let payload = Payload::single("here", 40_000, 16_384);
    payload.write_torrent(work.path(), None);
    (work, payload)
}

#[test]
fn with_6_nobody_is_dialled_over_ipv4_and_with_4_nobody_over_ipv6() {
    let setting = Setting::new(Payload::single("film", 100_000, 16_384));
    let seed = setting.seed(Duration::ZERO);
    // The setting names its peer at 127.0.0.1 itself.
    let said = setting.ends_with(5, &mut setting.start(&["-6", "--stall", "1s"]));
    assert!(said.contains("--peer 127.0.0.1: it has no IPv6 address, and -6 takes no other"), "{said}");
    assert_eq!(seed.record().connections, 0);
    let mut over_ipv4 = setting.start(&["-4", "--peer", "[::1]:9"]);
    setting.complete(&mut over_ipv4);
    let said = over_ipv4.stderr();
    assert!(said.contains("--peer ::1: it has no IPv4 address, and -4 takes no other"), "{said}");
}

#[test]
fn what_is_typed_beats_what_the_environment_says_also_where_only_one_can_be() {
    let (work, payload) = here();
    fs::write(work.path().join("here"), payload.bytes()).unwrap();
    for (variable, value, args) in [
        ("BTGET_KEEP_GOING", "1", &["--fail-fast"][..]),
        ("BTGET_FAIL_FAST", "1", &["--keep-going"]),
        ("BTGET_IPV4", "1", &["-6"]),
        ("BTGET_NO_STATE", "1", &["--state-dir", "remembered"]),
        ("BTGET_STATE_DIR", "elsewhere", &["--no-state"]),
        ("BTGET_NO_PART", "1", &["--part"]),
        ("BTGET_TIMEOUT", "soon", &["--timeout", "1m"]),
        ("BTGET_TIMEOUT", "", &[]),
        ("BTGET_IPV4", "0", &["-6"]),
    ] {
        let mut command = program(work.path(), &[&["here.torrent"], args].concat());
        let output = command.env(variable, value).output().expect("btget starts");
        assert_eq!(output.status.code(), Some(0), "{variable}={value} {args:?}: {}", text(&output.stderr));
    }
    assert!(work.path().join("remembered").exists() && !work.path().join("elsewhere").exists());
}

#[test]
fn a_mistake_in_the_environment_is_told_by_the_variables_name() {
    let (work, _) = here();
    for (variables, said) in [
        (&[("BTGET_TIMEOUT", "soon")][..], "invalid value 'soon' for BTGET_TIMEOUT: a duration is such as"),
        (&[("BTGET_NO_PART", "banana")], "invalid value 'banana' for BTGET_NO_PART"),
        (&[("BTGET_IPV4", "1"), ("BTGET_IPV6", "1")], "cannot be used with BTGET_IPV"),
    ] {
        let mut command = program(work.path(), &["here.torrent", "-q"]);
        let output = command.envs(variables.iter().copied()).output().expect("btget starts");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said) && !stderr.contains("--timeout"), "{stderr}");
    }
}

#[test]
fn of_an_option_that_is_given_twice_the_last_one_counts() {
    let (work, payload) = here();
    fs::create_dir(work.path().join("b")).unwrap();
    fs::write(work.path().join("b/here"), payload.bytes()).unwrap();
    let args = ["here.torrent", "-d", "a", "--dir", "b", "--timeout", "0.1s", "--timeout", "1m"];
    let twice = ["--no-state", "--no-state", "--slots=1", "--slots", "2"];
    let (code, _, stderr) = run_here(work.path(), &[&args[..], &twice].concat(), b"");
    assert_eq!(code, 0, "{stderr}");
    assert!(!work.path().join("a").exists());
}

#[test]
fn what_is_still_to_come_says_so_and_a_mistake_is_told_where_its_options_are_listed() {
    let (work, _) = here();
    for (args, said) in [
        (&["here.torrent", "--list"][..], "--list is not built yet"),
        (&["here.torrent", "-S"], "-S is not built yet"),
        (&["here.torrent", "--proxy", "socks5h://127.0.0.1:1"], "--proxy is not built yet"),
        (&["here.torrent", "--print={path}"], "--print is not built yet"),
        (&["create", "--foo"], "btget create --help"),
        (&["show", "-x", "here.torrent"], "btget show --help"),
        (&["help", "nosuch"], "no command is called nosuch"),
        (&["help", "scrape"], "not built yet"),
    ] {
        let (code, stdout, stderr) = run_here(work.path(), args, b"");
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(said) && !stderr.contains("similar"), "{args:?}: {stderr}");
    }
    for args in [&["help", "help"][..], &["help", "--help"], &["help", "create"]] {
        assert_eq!(run_here(work.path(), args, b"").0, 0, "{args:?}");
    }
}

#[test]
fn a_download_that_is_stopped_ends_with_a_word_on_what_is_here() {
    let setting = Setting::new(Payload::single("film", 4 << 20, 64 << 10));
    Payload::single("lonely", 40_000, 16_384).write_torrent(setting.work.path(), None);
    let seed = setting.seed(Duration::from_millis(10));
    let mut btget = setting.start(&["lonely.torrent"]);
    wait_for("a third", || seed.record().sent.len() > setting.blocks() / 3);
    send("-INT", &btget.child);
    let said = setting.ends_with(130, &mut btget);
    let last: Vec<&str> = said.lines().rev().take(3).collect();
    assert_eq!(last[0], "0 of 2 done", "{said}");
    assert_eq!(last[1], "lonely: stopped with no piece here yet", "{said}");
    assert!(last[2].starts_with("film: stopped; ") && last[2].ends_with("% is here and is kept"), "{said}");
}

#[test]
fn a_peer_that_cannot_be_connected_to_is_told_of_with_v_and_at_the_end() {
    let setting = Setting::new(Payload::single("film", 100_000, 16_384));
    let said = setting.ends_with(5, &mut setting.start(&["--stall", "2s"]));
    let refused = format!("film: cannot connect to {}: connection refused", setting.address);
    assert!(said.contains(&refused), "{said}");
    assert!(said.lines().last().unwrap().contains("no known peer can be connected to"), "{said}");
}

#[test]
fn a_file_where_the_folder_should_be_is_called_that() {
    let (work, _) = here();
    fs::write(work.path().join("file"), "mine").unwrap();
    let (code, _, stderr) = run_here(work.path(), &["here.torrent", "-d", "file"], b"");
    assert_eq!(code, 13, "{stderr}");
    assert!(stderr.contains("file: it is not a folder") && stderr.contains("--dir"), "{stderr}");
}
