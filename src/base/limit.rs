//! Every bound on what a stranger can make us hold or do, in one place.

use super::time::Duration;

/// A .torrent file, bytes.
pub const TORRENT_FILE: u64 = 32 * 1024 * 1024;
/// Nesting of bencoded values.
pub const BENCODE_DEPTH: usize = 100;
/// Bencoded values in a .torrent file.
pub const BENCODE_TOKENS: usize = 3_000_000;
/// Bencoded values in a message from a peer or a tracker.
pub const MESSAGE_TOKENS: usize = 10_000;
/// Pieces of a torrent: 2^21, what a bitfield message of 1 MiB could still carry four times over.
pub const PIECES: u32 = 1 << 21;
/// Length of a piece, bytes: 256 MiB.
pub const PIECE_LENGTH: u32 = 1 << 28;
/// Files that had to be renamed because an earlier one has their path.
pub const DUPLICATE_PATHS: usize = 500;
/// Folders between the top and a file.
pub const PATH_DEPTH: usize = 100;
/// Bytes of one path element.
pub const PATH_ELEMENT: usize = 240;
/// Bytes of a file's path within its torrent: with the download folder it must stay under what systems open.
pub const PATH_BYTES: usize = 3_500;
/// All paths of a v2 torrent together, bytes: its tree names a folder once, however many files are in it.
pub const PATHS_TOTAL: usize = 256 * 1024 * 1024;
/// Trackers kept of a torrent.
pub const TRACKERS: usize = 1_000;
/// Web seeds kept of a torrent.
pub const WEB_SEEDS: usize = 200;
/// DHT nodes kept of a torrent.
pub const TORRENT_NODES: usize = 100;
/// Bytes of a URL.
pub const URL: usize = 8 * 1024;

/// Threads that hash.
pub const CHECK_THREADS: usize = 256;

/// A message of the peer wire, bytes after the length prefix.
pub const PEER_MESSAGE: usize = 1024 * 1024;
/// A message of the extension protocol that is kept, bytes after the length prefix; longer ones are skipped.
pub const EXTENSION_MESSAGE: usize = 128 * 1024;
/// An extension handshake, bytes.
pub const EXTENSION_HANDSHAKE: usize = 64 * 1024;
/// Requests that a peer may have queued with us; told to it as `reqq`.
pub const REQUESTS_IN: u16 = 2048;
/// Requests that we keep out with a peer at the most.
pub const REQUESTS_OUT: u16 = 2048;
/// Requests out with a peer that has told no `reqq`.
pub const REQUESTS_OUT_UNTOLD: u16 = 500;

/// Peers known of a torrent, connected or not.
pub const KNOWN_PEERS: usize = 3_000;
/// Banned peers remembered of a torrent.
pub const BANNED_PEERS: usize = 3_000;
/// Addresses remembered at which we met ourselves.
pub const OWN_ADDRESSES: usize = 64;
/// Failures of pieces of a torrent whose block digests are kept, to find who spoiled them.
pub const FAILED_PIECES: usize = 256;
/// Blocks of failed pieces whose digests are kept.
pub const FAILED_BLOCKS: usize = 65_536;
/// Incoming connections from one IP address, but for loopback and private ones.
pub const CONNECTIONS_PER_IP: usize = 8;

/// Incoming connections that have not shaken hands yet; the oldest gives way. Twice as many of the last second.
pub const UNGREETED: usize = 64;

