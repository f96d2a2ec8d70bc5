//! The flags of `create` and `edit`: what a torrent is to say.

use std::path::PathBuf;

use clap::Args;

use super::Output;
use super::value::{self, Threads, Tier};
use crate::cli::glob::Glob;

/// Makes a torrent of a file or a folder. Files are only read; those that change meanwhile are an error.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// The file or folder
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Where the torrent goes; - is standard output [default: NAME.torrent in the current folder]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// A tracker; repeat it for a new tier, A,B is one tier
    #[arg(short, long = "tracker", value_name = "URL", value_parser = value::tier)]
    pub trackers: Vec<Tier>,
    /// A web seed (an HTTP server with the same data); may be repeated
    #[arg(short, long = "webseed", value_name = "URL", value_parser = value::web_seed)]
    pub web_seeds: Vec<String>,
    /// Peers come from the trackers only
    #[arg(long)]
    pub private: bool,
    /// A mark that private trackers want; gives another info-hash
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
    /// Free text
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Leaves out what matches, such as *.tmp or cache/**; may be repeated
    #[arg(short = 'x', long, value_name = "GLOB", value_parser = Glob::new)]
    pub exclude: Vec<Glob>,
    /// The length of pieces, a power of two [default: what gives 1000 to 2000 pieces, 16K to 16M]
    #[arg(long, value_name = "SIZE", value_parser = value::piece_length)]
    pub piece_length: Option<u32>,
    /// The same bytes from the same files on any day: no date, no program's name
    #[arg(long)]
    pub reproducible: bool,
    /// Makes a torrent of version 1; no other is made so far
    #[arg(long)]
    pub v1: bool,
    /// Not built yet
    #[arg(long, hide = true)]
    pub v2: bool,
    /// Not built yet
    #[arg(long, hide = true)]
    pub hybrid: bool,
    /// Threads that hash: a number, or auto for one a processor
    #[arg(long, value_name = "N", default_value = "auto", value_parser = value::threads)]
    pub check_threads: Threads,
    /// What is shown.
    #[command(flatten)]
    pub output_flags: Output,
}

/// Changes a torrent's trackers, web seeds or comment; its info-hash stays. Without --output the file itself is
/// replaced. An empty value takes away what is there.
#[derive(Args, Debug)]
pub struct EditArgs {
    /// The torrent; - reads it from standard input
    #[arg(value_name = "TORRENT")]
    pub file: PathBuf,
    /// Where the changed torrent goes; - is standard output [default: into TORRENT itself]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// A tracker, in place of all that are there; repeat it for a new tier, A,B is one tier
    #[arg(short, long = "tracker", value_name = "URL", value_parser = value::tier_or_none)]
    pub trackers: Option<Vec<Tier>>,
    /// A web seed, in place of all that are there; may be repeated
    #[arg(short, long = "webseed", value_name = "URL", value_parser = value::web_seed_or_none)]
    pub web_seeds: Option<Vec<String>>,
    /// Free text
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// A mark that private trackers want; gives another info-hash
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
    /// What is shown.
    #[command(flatten)]
    pub output_flags: Output,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Invocation, parse};
    use crate::cli::error::CliError;
    use std::ffi::OsString;

    fn create(words: &[&str]) -> Result<CreateArgs, CliError> {
        let words: Vec<OsString> = ["btget", "create", "x"].iter().chain(words).map(OsString::from).collect();
        match parse(&words)? {
            Invocation::Create(args) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_repeated_tracker_is_a_new_tier_and_a_comma_stays_in_one() {
        let args = create(&["-t", "http://a/1,udp://b:80", "--tracker", "https://c/"]).unwrap();
        let tiers: Vec<Vec<String>> = args.trackers.into_iter().map(|tier| tier.0).collect();
        assert_eq!(tiers, [vec!["http://a/1", "udp://b:80"], vec!["https://c/"]]);
        for bad in ["http://", "ftp://a/", "udp://a", "", "http://a/,,"] {
            assert!(create(&["-t", bad]).is_err(), "{bad}");
        }
        assert!(create(&["-w", "udp://a:1"]).is_err());
        assert_eq!(create(&["-w", "http://a/f"]).unwrap().web_seeds, ["http://a/f"]);
    }

    #[test]
    fn pieces_are_a_power_of_two_of_at_least_a_block() {
        assert_eq!(create(&["--piece-length", "1M"]).unwrap().piece_length, Some(1 << 20));
        assert_eq!(create(&[]).unwrap().piece_length, None);
        for bad in ["0", "8K", "100K", "512M", "x"] {
            assert!(create(&["--piece-length", bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn threads_are_a_number_or_auto() {
        assert_eq!(create(&[]).unwrap().check_threads, Threads(None));
        assert_eq!(create(&["--check-threads", "3"]).unwrap().check_threads, Threads(Some(3)));
        for bad in ["0", "-1", "many", "1000"] {
            assert!(create(&["--check-threads", bad]).is_err(), "{bad}");
        }
    }
}
