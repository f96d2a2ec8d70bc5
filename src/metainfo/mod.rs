//! Floor 1: torrents at rest. What a .torrent file or a magnet link's metadata says, checked (BEP 3, 47, 52).
//!
//! [`Metainfo`] is the only way in: it refuses what has no safe meaning and makes harmless what has one (names,
//! trackers, clashing paths). Info-hashes are made from the bytes as they stand, never from what was
//! understood of them. Whether an address may be contacted, and what is written to disk, is decided elsewhere.

use std::sync::Arc;

mod announce_list;
pub mod create;
pub mod edit;
mod error;
mod file_tree;
mod info_dict;
mod magnet;
mod makers_names;
pub mod merkle;
mod piece_layers;
pub mod safe_path;

pub use announce_list::usable_url;
pub use error::MetainfoError;
pub use info_dict::Attributes;
pub use magnet::magnet_link;
pub use makers_names::MakersNames;
pub use piece_layers::PieceLayers;

use crate::base::bencode::{self, Limits, Value};
use crate::base::digest;
use crate::base::file_map::FileMap;
use crate::base::hash::{InfoHashes, PieceHashes, Sha256Hash};
use crate::base::layout::Layout;
use crate::base::limit;
use info_dict::{RawFile, Versions};
use safe_path::{SafePaths, clean_element};

/// A torrent, checked.
#[derive(Clone, Debug)]
pub struct Metainfo {
    /// What the torrent is found by.
    pub info_hashes: InfoHashes,
    /// The `info` dictionary as it stands: what peers ask for with `ut_metadata` (BEP 9).
    pub info: Arc<[u8]>,
    /// The torrent's name, safe as a name on disk: of its only file, or of the folder that holds its files.
    pub name: String,
    /// Whether the files go into a folder called [`name`](Metainfo::name).
    pub has_folder: bool,
    /// The pieces and blocks. v1 and hybrid: pieces run on across files, padding counted; v2: files start pieces.
    pub layout: Layout,
    /// The place of each of [`files`](Metainfo::files), in the same order.
    pub file_map: FileMap,
    /// The hash of each piece; those of v1 only.
    pub piece_hashes: PieceHashes,
    /// The files in payload order, pad files among them.
    pub files: Vec<File>,
    /// v2 piece hashes, by [`File::pieces_root`]; not for files of one piece. May lack files.
    pub piece_layers: PieceLayers,
    /// Bytes of all files together, padding not counted.
    pub total_size: u64,
    /// Whether peers may come from its trackers only (BEP 27).
    pub is_private: bool,
    /// Tracker URLs by tier (BEP 12): http, https, udp.
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (BEP 19): http, https. A slash at the end may be missing.
    pub web_seeds: Vec<String>,
    /// DHT nodes, host and port. Not to be used when private.
    pub nodes: Vec<(String, u16)>,
    /// Free text. Like all texts here it is as its writer left it: escape it before showing.
    pub comment: Option<String>,
    /// The program that made the torrent.
    pub created_by: Option<String>,
    /// Seconds since 1970.
    pub creation_date: Option<i64>,
    /// A mark of private trackers that changes the info-hash.
    pub source: Option<String>,
    /// What its maker called the files, where that is not what we call them.
    pub makers_names: Option<MakersNames>,
}

/// One file of a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Safe path elements joined by `/`; relative to the torrent's folder if it has one.
    pub path: String,
    /// Bytes.
    pub length: u64,
    /// What else it is. Pad files and symlinks are never written.
    pub attributes: Attributes,
    /// Whether it may be called `path` + [`PART_SUFFIX`](safe_path::PART_SUFFIX) while it is incomplete: false when
    /// another file of the torrent has that path.
    pub part_name_is_free: bool,
    /// The root of its merkle tree (v2, hybrid); none for an empty file.
    pub pieces_root: Option<Sha256Hash>,
}

impl File {
    /// Whether the file is to be on disk: neither padding nor a symlink.
    pub fn is_written(&self) -> bool {
        !self.attributes.pad && !self.attributes.symlink
    }
}

impl Metainfo {
    /// The torrent in the bytes of a .torrent file. Bytes after its end are ignored.
    pub fn from_bytes(bytes: &[u8]) -> Result<Metainfo, MetainfoError> {
        let document = bencode::scan(bytes, Limits::TORRENT)?;
        let root = document.root();
        if !root.is_dict() {
            return Err(MetainfoError::NotDictionary);
        }
        let info = root.get("info").filter(|info| info.is_dict()).ok_or(MetainfoError::NoInfo)?;
        Metainfo::assemble(Some(root), info)
    }

    /// The torrent whose `info` dictionary is `info`, as peers give it for a magnet link: without trackers and
    /// without piece layers. The caller has compared its hash, or compares [`Metainfo::info_hashes`].
    pub fn from_info(info: &[u8]) -> Result<Metainfo, MetainfoError> {
        let document = bencode::scan(info, Limits::TORRENT)?;
        if !document.root().is_dict() {
            return Err(MetainfoError::NoInfo);
        }
        if !document.trailing().is_empty() {
            return Err(MetainfoError::TrailingBytes);
        }
        Metainfo::assemble(None, document.root())
    }

    /// Where `file` goes, relative to the download folder; elements joined by `/`.
    pub fn path_of(&self, file: &File) -> String {
        if self.has_folder { format!("{}/{}", self.name, file.path) } else { file.path.clone() }
    }

