//! The extension handshake: a bencoded dictionary (BEP 10; `upload_only` BEP 21, `metadata_size` BEP 9).
//!
//! Anything in it may be missing, and it may come again. What makes no sense is taken as missing: peers that
//! err in one key are good for everything else.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;
use serde_bytes::ByteBuf;

use super::{Extension, ExtensionIds};
use crate::base::address::{ip_from_bytes, ip_to_bytes};
use crate::base::bencode::{self, Limits, Value};
use crate::base::limit;
use crate::wire::shown_text::shown_text;

/// What a peer says of itself. `None` is what it did not say, and changes nothing when it comes again.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ExtensionHandshake {
    /// How it wants extensions to be numbered (`m`).
    pub messages: ExtensionIds,
    /// Name and version of its program, fit to be shown (`v`).
    pub client: Option<String>,
    /// Where it listens for connections; not 0 (`p`).
    pub port: Option<u16>,
    /// How many requests it keeps queued: 1 to [`limit::REQUESTS_OUT`] (`reqq`).
    pub reqq: Option<u16>,
    /// Our address, as it sees it (`yourip`).
    pub your_ip: Option<IpAddr>,
    /// Whether it prefers encrypted connections (`e`).
    pub encryption: Option<bool>,
    /// Whether it wants nothing more (`upload_only`).
    pub upload_only: Option<bool>,
    /// Length of the info dictionary, bytes: 1 to [`limit::TORRENT_FILE`] (`metadata_size`).
    pub metadata_size: Option<u32>,
}

impl ExtensionHandshake {
    /// The handshake that `payload` holds; `None` when it is no dictionary, or too long for one.
    pub fn decode(payload: &[u8]) -> Option<ExtensionHandshake> {
        if payload.len() > limit::EXTENSION_HANDSHAKE {
            return None;
        }
        let document = bencode::scan(payload, Limits::MESSAGE).ok()?;
        let root = document.root();
        if !root.is_dict() {
            return None;
        }
        let number = |key: &str| root.get(key)?.as_u64();
        let flag = |key: &str| Some(root.get(key)?.as_int()? != 0);
        Some(ExtensionHandshake {
            messages: root.get("m").map(decode_ids).unwrap_or_default(),
            client: root.get("v").and_then(Value::as_bytes).map(shown_text).filter(|text| !text.is_empty()),
            port: number("p").and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0),
            reqq: number("reqq").map(|requests| requests.clamp(1, u64::from(limit::REQUESTS_OUT)) as u16),
            your_ip: root.get("yourip").and_then(Value::as_bytes).and_then(ip_from_bytes),
            encryption: flag("e"),
            upload_only: flag("upload_only"),
            metadata_size: number("metadata_size")
                .filter(|size| (1..=limit::TORRENT_FILE).contains(size))
                .and_then(|size| u32::try_from(size).ok()),
        })
    }

    /// The payload of the message.
    pub fn encode(&self) -> Vec<u8> {
        bencode::encode(&Document {
            m: self.messages.mentioned().map(|(extension, id)| (extension.name(), id)).collect(),
            v: self.client.as_deref(),
            p: self.port,
            reqq: self.reqq,
            yourip: self.your_ip.map(|address| ByteBuf::from(ip_to_bytes(address))),
            e: self.encryption.map(u8::from),
            upload_only: self.upload_only.map(u8::from),
            metadata_size: self.metadata_size,
        })
    }
}

/// The handshake in the terms of bencode.
#[derive(Serialize)]
struct Document<'a> {
    m: BTreeMap<&'static str, u8>,
    v: Option<&'a str>,
    p: Option<u16>,
    reqq: Option<u16>,
    yourip: Option<ByteBuf>,
    e: Option<u8>,
    upload_only: Option<u8>,
    metadata_size: Option<u32>,
}

