//! Another name for a download whose place is somebody else's (`--on-conflict rename`): `NAME.1`, `NAME.2` and so
//! on, as wget does it, for a file and for a folder alike.
//!
//! The names are gone through in order, and each is opened like the first: what is there may be this torrent's.
//! One that the state knows of comes before all others, so that the next run goes on where this one was.

use std::path::{Path, PathBuf};

use super::names::Name;
use super::payload::Payload;
use super::storage::Storage;
use super::target::OnConflict;
use crate::base::limit;
use crate::engine::disk_job::DiskError;

impl Payload {
    /// The same torrent under the next name; `None` when it is to stay where it is. Here nothing of it is left.
    pub(super) fn elsewhere(&self) -> Option<Payload> {
        self.take_back();
        let place = self.storage.place + 1;
        let may_move = self.storage.target.on_conflict == OnConflict::Rename
            && !self.storage.target.read_only
            && place <= limit::OTHER_NAMES;
        may_move.then(|| {
            self.close();
            let moved = self.at_place(place);
            let (old, new) = (self.storage.top().display(), moved.storage.top().display());
            self.warn(format!("{old} is somebody else's; this goes to {new}"));
            moved
        })
    }

    /// The same torrent under the name that the state knows of, if that is another.
    pub(super) fn remembered_elsewhere(&self) -> Result<Option<Payload>, DiskError> {
        let target = &self.storage.target;
        let is_remembered = self.storage.keeping.state.is_some() && !target.read_only;
        if target.on_conflict != OnConflict::Rename || !is_remembered || self.is_remembered()? {
            return Ok(None);
        }
        for place in 1..=limit::OTHER_NAMES {
            let moved = self.at_place(place);
            if !moved.is_there()? {
                break;
            }
            if moved.is_remembered()? {
                self.warn(format!("this goes on in {}", moved.storage.top().display()));
                return Ok(Some(moved));
            }
        }
        Ok(None)
    }

    fn at_place(&self, place: u32) -> Payload {
        Payload {
            torrent: self.torrent,
            storage: self.storage.at_place(place),
            open_files: self.open_files.clone(),
            sync_behind: self.sync_behind.clone(),
            heads: self.heads.clone(),
        }
    }

    /// Whether anything has the name, or the one of an incomplete file.
    fn is_there(&self) -> Result<bool, DiskError> {
        let storage = &self.storage;
        let door = storage.names().door(storage)?;
        let top = storage.top();
        let part = self.files_on_disk().next().map(|file| storage.path(file, Name::Part));
        Ok([Some(top), part].into_iter().flatten().any(|path| !matches!(door.look(path), Ok(None))))
    }
}

impl Storage {
    /// The same files, the name at the top with this number behind it.
    fn at_place(&self, place: u32) -> Storage {
        let mut files = self.files.clone();
        for file in files.iter_mut().filter(|file| file.path.iter().next().is_some()) {
            file.path = numbered(&file.path, self.place, place);
        }
        let (map, layout) = (self.file_map.clone(), self.layout.clone());
        let mut storage = Storage::new(self.target.clone(), files, map, layout, self.hashes.clone());
        (storage.place, storage.keeping) = (place, self.keeping.clone());
        storage
    }
}

/// `path` with another number behind its first element.
fn numbered(path: &Path, from: u32, to: u32) -> PathBuf {
    let mut elements = path.iter();
    let first = elements.next().unwrap_or_default().to_string_lossy().into_owned();
    let bare = match from {
        0 => &first[..],
        _ => first.strip_suffix(&format!(".{from}")).unwrap_or(&first),
    };
    let top = PathBuf::from(format!("{bare}.{to}"));
    elements.fold(top, |path, element| path.join(element))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_behind_the_name_at_the_top() {
        for (path, from, to, expected) in [
            ("a.iso", 0, 1, "a.iso.1"),
            ("a.iso.1", 1, 2, "a.iso.2"),
            ("a.1", 0, 1, "a.1.1"),
            ("t/b/c", 0, 3, "t.3/b/c"),
            ("t.9/b", 9, 10, "t.10/b"),
        ] {
            assert_eq!(numbered(Path::new(path), from, to), PathBuf::from(expected), "{path}");
        }
    }
}
