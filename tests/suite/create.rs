//! Torrents made from files, and files compared with torrents: `create`, `verify`, `edit`, `magnet`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use btget::base::limit;
use btget::metainfo::Metainfo;

use crate::cli::{run_here, text};
use crate::disk_faults::skipped;
use crate::harness::payload::Payload;

pub(crate) fn write(dir: &Path, path: &str, bytes: &[u8]) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().expect("it is below a folder")).expect("a folder can be made");
    fs::write(path, bytes).expect("the test's folder takes a file");
}

pub(crate) fn metainfo(dir: &Path, file: &str) -> Metainfo {
    Metainfo::from_bytes(&fs::read(dir.join(file)).expect("it is there")).expect("it is a torrent")
}

pub(crate) fn json(dir: &Path, args: &[&str], code: u8) -> serde_json::Value {
    let (found, stdout, stderr) = run_here(dir, args, b"");
    assert_eq!(found, code, "{args:?}: {stderr}");
    serde_json::from_str(&stdout).expect("it is JSON")
}

#[test]
fn a_folder_becomes_a_torrent_that_says_what_was_asked_for() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    write(dir, "tree/b/two", &[2; 40_000]);
    write(dir, "tree/a", &[1; 30_000]);
    write(dir, "tree/empty", b"");
    write(dir, "tree/c.tmp", b"x");
    write(dir, "tree/cache/c", b"x");
    let args = [
        "create",
        "tree",
        "-t",
        "http://a.example/1,http://a.example/2",
        "-t",
        "udp://b.example:80",
        "-w",
        "http://w.example/",
        "--private",
        "--source",
        "SRC",
        "--comment",
        "said",
        "-x",
        "*.tmp",
        "-x",
        "cache",
        "--piece-length",
        "32K",
    ];
    let (code, stdout, stderr) = run_here(dir, &args, b"");
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    let made = metainfo(dir, "tree.torrent");
    assert_eq!(made.name, "tree");
    let files: Vec<(&str, u64)> = made.files.iter().map(|file| (file.path.as_str(), file.length)).collect();
    assert_eq!(files, [("a", 30_000), ("b/two", 40_000), ("empty", 0)]);
    assert_eq!(made.trackers.len(), 2);
    assert_eq!(made.trackers[0], ["http://a.example/1", "http://a.example/2"]);
    assert_eq!(made.web_seeds, ["http://w.example/"]);
    assert_eq!((made.source.as_deref(), made.comment.as_deref()), (Some("SRC"), Some("said")));
    assert!(made.is_private && made.creation_date.is_some());
    assert!(made.created_by.unwrap().starts_with("btget/"));
    assert_eq!((made.layout.piece_length(), made.layout.piece_count()), (32_768, 3));
    let hash = made.info_hashes.v1.unwrap().to_string();
    assert!(stderr.contains(&hash) && stderr.contains("3 pieces of 32 KiB"), "{stderr}");

    let (code, stdout, stderr) = run_here(dir, &["verify", "tree.torrent"], b"");
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stdout, "ok         tree/a\nok         tree/b/two\nok         tree/empty\n");
    let (code, stdout, _) = run_here(dir, &["magnet", "tree.torrent"], b"");
    assert_eq!(code, 0);
    assert!(stdout.starts_with(&format!("magnet:?xt=urn:btih:{hash}&dn=tree&tr=http%3A%2F%2Fa")), "{stdout}");
    assert_eq!(json(dir, &["magnet", "--json", "tree.torrent"], 0)["magnet"], stdout.trim_end());
}

#[test]
fn a_reproducible_torrent_has_exactly_these_bytes() {
    let work = tempfile::tempdir().unwrap();
    write(work.path(), "abc", b"abc");
    let (code, stdout, stderr) =
        run_here_bytes(work.path(), &["create", "abc", "--reproducible", "-o", "-", "-t", "http://t.ex/a"]);
    assert_eq!(code, 0, "{stderr}");
    let digest = b"\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d";
    let start = b"d8:announce13:http://t.ex/a4:infod6:lengthi3e4:name3:abc12:piece lengthi16384e6:pieces20:";
    assert_eq!(stdout, [&start[..], digest, b"ee"].concat());
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 1, "nothing was written");
}

