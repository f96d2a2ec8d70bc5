//! Flags of seeding: whether, and until when.

use clap::{Args, ValueEnum};

use super::value;
use crate::base::time::Duration;

/// Whether to seed, and until when.
#[derive(Args, Clone, Default, Debug)]
#[command(next_help_heading = "Seeding")]
pub struct Seeding {
    /// Keeps seeding when complete, until a signal. Data is looked for in --dir, then beside the .torrent
    #[arg(long)]
    pub seed: bool,
    /// Seeds what is there and never downloads; exit code 32 and a list when something is missing
    #[arg(long)]
    pub seed_only: bool,
    /// Seeds until so many times the torrent's size has been sent, or of what was downloaded if that is more, in all
    /// runs; with --no-state in this one: 1, 2.5
    #[arg(long, value_name = "R", value_parser = ratio)]
    pub ratio: Option<f64>,
    /// Seeds for so long in this run: 90s, 10m, 2d
    #[arg(long, value_name = "DUR", value_parser = value::duration)]
    pub seed_time: Option<Duration>,
    /// Seeds until nobody has taken anything for so long
    #[arg(long, value_name = "DUR", value_parser = value::duration)]
    pub seed_idle: Option<Duration>,
    /// Seeds until so many others have everything, as a tracker says or as we have met in this run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub until_seeds: Option<u32>,
    /// Of several of these four: stops with the first that is met (any), or when all are
    #[arg(long, value_name = "HOW", value_enum, default_value_t = StopWhen::Any, hide_possible_values = true)]
    pub stop_when: StopWhen,
    /// Shows each peer a few pieces at a time, so that little is sent twice (BEP 16): for a first and only seed, who
    /// has everything at the start
    #[arg(long = "super")]
    pub super_seed: bool,
}

/// Which goals have to be met.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, ValueEnum)]
pub enum StopWhen {
    /// One of them.
    #[default]
    Any,
    /// Each of them.
    All,
}

impl Seeding {
    /// Whether there is anything at which seeding is to stop.
    pub fn has_goal(&self) -> bool {
        let times = [self.seed_time, self.seed_idle];
        self.ratio.is_some() || self.until_seeds.is_some() || times.iter().any(Option::is_some)
    }

    /// Whether to seed at all.
    pub fn is_wanted(&self) -> bool {
        self.seed || self.seed_only || self.has_goal()
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse::<f64>().ok().filter(|ratio| ratio.is_finite() && *ratio > 0.0);
    ratio.ok_or_else(|| "a ratio is a number above 0, such as 1 or 2.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::parse_main;

    fn seeding(words: &[&str]) -> Seeding {
        parse_main(words).unwrap().seeding
    }

    #[test]
    fn each_goal_is_a_wish_to_seed() {
        assert!(!seeding(&["x"]).is_wanted());
        assert!(!seeding(&["x", "--super"]).is_wanted());
        for words in [&["--seed"][..], &["--seed-only"]] {
            let seeding = seeding(&[words, &["x"]].concat());
            assert!(seeding.is_wanted() && !seeding.has_goal());
        }
        for goal in [["--ratio", "1.5"], ["--seed-time", "2h"], ["--seed-idle", "90"], ["--until-seeds", "3"]]
        {
            let seeding = seeding(&[goal[0], goal[1], "x"]);
            assert!(seeding.is_wanted() && seeding.has_goal(), "{goal:?}");
        }
    }

    #[test]
    fn goals_that_make_no_sense_are_refused() {
        for bad in [
            ["--ratio", "0"],
            ["--ratio", "-1"],
            ["--ratio", "nan"],
            ["--ratio", "inf"],
            ["--ratio", "much"],
            ["--until-seeds", "0"],
            ["--seed-time", "long"],
            ["--stop-when", "some"],
        ] {
            assert!(parse_main(&[bad[0], bad[1], "x"]).is_err(), "{bad:?}");
        }
        let error = parse_main(&["--ratio", "-1", "x"]).unwrap_err();
        assert!(error.message.contains("a ratio is a number above 0"), "{error}");
        assert_eq!(seeding(&["x", "--stop-when", "all"]).stop_when, StopWhen::All);
    }
}
