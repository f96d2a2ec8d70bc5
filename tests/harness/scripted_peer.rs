//! A peer of BEP 3 alone that follows a script: it has some pieces, spoils some blocks, leaves when told to.
//! It speaks through std threads and none of the program's own code, and keeps a record of what it sent.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::payload::{BLOCK, Payload};

const UNCHOKE: u8 = 1;
const INTERESTED: u8 = 2;
const BITFIELD: u8 = 5;
const REQUEST: u8 = 6;
const PIECE: u8 = 7;

/// How the peer behaves.
#[derive(Clone)]
pub(crate) struct Script {
    /// Where it listens, or whom it dials.
    pub(crate) address: SocketAddr,
    /// Dials the address, again and again until it gets through, rather than listening.
    pub(crate) dials: bool,
    /// The pieces that it says it has.
    pub(crate) pieces: Range<usize>,
    /// Of so many blocks the last goes out with one byte changed; 0: none.
    pub(crate) corrupts_every: usize,
    /// How long it rests before each block.
    pub(crate) pause: Duration,
    /// Leaves, and listens no more, when it has sent every block of its pieces.
    pub(crate) leaves_when_served: bool,
}

/// What the peer has done.
#[derive(Clone, Default)]
pub(crate) struct Record {
    /// (piece, first byte in it) of each block sent, in order.
    pub(crate) sent: Vec<(usize, usize)>,
    /// Those of them that went out spoiled.
    pub(crate) spoiled: Vec<(usize, usize)>,
    /// Connections that came to a handshake.
    pub(crate) connections: usize,
    /// Connections that the other side has ended.
    pub(crate) ended_by_other: usize,
    /// What the other side has done against the protocol, in words.
    pub(crate) faults: Vec<String>,
}

/// A running peer; it closes everything when dropped.
pub(crate) struct ScriptedPeer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    payload: Payload,
    script: Script,
    gone: AtomicBool,
    record: Mutex<Record>,
    streams: Mutex<Vec<TcpStream>>,
}

