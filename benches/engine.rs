//! What the engine itself costs a block: everything but hashing, copying and system calls.
//!
//! One session downloads a synthetic torrent from several peers that have everything. Reads of 16 blocks
//! come in, actions are drained, disk jobs are answered as a perfect disk would. Only the time inside the
//! session is counted. `cargo bench --bench engine` prints nanoseconds a block; the budget is 3 µs.

#![allow(clippy::print_stdout, reason = "a bench is there to print")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use btget::base::bitfield::Bitfield;
use btget::base::block_data::{BlockData, Buffer};
use btget::base::file_map::FileMap;
use btget::base::hash::{InfoHashes, PieceHashes, Sha1Hash};
use btget::base::index::BlockRequest;
use btget::base::layout::{BLOCK_LENGTH, Layout};
use btget::base::peer_id::PeerId;
use btget::base::random::Rng;
use btget::base::time::Instant;
use btget::engine::action::Action;
use btget::engine::disk_job::{DiskJob, DiskResult, Existing, PieceJob, Verdict};
use btget::engine::input::{ConnectionId, Input, Origin, Transport};
use btget::engine::order::{Order, TorrentId, TorrentSpec};
use btget::engine::session::Session;
use btget::engine::settings::{Limits, Settings};
use btget::wire::peer::message::Reserved;
use btget::wire::peer::{Handshake, Inbound, Message};

/// Blocks that one read brings.
const READ: usize = 16;

struct Bench {
    session: Session,
    now: Instant,
    spent: Duration,
    /// By peer: what it was asked for.
    asked: Vec<VecDeque<BlockRequest>>,
    disk: Vec<DiskJob>,
    payload: Arc<dyn Buffer>,
    layout: Arc<Layout>,
}

impl Bench {
    fn input(&mut self, input: Input) {
        self.now += Duration::from_micros(10);
        let mut actions = Vec::with_capacity(1024);
        let start = Clock::now();
        self.session.handle_input(self.now, input);
        while let Some(action) = self.session.poll_action() {
            actions.push(action);
        }
        black_box(self.session.poll_timeout());
        self.spent += start.elapsed();
        for action in actions {
            match action {
                Action::Send { connection, message: Message::Request(request) } => {
                    self.asked[connection.0 as usize].push_back(request);
                }
                Action::Send { connection, message: Message::Cancel(request) } => {
                    self.asked[connection.0 as usize].retain(|asked| *asked != request);
                }
                Action::Disk(job) => self.disk.push(job),
                _ => {}
            }
        }
    }

    fn answer_disk(&mut self) {
        for job in std::mem::take(&mut self.disk) {
            let result = match job {
                DiskJob::Open { torrent } => DiskResult::Opened { torrent, result: Ok(Existing::Nothing) },
                DiskJob::Advance(job) => advance(job, &self.layout),
                DiskJob::FinishFile { torrent, file } => {
                    DiskResult::FileFinished { torrent, file, result: Ok(()) }
                }
                DiskJob::Remember { torrent, .. } => DiskResult::Remembered { torrent },
                DiskJob::Check { .. }
                | DiskJob::OpenElsewhere { .. }
                | DiskJob::FindUnproven { .. }
                | DiskJob::Settle { .. }
                | DiskJob::Close { .. } => continue,
            };
            self.input(Input::DiskFinished(result));
        }
    }

    fn deliver(&mut self, peer: usize) -> usize {
        let count = self.asked[peer].len().min(READ);
        let block = |request: BlockRequest| {
            let data = BlockData::new(self.payload.clone(), 0, request.length as usize);
            let data = data.expect("the buffer holds a block");
            Inbound::Message(Message::Piece { piece: request.piece, begin: request.begin, data })
        };
        let messages: Vec<Inbound> = self.asked[peer].drain(..count).map(block).collect();
        if count > 0 {
            self.input(Input::MessagesReceived { connection: ConnectionId(peer as u32), messages });
        }
        count
    }
}

