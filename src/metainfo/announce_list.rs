//! What a torrent says about where to ask: trackers in tiers (BEP 12), web seeds (BEP 19), DHT nodes (BEP 5).
//!
//! Keeps only what could be used: http, https and udp trackers, http and https web seeds, each at most once,
//! all bounded. One bad entry is left out and does not spoil the others. Whether an address may be contacted
//! (it may be more local than its source) is decided where it is resolved.

use std::collections::BTreeSet;

use url::Url;

use crate::base::bencode::Value;
use crate::base::limit;

const TRACKER_SCHEMES: [&str; 3] = ["http", "https", "udp"];
const WEB_SEED_SCHEMES: [&str; 2] = ["http", "https"];

/// The tracker tiers of the torrent `root`: `announce-list`, or `announce` when that has nothing usable.
pub(super) fn trackers(root: Value<'_>) -> Vec<Vec<String>> {
    let mut seen = BTreeSet::new();
    let listed = root.get("announce-list").and_then(Value::as_list).into_iter().flatten();
    let tiers = listed.map(|tier| match tier.as_list() {
        Some(urls) => usable(urls, &TRACKER_SCHEMES, limit::TRACKERS, &mut seen),
        // Some writers leave the tiers out: each tracker is a tier of its own.
        None => usable([tier], &TRACKER_SCHEMES, limit::TRACKERS, &mut seen),
    });
    let tiers: Vec<_> = tiers.filter(|tier| !tier.is_empty()).collect();
    if !tiers.is_empty() {
        return tiers;
    }
    let only = usable(root.get("announce"), &TRACKER_SCHEMES, limit::TRACKERS, &mut seen);
    if only.is_empty() { Vec::new() } else { vec![only] }
}

/// The web seeds of the torrent `root`: `url-list`, a string or a list of them. A slash at the end of a
/// multi-file torrent's URL may be missing.
pub(super) fn web_seeds(root: Value<'_>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let Some(value) = root.get("url-list") else { return Vec::new() };
    match value.as_list() {
        Some(urls) => usable(urls, &WEB_SEED_SCHEMES, limit::WEB_SEEDS, &mut seen),
        None => usable([value], &WEB_SEED_SCHEMES, limit::WEB_SEEDS, &mut seen),
    }
}

/// The DHT nodes of the torrent `root`, host and port.
pub(super) fn nodes(root: Value<'_>) -> Vec<(String, u16)> {
    let listed = root.get("nodes").and_then(Value::as_list).into_iter().flatten();
    listed.filter_map(node).take(limit::TORRENT_NODES).collect()
}

fn node(pair: Value<'_>) -> Option<(String, u16)> {
    let mut pair = pair.as_list()?;
    let host = pair.next()?.as_str()?;
    let port = pair.next()?.as_number().filter(|port| *port != 0)?;
    let is_host = !host.is_empty() && host.len() <= 253 && host.bytes().all(|byte| byte.is_ascii_graphic());
    is_host.then(|| (host.to_owned(), port))
}

fn usable<'a>(
    urls: impl IntoIterator<Item = Value<'a>>,
    schemes: &[&str],
    limit: usize,
    seen: &mut BTreeSet<String>,
) -> Vec<String> {
    let mut kept = Vec::new();
    for url in urls.into_iter().filter_map(|url| url.as_str()) {
        if seen.len() >= limit {
            break;
        }
        if let Some(url) = usable_url(url, schemes).filter(|url| seen.insert(url.clone())) {
            kept.push(url);
        }
    }
    kept
}

/// `text` without the spaces around it, as a URL of one of `schemes` that is safe to send and to show: what is
/// not ASCII is escaped, a host that is not ASCII is in punycode. `None` when it is no such URL.
pub fn usable_url(text: &str, schemes: &[&str]) -> Option<String> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    // The parser would drop line ends silently, which makes another URL of it.
    if text.len() > limit::URL || text.chars().any(char::is_control) {
        return None;
    }
    let (scheme, _) = text.split_once("://")?;
    if !schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty() && !host.contains('%'))?;
    if url.scheme() == "udp" && (url.port().is_none() || !host.is_ascii()) || url.port() == Some(0) {
        return None;
    }
    let as_it_stands = text.bytes().all(|byte| byte.is_ascii_graphic());
    Some(if as_it_stands { text.to_owned() } else { url.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::bencode::{Limits, scan};

    fn trackers_of(bencoded: &str) -> Vec<Vec<String>> {
        trackers(scan(bencoded.as_bytes(), Limits::TORRENT).unwrap().root())
    }

    #[test]
    fn the_list_wins_over_announce_unless_it_is_of_no_use() {
        let both = "d8:announce12:http://one/a13:announce-listll12:http://two/ael12:http://six/aeee";
        assert_eq!(trackers_of(both), [["http://two/a"], ["http://six/a"]]);
        assert_eq!(trackers_of("d8:announce12:http://one/a13:announce-listlee"), [["http://one/a"]]);
        let flat = "d13:announce-listl12:http://one/a12:http://two/aee";
        assert_eq!(trackers_of(flat), [["http://one/a"], ["http://two/a"]]);
        assert!(trackers_of("d8:announcei5e13:announce-listi5ee").is_empty());
    }

    #[test]
    fn a_tracker_is_kept_once_and_only_when_it_is_usable() {
        for (text, kept) in [
            (" http://t.example/announce\n", Some("http://t.example/announce")),
            ("UDP://t.example:6969", Some("UDP://t.example:6969")),
            ("udp://t.example/announce", None),
            ("udp://[2001:db8::1]:80/announce", Some("udp://[2001:db8::1]:80/announce")),
            ("http://t.example:70000/a", None),
            ("http://t.example:0/a", None),
            ("http://t.example/a\r\nX: y", None),
            ("wss://t.example/", None),
            ("file:///etc/passwd", None),
            ("http://", None),
            ("udp://bücher.example:1/a", None),
            ("http://bücher.example/a b", Some("http://xn--bcher-kva.example/a%20b")),
            ("", None),
        ] {
            assert_eq!(usable_url(text, &TRACKER_SCHEMES).as_deref(), kept, "{text:?}");
        }
        let twice = "d13:announce-listll12:http://one/a12:http://one/ael12:http://one/aeee";
        assert_eq!(trackers_of(twice), [["http://one/a"]]);
    }

    #[test]
    fn bad_nodes_are_skipped() {
        let text = "d5:nodesll9:127.0.0.1i6881eel1:ai0eel1:bi70000eel1:ci-1eeli5ei5eel0:i5ee1:xl1:deee";
        let document = scan(text.as_bytes(), Limits::TORRENT).unwrap();
        assert_eq!(nodes(document.root()), [("127.0.0.1".to_owned(), 6881)]);
    }
}
