//! The main form: targets and all its flags.

use std::ffi::OsString;

use clap::Args;

use super::{GivingUp, Limits, Network, Output, Place, Seeding};

const EXAMPLES: &str = "\
Commands:
  btget create PATH           make a torrent of a file or folder
  btget edit TORRENT          change its trackers, web seeds or comment
  btget verify TORRENT [PATH] compare files with a torrent
  btget magnet TORRENT        print its magnet link
  btget show FILE             what is in a torrent
  btget demo                  tracker, seed and download on this machine: try it

Examples:
  btget ubuntu.torrent                      download into this folder, verify, exit
  btget -d ~/Videos a.torrent b.torrent     several at once
  btget https://example.org/x.torrent       fetch the torrent file first
  btget --stall 10m x.torrent || echo $?    give up after ten minutes without data
  btget --seed x.torrent                    keep seeding until Ctrl-C
  btget --ratio 2 --seed-time 7d x.torrent  seed until one of the two is reached

What is there already is checked and kept. Ctrl-C leaves cleanly; start again to go on.
Every option is also an environment variable: --max-peers 20 is BTGET_MAX_PEERS=20.";

/// btget downloads torrents: it fetches, verifies, shows how it goes, and exits when done.
#[derive(Args, Debug)]
#[command(
    override_usage = "btget [OPTIONS] TARGET...\n       btget COMMAND ...",
    after_help = EXAMPLES,
    arg_required_else_help = true
)]
pub struct DownloadArgs {
    /// A .torrent file, the http(s) URL of one, or - for standard input (a torrent, or a list of targets)
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<OsString>,

    /// Where data goes.
    #[command(flatten)]
    pub place: Place,

    /// Whether to seed, and until when.
    #[command(flatten)]
    pub seeding: Seeding,

    /// Where we listen and whom we ask.
    #[command(flatten)]
    pub network: Network,

    /// How much may be used.
    #[command(flatten)]
    pub limits: Limits,

    /// When to give up.
    #[command(flatten)]
    pub giving_up: GivingUp,

    /// What is shown.
    #[command(flatten)]
    pub output: Output,
}

#[cfg(test)]
mod tests {
    use crate::cli::args::parse_main;

    #[test]
    fn targets_come_anywhere_among_the_flags() {
        let args = parse_main(&["a", "--seed", "b", "-q", "c"]).unwrap();
        assert_eq!(args.targets, ["a", "b", "c"]);
        assert!(args.seeding.seed);
    }
}
