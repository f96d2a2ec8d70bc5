//! The question: an announce as a URL (BEP 3, 7, 23).

use std::fmt::Write as _;

use crate::base::hash::Sha1Hash;
use crate::base::peer_id::PeerId;
use crate::base::percent::push_percent_encoded;

/// What has happened, where it is more than time passing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// The first announce of this run.
    Started,
    /// The download has just finished.
    Completed,
    /// The last announce of this run.
    Stopped,
}

impl Event {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Event::Started => "started",
            Event::Completed => "completed",
            Event::Stopped => "stopped",
        }
    }
}

/// What a tracker is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnounceRequest {
    /// The torrent; the first 20 bytes of a v2 hash (BEP 52).
    pub info_hash: Sha1Hash,
    /// Who we are.
    pub peer_id: PeerId,
    /// Where we listen for connections.
    pub port: u16,
    /// Payload sent since `started`, bytes.
    pub uploaded: u64,
    /// Payload received since `started`, bytes.
    pub downloaded: u64,
    /// What is missing, bytes; not 0 while that is unknown, or we would be taken for a seed.
    pub left: u64,
    /// Payload received that failed its hash, bytes.
    pub corrupt: u64,
    /// Tells the tracker that we are the same although our address changed; the same for all families.
    pub key: u32,
    /// What has happened.
    pub event: Option<Event>,
    /// How many peers we would like to hear of.
    pub numwant: u32,
    /// Whether peers may connect to us encrypted.
    pub supports_encryption: bool,
    /// The id that this tracker gave us earlier.
    pub tracker_id: Option<Vec<u8>>,
}

impl AnnounceRequest {
    /// The URL to fetch from the tracker with this `announce` URL.
    pub fn url(&self, announce: &str) -> String {
        // A fragment is not sent, and what stood behind it would be part of it.
        let mut url = announce.split('#').next().unwrap_or_default().to_owned();
        if !url.ends_with(['?', '&']) {
            url.push(if url.contains('?') { '&' } else { '?' });
        }
        url.push_str("info_hash=");
        push_percent_encoded(&mut url, &self.info_hash.0);
        url.push_str("&peer_id=");
        push_percent_encoded(&mut url, &self.peer_id.0);
        let AnnounceRequest { port, uploaded, downloaded, left, corrupt, key, numwant, .. } = self;
        // Writing to a String cannot fail.
        let _ = write!(url, "&port={port}&uploaded={uploaded}&downloaded={downloaded}&left={left}");
        let _ = write!(url, "&corrupt={corrupt}&key={key:08X}");
        if let Some(event) = self.event {
            let _ = write!(url, "&event={}", event.name());
        }
        let _ = write!(url, "&numwant={numwant}&compact=1&no_peer_id=1");
        if self.supports_encryption {
            url.push_str("&supportcrypto=1");
        }
        if let Some(tracker_id) = &self.tracker_id {
            url.push_str("&trackerid=");
            push_percent_encoded(&mut url, tracker_id);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request() -> AnnounceRequest {
        AnnounceRequest {
            info_hash: Sha1Hash(
                *b"\x12\x34\x56\x78\x9a\xbc\xde\xf1\x23\x45\x67\x89\xab\xcd\xef\x12\x34\x56\x78\x9a",
            ),
            peer_id: PeerId(*b"-bg0100-abcdefghijkl"),
            port: 51413,
            uploaded: 1,
            downloaded: 2,
            left: 3,
            corrupt: 0,
            key: 0xbeef,
            event: None,
            numwant: 200,
            supports_encryption: false,
            tracker_id: None,
        }
    }

    const QUERY: &str = "info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A&peer_id=-bg0100-abcdefghijkl\
        &port=51413&uploaded=1&downloaded=2&left=3&corrupt=0&key=0000BEEF";

    #[test]
    fn an_announce_has_every_byte_escaped_that_needs_it() {
        let url = request().url("http://t.example/announce");
        assert_eq!(url, format!("http://t.example/announce?{QUERY}&numwant=200&compact=1&no_peer_id=1"));
    }

    #[test]
    fn events_and_what_the_tracker_gave_us_are_told() {
        let request = AnnounceRequest {
            event: Some(Event::Started),
            supports_encryption: true,
            tracker_id: Some(b"a b&c".to_vec()),
            ..request()
        };
        let rest = "&event=started&numwant=200&compact=1&no_peer_id=1&supportcrypto=1&trackerid=a%20b%26c";
        assert_eq!(request.url("http://t.example/"), format!("http://t.example/?{QUERY}{rest}"));
    }

    #[test]
    fn an_announce_url_with_a_query_keeps_it() {
        for (announce, expected) in [
            ("http://t/a", "http://t/a?info_hash="),
            ("http://t/a?", "http://t/a?info_hash="),
            ("http://t/a?passkey=1", "http://t/a?passkey=1&info_hash="),
            ("http://t/a?passkey=1&", "http://t/a?passkey=1&info_hash="),
            ("http://t/a#fragment?", "http://t/a?info_hash="),
        ] {
            let url = request().url(announce);
            assert!(url.starts_with(expected), "{announce} became {url}");
        }
    }

    proptest! {
        #[test]
        fn any_hash_arrives_whole(hash: [u8; 20], tracker_id: Vec<u8>) {
            let request =
                AnnounceRequest { info_hash: Sha1Hash(hash), tracker_id: Some(tracker_id.clone()), ..request() };
            let url = request.url("http://t/a");
            let values: Vec<Vec<u8>> = ["info_hash=", "trackerid="]
                .map(|key| {
                    let from = url.split(key).nth(1).unwrap();
                    percent_decode(from.split('&').next().unwrap())
                })
                .into();
            prop_assert_eq!(&values[0], &hash);
            prop_assert_eq!(&values[1], &tracker_id);
        }
    }

    fn percent_decode(text: &str) -> Vec<u8> {
        let (mut bytes, mut rest) = (Vec::new(), text);
        while let Some(first) = rest.chars().next() {
            let taken = if first == '%' { 3 } else { 1 };
            let byte = if first == '%' { u8::from_str_radix(&rest[1..3], 16).unwrap() } else { first as u8 };
            bytes.push(byte);
            rest = &rest[taken..];
        }
        bytes
    }
}
