//! An HTTP server that a test answers for, or that never answers.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    pub(crate) from: IpAddr,
    /// Path and query.
    pub(crate) path: String,
}

/// Listens until dropped. Connections that get no answer stay open until then.
pub(crate) struct HttpServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// A server at `ip`; `answer` is given the number of each request, from 0, and its path, and gives the body.
    pub(crate) fn start(
        ip: impl Into<IpAddr>,
        answer: impl Fn(usize, &str) -> Option<Vec<u8>> + Send + 'static,
    ) -> HttpServer {
        let listener = TcpListener::bind((ip.into(), 0)).expect("there is a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (requests, is_over) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::new(AtomicBool::new(false)));
        let (seen, ends) = (Arc::clone(&requests), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let mut unanswered = Vec::new();
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let Some(request) = read(&stream) else { continue };
                let path = request.path.clone();
                let number = {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.push(request);
                    seen.len() - 1
                };
                match answer(number, &path) {
                    // Whoever has left need not have it.
                    Some(body) => drop(respond(stream, &body)),
                    None => unanswered.push(stream),
                }
            }
        });
        HttpServer { address, requests, is_over, thread: Some(thread) }
    }

    pub(crate) fn announce_url(&self) -> String {
        format!("http://{}/announce", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread; when it fails, the thread has ended.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A tracker's answer that names nobody.
pub(crate) fn nobody() -> Vec<u8> {
    b"d8:intervali1800e5:peers0:e".to_vec()
}

fn read(stream: &TcpStream) -> Option<Request> {
    let from = stream.peer_addr().ok()?.ip();
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    lines.map_while(Result::ok).find(String::is_empty)?;
    Some(Request { at: Instant::now(), from, path })
}

fn respond(mut stream: TcpStream, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat())
}
