//! How many regular slots there are: between 4 and 10, as many as pay.
//!
//! The uplink counts as full when what one slot more takes is what the others lose. So this is a climb by rounds:
//! a slot is added; unless the uplink shows to be full, so is the next; if it does, slots are taken away for as long
//! as the others take over what these took. Only those who were served in both rounds tell what others lose. A share
//! of all that goes out would say less, since one fast taker makes every other's share look like nothing; and so would
//! backlogs, since blocks wait for a slow peer's line just as they do for a full line of ours.

use std::collections::BTreeMap;

use super::Standing;
use crate::base::time::{Duration, Instant};
use crate::engine::input::ConnectionId;
use crate::engine::settings::Slots;

/// Fewest and most slots, when they follow the uplink.
const MIN: usize = 4;
const MAX: usize = 10;
/// Rounds between two climbs.
const REST: u32 = 6;
/// What those who are served throughout take changes by one in so many at the least before it says something.
const NOISE: u64 = 16;
/// Rounds further apart than this are not compared: nobody waited in between.
const ROUNDS_APART: Duration = Duration::from_secs(15);

/// What the last round did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Grew,
    Shrank,
    /// Nothing, for so many rounds.
    Rested(u32),
}

/// The number of regular slots.
#[derive(Debug)]
pub(super) struct SlotCount {
    is_fixed: bool,
    count: usize,
    step: Step,
    /// When the last round was, and what each peer had been sent by then, bytes.
    seen: Option<(Instant, BTreeMap<ConnectionId, u64>)>,
    /// What each peer that was served took in the round before, bytes a second.
    before: Option<Rates>,
}

type Rates = BTreeMap<ConnectionId, u64>;

impl SlotCount {
    pub(super) fn new(slots: Slots) -> SlotCount {
        let (is_fixed, count) = match slots {
            Slots::Auto => (false, MIN),
            Slots::Fixed(count) => (true, count),
        };
        SlotCount { is_fixed, count, step: Step::Rested(REST - 1), seen: None, before: None }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// A round is held.
    pub(super) fn on_round(&mut self, now: Instant, peers: &[Standing]) {
        if self.is_fixed {
            return;
        }
        let sent = peers.iter().map(|peer| (peer.connection, peer.sent)).collect();
        let seen = self.seen.replace((now, sent)).filter(|(then, _)| now.since(*then) <= ROUNDS_APART);
        let Some((then, sent)) = seen else {
            self.before = None;
            return;
        };
        let millis = now.since(then).as_millis().max(1) as u64;
        let rate = |peer: &Standing| {
            let bytes = peer.sent.saturating_sub(sent.get(&peer.connection).copied().unwrap_or(0));
            bytes.saturating_mul(1000) / millis
        };
        let served = peers.iter().filter(|peer| peer.is_unchoked);
        let rates: Rates =
            served.map(|peer| (peer.connection, rate(peer))).filter(|(_, rate)| *rate > 0).collect();
        let shift = self.before.as_ref().map(|before| Shift::new(before, &rates));
        self.before = Some(rates);
        if let Some(shift) = shift {
            self.climb(&shift);
        }
    }

    fn climb(&mut self, shift: &Shift) {
        match self.step {
            Step::Grew if shift.is_full() => self.shrink(),
            Step::Grew => self.grow(),
            Step::Shrank if shift.is_full() || shift.came == shift.went => self.shrink(),
            Step::Shrank => {
                self.grow();
                self.step = Step::Rested(0);
            }
            Step::Rested(rounds) if rounds + 1 < REST => self.step = Step::Rested(rounds + 1),
            // What paid once need not pay for ever: at the top, the way down is tried.
            Step::Rested(_) if self.count == MAX => self.shrink(),
            Step::Rested(_) => self.grow(),
        }
    }

    fn grow(&mut self) {
        self.step = if self.count < MAX { Step::Grew } else { Step::Rested(0) };
        self.count = (self.count + 1).min(MAX);
    }

    fn shrink(&mut self) {
        self.step = if self.count > MIN { Step::Shrank } else { Step::Rested(0) };
        self.count = self.count.saturating_sub(1).max(MIN);
    }
}

/// What changed from one round to the next, bytes a second.
struct Shift {
    /// What those take who are served now and were not before.
    came: u64,
    /// What those took who were served before and are not now.
    went: u64,
    /// What all others took before, and take now.
    stayed: (u64, u64),
}

impl Shift {
    fn new(before: &Rates, after: &Rates) -> Shift {
        let mut shift = Shift { came: 0, went: 0, stayed: (0, 0) };
        for (peer, rate) in after {
            match before.get(peer) {
                Some(earlier) => {
                    shift.stayed.0 += earlier;
                    shift.stayed.1 += rate;
                }
                None => shift.came += rate,
            }
        }
        shift.went = before.values().sum::<u64>() - shift.stayed.0;
        shift
    }

