//! Flags that bound what is used.

use clap::Args;

use super::value::{self, Threads};
use crate::engine::settings::Slots;

/// Least memory that `--memory` takes, bytes: below it, pieces could not make headway.
const MEMORY_MIN: u64 = 1024 * 1024;

/// How much may be used.
#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Peers to be connected to, for each torrent [default: 80, and 200 in all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_peers: Option<u16>,
    /// Peers served at once for what they give or take; one more is tried out. auto: 4 to 10
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
    fn limits_have_floors() {
        let limits = parse_main(&["x", "--max-peers", "7", "--memory", "8M"]).unwrap().limits;
        assert_eq!((limits.max_peers, limits.memory), (Some(7), 8 << 20));
        assert_eq!(parse_main(&["x"]).unwrap().limits.memory, 32 << 20);
        for bad in [["--max-peers", "0"], ["--max-peers", "many"], ["--memory", "1K"], ["--memory", "-1"]] {
            assert!(parse_main(&[bad[0], bad[1], "x"]).is_err(), "{bad:?}");
        }
    }
}
