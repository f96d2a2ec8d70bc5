//! Flags of the network: where we listen, whom we ask, what is switched off.

use std::ops::RangeInclusive;

use clap::Args;

use super::value::{self, HostPort};

/// Where we listen and whom we ask.
#[derive(Args, Debug)]
#[command(next_help_heading = "Network")]
pub struct Network {
    /// Port to listen on, or a range to choose from [default: random]
    #[arg(short, long, value_name = "N[-M]", value_parser = value::ports)]
    pub port: Option<RangeInclusive<u16>>,
    /// A peer to connect to (repeatable)
    #[arg(long = "peer", value_name = "HOST:PORT", value_parser = value::host_port, value_delimiter = ' ')]
    pub peers: Vec<HostPort>,
    /// A tracker to ask too (repeatable)
    #[arg(long = "tracker", value_name = "URL", value_parser = value::tracker, value_delimiter = ' ')]
    pub trackers: Vec<String>,
    /// Uses IPv4 only
    #[arg(short = '4', long, overrides_with = "ipv6")]
    pub ipv4: bool,
    /// Uses IPv6 only
    #[arg(short = '6', long, overrides_with = "ipv4")]
    pub ipv6: bool,

    /// Has no effect: there is no DHT yet
    #[arg(long, hide = true)]
    pub no_dht: bool,
    /// Has no effect: there is no local discovery yet
    #[arg(long, hide = true)]
    pub no_lsd: bool,
    /// Has no effect: there is no peer exchange yet
    #[arg(long, hide = true)]
    pub no_pex: bool,
    /// Has no effect: ports are not mapped yet
    #[arg(long, hide = true)]
    pub no_portmap: bool,
    /// Has no effect: web seeds are not used yet
    #[arg(long, hide = true)]
    pub no_webseeds: bool,
    /// Only tcp so far
    #[arg(long, value_name = "LIST", hide = true, value_parser = only_tcp)]
    pub transport: Option<()>,
    /// Only off so far
    #[arg(long, value_name = "WHEN", hide = true, value_parser = only_off)]
    pub encryption: Option<()>,
}

/// Which addresses are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// IPv4 and IPv6.
    Both,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Network {
    /// Which addresses are used.
    pub fn family(&self) -> Family {
        match (self.ipv4, self.ipv6) {
            (true, false) => Family::V4,
            (false, true) => Family::V6,
            _ => Family::Both,
        }
    }
}

fn only_tcp(text: &str) -> Result<(), String> {
    if text == "tcp" { Ok(()) } else { Err("only tcp is built yet".to_owned()) }
}

fn only_off(text: &str) -> Result<(), String> {
    if text == "off" { Ok(()) } else { Err("only off is built yet".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::parse_main;

    #[test]
    fn peers_and_trackers_may_be_repeated() {
        let line = ["x", "-p", "6881-6889", "--peer", "a:1", "--peer", "[::1]:2", "--tracker", "http://t/a"];
        let network = parse_main(&line).unwrap().network;
        assert_eq!(network.port, Some(6881..=6889));
        assert_eq!(network.peers.len(), 2);
        assert_eq!(network.trackers, ["http://t/a"]);
    }

    #[test]
    fn of_4_and_6_the_last_one_counts() {
        let family = |line: &[&str]| parse_main(line).unwrap().network.family();
        assert_eq!(family(&["x"]), Family::Both);
        assert_eq!(family(&["x", "-4"]), Family::V4);
        assert_eq!(family(&["x", "-4", "-6"]), Family::V6);
    }

    #[test]
    fn what_is_not_built_may_be_switched_off_but_not_on() {
        let off = ["x", "--no-dht", "--no-lsd", "--no-pex", "--no-portmap", "--no-webseeds"];
        assert!(parse_main(&off).is_ok());
        assert!(parse_main(&["x", "--transport", "tcp", "--encryption", "off"]).is_ok());
        for line in [["x", "--transport=tcp,utp"], ["x", "--encryption=require"]] {
            assert!(parse_main(&line).unwrap_err().message.contains("is built yet"), "{line:?}");
        }
    }
}
