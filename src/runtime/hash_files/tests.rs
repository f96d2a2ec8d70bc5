use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::locate::Place;
use super::tree::{TreeFile, walk};
use super::*;
use crate::base::digest;
use crate::base::random::Rng;

/// Files in a folder of their own, and what is in them.
struct Files {
    folder: tempfile::TempDir,
    names: Vec<String>,
    contents: Vec<Vec<u8>>,
}

impl Files {
    fn new(lengths: &[usize]) -> Files {
        Files::below(&std::env::temp_dir(), lengths)
    }

    fn below(place: &Path, lengths: &[usize]) -> Files {
        let folder = tempfile::tempdir_in(place).unwrap();
        let mut rng = Rng::from_number(lengths.len() as u64);
        let names: Vec<String> =
            (0..lengths.len()).map(|number| format!("d{}/{number}", number % 3)).collect();
        let mut contents = Vec::new();
        for (name, length) in names.iter().zip(lengths) {
            let mut content = vec![0; *length];
            rng.fill(&mut content);
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &content).unwrap();
            contents.push(content);
        }
        Files { folder, names, contents }
    }

    fn path(&self, index: usize) -> PathBuf {
        self.folder.path().join(&self.names[index])
    }

    fn sources(&self) -> Vec<Source> {
        let paths = self.names.iter().map(|name| Some(name.into())).collect();
        Place { dir: self.folder.path().to_owned(), paths }.look().unwrap().sources
    }

    fn payload(&self, sources: Vec<Source>, piece_length: u32, strictness: Strictness) -> Payload {
        let lengths = self.contents.iter().map(|content| (content.len() as u64, false));
        let file_map = FileMap::new(lengths).unwrap();
        let layout = Layout::uniform(file_map.total(), piece_length).unwrap();
        Payload::open(self.folder.path(), sources, Arc::new(file_map), Arc::new(layout), strictness).unwrap()
    }

    fn digests(&self, piece_length: usize) -> Vec<Option<Sha1Hash>> {
        self.contents.concat().chunks(piece_length).map(|piece| Some(digest::sha1(piece))).collect()
    }
}

fn hash(payload: &Payload, threads: usize) -> Result<Hashed, HashError> {
    payload.hash(Some(threads), &Progress::default())
}

