//! Changes what a .torrent file says around its `info` dictionary, which stays byte for byte: the info-hash is
//! the torrent's identity. The one exception is `source`, which lies inside it.

use std::collections::BTreeMap;

use super::create::announce;
use super::{Metainfo, MetainfoError};
use crate::base::bencode::{self, Limits, Value};

/// What is to change; what is `None` stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Edit {
    /// All trackers, by tier (BEP 12). Empty: none.
    pub trackers: Option<Vec<Vec<String>>>,
    /// All web seeds (BEP 19). Empty: none.
    pub web_seeds: Option<Vec<String>>,
    /// The comment. Empty: none.
    pub comment: Option<String>,
    /// The mark inside `info` that private trackers use. Empty: none. Changes the info-hash.
    pub source: Option<String>,
}

type Entries<'a> = BTreeMap<&'a [u8], Vec<u8>>;

impl Edit {
    /// The torrent in `bytes` with the change made. Keys that we don't know stay, `info` too unless `source`
    /// is another than before; bytes after the torrent's end go.
    pub fn apply(&self, bytes: &[u8]) -> Result<Vec<u8>, MetainfoError> {
        Metainfo::from_bytes(bytes)?;
        let document = bencode::scan(bytes, Limits::TORRENT)?;
        let mut entries = entries_of(document.root());
        if let Some(tiers) = &self.trackers {
            let (first, list) = announce(tiers);
            set(&mut entries, b"announce", first.map(|url| bencode::encode(&url)));
            set(&mut entries, b"announce-list", list.map(|list| bencode::encode(&list)));
        }
        if let Some(urls) = &self.web_seeds {
            set(&mut entries, b"url-list", (!urls.is_empty()).then(|| bencode::encode(urls)));
        }
        if let Some(comment) = &self.comment {
            set(&mut entries, b"comment", text(comment));
            // It would win over the other when read.
            entries.remove(&b"comment.utf-8"[..]);
        }
        let info = document.root().get("info");
        if let Some((source, info)) = self.source.as_ref().zip(info) {
            let mut info_entries = entries_of(info);
            let encoded = text(source);
            if info_entries.get(&b"source"[..]) != encoded.as_ref() {
                set(&mut info_entries, b"source", encoded);
                entries.insert(b"info", bencode::dict_of_encoded(&info_entries));
            }
        }
        Ok(bencode::dict_of_encoded(&entries))
    }
}

fn entries_of(dict: Value<'_>) -> Entries<'_> {
    dict.as_dict().into_iter().flatten().map(|(key, value)| (key, value.raw().to_vec())).collect()
}

fn set<'a>(entries: &mut Entries<'a>, key: &'a [u8], value: Option<Vec<u8>>) {
    match value {
        Some(value) => entries.insert(key, value),
        None => entries.remove(key),
    };
}

fn text(text: &str) -> Option<Vec<u8>> {
    (!text.is_empty()).then(|| bencode::encode(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "d6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:hhhhhhhhhhhhhhhhhhhh1:ai7ee";

    fn torrent() -> Vec<u8> {
        format!(
            "d8:announce12:http://old/a13:announce-listll12:http://old/aee7:comment1:c13:comment.utf-83:old4:info\
             {INFO}3:xyzi1ee"
        )
        .into_bytes()
    }

    fn apply(edit: &Edit) -> String {
        String::from_utf8(edit.apply(&torrent()).unwrap()).unwrap()
    }

    #[test]
    fn the_info_dictionary_stays_as_it_is_even_when_untidy() {
        let tiers = vec![vec!["http://t/1".to_owned()], vec!["http://t/2".to_owned()]];
        let edited = apply(&Edit {
            trackers: Some(tiers),
            web_seeds: Some(vec!["http://w/".to_owned()]),
            comment: Some("new".to_owned()),
            source: None,
        });
        let expected = format!(
            "d8:announce10:http://t/113:announce-listll10:http://t/1el10:http://t/2ee7:comment3:new4:info{INFO}8:url-\
             listl9:http://w/e3:xyzi1ee"
        );
        assert_eq!(edited, expected);
    }

    #[test]
    fn nothing_named_is_nothing_changed_and_an_empty_value_takes_away() {
        assert_eq!(apply(&Edit::default()).into_bytes(), torrent());
        let none = Edit {
            trackers: Some(Vec::new()),
            web_seeds: Some(Vec::new()),
            comment: Some(String::new()),
            source: Some(String::new()),
        };
        assert_eq!(apply(&none), format!("d4:info{INFO}3:xyzi1ee"));
    }

    #[test]
    fn another_source_gives_another_hash_and_the_same_source_the_same() {
        let with = |bytes: &[u8], source: &str| {
            Edit { source: Some(source.to_owned()), ..Edit::default() }.apply(bytes).unwrap()
        };
        let hash = |bytes: &[u8]| Metainfo::from_bytes(bytes).unwrap().info_hashes;
        let marked = with(&torrent(), "S");
        assert_ne!(hash(&marked), hash(&torrent()));
        assert_eq!(Metainfo::from_bytes(&marked).unwrap().source.as_deref(), Some("S"));
        assert_eq!(with(&marked, "S"), marked);
    }

    #[test]
    fn what_is_no_torrent_is_refused() {
        assert_eq!(Edit::default().apply(b"d4:infoi1ee"), Err(MetainfoError::NoInfo));
    }
}
