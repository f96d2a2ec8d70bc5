//! Every torrent of a corpus loads with exactly its values, or is refused with a reason; none harms.
//!
//! `expect.tsv` has a row a file: its verdict (`ok`, `reject`, `either`) and its values, `-` where a value is
//! not fixed. A small corpus is in `fixtures/metainfo`; a big one, beside the repository or where
//! `BTGET_CORPUS` says, is checked in the same way when it is there.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use btget::base::bencode::{self, Limits};
use btget::metainfo::{Metainfo, MetainfoError};
use proptest::prelude::*;

/// One row of `expect.tsv`.
struct Row {
    file: String,
    verdict: String,
    /// Name of the column and what it must hold.
    values: Vec<(&'static str, String)>,
}

const COLUMNS: [&str; 7] =
    ["info_hash_v1", "info_hash_v2", "total_size", "num_files", "num_pieces", "piece_length", "name"];

fn rows(folder: &Path) -> Vec<Row> {
    let table = std::fs::read_to_string(folder.join("expect.tsv")).expect("the corpus has a table");
    let row = |line: &str| {
        let mut cells = line.split('\t').map(str::to_owned);
        let mut cell = || cells.next().expect("a row has a file and a verdict");
        let (file, verdict) = (cell(), cell());
        Row { file, verdict, values: COLUMNS.into_iter().zip(cells).collect() }
    };
    table.lines().skip(1).map(row).collect()
}

fn value(metainfo: &Metainfo, column: &str) -> String {
    let hash = |hash: Option<String>| hash.unwrap_or_else(|| "-".to_owned());
    match column {
        "info_hash_v1" => hash(metainfo.info_hashes.v1.map(|hash| hash.to_string())),
        "info_hash_v2" => hash(metainfo.info_hashes.v2.map(|hash| hash.to_string())),
        "total_size" => metainfo.total_size.to_string(),
        "num_files" => metainfo.payload_files().count().to_string(),
        "num_pieces" => metainfo.layout.piece_count().to_string(),
        "piece_length" => metainfo.layout.piece_length().to_string(),
        "name" => metainfo.name.clone(),
        _ => unreachable!("no such column: {column}"),
    }
}

/// What is wrong with how the torrent of `row` was read, if anything is.
fn fault(row: &Row, read: &Result<Metainfo, MetainfoError>) -> Option<String> {
    let metainfo = match read {
        Ok(_) if row.verdict == "reject" => return Some("loads and should be refused".to_owned()),
        Err(error) if row.verdict == "ok" => return Some(format!("is refused: {error}")),
        Err(error) => return error.to_string().is_empty().then(|| "is refused without a reason".to_owned()),
        Ok(metainfo) => metainfo,
    };
    let is_fixed = |column: &str, value: &str| match column {
        // An absent hash is a value, but only when the other one is there.
        "info_hash_v1" | "info_hash_v2" => row.values[0].1 != "-" || row.values[1].1 != "-",
        _ => value != "-",
    };
    let wrong = row
        .values
        .iter()
        .find(|(column, expected)| is_fixed(column, expected) && value(metainfo, column) != *expected);
    wrong
        .map(|(column, expected)| format!("{column} is {}, not {expected}", value(metainfo, column)))
        .or_else(|| harm(metainfo))
}

/// What a loaded torrent could do to the download folder.
fn harm(metainfo: &Metainfo) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    for file in metainfo.payload_files() {
        let path = metainfo.path_of(file);
        let elements: Vec<&str> = path.split('/').collect();
        if elements.iter().any(|element| matches!(*element, "" | "." | "..")) || path.contains('\\') {
            return Some(format!("{path:?} leaves the folder"));
        }
        if path.chars().any(char::is_control) || path.contains(['\u{202e}', '\u{200e}']) {
            return Some(format!("{path:?} has characters that harm"));
        }
        if elements.iter().any(|element| element.len() > 250) {
            return Some(format!("{path:?} can't be created"));
        }
        if !seen.insert(path.clone()) {
            return Some(format!("{path:?} is there twice"));
        }
    }
    let parents = |path: &String| {
        let ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        ends.into_iter().map(|end| path[..end].to_owned()).collect::<Vec<_>>()
    };
    let both = seen.iter().flat_map(parents).find(|parent| seen.contains(parent));
    both.map(|path| format!("{path:?} is a file and a folder"))
}

fn check_corpus(folder: &Path, at_least: usize) {
    let rows = rows(folder);
    assert!(rows.len() >= at_least, "only {} rows", rows.len());
    let mut faults = Vec::new();
    for row in &rows {
        let bytes = std::fs::read(folder.join(&row.file)).expect("the table's files are there");
        let start = Instant::now();
        let read = Metainfo::from_bytes(&bytes);
        let took = start.elapsed();
        if let Some(fault) = fault(row, &read) {
            faults.push(format!("{}: {fault}", row.file));
        }
        // Milliseconds where nothing else runs.
        if took > Duration::from_secs(20) {
            faults.push(format!("{}: took {took:?}", row.file));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), rows.len(), faults.join("\n"));
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/metainfo")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).expect("the fixture is there")
}

