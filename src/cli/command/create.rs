//! `create`: makes a torrent of a file or a folder.
//!
//! Looks through the folder, names what cannot go in, hashes, and writes the torrent to a file that was not
//! there before. A file that changes meanwhile, or cannot be read, is an error: no torrent is better than one
//! that nobody can complete.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::download::catch;
use super::hashing::Hashing;
use super::{on_screen, written};
use crate::base::file_map::FileMap;
use crate::base::hash::Sha1Hash;
use crate::base::layout::Layout;
use crate::base::limit;
use crate::base::size::size;
use crate::cli::args::CreateArgs;
use crate::cli::env::Env;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::new_file::NewFile;
use crate::cli::output::escape::{escape, escape_bytes};
use crate::cli::output::{Screen, format};
use crate::metainfo::create::{self, Content, Draft, DraftFile};
use crate::metainfo::safe_path::{SafePaths, is_kept};
use crate::metainfo::{Metainfo, MetainfoError};
use crate::runtime::disk::special_file::what_is;
use crate::runtime::hash_files::tree::{self, Tree, TreeFile};
use crate::runtime::hash_files::{Payload, Source, Strictness};

/// Paths of one kind that are named; of more only the number is told.
const NAMED: usize = 20;
/// What the lengths in a torrent take at most when they get longer, bytes.
const LENGTHS: u64 = 32;

/// Runs the command.
pub fn create(args: &CreateArgs, env: Env) -> ExitCode {
    on_screen(args, &args.output_flags, env, run)
}

fn run(args: &CreateArgs, env: &mut Env, screen: &Screen) -> Result<(), CliError> {
    if args.v2 || args.hybrid {
        let flag = if args.v2 { "--v2" } else { "--hybrid" };
        return Err(
            CliError::usage(format!("{flag} is not built yet")).with_hint("without it, version 1 is made")
        );
    }
    let content = find(args, &env.dir)?;
    // From here on there may be something to tidy up.
    let interrupts = catch(env.catches_signals)?;
    let output = Output::of(args, &env.dir, &content.name)?;
    content.check(screen)?;
    let shown = escape(&content.name);
    let piece_length = args.piece_length.unwrap_or_else(|| create::piece_length(content.total()));
    content.require_short(&draft(args, &content, piece_length, Vec::new()))?;
    let (file_map, layout) = content.geometry(piece_length)?;
    let total = file_map.total();
    let sources = content.files.iter().map(|file| Source::File { path: file.path.clone(), seen: file.seen });
    // It would be a pity to hear of that after an hour.
    let undigested = vec![Sha1Hash::default(); layout.piece_count() as usize];
    parsed(&draft(args, &content, piece_length, undigested).to_bytes(), &shown)?;
    let payload = Payload::open(&content.dir, sources.collect(), file_map, layout, Strictness::Strict)
        .map_err(|error| unreadable(&content.dir, &error))?;
    let (threads, name) = (args.check_threads.0, shown.clone());
    let hashing = Hashing { payload, threads, name, what: "hashing", total, interrupts };
    let (hashed, speed) = hashing.run(screen)?;
    let digests: Option<Vec<Sha1Hash>> = hashed.digests.into_iter().collect();
    let digests =
        digests.ok_or_else(|| CliError::new(ExitCode::Error, format!("{shown}: not all was read")))?;
    let bytes = draft(args, &content, piece_length, digests).to_bytes();
    let made = parsed(&bytes, &shown)?;
    let place = output.shown();
    output.write(&bytes, env)?;
    let pieces = format::count(made.layout.piece_count() as usize, "piece");
    let hash = made.info_hashes.wire();
    let length = size(piece_length.into());
    screen.say(&format!("{place}: {shown}, {hash}, {pieces} of {length}, {speed}"));
    Ok(())
}

fn parsed(bytes: &[u8], shown: &str) -> Result<Metainfo, CliError> {
    Metainfo::from_bytes(bytes).map_err(|error| {
        CliError::new(ExitCode::Error, format!("{shown}: the torrent would be refused: {error}"))
    })
}

fn draft(args: &CreateArgs, content: &Found, piece_length: u32, digests: Vec<Sha1Hash>) -> Draft {
    let since_1970 =
        || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok().map(|time| time.as_secs());
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Draft {
        name: content.name.clone(),
        content: content.content(),
        piece_length,
        digests,
        trackers: args.trackers.iter().map(|tier| tier.0.clone()).collect(),
        web_seeds: args.web_seeds.clone(),
        is_private: args.private,
        source: text(&args.source),
        comment: text(&args.comment),
        created_by: (!args.reproducible).then(|| format!("btget/{}", env!("CARGO_PKG_VERSION"))),
        creation_date: if args.reproducible { None } else { since_1970() },
    }
}

/// What goes into the torrent.
struct Found {
    name: String,
    /// The folder that the files' paths start from.
    dir: PathBuf,
    is_folder: bool,
    files: Vec<TreeFile>,
    tree: Tree,
}

