//! How a tracker, or where a torrent comes from, is named in logs, errors and notices.

use crate::base::limit;

/// A URL without what may be secret. Private trackers know their users by a passkey in the path or the query,
/// so only scheme, host, port and a last path element that everybody has are kept: the usual ones of trackers,
/// and the name of a torrent. `https://t.example:8080/.../announce`, `https://t.example/.../x.torrent`.
pub fn without_secrets(url: &str) -> String {
    let Ok(parsed) = url::Url::parse(url) else { return "(malformed URL)".to_owned() };
    let Some(host) = parsed.host_str().filter(|host| !host.is_empty()) else {
        return format!("{}:...", parsed.scheme()).chars().take(limit::SHOWN_TEXT).collect();
    };
    let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
    let is_known = |last: &str| matches!(last, "announce" | "announce.php") || last.ends_with(".torrent");
    let path = match parsed.path().rsplit_once('/') {
        Some(("", "")) | None => String::new(),
        Some(("", last)) if is_known(last) => format!("/{last}"),
        Some((_, last)) if is_known(last) => format!("/.../{last}"),
        Some(_) => "/...".to_owned(),
    };
    let scheme = parsed.scheme();
    let host: String = host.chars().take(limit::SHOWN_TEXT).collect();
    let path: String = path.chars().take(limit::SHOWN_TEXT).collect();
    format!("{scheme}://{host}{port}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passkey_is_never_shown() {
        for (url, shown) in [
            ("http://t.example/announce", "http://t.example/announce"),
            ("http://t.example:6969/announce", "http://t.example:6969/announce"),
            ("https://t.example/SECRET/announce", "https://t.example/.../announce"),
            ("https://t.example/announce.php?passkey=SECRET", "https://t.example/announce.php"),
            ("https://t.example/announce/SECRET", "https://t.example/..."),
            ("https://t.example/announceSECRET", "https://t.example/..."),
            ("https://t.example/a/announce;SECRET", "https://t.example/..."),
            ("https://SECRET:SECRET@t.example/announce#SECRET", "https://t.example/announce"),
            ("https://t.example?SECRET", "https://t.example"),
            ("udp://t.example:1337/SECRET", "udp://t.example:1337/..."),
            ("udp://[::1]:1337", "udp://[::1]:1337"),
            ("https://t.example/dl/SECRET/a%20b.torrent?SECRET#y", "https://t.example/.../a%20b.torrent"),
            ("https://SECRET:SECRET@t.example/x.torrent", "https://t.example/x.torrent"),
            ("https://t.example/download.php/SECRET", "https://t.example/..."),
            ("SECRET", "(malformed URL)"),
            ("http://SECRET SECRET/", "(malformed URL)"),
            ("mailto:SECRET", "mailto:..."),
            ("udp:///SECRET", "udp:..."),
        ] {
            assert_eq!(without_secrets(url), shown, "{}", url.replace("SECRET", "..."));
        }
    }

    #[test]
    fn a_host_cannot_touch_the_terminal() {
        let shown = without_secrets("udp://a\x1b[2J\u{202e}b/");
        assert!(shown.is_ascii() && !shown.contains('\x1b'), "{shown:?}");
    }
}