    /// The files that people see: all but padding.
    pub fn payload_files(&self) -> impl Iterator<Item = &File> + '_ {
        self.files.iter().filter(|file| !file.attributes.pad)
    }

    fn assemble(root: Option<Value<'_>>, info: Value<'_>) -> Result<Metainfo, MetainfoError> {
        let versions = info_dict::versions(info)?;
        let piece_length = info_dict::piece_length(info, versions)?;
        let raw_name = info_dict::name(info)?;
        let info_hashes = InfoHashes {
            v1: versions.v1.then(|| digest::sha1(info.raw())),
            v2: versions.v2.then(|| digest::sha256(info.raw())),
        };
        let (raw_files, has_folder) = raw_files(info, versions, raw_name, piece_length)?;
        let file_map = FileMap::new(raw_files.iter().map(|file| (file.length, file.attributes.pad)))
            .ok_or(MetainfoError::TotalTooLarge)?;
        let payload = raw_files.iter().filter(|file| !file.attributes.pad);
        let total_size = payload.map(|file| file.length).sum();
        if total_size == 0 {
            return Err(MetainfoError::NoData);
        }
        let layout = layout(&file_map, versions, piece_length)?;
        let hashes = if versions.v1 { info_dict::pieces(info, layout.piece_count())? } else { Vec::new() };
        let roots: Vec<_> =
            raw_files.iter().filter_map(|file| Some((file.pieces_root?, file.length))).collect();
        let piece_layers = match root.filter(|_| versions.v2) {
            Some(root) => piece_layers::check(root, &roots, piece_length)?,
            None => PieceLayers::new(),
        };
        let name = clean_element(raw_name).unwrap_or_else(|| hash_name(&info_hashes));
        let files = safe_files(&raw_files, has_folder, &name)?;
        let makers_names = MakersNames::of(raw_name, &raw_files, &name, has_folder, &files);
        let outer_text = |keys: &[&str]| root.and_then(|root| text(root, keys));
        Ok(Metainfo {
            info_hashes,
            info: info.raw().into(),
            name,
            has_folder,
            layout,
            file_map,
            piece_hashes: PieceHashes::v1(hashes),
            files,
            piece_layers,
            total_size,
            is_private: info.get("private").and_then(Value::as_int) == Some(1),
            trackers: root.map(announce_list::trackers).unwrap_or_default(),
            web_seeds: root.map(announce_list::web_seeds).unwrap_or_default(),
            nodes: root.map(announce_list::nodes).unwrap_or_default(),
            comment: outer_text(&["comment.utf-8", "comment"]),
            created_by: outer_text(&["created by.utf-8", "created by"]),
            creation_date: root.and_then(|root| root.get("creation date")?.as_int()),
            source: text(info, &["source"]),
            makers_names,
        })
    }
}

/// The files in payload order, paths unchecked, and whether they go into a folder of the torrent's name.
fn raw_files<'a>(
    info: Value<'a>,
    versions: Versions,
    name: &'a [u8],
    piece_length: u32,
) -> Result<(Vec<RawFile<'a>>, bool), MetainfoError> {
    let tree = if versions.v2 { file_tree::files(info)? } else { Vec::new() };
    if !versions.v1 {
        let is_single = tree.len() == 1 && tree[0].path == [name];
        return Ok((tree, !is_single));
    }
    let (mut files, has_folder) = info_dict::files(info, name)?;
    if versions.v2 {
        file_tree::match_up(&mut files, &tree, piece_length)?;
    }
    Ok((files, has_folder))
}

fn layout(file_map: &FileMap, versions: Versions, piece_length: u32) -> Result<Layout, MetainfoError> {
    let layout = if versions.v1 {
        Layout::uniform(file_map.total(), piece_length)
    } else {
        Layout::file_aligned(file_map.files().iter().map(|file| file.length), piece_length)
    };
    let countable = layout.ok().filter(|layout| layout.piece_count() <= limit::PIECES);
    countable.ok_or(MetainfoError::TooManyPieces)
}

/// The files under safe paths. Pad files are never written, so they take no path from others.
fn safe_files(raw: &[RawFile<'_>], has_folder: bool, name: &str) -> Result<Vec<File>, MetainfoError> {
    let visible = raw.iter().filter(|file| !file.attributes.pad);
    let mut paths = match has_folder {
        true => SafePaths::of(visible.map(|file| file.path.as_slice()))?,
        false => SafePaths::of([&[name.as_bytes()][..]].into_iter())?,
    }
    .into_iter();
    let file = |file: &RawFile<'_>| {
        let safe = if file.attributes.pad { None } else { paths.next() };
        let (path, part_name_is_free) = match safe {
            Some(safe) => (safe.path, safe.part_name_is_free),
            None => (format!(".pad/{}", file.length), false),
        };
        let (length, attributes, pieces_root) = (file.length, file.attributes, file.pieces_root);
        File { path, length, attributes, part_name_is_free, pieces_root }
    };
    Ok(raw.iter().map(file).collect())
}

/// The name of a torrent whose own can't be used.
fn hash_name(info_hashes: &InfoHashes) -> String {
    info_hashes.wire().to_string()
}

/// The first of `keys` that holds a string.
fn text(dict: Value<'_>, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| dict.get(key)?.as_text())
}
