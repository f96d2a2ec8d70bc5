//! Makes the bytes of a .torrent file (BEP 3, 12) from what others have hashed.
//!
//! Only torrents of version 1 with one file so far.

use serde::Serialize;

use crate::base::bencode;
use crate::base::hash::Sha1Hash;

/// What a torrent is to say.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The file's name.
    pub name: String,
    /// The file's length, bytes.
    pub length: u64,
    /// Bytes of a piece.
    pub piece_length: u32,
    /// The digest of each piece, in order.
    pub digests: Vec<Sha1Hash>,
    /// Announce URLs by tier.
    pub trackers: Vec<Vec<String>>,
}

/// Keys in the order that bencode wants.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    announce: Option<&'a str>,
    #[serde(rename = "announce-list", skip_serializing_if = "Option::is_none")]
    announce_list: Option<&'a [Vec<String>]>,
    info: Info<'a>,
}

#[derive(Serialize)]
struct Info<'a> {
    length: u64,
    name: &'a str,
    #[serde(rename = "piece length")]
    piece_length: u32,
    pieces: &'a serde_bytes::Bytes,
}

impl Draft {
    /// The bytes of the .torrent file. `announce-list` is there only when there is more than one tracker.
    pub fn to_bytes(&self) -> Vec<u8> {
        let announce = self.trackers.iter().flatten().next().map(String::as_str);
        let count = self.trackers.iter().flatten().count();
        let digests: Vec<u8> = self.digests.iter().flat_map(|digest| digest.0).collect();
        bencode::encode(&Document {
            announce,
            announce_list: (count > 1).then_some(&self.trackers),
            info: Info {
                length: self.length,
                name: &self.name,
                piece_length: self.piece_length,
                pieces: serde_bytes::Bytes::new(&digests),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metainfo::Metainfo;

    #[test]
    fn what_is_made_is_read_back() {
        let tier = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        let draft = Draft {
            name: "x.bin".to_owned(),
            length: 40_000,
            piece_length: 32_768,
            digests: vec![Sha1Hash([1; 20]), Sha1Hash([2; 20])],
            trackers: vec![tier(&["http://a.example/announce"]), tier(&["http://b.example/announce"])],
        };
        let metainfo = Metainfo::from_bytes(&draft.to_bytes()).unwrap();
        assert_eq!(
            (metainfo.name.as_str(), metainfo.has_folder, metainfo.total_size),
            ("x.bin", false, 40_000)
        );
        assert_eq!(metainfo.layout.piece_count(), 2);
        assert_eq!(metainfo.trackers, draft.trackers);
        let one = Draft { trackers: vec![tier(&["http://a.example/announce"])], ..draft };
        assert!(one.to_bytes().starts_with(b"d8:announce25:http://a.example/announce4:infod6:length"));
        assert!(Draft { trackers: vec![], ..one }.to_bytes().starts_with(b"d4:infod"));
    }
}