fn run_here_bytes(dir: &Path, args: &[&str]) -> (u8, Vec<u8>, String) {
    let output = crate::cli::run(dir, args);
    (output.status.code().expect("it ends by itself") as u8, output.stdout, text(&output.stderr))
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    write(dir, "data", b"data");
    write(dir, "data.torrent", b"mine");
    let (code, _, stderr) = run_here(dir, &["create", "data"], b"");
    assert_eq!(code, 13, "{stderr}");
    assert!(stderr.contains("--output"), "{stderr}");
    assert_eq!(fs::read(dir.join("data.torrent")).unwrap(), b"mine");
    assert_eq!(run_here(dir, &["create", "data", "-o", "other.torrent"], b"").0, 0);
    assert_eq!(run_here(dir, &["edit", "other.torrent", "--comment", "x", "-o", "data.torrent"], b"").0, 13);
    assert_eq!(fs::read(dir.join("data.torrent")).unwrap(), b"mine");
}

#[test]
fn an_output_that_cannot_be_written_is_told_before_anything_is_read() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    // What is read of this ends with another error.
    use std::os::unix::ffi::OsStrExt as _;
    fs::create_dir(dir.join("huge")).unwrap();
    fs::write(dir.join("huge").join(std::ffi::OsStr::from_bytes(b"no\xff")), b"x").unwrap();
    let long = "x".repeat(300);
    for output in ["nodir/x.torrent", "newdir/", long.as_str()] {
        let (code, _, stderr) = run_here(dir, &["create", "huge", "-o", output], b"");
        assert_eq!(code, 17, "{stderr}");
        assert!(stderr.contains(output.trim_end_matches('/')), "{stderr}");
    }
    assert_eq!(fs::read_dir(dir).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_torrent_that_would_be_too_long_is_refused_with_a_length_that_works() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    fs::File::create(dir.join("huge")).unwrap().set_len(30 << 30).unwrap();
    let (code, _, stderr) = run_here(dir, &["create", "huge", "--piece-length", "16K"], b"");
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("32 MiB") && stderr.contains("--piece-length 32K"), "{stderr}");
    assert_eq!(fs::read_dir(dir).unwrap().count(), 1, "nothing is left behind");
    assert_eq!(run_here(dir, &["create", "huge", "--piece-length", "32K"], b"").0, 0);
    assert_eq!(run_here(dir, &["show", "huge.torrent"], b"").0, 0);
}

#[test]
fn a_hash_kernel_that_is_not_known_is_an_error() {
    let work = tempfile::tempdir().unwrap();
    write(work.path(), "data", b"data");
    let mut command = Command::new(env!("CARGO_BIN_EXE_btget"));
    command.args(["create", "data"]).current_dir(work.path()).env("BTGET_HASH_KERNEL", "typo");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no kernel \"typo\""), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_made_is_said() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    fs::create_dir(dir.join("empty")).unwrap();
    write(dir, "data", b"data");
    use std::os::unix::ffi::OsStrExt as _;
    fs::create_dir(dir.join("odd")).unwrap();
    fs::write(dir.join("odd").join(std::ffi::OsStr::from_bytes(b"no\xff")), b"x").unwrap();
    let deep: Vec<String> = (1..=limit::PATH_DEPTH + 1).map(|number| number.to_string()).collect();
    write(dir, &format!("deep/{}/file", deep.join("/")), b"x");
    write(dir, "tree/a", b"x");
    assert_eq!(run_here(dir, &["create", "tree"], b"").0, 0);
    for (args, code, said) in [
        (&["create", "nosuch"][..], 17, "nosuch"),
        (&["create", "empty"], 2, "no data"),
        (&["create", "odd"], 17, "no\\xff: a torrent's names are UTF-8"),
        (&["create", "data", "--v2"], 2, "not built yet"),
        (&["create", "data", "--hybrid"], 2, "not built yet"),
        (&["create", "/dev/null"], 17, "a device"),
        (&["create", "data", "-o", "nodir/x.torrent"], 17, "nodir/x.torrent"),
        (&["create", "data", "-o", "empty"], 13, "empty is a folder"),
        (&["create", "data", "-o", "/dev/null"], 13, "/dev/null is a device"),
        (&["create", "deep"], 2, "too many folders: 1/2/"),
        (&["verify", "tree.torrent", "tree/a"], 17, "this torrent is a folder"),
        (&["edit", "data"], 2, "nothing to change"),
        (&["edit", "data", "--comment", "x"], 25, "data"),
        (&["verify", "data"], 25, "data"),
        (&["verify", "nosuch.torrent"], 17, "nosuch.torrent"),
        (&["magnet", "data"], 25, "data"),
    ] {
        let (found, stdout, stderr) = run_here(dir, args, b"");
        assert_eq!((found, stdout.as_str()), (code, ""), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(said), "{args:?}: {stderr}");
    }
    assert_eq!(run_here(dir, &["create", "data", "--v1"], b"").0, 0);
}

