//! The worker against servers that misbehave, each a raw socket on this machine.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Condvar, Mutex, mpsc};
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use super::*;
use crate::engine::action::AddressFamily;

/// The longest body that the tests take.
const LIMIT: usize = 100_000;

/// A server that has `respond` answer each connection with the path that is asked for.
fn serve(respond: impl Fn(&mut TcpStream, &str) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let path = read_request(&mut stream);
            respond(&mut stream, &path);
        }
    });
    address
}

/// A server that answers everything with `response`.
fn serve_bytes(response: impl Into<Vec<u8>>) -> SocketAddr {
    let response = response.into();
    serve(move |stream, _| {
        let _ = stream.write_all(&response);
    })
}

/// An address that refuses connections for as long as the socket is kept.
fn closed_port() -> (SocketAddr, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    (socket.local_addr().unwrap().as_socket().unwrap(), socket)
}

fn read_request(stream: &mut TcpStream) -> String {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    request.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn request(url: String) -> HttpRequest {
    HttpRequest { url, family: None, loopback: true, limit: LIMIT, timeout: Duration::from_secs(30) }
}

fn fetch(request: HttpRequest) -> Result<HttpAnswer, HttpFailure> {
    let worker = HttpWorker::start().unwrap();
    let (sender, receiver) = mpsc::channel();
    worker.fetch(request, move |result| sender.send(result).unwrap());
    receiver.recv().expect("the worker answers")
}

fn body_from(address: SocketAddr) -> Result<Vec<u8>, HttpFailure> {
    fetch(request(format!("http://{address}/announce"))).map(|answer| answer.body)
}

fn chunked(rest: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}")
}

#[test]
fn an_answer_comes_with_its_status_and_its_servers_address() {
    let server = serve_bytes("HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\nhello");
    let answer = fetch(request(format!("http://{server}/announce"))).unwrap();
    assert_eq!(answer, HttpAnswer { status: 404, body: b"hello".to_vec(), server: Some(server) });
}

#[test]
fn old_and_chunked_answers_are_read() {
    assert_eq!(body_from(serve_bytes("HTTP/1.0 200 OK\r\n\r\nto the end")), Ok(b"to the end".to_vec()));
    assert_eq!(body_from(serve_bytes(chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))), Ok(b"abcde".to_vec()));
}

#[test]
fn a_broken_answer_is_a_failure_in_words() {
    for response in [
        String::new(),
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "\0\0\0\0 not http".to_owned(),
        chunked("-1\r\nabc\r\n"),
        chunked("ffffffffffffffffff\r\nabc\r\n"),
        chunked("3\r\nabc"),
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(100_000)),
    ] {
        let result = body_from(serve_bytes(response.clone()));
        let Err(HttpFailure::Failed(reason)) = result else { panic!("{response:.80}: {result:?}") };
        assert!(reason.len() > 10, "{reason}");
    }
}

#[test]
fn a_body_beyond_the_limit_is_not_read_on() {
    let told = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", LIMIT + 1);
    assert_eq!(body_from(serve_bytes(told)), Err(HttpFailure::TooLong));
    let (sent, count) = mpsc::channel();
    let endless = serve(move |stream, _| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        let mut total = 0;
        // Sockets hold some megabytes at the most; an endless reader would take all of this.
        while total < 200 << 20 && stream.write_all(&[b'x'; 65_536]).is_ok() {
            total += 65_536;
        }
        let _ = sent.send(total);
    });
    assert_eq!(body_from(endless), Err(HttpFailure::TooLong));
    assert!(count.recv().unwrap() < 100 << 20);
    let exact = format!("HTTP/1.1 200 OK\r\nContent-Length: {LIMIT}\r\n\r\n{}", "x".repeat(LIMIT));
    assert_eq!(body_from(serve_bytes(exact)).unwrap().len(), LIMIT);
}

#[test]
fn a_compressed_body_counts_by_what_it_unpacks_to() {
    let answer = |packed: Vec<u8>| {
        let mut response = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n".to_vec();
        response.extend(packed);
        body_from(serve_bytes(response))
    };
    assert_eq!(answer(gzip_of_zeros(10)), Ok(vec![0; 10]));
    assert_eq!(answer(gzip_of_zeros(100_000_000)), Err(HttpFailure::TooLong));
}

