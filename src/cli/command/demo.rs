//! `demo`: tracker, seed and download in one process, on loopback alone.
//!
//! Made-up data is written to a folder of its own, seeded by one client and downloaded by another through the
//! very path of the main form. Then both copies are compared byte by byte, and the folder goes away, whatever
//! happened before.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::download::{Content, Source, catch, download, in_runtime};
use super::written;
use crate::base::hash::Sha1Hash;
use crate::base::random::Rng;
use crate::base::rate::ByteRate;
use crate::base::size;
use crate::base::time::Duration;
use crate::cli::args::{DemoArgs, GivingUp, Seeding};
use crate::cli::env::Env;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::interrupts::Interrupts;
use crate::cli::output::{Screen, format, log};
use crate::cli::settings::Settings;
use crate::engine;
use crate::engine::notice::Notice;
use crate::engine::tracker_server::TrackerServerSettings;
use crate::hashing::{self, Run, RunningHash};
use crate::metainfo::Metainfo;
use crate::metainfo::create::{Content as Made, Draft};
use crate::runtime::client::{Client, ClientSettings, Listen, NewTorrent};
use crate::runtime::disk::{SyncPolicy, Target};
use crate::runtime::tracker_server::TrackerServer;

/// The file's name.
const NAME: &str = "demo.bin";
/// Bytes of a piece.
const PIECE_LENGTH: u32 = 1024 * 1024;
/// The most that is downloaded, bytes: it is on the disk twice.
const SIZE_MAX: u64 = 1 << 40;
/// What the seed gets to end.
const SHUT_DOWN: Duration = Duration::from_millis(500);

/// Runs the command.
pub fn demo(args: &DemoArgs, mut env: Env) -> ExitCode {
    let screen = Screen::new(env.stderr, env.stderr_is_terminal, env.no_color, &args.output);
    log::init(&screen);
    let run = in_runtime(async {
        let mut interrupts = catch(env.catches_signals)?;
        let folder = Folder::new().map_err(|error| CliError::new(ExitCode::Io, error.to_string()))?;
        run(args.size, &folder, &screen, &mut interrupts).await
    });
    let result = run.and_then(|outcome| match outcome {
        Outcome::Ended(code) => Ok(code),
        Outcome::Verified(time) => {
            let rate = ByteRate((args.size as f64 / time.as_secs_f64().max(0.001)) as u64);
            let (size, time, rate) = (size::size(args.size), format::span(time), format::rate(rate));
            let line = format!("demo: {size} in {time}, {rate}, every byte identical\n");
            written(env.stdout.write_all(line.as_bytes()).and_then(|()| env.stdout.flush()))?;
            Ok(ExitCode::Ok)
        }
    });
    result.unwrap_or_else(|error| {
        screen.error(&error);
        error.code
    })
}

enum Outcome {
    /// The download took this long, and what came is right.
    Verified(Duration),
    /// It did not come to that; all has been said.
    Ended(ExitCode),
}

