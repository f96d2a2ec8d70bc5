//! `verify`: compares files with a torrent and changes nothing.
//!
//! Every file gets a word: ok, missing, short, long, bad, unproven (the torrent's pieces run on across files, and
//! the neighbour that shares a piece is not whole), unreadable. Files that are still called `.part` count
//! under that name.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::download::catch;
use super::hashing::Hashing;
use super::{torrent, written};
use crate::base::hash::{PieceHash, Sha1Hash};
use crate::base::index::FileIndex;
use crate::base::size::size;
use crate::cli::args::VerifyArgs;
use crate::cli::env::Env;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::Screen;
use crate::cli::output::escape::{escape, escape_bytes, escape_sentence};
use crate::cli::output::json_text::to_json;
use crate::cli::torrent_file;
use crate::metainfo::Metainfo;
use crate::runtime::disk::names_on_disk;
use crate::runtime::hash_files::locate::{Located, Place};
use crate::runtime::hash_files::{Hashed, Payload, Source, Strictness};

/// Stretches of a file that are listed for people; scripts get all.
const LISTED: usize = 20;

/// Runs the command.
pub fn verify(args: &VerifyArgs, mut env: Env) -> ExitCode {
    let screen = Screen::new(env.stderr.clone(), env.stderr_is_terminal, env.no_color, &args.output);
    match run(args, &mut env, &screen) {
        Ok(code) => code,
        Err(error) => {
            screen.error(&error);
            error.code
        }
    }
}

fn run(args: &VerifyArgs, env: &mut Env, screen: &Screen) -> Result<ExitCode, CliError> {
    let metainfo = torrent(&args.file, env)?;
    let shown = escape(&metainfo.name);
    if metainfo.info_hashes.v1.is_none() {
        let error = format!("{shown}: a torrent of version 2 alone cannot be verified yet");
        return Err(CliError::new(ExitCode::BadTorrent, error));
    }
    let (place, mut located) = locate(&metainfo, places(&metainfo, args, &env.dir)?)?;
    if !located.is_any_there() {
        let dir = escape_bytes(place.dir.as_os_str().as_encoded_bytes());
        screen.warn(&format!("{shown}: none of its files is in {dir}"));
    }
    let total = metainfo.file_map.total();
    let (file_map, layout) = (Arc::new(metainfo.file_map.clone()), Arc::new(metainfo.layout.clone()));
    let payload = Payload::open(&place.dir, located.sources.clone(), file_map, layout, Strictness::Lenient);
    let (hashed, speed) = match payload {
        // Nothing is there, not even a folder: no need to hash.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (Hashed::default(), "nothing was read".to_owned())
        }
        Err(error) => return Err(unreadable(&place.dir, &error)),
        Ok(payload) => {
            let (threads, interrupts) = (args.check_threads.0, catch(env.catches_signals)?);
            let name = shown.clone();
            let hashing = Hashing { payload, threads, name, what: "verifying", total, interrupts };
            hashing.run(screen)?
        }
    };
    for (index, now) in &hashed.shorter {
        if let Source::File { seen, .. } = &mut located.sources[index.index()] {
            *seen = *now;
        }
    }
    let mut faults: BTreeMap<FileIndex, io::Error> = hashed.faults;
    faults.extend(located.faults.into_iter().map(|(index, error)| (FileIndex(index as u32), error)));
    let report = Report::new(&metainfo, &place, &located.sources, &hashed.digests, &faults);
    let text = if args.json { to_json(&report) + "\n" } else { report.text(args.output.quiet > 0) };
    written(env.stdout.write_all(text.as_bytes()).and_then(|()| env.stdout.flush()))?;
    let right = format!("{} of {} pieces are right", report.pieces_right, report.num_pieces);
    screen.say(&format!("{shown}: {right}, {speed}"));
    Ok(report.code())
}

