//! How an announcer ends.

use super::bench::{Bench, EMPTY};
use crate::base::time::Duration;
use crate::engine::tracker::TrackerOutput;

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
