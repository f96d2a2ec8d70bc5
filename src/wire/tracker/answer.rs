//! The answer to an announce (BEP 3, 7, 23, 24, 31).
//!
//! Trackers in use bend the format in many ways, so anything that has one plausible meaning is taken for it,
//! and an entry without any is skipped. Only what is no bencoded dictionary is an error. Which of the
//! addresses may be dialled is for the engine to say, which knows how far the tracker itself is away.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::base::address::{ip_from_bytes, ip_to_bytes};
use crate::base::bencode::{self, Limits, ScanError, Value};
use crate::base::limit;
use crate::base::time::Duration;
use crate::wire::shown_text::shown_text;

/// What a tracker says. `None` is what it did not say, or what makes no sense.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct AnnounceAnswer {
    /// Why it refuses, fit to be shown. The other fields may hold all the same: it may say when to ask again.
    pub failure_reason: Option<String>,
    /// What it warns of, fit to be shown.
    pub warning: Option<String>,
    /// When to announce again, from [`limit::INTERVAL_MIN`] to [`limit::INTERVAL_MAX`].
    pub interval: Option<Duration>,
    /// Not to announce again before, at most [`limit::INTERVAL_MAX`].
    pub min_interval: Option<Duration>,
    /// To be sent back with the next announce.
    pub tracker_id: Option<Vec<u8>>,
    /// Peers that have everything (`complete`).
    pub seeds: Option<u32>,
    /// Peers that have not (`incomplete`).
    pub leechers: Option<u32>,
    /// How often the torrent has been downloaded.
    pub downloaded: Option<u32>,
    /// Peers, at most [`limit::TRACKER_PEERS`] a family; no port is 0. May hold our own address, or twice the
    /// same.
    pub peers: Vec<SocketAddr>,
    /// Our address, as the tracker sees it (BEP 24).
    pub external_address: Option<IpAddr>,
    /// When to try again after a refusal (BEP 31).
    pub retry_in: Option<RetryIn>,
}

/// When a tracker that refused may be tried again (BEP 31).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetryIn {
    /// After this time, at most [`limit::RETRY_IN_MAX`].
    After(Duration),
    /// Not in this run.
    Never,
}

/// Why an answer cannot be understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AnswerError {
    /// A web page, for instance.
    #[error("the tracker's answer is not bencoded: {0}")]
    NotBencoded(#[from] ScanError),
    /// Bencoded, but something else.
    #[error("the tracker's answer is not a dictionary")]
    NotDictionary,
}

/// What a tracker may send.
const LIMITS: Limits = Limits { depth: limit::BENCODE_DEPTH, tokens: limit::TRACKER_TOKENS };

impl AnnounceAnswer {
    /// The answer that a `body` of at most [`limit::TRACKER_ANSWER`] bytes holds.
    pub fn decode(body: &[u8]) -> Result<AnnounceAnswer, AnswerError> {
        let document = bencode::scan(body, LIMITS)?;
        let root = document.root();
        if !root.is_dict() {
            return Err(AnswerError::NotDictionary);
        }
        let bytes = |key: &str| root.get(key).and_then(Value::as_bytes);
        let text = |key: &str| bytes(key).map(shown_text).filter(|text| !text.is_empty());
        let count =
            |key: &str| root.get(key).and_then(number).map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let seconds = |key: &str| root.get(key).and_then(number).map(Duration::from_secs);
        let mut peers = root.get("peers").map(|peers| decode_peers::<4>(peers)).unwrap_or_default();
        peers.extend(root.get("peers6").map(|peers| decode_peers::<16>(peers)).unwrap_or_default());
        Ok(AnnounceAnswer {
            // A reason that says nothing is a refusal still.
            failure_reason: bytes("failure reason").map(shown_text),
            warning: text("warning message"),
            interval: seconds("interval").map(|time| time.clamp(limit::INTERVAL_MIN, limit::INTERVAL_MAX)),
            min_interval: seconds("min interval").map(|time| time.min(limit::INTERVAL_MAX)),
            // Half an id would be another id.
            tracker_id: bytes("tracker id").filter(|id| id.len() <= limit::TRACKER_ID).map(<[u8]>::to_vec),
            seeds: count("complete"),
            leechers: count("incomplete"),
            downloaded: count("downloaded"),
            peers,
            external_address: bytes("external ip").and_then(ip_from_bytes),
            retry_in: root.get("retry in").and_then(decode_retry),
        })
    }

