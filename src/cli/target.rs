//! What a TARGET is: a file, a URL, or standard input; and what to say when it is none.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::args::COMMANDS;
use super::error::CliError;
use super::exit_code::ExitCode;
use super::output::escape::{escape, escape_bytes};
use super::torrent_file::{self, TorrentFileError};
use crate::metainfo::MetainfoError;

/// Entries of a folder that are looked at for a name like a mistyped one.
const LOOKED_AT: usize = 1_000;
/// What to do with a file that is to be shared.
const MAKE_ONE: &str = "btget create makes a torrent of a file or folder";
/// Targets of a list on standard input.
const LISTED: usize = 10_000;

/// Where a torrent comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A file.
    File(PathBuf),
    /// A file to be fetched over HTTP(S).
    Url(String),
    /// The torrent's own bytes, from standard input.
    Bytes(Vec<u8>),
}

/// The targets that `words` name; `-` is `stdin`: a torrent, or a list of targets, a line each.
pub fn targets(
    words: &[impl AsRef<OsStr>],
    dir: &Path,
    stdin: &mut dyn Read,
) -> Result<Vec<Target>, CliError> {
    let mut targets = Vec::new();
    let mut is_read = false;
    for word in words.iter().map(AsRef::as_ref) {
        if word != "-" {
            targets.push(target(word, dir)?);
            continue;
        }
        if std::mem::replace(&mut is_read, true) {
            return Err(CliError::usage("standard input is named twice"));
        }
        let bytes = torrent_file::read_bounded(&mut *stdin, "-").map_err(|error| refused(&error))?;
        if bytes.first() == Some(&b'd') {
            targets.push(Target::Bytes(bytes));
        } else {
            targets.extend(listed(&bytes, dir)?);
        }
    }
    if targets.is_empty() {
        return Err(CliError::usage("the list on standard input names no target"));
    }
    Ok(targets)
}

/// The error for a torrent that could not be read.
pub fn refused(error: &TorrentFileError) -> CliError {
    let code = match error {
        TorrentFileError::Io { .. } => ExitCode::Io,
        TorrentFileError::NotAFile { .. }
        | TorrentFileError::TooLarge { .. }
        | TorrentFileError::Refused { .. } => ExitCode::BadTorrent,
    };
    let refused = CliError::new(code, error.to_string());
    if is_something_else(error) { refused.with_hint(MAKE_ONE) } else { refused }
}

/// Whether what was read, or would have been, is another kind of file.
fn is_something_else(error: &TorrentFileError) -> bool {
    match error {
        TorrentFileError::TooLarge { input } => input != "-",
        TorrentFileError::Refused { input, error } => {
            let is_none = matches!(
                error,
                MetainfoError::Bencode(_) | MetainfoError::NotDictionary | MetainfoError::NoInfo
            );
            is_none && input != "-" && !input.ends_with(".torrent")
        }
        TorrentFileError::Io { .. } | TorrentFileError::NotAFile { .. } => false,
    }
}

fn listed(bytes: &[u8], dir: &Path) -> Result<Vec<Target>, CliError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| CliError::usage("standard input is neither a torrent nor a list of targets"))?;
    let words = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let targets: Vec<Target> =
        words.take(LISTED + 1).map(|word| target(OsStr::new(word), dir)).collect::<Result<_, _>>()?;
    if targets.len() > LISTED {
        return Err(CliError::usage(format!("the list on standard input has more than {LISTED} targets")));
    }
    Ok(targets)
}

fn target(word: &OsStr, dir: &Path) -> Result<Target, CliError> {
    if word.is_empty() {
        return Err(CliError::usage("a target is empty: name a .torrent file or the URL of one"));
    }
    let text = word.to_string_lossy();
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("magnet") => return Err(CliError::usage("magnet links are not supported yet")),
        Some("http" | "https") => return url(&text),
        _ => {}
    }
    let path = dir.join(word);
    let shown = escape_bytes(word.as_encoded_bytes());
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => {
            let error = CliError::usage(format!("{shown} is a folder, not a torrent file"));
            Err(error.with_hint(MAKE_ONE))
        }
        Ok(_) => Ok(Target::File(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(unknown(&text, &path, &shown)),
        Err(error) => Err(CliError::new(ExitCode::Io, format!("{shown}: {error}"))),
    }
}

fn url(text: &str) -> Result<Target, CliError> {
    match url::Url::parse(text) {
        Ok(url) if url.has_host() => Ok(Target::Url(text.to_owned())),
        Ok(_) => Err(CliError::usage(format!("{}: the URL names no host", escape(text)))),
        Err(error) => Err(CliError::usage(format!("{}: {error}", escape(text)))),
    }
}