async fn run(
    size: u64,
    folder: &Folder,
    screen: &Screen,
    interrupts: &mut Interrupts,
) -> Result<Outcome, CliError> {
    if size == 0 || size > SIZE_MAX {
        return Err(CliError::usage("--size must be more than 0 and at most 1T"));
    }
    screen.say(&format!("making {} of data in {}", size::size(size), folder.0.display()));
    let seed_folder = folder.0.join("seed");
    let digests = match in_background(interrupts, {
        let seed_folder = seed_folder.clone();
        move |stopped| generate(&seed_folder, size, stopped)
    })
    .await
    {
        Background::Done(digests) => digests.map_err(|error| disk_error(&error))?,
        Background::Stopped(code) => return Ok(Outcome::Ended(code)),
    };
    let tracker = match in_background(interrupts, |_| start_tracker()).await {
        Background::Done(tracker) => tracker.map_err(|error| {
            CliError::new(ExitCode::Network, format!("cannot start the tracker: {error}"))
        })?,
        Background::Stopped(code) => return Ok(Outcome::Ended(code)),
    };
    let metainfo = metainfo(size, digests, tracker.announce_url())?;
    let mut seed = Seed::start(&metainfo, seed_folder.clone())?;
    let is_ready = tokio::select! {
        is_ready = seed.ready() => is_ready,
        code = interrupts.stop() => return Ok(Outcome::Ended(code)),
    };
    if !is_ready {
        return Err(CliError::new(ExitCode::Error, "the demo's seed could not start"));
    }
    screen.say("downloading it from a seed that a tracker names, all on this machine");
    let settings = settings(folder.0.join("download"));
    let began = Instant::now();
    let content = Content::Torrent(Box::new(metainfo));
    let source = Source { shown: NAME.to_owned(), content, folder: None };
    let code = tokio::select! {
        code = download(settings.clone(), vec![source], screen, interrupts) => code?,
        () = seed.serve() => return Err(CliError::new(ExitCode::Error, "the demo's seed has ended")),
    };
    let time = began.elapsed();
    if code != ExitCode::Ok {
        return Ok(Outcome::Ended(code));
    }
    let (one, other) = (seed_folder.join(NAME), settings.disk.dir.join(NAME));
    let compared = in_background(interrupts, move |stopped| are_same(&one, &other, stopped)).await;
    seed.0.shut_down(SHUT_DOWN).await;
    match compared {
        Background::Stopped(code) => Ok(Outcome::Ended(code)),
        Background::Done(Ok(true)) => Ok(Outcome::Verified(time)),
        Background::Done(Ok(false)) => {
            Err(CliError::new(ExitCode::Error, "what was downloaded differs from what was seeded"))
        }
        Background::Done(Err(error)) => Err(disk_error(&error)),
    }
}

fn metainfo(size: u64, digests: Vec<Sha1Hash>, tracker: String) -> Result<Metainfo, CliError> {
    let draft = Draft {
        name: NAME.to_owned(),
        content: Made::File { length: size, executable: false },
        piece_length: PIECE_LENGTH,
        digests,
        trackers: vec![vec![tracker]],
        ..Draft::default()
    };
    Metainfo::from_bytes(&draft.to_bytes())
        .map_err(|error| CliError::new(ExitCode::Error, format!("the demo's torrent is refused: {error}")))
}

fn start_tracker() -> io::Result<TrackerServer> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    TrackerServer::start(address, TrackerServerSettings::default(), Rng::from_seed(rand::random()))
}

fn client_settings() -> ClientSettings {
    let engine = engine::settings::Settings::default();
    ClientSettings {
        ports: None,
        listen: Listen { v4: true, v6: false, loopback_only: true },
        check_threads: None,
        // What is made here goes away with the demo.
        state: None,
        sync: SyncPolicy::None,
        engine,
    }
}

fn settings(dir: PathBuf) -> Settings {
    Settings {
        client: client_settings(),
        disk: Target::new(dir),
        name: None,
        peers: Vec::new(),
        trackers: Vec::new(),
        giving_up: GivingUp::default(),
        seeding: Seeding::default(),
        active: 1,
    }
}

/// The client that has everything.
struct Seed(Client);

impl Seed {
    fn start(metainfo: &Metainfo, dir: PathBuf) -> Result<Seed, CliError> {
        let client = Client::start(client_settings())?;
        client.add(NewTorrent {
            metainfo: Arc::new(metainfo.clone()),
            target: Target { read_only: true, ..Target::new(dir) },
            output: None,
            peers: Vec::new(),
            trackers: Vec::new(),
            seed_only: true,
            super_seed: false,
        });
        Ok(Seed(client))
    }

    /// Waits until it has checked its data and told the tracker; false if that fails.
    async fn ready(&mut self) -> bool {
        let (mut is_complete, mut is_announced) = (false, false);
        while !(is_complete && is_announced) {
            match self.0.notice().await {
                Some(Notice::Complete { .. }) => is_complete = true,
                Some(Notice::TrackerAnswered { .. }) => is_announced = true,
                Some(Notice::Failed { .. }) | None => return false,
                Some(_) => {}
            }
        }
        true
    }

    /// Hears its notices until it ends.
    async fn serve(&mut self) {
        while self.0.notice().await.is_some() {}
    }
}

