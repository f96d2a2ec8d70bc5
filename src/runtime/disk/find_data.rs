//! Whether a torrent's data is in a folder, by the names alone: what it is worth a check tells.

use std::path::Path;

use super::door::Door;
use super::target::{FileSpec, part_paths};

/// Whether any of `files` is in `dir` and not empty, under its final or its `.part` name.
pub fn has_data(dir: &Path, files: &[FileSpec]) -> bool {
    let Ok(door) = Door::open(dir, false) else { return false };
    let is_file = |file: &&FileSpec| !file.skip;
    let Some(first) = files.iter().find(is_file) else { return false };
    if first.path.iter().count() > 1 {
        // Without the torrent's folder none of its files needs to be looked for.
        let folder = first.path.iter().next().map(|name| dir.join(name));
        if !folder.is_some_and(|folder| folder.is_dir()) {
            return false;
        }
    }
    let parts = part_paths(files.iter().map(|file| (!file.skip).then_some(file.path.as_path())));
    let is_there = |path: &Path| matches!(door.look(path), Ok(Some(found)) if found.length > 0);
    files
        .iter()
        .zip(&parts)
        .filter(|(file, _)| is_file(file))
        .any(|(file, part)| is_there(&file.path) || is_there(part))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn data_is_found_under_either_name_and_an_empty_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = |path: &str| FileSpec { path: path.into(), executable: false, skip: false };
        let files = [file("t/a"), file("t/b")];
        assert!(!has_data(&dir.path().join("nowhere"), &files));
        assert!(!has_data(dir.path(), &files));
        fs::create_dir(dir.path().join("t")).unwrap();
        fs::write(dir.path().join("t/a"), "").unwrap();
        assert!(!has_data(dir.path(), &files));
        fs::write(dir.path().join("t/b.part"), "x").unwrap();
        assert!(has_data(dir.path(), &files));
        assert!(!has_data(dir.path(), &[file("single")]));
        fs::write(dir.path().join("single"), "x").unwrap();
        assert!(has_data(dir.path(), &[file("single")]));
    }
}