fn decode_ids(names: Value<'_>) -> ExtensionIds {
    let mut ids = ExtensionIds::default();
    for extension in Extension::ALL {
        if let Some(id) = names.get(extension.name()).and_then(Value::as_number) {
            ids.set(extension, id);
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_handshake_of_libtorrent_is_understood() {
        let payload =
            b"d12:complete_agoi-1e1:ei1e4:ipv64:abcd1:md11:lt_donthavei7e10:share_modei8e11:upload_only\
            i3e12:ut_holepunchi4e11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei31235e1:pi6881e4:reqqi2000e\
            11:upload_onlyi1e1:v18:libtorrent/2.0.10 6:yourip4:\x7f\0\0\x01e";
        let handshake = ExtensionHandshake::decode(payload).unwrap();
        let ids = Extension::ALL.map(|extension| handshake.messages.id_of(extension));
        assert_eq!(ids, [Some(2), Some(1), Some(3), Some(7), Some(4)]);
        assert_eq!(handshake.client.as_deref(), Some("libtorrent/2.0.10 "));
        assert_eq!(handshake.port, Some(6881));
        assert_eq!(handshake.reqq, Some(2000));
        assert_eq!(handshake.your_ip, Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!((handshake.encryption, handshake.upload_only), (Some(true), Some(true)));
        assert_eq!(handshake.metadata_size, Some(31235));
    }

    #[test]
    fn what_makes_no_sense_is_taken_as_missing() {
        for payload in [
            &b"de"[..],
            b"d1:mi5e1:vi1e1:p2:abe",
            b"d1:pi0ee",
            b"d1:pi65536ee",
            b"d1:pi-1e4:reqqi-1ee",
            b"d6:yourip5:abcdee",
            b"d13:metadata_sizei4611686018427387904ee",
            b"d13:metadata_sizei0ee",
            b"d1:md6:ut_pexi256e11:ut_metadatai-1eee",
            b"d1:v0:e",
        ] {
            let decoded = ExtensionHandshake::decode(payload);
            assert_eq!(decoded, Some(ExtensionHandshake::default()), "{}", payload.escape_ascii());
        }
    }

    #[test]
    fn reqq_is_brought_into_its_bounds() {
        for (told, expected) in [("0", 1), ("9223372036854775807", 2048), ("250", 250)] {
            let payload = format!("d4:reqqi{told}ee");
            assert_eq!(ExtensionHandshake::decode(payload.as_bytes()).unwrap().reqq, Some(expected));
        }
    }

    #[test]
    fn no_dictionary_is_no_handshake() {
        let deep = [vec![b'l'; 10_000], vec![b'e'; 10_000]].concat();
        let long = [b"d1:v70000:", &[b'x'; 70_000][..], b"e"].concat();
        for payload in [&b""[..], b"le", b"i1e", b"d", b"d1:m", &deep, &long] {
            assert_eq!(ExtensionHandshake::decode(payload), None);
        }
    }

    #[test]
    fn a_clients_name_cannot_touch_the_terminal() {
        let handshake = ExtensionHandshake::decode(b"d1:v5:\x1b[2J!e").unwrap();
        assert_eq!(handshake.client.as_deref(), Some("\\u{1b}[2J!"));
    }

    fn handshake() -> impl Strategy<Value = ExtensionHandshake> {
        let ids = any::<[Option<u8>; Extension::ALL.len()]>().prop_map(|ids| ExtensionIds { ids });
        let option = prop::option::of::<BoxedStrategy<u16>>;
        let your_ip =
            prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
                .prop_map(|address| address.to_canonical());
        (
            (ids, prop::option::of("[ -~]{1,40}"), option((1..=u16::MAX).boxed())),
            (option((1..=limit::REQUESTS_OUT).boxed()), prop::option::of(your_ip)),
            (any::<Option<bool>>(), any::<Option<bool>>(), prop::option::of(1..=limit::TORRENT_FILE as u32)),
        )
            .prop_map(
                |((messages, client, port), (reqq, your_ip), (encryption, upload_only, metadata_size))| {
                    ExtensionHandshake {
                        messages,
                        client,
                        port,
                        reqq,
                        your_ip,
                        encryption,
                        upload_only,
                        metadata_size,
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn what_is_sent_arrives(handshake in handshake()) {
            prop_assert_eq!(ExtensionHandshake::decode(&handshake.encode()), Some(handshake));
        }

        #[test]
        fn a_damaged_handshake_does_no_harm(handshake in handshake(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut payload = handshake.encode();
            let at = at.index(payload.len());
            payload[at] = byte;
            if let Some(decoded) = ExtensionHandshake::decode(&payload) {
                prop_assert!(decoded.reqq.is_none_or(|reqq| (1..=limit::REQUESTS_OUT).contains(&reqq)));
                prop_assert_ne!(decoded.port, Some(0));
            }
            prop_assert_eq!(ExtensionHandshake::decode(&handshake.encode()[..at]), None);
        }
    }
}