/// `count` zero bytes, packed: some literals, then matches of length 258 and distance 1, in one block with the
/// fixed codes of RFC 1951.
fn gzip_of_zeros(count: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(0b1, 1);
    bits.push(0b01, 2);
    let literals = 1 + (count - 1) % 258;
    (0..literals).for_each(|_| bits.push_code(0x30, 8));
    for _ in 0..(count - literals) / 258 {
        bits.push_code(0b1100_0101, 8);
        bits.push_code(0, 5);
    }
    bits.push_code(0, 7);
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    packed.extend(bits.bytes);
    packed.extend(crc_of_zeros(count).to_le_bytes());
    packed.extend((count as u32).to_le_bytes());
    packed
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().unwrap();
            *last |= ((value >> bit & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
    }

    /// Huffman codes go in from their highest bit.
    fn push_code(&mut self, code: u32, count: u32) {
        self.push(code.reverse_bits() >> (32 - count), count);
    }
}

fn crc_of_zeros(count: usize) -> u32 {
    let step = |crc: u32| (0..8).fold(crc, |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()));
    // The end of a bomb is never reached, so its checksum is of no use.
    !(0..count.min(1000)).fold(u32::MAX, |crc, _| step(crc & 0xff) ^ (crc >> 8))
}

#[test]
fn a_server_that_trickles_runs_out_of_time() {
    let trickle = serve(|stream, _| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    let mute = serve(|stream, _| {
        let _ = stream.read(&mut [0]);
    });
    for server in [trickle, mute] {
        let begun = Instant::now();
        let timeout = Duration::from_millis(700);
        let result = fetch(HttpRequest { timeout, ..request(format!("http://{server}/announce")) });
        assert_eq!(result, Err(HttpFailure::TimedOut));
        assert!(begun.elapsed() >= timeout && begun.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_mute_server_does_not_hold_up_others() {
    let mute = serve(|stream, _| {
        let _ = stream.read(&mut [0]);
    });
    let quick = serve_bytes("HTTP/1.0 200 OK\r\n\r\nhere");
    let worker = HttpWorker::start().unwrap();
    let (sender, receiver) = mpsc::channel();
    for _ in 0..5 {
        worker.fetch(request(format!("http://{mute}/announce")), drop);
    }
    worker.fetch(request(format!("http://{quick}/announce")), move |result| sender.send(result).unwrap());
    assert_eq!(receiver.recv().unwrap().unwrap().body, b"here");
}

fn redirect_to(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let hops = |wanted: usize| {
        let server = serve(move |stream, path| {
            let hop: usize = path.trim_start_matches("/announce").parse().unwrap();
            let response = match hop < wanted {
                true => redirect_to(&format!("/announce{}", hop + 1)),
                false => "HTTP/1.0 200 OK\r\n\r\narrived".to_owned(),
            };
            let _ = stream.write_all(response.as_bytes());
        });
        fetch(request(format!("http://{server}/announce0"))).map(|answer| answer.body)
    };
    assert_eq!(hops(limit::REDIRECTS), Ok(b"arrived".to_vec()));
    assert_eq!(hops(limit::REDIRECTS + 1), Err(HttpFailure::Refused("too many redirects")));
}

#[test]
fn a_redirect_to_what_may_not_be_asked_is_refused() {
    let other = serve_bytes("HTTP/1.0 200 OK\r\n\r\nsecret");
    let port = other.port();
    for location in [
        "file:///etc/passwd".to_owned(),
        "ftp://127.0.0.1/announce".to_owned(),
        "http://169.254.169.254/announce".to_owned(),
        format!("http://user:word@127.0.0.1:{port}/announce"),
        format!("http://127.0.0.1:{port}/shutdown"),
        format!("http://localhost:{port}/shutdown"),
        format!("http://[::ffff:7f00:1]:{port}/shutdown"),
    ] {
        let result = body_from(serve_bytes(redirect_to(&location)));
        assert!(matches!(result, Err(HttpFailure::Refused(_))), "{location}: {result:?}");
    }
    let result = body_from(serve_bytes(redirect_to(&format!("http://127.0.0.1:{port}/announce"))));
    assert_eq!(result, Ok(b"secret".to_vec()));
}

#[test]
fn a_name_that_leads_to_this_machine_is_refused_where_this_machine_is() {
    let server = serve_bytes("HTTP/1.0 200 OK\r\n\r\nsecret");
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("http://{host}:{}/announce", server.port());
        let here = HttpRequest { family: Some(AddressFamily::V4), ..request(url) };
        assert_eq!(fetch(here.clone()).unwrap().body, b"secret");
        let result = fetch(HttpRequest { loopback: false, ..here });
        assert!(matches!(result, Err(HttpFailure::Refused(_))), "{host}: {result:?}");
    }
}

#[test]
fn a_host_without_the_family_is_told_apart_from_one_that_fails() {
    let server = serve_bytes("HTTP/1.0 200 OK\r\n\r\n");
    let url = format!("http://{server}/announce");
    let over_v6 = HttpRequest { family: Some(AddressFamily::V6), ..request(url) };
    assert_eq!(fetch(over_v6), Err(HttpFailure::NoSuchFamily));
    let (closed, _kept) = closed_port();
    let over_v4 =
        HttpRequest { family: Some(AddressFamily::V4), ..request(format!("http://{closed}/announce")) };
    let Err(HttpFailure::Failed(reason)) = fetch(over_v4) else { panic!("nobody listens there") };
    assert!(reason.starts_with("cannot connect: ") && reason.contains("refused"), "{reason}");
}

#[test]
fn secrets_of_a_url_are_not_in_the_words_of_a_failure() {
    let (closed, _kept) = closed_port();
    for url in [
        format!("http://{closed}/announce?passkey=SECRET"),
        format!("https://{closed}/announce/SECRET"),
        "http://no such host/announce/SECRET".to_owned(),
        "http://name.invalid/announce/SECRET".to_owned(),
    ] {
        let failure = fetch(request(url)).unwrap_err().to_string();
        assert!(!failure.contains("SECRET"), "{failure}");
    }
}

#[test]
fn a_server_that_speaks_no_tls_fails_the_handshake() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = listener.local_addr().unwrap();
    thread::spawn(move || listener.accept().unwrap().0.write_all(b"HTTP/1.0 200 OK\r\n\r\nplain").unwrap());
    let result = fetch(request(format!("https://{server}/announce")));
    assert!(matches!(result, Err(HttpFailure::Failed(_))), "{result:?}");
}

#[test]
fn a_dropped_worker_lets_go_of_what_is_under_way() {
    let (accepted, waiting) = mpsc::channel();
    let server = serve(move |stream, _| {
        accepted.send(()).unwrap();
        let _ = stream.read(&mut [0]);
        accepted.send(()).unwrap();
    });
    let worker = HttpWorker::start().unwrap();
    worker.fetch(request(format!("http://{server}/announce")), |_| panic!("nobody asks any more"));
    waiting.recv().unwrap();
    drop(worker);
    waiting.recv_timeout(Duration::from_secs(20)).expect("the connection is closed with the worker");
}

#[test]
fn a_torrent_is_fetched_from_where_a_person_says() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let fetch = |server: SocketAddr, limit| {
        runtime.block_on(TorrentFetcher::over(None).fetch(&format!("http://{server}/a.torrent"), limit))
    };
    assert_eq!(fetch(serve_bytes("HTTP/1.0 200 OK\r\n\r\nd4:infoe"), 100), Ok(b"d4:infoe".to_vec()));
    assert_eq!(fetch(serve_bytes("HTTP/1.0 200 OK\r\n\r\nd4:infoe"), 5), Err(HttpFailure::TooLong));
    let missing = fetch(serve_bytes("HTTP/1.0 404 No\r\n\r\nd4:infoe"), 100);
    assert_eq!(missing, Err(HttpFailure::Failed("HTTP status 404".to_owned())));
    let url = format!("http://{}/a.torrent", serve_bytes("HTTP/1.0 200 OK\r\n\r\nd4:infoe"));
    let over_v6 = TorrentFetcher::over(Some(AddressFamily::V6));
    assert_eq!(runtime.block_on(over_v6.fetch(&url, 100)), Err(HttpFailure::NoSuchFamily));
}

#[test]
fn of_many_torrents_only_a_few_are_fetched_at_once() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = listener.local_addr().unwrap();
    // Connections so far, those that wait for an answer, and the most of them at a time.
    let counts = Arc::new((Mutex::new((0, 0, 0)), Condvar::new()));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, counts) = (stream.unwrap(), Arc::clone(&counts));
            thread::spawn(move || {
                let (counted, changed) = &*counts;
                let path = read_request(&mut stream);
                let mut count = counted.lock().unwrap();
                *count = (count.0 + 1, count.1 + 1, count.2.max(count.1 + 1));
                changed.notify_all();
                let mut count = changed.wait_while(count, |count| count.0 < limit::TORRENT_FETCHES).unwrap();
                count.1 -= 1;
                let most = count.2;
                drop(count);
                write!(stream, "HTTP/1.0 200 OK\r\n\r\n{path} {most}").unwrap();
            });
        }
    });
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let fetcher = Arc::new(TorrentFetcher::over(None));
    let urls = (0..3 * limit::TORRENT_FETCHES).map(|number| format!("http://{server}/{number}"));
    let fetches = urls.map(|url| {
        let fetcher = Arc::clone(&fetcher);
        runtime.spawn(async move { fetcher.fetch(&url, LIMIT).await })
    });
    let fetches: Vec<_> = fetches.collect();
    for (number, fetch) in fetches.into_iter().enumerate() {
        let body = String::from_utf8(runtime.block_on(fetch).unwrap().unwrap()).unwrap();
        let most: usize = body.strip_prefix(&format!("/{number} ")).unwrap().parse().unwrap();
        assert!(most <= limit::TORRENT_FETCHES, "{most} at once");
    }
}
