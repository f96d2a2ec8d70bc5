//! The query of an announce as a tracker reads it.
//!
//! `info_hash` and `peer_id` are raw bytes under the escapes, not text, so this is read by hand. Where a key is
//! there twice the first counts. A peer's address is where its announce comes from, whatever `ip` says:
//! anybody could be named there.

use crate::base::hash::Sha1Hash;
use crate::base::limit;
use crate::base::peer_id::PeerId;
use crate::wire::tracker::Event;

/// Bytes of a `key` that count.
const KEY_LENGTH: usize = 16;

/// What a peer tells a tracker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnounceQuery {
    /// Of which torrent.
    pub info_hash: Sha1Hash,
    /// Who announces.
    pub peer_id: PeerId,
    /// Where it listens; 0 only with [`Event::Stopped`].
    pub port: u16,
    /// What it lacks, bytes; more than nothing where it does not say.
    pub left: u64,
    /// What has happened.
    pub event: Option<Event>,
    /// Peers that it wants.
    pub numwant: Option<usize>,
    /// Proves that a later announce is from the same peer; at most 16 bytes of it.
    pub key: Vec<u8>,
}

/// Why a query is no announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QueryError {
    /// The key is missing or its value makes no sense.
    #[error("{0} is missing or malformed")]
    Malformed(&'static str),
    /// It is longer than any client's.
    #[error("the query is too long")]
    TooLong,
}

impl AnnounceQuery {
    /// Reads the part of an announce URL after the `?`.
    pub fn parse(query: &str) -> Result<AnnounceQuery, QueryError> {
        if query.len() > limit::URL {
            return Err(QueryError::TooLong);
        }
        let value = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| unescape(value))
        };
        let number = |name| value(name).and_then(|text| String::from_utf8(text).ok()?.parse::<i64>().ok());
        let info_hash = value("info_hash").and_then(|bytes| Sha1Hash::from_slice(&bytes));
        let peer_id = value("peer_id").and_then(|bytes| bytes.try_into().ok());
        let event = match value("event").as_deref() {
            Some(b"started") => Some(Event::Started),
            Some(b"completed") => Some(Event::Completed),
            Some(b"stopped") => Some(Event::Stopped),
            _ => None,
        };
        let port = number("port").and_then(|port| u16::try_from(port).ok());
        let port = port.filter(|&port| port != 0 || event == Some(Event::Stopped));
        let mut key = value("key").unwrap_or_default();
        key.truncate(KEY_LENGTH);
        Ok(AnnounceQuery {
            info_hash: info_hash.ok_or(QueryError::Malformed("info_hash"))?,
            peer_id: peer_id.map(PeerId).ok_or(QueryError::Malformed("peer_id"))?,
            port: port.ok_or(QueryError::Malformed("port"))?,
            left: number("left").and_then(|left| u64::try_from(left).ok()).unwrap_or(u64::MAX),
            event,
            numwant: number("numwant").and_then(|count| usize::try_from(count).ok()),
            key,
        })
    }
}

/// The bytes that `text` stands for; `+` is a space, and a `%` without two digits is itself.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let (Some(high), Some(low)) = (digit(high), digit(low)) else {
                    bytes.push(b'%');
                    continue;
                };
                bytes.push((high * 16 + low) as u8);
                rest = after;
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::tracker::AnnounceRequest;

    const HASH: &str = "info_hash=%124Vx%9a%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A";
    const ID: &str = "peer_id=-bg0100-abcdefghijk+";

    #[test]
    fn the_least_that_an_announce_needs() {
        let query = AnnounceQuery::parse(&format!("{ID}&{HASH}&port=6881&ip=1.2.3.4&port=1")).unwrap();
        let expected = AnnounceQuery {
            info_hash: Sha1Hash(*b"\x124Vx\x9a\xbc\xde\xf1#Eg\x89\xab\xcd\xef\x124Vx\x9a"),
            peer_id: PeerId(*b"-bg0100-abcdefghijk "),
            port: 6881,
            left: u64::MAX,
            event: None,
            numwant: None,
            key: Vec::new(),
        };
        assert_eq!(query, expected);
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        for (query, key) in [
            (String::new(), "info_hash"),
            (format!("{HASH}00&{ID}&port=1"), "info_hash"),
            (format!("{HASH}&port=1"), "peer_id"),
            (format!("{HASH}&{ID}"), "port"),
            (format!("{HASH}&{ID}&port=0"), "port"),
            (format!("{HASH}&{ID}&port=65536"), "port"),
            (format!("{HASH}&{ID}&port=-1"), "port"),
        ] {
            assert_eq!(AnnounceQuery::parse(&query), Err(QueryError::Malformed(key)), "{query}");
        }
        assert!(AnnounceQuery::parse(&format!("{HASH}&{ID}&port=0&event=stopped")).is_ok());
        assert_eq!(AnnounceQuery::parse(&"x".repeat(10_000)), Err(QueryError::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[%+&=a-f0-9_é]{0,60}") {
            let _ = AnnounceQuery::parse(&text);
            let _ = AnnounceQuery::parse(&format!("{HASH}&{ID}&port={text}&numwant={text}&left={text}"));
        }

        #[test]
        fn what_a_client_asks_is_what_a_tracker_reads(
            hash: [u8; 20],
            id: [u8; 20],
            port in 1..=u16::MAX,
            left in 0..=i64::MAX as u64,
            key: u32,
        ) {
            let request = AnnounceRequest {
                info_hash: Sha1Hash(hash),
                peer_id: PeerId(id),
                port,
                uploaded: 0,
                downloaded: 0,
                left,
                corrupt: 0,
                key,
                event: Some(Event::Completed),
                numwant: 17,
                supports_encryption: true,
                tracker_id: None,
            };
            let url = request.url("http://t/announce");
            let read = AnnounceQuery::parse(url.split_once('?').unwrap().1).unwrap();
            let expected = AnnounceQuery {
                info_hash: request.info_hash,
                peer_id: request.peer_id,
                port,
                left,
                event: request.event,
                numwant: Some(17),
                key: format!("{key:08X}").into_bytes(),
            };
            prop_assert_eq!(read, expected);
        }
    }
}