/// A folder of the demo's own, which goes away with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Folder> {
        let number = Rng::from_seed(rand::random()).next_u64();
        let path = std::env::temp_dir().join(format!("btget-demo-{number:016x}"));
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        // Not create_dir_all: a folder that is there already is somebody else's.
        std::fs::create_dir(&path).map_err(named)?;
        let folder = Folder(path.clone());
        std::fs::create_dir(path.join("seed")).map_err(named)?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing more can be done about a folder that does not go.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

enum Background<T> {
    Done(T),
    Stopped(ExitCode),
}

/// Does `work` on another thread. A signal makes it stop early.
async fn in_background<T: Send + 'static>(
    interrupts: &mut Interrupts,
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> Background<T> {
    let stopped = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stopped);
    let mut task = tokio::task::spawn_blocking(move || work(&seen));
    let code = tokio::select! {
        done = &mut task => return Background::Done(done.expect("the work does not panic")),
        code = interrupts.stop() => code,
    };
    stopped.store(true, Ordering::Relaxed);
    // Joined, so that nothing is written any more when the folder goes.
    let _ = task.await;
    Background::Stopped(code)
}

/// Writes random bytes, as incompressible as what torrents carry; gives the digests of their pieces.
fn generate(folder: &Path, size: u64, stopped: &AtomicBool) -> io::Result<Vec<Sha1Hash>> {
    let mut rng = Rng::from_number(size).fork("demo");
    let mut file = File::create(folder.join(NAME))?;
    let mut piece = vec![0; PIECE_LENGTH as usize];
    let mut digests = Vec::new();
    let mut left = size;
    while left > 0 && !stopped.load(Ordering::Relaxed) {
        piece.truncate(left.min(u64::from(PIECE_LENGTH)) as usize);
        rng.fill(&mut piece);
        file.write_all(&piece)?;
        let mut hash = RunningHash::default();
        hashing::advance(&mut [Run { hash: &mut hash, bytes: &[&piece] }]);
        digests.push(hash.finish());
        left -= piece.len() as u64;
    }
    Ok(digests)
}

/// Whether two files hold the same bytes.
fn are_same(one: &Path, other: &Path, stopped: &AtomicBool) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let mut buffers = (vec![0; PIECE_LENGTH as usize], vec![0; PIECE_LENGTH as usize]);
    while !stopped.load(Ordering::Relaxed) {
        let count = one.read(&mut buffers.0)?;
        if count == 0 {
            return Ok(true);
        }
        other.read_exact(&mut buffers.1[..count])?;
        if buffers.0[..count] != buffers.1[..count] {
            return Ok(false);
        }
    }
    Ok(false)
}

fn disk_error(error: &io::Error) -> CliError {
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let code = if is_full { ExitCode::DiskFull } else { ExitCode::Io };
    CliError::new(code, format!("the demo's data: {error}")).with_hint("TMPDIR says where it goes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest;

    #[test]
    fn generated_data_has_the_digests_that_it_says() {
        let folder = Folder::new().unwrap();
        let path = folder.0.clone();
        let size = u64::from(PIECE_LENGTH) * 2 + 7;
        let digests = generate(&path, size, &AtomicBool::new(false)).unwrap();
        let bytes = std::fs::read(path.join(NAME)).unwrap();
        assert_eq!(bytes.len() as u64, size);
        let expected: Vec<_> = bytes.chunks(PIECE_LENGTH as usize).map(digest::sha1).collect();
        assert_eq!(digests, expected);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_flipped_byte_is_seen() {
        let folder = Folder::new().unwrap();
        let (one, other) = (folder.0.join("one"), folder.0.join("other"));
        let compare = || are_same(&one, &other, &AtomicBool::new(false)).unwrap();
        std::fs::write(&one, b"same").unwrap();
        std::fs::write(&other, b"same").unwrap();
        assert!(compare());
        std::fs::write(&other, b"sane").unwrap();
        assert!(!compare());
        std::fs::write(&other, b"same!").unwrap();
        assert!(!compare());
    }
}
