//! The file tree of v2, and whether a hybrid's file list says the same (BEP 52).

use super::error::{MetainfoError, key_fault};
use super::info_dict::{self, RawFile};
use crate::base::bencode::Value;
use crate::base::hash::Sha256Hash;
use crate::base::limit;

/// What one path element costs in memory beside its bytes.
const ELEMENT_COST: usize = size_of::<&[u8]>();

/// The files of `info`'s tree, in tree order.
pub(super) fn files(info: Value<'_>) -> Result<Vec<RawFile<'_>>, MetainfoError> {
    const KEY: &str = "file tree";
    let top =
        info.get(KEY).and_then(Value::as_dict).ok_or(key_fault(KEY, "is missing or not a dictionary"))?;
    let mut files = Vec::new();
    let mut path: Vec<&[u8]> = Vec::new();
    let mut path_bytes = 0;
    let mut folders = vec![top];
    while let Some(folder) = folders.last_mut() {
        let Some((name, node)) = folder.next() else {
            folders.pop();
            path.pop();
            continue;
        };
        let number = files.len() + 1;
        let entries = node.as_dict().filter(|_| !name.is_empty());
        let entries = entries.ok_or(key_fault(KEY, "has an entry that is neither a file nor a folder"))?;
        path.push(name);
        let Some(entry) = node.get("") else {
            folders.push(entries);
            continue;
        };
        if entries.count() != 1 {
            return Err(key_fault(KEY, "has an entry that is both a file and a folder"));
        }
        path_bytes += path.iter().map(|element| element.len() + ELEMENT_COST).sum::<usize>();
        if path_bytes > limit::PATHS_TOTAL {
            return Err(MetainfoError::PathsTooLong);
        }
        files.push(file(entry, path.clone(), number)?);
        path.pop();
    }
    if files.is_empty() { Err(key_fault(KEY, "has no files")) } else { Ok(files) }
}

fn file<'a>(entry: Value<'a>, path: Vec<&'a [u8]>, number: usize) -> Result<RawFile<'a>, MetainfoError> {
    let attributes = info_dict::attributes(entry);
    if attributes.pad {
        return Err(info_dict::fault(number, "attr", "marks padding, which a v2 file can't be"));
    }
    let length = info_dict::file_length(entry, attributes, number)?;
    let pieces_root = entry.get("pieces root").and_then(Value::as_bytes).and_then(Sha256Hash::from_slice);
    let pieces_root = pieces_root.filter(|root| *root != Sha256Hash::default() && length > 0);
    if length > 0 && pieces_root.is_none() {
        return Err(info_dict::fault(number, "pieces root", "is missing or not a hash"));
    }
    Ok(RawFile { path, length, attributes, pieces_root })
}

/// Gives the files of `v1`, a hybrid's list, the roots of `v2`, its tree, when both describe the same files in
/// the same places: every file of v1 that is not empty must start a piece, with nothing but padding in between.
pub(super) fn match_up(
    v1: &mut [RawFile<'_>],
    v2: &[RawFile<'_>],
    piece_length: u32,
) -> Result<(), MetainfoError> {
    const PADDING: &str = "the files of the v1 part do not start where those of the v2 part do";
    let piece_length = u64::from(piece_length);
    let (mut offset, mut aligned, mut end) = (0u64, 0u64, 0u64);
    let mut twins = v2.iter();
    for file in v1.iter_mut() {
        if !file.attributes.pad {
            let twin = twins.next().ok_or(MetainfoError::Hybrid("the v1 part has more files"))?;
            let same = file.path == twin.path && file.length == twin.length;
            if !same || file.attributes.symlink != twin.attributes.symlink {
                return Err(MetainfoError::Hybrid("their files differ in name, order or length"));
            }
            if file.length > 0 && offset != aligned {
                return Err(MetainfoError::Hybrid(PADDING));
            }
            file.pieces_root = twin.pieces_root;
            let next = file.length.checked_next_multiple_of(piece_length);
            aligned = next.and_then(|next| aligned.checked_add(next)).ok_or(MetainfoError::TotalTooLarge)?;
        }
        offset = offset.checked_add(file.length).ok_or(MetainfoError::TotalTooLarge)?;
        if !file.attributes.pad && file.length > 0 {
            end = offset;
        }
    }
    if twins.next().is_some() {
        return Err(MetainfoError::Hybrid("the v2 part has more files"));
    }
    // The pad after the last file may be missing: early writers left it out.
    if offset == end || offset == aligned { Ok(()) } else { Err(MetainfoError::Hybrid(PADDING)) }
}

#[cfg(test)]
mod tests {
    use super::super::info_dict::Attributes;
    use super::*;

    fn file(name: &'static str, length: u64, pad: bool) -> RawFile<'static> {
        let attributes = Attributes { pad, ..Attributes::default() };
        RawFile { path: vec![name.as_bytes()], length, attributes, pieces_root: None }
    }

    #[test]
    fn a_hybrids_parts_must_describe_the_same_files() {
        let tree = [file("a", 20_000, false), file("b", 0, false), file("c", 5, false)];
        for (list, fits) in [
            (vec![("a", 20_000), ("", 12_768), ("b", 0), ("c", 5)], true),
            (vec![("a", 20_000), ("b", 0), ("", 12_768), ("c", 5)], true),
            (vec![("a", 20_000), ("", 12_768), ("b", 0), ("c", 5), ("", 16_379)], true),
            (vec![("a", 20_000), ("", 12_768), ("b", 0), ("c", 5), ("", 16_378)], false),
            (vec![("a", 20_000), ("", 12_768 + 16_384), ("b", 0), ("c", 5)], false),
            (vec![("a", 20_000), ("b", 0), ("c", 5)], false),
            (vec![("a", 20_000), ("", 12_768), ("c", 5), ("b", 0)], false),
            (vec![("a", 20_000), ("", 12_768), ("B", 0), ("c", 5)], false),
            (vec![("a", 20_000), ("", 12_768), ("b", 0)], false),
            (vec![("a", 20_000), ("", 12_768), ("b", 0), ("c", 5), ("d", 0)], false),
        ] {
            let mut files: Vec<_> =
                list.iter().map(|(name, length)| file(name, *length, name.is_empty())).collect();
            assert_eq!(match_up(&mut files, &tree, 16_384).is_ok(), fits, "{list:?}");
        }
    }
}
