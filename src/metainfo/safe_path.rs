//! Paths that cannot escape, clash or harm, from names that strangers chose.
//!
//! Decides how a torrent's names become names on disk: [`clean_element`] makes one name harmless, and
//! [`SafePaths`] makes all paths of a torrent differ. What is cleaned is checked again after cleaning: a `..`
//! may appear only when invisible characters are gone. Opening files beneath a folder without following
//! symlinks is the disk's part.

use std::collections::HashMap;

use super::error::MetainfoError;
use crate::base::invisible::is_invisible;
use crate::base::limit;

/// The name that a path element gets when nothing of it is left.
const NAMELESS: &str = "_";
/// What a file is called until it is complete: its name and this.
pub const PART_SUFFIX: &str = ".part";

/// `element` as a file or folder name: no separators, control, bidi or invisible characters, valid UTF-8, at
/// most [`limit::PATH_ELEMENT`] bytes. `None` when nothing is left, or only dots that mean a folder.
pub fn clean_element(element: &[u8]) -> Option<String> {
    let mut name = String::with_capacity(element.len());
    for chunk in element.utf8_chunks() {
        name.extend(chunk.valid().chars().filter_map(clean_char));
        if !chunk.invalid().is_empty() {
            name.push('_');
        }
    }
    if name.len() > limit::PATH_ELEMENT {
        name = with_stem_cut(&name, "");
    }
    (!matches!(name.as_str(), "" | "." | "..")).then_some(name)
}

/// Whether `element` stays the name that it is: clients that clean names as we do find the file again.
pub fn is_kept(element: &str) -> bool {
    clean_element(element.as_bytes()).as_deref() == Some(element)
}

fn clean_char(c: char) -> Option<char> {
    match c {
        '/' | '\\' => Some('_'),
        '\u{2028}' | '\u{2029}' => Some('_'),
        _ if c.is_control() => Some('_'),
        _ if is_invisible(c) => None,
        _ => Some(c),
    }
}

/// `name` with `insert` before its extension, its stem cut so that the whole fits into one element.
fn with_stem_cut(name: &str, insert: &str) -> String {
    const EXTENSION: usize = 32;
    let dot = name.rfind('.').filter(|dot| *dot > 0 && name.len() - dot <= EXTENSION);
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    let room = limit::PATH_ELEMENT - extension.len() - insert.len();
    format!("{}{insert}{extension}", &stem[..stem.floor_char_boundary(room)])
}

/// One path that [`SafePaths`] made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SafePath {
    /// The elements, joined by `/`; relative, never empty, without `.` and `..`.
    pub path: String,
    /// Whether no other entry has this path with [`PART_SUFFIX`].
    pub part_name_is_free: bool,
}

/// Makes the paths of one torrent harmless and different from each other.
///
/// All folders come first, then files in order: a file whose path a folder or an earlier file has is renamed
/// (`bar.txt` to `bar.1.txt`), the same way each time. Linear in the paths' length.
#[derive(Default)]
pub struct SafePaths {
    /// Folder and name to the entry; 0 is the top.
    entries: HashMap<(u32, String), u32>,
    /// By entry: the number to try next when its name is wanted again.
    next_number: Vec<u32>,
    renamed: usize,
}

impl SafePaths {
    /// The safe paths of the files with the `raw` paths, in the same order.
    pub fn of<'a>(raw: impl Iterator<Item = &'a [&'a [u8]]>) -> Result<Vec<SafePath>, MetainfoError> {
        let mut paths = SafePaths { next_number: vec![1], ..SafePaths::default() };
        let mut folders = Vec::new();
        for (index, path) in raw.enumerate() {
            folders.push(paths.add_folders(path, index + 1)?);
        }
        let mut placed = Vec::with_capacity(folders.len());
        for (folder, folder_path, name) in folders {
            placed.push((folder, folder_path, paths.add_file(folder, name)?));
        }
        let safe_path = |(folder, folder_path, name): (u32, String, String)| {
            let part_name_is_free = !paths.entries.contains_key(&(folder, format!("{name}{PART_SUFFIX}")));
            SafePath { path: folder_path + &name, part_name_is_free }
        };
        Ok(placed.into_iter().map(safe_path).collect())
    }

    /// Enters the folders of `path`; gives the last one, its path with a `/` at the end, and the wished name.
    fn add_folders(&mut self, path: &[&[u8]], number: usize) -> Result<(u32, String, String), MetainfoError> {
        if path.len() > limit::PATH_DEPTH + 1 {
            return Err(MetainfoError::PathTooDeep { number });
        }
        let clean = |element: &[u8]| clean_element(element).unwrap_or_else(|| NAMELESS.to_owned());
        let (mut folder, mut folder_path) = (0, String::new());
        let (last, parents) = path.split_last().map_or((&b""[..], path), |(last, parents)| (*last, parents));
        for element in parents {
            let name = clean(element);
            folder_path.push_str(&name);
            folder_path.push('/');
            folder = self.enter(folder, name);
        }
        let name = clean(last);
        if folder_path.len() + name.len() > limit::PATH_BYTES {
            return Err(MetainfoError::PathTooLong { number });
        }
        Ok((folder, folder_path, name))
    }

    fn enter(&mut self, folder: u32, name: String) -> u32 {
        let new = self.next_number.len() as u32;
        let entry = *self.entries.entry((folder, name)).or_insert(new);
        if entry == new {
            self.next_number.push(1);
        }
        entry
    }

