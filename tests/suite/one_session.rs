//! One session by itself, told step by step what happens: its budgets, its limits, and how it ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use btget::base::address::Families;
use btget::base::index::{BlockRequest, PieceIndex};
use btget::base::limit;
use btget::base::peer_id::PeerId;
use btget::base::random::Rng;
use btget::base::rate::ByteRate;
use btget::base::time::{Duration, Instant};
use btget::engine::action::{Action, CloseReason, Direction, HttpRequest};
use btget::engine::disk_job::{DiskError, DiskErrorKind, DiskJob, DiskResult, Existing, Unproven};
use btget::engine::input::{ConnectionId, FetchId, HttpAnswer, Input, Origin, Transport};
use btget::engine::notice::{Notice, TorrentFailure};
use btget::engine::order::{Order, TorrentId, TorrentSpec};
use btget::engine::session::Session;
use btget::engine::settings::{Limits, Settings, Slots};
use btget::sim::content::Content;
use btget::wire::peer::message::Reserved;
use btget::wire::peer::{Handshake, Inbound, Message};
use btget::wire::tracker::AnnounceAnswer;

/// A session, what it wanted that was not done at once, and the time.
struct Bench {
    session: Session,
    now: Instant,
    actions: Vec<Action>,
}

fn content(seed: u64) -> Content {
    Content::new(&[1 << 20], 16_384, &mut Rng::from_number(seed)).expect("it fits")
}

impl Bench {
    fn new(settings: Settings) -> Bench {
        let now = Instant::ZERO + Duration::from_secs(1);
        let session = Session::new(Arc::new(settings), Rng::from_number(1), now);
        Bench { session, now, actions: Vec::new() }
    }

    /// Adds a torrent of which every piece is here.
    fn add(&mut self, torrent: u32, spec: TorrentSpec) {
        let torrent = TorrentId(torrent);
        self.give(Input::OrderGiven(Order::AddTorrent { torrent, spec: Box::new(spec) }));
    }

    fn give(&mut self, input: Input) {
        self.session.handle_input(self.now, input);
        self.settle();
    }

    /// Looks at what the session wants: all checks are passed at once.
    fn settle(&mut self) {
        while let Some(action) = self.session.poll_action() {
            let result = match action {
                Action::Disk(DiskJob::Open { torrent }) => {
                    DiskResult::Opened { torrent, result: Ok(Existing::Something) }
                }
                Action::Disk(DiskJob::Check { torrent, pieces }) => {
                    let right = pieces.clone().map(PieceIndex).collect();
                    DiskResult::Checked { torrent, pieces, result: Ok(right) }
                }
                Action::Disk(DiskJob::FindUnproven { torrent }) => {
                    let unproven = Unproven { files: Vec::new(), is_any_proven: true };
                    DiskResult::UnprovenFound { torrent, result: Ok(unproven) }
                }
                other => {
                    self.actions.push(other);
                    continue;
                }
            };
            self.session.handle_input(self.now, Input::DiskFinished(result));
        }
        self.session.check_invariants();
    }

    /// A peer connects and says these.
    fn accept(&mut self, number: u8, content: &Content, says: &[Message]) -> ConnectionId {
        let connection = ConnectionId(u32::from(number));
        let address = SocketAddr::from(([9, 9, 9, number], 6881));
        let (origin, transport) = (Origin::Accepted, Transport::Tcp);
        self.give(Input::ConnectionOpened { connection, address, origin, transport, encrypted: false });
        let info_hash = content.info_hashes().wire();
        let reserved = Reserved::NONE.with_fast();
        let handshake = Handshake { reserved, info_hash, peer_id: PeerId([number; 20]) };
        let says = says.iter().cloned().map(Inbound::Message);
        let messages = [Inbound::Handshake(handshake)].into_iter().chain(says).collect();
        self.give(Input::MessagesReceived { connection, messages });
        connection
    }

    /// What the session has wanted since it was asked last, as far as `select` wants to know.
    fn take<T>(&mut self, select: impl FnMut(&Action) -> Option<T>) -> Vec<T> {
        let taken = self.actions.iter().filter_map(select).collect();
        self.actions.clear();
        taken
    }
}

fn closed(action: &Action) -> Option<(u32, CloseReason)> {
    match action {
        Action::Close { connection, reason } => Some((connection.0, *reason)),
        _ => None,
    }
}

fn dialled(action: &Action) -> Option<SocketAddr> {
    match action {
        Action::Dial { address, .. } => Some(*address),
        _ => None,
    }
}

fn fetched(action: &Action) -> Option<(FetchId, String)> {
    match action {
        Action::FetchHttp { fetch, request } => {
            let HttpRequest { url, .. } = &**request;
            Some((*fetch, url.clone()))
        }
        _ => None,
    }
}