fn advance(mut job: Box<PieceJob>, layout: &Layout) -> DiskResult {
    for (block, _) in job.blocks.drain(..) {
        job.written[block as usize] = true;
    }
    while job.written.get(job.front as usize) == Some(&true) {
        job.front += 1;
    }
    let is_whole = job.front == layout.blocks_in(job.piece);
    let verdict = is_whole.then(|| Verdict::Passed { digests: Vec::new() });
    DiskResult::Advanced { job, result: Ok(verdict) }
}

/// Nanoseconds a block for a torrent of `pieces` pieces from `peers` peers.
fn measure(pieces: u32, piece_length: u32, peers: usize) -> f64 {
    let layout =
        Arc::new(Layout::uniform(u64::from(pieces) * u64::from(piece_length), piece_length).expect("fits"));
    let spec = TorrentSpec {
        info_hashes: InfoHashes { v1: Some(Sha1Hash([1; 20])), v2: None },
        layout: layout.clone(),
        piece_hashes: PieceHashes::v1(vec![Sha1Hash([2; 20]); pieces as usize]),
        file_map: Arc::new(FileMap::new([(layout.total(), false)]).expect("fits")),
        is_private: false,
        trackers: Vec::new(),
        seed_only: false,
        super_seed: false,
        limits: Limits::default(),
    };
    let settings = Settings { max_peers: 1000, max_peers_torrent: 1000, ..Settings::default() };
    let session = Session::new(Arc::new(settings), Rng::from_number(1), Instant::ZERO);
    let payload: Arc<dyn Buffer> = Arc::new(vec![0; BLOCK_LENGTH as usize]);
    let mut bench = Bench {
        session,
        now: Instant::ZERO,
        spent: Duration::ZERO,
        asked: vec![VecDeque::new(); peers],
        disk: Vec::new(),
        payload,
        layout,
    };
    bench.input(Input::OrderGiven(Order::AddTorrent { torrent: TorrentId(0), spec: Box::new(spec) }));
    bench.answer_disk();
    for peer in 0..peers {
        open(&mut bench, peer, pieces);
    }
    bench.spent = Duration::ZERO;
    let mut blocks = 0;
    loop {
        let delivered: usize = (0..peers).map(|peer| bench.deliver(peer)).sum();
        bench.answer_disk();
        blocks += delivered;
        if delivered == 0 {
            break;
        }
    }
    let needed = bench.layout.total() / u64::from(BLOCK_LENGTH);
    let extra = (blocks as u64).checked_sub(needed).expect("everything was fetched");
    assert!(extra <= needed / 50, "{extra} of {needed} blocks came twice");
    bench.spent.as_nanos() as f64 / blocks as f64
}

fn open(bench: &mut Bench, peer: usize, pieces: u32) {
    let connection = ConnectionId(peer as u32);
    let address = ([10, 0, (peer / 250) as u8, (peer % 250 + 1) as u8], 6881).into();
    let (origin, transport) = (Origin::Accepted, Transport::Tcp);
    bench.input(Input::ConnectionOpened { connection, address, origin, transport, encrypted: false });
    let mut peer_id = *b"-XX0001-000000000000";
    peer_id[12..].copy_from_slice(format!("{peer:08}").as_bytes());
    let handshake =
        Handshake { reserved: Reserved::NONE, info_hash: Sha1Hash([1; 20]), peer_id: PeerId(peer_id) };
    let bitfield = Message::Bitfield(Bitfield::full(pieces).to_wire().into_boxed_slice());
    let messages =
        vec![Inbound::Handshake(handshake), Inbound::Message(bitfield), Inbound::Message(Message::Unchoke)];
    bench.input(Input::MessagesReceived { connection, messages });
}

fn main() {
    println!("{:>8} {:>10} {:>6} {:>12}", "pieces", "KiB each", "peers", "ns a block");
    for (pieces, length, peers) in [
        (1024, 1 << 20, 1),
        (1024, 1 << 20, 64),
        (65_536, 16 << 10, 1),
        (100_000, 64 << 10, 500),
        (64, 16 << 20, 8),
    ] {
        let mut runs: Vec<f64> = (0..5).map(|_| measure(pieces, length, peers)).collect();
        runs.sort_by(f64::total_cmp);
        println!("{pieces:>8} {:>10} {peers:>6} {:>12.0}", length >> 10, runs[2]);
    }
}
