//! `verify`, and the check at the start of a download: what is there is found, wherever and however it lies.

use std::fs;

use crate::cli::run_here;
use crate::create::write;
use crate::harness::payload::Payload;

#[test]
fn of_several_places_the_one_with_most_of_the_files_is_meant() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    // Its own folder has a folder of its name in it.
    for (path, length) in [("x/a", 40_000), ("x/b", 30_000), ("x/x/a", 20_000)] {
        write(dir, path, &vec![1; length]);
    }
    assert_eq!(run_here(dir, &["create", "x"], b"").0, 0);
    for path in [&[][..], &["x"], &["."]] {
        let (code, stdout, _) = run_here(dir, &[&["verify", "x.torrent"], path].concat(), b"");
        assert_eq!(code, 0, "{path:?}: {stdout}");
    }
    // A file in the current folder has a name of the torrent's, which lies complete beside the .torrent.
    write(dir, "here/t/README", b"of something else");
    write(dir, "there/t/README", b"read me");
    write(dir, "there/t/big", &[2; 50_000]);
    assert_eq!(run_here(&dir.join("there"), &["create", "t"], b"").0, 0);
    let (code, stdout, _) = run_here(&dir.join("here"), &["verify", "../there/t.torrent"], b"");
    assert_eq!(code, 0, "{stdout}");
    // What is unfinished here comes before nothing there.
    fs::remove_dir_all(dir.join("there/t")).unwrap();
    let (code, stdout, _) = run_here(&dir.join("here"), &["verify", "../there/t.torrent"], b"");
    assert_eq!(code, 32);
    assert!(stdout.contains("missing    t/big") && !stdout.contains("missing    t/README"), "{stdout}");
}

#[test]
fn zeros_that_are_all_hole_are_complete_at_the_start_of_a_download_too() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    for (name, length) in [("long", 3 << 20), ("short", 5_000), ("odd", 100_000)] {
        fs::File::create(dir.join(name)).unwrap().set_len(length).unwrap();
        assert_eq!(run_here(dir, &["create", name, "--piece-length", "16K"], b"").0, 0);
        let torrent = format!("{name}.torrent");
        assert_eq!(run_here(dir, &["verify", &torrent], b"").0, 0);
        let seed = ["--seed-only", "--seed-time", "0s", "--no-state", &torrent];
        for args in [&seed[..], &["--timeout", "60s", "--no-state", &torrent]] {
            let (code, _, stderr) = run_here(dir, args, b"");
            assert_eq!(code, 0, "{args:?}: {stderr}");
        }
    }
    // Of data that is no zeros, nothing is there.
    Payload::single("data", 50_000, 16_384).write_torrent(dir, None);
    fs::File::create(dir.join("data")).unwrap().set_len(50_000).unwrap();
    assert_eq!(run_here(dir, &["--seed-only", "--no-state", "data.torrent"], b"").0, 32);
}