#[test]
fn peers_of_all_torrents_together_are_no_more_than_the_session_takes() {
    let contents = [content(1), content(2)];
    let mut bench = Bench::new(Settings { max_peers: 10, max_dials: 8, ..Settings::default() });
    for (number, content) in (0..).zip(&contents) {
        bench.add(number, content.spec(Vec::new()));
    }
    for number in 0..12 {
        bench.accept(number, &contents[usize::from(number % 2)], &[Message::HaveNone]);
    }
    assert_eq!(bench.take(closed), [(10, CloseReason::Full), (11, CloseReason::Full)]);
    for number in 0..2 {
        let addresses = (1..50).map(|host| SocketAddr::from(([8, 8, number, host], 6881))).collect();
        let torrent = TorrentId(u32::from(number));
        bench.give(Input::OrderGiven(Order::AddPeers { torrent, addresses }));
    }
    assert_eq!(bench.take(dialled), [], "there is no room");
}

#[test]
fn dials_count_as_the_peers_that_they_may_become() {
    let contents = [content(1), content(2)];
    let mut bench = Bench::new(Settings { max_peers: 10, max_dials: 8, ..Settings::default() });
    for (number, content) in (0..).zip(&contents) {
        bench.add(number, content.spec(Vec::new()));
    }
    for number in 0..3 {
        bench.accept(number, &contents[0], &[Message::HaveNone]);
    }
    for number in 0..2 {
        let addresses = (1..50).map(|host| SocketAddr::from(([8, 8, number, host], 6881))).collect();
        let torrent = TorrentId(u32::from(number));
        bench.give(Input::OrderGiven(Order::AddPeers { torrent, addresses }));
    }
    assert_eq!(bench.take(dialled).len(), 7);
    bench.accept(3, &contents[1], &[Message::HaveNone]);
    assert_eq!(bench.take(closed), [(3, CloseReason::Full)]);
}

fn unchoked(action: &Action) -> Option<ConnectionId> {
    match action {
        Action::Send { connection, message: Message::Unchoke } => Some(*connection),
        _ => None,
    }
}

#[test]
fn as_many_requests_are_queued_as_we_tell_and_one_more_is_rejected() {
    let content = content(1);
    let mut bench = Bench::new(Settings::default());
    bench.add(0, content.spec(Vec::new()));
    let connection = bench.accept(1, &content, &[Message::HaveNone, Message::Interested]);
    assert_eq!(bench.take(unchoked), [connection]);
    let requests = (0..=u32::from(limit::REQUESTS_IN)).map(|number| BlockRequest {
        piece: PieceIndex(number % 64),
        begin: number / 64,
        length: 16_384 - number / 64,
    });
    let requests: Vec<BlockRequest> = requests.collect();
    let messages = requests.iter().map(|request| Inbound::Message(Message::Request(*request))).collect();
    bench.give(Input::MessagesReceived { connection, messages });
    let (mut served, mut rejected) = (Vec::new(), Vec::new());
    for action in &bench.actions {
        match action {
            Action::Upload { blocks, .. } => served.extend(blocks.iter().copied()),
            Action::Send { message: Message::Reject(request), .. } => rejected.push(*request),
            _ => {}
        }
    }
    let most = usize::from(limit::REQUESTS_IN);
    assert_eq!(served, requests[..most]);
    assert_eq!(rejected, requests[most..]);
}

/// Two torrents that share two seats (a slot, and one to try peers out), which two peers of the first have; one of the
/// second waits.
fn two_served_and_one_waits() -> (Bench, [ConnectionId; 3]) {
    let contents = [content(1), content(2)];
    let mut bench = Bench::new(Settings { slots: Slots::Fixed(1), ..Settings::default() });
    for (number, content) in (0..).zip(&contents) {
        bench.add(number, content.spec(Vec::new()));
    }
    let says = [Message::HaveNone, Message::Interested];
    let connections = [(1, 0), (2, 0), (3, 1)].map(|(number, of)| bench.accept(number, &contents[of], &says));
    assert_eq!(bench.take(unchoked), connections[..2]);
    (bench, connections)
}

#[test]
fn the_slots_of_a_torrent_that_is_stopped_are_the_others_at_once() {
    let (mut bench, [.., waiting]) = two_served_and_one_waits();
    bench.give(Input::OrderGiven(Order::StopTorrent { torrent: TorrentId(0) }));
    assert_eq!(bench.take(unchoked), [waiting]);
}

#[test]
fn the_slot_of_a_peer_that_has_everything_now_is_for_others_at_once() {
    for news in [Message::HaveAll, Message::Bitfield(vec![255; 8].into())] {
        let (mut bench, [_, served, waiting]) = two_served_and_one_waits();
        let messages = vec![Inbound::Message(news)];
        bench.give(Input::MessagesReceived { connection: served, messages });
        assert_eq!(bench.take(unchoked), [waiting]);
    }
    let (mut bench, [_, served, waiting]) = two_served_and_one_waits();
    for piece in (0..64).map(PieceIndex) {
        let messages = vec![Inbound::Message(Message::Have(piece))];
        bench.give(Input::MessagesReceived { connection: served, messages });
    }
    assert_eq!(bench.take(unchoked), [waiting]);
}