    /// Whether those who stayed lost at least half of what the others took more, or the other way round. A small
    /// part of what they take shows nothing: no line is so steady.
    fn is_full(&self) -> bool {
        let (before, after) = self.stayed;
        let (taken, given_up) = match self.came.checked_sub(self.went) {
            Some(more) => (more, before.saturating_sub(after)),
            None => (self.went - self.came, after.saturating_sub(before)),
        };
        taken > 0 && given_up >= taken.div_ceil(2) && given_up >= before / NOISE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rate::ByteRate;

    /// Takers of so many bytes a second at the most, of an uplink of so many: the first are served.
    struct Takers {
        slots: SlotCount,
        all: Vec<(u64, Standing)>,
        uplink: u64,
        now: Instant,
    }

    impl Takers {
        fn new(takes: &[u64], uplink: u64, slots: Slots) -> Takers {
            let standing = |number| Standing {
                connection: ConnectionId(number),
                is_interested: true,
                is_upload_only: false,
                are_we_seed: true,
                given: ByteRate(0),
                taken: ByteRate(0),
                sent: 0,
                since: Instant::ZERO,
                is_unchoked: false,
                changed: None,
                asked: Instant::ZERO,
                owed: None,
                took: None,
            };
            let all = takes.iter().zip(0..).map(|(takes, number)| (*takes, standing(number))).collect();
            Takers { slots: SlotCount::new(slots), all, uplink, now: Instant::ZERO }
        }

        /// Holds a round, then sends for ten seconds, to each the same as far as it takes that much.
        fn round(&mut self) -> usize {
            let standings: Vec<Standing> = self.all.iter().map(|(_, standing)| *standing).collect();
            self.slots.on_round(self.now, &standings);
            self.now += Duration::from_secs(10);
            let count = self.slots.count();
            self.all.iter_mut().for_each(|(_, standing)| standing.is_unchoked = false);
            let mut served: Vec<_> = self.all.iter_mut().take(count).collect();
            served.sort_by_key(|(takes, _)| *takes);
            let (mut left, mut others) = (self.uplink, served.len() as u64);
            for (takes, standing) in served {
                let rate = (*takes).min(left / others);
                standing.is_unchoked = true;
                standing.sent += 10 * rate;
                left -= rate;
                others -= 1;
            }
            count
        }

        fn rounds(&mut self, rounds: usize) -> Vec<usize> {
            (0..rounds).map(|_| self.round()).collect()
        }
    }

    /// So many rounds in which each of many takes `per_slot` of the uplink's `uplink`.
    fn counts(rounds: usize, per_slot: u64, uplink: u64) -> Vec<usize> {
        Takers::new(&[per_slot; 20], uplink, Slots::Auto).rounds(rounds)
    }

    #[test]
    fn slots_grow_to_ten_while_the_uplink_is_not_full() {
        let counts = counts(12, 1000, 1_000_000);
        assert_eq!((counts[0], counts.iter().max()), (4, Some(&10)), "{counts:?}");
    }

    #[test]
    fn one_fast_taker_does_not_make_the_others_look_like_nothing() {
        for fast in 0..5 {
            let mut takes = [300_000; 14];
            takes[fast] = 15_000_000;
            let counts = Takers::new(&takes, 100_000_000, Slots::Auto).rounds(9);
            assert_eq!(counts, [4, 4, 5, 6, 7, 8, 9, 10, 10]);
        }
    }

    #[test]
    fn an_uplink_that_unequal_takers_fill_is_not_shared_among_more() {
        let mut takes = [3_000_000; 14];
        takes[0] = 15_000_000;
        let counts = Takers::new(&takes, 10_000_000, Slots::Auto).rounds(60);
        assert!(counts.iter().all(|count| (4..=5).contains(count)), "{counts:?}");
    }

    #[test]
    fn an_uplink_that_nobody_uses_is_not_full() {
        assert_eq!(counts(12, 0, 1000).into_iter().max(), Some(10));
    }

    #[test]
    fn slots_stay_at_four_when_the_uplink_is_full_but_for_a_try_now_and_then() {
        let counts = counts(60, 1000, 3000);
        assert!(counts.iter().all(|count| (4..=5).contains(count)), "{counts:?}");
        assert!(counts.iter().filter(|count| **count == 5).count() <= 10, "{counts:?}");
    }

    #[test]
    fn slots_stop_growing_where_the_uplink_becomes_full() {
        let counts = counts(40, 1000, 6000);
        assert!(counts[10..].iter().all(|count| (5..=7).contains(count)), "{counts:?}");
    }

    #[test]
    fn slots_shrink_when_the_uplink_is_full() {
        let mut takers = Takers::new(&[1000; 20], 100_000, Slots::Auto);
        let counts = takers.rounds(20);
        assert!(counts[19] >= 9, "{counts:?}");
        takers.all.iter_mut().for_each(|(takes, _)| *takes = 100_000);
        let counts = takers.rounds(40);
        assert!(counts[39] <= 5, "{counts:?}");
    }

    #[test]
    fn a_fixed_number_stays() {
        assert_eq!(Takers::new(&[1000; 9], 1_000_000, Slots::Fixed(2)).rounds(20), [2; 20]);
    }
}