#[test]
fn the_fixtures_are_read_as_their_table_says() {
    check_corpus(&fixtures(), 20);
}

#[test]
fn the_corpus_is_read_as_its_table_says() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/torrents");
    let folder = std::env::var_os("BTGET_CORPUS").map_or(beside, PathBuf::from);
    if folder.join("expect.tsv").is_file() {
        check_corpus(&folder, 200);
    } else {
        eprintln!("not run: there is no corpus here; BTGET_CORPUS may name its folder");
    }
}

#[test]
fn a_torrent_is_refused_wherever_it_is_cut_short() {
    let whole = fixture("hybrid-payload.torrent");
    for end in 0..whole.len() {
        assert!(Metainfo::from_bytes(&whole[..end]).is_err(), "cut at {end}");
    }
    assert!(Metainfo::from_bytes(&whole).is_ok());
}

#[test]
fn metadata_from_a_peer_is_the_same_torrent() {
    for name in ["v1-multi-payload.torrent", "v2-payload.torrent", "hybrid-payload.torrent"] {
        let from_file = Metainfo::from_bytes(&fixture(name)).unwrap();
        let from_peer = Metainfo::from_info(&from_file.info).unwrap();
        assert_eq!(from_peer.info_hashes, from_file.info_hashes);
        assert_eq!(from_peer.files, from_file.files);
        assert_eq!(from_peer.layout, from_file.layout);
        let longer = [&from_file.info[..], b"x"].concat();
        assert_eq!(Metainfo::from_info(&longer).unwrap_err(), MetainfoError::TrailingBytes);
    }
}

#[test]
fn legacy_names_give_way_to_utf8_ones() {
    let metainfo = Metainfo::from_bytes(&fixture("utf8-alt.torrent")).unwrap();
    assert_eq!(metainfo.name, "你好");
    assert!(metainfo.files.iter().all(|file| !file.path.contains('_')), "{:?}", metainfo.files);
}

#[test]
fn attributes_and_the_private_flag_are_read() {
    let metainfo = Metainfo::from_bytes(&fixture("attr-exec.torrent")).unwrap();
    assert!(metainfo.files.iter().any(|file| file.attributes.executable));
    assert!(!metainfo.is_private);
    assert!(Metainfo::from_bytes(&fixture("private.torrent")).unwrap().is_private);
}

#[test]
fn a_symlink_is_a_file_without_payload_that_is_not_written() {
    let metainfo = Metainfo::from_bytes(&fixture("symlink-escape.torrent")).unwrap();
    let link = metainfo.files.iter().find(|file| file.attributes.symlink).unwrap();
    assert_eq!(link.length, 0);
    assert!(!link.is_written());
}

#[test]
fn pad_files_are_on_the_wire_and_not_in_the_payload() {
    let metainfo = Metainfo::from_bytes(&fixture("hybrid-payload.torrent")).unwrap();
    assert_eq!(metainfo.files.len(), 3);
    assert_eq!(metainfo.payload_files().count(), 2);
    assert_eq!(metainfo.file_map.total(), 33_000 + 16_152 + 17);
    assert_eq!(metainfo.layout.total(), metainfo.file_map.total());
    assert_eq!(metainfo.total_size, 33_017);
    assert_eq!(metainfo.piece_hashes.len(), 4);
}

#[test]
fn v2_piece_hashes_are_found_by_their_files_root() {
    let metainfo = Metainfo::from_bytes(&fixture("v2-payload.torrent")).unwrap();
    assert!(metainfo.piece_hashes.is_empty());
    let layers: usize = metainfo
        .files
        .iter()
        .filter_map(|file| metainfo.piece_layers.get(&file.pieces_root?))
        .map(|layer| layer.len())
        .sum();
    assert!(layers > 0 && layers as u32 <= metainfo.layout.piece_count(), "{layers} hashes");
}

/// A v1 torrent of two files with `middle` put between the keys of its `info`, and `outer` after it.
fn torrent_with(middle: &str, outer: &str) -> Vec<u8> {
    let pieces = "a".repeat(20);
    let files = "5:filesld6:lengthi10e4:pathl1:aeed6:lengthi20e4:pathl1:beee";
    format!("d4:infod{files}4:name1:t12:piece lengthi16384e6:pieces20:{pieces}{middle}e{outer}e").into_bytes()
}

#[test]
fn only_the_integer_1_inside_info_makes_a_torrent_private() {
    for (middle, outer, private) in [
        ("7:privatei1e", "", true),
        ("7:privatei0e", "", false),
        ("7:privatei2e", "", false),
        ("7:private1:1", "", false),
        ("", "7:privatei1e", false),
    ] {
        let metainfo = Metainfo::from_bytes(&torrent_with(middle, outer)).unwrap();
        assert_eq!(metainfo.is_private, private, "{middle} {outer}");
    }
}

