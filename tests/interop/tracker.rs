//! An HTTP tracker that always answers with the same peers and remembers who asked what.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The parameters of an announce, decoded.
pub(crate) type Announce = BTreeMap<String, Vec<u8>>;

/// Listens on a port of its own until dropped.
pub(crate) struct Tracker {
    address: SocketAddr,
    announces: Arc<Mutex<Vec<Announce>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tracker {
    pub(crate) fn start(peers: Vec<SocketAddrV4>) -> Tracker {
        Tracker::start_at(Ipv4Addr::LOCALHOST, peers)
    }

    pub(crate) fn start_at(ip: Ipv4Addr, peers: Vec<SocketAddrV4>) -> Tracker {
        let listener = TcpListener::bind((ip, 0)).expect("our address has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (announces, stop) = (Arc::<Mutex<Vec<Announce>>>::default(), Arc::new(AtomicBool::new(false)));
        let (seen, stopped) = (Arc::clone(&announces), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(announce) = read_announce(&stream) {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(announce);
                    // Whoever leaves need not wait for the answer.
                    let _ = answer(stream, &peers);
                }
            }
        });
        Tracker { address, announces, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/announce", self.address)
    }

    /// All announces so far, in order.
    pub(crate) fn announces(&self) -> Vec<Announce> {
        self.announces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread; if that fails it has ended.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read_announce(stream: &TcpStream) -> std::io::Result<Announce> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let query = request.split(' ').nth(1).and_then(|target| target.split_once('?')).unwrap_or_default().1;
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), unescape(value))).collect())
}

fn answer(mut stream: TcpStream, peers: &[SocketAddrV4]) -> std::io::Result<()> {
    let mut body = format!("d8:intervali1800e5:peers{}:", peers.len() * 6).into_bytes();
    for peer in peers {
        body.extend(peer.ip().octets());
        body.extend(peer.port().to_be_bytes());
    }
    body.push(b'e');
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, code.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}