/// Where the files may be, in the order of preference. What the person names must be there, and may be a link.
fn places(metainfo: &Metainfo, args: &VerifyArgs, dir: &Path) -> Result<Vec<Place>, CliError> {
    let below = |dir: PathBuf, safe: Vec<PathBuf>, makers: Option<Vec<PathBuf>>| {
        let makers = makers.and_then(|makers| names_on_disk(&dir, &safe, makers));
        let paths = metainfo.files.iter().zip(makers.unwrap_or(safe));
        Place { dir, paths: paths.map(|(file, path)| file.is_written().then_some(path)).collect() }
    };
    let makers = metainfo.makers_names.as_ref();
    let downloads = |dir: PathBuf| {
        let safe = metainfo.files.iter().map(|file| metainfo.path_of(file).into()).collect();
        below(dir, safe, makers.map(|names| names.paths_with_folder().map(PathBuf::from).collect()))
    };
    let inside = |dir: PathBuf| {
        let safe = metainfo.files.iter().map(|file| file.path.clone().into()).collect();
        below(dir, safe, makers.map(|names| names.paths().map(PathBuf::from).collect()))
    };
    let Some(path) = args.path.as_ref().map(|path| dir.join(path)) else {
        let own = dir.join(&args.file).parent().map(Path::to_owned);
        return Ok([Some(dir.to_owned()), own].into_iter().flatten().map(downloads).collect());
    };
    if path.is_dir() {
        let own = metainfo.has_folder.then(|| inside(path.clone()));
        return Ok([Some(downloads(path)), own].into_iter().flatten().collect());
    }
    let path = match path.canonicalize() {
        Ok(path) => path,
        // A file that is not finished may be there under its other name.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !metainfo.has_folder => {
            let mut part = path.clone().into_os_string();
            part.push(".part");
            if !Path::new(&part).is_file() {
                return Err(unreadable(&path, &error));
            }
            path
        }
        Err(error) => return Err(unreadable(&path, &error)),
    };
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    if metainfo.has_folder {
        let error = format!("{}: is a file, and this torrent is a folder", torrent_file::shown(&path));
        let hint =
            format!("name the folder {}, or the one that it was downloaded into", escape(&metainfo.name));
        return Err(CliError::new(ExitCode::Io, error).with_hint(hint));
    }
    Ok(vec![below(folder, vec![name; metainfo.files.len()], None)])
}

/// The place where most bytes are in files of the right length, or else in any; of equals the first.
fn locate(metainfo: &Metainfo, places: Vec<Place>) -> Result<(Place, Located), CliError> {
    let lengths: Vec<u64> = metainfo.files.iter().map(|file| file.length).collect();
    let mut best: Option<(_, Place, Located)> = None;
    let mut refused = None;
    for place in places {
        let located = match place.look() {
            Ok(located) => located,
            Err(error) => {
                refused.get_or_insert_with(|| unreadable(&place.dir, &error));
                continue;
            }
        };
        let worth = (located.bytes_there(&lengths), located.is_any_there());
        if best.as_ref().is_none_or(|(best, ..)| worth > *best) {
            best = Some((worth, place, located));
        }
    }
    match (best, refused) {
        (Some(((_, true), place, located)), _) => Ok((place, located)),
        (_, Some(refused)) => Err(refused),
        (Some((_, place, located)), None) => Ok((place, located)),
        (None, None) => {
            let error = format!("{}: there is no place to look at", escape(&metainfo.name));
            Err(CliError::usage(error))
        }
    }
}

/// What `verify --json` prints. A published format: fields are added, never renamed or taken away.
#[derive(Serialize)]
struct Report {
    name: String,
    info_hash: Option<String>,
    info_hash_v2: Option<String>,
    /// Where the files were looked for.
    dir: String,
    complete: bool,
    num_pieces: u32,
    pieces_right: usize,
    files: Vec<FileReport>,
}

#[derive(Serialize)]
struct FileReport {
    /// As in the torrent.
    path: String,
    length: u64,
    status: Status,
    /// Bytes that are there; more than `length` when the file is too long.
    found: Option<u64>,
    /// Stretches that are not as they should be, or can't be told.
    bad: Vec<Stretch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Missing,
    Short,
    /// All that should be there is right, and more follows.
    Long,
    Bad,
    Unproven,
    Unreadable,
}

/// Bytes of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
struct Stretch {
    offset: u64,
    length: u64,
}

/// What is known of a file's pieces.
#[derive(Default)]
struct Pieces {
    not_right: Vec<Stretch>,
    has_wrong: bool,
}

