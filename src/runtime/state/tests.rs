use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::journal::{Journal, Opened};
use super::lock::Busy;
use crate::base::hash::{InfoHashes, Sha1Hash};
use crate::base::index::{FileIndex, PieceIndex};
use crate::base::layout::Layout;
use crate::engine::disk_job::Traffic;
use crate::engine::resume::frame::{self, Content};
use crate::engine::resume::{Fact, Pieces, Record, Stamp, Whose, runs_of};

const PIECES: u32 = 40;

fn layout() -> Arc<Layout> {
    Arc::new(Layout::uniform(u64::from(PIECES) * 65_536 - 100, 65_536).unwrap())
}

fn open(folder: &Path) -> Opened {
    open_as(folder, 1).unwrap()
}

fn open_as(folder: &Path, torrent: u8) -> Result<Opened, Busy> {
    let hashes = InfoHashes { v1: Some(Sha1Hash([torrent; 20])), v2: None };
    Journal::open(folder, &hashes, b"/downloads/x", layout(), 3, false)
}

fn file(folder: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|end| end == "state")).unwrap()
}

/// Facts as a download brings them about, by batch.
fn story() -> Vec<Vec<Fact>> {
    let stamp = |time| Stamp { length: 5, modified: (time, 7), inode: 9 };
    vec![
        vec![Fact::Blocks(PieceIndex(3), vec![(0, 2)]), Fact::File(FileIndex(0), stamp(1), Whose::Ours)],
        vec![Fact::Blocks(PieceIndex(3), vec![(3, 1)]), Fact::File(FileIndex(0), stamp(2), Whose::Ours)],
        vec![Fact::Pieces(Pieces::Have, vec![(3, 1)]), Fact::File(FileIndex(0), stamp(3), Whose::Ours)],
        vec![Fact::Blocks(PieceIndex(4), vec![(0, 4)])],
        vec![Fact::Dropped(PieceIndex(4))],
        vec![Fact::Pieces(Pieces::Durable, vec![(3, 1)])],
        vec![Fact::Pieces(Pieces::Unsure, vec![(10, 30)])],
        vec![Fact::Moved(Traffic { uploaded: 5, downloaded: 7 })],
        vec![Fact::Syncing(vec![(0, 2)])],
        vec![Fact::Moved(Traffic { uploaded: 1 << 40, downloaded: 0 })],
        vec![Fact::Tainted(FileIndex(1)), Fact::Syncing(Vec::new())],
        vec![
            Fact::Pieces(Pieces::Missing, vec![(10, 20)]),
            Fact::Pieces(Pieces::Have, vec![(12, 3), (20, 1)]),
        ],
    ]
}

/// The record after each batch of the story, the empty one first, and the file that tells it.
fn told(folder: &Path) -> (Vec<Record>, Vec<u8>) {
    let mut journal = open(folder).journal.unwrap();
    let mut records = vec![journal.record().clone()];
    for facts in story() {
        assert_eq!(journal.append(&facts), None);
        records.push(journal.record().clone());
    }
    (records, std::fs::read(file(folder)).unwrap())
}

/// Makes the file say that it is from another run of the system.
pub(in crate::runtime) fn pretend_restart(path: &Path) {
    let Content::Frames(mut frames, false) = frame::read(&std::fs::read(path).unwrap()) else {
        panic!("it is no whole journal");
    };
    let Fact::Begin { boot, .. } = &mut frames[0][0] else { panic!("it begins with something else") };
    *boot = "another".to_owned();
    let frames = frames.iter().flat_map(|facts| frame::frame(facts));
    std::fs::write(path, frame::head().into_iter().chain(frames).collect::<Vec<u8>>()).unwrap();
}

#[test]
fn what_was_told_is_known_again() {
    let dir = tempfile::tempdir().unwrap();
    let (records, bytes) = told(dir.path());
    let opened = open(dir.path());
    assert!(opened.is_known && opened.warning.is_none(), "{:?}", opened.warning);
    let mut journal = opened.journal.unwrap();
    assert_eq!(Some(journal.record()), records.last());
    // The same written anew says the same, and in fewer bytes.
    let record = journal.record().clone();
    journal.restart(record);
    assert_eq!(journal.append(&[Fact::Dropped(PieceIndex(0))]), None);
    drop(journal);
    assert!(std::fs::read(file(dir.path())).unwrap().len() < bytes.len());
    assert_eq!(Some(open(dir.path()).journal.unwrap().record()), records.last());
}

#[test]
fn a_file_cut_anywhere_says_what_was_true_at_some_time_before() {
    let dir = tempfile::tempdir().unwrap();
    let (records, bytes) = told(dir.path());
    let path = file(dir.path());
    let mut known = 0;
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let opened = open(dir.path());
        let record = opened.journal.unwrap().record().clone();
        // Never of a time before that of a shorter file.
        let at = (known..records.len()).find(|at| records[*at] == record);
        known = at.unwrap_or_else(|| panic!("{length}: {record:?}"));
        assert!(opened.is_known || known == 0, "{length}");
    }
    assert_eq!(known, records.len() - 2, "all but the last batch are told before the last byte");
}

