//! Whatever trackers say, none is asked too often.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::bench::{Bench, EMPTY, shown};
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};
use crate::engine::tracker::FetchKey;

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