#[test]
fn a_tree_of_awkward_names_and_special_files_goes_there_and_back() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    for number in 0..10_000 {
        write(dir, &format!("t/many/{:03}/{number}", number % 250), format!("{number}").repeat(9).as_bytes());
    }
    let kept = [
        "a b",
        "-x",
        "~",
        "#%?&",
        "it's \"so\"",
        "*",
        "日本語",
        "e\u{301}",
        ".hidden",
        "x.part",
        "x",
        "$(a)",
    ];
    kept.iter().for_each(|name| write(dir, &format!("t/{name}"), name.as_bytes()));
    let changed = ["line\nend", "esc\x1b[2J", "back\\slash", "turn\u{202e}ed"];
    changed.iter().for_each(|name| write(dir, &format!("t/{name}"), name.as_bytes()));
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.join("t/pipe"), rustix::fs::Mode::RUSR).unwrap();
    std::os::unix::fs::symlink("/etc", dir.join("t/link")).unwrap();
    let (code, _, stderr) = run_here(dir, &["create", "t", "--reproducible"], b"");
    assert_eq!(code, 0, "{stderr}");
    for said in ["left out: link: a symbolic link", "left out: pipe: a named pipe"] {
        assert!(stderr.contains(said), "{stderr}");
    }
    for said in ["line\\nend", "esc\\x1b[2J", "back\\\\slash", "turn\\u{202e}ed"] {
        assert!(
            stderr.contains(&format!("warning: clients change this name, for it could do harm: {said}")),
            "{stderr}"
        );
    }
    assert!(!stderr.contains('\x1b'));
    let made = metainfo(dir, "t.torrent");
    assert_eq!(made.files.len(), 10_000 + kept.len() + changed.len());

    let (first, _, _) = run_here(dir, &["create", "t", "--reproducible", "-o", "again"], b"");
    assert_eq!(first, 0);
    assert_eq!(fs::read(dir.join("again")).unwrap(), fs::read(dir.join("t.torrent")).unwrap());

    for place in [&["verify", "t.torrent", "-q"][..], &["verify", "t.torrent", "t", "-q"]] {
        assert_eq!(run_here(dir, place, b""), (0, String::new(), String::new()), "found by its own names");
    }
    changed.iter().for_each(|name| fs::remove_file(dir.join("t").join(name)).unwrap());
    assert_eq!(run_here(dir, &["create", "t", "-o", "kept"], b"").0, 0);
    assert_eq!(run_here(dir, &["verify", "kept", "-q"], b""), (0, String::new(), String::new()));
}

