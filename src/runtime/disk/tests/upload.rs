//! Reading for peers.

use std::sync::mpsc::channel;

use super::{Disk, Sample, TORRENT, target};
use crate::base::index::{BlockRequest, FileIndex, PieceIndex};
use crate::engine::order::TorrentId;
use crate::runtime::disk::Target;
use crate::runtime::disk::door::fault::{Call, planned};
use crate::wire::peer::message::PIECE_HEADER;

fn request(piece: u32, begin: u32, length: u32) -> BlockRequest {
    BlockRequest { piece: PieceIndex(piece), begin, length }
}

fn served() -> (Sample, tempfile::TempDir, Disk) {
    let sample = Sample::new(&[(50_000, false), (9_000, false), (60_000, false)], 65_536);
    let dir = tempfile::tempdir().unwrap();
    sample.put(dir.path());
    let disk = Disk::new(sample.storage(Target { read_only: true, ..target(dir.path()) }));
    (sample, dir, disk)
}

/// Blocks that follow each other, one that does not, an odd one, and one twice.
fn requests() -> Vec<BlockRequest> {
    vec![
        request(0, 32_768, 16_384),
        request(0, 49_152, 16_384),
        request(1, 0, 16_384),
        request(0, 0, 16_384),
        request(1, 7, 1),
        request(1, 7, 1),
    ]
}

/// The row is at the front of the buffer; what follows is old.
fn assert_row(sample: &Sample, buffer: &[u8]) {
    let mut rest = buffer;
    for request in requests() {
        let (block, after) = rest.split_at(PIECE_HEADER + request.length as usize);
        let expected = &sample.piece(request.piece)[request.begin as usize..][..request.length as usize];
        assert!(&block[PIECE_HEADER..] == expected, "{request:?}");
        rest = after;
    }
}

#[test]
fn a_row_of_blocks_leaves_room_for_headers() {
    let (sample, _dir, disk) = served();
    let (sender, receiver) = channel();
    for buffer in [Vec::new(), vec![7; 200_000]] {
        let sender = sender.clone();
        let done = Box::new(move |result| sender.send(result).unwrap());
        disk.pool.submit_upload(TORRENT, requests(), buffer, done);
        assert_row(&sample, &receiver.recv().unwrap().unwrap());
    }
}

#[test]
fn what_is_in_memory_is_read_without_waiting() {
    let (sample, _dir, disk) = served();
    let reader = disk.pool.reader(TORRENT).unwrap();
    let mut buffer = Vec::new();
    assert!(!reader.read_blocks_cached(&requests(), &mut buffer), "no file is open");
    reader.read_blocks(&requests(), &mut buffer).unwrap();
    // Whether the system still has it in memory, and can tell, is not for us to say.
    if reader.read_blocks_cached(&requests(), &mut buffer) {
        assert_row(&sample, &buffer);
    }
}

#[test]
fn blocks_that_there_are_not_are_refused() {
    let (_sample, _dir, disk) = served();
    let reader = disk.pool.reader(TORRENT).unwrap();
    for bad in [
        request(2, 0, 16_384),
        request(1, 53_460, 16_384),
        request(0, u32::MAX, 16_384),
        request(0, 0, 0),
        request(0, 0, 131_072),
    ] {
        assert!(reader.read_blocks(&[bad], &mut Vec::new()).is_err(), "{bad:?}");
    }
    assert!(reader.read(request(0, 0, 5), &mut [0; 4]).is_err());
    let mut five = [0; 5];
    reader.read(request(0, 0, 5), &mut five).unwrap();
    assert_ne!(five, [0; 5]);
}

#[test]
fn the_file_that_cannot_be_read_is_told_and_so_is_an_unknown_torrent() {
    let (_sample, dir, disk) = served();
    std::fs::remove_file(dir.path().join("t/f2")).unwrap();
    let reader = disk.pool.reader(TORRENT).unwrap();
    let failure = reader.read_blocks(&requests(), &mut Vec::new()).unwrap_err();
    assert_eq!(failure.file, Some(FileIndex(2)));
    assert!(failure.error.to_string().contains("t/f2: it is missing or has become shorter"), "{failure:?}");
    assert!(reader.read_blocks(&requests()[..1], &mut Vec::new()).is_ok());
    assert!(disk.pool.reader(TorrentId(8)).is_none());
    let (sender, receiver) = channel();
    let done = Box::new(move |result: Result<_, _>| sender.send(result.is_err()).unwrap());
    disk.pool.submit_upload(TorrentId(8), requests(), Vec::new(), done);
    assert!(receiver.recv().unwrap());
}

#[test]
fn a_read_that_fails_only_once_is_made_again() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let sample = Sample::new(&[(50_000, false), (9_000, false), (60_000, false)], 65_536);
    let dir = tempfile::tempdir().unwrap();
    sample.put(dir.path());
    let fails = std::sync::Arc::new(AtomicU32::new(1));
    let left = fails.clone();
    planned::plan(dir.path(), move |call, path| {
        let is_due = call == Call::Read && path.ends_with("f1");
        let is_failing =
            is_due && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        if is_failing { Err(std::io::Error::from_raw_os_error(5)) } else { Ok(()) }
    });
    let disk = Disk::new(sample.storage(Target { read_only: true, ..target(dir.path()) }));
    let reader = disk.pool.reader(TORRENT).unwrap();
    reader.read_blocks(&requests(), &mut Vec::new()).unwrap();
    fails.store(u32::MAX, Ordering::Relaxed);
    let failure = reader.read_blocks(&requests(), &mut Vec::new()).unwrap_err();
    assert_eq!(failure.file, Some(FileIndex(1)));
    assert!(failure.error.to_string().contains("t/f1"), "{failure:?}");
}

#[test]
fn no_file_is_to_blame_when_the_system_has_no_handle_or_no_memory_left() {
    for code in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOMEM] {
        let sample = Sample::new(&[(50_000, false), (9_000, false), (60_000, false)], 65_536);
        let dir = tempfile::tempdir().unwrap();
        sample.put(dir.path());
        planned::plan(dir.path(), move |call, _| match call {
            Call::Read => Err(std::io::Error::from_raw_os_error(code.raw_os_error())),
            Call::Write | Call::Sync => Ok(()),
        });
        let disk = Disk::new(sample.storage(Target { read_only: true, ..target(dir.path()) }));
        let reader = disk.pool.reader(TORRENT).unwrap();
        let failure = reader.read_blocks(&requests(), &mut Vec::new()).unwrap_err();
        assert_eq!(failure.file, None, "{failure:?}");
    }
}