#[test]
fn every_piece_gets_its_digest_whatever_files_and_threads() {
    let lengths = [300_000, 0, 1, 16_384, 1_500_000, 7, 0, 40_000, 40_000, 900_001];
    let many: Vec<usize> = (0..150).map(|number| number * 37 % 5_000).collect();
    for lengths in [&lengths[..], &many, &[5], &[16_384; 3]] {
        let files = Files::new(lengths);
        for piece_length in [16_384, 65_536, 262_144, 1 << 20, 1 << 24] {
            for threads in [1, 3] {
                let progress = Progress::default();
                let payload = files.payload(files.sources(), piece_length, Strictness::Strict);
                let hashed = payload.hash(Some(threads), &progress).unwrap();
                assert_eq!(hashed.digests, files.digests(piece_length as usize), "{piece_length} {threads}");
                assert_eq!(progress.done(), lengths.iter().sum::<usize>() as u64);
            }
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn files_in_memory_get_the_same_digests_with_and_without_a_writer() {
    // The last pieces of the long ones are shared with short ones.
    let files = Files::below(Path::new("/dev/shm"), &[5_000_000, 3, 0, 1_200_000, 70_000]);
    for piece_length in [16_384, 1 << 20, 4 << 20] {
        let wanted = files.digests(piece_length as usize);
        for threads in [1, 2] {
            let payload = files.payload(files.sources(), piece_length, Strictness::Strict);
            assert_eq!(hash(&payload, threads).unwrap().digests, wanted, "{piece_length}, alone");
            let _writer = fs::OpenOptions::new().write(true).open(files.path(0)).unwrap();
            assert_eq!(hash(&payload, threads).unwrap().digests, wanted, "{piece_length}, beside a writer");
        }
    }
}

#[test]
fn holes_are_zeros_and_are_not_read() {
    let mut files = Files::new(&[3 << 20, 100_000]);
    let sparse = fs::File::create(files.path(0)).unwrap();
    sparse.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 1 << 20).unwrap();
    files.contents[0].fill(0);
    files.contents[0][1 << 20..(1 << 20) + 4].copy_from_slice(b"data");
    for piece_length in [16_384, 1 << 19] {
        let payload = files.payload(files.sources(), piece_length, Strictness::Strict);
        let progress = Progress::default();
        let hashed = payload.hash(Some(2), &progress).unwrap();
        assert_eq!(hashed.digests, files.digests(piece_length as usize));
        assert_eq!(progress.read(), 100_000 + u64::from(piece_length));
    }
}

#[test]
fn a_file_that_is_not_what_it_was_when_looked_at_is_an_error() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("grown", |path| fs::write(path, vec![1; 50_001]).unwrap()),
        ("shrunk", |path| fs::write(path, vec![1; 49_999]).unwrap()),
        ("gone", |path| fs::remove_file(path).unwrap()),
        ("written to", |path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }),
        ("written to, with its time put back", |path| {
            use std::os::unix::fs::{FileExt as _, MetadataExt as _};
            let file = fs::File::options().write(true).open(path).unwrap();
            let before = file.metadata().unwrap();
            let changed = |metadata: fs::Metadata| (metadata.ctime(), metadata.ctime_nsec());
            // The system's clock for files may stand still for some milliseconds.
            while changed(file.metadata().unwrap()) == changed(before.clone()) {
                file.write_all_at(b"other", 20_000).unwrap();
                file.set_modified(before.modified().unwrap()).unwrap();
            }
        }),
        ("replaced", |path| {
            let (other, modified) =
                (path.with_extension("new"), path.metadata().unwrap().modified().unwrap());
            fs::write(&other, vec![1; 50_000]).unwrap();
            fs::File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
            fs::rename(&other, path).unwrap();
        }),
    ];
    for (what, change) in changes {
        let files = Files::new(&[50_000, 50_000, 50_000]);
        let payload = files.payload(files.sources(), 16_384, Strictness::Strict);
        change(&files.path(1));
        match hash(&payload, 2) {
            Err(HashError::Changed { path } | HashError::Touched { path }) => {
                assert_eq!(path, files.path(1), "{what}")
            }
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn an_empty_file_that_gets_data_or_vanishes_is_noticed_though_nobody_opens_it() {
    let changes: [fn(&Path); 2] =
        [|path| fs::write(path, b"data").unwrap(), |path| fs::remove_file(path).unwrap()];
    for change in changes {
        let files = Files::new(&[50_000, 0]);
        let payload = files.payload(files.sources(), 16_384, Strictness::Strict);
        change(&files.path(1));
        let outcome = hash(&payload, 1);
        assert!(
            matches!(&outcome, Err(HashError::Changed { path }) if *path == files.path(1)),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_new_link_or_mode_is_told_apart_from_new_data() {
    use std::os::unix::fs::MetadataExt as _;
    let files = Files::new(&[50_000]);
    let payload = files.payload(files.sources(), 16_384, Strictness::Strict);
    let changed = || files.path(0).metadata().map(|now| (now.ctime(), now.ctime_nsec())).unwrap();
    let before = changed();
    // The system's clock for files may stand still for some milliseconds.
    while changed() == before {
        let link = files.path(0).with_extension("link");
        fs::hard_link(files.path(0), &link).unwrap();
        fs::remove_file(link).unwrap();
    }
    assert!(matches!(hash(&payload, 1), Err(HashError::Touched { .. })));
}

#[test]
fn a_file_that_becomes_shorter_is_short_when_lenient_and_its_beginning_counts() {
    let files = Files::new(&[100_000, 50_000]);
    let payload = files.payload(files.sources(), 16_384, Strictness::Lenient);
    fs::File::options().write(true).open(files.path(0)).unwrap().set_len(40_000).unwrap();
    let hashed = hash(&payload, 1).unwrap();
    assert!(hashed.faults.is_empty(), "{:?}", hashed.faults);
    let shorter: Vec<_> = hashed.shorter.iter().map(|(file, now)| (file.0, now.length)).collect();
    assert_eq!(shorter, [(0, 40_000)]);
    let found: Vec<bool> = hashed.digests.iter().map(Option::is_some).collect();
    assert_eq!(found, [true, true, false, false, false, false, false, true, true, true]);
}

#[test]
fn a_file_that_cannot_be_opened_is_a_fault_also_where_a_neighbour_is_missing() {
    let files = Files::new(&[5_000, 5_000]);
    fs::remove_file(files.path(0)).unwrap();
    let payload = files.payload(files.sources(), 16_384, Strictness::Lenient);
    fs::remove_file(files.path(1)).unwrap();
    std::os::unix::fs::symlink("elsewhere", files.path(1)).unwrap();
    let hashed = hash(&payload, 1).unwrap();
    assert_eq!(hashed.faults.keys().copied().collect::<Vec<_>>(), [FileIndex(1)]);
}

#[test]
fn what_has_taken_a_files_place_is_not_read() {
    let files = Files::new(&[50_000, 50_000]);
    let sources = files.sources();
    fs::remove_file(files.path(1)).unwrap();
    std::os::unix::fs::symlink(files.path(0), files.path(1)).unwrap();
    let payload = files.payload(sources, 16_384, Strictness::Strict);
    assert!(matches!(hash(&payload, 1), Err(HashError::Unreadable { .. })));
}

#[test]
fn when_lenient_only_the_pieces_in_question_are_left_out() {
    let files = Files::new(&[100_000, 100_000, 100_000]);
    fs::remove_file(files.path(0)).unwrap();
    fs::write(files.path(2), &files.contents[2][..50_000]).unwrap();
    for (piece_length, threads) in [(16_384, 1), (16_384, 2), (32_768, 3)] {
        let payload = files.payload(files.sources(), piece_length, Strictness::Lenient);
        let progress = Progress::default();
        let hashed = payload.hash(Some(threads), &progress).unwrap();
        assert_eq!(progress.done(), 300_000);
        assert!((90_000..=150_000).contains(&progress.read()), "{}", progress.read());
        let length = piece_length as usize;
        for (index, (found, right)) in hashed.digests.iter().zip(files.digests(length)).enumerate() {
            let is_there = index * length >= 100_000 && ((index + 1) * length).min(300_000) <= 250_000;
            assert_eq!(*found, right.filter(|_| is_there), "{index} of {length}");
        }
        assert!(hashed.faults.is_empty());
    }
}

#[test]
fn a_file_that_vanishes_is_a_fault_when_lenient() {
    let files = Files::new(&[100_000, 100_000]);
    let payload = files.payload(files.sources(), 16_384, Strictness::Lenient);
    fs::remove_file(files.path(0)).unwrap();
    let hashed = hash(&payload, 2).unwrap();
    assert_eq!(hashed.faults.keys().copied().collect::<Vec<_>>(), [FileIndex(0)]);
    assert_eq!(hashed.digests.iter().flatten().count(), 200_000_usize.div_ceil(16_384) - 7);
}

#[test]
fn work_that_is_stopped_ends() {
    let files = Files::new(&[3 << 20]);
    let progress = Progress::default();
    progress.stop();
    let payload = files.payload(files.sources(), 16_384, Strictness::Strict);
    assert!(matches!(payload.hash(None, &progress), Err(HashError::Stopped)));
}

#[test]
fn unfinished_files_are_found_under_their_part_name() {
    let files = Files::new(&[20_000, 20_000]);
    fs::rename(files.path(1), files.path(1).with_extension("part")).unwrap();
    let payload = files.payload(files.sources(), 16_384, Strictness::Lenient);
    assert_eq!(hash(&payload, 1).unwrap().digests, files.digests(16_384));
}

#[test]
fn a_tree_is_listed_in_the_order_of_bytes_without_what_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["b", "a/z", "a-/x", "a/b/c", "A", "\u{e9}", "x.tmp", "skip/me"] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }
    std::os::unix::fs::symlink("b", folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink("a", folder.path().join("a/folder link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("pipe"), rustix::fs::Mode::RUSR).unwrap();
    let is_excluded = |path: &Path| path == Path::new("skip") || path.extension().is_some();
    let tree = walk(folder.path(), &is_excluded);
    let path = |file: &TreeFile| file.path.to_str().unwrap().to_owned();
    let paths: Vec<String> = tree.files.iter().map(path).collect();
    assert_eq!(paths, ["A", "a-/x", "a/b/c", "a/z", "b", "\u{e9}"]);
    let skipped: Vec<_> = tree.skipped.iter().map(|(path, kind)| (path.to_str().unwrap(), *kind)).collect();
    let link = "a symbolic link";
    assert_eq!(skipped, [("a/folder link", link), ("link", link), ("pipe", "a named pipe")]);
    assert!(tree.faults.is_empty());
}
