//! An announcer on a virtual clock.

use crate::base::address::Families;
use crate::base::hash::Sha1Hash;
use crate::base::peer_id::PeerId;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};
use crate::engine::action::{AddressFamily, HttpRequest};
use crate::engine::input::{HttpAnswer, HttpFailure};
use crate::engine::tracker::{Announcer, AnnouncerSettings, FetchKey, Totals, TrackerOutput};

/// An announcer on a virtual clock, with the requests that it has out.
pub(super) struct Bench {
    pub(super) announcer: Announcer,
    pub(super) now: Instant,
    pub(super) out: Vec<(FetchKey, HttpRequest)>,
    pub(super) told: Vec<TrackerOutput>,
}

pub(super) const EMPTY: &str = "d8:intervali1800e5:peers0:e";

impl Bench {
    pub(super) fn with_families(tiers: &[&[&str]], (v4, v6): (bool, bool)) -> Bench {
        let settings = AnnouncerSettings {
            info_hash: Sha1Hash([7; 20]),
            peer_id: PeerId(*b"-bg0100-abcdefghijkl"),
            port: 6881,
            key: 0xabc,
            families: Families { v4, v6 },
            numwant: 200,
            supports_encryption: false,
        };
        let name = |name: &&str| {
            if name.contains(':') { (*name).to_owned() } else { format!("http://{name}.example/announce") }
        };
        let urls = tiers.iter().map(|tier| tier.iter().map(name).collect()).collect();
        let announcer = Announcer::new(settings, urls, Rng::from_number(1));
        Bench { announcer, now: Instant::from_nanos(5), out: Vec::new(), told: Vec::new() }
    }

    /// IPv4 only.
    pub(super) fn new(tiers: &[&[&str]]) -> Bench {
        Bench::with_families(tiers, (true, false))
    }

    /// Started, and the first announce answered.
    pub(super) fn working(tiers: &[&[&str]]) -> Bench {
        let mut bench = Bench::new(tiers);
        bench.start();
        bench.answer(EMPTY);
        bench
    }

    pub(super) fn start(&mut self) {
        self.announcer.start(self.now);
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        let totals = Totals { uploaded: 1, downloaded: 2, left: 3, corrupt: 0 };
        while let Some(output) = self.announcer.poll_output(totals) {
            match output {
                TrackerOutput::Fetch { key, request } => self.out.push((key, *request)),
                other => self.told.push(other),
            }
        }
    }

    /// What is out, as "host family event".
    pub(super) fn asked(&self) -> Vec<String> {
        self.out.iter().map(|(_, request)| shown(request)).collect()
    }

    pub(super) fn finish(&mut self, result: Result<HttpAnswer, HttpFailure>) {
        let (key, _) = self.out.remove(0);
        self.announcer.on_http_finished(self.now, key, result);
        self.drain();
    }

    /// Answers the oldest request.
    pub(super) fn answer(&mut self, body: &str) {
        self.finish(Ok(answer(200, body)));
    }

    /// Fails the oldest request.
    pub(super) fn fail(&mut self) {
        self.finish(Err(HttpFailure::TimedOut));
    }

    /// Sleeps until something is due; how long that took.
    pub(super) fn sleep(&mut self) -> Duration {
        let due = self.announcer.poll_timeout().expect("something is due");
        let slept = due.since(self.now);
        self.now = self.now.max(due);
        self.announcer.handle_timeout(self.now);
        self.drain();
        slept
    }

    pub(super) fn failures(&self) -> Vec<(&str, &str, bool)> {
        let failures = self.told.iter().filter_map(|told| match told {
            TrackerOutput::Failed { tracker, reason, refused } => Some((&tracker[..], &reason[..], *refused)),
            _ => None,
        });
        failures.collect()
    }
}

pub(super) fn answer(status: u16, body: &str) -> HttpAnswer {
    HttpAnswer { status, body: body.as_bytes().to_vec(), server: Some("8.8.8.8:80".parse().unwrap()) }
}

pub(super) fn shown(request: &HttpRequest) -> String {
    let host = request.url.trim_start_matches("http://").split('.').next().unwrap();
    let family = if request.family == Some(AddressFamily::V6) { "v6" } else { "v4" };
    let event = request.url.split("&event=").nth(1).map_or("-", |rest| rest.split('&').next().unwrap());
    format!("{host} {family} {event}")
}

pub(super) fn secs(from: u64, to: u64) -> std::ops::RangeInclusive<Duration> {
    Duration::from_secs(from)..=Duration::from_secs(to)
}
