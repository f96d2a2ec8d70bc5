mod bench;
mod ending;
mod property;

use self::bench::{Bench, EMPTY, answer, secs};
use super::{Totals, TrackerOutput};
use crate::base::address::Reach;
use crate::base::limit;
use crate::base::time::Duration;
use crate::engine::input::{HttpAnswer, HttpFailure};

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
