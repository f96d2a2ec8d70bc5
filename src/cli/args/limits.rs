//! Flags that bound what is used.

use clap::Args;

use super::value::{self, Threads};
use crate::base::rate::ByteRate;
use crate::engine::settings::Slots;

/// Least memory that `--memory` takes, bytes: below it, pieces could not make headway.
const MEMORY_MIN: u64 = 1024 * 1024;

/// How much may be used.
#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Fastest download, bytes a second in all: 500K, 2M, 8mbit; 0 is no limit
    #[arg(short = 'r', long, value_name = "RATE", value_parser = value::rate)]
    pub limit_down: Option<ByteRate>,
    /// Fastest upload, bytes a second in all; 0 is no limit
    #[arg(short = 'u', long, value_name = "RATE", value_parser = value::rate)]
    pub limit_up: Option<ByteRate>,
    /// Leaves peers at private, link-local and loopback addresses out of these two
    #[arg(long)]
    pub lan_unlimited: bool,
    /// Downloads that run at a time; the others wait their turn, and seeding does not count
    #[arg(short, long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: u16,
    /// Peers to be connected to, for each torrent [default: 80, and 200 in all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_peers: Option<u16>,
    /// Peers of all torrents served at once for what they give or take; one more is tried out. auto: 4 to 10
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = slots)]
    pub slots: Slots,
    /// Memory for data that is on its way to the disk
    #[arg(long, value_name = "SIZE", default_value = "32M", value_parser = memory)]
    pub memory: u64,
    /// Threads that check what is there already: a number, or auto for one a processor
    #[arg(long, value_name = "N", default_value = "auto", value_parser = value::threads)]
    pub check_threads: Threads,
}

fn slots(text: &str) -> Result<Slots, String> {
    match text.parse::<u16>() {
        _ if text == "auto" => Ok(Slots::Auto),
        Ok(count) if count > 0 => Ok(Slots::Fixed(usize::from(count))),
        _ => Err("slots are a number from 1 to 65535, or auto".to_owned()),
    }
}

fn memory(text: &str) -> Result<u64, String> {
    let bytes = value::size(text)?;
    if bytes < MEMORY_MIN { Err("at least 1M is needed".to_owned()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use crate::base::rate::ByteRate;
    use crate::cli::args::parse_main;
    use crate::engine::settings::Slots;

    #[test]
    fn slots_are_a_number_or_automatic() {
        let slots = |words: &[&str]| parse_main(words).map(|args| args.limits.slots);
        assert_eq!(slots(&["x"]).unwrap(), Slots::Auto);
        assert_eq!(slots(&["--slots", "auto", "x"]).unwrap(), Slots::Auto);
        assert_eq!(slots(&["--slots", "7", "x"]).unwrap(), Slots::Fixed(7));
        for bad in ["0", "-1", "many", "65536", ""] {
            assert!(slots(&["--slots", bad, "x"]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rates_are_bytes_a_second_or_bits() {
        let limits = |words: &[&str]| parse_main(words).map(|args| args.limits);
        let given = limits(&["x", "-r", "2M", "-u", "8mbit", "--lan-unlimited"]).unwrap();
        assert_eq!((given.limit_down, given.limit_up), (Some(ByteRate(2 << 20)), Some(ByteRate(1_000_000))));
        assert!(given.lan_unlimited);
        let long = limits(&["x", "--limit-down", "500K", "--limit-up=0"]).unwrap();
        assert_eq!((long.limit_down, long.limit_up), (Some(ByteRate(500 << 10)), Some(ByteRate(0))));
        let none = limits(&["x"]).unwrap();
        assert_eq!((none.limit_down, none.limit_up, none.lan_unlimited), (None, None, false));
        for bad in ["fast", "-1", "", "2X"] {
            assert!(limits(&["x", "-r", bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn four_downloads_run_at_a_time_unless_told_otherwise() {
        let jobs = |words: &[&str]| parse_main(words).map(|args| args.limits.jobs);
        assert_eq!(jobs(&["x"]).unwrap(), 4);
        assert_eq!(jobs(&["x", "-j", "1"]).unwrap(), 1);
        assert_eq!(jobs(&["x", "--jobs", "20"]).unwrap(), 20);
        assert!(jobs(&["x", "-j", "0"]).is_err());
    }

    #[test]
    fn limits_have_floors() {
        let limits = parse_main(&["x", "--max-peers", "7", "--memory", "8M"]).unwrap().limits;
        assert_eq!((limits.max_peers, limits.memory), (Some(7), 8 << 20));
        assert_eq!(parse_main(&["x"]).unwrap().limits.memory, 32 << 20);
        for bad in [["--max-peers", "0"], ["--max-peers", "many"], ["--memory", "1K"], ["--memory", "-1"]] {
            assert!(parse_main(&[bad[0], bad[1], "x"]).is_err(), "{bad:?}");
        }
    }
}