#[test]
fn a_file_that_grows_meanwhile_is_an_error() {
    use std::io::Write as _;
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    write(dir, "t/steady", &[1; 100_000]);
    write(dir, "t/growing", &vec![2; 4 << 20]);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut file = fs::File::options().append(true).open(dir.join("t/growing")).unwrap();
        let is_done = &is_done;
        scope.spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                file.write_all(b"more").unwrap();
            }
        });
        // On a busy machine nothing may be written while one torrent is made: then that one is right.
        let stderr = (0..200).find_map(|_| {
            let (code, _, stderr) = run_here(dir, &["create", "t"], b"");
            match code {
                0 => fs::remove_file(dir.join("t.torrent")).map(|()| None).expect("it was made"),
                _ => Some((code, stderr)),
            }
        });
        is_done.store(true, Ordering::Relaxed);
        let (code, stderr) = stderr.expect("a file that grows all the time is noticed");
        assert_eq!(code, 17, "{stderr}");
        assert!(stderr.contains("t/growing: it changed while it was being read"), "{stderr}");
    });
    assert!(!dir.join("t.torrent").exists());
}

#[test]
fn a_file_that_may_not_be_read_is_named_and_nothing_is_made() {
    use std::os::unix::fs::PermissionsExt as _;
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    write(dir, "t/open", b"open");
    write(dir, "t/closed", b"closed");
    fs::set_permissions(dir.join("t/closed"), fs::Permissions::from_mode(0o000)).unwrap();
    // The super-user reads everything unless it gives up the right to.
    let without_rights: &[&str] = match fs::read(dir.join("t/closed")) {
        Ok(_) => &["setpriv", "--bounding-set=-dac_override,-dac_read_search"],
        Err(_) => &["env"],
    };
    let run = |words: &[&str]| {
        let mut command = Command::new(without_rights[0]);
        command.args(&without_rights[1..]).args(words).current_dir(dir).output()
    };
    if !run(&["cat", "t/closed"]).is_ok_and(|output| text(&output.stderr).contains("denied")) {
        return skipped("the super-user can't give up its rights here");
    }
    let btget = env!("CARGO_BIN_EXE_btget");
    let output = run(&[btget, "create", "t"]).unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(17), "{stderr}");
    assert!(stderr.contains("t/closed: cannot be read: Permission denied"), "{stderr}");
    assert!(stderr.contains("--exclude"), "{stderr}");
    assert!(!dir.join("t.torrent").exists());
    let output = run(&[btget, "create", "t", "-x", "closed"]).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(metainfo(dir, "t.torrent").files.len(), 1);
}

#[test]
fn verify_names_what_is_wrong_with_its_bytes() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    let files = [
        ("good", 65_536),
        ("bad", 65_536),
        ("short", 65_536),
        ("gone", 20_000),
        ("near", 45_536),
        ("long", 5),
    ];
    let payload = Payload::tree("t", &files, 16_384);
    payload.write_torrent(dir, None);
    for (path, content) in payload.files() {
        write(dir, path.to_str().unwrap(), content);
    }
    assert_eq!(run_here(dir, &["verify", "t.torrent"], b"").0, 0);
    let change = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = dir.join("t").join(name);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    };
    change("bad", &|bytes| [0, 20_000, 50_000].iter().for_each(|at| bytes[*at] ^= 1));
    change("short", &|bytes| bytes.truncate(20_000));
    change("long", &|bytes| bytes.push(0));
    fs::remove_file(dir.join("t/gone")).unwrap();
    fs::rename(dir.join("t/good"), dir.join("t/good.part")).unwrap();
    let expected = "ok         t/good\n\
        bad        t/bad  bytes 0-32767, 49152-65535\n\
        short      t/short  20000 of 65536 bytes  bytes 16384-65535\n\
        missing    t/gone\n\
        unproven   t/near  bytes 0-12767\n\
        long       t/long  1 B longer than it should be\n";
    for path in [&[][..], &["."], &["t"]] {
        let args = [&["verify", "t.torrent"], path].concat();
        let (code, stdout, stderr) = run_here(dir, &args, b"");
        assert_eq!((code, stdout.as_str()), (32, expected), "{args:?}: {stderr}");
        assert!(stderr.contains("t: 9 of 17 pieces are right"), "{stderr}");
    }
    let report = json(dir, &["verify", "t.torrent", "--json"], 32);
    assert_eq!((&report["complete"], &report["pieces_right"]), (&false.into(), &9.into()));
    assert_eq!(report["files"][1]["status"], "bad");
    assert!(report["info_hash"].is_string() && report["info_hash_v2"].is_null());
    let bad = serde_json::json!([{ "offset": 0, "length": 32768 }, { "offset": 49152, "length": 16384 }]);
    assert_eq!(report["files"][1]["bad"], bad);
    assert_eq!(report["files"][3]["status"], "missing");
    assert_eq!(report["files"][5]["status"], "long");

    let (code, _, stderr) = run_here(dir, &["verify", "t.torrent", "nosuch"], b"");
    assert_eq!(code, 17, "{stderr}");
    assert!(stderr.contains("nosuch: No such file"), "{stderr}");
    fs::create_dir(dir.join("elsewhere")).unwrap();
    let elsewhere = dir.join("elsewhere");
    assert_eq!(run_here(&elsewhere, &["verify", "../t.torrent"], b"").1, expected, "beside the torrent file");
    let (code, stdout, _) = run_here(&elsewhere, &["verify", "-q", "../t.torrent", "."], b"");
    assert_eq!((code, stdout.matches("missing").count()), (32, 6));
}

