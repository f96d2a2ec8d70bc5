//! Makes the bytes of a .torrent file (BEP 3, 12, 19, 27, 47) from what others have hashed.
//!
//! Decides the keys and their order, and how long pieces should be. Names go in as they are: whether other
//! clients can use them is asked of [`is_kept`](super::safe_path::is_kept). Only torrents of version 1.

use serde::Serialize;

use crate::base::bencode;
use crate::base::hash::Sha1Hash;

/// The shortest piece that is chosen, bytes.
pub const PIECE_LENGTH_MIN: u32 = 16 * 1024;
/// The longest piece that is chosen, bytes.
pub const PIECE_LENGTH_MAX: u32 = 16 * 1024 * 1024;
/// No more pieces than this are made where longer pieces can prevent it.
const PIECES: u64 = 2000;

/// The length of pieces, bytes, that cuts `total` bytes into 1000 to 2000 pieces: a power of two from 16 KiB to
/// 16 MiB. Tiny payloads get fewer pieces, huge ones more.
pub fn piece_length(total: u64) -> u32 {
    let wanted = total.div_ceil(PIECES).clamp(PIECE_LENGTH_MIN.into(), PIECE_LENGTH_MAX.into());
    u32::try_from(wanted.next_power_of_two()).unwrap_or(PIECE_LENGTH_MAX)
}

/// What a torrent is to say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Draft {
    /// The name of the only file, or of the folder that holds the files.
    pub name: String,
    /// What is in it.
    pub content: Content,
    /// Bytes of a piece.
    pub piece_length: u32,
    /// The digest of each piece, in order.
    pub digests: Vec<Sha1Hash>,
    /// Announce URLs by tier (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// URLs of HTTP seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// Whether peers may come from the trackers only (BEP 27).
    pub is_private: bool,
    /// A mark of private trackers; changes the info-hash.
    pub source: Option<String>,
    /// Free text.
    pub comment: Option<String>,
    /// The program that makes the torrent.
    pub created_by: Option<String>,
    /// Seconds since 1970.
    pub creation_date: Option<u64>,
}

/// The payload of a torrent that is being made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// One file, which has the torrent's name.
    File {
        /// Bytes.
        length: u64,
        /// Marked executable (BEP 47).
        executable: bool,
    },
    /// Files in a folder of the torrent's name, in payload order.
    Folder(Vec<DraftFile>),
}

impl Default for Content {
    fn default() -> Content {
        Content::File { length: 0, executable: false }
    }
}

/// One file of a torrent that is being made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DraftFile {
    /// Folders below the torrent's own, then the file's name.
    pub path: Vec<String>,
    /// Bytes.
    pub length: u64,
    /// Marked executable (BEP 47).
    pub executable: bool,
}

/// Keys in the order that bencode wants.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    announce: Option<&'a str>,
    #[serde(rename = "announce-list", skip_serializing_if = "Option::is_none")]
    announce_list: Option<&'a [Vec<String>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    #[serde(rename = "created by", skip_serializing_if = "Option::is_none")]
    created_by: Option<&'a str>,
    #[serde(rename = "creation date", skip_serializing_if = "Option::is_none")]
    creation_date: Option<u64>,
    info: Info<'a>,
    #[serde(rename = "url-list", skip_serializing_if = "<[String]>::is_empty")]
    url_list: &'a [String],
}

#[derive(Serialize)]
struct Info<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    attr: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<Entry<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    name: &'a str,
    #[serde(rename = "piece length")]
    piece_length: u32,
    pieces: &'a serde_bytes::Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    private: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    attr: Option<&'static str>,
    length: u64,
    path: &'a [String],
}

impl Draft {
    /// The bytes of the .torrent file. `announce-list` is there only when there is more than one tracker.
    pub fn to_bytes(&self) -> Vec<u8> {
        let digests: Vec<u8> = self.digests.iter().flat_map(|digest| digest.0).collect();
        let (length, executable, files) = match &self.content {
            Content::File { length, executable } => (Some(*length), *executable, None),
            Content::Folder(files) => (None, false, Some(files.iter().map(Entry::of).collect())),
        };
        let (announce, announce_list) = announce(&self.trackers);
        bencode::encode(&Document {
            announce,
            announce_list,
            comment: self.comment.as_deref(),
            created_by: self.created_by.as_deref(),
            creation_date: self.creation_date,
            info: Info {
                attr: attributes(executable),
                files,
                length,
                name: &self.name,
                piece_length: self.piece_length,
                pieces: serde_bytes::Bytes::new(&digests),
                private: self.is_private.then_some(1),
                source: self.source.as_deref(),
            },
            url_list: &self.web_seeds,
        })
    }
}