#[test]
fn a_meta_version_that_we_do_not_know_is_refused() {
    for version in ["i3e", "i99e", "i0e", "1:2", "le"] {
        let error =
            Metainfo::from_bytes(&torrent_with(&format!("12:meta version{version}"), "")).unwrap_err();
        assert_eq!(error, MetainfoError::MetaVersion, "{version}");
    }
}

#[test]
fn a_key_that_is_there_twice_is_refused_at_any_level() {
    for (middle, outer) in
        [("4:name1:u", ""), ("6:lengthi1e6:lengthi2e", ""), ("", "4:infode"), ("1:xd1:ai1e1:ai2ee", "")]
    {
        let error = Metainfo::from_bytes(&torrent_with(middle, outer)).unwrap_err();
        assert!(matches!(error, MetainfoError::Bencode(_)), "{middle} {outer}: {error}");
    }
}

#[test]
fn texts_are_kept_whatever_their_bytes() {
    let metainfo = Metainfo::from_bytes(&torrent_with(
        "6:source3:xyz",
        "7:comment3:old13:comment.utf-83:new10:created by5:a\x1b[2J13:creation datei-5e",
    ))
    .unwrap();
    assert_eq!(metainfo.comment.as_deref(), Some("new"));
    assert_eq!(metainfo.created_by.as_deref(), Some("a\x1b[2J"));
    assert_eq!(metainfo.creation_date, Some(-5));
    assert_eq!(metainfo.source.as_deref(), Some("xyz"));
}

/// A change to a torrent's bytes.
#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, prop::sample::Index),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let token =
        prop::sample::select(vec!["d", "l", "e", "i0e", "i-1e", "i9223372036854775807e", "0:", "1:a", "de"]);
    let change = prop_oneof![
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Flip(at, byte)),
        (any::<prop::sample::Index>(), prop::sample::select(b"0123456789deli:".to_vec()))
            .prop_map(|(at, byte)| Change::Flip(at, byte)),
        any::<prop::sample::Index>().prop_map(Change::Cut),
        (any::<prop::sample::Index>(), token).prop_map(|(at, token)| Change::Insert(at, token.into())),
        (any::<prop::sample::Index>(), any::<prop::sample::Index>())
            .prop_map(|(from, to)| Change::Repeat(from, to)),
    ];
    prop::collection::vec(change, 1..4)
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        _ if bytes.is_empty() => {}
        Change::Flip(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Change::Insert(at, token) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, token.iter().copied());
        }
        Change::Repeat(from, to) => {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let copied = bytes[from.min(to)..from.max(to)].to_vec();
            bytes.splice(to..to, copied);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn no_damage_to_a_good_torrent_harms(
        name in prop::sample::select(vec![
            "v1-payload.torrent", "v1-multi-payload.torrent", "v2-payload.torrent", "hybrid-payload.torrent",
            "symlink-escape.torrent", "announce-list-flat.torrent",
        ]),
        changes in changes(),
    ) {
        let mut bytes = fixture(name);
        for change in &changes {
            apply(&mut bytes, change);
        }
        if let Ok(metainfo) = Metainfo::from_bytes(&bytes) {
            prop_assert_eq!(harm(&metainfo), None);
            prop_assert_eq!(metainfo.files.len(), metainfo.file_map.files().len());
            prop_assert_eq!(metainfo.layout.total(), metainfo.file_map.total());
        }
        let _ = bencode::scan(&bytes, Limits::MESSAGE);
    }
}

#[test]
fn reading_takes_time_in_proportion_to_the_input() {
    let files = |path: fn(u32) -> String| -> String {
        (0..100_000).map(|file| format!("d6:lengthi1e4:pathl6:{}ee", path(file))).collect()
    };
    let pieces = "a".repeat(20 * 100_000usize.div_ceil(16_384));
    let torrent = |files: String| {
        let count = pieces.len();
        format!("d4:infod5:filesl{files}e4:name1:t12:piece lengthi16384e6:pieces{count}:{pieces}ee")
    };
    let odd_key = |value: String| {
        String::from_utf8(torrent_with("", "")).unwrap().replacen(
            "d4:infod",
            &format!("d4:infod1:A{value}"),
            1,
        )
    };
    for (input, loads) in [
        (torrent(files(|file| format!("{file:06}"))), true),
        (torrent(files(|_| "samesa".to_owned())), false),
        (odd_key(format!("i{}e", "1".repeat(2_000_000))), true),
        (odd_key(format!("l{}e", "le".repeat(1_000_000))), true),
        (odd_key("l".repeat(2_000_000)), false),
    ] {
        let start = Instant::now();
        let read = Metainfo::from_bytes(input.as_bytes());
        assert_eq!(read.is_ok(), loads, "{:?}", read.err());
        assert!(start.elapsed() < Duration::from_secs(5), "{} bytes: {:?}", input.len(), start.elapsed());
    }
}
