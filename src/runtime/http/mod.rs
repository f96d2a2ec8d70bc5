//! HTTP requests of the engine, on a thread of their own: names, TLS and decompression never hold up the
//! engine's thread.
//!
//! [`HttpWorker`] does what an [`HttpRequest`] says, within its bounds: time in all, length of the body,
//! redirects, and addresses, which are checked at every hop after the name is resolved. What to fetch and
//! what an answer means is the engine's. [`TorrentFetcher`] fetches URLs that a person typed.

mod exchange;
mod rule;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use self::exchange::Clients;
use self::rule::{AddressRule, Allowed};
use crate::base::limit;
use crate::base::time::Duration;
use crate::engine::action::{AddressFamily, HttpRequest};
use crate::engine::input::{HttpAnswer, HttpFailure};

/// How long a .torrent file may take.
const TORRENT_TIMEOUT: Duration = Duration::from_secs(60);

/// A thread that fetches.
#[derive(Debug)]
pub struct HttpWorker {
    jobs: UnboundedSender<Job>,
}

/// Called with what came of a request.
type Answer = Box<dyn FnOnce(Result<HttpAnswer, HttpFailure>) + Send>;

struct Job {
    request: HttpRequest,
    deadline: Instant,
    answer: Answer,
}

impl HttpWorker {
    /// Starts the thread; it ends when the worker is dropped, and nobody needs to wait for it.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start() -> io::Result<HttpWorker> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (jobs, received) = unbounded_channel();
        thread::Builder::new().name("http".to_owned()).spawn(move || runtime.block_on(run(received)))?;
        Ok(HttpWorker { jobs })
    }

    /// Fetches; `answer` is called exactly once, from the worker's thread, unless the worker is dropped before.
    /// The request's time runs from here on. At most [`limit::HTTP_REQUESTS`] are out at once, others wait.
    pub fn fetch(
        &self,
        request: HttpRequest,
        answer: impl FnOnce(Result<HttpAnswer, HttpFailure>) + Send + 'static,
    ) {
        let deadline = Instant::now() + request.timeout;
        // The thread ends only with the worker, so there is always a receiver.
        let _ = self.jobs.send(Job { request, deadline, answer: Box::new(answer) });
    }
}

async fn run(mut jobs: UnboundedReceiver<Job>) {
    let clients = Arc::new(Clients::default());
    let slots = Arc::new(Semaphore::new(limit::HTTP_REQUESTS));
    while let Some(Job { request, deadline, answer }) = jobs.recv().await {
        let (clients, slots) = (Arc::clone(&clients), Arc::clone(&slots));
        tokio::spawn(async move {
            let allowed = if request.loopback { Allowed::ThisMachine } else { Allowed::Elsewhere };
            let rule = AddressRule::new(allowed, request.family);
            let fetched = timeout_at(deadline, async {
                let _slot = slots.acquire().await;
                clients.fetch(&request.url, rule, request.limit).await
            });
            answer(fetched.await.unwrap_or(Err(HttpFailure::TimedOut)));
        });
    }
}

/// Fetches the torrent files that a person named by their URLs.
#[derive(Debug)]
pub struct TorrentFetcher {
    family: Option<AddressFamily>,
    clients: Clients,
    slots: Semaphore,
}

impl TorrentFetcher {
    /// Fetches over this family of addresses alone; `None`: over either.
    pub fn over(family: Option<AddressFamily>) -> TorrentFetcher {
        let slots = Semaphore::new(limit::TORRENT_FETCHES);
        TorrentFetcher { family, clients: Clients::default(), slots }
    }

    /// The body of the http(s) `url`, at most `limit` bytes; addresses of this machine are allowed. At most
    /// [`limit::TORRENT_FETCHES`] are under way at once, others wait. Needs a tokio runtime with IO and time.
    ///
    /// # Errors
    ///
    /// When there is no answer with status 200 in a minute.
    pub async fn fetch(&self, url: &str, limit: usize) -> Result<Vec<u8>, HttpFailure> {
        let _slot = self.slots.acquire().await;
        let fetched = self.clients.fetch(url, AddressRule::new(Allowed::Anything, self.family), limit);
        let answer = timeout_at(Instant::now() + TORRENT_TIMEOUT, fetched).await;
        match answer.unwrap_or(Err(HttpFailure::TimedOut))? {
            HttpAnswer { status: 200, body, .. } => Ok(body),
            HttpAnswer { status, .. } => Err(HttpFailure::Failed(format!("HTTP status {status}"))),
        }
    }
}
