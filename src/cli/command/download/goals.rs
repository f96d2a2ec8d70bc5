//! When a seed has done enough: the person's goals, each torrent by itself.

use std::fmt::Write as _;

use crate::base::size::size;
use crate::base::time::Duration;
use crate::cli::args::{Seeding, StopWhen};
use crate::cli::output::format;
use crate::engine::snapshot::TorrentSnapshot;

/// What one seed remembers of its time as one. Times count from the start of the run.
#[derive(Clone, Debug)]
pub(super) struct Service {
    since: Duration,
    /// What had been sent when something was sent last, and when that was.
    sent: (u64, Duration),
}

impl Service {
    /// Of a torrent that seeds since `now`, having sent so many bytes before.
    pub(super) fn new(now: Duration, uploaded: u64) -> Service {
        Service { since: now, sent: (uploaded, now) }
    }

    /// Looks at the torrent `now`. In words, the goals that are met, if they are enough to stop.
    pub(super) fn check(
        &mut self,
        now: Duration,
        torrent: &TorrentSnapshot,
        goals: &Seeding,
    ) -> Option<String> {
        if torrent.uploaded != self.sent.0 {
            self.sent = (torrent.uploaded, now);
        }
        let mut met = Vec::new();
        let mut open = 0;
        let mut look = |is_met: bool, words: String| if is_met { met.push(words) } else { open += 1 };
        if let Some(ratio) = goals.ratio {
            let all = torrent.traffic();
            // Who had nearly everything from the start has downloaded next to nothing.
            let of = all.downloaded.max(torrent.total);
            let is_met = all.uploaded as f64 >= ratio * of as f64;
            let sent = size(all.uploaded);
            look(is_met, format!("ratio {ratio} is reached with {sent} sent (--ratio)"));
        }
        if let Some(time) = goals.seed_time {
            let is_met = now.saturating_sub(self.since) >= time;
            look(is_met, format!("it has seeded for {} (--seed-time)", format::span(time)));
        }
        if let Some(idle) = goals.seed_idle {
            let is_met = now.saturating_sub(self.sent.1) >= idle;
            look(is_met, format!("nobody took anything for {} (--seed-idle)", format::span(idle)));
        }
        if let Some(seeds) = goals.until_seeds {
            let is_met = torrent.swarm_seeds >= seeds as usize;
            let others = format::count(torrent.swarm_seeds, "other");
            look(is_met, format!("{others} can seed it (--until-seeds)"));
        }
        let is_enough = match goals.stop_when {
            StopWhen::Any => !met.is_empty(),
            StopWhen::All => !met.is_empty() && open == 0,
        };
        let mut words = met.into_iter();
        let first = words.next().filter(|_| is_enough)?;
        Some(words.fold(first, |mut all, more| {
            // Writing to a string does not fail.
            let _ = write!(all, ", {more}");
            all
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::parse_main;
    use crate::cli::output::status::tests::snapshot;
    use crate::engine::disk_job::Traffic;
    use crate::engine::snapshot::Phase;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn goals(words: &[&str]) -> Seeding {
        parse_main(&[words, &["x"]].concat()).unwrap().seeding
    }

    fn seed(uploaded: u64, swarm_seeds: usize) -> TorrentSnapshot {
        TorrentSnapshot { total: 1 << 20, uploaded, downloaded: 0, swarm_seeds, ..snapshot(Phase::Seeding) }
    }

    #[test]
    fn without_a_goal_it_never_ends() {
        let mut service = Service::new(seconds(0), 0);
        assert_eq!(service.check(seconds(1 << 30), &seed(1 << 40, 99), &goals(&["--seed"])), None);
    }

    #[test]
    fn each_goal_is_met_at_its_point_and_says_so() {
        let at = |words: &[&str], now: u64, torrent: TorrentSnapshot| {
            Service::new(seconds(10), 5).check(seconds(now), &torrent, &goals(words))
        };
        assert_eq!(at(&["--ratio", "1.5"], 11, seed(3 << 18, 0)), None);
        let words = at(&["--ratio", "1.5"], 11, seed(3 << 19, 0)).unwrap();
        assert_eq!(words, "ratio 1.5 is reached with 1.5 MiB sent (--ratio)");
        assert_eq!(at(&["--seed-time", "60"], 69, seed(0, 0)), None);
        assert!(at(&["--seed-time", "60"], 70, seed(0, 0)).unwrap().contains("(--seed-time)"));
        assert_eq!(at(&["--until-seeds", "3"], 11, seed(0, 2)), None);
        assert!(at(&["--until-seeds", "3"], 11, seed(0, 3)).unwrap().starts_with("3 others can seed"));
    }

    #[test]
    fn a_ratio_is_of_what_all_runs_moved_and_of_the_size_at_least() {
        let check = |uploaded: u64, downloaded: u64, earlier: (u64, u64)| {
            let earlier = Traffic { uploaded: earlier.0, downloaded: earlier.1 };
            let torrent = TorrentSnapshot { downloaded, earlier, ..seed(uploaded, 0) };
            Service::new(seconds(0), 0).check(seconds(0), &torrent, &goals(&["--ratio", "1.5"])).is_some()
        };
        assert!(check(100, 0, ((3 << 19) - 100, 0)) && !check(99, 0, ((3 << 19) - 100, 0)));
        assert!(!check(100, 10, ((3 << 19) - 101, 10)), "of one piece that was fetched anew");
        assert!(check(3 << 20, 1 << 20, (0, 1 << 20)) && !check((3 << 20) - 1, 1 << 20, (0, 1 << 20)));
    }

    #[test]
    fn idleness_counts_from_the_last_byte() {
        let goals = goals(&["--seed-idle", "30"]);
        let mut service = Service::new(seconds(0), 0);
        assert_eq!(service.check(seconds(29), &seed(1, 0), &goals), None);
        assert_eq!(service.check(seconds(58), &seed(1, 0), &goals), None);
        assert!(service.check(seconds(59), &seed(1, 0), &goals).unwrap().contains("for 30 s (--seed-idle)"));
    }

    #[test]
    fn of_several_goals_one_is_enough_unless_all_are_wanted() {
        let any = ["--ratio", "1", "--seed-time", "60"];
        let all = [&any[..], &["--stop-when", "all"]].concat();
        let check = |words: &[&str], now: u64, uploaded: u64| {
            Service::new(seconds(0), 0).check(seconds(now), &seed(uploaded, 0), &goals(words))
        };
        assert!(check(&any, 60, 0).is_some() && check(&any, 0, 1 << 20).is_some());
        assert!(check(&all, 60, 0).is_none() && check(&all, 0, 1 << 20).is_none());
        let words = check(&all, 60, 1 << 20).unwrap();
        assert!(words.contains("--ratio") && words.contains("--seed-time"), "{words}");
    }
}