#[test]
fn a_single_file_is_verified_under_any_name_and_pipes_are_not_read() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    let payload = Payload::single("one", 50_000, 16_384);
    payload.write_torrent(dir, None);
    write(dir, "other name", payload.bytes());
    assert_eq!(run_here(dir, &["verify", "one.torrent", "other name"], b"").0, 0);
    assert_eq!(run_here(dir, &["verify", "one.torrent"], b"").0, 32);
    std::os::unix::fs::symlink("other name", dir.join("link")).unwrap();
    assert_eq!(run_here(dir, &["verify", "one.torrent", "link"], b"").0, 0, "the link was named");
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.join("one"), rustix::fs::Mode::RUSR).unwrap();
    let report = json(dir, &["verify", "--json", "one.torrent"], 17);
    assert_eq!(report["files"][0]["status"], "unreadable");
    let torrent = fs::read(dir.join("one.torrent")).unwrap();
    assert_eq!(run_here(dir, &["verify", "-", "other name"], &torrent).0, 0);
}

#[test]
fn an_edit_keeps_the_hash_unless_it_is_of_the_source() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    Payload::single("x", 50_000, 16_384).write_torrent(dir, Some("http://old.example/a"));
    let before = metainfo(dir, "x.torrent");
    let args =
        ["edit", "x.torrent", "-t", "http://n.example/1", "-t", "http://n.example/2", "--comment", "c"];
    assert_eq!(run_here(dir, &args, b""), (0, String::new(), String::new()));
    let after = metainfo(dir, "x.torrent");
    assert_eq!((after.info_hashes, after.info), (before.info_hashes, before.info));
    assert_eq!((after.trackers.len(), after.comment.as_deref()), (2, Some("c")));
    assert_eq!(run_here(dir, &["edit", "x.torrent", "-t", "", "-w", "http://w.example/x"], b"").0, 0);
    let after = metainfo(dir, "x.torrent");
    assert_eq!((after.trackers.len(), after.web_seeds.len()), (0, 1));
    let (code, _, stderr) = run_here(dir, &["edit", "x.torrent", "--source", "S", "-o", "y.torrent"], b"");
    assert_eq!(code, 0, "{stderr}");
    let marked = metainfo(dir, "y.torrent");
    let hash = marked.info_hashes.v1.unwrap().to_string();
    assert!(stderr.starts_with("warning: ") && stderr.contains(&hash), "{stderr}");
    assert_eq!(marked.source.as_deref(), Some("S"));
    assert_eq!(metainfo(dir, "x.torrent").info_hashes, before.info_hashes);
}
