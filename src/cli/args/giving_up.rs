//! Flags that say when to give up.

use clap::Args;

use super::value;
use crate::base::time::Duration;

/// When to give up.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Giving up")]
pub struct GivingUp {
    /// Gives up when not complete after this long: 90s, 10m, 1h30m (exit code 5); 0 is never
    #[arg(long, value_name = "DUR", value_parser = value::duration)]
    pub timeout: Option<Duration>,
    /// Gives up when no data has come for this long (exit code 5); 0 is never
    #[arg(long, value_name = "DUR", value_parser = value::duration)]
    pub stall: Option<Duration>,
    /// Stops everything as soon as one target has failed
    #[arg(long, overrides_with = "keep_going")]
    pub fail_fast: bool,
    /// Goes on with other targets when one has failed (the default)
    #[arg(long, overrides_with = "fail_fast")]
    pub keep_going: bool,
}

#[cfg(test)]
mod tests {
    use crate::base::time::Duration;
    use crate::cli::args::parse_main;

    #[test]
    fn patience_is_endless_unless_told_otherwise() {
        let args = parse_main(&["x"]).unwrap().giving_up;
        assert_eq!((args.timeout, args.stall), (None, None));
        let args = parse_main(&["x", "--timeout", "1h30m", "--stall", "90"]).unwrap().giving_up;
        assert_eq!(args.timeout, Some(Duration::from_secs(5400)));
        assert_eq!(args.stall, Some(Duration::from_secs(90)));
        assert!(parse_main(&["x", "--timeout", "soon"]).is_err());
    }

    #[test]
    fn of_fail_fast_and_keep_going_the_last_one_counts() {
        let fails_fast = |flags: &[&str]| {
            let words: Vec<&str> = ["x"].iter().chain(flags).copied().collect();
            parse_main(&words).unwrap().giving_up.fail_fast
        };
        assert!(!fails_fast(&[]));
        assert!(fails_fast(&["--fail-fast"]) && fails_fast(&["--keep-going", "--fail-fast"]));
        assert!(!fails_fast(&["--fail-fast", "--keep-going"]));
    }
}
