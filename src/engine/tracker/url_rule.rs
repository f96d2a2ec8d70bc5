//! Which tracker URLs may be asked at all.
//!
//! A torrent's author chooses its tracker URLs, and with them what this machine asks of whom. So a tracker
//! on this machine is asked only where a tracker would be (`/announce…`) and only without parameters that
//! the author chose for it; a link-local address never is. A name is checked here as far as the text
//! goes; what it resolves to is checked again by whoever connects.

use std::net::IpAddr;

use url::{Host, Url};

use crate::base::address::Reach;
use crate::base::limit;

/// Query keys of an announce; see [`UrlRule::loopback`].
const ANNOUNCE_KEYS: [&str; 16] = [
    "info_hash",
    "peer_id",
    "port",
    "uploaded",
    "downloaded",
    "left",
    "corrupt",
    "key",
    "event",
    "numwant",
    "compact",
    "no_peer_id",
    "trackerid",
    "ip",
    "ipv4",
    "ipv6",
];

/// What is known of a tracker URL from its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct UrlRule {
    /// Whether an address of this machine may be asked.
    pub(super) loopback: bool,
    /// Whether the host is written as an address of this machine or site.
    pub(super) is_near: bool,
}

/// What may be asked at `url`, or why nothing may.
pub(super) fn check(url: &str) -> Result<UrlRule, &'static str> {
    if url.len() > limit::URL {
        return Err("the URL is too long");
    }
    let url = Url::parse(url).map_err(|_| "this is no URL")?;
    match url.scheme() {
        "http" | "https" => {}
        "udp" => return Err("UDP trackers are not supported"),
        _ => return Err("only http and https trackers are supported"),
    }
    let loopback = url.path().starts_with("/announce")
        && !url.query_pairs().any(|(key, _)| ANNOUNCE_KEYS.contains(&key.as_ref()));
    let reach = match url.host() {
        Some(Host::Ipv4(address)) => Some(Reach::of(IpAddr::V4(address)).ok_or("no host has this address")?),
        Some(Host::Ipv6(address)) => Some(Reach::of(IpAddr::V6(address)).ok_or("no host has this address")?),
        Some(Host::Domain(name)) => is_localhost(name).then_some(Reach::Loopback),
        None => return Err("the URL names no host"),
    };
    match reach {
        Some(Reach::LinkLocal) => Err("link-local addresses are not asked"),
        Some(Reach::Loopback) if !loopback => {
            Err("on this machine a tracker's path must begin with /announce and have no announce parameters")
        }
        _ => Ok(UrlRule { loopback, is_near: reach.is_some_and(|reach| reach < Reach::Global) }),
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_on_this_machine_must_look_like_one() {
        for url in [
            "http://127.0.0.1:6969/announce",
            "http://localhost/announce?passkey=abc",
            "http://[::1]:1/announce.php",
        ] {
            assert_eq!(check(url), Ok(UrlRule { loopback: true, is_near: true }), "{url}");
        }
        for url in [
            "http://127.0.0.1:6969/",
            "http://127.0.0.1/admin?x=/announce",
            "http://2130706433/shutdown",
            "http://0x7f.1/shutdown",
            "http://[::ffff:127.0.0.1]/shutdown",
            "http://localhost./shutdown",
            "http://a.localhost/shutdown",
            "http://127.0.0.1/announce?info_hash=x",
            "http://127.0.0.1/announce?a=b&%65vent=x",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
    }

    #[test]
    fn link_local_and_impossible_addresses_are_refused() {
        for url in [
            "http://169.254.169.254/announce",
            "http://[fe80::1]/announce",
            "http://[::ffff:169.254.169.254]/announce",
            "http://0.0.0.0/announce",
            "http://224.0.0.1/announce",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_name_elsewhere_may_not_lead_here_unless_its_path_is_a_trackers() {
        assert_eq!(check("http://tracker.example/"), Ok(UrlRule { loopback: false, is_near: false }));
        assert_eq!(check("https://t.example/announce"), Ok(UrlRule { loopback: true, is_near: false }));
        assert_eq!(check("http://10.0.0.1/x"), Ok(UrlRule { loopback: false, is_near: true }));
    }

    #[test]
    fn other_schemes_are_not_asked() {
        for url in ["udp://t.example:1/announce", "file:///etc/passwd", "wss://t.example/", "t.example", ""] {
            assert!(check(url).is_err(), "{url}");
        }
    }
}
