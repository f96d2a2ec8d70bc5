//! `piece layers`: the piece hashes of a v2 torrent, checked against the roots in its file tree (BEP 52).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::MetainfoError;
use super::merkle;
use crate::base::bencode::Value;
use crate::base::hash::Sha256Hash;

/// The piece hashes of files, by the root of the file's tree; files with the same content share one entry.
pub type PieceLayers = BTreeMap<Sha256Hash, Arc<[Sha256Hash]>>;

/// The layers that the torrent `root` carries for `files`, each given as its root and length in bytes.
///
/// A layer that does not hash up to its root, or belongs to no file, is refused. One that is missing is not:
/// it can be asked of peers, and metadata from a magnet link never has any.
pub(super) fn check(
    root: Value<'_>,
    files: &[(Sha256Hash, u64)],
    piece_length: u32,
) -> Result<PieceLayers, MetainfoError> {
    let mut layers = PieceLayers::new();
    let Some(listed) = root.get("piece layers") else { return Ok(layers) };
    let listed = listed.as_dict().ok_or(MetainfoError::PieceLayers("is not a dictionary"))?;
    let mut pieces: BTreeMap<Sha256Hash, u64> = BTreeMap::new();
    for (root, length) in files {
        let count = length.div_ceil(u64::from(piece_length));
        if *pieces.entry(*root).or_insert(count) != count {
            return Err(MetainfoError::PieceLayers("would be one for files of different lengths"));
        }
    }
    let height = merkle::piece_layer_height(piece_length);
    for (root, layer) in listed {
        let layer =
            layer.as_bytes().ok_or(MetainfoError::PieceLayers("has an entry that is not a string"))?;
        let root = Sha256Hash::from_slice(root);
        let (root, count) = root
            .and_then(|root| pieces.get(&root).map(|count| (root, *count)))
            .ok_or(MetainfoError::PieceLayers("has an entry that belongs to no file"))?;
        if Some(layer.len() as u64) != count.checked_mul(Sha256Hash::LENGTH as u64) {
            return Err(MetainfoError::PieceLayers("has an entry of the wrong length"));
        }
        let hashes: Arc<[Sha256Hash]> =
            layer.chunks_exact(Sha256Hash::LENGTH).filter_map(Sha256Hash::from_slice).collect();
        if merkle::root(&hashes, height) != root {
            return Err(MetainfoError::PieceLayers("has an entry that does not hash up to its file's root"));
        }
        layers.insert(root, hashes);
    }
    Ok(layers)
}