impl Report {
    fn new(
        metainfo: &Metainfo,
        place: &Place,
        sources: &[Source],
        digests: &[Option<Sha1Hash>],
        faults: &BTreeMap<FileIndex, io::Error>,
    ) -> Report {
        let mut files: Vec<Pieces> = metainfo.files.iter().map(|_| Pieces::default()).collect();
        let mut pieces_right = 0;
        for piece in metainfo.layout.pieces() {
            let found = digests.get(piece.index()).copied().flatten();
            let is_right = match (metainfo.piece_hashes.of(piece), found) {
                (PieceHash::V1(wanted), Some(found)) => wanted == found,
                _ => false,
            };
            if is_right {
                pieces_right += 1;
                continue;
            }
            for slice in metainfo.file_map.slices(metainfo.layout.piece_range(piece)) {
                let pieces = &mut files[slice.file.index()];
                pieces.has_wrong |= found.is_some();
                pieces.add(slice.offset..slice.offset + slice.length);
            }
        }
        let entries = metainfo.files.iter().zip(sources).zip(files).enumerate();
        let files: Vec<FileReport> = entries
            .filter(|(_, ((file, _), _))| file.is_written())
            .map(|(index, ((file, source), pieces))| {
                let error = faults.get(&FileIndex(index as u32));
                FileReport::new(metainfo.path_of(file), file.length, source, pieces, error)
            })
            .collect();
        Report {
            name: metainfo.name.clone(),
            info_hash: metainfo.info_hashes.v1.map(|hash| hash.to_string()),
            info_hash_v2: metainfo.info_hashes.v2.map(|hash| hash.to_string()),
            dir: place.dir.to_string_lossy().into_owned(),
            complete: files.iter().all(|file| file.status == Status::Ok),
            num_pieces: metainfo.layout.piece_count(),
            pieces_right,
            files,
        }
    }

    fn text(&self, is_quiet: bool) -> String {
        let files = self.files.iter().filter(|file| !is_quiet || file.status != Status::Ok);
        files.map(FileReport::text).collect()
    }

    /// Data that is known to be wrong outweighs files that can't be read.
    fn code(&self) -> ExitCode {
        let has = |wanted: &[Status]| self.files.iter().any(|file| wanted.contains(&file.status));
        match () {
            () if has(&[Status::Missing, Status::Short, Status::Long, Status::Bad]) => ExitCode::Corrupt,
            () if has(&[Status::Unreadable]) => ExitCode::Io,
            () if has(&[Status::Unproven]) => ExitCode::Corrupt,
            () => ExitCode::Ok,
        }
    }
}

impl Pieces {
    /// Adds a stretch that follows all others, or continues the last.
    fn add(&mut self, range: Range<u64>) {
        let length = range.end - range.start;
        match self.not_right.last_mut() {
            Some(last) if last.offset + last.length == range.start => last.length += length,
            _ => self.not_right.push(Stretch { offset: range.start, length }),
        }
    }
}

impl FileReport {
    fn new(
        path: String,
        length: u64,
        source: &Source,
        pieces: Pieces,
        error: Option<&io::Error>,
    ) -> FileReport {
        let found = match source {
            Source::File { seen, .. } => Some(seen.length),
            Source::Absent | Source::Zeros => None,
        };
        let status = match found {
            _ if error.is_some() => Status::Unreadable,
            None => Status::Missing,
            Some(found) if found < length => Status::Short,
            Some(_) if pieces.has_wrong => Status::Bad,
            Some(_) if !pieces.not_right.is_empty() => Status::Unproven,
            Some(found) if found > length => Status::Long,
            Some(_) => Status::Ok,
        };
        let error = error.map(|error| error.to_string());
        FileReport { path, length, status, found, bad: pieces.not_right, error }
    }

    fn text(&self) -> String {
        let (word, remark) = match (self.status, self.found) {
            (Status::Long, found) => {
                let more = found.unwrap_or(0).saturating_sub(self.length);
                ("long", format!("  {} longer than it should be", size(more)))
            }
            (Status::Ok, _) => ("ok", String::new()),
            (Status::Missing, _) => ("missing", String::new()),
            (Status::Short, found) => {
                ("short", format!("  {} of {} bytes", found.unwrap_or(0), self.length) + &self.stretches())
            }
            (Status::Bad, _) => ("bad", self.stretches()),
            (Status::Unproven, _) => ("unproven", self.stretches()),
            (Status::Unreadable, _) => {
                let error = self.error.as_deref().unwrap_or_default();
                ("unreadable", format!("  {}", escape_sentence(error)))
            }
        };
        format!("{word:<11}{}{remark}\n", escape(&self.path))
    }

    /// `  bytes 0-16383, 65536-81919`.
    fn stretches(&self) -> String {
        if self.bad.is_empty() {
            return String::new();
        }
        let shown = self.bad.iter().take(LISTED);
        let mut words: Vec<String> = shown
            .map(|stretch| format!("{}-{}", stretch.offset, stretch.offset + stretch.length - 1))
            .collect();
        if self.bad.len() > LISTED {
            words.push(format!("and {} more", self.bad.len() - LISTED));
        }
        format!("  bytes {}", words.join(", "))
    }
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    CliError::new(ExitCode::Io, format!("{}: {error}", escape_bytes(path.as_os_str().as_encoded_bytes())))
}
