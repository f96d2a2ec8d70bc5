//! The six torrents that every client must seed to us, and the check that each arrives.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::payload::Payload;
use crate::harness::program::Btget;
use crate::peer_process::PeerProcess;

const LIMIT: Duration = Duration::from_secs(100);

/// One of each geometry that clients are known to get wrong.
pub(crate) fn payloads() -> &'static [Payload] {
    static PAYLOADS: OnceLock<Vec<Payload>> = OnceLock::new();
    PAYLOADS.get_or_init(|| {
        let tree = [
            ("readme.txt", 700),
            ("nested/empty", 0),
            ("nested/deeper/three pieces", 200_000),
            ("nested/deeper/ends in a piece", 1),
            ("z-last", 131_072),
        ];
        vec![
            Payload::single("single.bin", 3 << 20, 256 << 10),
            Payload::tree("tree", &tree, 64 << 10),
            Payload::single("one-small-piece.bin", 5000, 32 << 10),
            Payload::single("last-piece-short.bin", (1 << 20) + 12_345, 128 << 10),
            Payload::single("pieces-of-16-kib.bin", (4 << 20) + 77, 16 << 10),
            Payload::single("pieces-of-16-mib.bin", 40 << 20, 16 << 20),
        ]
    })
}

/// A folder with a client's data, its torrents, and its own files.
pub(crate) struct SeedFolder {
    dir: TempDir,
    torrents: Vec<PathBuf>,
}

impl SeedFolder {
    /// With all of the six torrents, announcing to `url` if given, and their data.
    pub(crate) fn with_all(url: Option<&str>) -> SeedFolder {
        let folder = SeedFolder::empty();
        let torrents = payloads().iter().map(|payload| folder.add(payload, |_| true, url)).collect();
        SeedFolder { torrents, ..folder }
    }

    /// With one torrent, announcing to `url` if given, and of its data the pieces that `has` names; without any,
    /// no file at all.
    pub(crate) fn with(payload: &Payload, has: Option<fn(usize) -> bool>, url: Option<&str>) -> SeedFolder {
        let folder = SeedFolder::empty();
        if let Some(has) = has {
            write_data(payload, has, &folder.data());
        }
        let torrent = payload.write_torrent(&folder.dir.path().join("torrents"), url);
        SeedFolder { torrents: vec![torrent], ..folder }
    }

    pub(crate) fn empty() -> SeedFolder {
        let dir = tempfile::Builder::new().prefix("btget-interop-").tempdir().expect("a folder for the test");
        for folder in ["data", "torrents", "client"] {
            fs::create_dir(dir.path().join(folder)).expect("the test's folder takes a folder");
        }
        SeedFolder { dir, torrents: Vec::new() }
    }

    /// Writes the torrent, and the data with zeros in place of each piece that `has` denies.
    pub(crate) fn add(&self, payload: &Payload, has: impl Fn(usize) -> bool, url: Option<&str>) -> PathBuf {
        write_data(payload, has, &self.data());
        payload.write_torrent(&self.dir.path().join("torrents"), url)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn torrents(&self) -> &[PathBuf] {
        &self.torrents
    }

    /// For the client's configuration and logs.
    pub(crate) fn client(&self) -> PathBuf {
        self.dir.path().join("client")
    }
}

/// Writes the payload's files into `dir`, with zeros in place of each piece that `has` denies.
pub(crate) fn write_data(payload: &Payload, has: impl Fn(usize) -> bool, dir: &Path) {
    let mut start = 0;
    for (path, content) in payload.files() {
        let mut content = content.to_vec();
        for (offset, byte) in content.iter_mut().enumerate() {
            if !has((start + offset) / payload.piece_length()) {
                *byte = 0;
            }
        }
        start += content.len();
        let path = dir.join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folders can be made");
        fs::write(path, content).expect("the test's folder takes a file");
    }
}

/// Downloads the six from the client, the only seed; `addresses` has one for each, or one for all. All at once,
/// for some clients let ten seconds pass before they unchoke anyone.
pub(crate) fn download_all(folder: &SeedFolder, peer: &PeerProcess, addresses: &[SocketAddr]) {
    let one = |payload: &Payload, torrent: &Path, address: SocketAddr| {
        wait_until_seeding(address, payload)?;
        download(payload, torrent, &["--peer".to_owned(), address.to_string()])
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let addresses = addresses.iter().cycle();
        let downloads: Vec<_> = payloads()
            .iter()
            .zip(folder.torrents())
            .zip(addresses)
            .map(|((payload, torrent), address)| {
                let name = torrent.file_name().unwrap_or_default().display();
                scope.spawn(move || one(payload, torrent, *address).map_err(|what| format!("{name}: {what}")))
            })
            .collect();
        let results = downloads.into_iter().map(|download| download.join().expect("no panic in a download"));
        results.filter_map(Result::err).collect()
    });
    let last_words = peer.last_words();
    assert!(failures.is_empty(), "{}\n  the client's last words:\n    {last_words}", failures.join("\n"));
}

/// Downloads one torrent into a new folder; an error says how it fell short of exit code 0 and the same bytes.
pub(crate) fn download(payload: &Payload, torrent: &Path, flags: &[String]) -> Result<(), String> {
    let work = tempfile::Builder::new().prefix("btget-interop-").tempdir().expect("a folder for the test");
    let out = work.path().join("out");
    fs::create_dir(&out).expect("the test's folder takes a folder");
    let mut args = vec!["--timeout", "90s"];
    args.extend(flags.iter().map(String::as_str));
    Btget::download(work.path(), torrent, &out, &args).wait(LIMIT)?;
    payload.difference_in(&out).map_or(Ok(()), Err)
}

/// Waits until the client at `address` says, in its bitfield, that it has every piece of the payload.
pub(crate) fn wait_until_seeding(address: SocketAddr, payload: &Payload) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match has_all(address, payload) {
            Ok(true) => return Ok(()),
            Ok(false) if Instant::now() > deadline => return Err(format!("{address} has not all pieces")),
            Err(error) if Instant::now() > deadline => {
                return Err(format!("{address} does not seed: {error}"));
            }
            _ => thread::sleep(Duration::from_millis(250)),
        }
    }
}

/// Waits until the client at `address` answers for the payload, whatever it has of it.
pub(crate) fn wait_until_answering(address: SocketAddr, payload: &Payload) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = has_all(address, payload) {
        if Instant::now() > deadline {
            return Err(format!("{address} does not answer: {error}"));
        }
        thread::sleep(Duration::from_millis(250));
    }
    Ok(())
}

/// Asks by a handshake without extensions, to which a bitfield is the only way to say what one has.
fn has_all(address: SocketAddr, payload: &Payload) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    let mut handshake = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    handshake.extend(payload.info_hash());
    handshake.extend(b"-XX0000-is-it-seed?!");
    stream.write_all(&handshake)?;
    let mut answer = [0; 68 + 5];
    stream.read_exact(&mut answer)?;
    let length = u32::from_be_bytes([answer[68], answer[69], answer[70], answer[71]]) as usize;
    if answer[72] != 5 || length != 1 + payload.num_pieces().div_ceil(8) {
        return Ok(false);
    }
    let mut bitfield = vec![0; length - 1];
    stream.read_exact(&mut bitfield)?;
    Ok(bitfield.iter().map(|byte| byte.count_ones() as usize).sum::<usize>() == payload.num_pieces())
}

/// Loopback, where all but Transmission take peers.
pub(crate) fn loopback() -> SocketAddr {
    crate::harness::free_address(Ipv4Addr::LOCALHOST)
}
