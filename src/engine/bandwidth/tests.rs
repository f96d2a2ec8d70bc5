use super::*;
use crate::base::rate::ByteRate;

const TORRENT: TorrentId = TorrentId(1);
const OTHER: TorrentId = TorrentId(2);

/// Connections that use what they are given, in virtual time.
struct Line {
    bandwidth: Bandwidth,
    now: Instant,
    wakes: Vec<Instant>,
    peers: Vec<Peer>,
}

struct Peer {
    credit: Credit,
    /// What it would use, bytes a second.
    wants: u64,
    /// What it could have used and has not.
    pending: u64,
    used: u64,
}

impl Line {
    fn new(up: u64, peers: &[(TorrentId, u64)]) -> Line {
        let limits = Limits { down: None, up: Some(ByteRate(up)) };
        let mut line = Line {
            bandwidth: Bandwidth::new(Instant::ZERO, limits),
            now: Instant::ZERO,
            wakes: Vec::new(),
            peers: Vec::new(),
        };
        peers.iter().for_each(|(torrent, wants)| line.join(*torrent, *wants));
        line
    }

    /// Whoever joined last is gone.
    fn leave(&mut self) {
        self.bandwidth.on_left(ConnectionId(self.peers.len() as u32 - 1));
        let last = self.peers.last_mut().expect("somebody joined");
        (last.wants, last.pending) = (0, 0);
    }

    fn join(&mut self, torrent: TorrentId, wants: u64) {
        let connection = ConnectionId(self.peers.len() as u32);
        let [down, up] = self.bandwidth.on_joined(connection, torrent, false);
        assert_eq!(down.bytes, u64::MAX, "only the way up is limited");
        let mut credit = Credit::new(0);
        credit.allow(up.bytes);
        self.bandwidth.on_asked(self.now, connection);
        self.peers.push(Peer { credit, wants, pending: 0, used: 0 });
    }

    /// Steps of a millisecond.
    fn run(&mut self, time: Duration) {
        for _ in 0..time.as_millis() {
            self.now += Duration::from_millis(1);
            if self.bandwidth.poll_timeout().is_some_and(|due| due <= self.now) {
                self.wakes.push(self.now);
                for grant in self.bandwidth.handle_timeout(self.now) {
                    self.peers[grant.connection.0 as usize].credit.allow(grant.bytes);
                }
            }
            for (at, peer) in self.peers.iter_mut().enumerate() {
                // No more than a second of it piles up.
                peer.pending = (peer.pending + peer.wants / 1000).min(peer.wants.max(QUANTUM));
                while peer.pending >= QUANTUM && peer.credit.left() > 0 {
                    peer.pending -= QUANTUM;
                    peer.used += QUANTUM;
                    assert!(peer.credit.spend(QUANTUM));
                    self.bandwidth.on_moved(self.now, ConnectionId(at as u32), Direction::Up, QUANTUM);
                }
            }
        }
    }

    /// What each used from here on.
    fn used_in(&mut self, time: Duration) -> Vec<u64> {
        let before: Vec<u64> = self.peers.iter().map(|peer| peer.used).collect();
        self.run(time);
        self.peers.iter().zip(before).map(|(peer, before)| peer.used - before).collect()
    }
}

const TEN: Duration = Duration::from_secs(10);
const GREEDY: u64 = 1 << 30;

fn assert_near(used: u64, expected: u64, percent: u64) {
    let off = used.abs_diff(expected);
    assert!(off * 100 <= expected * percent, "{used} is not within {percent} % of {expected}");
}

#[test]
fn the_limit_is_kept_to_three_percent_over_ten_seconds_whatever_it_is() {
    for rate in [100_000, 1_000_000, 10_000_000, 100_000_000] {
        for peers in [1, 2, 40] {
            let mut line = Line::new(rate, &vec![(TORRENT, GREEDY); peers]);
            line.run(TEN);
            let used = line.used_in(TEN).iter().sum();
            // Each may use a block more than it is given, and pays for it later.
            let slack = if rate < 1_000_000 { 100 * QUANTUM * peers as u64 / (rate * 10) + 1 } else { 0 };
            assert_near(used, rate * 10, 3 + slack);
        }
    }
}

#[test]
fn the_first_ten_seconds_are_no_exception() {
    for rate in [1_000_000, 10_000_000, 100_000_000] {
        let mut line = Line::new(rate, &[(TORRENT, GREEDY), (TORRENT, GREEDY)]);
        assert_near(line.used_in(TEN).iter().sum(), rate * 10, 3);
    }
}

#[test]
fn equal_peers_get_the_same() {
    for rate in [50_000, 1_000_000, 100_000_000] {
        let mut line = Line::new(rate, &[(TORRENT, GREEDY), (TORRENT, GREEDY), (OTHER, GREEDY)]);
        line.run(TEN);
        let used = line.used_in(3 * TEN);
        used.iter().for_each(|one| assert_near(*one, rate * 10, 10));
    }
}

#[test]
fn what_one_does_not_use_goes_to_the_others() {
    let mut line = Line::new(1_000_000, &[(TORRENT, 100_000), (TORRENT, GREEDY), (OTHER, GREEDY)]);
    line.run(TEN);
    let used = line.used_in(TEN);
    assert_near(used[0], 1_000_000, 5);
    assert_near(used[1], 4_500_000, 5);
    assert_near(used[2], 4_500_000, 5);
}

