//! Names as a torrent's maker had them, where they are not what we make of them: with backslashes, control or
//! invisible characters. Nothing is ever made under such a name, but data that goes by it is somebody's own, and found.
//!
//! Only what is one plain name on this system counts, element by element. Who looks for files under these names, and
//! opens what is there beneath the download folder, is the runtime.

use super::File;
use super::info_dict::RawFile;
use crate::base::limit;

/// The names of a torrent and its files, some of which differ from the safe ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MakersNames {
    name: String,
    has_folder: bool,
    /// By place in the file list; relative to the torrent's folder if it has one.
    paths: Vec<String>,
}

impl MakersNames {
    /// `None` when the maker had no others than `name` and those of `files`.
    pub(super) fn of(
        raw_name: &[u8],
        raw_files: &[RawFile<'_>],
        name: &str,
        has_folder: bool,
        files: &[File],
    ) -> Option<MakersNames> {
        let path = |(raw, file): (&RawFile<'_>, &File)| {
            let elements: Option<Vec<&str>> = raw.path.iter().map(|element| plain(element)).collect();
            let elements = elements.filter(|elements| file.is_written() && !elements.is_empty());
            elements.map_or_else(|| file.path.clone(), |elements| elements.join("/"))
        };
        let makers = plain(raw_name).unwrap_or(name);
        let differs = |(raw, file): (&RawFile<'_>, &File)| path((raw, file)) != file.path;
        if makers == name && !raw_files.iter().zip(files).any(differs) {
            return None;
        }
        let paths = raw_files.iter().zip(files).map(path).collect();
        Some(MakersNames { name: makers.to_owned(), has_folder, paths })
    }

    /// The files' paths, relative to the torrent's folder if it has one.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// The files' paths, relative to the download folder.
    pub fn paths_with_folder(&self) -> impl Iterator<Item = String> {
        let top = |path: &str| format!("{}/{path}", self.name);
        self.paths().map(move |path| if self.has_folder { top(path) } else { path.to_owned() })
    }
}

/// The element, if it can be the name of one file here.
fn plain(element: &[u8]) -> Option<&str> {
    let name = str::from_utf8(element).ok()?;
    let is_plain = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
    (is_plain && name.len() <= limit::PATH_ELEMENT).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_one_name_here_counts() {
        for name in ["back\\slash", "esc\x1b[2J", "turn\u{202e}ed", "...", " "] {
            assert_eq!(plain(name.as_bytes()), Some(name));
        }
        for no in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0", b"\xff", &[b'x'; limit::PATH_ELEMENT + 1]] {
            assert_eq!(plain(no), None, "{}", no.escape_ascii());
        }
    }
}
