//! A tracker on a socket: `GET /announce` for [`engine::tracker_server`](crate::engine::tracker_server).

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use axum::Router;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::clock::Clock;
use super::net::door::http::listen_http;
use crate::base::random::Rng;
use crate::engine::tracker_server::{TrackerServer as Core, TrackerServerSettings};

/// A tracker that runs on a thread of its own until it is dropped.
#[derive(Debug)]
pub struct TrackerServer {
    address: SocketAddr,
    /// Dropped, it ends the thread.
    _running: oneshot::Sender<()>,
}

impl TrackerServer {
    /// Listens on `address`; with port 0 the system chooses one.
    ///
    /// # Errors
    ///
    /// When the address is in use or not ours, or the system gives no thread.
    pub fn start(
        address: SocketAddr,
        settings: TrackerServerSettings,
        rng: Rng,
    ) -> io::Result<TrackerServer> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let listener = runtime.block_on(listen_http(address))?;
        let address = listener.local_addr()?;
        let (running, ended) = oneshot::channel();
        let shared = Arc::new(Shared { core: Mutex::new(Core::new(settings, rng)), clock: Clock::start() });
        thread::Builder::new().name("tracker".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let app = Router::new().route("/announce", get(announce)).with_state(shared);
                let server = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>());
                // Connections need no farewell: whoever asks when a tracker ends asks again elsewhere.
                tokio::select! {
                    _ = server.into_future() => {}
                    _ = ended => {}
                }
            });
        })?;
        Ok(TrackerServer { address, _running: running })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL to announce to.
    pub fn announce_url(&self) -> String {
        format!("http://{}/announce", self.address)
    }
}

struct Shared {
    core: Mutex<Core>,
    clock: Clock,
}

async fn announce(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    let now = shared.clock.now();
    let mut core = shared.core.lock().unwrap_or_else(PoisonError::into_inner);
    core.handle_timeout(now);
    let body = core.handle_query(now, &query.unwrap_or_default(), remote.ip());
    ([(CONTENT_TYPE, "text/plain")], body)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::base::address::{Families, Reach};
    use crate::base::hash::Sha1Hash;
    use crate::base::peer_id::PeerId;
    use crate::engine::action::HttpRequest;
    use crate::engine::tracker::{Announcer, AnnouncerSettings, Totals, TrackerOutput};
    use crate::runtime::http::HttpWorker;

    fn tracker() -> TrackerServer {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        TrackerServer::start(address, TrackerServerSettings::default(), Rng::from_number(1)).unwrap()
    }

    /// A client's announcer with a real clock and real requests.
    struct Client {
        announcer: Announcer,
        clock: Clock,
        worker: HttpWorker,
        left: u64,
    }

    impl Client {
        fn new(url: &str, port: u16, left: u64) -> Client {
            let settings = AnnouncerSettings {
                info_hash: Sha1Hash([0xfe; 20]),
                peer_id: PeerId::random(&mut Rng::from_number(u64::from(port))),
                port,
                key: 1,
                families: Families::BOTH,
                numwant: 50,
                supports_encryption: false,
            };
            let urls = vec![vec![url.to_owned()]];
            let announcer = Announcer::new(settings, urls, Rng::from_number(1));
            Client { announcer, clock: Clock::start(), worker: HttpWorker::start().unwrap(), left }
        }

        /// Starts, and gives all outputs until nothing is under way.
        fn start(&mut self) -> Vec<TrackerOutput> {
            self.announcer.start(self.clock.now());
            self.settle()
        }

        fn settle(&mut self) -> Vec<TrackerOutput> {
            let (sender, answers) = mpsc::channel();
            let (mut outputs, mut under_way) = (Vec::new(), 0);
            loop {
                while let Some(output) =
                    self.announcer.poll_output(Totals { left: self.left, ..Totals::default() })
                {
                    match output {
                        TrackerOutput::Fetch { key, request } => {
                            let sender = sender.clone();
                            self.worker.fetch(*request, move |result| sender.send((key, result)).unwrap());
                            under_way += 1;
                        }
                        other => outputs.push(other),
                    }
                }
                if under_way == 0 {
                    return outputs;
                }
                let (key, result) = answers.recv().unwrap();
                self.announcer.on_http_finished(self.clock.now(), key, result);
                under_way -= 1;
            }
        }
    }

    fn peers(outputs: &[TrackerOutput]) -> Vec<(SocketAddr, Reach)> {
        let peers = outputs.iter().filter_map(|output| match output {
            TrackerOutput::Peers { addresses, reach } => {
                Some(addresses.iter().map(|address| (*address, *reach)))
            }
            _ => None,
        });
        peers.flatten().collect()
    }

    #[test]
    fn peers_find_each_other_and_are_forgotten_when_they_stop() {
        let tracker = tracker();
        let mut seed = Client::new(&tracker.announce_url(), 1111, 0);
        let started = seed.start();
        assert!(matches!(started[..], [TrackerOutput::Answered { peers: 0, .. }]), "{started:?}");
        let mut leecher = Client::new(&tracker.announce_url(), 2222, 5);
        let seed_address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1111));
        assert_eq!(peers(&leecher.start()), [(seed_address, Reach::Loopback)]);
        seed.announcer.stop(seed.clock.now());
        seed.settle();
        assert!(seed.announcer.is_idle_after_stop());
        let found = peers(&Client::new(&tracker.announce_url(), 3333, 5).start());
        assert_eq!(found, [(SocketAddr::from((Ipv4Addr::LOCALHOST, 2222)), Reach::Loopback)]);
    }

    #[test]
    fn other_paths_are_not_found_and_a_bare_announce_is_refused_in_words() {
        let tracker = tracker();
        let mut other = Client::new(&format!("{}x", tracker.announce_url()), 1, 0).start();
        let Some(TrackerOutput::Failed { reason, refused: false, .. }) = other.pop() else {
            panic!("{other:?}")
        };
        assert_eq!(reason, "HTTP status 404");
        let (sender, answers) = mpsc::channel();
        let worker = HttpWorker::start().unwrap();
        let (url, timeout) = (tracker.announce_url(), Duration::from_secs(30));
        let request = HttpRequest { url, family: None, loopback: true, limit: 1000, timeout };
        worker.fetch(request, move |result| sender.send(result).unwrap());
        let answer = answers.recv().unwrap().unwrap();
        assert_eq!((answer.status, &answer.body[..18]), (200, &b"d14:failure reason"[..]));
    }

    #[test]
    fn a_tracker_that_is_dropped_gives_its_address_back() {
        let address = tracker().address();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let again = || TrackerServer::start(address, TrackerServerSettings::default(), Rng::from_number(1));
        while again().is_err() {
            assert!(std::time::Instant::now() < deadline, "{address} is still in use");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
