//! The main form: downloads targets side by side in one client until each is complete or has failed.
//!
//! The engine decides everything about a torrent. Here is decided what a person's run is: which targets run
//! at a time, what is said, when to give up, and the exit code. `demo` runs the very same [`download`].

mod goals;
mod job;
mod patience;
mod run;
mod words;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::time::timeout;

use crate::base::address::Families;
use crate::base::time::Duration;
use crate::cli::args::DownloadArgs;
use crate::cli::args::value::HostPort;
use crate::cli::env::Env;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::interrupts::Interrupts;
use crate::cli::output::escape::{escape, escape_bytes};
use crate::cli::output::{Screen, log};
use crate::cli::settings::Settings;
use crate::cli::target::{Target, refused, targets};
use crate::cli::torrent_file::{self, TorrentFileError};
use crate::metainfo::Metainfo;
use crate::runtime::dns::Lookup;
use crate::wire::shown_url::without_secrets;

pub use run::download;

/// How long a peer's name may take to be looked up.
const LOOKUP: Duration = Duration::from_secs(10);

/// One target, as far as it is known before the run.
#[derive(Debug)]
pub struct Source {
    /// What to call it, escaped, as long as it has no name of its own.
    pub shown: String,
    /// The torrent, or where to get it.
    pub content: Content,
    /// The folder that its torrent file lies in: what is seeded may be there too.
    pub folder: Option<PathBuf>,
}

/// The torrent of a target.
#[derive(Debug)]
pub enum Content {
    /// Here it is.
    Torrent(Box<Metainfo>),
    /// To be fetched from this URL.
    Url(String),
    /// It cannot be had.
    Refused(CliError),
}

/// Runs the main form.
pub fn main_form(args: &DownloadArgs, mut env: Env) -> ExitCode {
    let screen = Screen::new(env.stderr, env.stderr_is_terminal, env.no_color, &args.output);
    log::init(&screen);
    let prepared = targets(&args.targets, &env.dir, &mut *env.stdin).and_then(|targets| {
        let settings = Settings::new(args, &env.dir, env.state_home.as_deref(), targets.len())?;
        Ok((settings, targets.into_iter().map(|target| source(target, &env.dir)).collect()))
    });
    let run = prepared.and_then(|(settings, sources)| {
        in_runtime(async {
            let mut interrupts = catch(env.catches_signals)?;
            download(settings, sources, &screen, &mut interrupts).await
        })
    });
    run.unwrap_or_else(|error| {
        screen.error(&error);
        error.code
    })
}

/// Runs `future` to its end on this thread.
pub fn in_runtime<T>(future: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CliError::cannot_start(ExitCode::Error, &error, &error))?.block_on(future)
}

/// See [`Interrupts::catch`].
pub fn catch(is_caught: bool) -> Result<Interrupts, CliError> {
    Interrupts::catch(is_caught).map_err(|error| CliError::cannot_start(ExitCode::Error, &error, &error))
}

fn source(target: Target, dir: &Path) -> Source {
    let loaded = |shown: String, metainfo: Result<Metainfo, TorrentFileError>| {
        let content = metainfo
            .map_err(|error| refused(&error))
            .map_or_else(Content::Refused, |metainfo| Content::Torrent(Box::new(metainfo)));
        Source { shown, content, folder: None }
    };
    match target {
        Target::Url(url) => {
            Source { shown: escape(&without_secrets(&url)), content: Content::Url(url), folder: None }
        }
        Target::Bytes(bytes) => loaded("-".to_owned(), torrent_file::parse(&bytes, "-")),
        Target::File(path) => {
            let shown = path.strip_prefix(dir).unwrap_or(&path);
            let shown = escape_bytes(shown.as_os_str().as_encoded_bytes());
            let folder = path.parent().map(Path::to_owned);
            Source { folder, ..loaded(shown, torrent_file::load(&path)) }
        }
    }
}

/// The addresses of the peers that the person named, of the families in use; a peer that has none is warned of.
async fn look_up(peers: &[HostPort], families: Families, screen: &Screen) -> Vec<SocketAddr> {
    let lookup = Lookup::default();
    let mut addresses = Vec::new();
    for peer in peers {
        let found = match peer.host.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => match timeout(LOOKUP, lookup.addresses(&peer.host)).await {
                Ok(found) => found.map_err(|error| error.to_string()),
                Err(_) => Err("looking it up took too long".to_owned()),
            },
        };
        let of_families = found.and_then(|mut found| {
            found.retain(|address| families.have(*address));
            let (wanted, flag) = if families.v4 { ("IPv4", "-4") } else { ("IPv6", "-6") };
            if found.is_empty() {
                Err(format!("it has no {wanted} address, and {flag} takes no other"))
            } else {
                Ok(found)
            }
        });
        match of_families {
            Ok(found) => addresses.extend(found.iter().map(|ip| SocketAddr::new(*ip, peer.port))),
            Err(why) => screen.warn(&format!("--peer {}: {why}", escape(&peer.host))),
        }
    }
    addresses
}