fn find(args: &CreateArgs, dir: &Path) -> Result<Found, CliError> {
    let given = dir.join(&args.path);
    // The person may well name a link; those below are another matter.
    let real = given.canonicalize().map_err(|error| unreadable(&args.path, &error))?;
    let metadata = real.metadata().map_err(|error| unreadable(&args.path, &error))?;
    let name = args.path.file_name().or(real.file_name());
    let name = name.ok_or_else(|| CliError::usage(format!("{} has no name to use", shown(&args.path))))?;
    let name = name.to_str().ok_or_else(|| not_utf8(&args.path))?.to_owned();
    if metadata.is_dir() {
        let is_excluded =
            |path: &Path| args.exclude.iter().any(|glob| glob.matches(path.as_os_str().as_encoded_bytes()));
        let mut tree = tree::walk(&real, &is_excluded);
        let files = std::mem::take(&mut tree.files);
        return Ok(Found { name, dir: real, is_folder: true, files, tree });
    }
    if !metadata.is_file() {
        let error = format!("{} is {}, neither a file nor a folder", shown(&args.path), what_is(&metadata));
        return Err(CliError::new(ExitCode::Io, error));
    }
    tree::require_readable(&real, &metadata).map_err(|error| unreadable(&args.path, &error))?;
    let (folder, file) = real.parent().zip(real.file_name()).unwrap_or((Path::new("/"), OsStr::new("")));
    let files = vec![TreeFile::new(file.into(), &metadata)];
    Ok(Found { name, dir: folder.to_owned(), is_folder: false, files, tree: Tree::default() })
}

impl Found {
    fn total(&self) -> u64 {
        self.files.iter().fold(0, |total, file| total.saturating_add(file.seen.length))
    }

    /// Names what is left out; an error when something can't go in and isn't meant to be left out.
    fn check(&self, screen: &Screen) -> Result<(), CliError> {
        let skipped = self.tree.skipped.iter().map(|(path, kind)| format!("{}: {kind}", shown(path)));
        name_some(screen, "left out", skipped);
        if !self.tree.faults.is_empty() {
            let faults = self.tree.faults.iter();
            let inside = |path: &Path| shown(&self.dir.join(path));
            if self.tree.faults.len() > 1 {
                let faults = faults.map(|(path, error)| format!("{}: {error}", inside(path)));
                name_some(screen, "unreadable", faults);
            }
            let (first, reason) = &self.tree.faults[0];
            let others = match self.tree.faults.len() - 1 {
                0 => String::new(),
                1 => ", nor can one more file or folder".to_owned(),
                others => format!(", nor can {others} more files or folders"),
            };
            let error = format!("{}: cannot be read{others}: {reason}", inside(first));
            return Err(CliError::new(ExitCode::Io, error)
                .with_hint("leave it out with --exclude, or make it readable"));
        }
        if let Some(file) = self.files.iter().find(|file| file.path.to_str().is_none()) {
            return Err(not_utf8(&file.path));
        }
        if self.total() == 0 {
            return Err(CliError::usage(format!("{}: there is no data in it", escape(&self.name))));
        }
        self.check_names(screen)
    }

    /// Warns of names under which other clients, or we, would not look for the files.
    fn check_names(&self, screen: &Screen) -> Result<(), CliError> {
        if !is_kept(&self.name) {
            let name = escape(&self.name);
            screen.warn(&format!("{name}: clients change this name, for it could do harm"));
        }
        if is_dots(OsStr::new(&self.name)) {
            screen.warn(&format!("{}: some clients refuse a torrent with this name", self.name));
        }
        if !self.is_folder {
            return Ok(());
        }
        let raw: Vec<Vec<&[u8]>> = self.files.iter().map(|file| parts(&file.path)).collect();
        let safe = SafePaths::of(raw.iter().map(Vec::as_slice)).map_err(|error| {
            let (MetainfoError::PathTooDeep { number } | MetainfoError::PathTooLong { number }) = error
            else {
                return CliError::usage(format!("{}: {error}", escape(&self.name)));
            };
            let path = self.files.get(number - 1).map(|file| shown(&file.path)).unwrap_or_default();
            CliError::usage(format!("{}: {error}: {path}", escape(&self.name)))
                .with_hint("leave it out with --exclude")
        })?;
        let changed =
            self.files.iter().zip(&safe).filter(|(file, safe)| file.path.to_str() != Some(&safe.path));
        let changed = changed.map(|(file, safe)| format!("{} to {}", shown(&file.path), escape(&safe.path)));
        name_some(screen, "clients change this name, for it could do harm", changed);
        let dots = self.files.iter().filter(|file| file.path.iter().any(is_dots));
        name_some(screen, "some clients refuse a torrent with this name", dots.map(|file| shown(&file.path)));
        Ok(())
    }