impl ScriptedPeer {
    pub(crate) fn start(payload: &Payload, script: Script) -> ScriptedPeer {
        // Bound before this returns, so that nobody dials too early.
        let listener =
            (!script.dials).then(|| TcpListener::bind(script.address).expect("the address is free"));
        let shared = Arc::new(Shared {
            payload: payload.clone(),
            script,
            gone: AtomicBool::new(false),
            record: Mutex::default(),
            streams: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || match listener {
            Some(listener) => of_thread.listen(&listener),
            None => of_thread.dial(),
        });
        ScriptedPeer { shared, thread: Some(thread) }
    }

    /// Where it listens, or whom it dials.
    pub(crate) fn address(&self) -> SocketAddr {
        self.shared.script.address
    }

    /// What it has done so far.
    pub(crate) fn record(&self) -> Record {
        lock(&self.shared.record).clone()
    }
}

impl Drop for ScriptedPeer {
    fn drop(&mut self) {
        self.shared.leave();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; the test's own assertions decide.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    fn leave(&self) {
        self.gone.store(true, Ordering::SeqCst);
        for stream in lock(&self.streams).iter() {
            // Fails when the other side was faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        listener.set_nonblocking(true).expect("a listener can be set non-blocking");
        let mut connections = Vec::new();
        while !self.is_gone() {
            match listener.accept() {
                Ok((stream, _)) => {
                    let shared = Arc::clone(self);
                    connections.push(thread::spawn(move || shared.serve(stream)));
                }
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
        for connection in connections {
            // As above: the test decides.
            let _ = connection.join();
        }
    }

    fn dial(&self) {
        while !self.is_gone() {
            match TcpStream::connect(self.script.address) {
                Ok(stream) => self.serve(stream),
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn serve(&self, stream: TcpStream) {
        stream.set_nonblocking(false).expect("a stream can be set blocking");
        stream.set_nodelay(true).expect("a TCP stream has NODELAY");
        lock(&self.streams).push(stream.try_clone().expect("a socket can be duplicated"));
        if self.is_gone() {
            return;
        }
        match self.converse(&stream) {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                lock(&self.record).faults.push(error.to_string());
            }
            Err(_) if !self.is_gone() => lock(&self.record).ended_by_other += 1,
            _ => {}
        }
        // Closes the duplicate's side too; fails when the other side was faster.
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// Returns when the script says to leave; an error is the connection's end by the other side, or its fault.
    fn converse(&self, mut stream: &TcpStream) -> io::Result<()> {
        let mut handshake = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
        handshake.extend(self.payload.info_hash());
        handshake.extend(b"-XX0001-");
        handshake.extend(format!("{:012}", self.script.address.port()).bytes());
        stream.write_all(&handshake)?;
        let mut theirs = [0; 68];
        stream.read_exact(&mut theirs)?;
        if theirs[..20] != handshake[..20] || theirs[28..48] != handshake[28..48] {
            return Err(fault(format!(
                "a handshake for something else: {:?}",
                theirs.escape_ascii().to_string()
            )));
        }
        lock(&self.record).connections += 1;

        let mut bitfield = vec![0_u8; self.payload.num_pieces().div_ceil(8)];
        self.script.pieces.clone().for_each(|piece| bitfield[piece / 8] |= 0x80 >> (piece % 8));
        write_message(stream, BITFIELD, &[&bitfield])?;
        loop {
            match read_message(stream)? {
                (INTERESTED, _) => write_message(stream, UNCHOKE, &[])?,
                (REQUEST, body) => self.answer(stream, &body)?,
                _ => {}
            }
            if self.script.leaves_when_served && self.has_served_all() {
                self.gone.store(true, Ordering::SeqCst);
                // A close with unread input would throw away what is still under way to the other side.
                stream.shutdown(Shutdown::Write)?;
                stream.set_read_timeout(Some(Duration::from_secs(2)))?;
                while stream.read(&mut [0; 1024])? > 0 {}
                return Ok(());
            }
        }
    }

    fn answer(&self, stream: &TcpStream, body: &[u8]) -> io::Result<()> {
        let block = |range: Range<usize>| self.payload.bytes().get(range).map(<[u8]>::to_vec);
        let words: Vec<usize> =
            body.as_chunks().0.iter().map(|&word| u32::from_be_bytes(word) as usize).collect();
        let &[piece, begin, length] = words.as_slice() else {
            return Err(fault(format!("a request of {} bytes", body.len())));
        };
        let start = piece * self.payload.piece_length() + begin;
        let Some(mut block) = block(start..start + length).filter(|_| self.script.pieces.contains(&piece))
        else {
            return Err(fault(format!("a request for {length} bytes at {begin} of piece {piece}")));
        };
        thread::sleep(self.script.pause);
        {
            let mut record = lock(&self.record);
            record.sent.push((piece, begin));
            let number = record.sent.len();
            if self.script.corrupts_every > 0 && number.is_multiple_of(self.script.corrupts_every) {
                record.spoiled.push((piece, begin));
                block[length / 2] ^= 0x40;
            }
        }
        write_message(stream, PIECE, &[&body[..8], &block])
    }

    fn has_served_all(&self) -> bool {
        let mut sent = lock(&self.record).sent.clone();
        sent.sort_unstable();
        sent.dedup();
        let piece_length = self.payload.piece_length();
        let end = self.payload.bytes().len().min(self.script.pieces.end * piece_length);
        let blocks: usize = (self.script.pieces.start * piece_length..end)
            .step_by(piece_length)
            .map(|start| (end.min(start + piece_length) - start).div_ceil(BLOCK))
            .sum();
        sent.len() >= blocks
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_message(mut stream: &TcpStream, id: u8, parts: &[&[u8]]) -> io::Result<()> {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut message = u32::try_from(length).expect("a short message").to_be_bytes().to_vec();
    message.push(id);
    parts.iter().for_each(|part| message.extend(*part));
    stream.write_all(&message)
}

/// The next message that is no keep-alive: its id and the rest.
fn read_message(mut stream: &TcpStream) -> io::Result<(u8, Vec<u8>)> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > 1 << 20 {
            return Err(fault(format!("a message of {length} bytes")));
        }
        if length > 0 {
            let mut body = vec![0; length];
            stream.read_exact(&mut body)?;
            let rest = body.split_off(1);
            return Ok((body[0], rest));
        }
    }
}

fn fault(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