#[test]
fn a_torrent_keeps_limits_of_its_own_and_others_do_not_feel_them() {
    let contents = [content(1), content(2)];
    let mut bench = Bench::new(Settings::default());
    let rate = 1_000_000;
    let limits = Limits { up: Some(ByteRate(rate)), down: None };
    bench.add(0, TorrentSpec { limits, ..contents[0].spec(Vec::new()) });
    bench.add(1, contents[1].spec(Vec::new()));
    let says = [Message::HaveNone, Message::Interested];
    let slow = [1, 2].map(|number| bench.accept(number, &contents[0], &says));
    for connection in slow {
        let request = BlockRequest { piece: PieceIndex(0), begin: 0, length: 16_384 };
        let messages = vec![Inbound::Message(Message::Request(request))];
        bench.give(Input::MessagesReceived { connection, messages });
    }
    let free = bench.accept(3, &contents[1], &[Message::HaveNone]);
    let mut moved: BTreeMap<ConnectionId, u64> = BTreeMap::new();
    let end = bench.now + Duration::from_secs(10);
    loop {
        let allowed = bench.take(|action| match action {
            Action::Allow { connection, direction: Direction::Up, bytes } => Some((*connection, *bytes)),
            _ => None,
        });
        for (connection, bytes) in allowed {
            if bytes == u64::MAX {
                assert_eq!(connection, free);
                moved.insert(free, bytes);
                continue;
            }
            *moved.entry(connection).or_default() += bytes;
            bench.give(Input::Moved { connection, direction: Direction::Up, bytes });
        }
        if !bench.actions.is_empty() {
            continue;
        }
        let Some((at, _)) = bench.session.poll_timeout().filter(|(at, _)| *at <= end) else { break };
        bench.now = at.max(bench.now);
        bench.session.handle_timeout(bench.now);
        bench.settle();
    }
    assert_eq!(moved[&free], u64::MAX, "without a limit nothing is counted");
    let limited = slow.map(|connection| moved[&connection]);
    let total: u64 = limited.iter().sum();
    assert!((9 * rate..=11 * rate).contains(&total), "{limited:?} in 10 s at {rate} B/s");
    assert!(limited.iter().all(|bytes| *bytes >= 4 * rate), "each has its share: {limited:?}");
}

#[test]
fn a_torrent_whose_disk_fails_dials_nobody_more_and_takes_leave_of_its_tracker() {
    let content = content(1);
    let mut bench =
        Bench::new(Settings { families: Families { v4: true, v6: false }, ..Settings::default() });
    bench.add(0, content.spec(vec![vec!["http://tracker.example/announce".to_owned()]]));
    let started = bench.actions.iter().find_map(fetched).expect("the tracker is asked");
    assert!(started.1.contains("event=started"), "{}", started.1);
    let finish = bench.take(|action| match action {
        Action::Disk(DiskJob::FinishFile { file, .. }) => Some(*file),
        _ => None,
    });
    let peers = (1..60).map(|host| SocketAddr::from(([8, 8, 8, host], 6881))).collect();
    let answer = |peers| {
        let body = AnnounceAnswer { peers, ..AnnounceAnswer::default() }.encode();
        Ok(HttpAnswer { status: 200, body, server: None })
    };
    bench.give(Input::HttpFinished { fetch: started.0, result: answer(peers) });
    for number in 0..5 {
        bench.accept(number, &content, &[Message::HaveNone]);
    }
    assert!(!bench.take(dialled).is_empty());
    let error = DiskError {
        kind: DiskErrorKind::Other,
        operation: "rename",
        file: "f".to_owned(),
        message: "it is broken".to_owned(),
    };
    let (torrent, file) = (TorrentId(0), finish[0]);
    let result = DiskResult::FileFinished { torrent, file, result: Err(error.clone()) };
    bench.give(Input::DiskFinished(result));
    assert_eq!(bench.actions.iter().filter_map(closed).count(), 5);
    assert_eq!(bench.actions.iter().filter_map(dialled).count(), 0, "nobody is dialled in their place");
    let stopped = bench.take(fetched);
    assert!(stopped.len() == 1 && stopped[0].1.contains("event=stopped"), "{stopped:?}");
    bench.give(Input::HttpFinished { fetch: stopped[0].0, result: answer(Vec::new()) });
    let failed = bench.take(|action| match action {
        Action::Notify(notice) => match &**notice {
            Notice::Failed { failure, .. } => Some(failure.clone()),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(failed, [TorrentFailure::Disk(error)]);
}