#[test]
fn what_a_kill_leaves_of_a_new_journal_does_the_old_one_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let (records, bytes) = told(dir.path());
    let path = file(dir.path());
    // Killed while a journal was written anew, before it took the place of the one there was.
    for length in 0..bytes.len() {
        std::fs::write(path.with_extension("new"), &bytes[..length]).unwrap();
        let opened = open(dir.path());
        assert!(opened.is_known && opened.warning.is_none(), "{length}: {:?}", opened.warning);
        let mut journal = opened.journal.unwrap();
        assert_eq!(Some(journal.record()), records.last(), "{length}");
        if length.is_multiple_of(10) {
            assert_eq!(journal.append(&[Fact::Dropped(PieceIndex(0))]), None);
            assert!(!path.with_extension("new").exists());
        }
    }
}

#[test]
fn a_bit_flipped_anywhere_is_seen_and_what_is_before_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (records, bytes) = told(dir.path());
    let path = file(dir.path());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            std::fs::write(&path, &flipped).unwrap();
            let opened = open(dir.path());
            assert!(opened.warning.is_some(), "{at}.{bit} goes unseen");
            let record = opened.journal.expect("damage is no reason to forget").record().clone();
            assert!(records.contains(&record), "{at}.{bit}: {record:?}");
        }
    }
}

#[test]
fn a_later_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut bytes) = told(dir.path());
    let path = file(dir.path());
    let head = frame::head().len();
    bytes[head - 9] = 2;
    let digest = crate::base::digest::sha1(&bytes[..head - 8]).0;
    bytes[head - 8..head].copy_from_slice(&digest[..8]);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(frame::read(&bytes), Content::Later);
    let opened = open(dir.path());
    assert!(opened.journal.is_none() && opened.warning.unwrap().contains("later version"));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn another_torrents_file_and_nonsense_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    drop(told(dir.path()));
    let (mine, other) = (file(dir.path()), tempfile::tempdir().unwrap());
    drop(open_as(other.path(), 2).unwrap().journal.unwrap().append(&story()[0]));
    std::fs::copy(file(other.path()), &mine).unwrap();
    let outlandish = |facts: &[Fact]| [frame::head(), frame::frame(facts)].concat();
    for (bytes, what) in [
        (std::fs::read(&mine).unwrap(), "another torrent's"),
        (vec![0; 100], "zeros"),
        (Vec::new(), "nothing"),
        (outlandish(&[]), "an empty frame"),
        (outlandish(&[Fact::Dropped(PieceIndex(1))]), "no beginning"),
    ] {
        std::fs::write(&mine, bytes).unwrap();
        let opened = open(dir.path());
        assert!(!opened.is_known && opened.warning.is_some(), "{what}");
        assert_eq!(opened.journal.unwrap().record(), &Record::empty(PIECES), "{what}");
    }
    std::fs::remove_file(&mine).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &mine).unwrap();
    let opened = open(dir.path());
    assert!(!opened.is_known && opened.warning.is_some());
}

#[test]
fn facts_that_cannot_be_end_what_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let (records, bytes) = told(dir.path());
    let beyond = [(PIECES, 1), (PIECES - 1, 2), (u32::MAX, u32::MAX)];
    let mut bad: Vec<Fact> = beyond.map(|run| Fact::Pieces(Pieces::Have, vec![run])).into();
    bad.push(Fact::Blocks(PieceIndex(0), vec![(4, 1)]));
    bad.push(Fact::Blocks(PieceIndex(PIECES), vec![(0, 1)]));
    bad.push(Fact::Tainted(FileIndex(3)));
    bad.push(Fact::Syncing(vec![(2, 2)]));
    bad.push(Fact::File(FileIndex(3), Stamp { length: 0, modified: (0, 0), inode: 0 }, Whose::Ours));
    for fact in bad {
        std::fs::write(file(dir.path()), [&bytes[..], &frame::frame(&[fact])].concat()).unwrap();
        let opened = open(dir.path());
        assert!(opened.is_known && opened.warning.is_some());
        assert_eq!(Some(opened.journal.unwrap().record()), records.last());
    }
}

#[test]
fn a_journal_that_grows_long_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).journal.unwrap();
    let (mut longest, mut shorter) = (0, 0);
    for round in 0..10_000_u32 {
        let runs = runs_of((0..PIECES).filter(|piece| (piece + round).is_multiple_of(2)));
        assert_eq!(journal.append(&vec![Fact::Pieces(Pieces::Have, runs); 4]), None);
        if round.is_multiple_of(500) {
            let length = std::fs::metadata(file(dir.path())).unwrap().len();
            shorter += u32::from(length < longest);
            longest = longest.max(length);
        }
    }
    assert!(shorter > 0 && longest < 6 << 20, "{longest}");
    let record = journal.record().clone();
    drop(journal);
    assert_eq!(*open(dir.path()).journal.unwrap().record(), record);
}

#[test]
fn a_state_folder_that_fails_is_complained_of_once() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("state");
    let mut journal = open(&folder).journal.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(journal.append(&story()[0]).is_some());
    assert_eq!(journal.append(&story()[1]), None);
    let file_in_its_place = dir.path().join("file");
    std::fs::write(&file_in_its_place, "x").unwrap();
    let opened = open(&file_in_its_place);
    assert!(opened.journal.is_none() && opened.warning.is_some());
}

#[test]
fn one_at_a_time_holds_a_journal() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    assert_eq!(open_as(dir.path(), 1).unwrap_err(), Busy { pid: Some(std::process::id()) });
    assert!(open_as(dir.path(), 2).is_ok());
    drop(first);
    assert!(open_as(dir.path(), 1).is_ok());
}