/// An answer of a tracker, bytes.
pub const TRACKER_ANSWER: usize = 1024 * 1024;
/// Bencoded values in an answer of a tracker: a list of peers has seven a peer.
pub const TRACKER_TOKENS: usize = 100_000;
/// Peers taken from one answer of a tracker, of each address family.
pub const TRACKER_PEERS: usize = 2_000;
/// Bytes of the id that a tracker wants to have sent back.
pub const TRACKER_ID: usize = 256;
/// Text of a tracker or peer that is shown to people, characters.
pub const SHOWN_TEXT: usize = 256;
/// Torrents that our own tracker keeps.
pub const TRACKED_TORRENTS: usize = 10_000;
/// Peers of one torrent that our own tracker keeps.
pub const TRACKED_SWARM: usize = 5_000;
/// Peers that our own tracker keeps in all.
pub const TRACKED_PEERS: usize = 100_000;
/// Peers in one answer of our own tracker.
pub const TOLD_PEERS: usize = 200;
/// HTTP requests under way at once.
pub const HTTP_REQUESTS: usize = 50;
/// Torrent files fetched from their URLs at once: each may be as long as [`TORRENT_FILE`].
pub const TORRENT_FETCHES: usize = 8;
/// Redirects followed.
pub const REDIRECTS: usize = 5;
/// An announce interval is taken to be at least this.
pub const INTERVAL_MIN: Duration = Duration::from_secs(60);
/// An announce interval is taken to be at most this.
pub const INTERVAL_MAX: Duration = Duration::from_secs(2 * 60 * 60);
/// Announces to one tracker are at least so far apart, whatever it allows.
pub const ANNOUNCE_GAP_MIN: Duration = Duration::from_secs(30);
/// What peers behind one address are given of a torrent while they wait for a slot, bytes, or one piece if it is longer.
pub const FAST_BYTES: u64 = 4 * 1024 * 1024;
/// Pieces that a peer may allow us while it chokes us.
pub const ALLOWED_FAST: usize = 32;
/// Pieces that a peer suggested and that are remembered.
pub const SUGGESTED: usize = 16;
/// Impossible requests of a peer before it is closed.
pub const BAD_REQUESTS: u32 = 300;
/// Changes of choking and interest that a peer may make within [`FLOOD_WINDOW`].
pub const STATE_CHANGES: u32 = 1_000;
/// Messages that a peer may send in vain within [`FLOOD_WINDOW`].
pub const IDLE_TALK: u32 = 10_000;
/// How long changes, and messages that brought nothing, are counted before it begins anew.
pub const FLOOD_WINDOW: Duration = Duration::from_secs(10);
/// How long a peer may take nothing of what it has asked for.
pub const UNTAKEN: Duration = Duration::from_secs(3 * 60);
/// Messages that may wait for a peer to read them, bytes.
pub const UNREAD: usize = 512 * 1024;
/// Blocks that are read for a peer at a time and leave in one call, if it takes so much: 512 KiB, half a processor's
/// own cache.
pub const LONG_ROW: usize = 32;
/// The same for other peers, and for all while [`LONG_ROWS`] bytes wait.
pub const SHORT_ROW: usize = 8;
/// Payload that is read and waits to be sent or is kept, bytes, from which on no long rows are read.
pub const LONG_ROWS: usize = 8 * 1024 * 1024;
/// Payload of the above that is kept for others who want the same, bytes.
pub const HOT_ROWS: usize = 4 * 1024 * 1024;
/// Payload that a peer may send in vain, beyond what it gave usefully, bytes.
pub const WASTED_BY_PEER: u64 = 64 * 1024 * 1024;
/// The same, once everything is here: what was under way by then is little.
pub const WASTED_ON_SEED: u64 = 4 * 1024 * 1024;
/// A tracker that refuses may put us off for at most this long.
pub const RETRY_IN_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Other names that are tried for a download whose place is somebody else's.
pub const OTHER_NAMES: u32 = 1_000;
/// Complaints that are remembered in a run, so that each is made once; more are not made.
pub const COMPLAINTS: usize = 1_000;
/// Notices that may be dropped and wait for somebody to take them.
pub const NOTICES: usize = 1_000;
/// What is said to people and waits for somebody to read it, bytes.
pub const UNREAD_WORDS: usize = 1024 * 1024;
/// The same, where it is only the log that has more to say.
pub const UNREAD_LOG: usize = 256 * 1024;
/// A file of the state folder, bytes.
pub const STATE_FILE: u64 = 64 * 1024 * 1024;
