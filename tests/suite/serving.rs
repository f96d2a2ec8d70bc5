//! The program as a seed, on loopback: what its takers get, whatever they and the disk do. The takers speak BEP 3
//! through std's sockets and none of the program's own code.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::harness::free_address;
use crate::harness::payload::{BLOCK, Payload};
use crate::harness::program::Btget;

const LIMIT: Duration = Duration::from_secs(60);
/// More than the buffers of a connection that is not read take.
const LENGTH: usize = 32 << 20;
const BLOCKS: usize = LENGTH / BLOCK;

struct Served {
    work: tempfile::TempDir,
    payload: Payload,
    address: SocketAddr,
    btget: Btget,
}

fn serve(name: &str) -> Served {
    let work = tempfile::tempdir().expect("a folder for the test");
    let payload = Payload::single(name, LENGTH, 1 << 20);
    for (path, content) in payload.files() {
        fs::write(work.path().join(path), content).expect("the test's folder takes a file");
    }
    let torrent = payload.write_torrent(work.path(), None);
    let address = free_address(Ipv4Addr::LOCALHOST);
    let port = address.port().to_string();
    let args =
        ["--seed", "--port", &port, "--progress", "line", "-v", "--encryption", "off", "--slots", "16"];
    let btget = Btget::download(work.path(), &torrent, work.path(), &args);
    Served { work, payload, address, btget }
}

/// A leecher that asks and reads when it is told to.
struct Taker {
    stream: TcpStream,
}