    /// Enters a file under a name that is free.
    fn add_file(&mut self, folder: u32, name: String) -> Result<String, MetainfoError> {
        let Some(taken_by) = self.entries.get(&(folder, name.clone())).copied() else {
            self.enter(folder, name.clone());
            return Ok(name);
        };
        self.renamed += 1;
        if self.renamed > limit::DUPLICATE_PATHS {
            return Err(MetainfoError::TooManyDuplicates);
        }
        loop {
            let number = self.next_number[taken_by as usize];
            self.next_number[taken_by as usize] += 1;
            let other = with_stem_cut(&name, &format!(".{number}"));
            if !self.entries.contains_key(&(folder, other.clone())) {
                self.enter(folder, other.clone());
                return Ok(other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paths(raw: &[&[&str]]) -> Result<Vec<String>, MetainfoError> {
        let raw: Vec<Vec<&[u8]>> =
            raw.iter().map(|path| path.iter().map(|element| element.as_bytes()).collect()).collect();
        let safe = SafePaths::of(raw.iter().map(Vec::as_slice))?;
        Ok(safe.into_iter().map(|safe| safe.path).collect())
    }

    #[test]
    fn no_name_escapes_or_harms() {
        for (raw, clean) in [
            (&b"plain.txt"[..], Some("plain.txt")),
            (b"", None),
            (b".", None),
            (b"..", None),
            (b"...", Some("...")),
            (b".hidden", Some(".hidden")),
            (b"/etc/passwd", Some("_etc_passwd")),
            (b"..\\..\\x", Some(".._.._x")),
            ("..\u{200e}".as_bytes(), None),
            ("\u{feff}.\u{2066}.".as_bytes(), None),
            ("a\u{202e}txt.exe".as_bytes(), Some("atxt.exe")),
            (b"a\0b\x1b[2J\x7f", Some("a_b_[2J_")),
            ("\u{85}\u{9b}".as_bytes(), Some("__")),
            (b"\xc0\xae\xc0\xae", Some("____")),
            (b"a\xffb", Some("a_b")),
            ("日本語".as_bytes(), Some("日本語")),
            (b"$(rm) `x` 'y' \"z\" *?", Some("$(rm) `x` 'y' \"z\" *?")),
        ] {
            assert_eq!(clean_element(raw).as_deref(), clean, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters_and_keeps_its_extension() {
        let name = clean_element(format!("{}.torrent", "é".repeat(200)).as_bytes()).unwrap();
        assert_eq!(name.len(), limit::PATH_ELEMENT);
        assert!(name.ends_with("é.torrent"));
        let no_extension = clean_element("x".repeat(300).as_bytes()).unwrap();
        assert_eq!(no_extension.len(), limit::PATH_ELEMENT);
    }

    #[test]
    fn a_path_that_is_taken_gets_a_number() {
        let renamed = paths(&[&["foo", "bar.txt"], &["foo", "bar.txt"], &["foo", "bar.1.txt"], &["foo"]]);
        assert_eq!(renamed.unwrap(), ["foo/bar.txt", "foo/bar.1.txt", "foo/bar.1.1.txt", "foo.1"]);
        assert_eq!(paths(&[&["a"], &["a", "b"]]).unwrap(), ["a.1", "a/b"]);
        assert_eq!(paths(&[&[".."], &["", ""], &["/", "."]]).unwrap(), ["_.1", "_/_", "_/_.1"]);
    }

    #[test]
    fn clashes_beyond_the_limit_are_refused_at_once() {
        let many = vec![&["same"][..]; limit::DUPLICATE_PATHS + 1];
        assert_eq!(paths(&many).unwrap().len(), limit::DUPLICATE_PATHS + 1);
        let too_many = vec![&["same"][..]; 100_000];
        assert_eq!(paths(&too_many), Err(MetainfoError::TooManyDuplicates));
    }

    #[test]
    fn deep_and_long_paths_are_refused() {
        assert!(paths(&[&["d"; limit::PATH_DEPTH + 1]]).is_ok());
        assert_eq!(
            paths(&[&["x"], &["d"; limit::PATH_DEPTH + 2]]),
            Err(MetainfoError::PathTooDeep { number: 2 })
        );
        let long = "x".repeat(200);
        assert_eq!(paths(&[&[long.as_str(); 50]]), Err(MetainfoError::PathTooLong { number: 1 }));
    }

    #[test]
    fn a_part_name_that_is_payload_is_known() {
        let raw: [&[&[u8]]; 4] = [&[b"d", b"a"], &[b"d", b"a.part"], &[b"d", b"b"], &[b"a.part"]];
        let safe = SafePaths::of(raw.into_iter()).unwrap();
        let free: Vec<bool> = safe.iter().map(|safe| safe.part_name_is_free).collect();
        assert_eq!(free, [false, true, true, true]);
    }

    proptest! {
        #[test]
        fn paths_always_differ_and_stay_inside(
            raw in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(prop::sample::select(b"./\\ab1\xe2\x80\x8e".to_vec()), 0..4), 0..4),
                0..30,
            ),
        ) {
            let borrowed: Vec<Vec<&[u8]>> =
                raw.iter().map(|path| path.iter().map(Vec::as_slice).collect()).collect();
            let safe = SafePaths::of(borrowed.iter().map(Vec::as_slice)).unwrap();
            prop_assert_eq!(safe.len(), raw.len());
            let all: std::collections::BTreeSet<&str> = safe.iter().map(|safe| safe.path.as_str()).collect();
            prop_assert_eq!(all.len(), raw.len());
            for path in &all {
                prop_assert!(path.split('/').all(|element| !matches!(element, "" | "." | "..")));
                let mut prefix = *path;
                while let Some((parent, _)) = prefix.rsplit_once('/') {
                    prop_assert!(!all.contains(parent), "{} is file and folder", parent);
                    prefix = parent;
                }
            }
        }
    }
}
