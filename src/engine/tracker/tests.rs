use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::base::address::Families;
use crate::base::limit;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};
use crate::engine::action::AddressFamily;
use crate::engine::input::{HttpAnswer, HttpFailure};

/// An announcer on a virtual clock, with the requests that it has out.
struct Bench {
    announcer: Announcer,
    now: Instant,
    out: Vec<(FetchKey, HttpRequest)>,
    told: Vec<TrackerOutput>,
}

const EMPTY: &str = "d8:intervali1800e5:peers0:e";

impl Bench {
    fn with_families(tiers: &[&[&str]], (v4, v6): (bool, bool)) -> Bench {
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
    fn new(tiers: &[&[&str]]) -> Bench {
        Bench::with_families(tiers, (true, false))
    }

    /// Started, and the first announce answered.
    fn working(tiers: &[&[&str]]) -> Bench {
        let mut bench = Bench::new(tiers);
        bench.start();
        bench.answer(EMPTY);
        bench
    }

    fn start(&mut self) {
        self.announcer.start(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        let totals = Totals { uploaded: 1, downloaded: 2, left: 3, corrupt: 0 };
        while let Some(output) = self.announcer.poll_output(totals) {
            match output {
                TrackerOutput::Fetch { key, request } => self.out.push((key, *request)),
                other => self.told.push(other),
            }
        }
    }

    /// What is out, as "host family event".
    fn asked(&self) -> Vec<String> {
        self.out.iter().map(|(_, request)| shown(request)).collect()
    }

    fn finish(&mut self, result: Result<HttpAnswer, HttpFailure>) {
        let (key, _) = self.out.remove(0);
        self.announcer.on_http_finished(self.now, key, result);
        self.drain();
    }

    /// Answers the oldest request.
    fn answer(&mut self, body: &str) {
        self.finish(Ok(answer(200, body)));
    }

    /// Fails the oldest request.
    fn fail(&mut self) {
        self.finish(Err(HttpFailure::TimedOut));
    }

    /// Sleeps until something is due; how long that took.
    fn sleep(&mut self) -> Duration {
        let due = self.announcer.poll_timeout().expect("something is due");
        let slept = due.since(self.now);
        self.now = self.now.max(due);
        self.announcer.handle_timeout(self.now);
        self.drain();
        slept
    }

    fn failures(&self) -> Vec<(&str, &str, bool)> {
        let failures = self.told.iter().filter_map(|told| match told {
            TrackerOutput::Failed { tracker, reason, refused } => Some((&tracker[..], &reason[..], *refused)),
            _ => None,
        });
        failures.collect()
    }
}

fn answer(status: u16, body: &str) -> HttpAnswer {
    HttpAnswer { status, body: body.as_bytes().to_vec(), server: Some("8.8.8.8:80".parse().unwrap()) }
}

fn shown(request: &HttpRequest) -> String {
    let host = request.url.trim_start_matches("http://").split('.').next().unwrap();
    let family = if request.family == Some(AddressFamily::V6) { "v6" } else { "v4" };
    let event = request.url.split("&event=").nth(1).map_or("-", |rest| rest.split('&').next().unwrap());
    format!("{host} {family} {event}")
}

fn secs(from: u64, to: u64) -> std::ops::RangeInclusive<Duration> {
    Duration::from_secs(from)..=Duration::from_secs(to)
}

#[test]
fn the_first_announce_says_started_once_over_each_family() {
    let mut bench = Bench::with_families(&[&["a"]], (true, true));
    bench.start();
    assert_eq!(bench.asked(), ["a v4 started", "a v6 started"]);
    let keys = bench.out.iter().filter(|(_, request)| request.url.contains("&key=00000ABC&"));
    assert_eq!(keys.count(), 2);
    bench.answer(EMPTY);
    bench.answer(EMPTY);
    bench.sleep();
    assert_eq!(bench.asked(), ["a v4 -", "a v6 -"]);
}

#[test]
fn the_next_tier_is_asked_only_when_all_of_this_one_failed() {
    let mut bench = Bench::new(&[&["a", "b"], &["c"], &["d"]]);
    bench.start();
    let mut order = Vec::new();
    for _ in 0..2 {
        order.extend(bench.asked());
        bench.fail();
    }
    order.sort();
    assert_eq!(order, ["a v4 started", "b v4 started"]);
    assert_eq!(bench.asked(), ["c v4 started"]);
    bench.answer(EMPTY);
    assert!(bench.out.is_empty(), "one that works is enough");
}

#[test]
fn a_tracker_that_works_is_asked_before_the_others_of_its_tier() {
    let mut bench = Bench::new(&[&["a", "b", "c"]]);
    bench.start();
    bench.fail();
    bench.fail();
    let third = bench.asked();
    bench.answer(EMPTY);
    bench.sleep();
    assert_eq!(bench.asked(), [third[0].replace("started", "-")]);
    bench.fail();
    assert_eq!(bench.out.len(), 1, "the others are tried again when it fails");
}

#[test]
fn an_earlier_tier_is_tried_again_at_the_next_announce() {
    let mut bench = Bench::new(&[&["a"], &["b"]]);
    bench.start();
    bench.fail();
    bench.answer(EMPTY);
    bench.sleep();
    assert_eq!(bench.asked(), ["a v4 started"]);
    bench.answer(EMPTY);
    bench.sleep();
    assert_eq!(bench.asked(), ["a v4 -"]);
}

#[test]
fn without_need_a_tracker_is_asked_at_its_interval() {
    let mut bench = Bench::working(&[&["a"]]);
    assert!(secs(1620, 1980).contains(&bench.sleep()));
}

#[test]
fn while_peers_are_wanted_announces_come_sooner_in_growing_steps() {
    let mut bench = Bench::working(&[&["a"]]);
    bench.announcer.set_need(true);
    let mut steps = Vec::new();
    for _ in 0..9 {
        steps.push(bench.sleep().as_secs());
        bench.answer(EMPTY);
    }
    assert_eq!(steps[..6], [30, 60, 120, 240, 480, 960]);
    assert!(steps[6..].iter().all(|step| (1620..=1980).contains(step)), "{steps:?}");
}

#[test]
fn need_never_leads_to_an_announce_before_the_min_interval() {
    let mut bench = Bench::new(&[&["a"]]);
    bench.announcer.set_need(true);
    bench.start();
    bench.answer("d8:intervali1800e12:min intervali900e5:peers0:e");
    assert_eq!(bench.sleep(), Duration::from_secs(900));
}

#[test]
fn a_family_that_fails_beside_one_that_works_is_no_failure() {
    for failure in [HttpFailure::NoSuchFamily, HttpFailure::TimedOut] {
        let mut bench = Bench::with_families(&[&["a"], &["b"]], (true, true));
        bench.start();
        bench.answer(EMPTY);
        bench.finish(Err(failure));
        assert!(bench.out.is_empty() && bench.failures().is_empty());
        bench.sleep();
        assert_eq!(bench.asked(), ["a v4 -", "a v6 started"]);
    }
}

#[test]
fn a_tracker_without_any_address_fails() {
    let mut bench = Bench::with_families(&[&["a"], &["b"]], (true, true));
    bench.start();
    bench.finish(Err(HttpFailure::NoSuchFamily));
    bench.finish(Err(HttpFailure::NoSuchFamily));
    assert_eq!(bench.failures().len(), 1);
    assert_eq!(bench.asked(), ["b v4 started", "b v6 started"]);
}

#[test]
fn what_fails_is_left_alone_for_longer_and_longer() {
    let mut bench = Bench::new(&[&["a"]]);
    bench.start();
    bench.fail();
    for range in [secs(15, 19), secs(49, 61), secs(105, 129)] {
        let slept = bench.sleep();
        assert!(range.contains(&slept), "{slept:?}");
        bench.fail();
    }
    assert_eq!(bench.failures().len(), 4);
}

#[test]
fn only_an_answer_with_status_200_counts_but_a_reason_is_read_from_any() {
    let refusal = "d14:failure reason11:go away nowe";
    for (status, body, refused) in [
        (404, EMPTY, false),
        (200, "<html>", false),
        (200, "i3e", false),
        (200, refusal, true),
        (403, refusal, true),
    ] {
        let mut bench = Bench::new(&[&["a"]]);
        bench.start();
        bench.finish(Ok(answer(status, body)));
        let [(tracker, reason, was_refused)] = bench.failures()[..] else { panic!("{body}") };
        assert_eq!((tracker, was_refused), ("http://a.example/announce", refused));
        assert_eq!(reason == "go away now", refused);
        assert_eq!(bench.announcer.has_all_refused(), refused);
    }
}

#[test]
fn all_have_refused_only_when_each_has() {
    let mut bench = Bench::new(&[&["a"], &["b"], &["udp://c.example:1/announce"]]);
    let refusal = "d14:failure reason2:noe";
    bench.start();
    bench.answer(refusal);
    assert!(!bench.announcer.has_all_refused());
    bench.answer(refusal);
    assert!(bench.announcer.has_all_refused());
    assert!(!Bench::new(&[]).announcer.has_all_refused());
}

#[test]
fn a_tracker_that_says_never_is_not_asked_again_in_this_run() {
    let mut bench = Bench::new(&[&["a"]]);
    bench.start();
    bench.answer("d14:failure reason4:gone8:retry in5:nevere");
    assert_eq!(bench.announcer.poll_timeout(), None);
    let mut bench = Bench::new(&[&["a"]]);
    bench.start();
    bench.answer("d14:failure reason4:busy8:retry ini10ee");
    assert_eq!(bench.sleep(), Duration::from_secs(600));
}

#[test]
fn completion_is_told_at_once_and_once() {
    let mut bench = Bench::working(&[&["a"]]);
    bench.announcer.on_complete();
    bench.drain();
    assert_eq!(bench.asked(), ["a v4 completed"]);
    bench.answer(EMPTY);
    assert!(bench.out.is_empty());
    bench.sleep();
    assert_eq!(bench.asked(), ["a v4 -"]);
}

#[test]
fn completion_waits_for_an_announce_under_way() {
    let mut bench = Bench::new(&[&["a"]]);
    bench.start();
    bench.announcer.on_complete();
    bench.drain();
    assert_eq!(bench.asked(), ["a v4 started"]);
    bench.answer(EMPTY);
    assert_eq!(bench.asked(), ["a v4 completed"]);
}

#[test]
fn a_completion_that_does_not_arrive_is_told_again_later() {
    let mut bench = Bench::working(&[&["a"], &["b"]]);
    bench.announcer.on_complete();
    bench.drain();
    bench.fail();
    assert_eq!(bench.asked(), ["b v4 started"]);
    bench.fail();
    bench.sleep();
    if bench.asked() == ["b v4 started"] {
        bench.fail();
        bench.sleep();
    }
    assert_eq!(bench.asked(), ["a v4 completed"]);
}

#[test]
fn who_was_complete_from_the_start_tells_no_completion() {
    let mut bench = Bench::working(&[&["a"]]);
    bench.sleep();
    assert_eq!(bench.asked(), ["a v4 -"]);
}

#[test]
fn only_trackers_that_know_of_us_are_told_that_we_stop() {
    let mut bench = Bench::new(&[&["a"], &["b"], &["c"]]);
    bench.start();
    bench.fail();
    bench.answer(EMPTY);
    bench.announcer.stop(bench.now);
    bench.drain();
    assert_eq!(bench.asked(), ["b v4 stopped"]);
    let request = &bench.out[0].1;
    assert!(request.url.contains("&numwant=0&") && request.timeout <= Duration::from_secs(2));
    assert!(!bench.announcer.is_idle_after_stop());
    bench.answer("d8:intervali1800e5:peers6:\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}e");
    assert!(bench.announcer.is_idle_after_stop());
    assert_eq!(bench.announcer.poll_timeout(), None);
    assert!(!bench.told.iter().any(|told| matches!(told, TrackerOutput::Peers { .. })));
}

#[test]
fn stopping_before_any_answer_is_done_at_once_or_soon() {
    let mut idle = Bench::new(&[&["a"]]);
    idle.announcer.stop(idle.now);
    assert!(idle.announcer.is_idle_after_stop());
    let mut failing = Bench::new(&[&["a"]]);
    failing.start();
    failing.fail();
    failing.announcer.stop(failing.now);
    failing.drain();
    assert!(failing.announcer.is_idle_after_stop() && failing.out.is_empty());
    let mut asking = Bench::new(&[&["a"]]);
    asking.start();
    asking.announcer.stop(asking.now);
    assert!(asking.sleep() < Duration::from_secs(1));
    assert!(asking.announcer.is_idle_after_stop() && asking.out.len() == 1);
}

#[test]
fn an_answer_to_started_that_comes_while_stopping_is_followed_by_stopped() {
    let mut bench = Bench::new(&[&["a"]]);
    bench.start();
    bench.announcer.stop(bench.now);
    bench.drain();
    bench.answer(EMPTY);
    assert_eq!(bench.asked(), ["a v4 stopped"]);
    bench.fail();
    assert!(bench.announcer.is_idle_after_stop());
}

#[test]
fn a_completion_is_told_before_the_end() {
    let mut bench = Bench::working(&[&["a"]]);
    bench.announcer.on_complete();
    bench.announcer.stop(bench.now);
    bench.drain();
    assert_eq!(bench.asked(), ["a v4 completed"]);
    bench.answer(EMPTY);
    assert_eq!(bench.asked(), ["a v4 stopped"]);
}

#[test]
fn a_mute_tracker_does_not_hold_up_the_end() {
    let mut bench = Bench::working(&[&["a"]]);
    bench.sleep();
    let begin = bench.now;
    bench.announcer.stop(begin);
    bench.drain();
    bench.sleep();
    assert_eq!(bench.asked(), ["a v4 -", "a v4 stopped"], "it is not waited for");
    bench.fail();
    assert_eq!(bench.asked(), ["a v4 stopped"], "what was overtaken counts no more");
    bench.sleep();
    assert!(bench.announcer.is_idle_after_stop());
    assert!(bench.now.since(begin) < Duration::from_secs(2));
}

#[test]
fn a_trackers_id_is_sent_back_to_it() {
    let mut bench = Bench::new(&[&["a"]]);
    bench.start();
    bench.answer("d8:intervali1800e5:peers0:10:tracker id3:x ye");
    bench.sleep();
    assert!(bench.out[0].1.url.contains("&trackerid=x%20y"), "{}", bench.out[0].1.url);
    bench.answer(EMPTY);
    bench.sleep();
    assert!(bench.out[0].1.url.contains("&trackerid=x%20y"), "an answer without an id keeps the last one");
}

#[test]
fn trackers_that_cannot_be_asked_are_told_of_once() {
    let urls =
        ["udp://u.example:1/announce", "http://169.254.169.254/announce", "nonsense:", "http://127.0.0.1/x"];
    let mut bench = Bench::new(&[&urls]);
    bench.start();
    assert_eq!(bench.failures().len(), 4);
    assert!(bench.out.is_empty() && !bench.announcer.has_trackers());
    assert_eq!(bench.announcer.poll_timeout(), None);
}

#[test]
fn a_tracker_named_twice_is_asked_once() {
    let mut bench = Bench::new(&[&["a", "a"], &["a"]]);
    bench.start();
    bench.fail();
    assert!(bench.out.is_empty());
}

#[test]
fn peers_come_with_the_reach_of_the_tracker_itself() {
    let body = "d8:intervali1800e5:peers6:\u{1}\u{2}\u{3}\u{4}\u{1}\u{2}e";
    for (server, reach) in
        [(Some("127.0.0.1:1"), Reach::Loopback), (Some("8.8.8.8:1"), Reach::Global), (None, Reach::Global)]
    {
        let mut bench = Bench::new(&[&["a"]]);
        bench.start();
        let server = server.map(|server| server.parse().unwrap());
        bench.finish(Ok(HttpAnswer { server, ..answer(200, body) }));
        let addresses = vec!["1.2.3.4:258".parse().unwrap()];
        assert!(bench.told.contains(&TrackerOutput::Peers { addresses, reach }), "{:?}", bench.told);
    }
}

#[test]
fn numbers_are_those_of_the_moment_when_the_announce_is_taken() {
    let mut bench = Bench::new(&[&["a"]]);
    bench.announcer.start(bench.now);
    let totals = Totals { uploaded: 11, downloaded: 22, left: 33, corrupt: 44 };
    let Some(TrackerOutput::Fetch { request, .. }) = bench.announcer.poll_output(totals) else { panic!() };
    assert!(request.url.contains("&uploaded=11&downloaded=22&left=33&corrupt=44&"), "{}", request.url);
}

#[test]
fn a_passkey_is_never_told() {
    let mut bench =
        Bench::new(&[&["http://t.example/SECRET/announce?passkey=SECRET", "udp://u.example/SECRET"]]);
    bench.start();
    bench.fail();
    bench.sleep();
    bench.answer(EMPTY);
    assert_eq!(bench.told.len(), 3);
    assert!(!format!("{:?}", bench.told).contains("SECRET"));
}

proptest! {
    /// Whatever trackers say: an announcer is never due twice at one time, and asks no tracker again sooner than
    /// it may but to tell of an event.
    #[test]
    fn no_tracker_is_hammered(
        steps in prop::collection::vec((0..8u8, any::<bool>()), 1..200),
        families in prop_oneof![Just((true, false)), Just((true, true))],
        seed in any::<u64>(),
    ) {
        let mut bench = Bench::with_families(&[&["a", "b"], &["http://127.0.0.1:1/announce", "c"]], families);
        let mut rng = Rng::from_number(seed);
        // By host and family: when it was last asked, and whether it has answered.
        let mut asked: BTreeMap<String, (FetchKey, Instant, bool)> = BTreeMap::new();
        bench.start();
        for (key, request) in &bench.out {
            let name = shown(request);
            asked.insert(name.rsplit_once(' ').unwrap().0.to_owned(), (*key, bench.now, false));
        }
        for (step, wants) in steps {
            bench.announcer.set_need(wants);
            if let (0..=5, Some((key, _))) = (step, bench.out.first()) {
                let entry = asked.values_mut().find(|(other, ..)| other == key);
                entry.expect("it was seen when it was asked").2 = step < 4;
            }
            match step {
                0..=2 if !bench.out.is_empty() => bench.answer(EMPTY),
                3 if !bench.out.is_empty() => bench.answer("d8:intervali0e12:min intervali-1e5:peers1:xe"),
                4 | 5 if !bench.out.is_empty() => bench.fail(),
                6 => bench.announcer.on_complete(),
                _ => bench.now += Duration::from_millis(rng.below(100_000) as u64),
            }
            bench.announcer.handle_timeout(bench.now);
            bench.drain();
            prop_assert!(bench.announcer.poll_timeout().is_none_or(|due| due > bench.now));
            for (key, request) in &bench.out {
                let name = shown(request);
                let (route, event) = name.rsplit_once(' ').unwrap();
                let earlier = asked.get(route).filter(|(other, ..)| other != key);
                if let Some((_, at, has_answered)) = earlier.filter(|_| event == "-") {
                    let least = Duration::from_millis(if *has_answered { 30_000 } else { 900 });
                    prop_assert!(bench.now.since(*at) >= least, "{} after {:?}", name, bench.now.since(*at));
                }
                if asked.get(route).is_none_or(|(other, ..)| other != key) {
                    asked.insert(route.to_owned(), (*key, bench.now, false));
                }
            }
        }
        bench.announcer.stop(bench.now);
        bench.drain();
        for _ in 0..2 {
            if !bench.announcer.is_idle_after_stop() {
                bench.sleep();
            }
        }
        prop_assert!(bench.announcer.is_idle_after_stop());
    }
}

#[test]
fn a_torrent_with_too_many_trackers_keeps_some() {
    let urls: Vec<String> =
        (0..2 * limit::TRACKERS).map(|number| format!("http://t{number}.example/announce")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let mut bench = Bench::new(&[&urls]);
    bench.start();
    let mut asked = 0;
    while !bench.out.is_empty() {
        asked += 1;
        bench.fail();
    }
    assert_eq!(asked, limit::TRACKERS);
}