    /// The body of the answer, peers compact.
    pub fn encode(&self) -> Vec<u8> {
        let peers = self.peers.iter().filter(|peer| peer.is_ipv4()).flat_map(encode_peer).collect();
        let peers6: Vec<u8> = self.peers.iter().filter(|peer| peer.is_ipv6()).flat_map(encode_peer).collect();
        bencode::encode(&Document {
            failure_reason: self.failure_reason.as_deref(),
            warning: self.warning.as_deref(),
            interval: self.interval.map(|time| time.as_secs()),
            min_interval: self.min_interval.map(|time| time.as_secs()),
            tracker_id: self.tracker_id.clone().map(ByteBuf::from),
            complete: self.seeds,
            incomplete: self.leechers,
            downloaded: self.downloaded,
            peers: ByteBuf::from::<Vec<u8>>(peers),
            peers6: (!peers6.is_empty()).then(|| ByteBuf::from(peers6)),
            external_ip: self.external_address.map(|address| ByteBuf::from(ip_to_bytes(address))),
            retry_in: self.retry_in.map(|retry| match retry {
                RetryIn::After(time) => (time.as_secs() / 60).to_string(),
                RetryIn::Never => "never".to_owned(),
            }),
        })
    }
}

/// The answer in the terms of bencode.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "failure reason")]
    failure_reason: Option<&'a str>,
    #[serde(rename = "warning message")]
    warning: Option<&'a str>,
    interval: Option<u64>,
    #[serde(rename = "min interval")]
    min_interval: Option<u64>,
    #[serde(rename = "tracker id")]
    tracker_id: Option<ByteBuf>,
    complete: Option<u32>,
    incomplete: Option<u32>,
    downloaded: Option<u32>,
    peers: ByteBuf,
    peers6: Option<ByteBuf>,
    #[serde(rename = "external ip")]
    external_ip: Option<ByteBuf>,
    #[serde(rename = "retry in")]
    retry_in: Option<String>,
}

/// A number that is not negative, also as text.
fn number(value: Value<'_>) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn decode_retry(value: Value<'_>) -> Option<RetryIn> {
    if value.as_str().is_some_and(|text| text.trim().eq_ignore_ascii_case("never")) {
        return Some(RetryIn::Never);
    }
    let time = Duration::from_secs(number(value)?.saturating_mul(60));
    Some(RetryIn::After(time.min(limit::RETRY_IN_MAX)))
}

/// The peers of a compact string with addresses of `N` bytes, as many as are whole, or of a list.
fn decode_peers<const N: usize>(peers: Value<'_>) -> Vec<SocketAddr> {
    let compact = peers.as_bytes().unwrap_or_default().chunks_exact(N + 2).filter_map(|peer| {
        let (ip, port) = peer.split_at(N);
        Some(SocketAddr::new(ip_from_bytes(ip)?, u16::from_be_bytes(port.try_into().ok()?)))
    });
    let listed = peers.as_list().into_iter().flatten().filter_map(decode_listed);
    compact.chain(listed).filter(|peer| peer.port() != 0).take(limit::TRACKER_PEERS).collect()
}

/// A peer of a list. A host name is none: asking for the names that a tracker makes up would be at its service.
fn decode_listed(peer: Value<'_>) -> Option<SocketAddr> {
    let ip: IpAddr = peer.get("ip")?.as_str()?.trim().parse().ok()?;
    let port = peer.get("port").and_then(number)?;
    Some(SocketAddr::new(ip.to_canonical(), u16::try_from(port).ok()?))
}