impl Taker {
    /// Connects, and is unchoked. Who comes while the program still opens its files may be sent away.
    fn connect(served: &Served, name: &[u8; 20]) -> Taker {
        let mut hello = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
        hello.extend_from_slice(&served.payload.info_hash());
        hello.extend_from_slice(name);
        hello.extend_from_slice(&[0, 0, 0, 1, 2]);
        let greet = || -> std::io::Result<TcpStream> {
            let mut stream = TcpStream::connect(served.address)?;
            // Some systems would let the whole payload wait to be read.
            SockRef::from(&stream).set_recv_buffer_size(256 * 1024)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.write_all(&hello)?;
            stream.read_exact(&mut [0; 68])?;
            Ok(stream)
        };
        let deadline = Instant::now() + LIMIT;
        let stream = loop {
            match greet() {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => panic!("{error}:\n{}", served.btget.stderr()),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let mut taker = Taker { stream };
        while taker.message().expect("it unchokes") != [1] {}
        taker
    }

    /// The next message without its length; `None` when the connection has ended, be it within a message.
    fn message(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.read_exact(&mut length)?;
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        assert!(message.len() <= BLOCK + 9, "no message is so long: {}", message.len());
        self.read_exact(&mut message)?;
        Some(message)
    }

    fn read_exact(&mut self, out: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(out) {
            Ok(()) => Some(()),
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn ask(&mut self, payload: &Payload, id: u8, blocks: impl Iterator<Item = usize>) {
        let mut messages = Vec::new();
        for block in blocks {
            let at = block * BLOCK;
            messages.extend_from_slice(&[0, 0, 0, 13, id]);
            for number in [at / payload.piece_length(), at % payload.piece_length(), BLOCK] {
                messages.extend_from_slice(&(number as u32).to_be_bytes());
            }
        }
        self.stream.write_all(&messages).expect("it reads");
    }

    /// The next block, which must be right; other messages are passed over.
    fn block(&mut self, payload: &Payload) -> Option<usize> {
        loop {
            let message = self.message()?;
            if message.first() != Some(&7) {
                continue;
            }
            let number = |at: usize| {
                let bytes = message[at..at + 4].try_into().expect("four bytes");
                u32::from_be_bytes(bytes) as usize
            };
            let at = number(1) * payload.piece_length() + number(5);
            assert!(message[9..] == payload.bytes()[at..at + BLOCK], "the block at {at} is wrong");
            return Some(at / BLOCK);
        }
    }
}

const REQUEST: u8 = 6;
const CANCEL: u8 = 8;

#[test]
fn a_taker_that_does_not_read_holds_up_no_other_and_gets_all_once_it_reads() {
    let served = serve("slow-taker");
    let payload = &served.payload;
    let mut idle = Taker::connect(&served, b"-XX0001-idle-taker-1");
    idle.ask(payload, REQUEST, 0..BLOCKS);
    let mut busy = Taker::connect(&served, b"-XX0001-busy-taker-1");
    for window in 0..BLOCKS / 64 {
        let blocks = window * 64..(window + 1) * 64;
        busy.ask(payload, REQUEST, blocks.clone());
        let got: Vec<Option<usize>> = blocks.clone().map(|_| busy.block(payload)).collect();
        assert_eq!(got, blocks.map(Some).collect::<Vec<_>>());
    }
    for block in 0..BLOCKS {
        assert_eq!(idle.block(payload), Some(block));
    }
}

#[test]
fn a_crowd_that_wants_the_same_at_once_gets_all_of_it_right() {
    let served = serve("crowd");
    let (payload, length) = (&served.payload, BLOCKS / 2);
    // In step with each other or not, from the start of a piece or not, forwards, and in strides.
    let order = |taker: usize| -> Vec<usize> {
        match taker {
            0..6 => (0..length).map(|block| (block + 5 * taker) % length).collect(),
            _ => (0..length).map(|block| block * 7 % length).collect(),
        }
    };
    let fetch = |taker: usize| {
        let name = format!("-XX0001-one-of-many{taker}");
        let mut peer = Taker::connect(&served, name.as_bytes().try_into().expect("twenty bytes"));
        for blocks in order(taker).chunks(if taker == 3 { 20 } else { 100 }) {
            peer.ask(payload, REQUEST, blocks.iter().copied());
            for block in blocks {
                assert_eq!(peer.block(payload), Some(*block), "taker {taker}");
            }
        }
    };
    std::thread::scope(|scope| {
        (0..8).for_each(|taker| {
            scope.spawn(move || fetch(taker));
        });
    });
}

#[test]
fn what_a_taker_cancels_before_it_leaves_does_not_come_and_the_rest_comes_right() {
    let served = serve("cancelling-taker");
    let payload = &served.payload;
    let mut taker = Taker::connect(&served, b"-XX0001-cancelling-1");
    taker.ask(payload, REQUEST, 0..BLOCKS);
    assert_eq!(taker.block(payload), Some(0));
    // The last quarter is far beyond what fits into the buffers of the connection.
    let is_cancelled = |block: &usize| *block >= BLOCKS / 4 * 3 && !block.is_multiple_of(5);
    taker.ask(payload, CANCEL, (0..BLOCKS).filter(is_cancelled));
    // Whatever the cancels have done, what is asked for behind them comes behind the rest.
    taker.ask(payload, REQUEST, std::iter::once(0));
    for block in (1..BLOCKS).filter(|block| !is_cancelled(block)).chain([0]) {
        assert_eq!(taker.block(payload), Some(block));
    }
}

/// Where the system can be told how much to take beforehand.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
#[test]
fn what_a_slow_taker_cancels_does_not_come_even_if_it_was_next() {
    let served = serve("slow-cancelling-taker");
    let payload = &served.payload;
    let mut taker = Taker::connect(&served, b"-XX0001-slow-cancel1");
    taker.ask(payload, REQUEST, 0..BLOCKS);
    let read = BLOCKS / 4;
    for block in 0..read {
        assert_eq!(taker.block(payload), Some(block));
        // That is what makes it slow.
        std::thread::sleep(Duration::from_millis(1));
    }
    taker.ask(payload, CANCEL, read..BLOCKS);
    taker.ask(payload, REQUEST, std::iter::once(BLOCKS - 1));
    let late = std::iter::from_fn(|| taker.block(payload)).take_while(|block| *block != BLOCKS - 1).count();
    // The taker's own buffer holds half a MiB.
    assert!(late * BLOCK < 3 << 19, "{late} cancelled blocks came");
}

#[test]
fn a_file_that_shrinks_while_it_is_served_ends_the_connection_and_nothing_wrong_is_sent() {
    let served = serve("shrinking");
    let payload = &served.payload;
    let mut taker = Taker::connect(&served, b"-XX0001-shrinking--1");
    taker.ask(payload, REQUEST, 0..BLOCKS);
    assert_eq!(taker.block(payload), Some(0));
    let (path, _) = payload.files().remove(0);
    let file = fs::OpenOptions::new().write(true).open(served.work.path().join(path)).unwrap();
    file.set_len(1000).unwrap();
    let mut next = 1;
    while let Some(block) = taker.block(payload) {
        assert_eq!(block, next);
        next += 1;
    }
    assert!(next < BLOCKS, "all was sent of a file that had been cut off");
}
