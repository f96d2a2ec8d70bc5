//! What becomes of data that was there before a download, by each choice of `--on-conflict`: a single file and a
//! folder. Nobody's data is lost but where that is what was asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::payload::Payload;
use crate::harness::scripted_peer::{Script, ScriptedPeer};
use crate::setting::{Setting, wait_for};

const PIECE: usize = 64 << 10;

fn single() -> Setting {
    Setting::new(Payload::single("film.mkv", 20 * PIECE, PIECE))
}

fn folder() -> Setting {
    Setting::new(Payload::tree(
        "album",
        &[("1", 10 * PIECE), ("cover/a", 5 * PIECE), ("2", 5 * PIECE)],
        PIECE,
    ))
}

/// Puts somebody else's data in the place of the torrent's first file.
fn disturb(setting: &Setting) -> PathBuf {
    let path = setting.payload.files()[0].0.clone();
    let path = setting.out().join(path);
    fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a folder can be made");
    fs::write(&path, "somebody's").expect("a file can be written");
    path
}

/// Puts the torrent's own data there, but for one piece of the first file.
fn almost(setting: &Setting) {
    for (number, (path, bytes)) in setting.payload.files().into_iter().enumerate() {
        let path = setting.out().join(path);
        fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a folder can be made");
        let mut bytes = bytes.to_vec();
        if number == 0 {
            bytes[3 * PIECE..4 * PIECE].fill(7);
        }
        fs::write(&path, bytes).expect("a file can be written");
    }
}

fn said(path: &Path) -> String {
    fs::read_to_string(path).expect("it is still there")
}

#[test]
fn right_data_is_used_and_the_rest_fetched_whatever_becomes_of_other_data() {
    for flags in [&[][..], &["--on-conflict", "rename"], &["--on-conflict", "overwrite"]] {
        for setting in [single(), folder()] {
            almost(&setting);
            let seed = setting.seed(Duration::ZERO);
            setting.complete(&mut setting.start(flags));
            assert!(seed.record().sent.iter().all(|(piece, _)| *piece == 3), "{:?}", seed.record().sent);
        }
    }
}

#[test]
fn with_fail_right_data_too_ends_it_before_anybody_is_asked() {
    for setting in [single(), folder()] {
        almost(&setting);
        let seed = setting.seed(Duration::ZERO);
        let said = setting.ends_with(13, &mut setting.start(&["--on-conflict", "fail"]));
        assert!(said.contains("a file with data has its place") && said.contains("--on-conflict"), "{said}");
        assert_eq!(seed.record().connections, 0);
    }
}

#[test]
fn with_fail_a_download_of_ours_is_gone_on_with() {
    for setting in [single(), folder()] {
        let some = Script {
            address: setting.address,
            dials: false,
            pieces: 0..12,
            corrupts_every: 0,
            pause: Duration::ZERO,
            leaves_when_served: false,
        };
        let peer = ScriptedPeer::start(&setting.payload, some);
        let first = setting.start(&["--on-conflict", "fail"]);
        // By then all that came is written down.
        wait_for("what that peer has", || first.stderr().contains("waiting: no peer has 8 missing pieces"));
        drop((first, peer));
        let seed = setting.seed(Duration::ZERO);
        setting.complete(&mut setting.start(&["--on-conflict", "fail"]));
        assert!(seed.record().sent.iter().all(|(piece, _)| *piece >= 12), "{:?}", seed.record().sent);
        // Complete, it is still ours.
        setting.complete(&mut setting.start(&["--on-conflict", "fail"]));
    }
}

#[test]
fn keep_ends_it_and_overwrite_replaces_what_is_somebody_elses() {
    for setting in [single(), folder()] {
        let path = disturb(&setting);
        let _seed = setting.seed(Duration::ZERO);
        for flags in [&[][..], &["--on-conflict", "keep"], &["--on-conflict", "fail"]] {
            setting.ends_with(13, &mut setting.start(flags));
            assert_eq!(said(&path), "somebody's");
        }
        setting.complete(&mut setting.start(&["--on-conflict", "overwrite"]));
    }
}

#[test]
fn a_download_that_is_refused_leaves_no_file_behind() {
    let setting = folder();
    let taken = setting.out().join("album/2");
    fs::create_dir_all(setting.out().join("album")).expect("a folder can be made");
    fs::write(&taken, "somebody's").expect("a file can be written");
    setting.ends_with(13, &mut setting.start(&[]));
    let entries = fs::read_dir(setting.out().join("album")).expect("it is there");
    let paths = entries.map(|entry| entry.expect("an entry can be read").path());
    assert!(paths.filter(|path| path.is_file()).eq([taken.clone()]));
    assert_eq!(said(&taken), "somebody's");
}

#[test]
fn with_rename_it_goes_to_the_next_name_and_the_next_run_goes_on_there() {
    for setting in [single(), folder()] {
        let path = disturb(&setting);
        let name = setting.payload.files()[0].0.iter().next().expect("a name").to_owned();
        let taken = setting.out().join(format!("{}.1", name.display()));
        fs::write(&taken, "somebody else's").expect("a file can be written");
        let seed = setting.seed(Duration::from_millis(2));
        let first = setting.start(&["--on-conflict", "rename"]);
        wait_for("a third", || seed.record().sent.len() > setting.blocks() / 3);
        assert!(first.stderr().contains(".2"), "{}", first.stderr());
        drop(first);
        let before = seed.record().sent.len();
        let mut second = setting.start(&["--on-conflict", "rename"]);
        second.wait(crate::setting::LIMIT).expect("it finishes");
        assert!(seed.record().sent.len() < setting.blocks() + before, "it began anew");
        assert!(seed.record().sent.len() - before < setting.blocks(), "it began anew");
        assert_eq!((said(&path).as_str(), said(&taken).as_str()), ("somebody's", "somebody else's"));
        // The same under the name that it has now.
        let renamed = setting.out().join(format!("{}.2", name.display()));
        let unnamed = tempfile::tempdir().expect("a folder for the test");
        fs::rename(renamed, unnamed.path().join(&name)).expect("it is there");
        assert_eq!(setting.payload.difference_in(unnamed.path()), None);
    }
}