fn encode_peer(peer: &SocketAddr) -> Vec<u8> {
    [ip_to_bytes(peer.ip()), peer.port().to_be_bytes().to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every answer of the fixture with what is made of it.
    fn fixtures() -> impl Iterator<Item = (&'static str, Vec<u8>, &'static str)> {
        let text = include_str!("../../../fixtures/tracker/answers.txt");
        text.trim_end().split("\n\n").filter(|entry| !entry.starts_with('#')).map(|entry| {
            let mut lines = entry.splitn(3, '\n');
            let mut line = || lines.next().expect("an entry has three lines");
            (line(), unescape(line()), line())
        })
    }

    /// Bytes from text with `\xNN`.
    fn unescape(text: &str) -> Vec<u8> {
        let mut parts = text.split("\\x");
        let mut bytes = parts.next().unwrap().as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend(&part.as_bytes()[2..]);
        }
        bytes
    }

    /// An answer in one line: what it says, and nothing of what it does not.
    fn shown(answer: &Result<AnnounceAnswer, AnswerError>) -> String {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return format!("error: {error}"),
        };
        let seconds = |time: Duration| format!("{} s", time.as_secs());
        let retry = |retry| match retry {
            RetryIn::After(time) => seconds(time),
            RetryIn::Never => "never".to_owned(),
        };
        let peers: Vec<String> = answer.peers.iter().map(SocketAddr::to_string).collect();
        let quoted = |text: &String| format!("'{text}'");
        let number = |number: u32| number.to_string();
        let fields = [
            ("failure", answer.failure_reason.as_ref().map(quoted)),
            ("warning", answer.warning.as_ref().map(quoted)),
            ("interval", answer.interval.map(seconds)),
            ("min", answer.min_interval.map(seconds)),
            ("id", answer.tracker_id.as_ref().map(|id| id.escape_ascii().to_string())),
            ("seeds", answer.seeds.map(number)),
            ("leechers", answer.leechers.map(number)),
            ("downloaded", answer.downloaded.map(number)),
            ("peers", (!peers.is_empty()).then(|| peers.join(" "))),
            ("external", answer.external_address.map(|address| address.to_string())),
            ("retry", answer.retry_in.map(retry)),
        ];
        let said = fields.into_iter().filter_map(|(name, said)| Some(format!("{name}: {}", said?)));
        let said: Vec<String> = said.collect();
        if said.is_empty() { "nothing".to_owned() } else { said.join(", ") }
    }

    #[test]
    fn answers_good_and_bad_are_understood_as_far_as_they_can_be() {
        assert!(fixtures().count() > 20);
        for (name, body, expected) in fixtures() {
            assert_eq!(shown(&AnnounceAnswer::decode(&body)), expected, "{name}");
        }
    }

    #[test]
    fn an_answer_cut_anywhere_is_an_error() {
        for (name, body, expected) in fixtures().filter(|(_, _, expected)| !expected.starts_with("error")) {
            let whole = body.trim_ascii_end().len();
            for length in 0..whole {
                assert!(AnnounceAnswer::decode(&body[..length]).is_err(), "{name} at {length}: {expected}");
            }
        }
    }

    #[test]
    fn a_million_peers_are_a_few_thousand() {
        let compact = [&b"d5:peers1000002:"[..], &[9; 1_000_002], b"e"].concat();
        let answer = AnnounceAnswer::decode(&compact).unwrap();
        assert_eq!(answer.peers.len(), limit::TRACKER_PEERS);
        let entry = b"d2:ip7:1.2.3.44:porti6881ee";
        let list = [&b"d5:peersl"[..], &entry.repeat(10_000), b"ee"].concat();
        assert_eq!(AnnounceAnswer::decode(&list).unwrap().peers.len(), limit::TRACKER_PEERS);
        let endless = [&b"d5:peersl"[..], &entry.repeat(100_000), b"ee"].concat();
        assert!(AnnounceAnswer::decode(&endless).is_err());
    }

    #[test]
    fn long_texts_are_cut_and_a_long_id_is_none() {
        let long = "x".repeat(1 << 20);
        for key in ["failure reason", "warning message", "tracker id"] {
            let body = format!("d{}:{key}{}:{long}e", key.len(), long.len());
            let answer = AnnounceAnswer::decode(body.as_bytes()).unwrap();
            let text = answer.failure_reason.or(answer.warning);
            assert_eq!(text.is_none(), key == "tracker id");
            assert!(text.is_none_or(|text| text.len() == limit::SHOWN_TEXT));
            assert_eq!(answer.tracker_id, None);
        }
    }

    fn answer() -> impl Strategy<Value = AnnounceAnswer> {
        let text = || prop::option::of("[ -~]{1,40}");
        let count = prop::option::of(any::<u32>());
        let interval = prop::option::of((60u64..7200).prop_map(Duration::from_secs));
        let ip =
            || prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
        let ip = move || ip().prop_map(|ip| ip.to_canonical());
        let peer = (ip(), 1..=u16::MAX).prop_map(SocketAddr::from);
        let minutes = (0u64..=1440).prop_map(|minutes| RetryIn::After(Duration::from_secs(60 * minutes)));
        let retry = prop::option::of(prop_oneof![Just(RetryIn::Never), minutes]);
        let id = prop::option::of(prop::collection::vec(any::<u8>(), 0..30));
        let numbers = (count.clone(), count.clone(), count, interval.clone(), interval);
        (text(), text(), numbers, id, prop::collection::vec(peer, 0..20), prop::option::of(ip()), retry)
            .prop_map(
                |(failure_reason, warning, numbers, tracker_id, mut peers, external_address, retry_in)| {
                    peers.sort_by_key(SocketAddr::is_ipv6);
                    let (seeds, leechers, downloaded, interval, min_interval) = numbers;
                    AnnounceAnswer {
                        failure_reason,
                        warning,
                        interval,
                        min_interval,
                        tracker_id,
                        seeds,
                        leechers,
                        downloaded,
                        peers,
                        external_address,
                        retry_in,
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn what_is_answered_arrives(answer in answer()) {
            prop_assert_eq!(AnnounceAnswer::decode(&answer.encode()), Ok(answer));
        }
    }
}