impl Entry<'_> {
    fn of(file: &DraftFile) -> Entry<'_> {
        Entry { attr: attributes(file.executable), length: file.length, path: &file.path }
    }
}

/// What `announce` and `announce-list` are to hold: the list only for more than one tracker.
pub(super) fn announce(trackers: &[Vec<String>]) -> (Option<&str>, Option<&[Vec<String>]>) {
    let first = trackers.iter().flatten().next().map(String::as_str);
    (first, (trackers.iter().flatten().count() > 1).then_some(trackers))
}

fn attributes(executable: bool) -> Option<&'static str> {
    executable.then_some("x")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metainfo::Metainfo;

    fn tier(urls: &[&str]) -> Vec<String> {
        urls.iter().map(|url| (*url).to_owned()).collect()
    }

    #[test]
    fn what_is_made_is_read_back() {
        let draft = Draft {
            name: "x.bin".to_owned(),
            content: Content::File { length: 40_000, executable: true },
            piece_length: 32_768,
            digests: vec![Sha1Hash([1; 20]), Sha1Hash([2; 20])],
            trackers: vec![tier(&["http://a.example/announce"]), tier(&["http://b.example/announce"])],
            web_seeds: tier(&["http://w.example/x.bin"]),
            is_private: true,
            source: Some("S".to_owned()),
            comment: Some("said".to_owned()),
            created_by: Some("made".to_owned()),
            creation_date: Some(7),
        };
        let metainfo = Metainfo::from_bytes(&draft.to_bytes()).unwrap();
        assert_eq!(
            (metainfo.name.as_str(), metainfo.has_folder, metainfo.total_size),
            ("x.bin", false, 40_000)
        );
        assert_eq!(metainfo.layout.piece_count(), 2);
        assert_eq!((&metainfo.trackers, &metainfo.web_seeds), (&draft.trackers, &draft.web_seeds));
        assert!(metainfo.is_private && metainfo.files[0].attributes.executable);
        assert_eq!((metainfo.source, metainfo.comment), (draft.source.clone(), draft.comment.clone()));
        assert_eq!((metainfo.created_by, metainfo.creation_date), (draft.created_by.clone(), Some(7)));
    }

    #[test]
    fn every_byte_of_a_plain_torrent_is_as_the_format_wants_it() {
        let file = |path: &[&str], length, executable| DraftFile { path: tier(path), length, executable };
        let draft = Draft {
            name: "t".to_owned(),
            content: Content::Folder(vec![file(&["a"], 1, false), file(&["b", "c"], 2, true)]),
            piece_length: 16_384,
            digests: vec![Sha1Hash(*b"hhhhhhhhhhhhhhhhhhhh")],
            ..Draft::default()
        };
        let expected = "d4:infod5:filesld6:lengthi1e4:pathl1:aeed4:attr1:x6:lengthi2e4:pathl1:b1:ceee4:name1:t12:\
                        piece lengthi16384e6:pieces20:hhhhhhhhhhhhhhhhhhhhee";
        assert_eq!(String::from_utf8(draft.to_bytes()).unwrap(), expected);
        let one = Draft { trackers: vec![tier(&["http://a.example/announce"])], ..draft };
        assert!(one.to_bytes().starts_with(b"d8:announce25:http://a.example/announce4:infod"));
    }

    #[test]
    fn a_payload_is_cut_into_one_to_two_thousand_pieces() {
        for (total, length) in [
            (0, 16_384),
            (1, 16_384),
            (2000 * 16_384, 16_384),
            (2000 * 16_384 + 1, 32_768),
            (1 << 30, 1 << 20),
            (2000 << 24, 1 << 24),
            (u64::MAX, 1 << 24),
        ] {
            assert_eq!(piece_length(total), length, "{total}");
        }
        for shift in 25..35 {
            let total = 3_u64 << shift;
            let pieces = total.div_ceil(u64::from(piece_length(total)));
            assert!((1000..=2000).contains(&pieces) || total > 2000 << 24, "{total}: {pieces}");
        }
    }
}
