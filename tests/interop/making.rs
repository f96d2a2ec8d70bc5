//! Torrents that we make, read by others, and theirs verified by us.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use btget::metainfo::Metainfo;

use crate::clients;
use crate::harness::payload::Payload;
use crate::peer_process::{find, find_libtorrent, find_rqbit};
use crate::seeding::loopback;

/// A folder with a tree that others have opinions about, and our torrent of it.
struct Made {
    folder: tempfile::TempDir,
    hash: String,
}

impl Made {
    fn new() -> Made {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let files = [("a b.txt", 700), ("é/empty", 0), ("é/big", 300_000), ("z", 131_072), (".hidden", 1)];
        for (path, content) in Payload::tree("tree", &files, 64 << 10).files() {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a folder can be made");
            fs::write(path, content).expect("the test's folder takes a file");
        }
        let mut made = Made { folder, hash: String::new() };
        let flags = ["-t", "http://t.example/a,udp://u.example:80", "-t", "http://v.example/a"];
        let more = [
            "-w",
            "http://w.example/",
            "--private",
            "--source",
            "S",
            "--comment",
            "ü",
            "--piece-length",
            "32K",
        ];
        let output = made.btget(&[&["create", "tree"], &flags[..], &more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let bytes = fs::read(made.path("tree.torrent")).expect("it was made");
        let hashes = Metainfo::from_bytes(&bytes).expect("it can be read").info_hashes;
        made.hash = hashes.v1.expect("it is of version 1").to_string();
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn btget(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_btget"));
        command.args(args).current_dir(self.folder.path()).output().expect("btget starts")
    }

    /// Runs another program on our torrent; what it prints must tell our hash.
    fn assert_read_by(&self, program: &Path, args: &[&str]) {
        let output = self.run(program, args);
        assert!(text(&output.stdout).contains(&self.hash), "{}: {output:?}", program.display());
    }

    /// Has another program make `theirs.torrent` of so many files, and verifies the tree by it.
    fn assert_verified(&self, files: usize, program: &Path, args: &[&str]) {
        self.run(program, args);
        let output = self.btget(&["verify", "theirs.torrent"]);
        let stdout = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{}: {stdout}{}", program.display(), text(&output.stderr));
        assert_eq!(stdout.lines().filter(|line| line.starts_with("ok ")).count(), files, "{stdout}");
    }

    fn run(&self, program: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.folder.path()).env("LC_ALL", "C.UTF-8");
        let output = command.output().expect("the program starts");
        assert!(output.status.success(), "{}: {output:?}", program.display());
        output
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn libtorrent_reads_what_we_make_and_we_verify_what_it_makes() {
    let Some(python) = find_libtorrent() else { return };
    let made = Made::new();
    let show = "import libtorrent as lt; t = lt.torrent_info('tree.torrent'); print(t.info_hashes().v1, t.num_files())";
    made.assert_read_by(&python, &["-c", show]);
    // Without flags it makes a hybrid, with padding in its first version.
    for flags in [", lt.create_torrent.v1_only", ""] {
        let make = format!(
            "import libtorrent as lt; f = lt.file_storage(); lt.add_files(f, 'tree'); \
             t = lt.create_torrent(f, 32768{flags}); lt.set_piece_hashes(t, '.'); \
             open('theirs.torrent', 'wb').write(lt.bencode(t.generate()))"
        );
        made.assert_verified(5, &python, &["-c", &make]);
    }
}

#[test]
fn transmission_reads_what_we_make_and_we_verify_what_it_makes() {
    let (Some(show), Some(create)) = (find("transmission-show"), find("transmission-create")) else { return };
    let made = Made::new();
    made.assert_read_by(&show, &["tree.torrent"]);
    // It leaves out what is hidden or empty.
    made.assert_verified(3, &create, &["-s", "32", "-o", "theirs.torrent", "tree"]);
}

#[test]
fn aria2_reads_what_we_make() {
    let Some(program) = find("aria2c") else { return };
    Made::new().assert_read_by(&program, &["--no-conf", "-S", "tree.torrent"]);
}

#[test]
fn rqbit_reads_what_we_make() {
    let Some(program) = find_rqbit() else { return };
    let made = Made::new();
    // Only its interface for other programs tells the hash.
    let api = loopback();
    let work = made.path("rqbit");
    fs::create_dir(&work).expect("the test's folder takes a folder");
    let rqbit = clients::rqbit_server(&program, &work, api);
    let torrent = fs::read(made.path("tree.torrent")).expect("it was made");
    let deadline = Instant::now() + Duration::from_secs(60);
    let said = loop {
        match post(api, "/torrents?list_only=true", &torrent) {
            Ok(answer) => break answer,
            Err(error) => assert!(Instant::now() < deadline, "{error}: {}", rqbit.last_words()),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(said.contains(&made.hash) && said.contains("300000"), "{said}");
}

fn post(server: SocketAddr, path: &str, body: &[u8]) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(text(&answer))
}

#[test]
fn we_verify_what_mktorrent_makes() {
    let Some(program) = find("mktorrent") else { return };
    Made::new().assert_verified(5, &program, &["-l", "15", "-o", "theirs.torrent", "tree"]);
}
