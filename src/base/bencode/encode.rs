//! Writing: typed documents of our own through serde, and raw values kept as they are.

use std::collections::BTreeMap;

use serde::Serialize;

/// The bencoding of `document`: structs and maps become dictionaries with sorted keys, `None` fields are left
/// out, byte strings need `serde_bytes`.
///
/// # Panics
///
/// When `document` holds what bencode can't: a `bool`, a float. That is a fault of its type, not of its value.
pub fn encode<T: Serialize>(document: &T) -> Vec<u8> {
    serde_bencode::to_bytes(document).expect("the type holds only integers, strings, lists and dictionaries")
}

/// The dictionary of `entries`, whose values are bencoded already and go in byte for byte: an `info`
/// dictionary must keep its hash.
pub fn dict_of_encoded(entries: &BTreeMap<&[u8], Vec<u8>>) -> Vec<u8> {
    let mut bytes = b"d".to_vec();
    for (key, value) in entries {
        bytes.extend_from_slice(key.len().to_string().as_bytes());
        bytes.push(b':');
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
    }
    bytes.push(b'e');
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, scan};
    use super::*;

    #[derive(Serialize)]
    struct Answer {
        interval: u32,
        #[serde(rename = "failure reason")]
        failure_reason: Option<String>,
        #[serde(with = "serde_bytes")]
        peers: Vec<u8>,
        deltas: BTreeMap<String, i64>,
    }

    #[test]
    fn a_typed_document_has_sorted_keys_and_no_absent_fields() {
        let deltas = BTreeMap::from([("b".to_owned(), -1), ("a".to_owned(), 2)]);
        let answer = Answer { interval: 5, failure_reason: None, peers: vec![0, 255], deltas };
        let bytes = encode(&answer);
        assert_eq!(bytes, b"d6:deltasd1:ai2e1:bi-1ee8:intervali5e5:peers2:\x00\xffe");
        assert_eq!(scan(&bytes, Limits::MESSAGE).unwrap().root().soft_error(), None);
    }

    #[test]
    fn raw_values_go_in_byte_for_byte() {
        let info = b"d1:bi1e1:ai1ee".to_vec();
        let entries = BTreeMap::from([(&b"info"[..], info.clone()), (b"announce", encode(&"http://t/"))]);
        let bytes = dict_of_encoded(&entries);
        let document = scan(&bytes, Limits::TORRENT).unwrap();
        assert_eq!(document.root().get("info").unwrap().raw(), info);
        assert_eq!(document.root().get("announce").unwrap().as_str(), Some("http://t/"));
    }
}