#[test]
fn a_torrents_own_limit_holds_within_the_sessions() {
    let mut line = Line::new(1_000_000, &[(TORRENT, GREEDY), (TORRENT, GREEDY)]);
    line.bandwidth.limit_torrent(line.now, OTHER, Limits { down: None, up: Some(ByteRate(100_000)) });
    line.join(OTHER, GREEDY);
    line.join(OTHER, GREEDY);
    line.run(TEN);
    let used = line.used_in(3 * TEN);
    assert_near(used[2] + used[3], 3_000_000, 5);
    assert_near(used.iter().sum(), 30_000_000, 3);
}

#[test]
fn it_wakes_at_most_every_50_milliseconds_and_not_at_all_when_nothing_moves() {
    let mut line = Line::new(10_000_000, &[(TORRENT, GREEDY), (TORRENT, 10_000)]);
    line.run(TEN);
    assert!(line.wakes.windows(2).all(|pair| pair[1].since(pair[0]) >= TICK), "{:?}", line.wakes);
    line.peers.iter_mut().for_each(|peer| (peer.wants, peer.pending) = (0, 0));
    line.run(Duration::from_secs(1));
    line.wakes.clear();
    line.run(TEN);
    assert_eq!(line.wakes, []);
    assert_eq!(line.bandwidth.poll_timeout(), None);
}

#[test]
fn after_a_rest_a_burst_is_bounded() {
    let mut line = Line::new(1_000_000, &[(TORRENT, GREEDY), (TORRENT, GREEDY)]);
    line.peers.iter_mut().for_each(|peer| peer.wants = 0);
    line.run(6 * TEN);
    line.peers.iter_mut().for_each(|peer| peer.wants = GREEDY);
    let used: u64 = line.used_in(Duration::from_secs(1)).iter().sum();
    assert!(used <= 1_000_000 + 250_000 + 2 * (QUANTUM + FLOAT), "{used}");
}

#[test]
fn whoever_comes_and_goes_gains_nothing() {
    let mut line = Line::new(100_000, &[]);
    for _ in 0..100 {
        line.join(TORRENT, GREEDY);
        line.run(Duration::from_millis(100));
        line.leave();
    }
    let used: u64 = line.peers.iter().map(|peer| peer.used).sum();
    assert!(used <= 1_000_000 + 3 * QUANTUM, "{used}");
    line.join(TORRENT, GREEDY);
    assert_near(line.used_in(TEN)[100], 1_000_000, 10);
}

#[test]
fn whoever_comes_anew_for_each_block_leaves_the_others_their_share() {
    let mut line = Line::new(100_000, &[(TORRENT, GREEDY)]);
    for _ in 0..2_000 {
        line.join(TORRENT, GREEDY);
        line.run(Duration::from_millis(10));
        line.leave();
    }
    let used: u64 = line.peers.iter().map(|peer| peer.used).sum();
    assert_near(used, 2_000_000, 5);
    assert!(line.peers[0].used >= 800_000, "{}", line.peers[0].used);
}

#[test]
fn those_who_come_and_go_with_junk_take_nothing_from_a_download() {
    let limits = Limits { down: Some(ByteRate(100_000)), up: None };
    let mut bandwidth = Bandwidth::new(Instant::ZERO, limits);
    let honest = ConnectionId(0);
    bandwidth.on_joined(honest, TORRENT, false);
    let (mut now, mut used, mut held) = (Instant::ZERO, 0, FLOAT);
    for junk in 1..=10_000 {
        now += Duration::from_millis(1);
        bandwidth.on_joined(ConnectionId(junk), TORRENT, false);
        bandwidth.on_moved(now, ConnectionId(junk), Direction::Down, FLOAT);
        bandwidth.on_left(ConnectionId(junk));
        bandwidth.on_moved(now, honest, Direction::Down, std::mem::take(&mut held));
        for grant in bandwidth.handle_timeout(now) {
            assert_eq!(grant.connection, honest);
            held += grant.bytes;
            used += grant.bytes;
        }
    }
    assert_near(used, 1_000_000, 5);
}

#[test]
fn whoever_asks_for_nothing_holds_nothing_back() {
    let mut line = Line::new(100_000, &[(TORRENT, GREEDY)]);
    for idle in 1_000..1_500 {
        line.bandwidth.on_joined(ConnectionId(idle), TORRENT, false);
    }
    assert_near(line.used_in(TEN)[0], 1_000_000, 5);
}

#[test]
fn a_connection_that_is_not_counted_has_no_limit() {
    let limits = Limits { down: Some(ByteRate(1)), up: Some(ByteRate(1)) };
    let mut bandwidth = Bandwidth::new(Instant::ZERO, limits);
    let free = bandwidth.on_joined(ConnectionId(1), TORRENT, true);
    assert!(free.iter().all(|grant| grant.bytes == u64::MAX));
    let counted = bandwidth.on_joined(ConnectionId(2), TORRENT, false);
    assert_eq!(counted.map(|grant| grant.bytes), [FLOAT, 0]);
    bandwidth.on_moved(Instant::ZERO, ConnectionId(1), Direction::Up, 1 << 40);
    assert_eq!(bandwidth.poll_timeout(), None);
    assert!(!bandwidth.is_holding_back(TORRENT, Direction::Up));
    assert!(!bandwidth.is_holding_back(TORRENT, Direction::Up), "it has asked for nothing");
    bandwidth.on_asked(Instant::ZERO, ConnectionId(2));
    assert!(bandwidth.is_holding_back(TORRENT, Direction::Up));
}