fn unknown(text: &str, path: &Path, shown: &str) -> CliError {
    if is_info_hash(text) {
        return CliError::usage(format!("{shown}: info-hashes are not supported yet"))
            .with_hint("name a .torrent file");
    }
    let error = CliError::usage(format!("{shown}: there is no such file or command"));
    if COMMANDS.contains(&text) {
        return error.with_hint(format!("a command comes first: btget {text} ..."));
    }
    match nearest(text, COMMANDS.iter().map(|name| (*name).to_owned())).or_else(|| file_like(path)) {
        Some(name) => error.with_hint(format!("did you mean {}?", escape(&name))),
        None => error.with_hint("btget --help says what can be given"),
    }
}

fn is_info_hash(text: &str) -> bool {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_base32 = text.bytes().all(|byte| matches!(byte.to_ascii_uppercase(), b'A'..=b'Z' | b'2'..=b'7'));
    matches!(text.len(), 40 | 64) && is_hex || text.len() == 32 && is_base32
}

/// A torrent in the folder of `path` whose name is almost that of `path`.
fn file_like(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let entries = std::fs::read_dir(path.parent()?).ok()?.take(LOOKED_AT).filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    nearest(name, names.filter(|name| name.ends_with(".torrent")))
}

/// The candidate nearest to `word`, if it is near.
fn nearest(word: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let near = (word.chars().count() / 2).clamp(1, 3);
    let distances = candidates.map(|candidate| (distance(word, &candidate), candidate));
    distances.filter(|(distance, _)| *distance <= near).min().map(|(_, candidate)| candidate)
}

/// Letters to insert, take out or exchange to make one word of the other. Long words are not compared.
fn distance(one: &str, other: &str) -> usize {
    const LONGEST: usize = 256;
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len().max(other.len()) > LONGEST {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let exchanged = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(word: &str, dir: &Path) -> String {
        let error = targets(&[word], dir, &mut std::io::empty()).unwrap_err();
        assert_eq!(error.code, ExitCode::Usage, "{error}");
        error.to_string()
    }

    #[test]
    fn a_word_that_is_nothing_gets_a_suggestion() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        std::fs::write(dir.join("ubuntu.torrent"), b"d").unwrap();
        assert!(refusal("shwo", dir).contains("did you mean show?"));
        assert!(refusal("demos", dir).contains("did you mean demo?"));
        assert!(refusal("ubunut.torrent", dir).contains("did you mean ubuntu.torrent?"));
        assert!(refusal("something-else", dir).contains("--help"));
        assert!(refusal("show", dir).contains("a command comes first"));
        assert!(refusal(".", dir).contains("is a folder"));
        assert!(refusal("", dir).contains("a target is empty"));
        assert!(refusal("a\x1b[2Jb", dir).contains("a\\x1b[2Jb"));
    }

    #[test]
    fn whoever_names_the_data_itself_is_told_how_a_torrent_is_made_of_it() {
        let hint = |bytes: &[u8], input| refused(&torrent_file::parse(bytes, input).unwrap_err()).hint;
        for bytes in [&b"a film"[..], b"", b"le", b"de"] {
            assert!(hint(bytes, "film.mkv").is_some_and(|hint| hint.contains("btget create")), "{bytes:?}");
            assert_eq!(hint(bytes, "film.torrent"), None);
        }
        assert_eq!(hint(b"d4:infodee", "film"), None, "that is a torrent, if a bad one");
    }

    #[test]
    fn what_is_still_to_come_says_so() {
        let dir = Path::new("/nowhere");
        let hash = "0123456789abcdef0123456789abcdef01234567";
        for word in ["magnet:?xt=urn:btih:x", "MAGNET:?x", hash, &"A2".repeat(16)] {
            assert!(refusal(word, dir).contains("not supported yet"), "{word}");
        }
        assert!(refusal("http://", dir).contains("empty host"));
    }

    #[test]
    fn standard_input_is_a_torrent_or_a_list() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        std::fs::write(dir.join("a"), b"d").unwrap();
        let read = |input: &[u8]| targets(&["-"], dir, &mut &input[..]);
        assert_eq!(read(b"d4:infodee"), Ok(vec![Target::Bytes(b"d4:infodee".to_vec())]));
        let list = b"# mine\n\n a \r\nhttps://example.org/x.torrent\n";
        let expected =
            vec![Target::File(dir.join("a")), Target::Url("https://example.org/x.torrent".to_owned())];
        assert_eq!(read(list), Ok(expected));
        for bad in [&b""[..], b"# only\n", b"\xff\xfe", b"nosuchfile\n"] {
            assert_eq!(read(bad).unwrap_err().code, ExitCode::Usage, "{bad:?}");
        }
        assert!(targets(&["-", "-"], dir, &mut std::io::empty()).is_err());
    }

    #[test]
    fn distances_count_letters() {
        for (one, other, expected) in
            [("show", "show", 0), ("", "abc", 3), ("shwo", "show", 2), ("a", "b", 1)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
