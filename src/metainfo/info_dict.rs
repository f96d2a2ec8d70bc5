//! The `info` dictionary of v1 and what both versions share (BEP 3, 47).

use super::error::{MetainfoError, key_fault};
use crate::base::bencode::Value;
use crate::base::hash::{Sha1Hash, Sha256Hash};
use crate::base::limit;

const MISSING: &str = "is missing or not a string";
/// How BitComet named its padding before there was an attribute for it.
const BITCOMET_PAD: &[u8] = b"_____padding_file_";

/// What a file is, beside its bytes (BEP 47).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attributes {
    /// Zeros that exist on the wire only: never written, never shown, not counted.
    pub pad: bool,
    /// To be marked executable.
    pub executable: bool,
    /// To be hidden where the system knows that.
    pub hidden: bool,
    /// A link to another file. It has no payload; its target may lie anywhere, so it is not made.
    pub symlink: bool,
}

/// A file as it stands in the torrent, its path unchecked.
pub(super) struct RawFile<'a> {
    pub(super) path: Vec<&'a [u8]>,
    pub(super) length: u64,
    pub(super) attributes: Attributes,
    pub(super) pieces_root: Option<Sha256Hash>,
}

/// The torrent's name, unchecked.
pub(super) fn name<'a>(info: Value<'a>) -> Result<&'a [u8], MetainfoError> {
    let name = info.get("name.utf-8").and_then(Value::as_bytes);
    name.or_else(|| info.get("name")?.as_bytes()).ok_or(key_fault("name", MISSING))
}

/// Which descriptions an `info` dictionary has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Versions {
    pub(super) v1: bool,
    pub(super) v2: bool,
}

/// Which descriptions `info` has, by `meta version` and by the keys of v1.
pub(super) fn versions(info: Value<'_>) -> Result<Versions, MetainfoError> {
    let v2 = match info.get("meta version").map(Value::as_int) {
        None | Some(Some(1)) => false,
        Some(Some(2)) => true,
        Some(_) => return Err(MetainfoError::MetaVersion),
    };
    let v1 = ["pieces", "files", "length"].iter().any(|key| info.get(key).is_some());
    if !v2 && info.get("pieces").is_none() && info.get("root hash").is_some() {
        return Err(MetainfoError::MerkleV1);
    }
    if let Some(untidy) = info.soft_error().filter(|_| v2) {
        return Err(MetainfoError::Untidy(untidy));
    }
    Ok(Versions { v1: v1 || !v2, v2 })
}

/// The length of a full piece, bytes.
pub(super) fn piece_length(info: Value<'_>, versions: Versions) -> Result<u32, MetainfoError> {
    const KEY: &str = "piece length";
    let length = info.get(KEY).and_then(Value::as_int);
    let length = length.filter(|length| *length > 0).ok_or(key_fault(KEY, "is missing or not above 0"))?;
    let length = u32::try_from(length).ok().filter(|length| *length <= limit::PIECE_LENGTH);
    let length = length.ok_or(key_fault(KEY, "is over 256 MiB"))?;
    if versions.v2 && !(length.is_power_of_two() && length >= 16 * 1024) {
        return Err(key_fault(KEY, "must be a power of two of at least 16 KiB in a v2 torrent"));
    }
    Ok(length)
}

/// The hashes of `pieces`, of which there must be `count`.
pub(super) fn pieces(info: Value<'_>, count: u32) -> Result<Vec<Sha1Hash>, MetainfoError> {
    let bytes = info.get("pieces").and_then(Value::as_bytes).ok_or(key_fault("pieces", MISSING))?;
    let (expected, found) = (u64::from(count) * Sha1Hash::LENGTH as u64, bytes.len() as u64);
    if expected != found {
        return Err(MetainfoError::PieceHashes { expected, found });
    }
    Ok(bytes.chunks_exact(Sha1Hash::LENGTH).filter_map(Sha1Hash::from_slice).collect())
}

/// The files of v1 in order, pad files among them, and whether they go into a folder of the torrent's name.
pub(super) fn files<'a>(info: Value<'a>, name: &'a [u8]) -> Result<(Vec<RawFile<'a>>, bool), MetainfoError> {
    let Some(files) = info.get("files") else {
        let length = info.get("length").and_then(Value::as_u64).filter(|length| *length <= i64::MAX as u64);
        let length = length
            .ok_or(key_fault("length", "is missing or not a number of bytes, and there is no `files`"))?;
        let attributes = Attributes { pad: false, symlink: false, ..attributes(info) };
        return Ok((vec![RawFile { path: vec![name], length, attributes, pieces_root: None }], false));
    };
    let files = files.as_list().ok_or(key_fault("files", "is not a list"))?;
    let files: Vec<_> =
        files.enumerate().map(|(index, entry)| file(entry, index + 1)).collect::<Result<_, _>>()?;
    if files.is_empty() {
        return Err(key_fault("files", "is empty"));
    }
    Ok((files, true))
}

fn file(entry: Value<'_>, number: usize) -> Result<RawFile<'_>, MetainfoError> {
    let mut attributes = attributes(entry);
    let length = file_length(entry, attributes, number)?;
    let path = match entry.get("path.utf-8").filter(|path| path.is_list()).or_else(|| entry.get("path")) {
        Some(path) => elements(path).ok_or(fault(number, "path", "is not a list of strings"))?,
        None => Vec::new(),
    };
    if path.is_empty() && !attributes.pad {
        return Err(fault(number, "path", "is missing or empty"));
    }
    attributes.pad |= path.last().is_some_and(|name| name.starts_with(BITCOMET_PAD));
    Ok(RawFile { path, length, attributes, pieces_root: None })
}

/// The length of a file; a symlink has none. Its target must at least have the form of a path.
pub(super) fn file_length(
    entry: Value<'_>,
    attributes: Attributes,
    number: usize,
) -> Result<u64, MetainfoError> {
    if attributes.symlink {
        let target = entry.get("symlink path");
        let is_path = target.is_none_or(|target| elements(target).is_some());
        return if is_path { Ok(0) } else { Err(fault(number, "symlink path", "is not a list of strings")) };
    }
    let length = entry.get("length").and_then(Value::as_u64).filter(|length| *length <= i64::MAX as u64);
    length.ok_or(fault(number, "length", "is missing or not a number of bytes"))
}

/// The attributes of a file; letters that are not known mean nothing.
pub(super) fn attributes(entry: Value<'_>) -> Attributes {
    let letters = entry.get("attr").and_then(Value::as_bytes).unwrap_or_default();
    Attributes {
        pad: letters.contains(&b'p'),
        executable: letters.contains(&b'x'),
        hidden: letters.contains(&b'h'),
        symlink: letters.contains(&b'l'),
    }
}

fn elements(path: Value<'_>) -> Option<Vec<&[u8]>> {
    path.as_list()?.map(Value::as_bytes).collect()
}

/// A fault of a key of the file that is the `number`th, from 1.
pub(super) fn fault(number: usize, key: &'static str, fault: &'static str) -> MetainfoError {
    MetainfoError::FileKey { number, key, fault }
}
