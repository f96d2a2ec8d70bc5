//! Flags of what is shown.

use clap::{ArgAction, Args, ValueEnum};

/// What is shown.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Shows warnings and errors only; twice: errors only
    #[arg(short, long, action = ArgAction::Count)]
    pub quiet: u8,
    /// Tells of peers and trackers; twice: for debugging
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// How progress is shown: auto, bar, line or none
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = progress)]
    pub progress: ProgressChoice,
    /// When to use color: auto, always or never
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto, hide_possible_values = true)]
    pub color: ColorChoice,
}

impl Default for Output {
    fn default() -> Output {
        Output { quiet: 0, verbose: 0, progress: ProgressChoice::Auto, color: ColorChoice::Auto }
    }
}

/// How progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ProgressChoice {
    /// Bars on a terminal, else lines.
    Auto,
    /// A line a torrent, redrawn; lines where there is no terminal.
    Bar,
    /// A line now and then.
    Line,
    /// Not at all.
    None,
}

/// When color is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

fn progress(text: &str) -> Result<ProgressChoice, String> {
    if text == "json" {
        return Err("progress as json is not built yet".to_owned());
    }
    ProgressChoice::from_str(text, false).map_err(|_| "auto, bar, line or none is wanted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::parse_main;

    #[test]
    fn q_and_v_are_counted() {
        let output = parse_main(&["x", "-qq"]).unwrap().output;
        assert_eq!((output.quiet, output.verbose), (2, 0));
        assert_eq!(parse_main(&["x", "-v", "-v"]).unwrap().output.verbose, 2);
    }

    #[test]
    fn progress_as_json_says_that_it_is_still_to_come() {
        assert_eq!(parse_main(&["x", "--progress=line"]).unwrap().output.progress, ProgressChoice::Line);
        let error = parse_main(&["x", "--progress=json"]).unwrap_err();
        assert!(error.message.contains("not built yet"), "{error}");
        assert!(parse_main(&["x", "--progress=loud"]).is_err());
    }
}
