//! A client whose disk is slow, or does not answer at all.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::{Client, ClientSettings, Listen, NewTorrent, OPEN_FILES, connections};
use crate::base::digest;
use crate::engine::notice::Notice;
use crate::engine::settings::Settings;
use crate::engine::snapshot::{Detail, StallReason, TorrentSnapshot};
use crate::metainfo::Metainfo;
use crate::metainfo::create::{Content, Draft};
use crate::runtime::disk::door::fault::{Call, planned::plan};
use crate::runtime::disk::{SyncPolicy, Target};

const PIECE: usize = 64 * 1024;
const MEMORY: u64 = 1024 * 1024;
const LIMIT: Duration = Duration::from_secs(60);

/// Writes wait here until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Before each write below `dir`; whoever holds the receiver hears of it.
    fn before_writes(dir: &Path) -> (Gate, Receiver<()>) {
        let (gate, (reached, is_reached)) = (Gate::default(), channel());
        let (waited, reached): (Gate, Mutex<Sender<()>>) = (gate.clone(), Mutex::new(reached));
        plan(dir, move |call, _| {
            if call == Call::Write {
                let _ = reached.lock().unwrap().send(());
                let is_open = waited.0.0.lock().unwrap();
                drop(waited.0.1.wait_while(is_open, |is_open| !*is_open).unwrap());
            }
            Ok(())
        });
        (gate, is_reached)
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Threads that still wait are not to wait for ever.
        self.open();
    }
}

/// A seed that has everything, and a client that downloads from it.
struct Pair {
    dir: tempfile::TempDir,
    content: Vec<u8>,
    seed: Client,
    client: Client,
    gate: Gate,
    is_reached: Receiver<()>,
}

impl Pair {
    async fn start(length: usize) -> Pair {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..length).map(|at| (at * 7 + at / 251 + at / 65_521) as u8).collect();
        let draft = Draft {
            name: "payload".to_owned(),
            content: Content::File { length: length as u64, executable: false },
            piece_length: PIECE as u32,
            digests: content.chunks(PIECE).map(digest::sha1).collect(),
            ..Draft::default()
        };
        let metainfo = Arc::new(Metainfo::from_bytes(&draft.to_bytes()).unwrap());
        std::fs::create_dir(dir.path().join("seed")).unwrap();
        std::fs::write(dir.path().join("seed/payload"), &content).unwrap();
        let add = |client: &Client, target, peers| {
            let metainfo = metainfo.clone();
            client.add(NewTorrent {
                metainfo,
                target,
                output: None,
                peers,
                trackers: Vec::new(),
                seed_only: false,
                super_seed: false,
            });
        };
        let mut seed = client();
        add(&seed, Target { read_only: true, ..Target::new(dir.path().join("seed")) }, Vec::new());
        while !matches!(seed.notice().await, Some(Notice::Complete { .. })) {}
        let place = dir.path().join("client");
        let (gate, is_reached) = Gate::before_writes(&place);
        let client = client();
        add(&client, Target::new(place), vec![([127, 0, 0, 1], seed.port()).into()]);
        Pair { dir, content, seed, client, gate, is_reached }
    }

    async fn snapshot(&self) -> TorrentSnapshot {
        self.client.snapshot(Detail::Totals).await.torrents.remove(0)
    }

    fn wait_for_a_write(&self) {
        self.is_reached.recv_timeout(LIMIT).expect("something is written");
    }
}

fn client() -> Client {
    Client::start(ClientSettings {
        ports: None,
        listen: Listen { v4: true, v6: false, loopback_only: true },
        check_threads: None,
        state: None,
        sync: SyncPolicy::None,
        engine: Settings { memory: MEMORY, ..Settings::default() },
    })
    .unwrap()
}

#[tokio::test]
async fn while_the_disk_does_not_keep_up_little_is_taken_from_peers_and_people_are_told() {
    let mut pair = Pair::start(16 << 20).await;
    let began = Instant::now();
    let stuck = loop {
        let torrent = pair.snapshot().await;
        if torrent.waiting == Some(StallReason::DiskSlow) {
            break torrent;
        }
        assert!(began.elapsed() < LIMIT, "nobody is told: {torrent:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // What is read in one go may come on top.
    assert!(stuck.downloaded <= MEMORY + (512 << 10), "{} bytes are in memory", stuck.downloaded);
    pair.gate.open();
    while !matches!(pair.client.notice().await, Some(Notice::Complete { .. })) {}
    assert!(std::fs::read(pair.dir.path().join("client/payload")).unwrap() == pair.content);
}

#[tokio::test]
async fn a_disk_that_hangs_does_not_keep_anybody_from_leaving() {
    let pair = Pair::start(1 << 20).await;
    pair.wait_for_a_write();
    let began = Instant::now();
    pair.client.shut_down(Duration::from_secs(2)).await;
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());

    let pair = Pair::start(1 << 20).await;
    pair.wait_for_a_write();
    let began = Instant::now();
    drop(pair.client);
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_seed_whose_only_file_cannot_be_read_ends_and_names_it() {
    let mut pair = Pair::start(16 << 20).await;
    pair.wait_for_a_write();
    let data = std::fs::File::options().write(true).open(pair.dir.path().join("seed/payload")).unwrap();
    data.set_len(0).unwrap();
    pair.gate.open();
    let error = tokio::time::timeout(LIMIT, async {
        loop {
            if let Notice::Failed { failure, .. } = pair.seed.notice().await.expect("it runs on") {
                break failure;
            }
        }
    });
    let error = error.await.expect("it ends");
    let error = error.to_string();
    assert!(error.contains("seed/payload"), "{error}");
}

#[test]
fn connections_leave_handles_for_everything_else() {
    for handles in [64, 256, 1024, 65_536] {
        let left = handles - (handles / 2).min(OPEN_FILES) - connections(handles) as u64;
        assert!(left >= 16, "{handles}: {left}");
    }
    assert!(connections(1024) >= Settings::default().max_peers, "the usual limit does for the usual number");
}
