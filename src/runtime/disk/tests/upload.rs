//! Reading for peers.

use std::sync::mpsc::channel;

use super::{Disk, Sample, TORRENT, target};
use crate::base::index::{BlockRequest, PieceIndex};
use crate::engine::order::TorrentId;
use crate::runtime::disk::Target;
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
    assert_eq!(reader.read_blocks_cached(&requests(), &mut buffer), Ok(false), "no file is open");
    reader.read_blocks(&requests(), &mut buffer).unwrap();
    // Whether the system still has it in memory, and can tell, is not for us to say.
    if reader.read_blocks_cached(&requests(), &mut buffer).unwrap() {
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
fn a_missing_file_and_an_unknown_torrent_are_told() {
    let (_sample, dir, disk) = served();
    std::fs::remove_file(dir.path().join("t/f2")).unwrap();
    let reader = disk.pool.reader(TORRENT).unwrap();
    assert!(reader.read_blocks(&requests(), &mut Vec::new()).is_err());
    assert!(disk.pool.reader(TorrentId(8)).is_none());
    let (sender, receiver) = channel();
    let done = Box::new(move |result: Result<_, _>| sender.send(result.is_err()).unwrap());
    disk.pool.submit_upload(TorrentId(8), requests(), Vec::new(), done);
    assert!(receiver.recv().unwrap());
}