    /// An error when the torrent, which has no digests yet, would be longer than any that is taken.
    fn require_short(&self, draft: &Draft) -> Result<(), CliError> {
        let (total, rest) = (self.total(), draft.to_bytes().len() as u64 + LENGTHS);
        let is_short = |piece_length: u32| {
            let pieces = total.div_ceil(piece_length.into());
            let digests = pieces * Sha1Hash::LENGTH as u64;
            pieces <= u64::from(limit::PIECES) && rest + digests <= limit::TORRENT_FILE
        };
        if is_short(draft.piece_length) {
            return Ok(());
        }
        let longer = std::iter::successors(Some(draft.piece_length), |length| length.checked_mul(2));
        let works =
            longer.take_while(|length| *length <= limit::PIECE_LENGTH).find(|length| is_short(*length));
        let hint = match works {
            Some(length) if length < 1 << 20 => format!("this works: --piece-length {}K", length >> 10),
            Some(length) => format!("this works: --piece-length {}M", length >> 20),
            None => "make several torrents of it".to_owned(),
        };
        let error = format!(
            "{}: with pieces of {} the torrent would be longer than {}, more than is read again",
            escape(&self.name),
            size(draft.piece_length.into()),
            size(limit::TORRENT_FILE)
        );
        Err(CliError::usage(error).with_hint(hint))
    }

    fn geometry(&self, piece_length: u32) -> Result<(Arc<FileMap>, Arc<Layout>), CliError> {
        let too_large =
            || CliError::usage(format!("{}: that is too much for one torrent", escape(&self.name)));
        let lengths = self.files.iter().map(|file| (file.seen.length, false));
        let file_map = FileMap::new(lengths).ok_or_else(too_large)?;
        let layout = Layout::uniform(file_map.total(), piece_length).ok();
        let layout = layout.filter(|layout| layout.piece_count() <= limit::PIECES);
        let layout = layout.ok_or_else(too_large)?;
        Ok((Arc::new(file_map), Arc::new(layout)))
    }

    fn content(&self) -> Content {
        let text = |part: &OsStr| part.to_string_lossy().into_owned();
        let file = |file: &TreeFile| DraftFile {
            path: file.path.iter().map(text).collect(),
            length: file.seen.length,
            executable: file.executable,
        };
        match &self.files[..] {
            [only] if !self.is_folder => {
                Content::File { length: only.seen.length, executable: only.executable }
            }
            files => Content::Folder(files.iter().map(file).collect()),
        }
    }
}

/// Where the torrent goes.
enum Output {
    Stdout,
    File(NewFile),
}

impl Output {
    /// Begins the file before anything is read, so that what stands against it is said at once.
    fn of(args: &CreateArgs, dir: &Path, name: &str) -> Result<Output, CliError> {
        let path = match &args.output {
            Some(path) if path.as_os_str() == "-" => return Ok(Output::Stdout),
            Some(path) => dir.join(path),
            None => dir.join(format!("{name}.torrent")),
        };
        NewFile::create(&path).map(Output::File).map_err(|error| not_written(&path, &error))
    }

    fn write(self, bytes: &[u8], env: &mut Env) -> Result<(), CliError> {
        match self {
            Output::Stdout => written(env.stdout.write_all(bytes).and_then(|()| env.stdout.flush())),
            Output::File(file) => {
                let path = file.path().to_owned();
                file.write(bytes).map_err(|error| not_written(&path, &error))
            }
        }
    }

    fn shown(&self) -> String {
        match self {
            Output::Stdout => "standard output".to_owned(),
            Output::File(file) => shown(file.path()),
        }
    }
}

/// The error for a torrent that could not be written to `path`.
pub(super) fn not_written(path: &Path, error: &std::io::Error) -> CliError {
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => is_there(path),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            CliError::new(ExitCode::DiskFull, format!("{}: {error}", shown(path)))
        }
        _ => CliError::new(ExitCode::Io, format!("{}: {error}", shown(path))),
    }
}

fn is_there(path: &Path) -> CliError {
    let kind = path.metadata().ok().filter(|metadata| !metadata.is_file()).map(|metadata| what_is(&metadata));
    if let Some(kind) = kind {
        return CliError::new(ExitCode::Exists, format!("{} is {kind}", shown(path)))
            .with_hint("name a file that is not there yet, or - for standard output");
    }
    CliError::new(ExitCode::Exists, format!("{} is there already", shown(path)))
        .with_hint("choose another name with --output, or remove it first")
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(ExitCode::Io, format!("{}: {error}", shown(path)))
}

fn not_utf8(path: &Path) -> CliError {
    CliError::new(ExitCode::Io, format!("{}: a torrent's names are UTF-8, and this one is not", shown(path)))
        .with_hint("rename it, or leave it out with --exclude")
}

/// Whether a name is of dots only, and none of those that every folder has.
fn is_dots(name: &OsStr) -> bool {
    name.as_encoded_bytes().iter().all(|byte| *byte == b'.')
}

/// Names the first, or with `-v` all.
fn name_some(screen: &Screen, why: &str, what: impl Iterator<Item = String>) {
    let mut what = what;
    let named = if screen.verbose() > 0 { usize::MAX } else { NAMED };
    what.by_ref().take(named).for_each(|what| screen.warn(&format!("{why}: {what}")));
    match what.count() {
        0 => {}
        more => screen.warn(&format!("{why}: {more} more; -v names all")),
    }
}

fn parts(path: &Path) -> Vec<&[u8]> {
    path.iter().map(OsStr::as_encoded_bytes).collect()
}

fn shown(path: &Path) -> String {
    escape_bytes(path.as_os_str().as_encoded_bytes())
}
