//! Hashes files on other threads while this one shows how far it is and waits for signals.

use std::sync::Arc;
use std::time::Instant;

use super::download::in_runtime;
use crate::base::rate::ByteRate;
use crate::base::size::size;
use crate::base::time::Duration;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::interrupts::{Interrupt, Interrupts, pause};
use crate::cli::output::escape::escape_bytes;
use crate::cli::output::hashing::HashingProgress;
use crate::cli::output::{Screen, format};
use crate::runtime::hash_files::{HashError, Hashed, Payload, Progress};

/// Time between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is to be hashed, and how it is told.
pub(super) struct Hashing {
    pub(super) payload: Payload,
    pub(super) threads: Option<usize>,
    /// What is hashed, escaped.
    pub(super) name: String,
    /// One word for what is done.
    pub(super) what: &'static str,
    /// Bytes of all pieces.
    pub(super) total: u64,
    /// What was asked for before the start counts as well.
    pub(super) interrupts: Interrupts,
}

impl Hashing {
    /// Hashes all, and tells how fast that went: `1 GiB in 0.3 s, 3.4 GiB/s`. A signal ends it.
    pub(super) fn run(self, screen: &Screen) -> Result<(Hashed, String), CliError> {
        let Hashing { payload, threads, name, what, total, mut interrupts } = self;
        in_runtime(async {
            let start = Instant::now();
            let progress = Arc::new(Progress::default());
            let watched = progress.clone();
            let mut work = tokio::task::spawn_blocking(move || payload.hash(threads, &watched));
            let mut shown = HashingProgress::new(screen, &name, what, total);
            let mut stopped_by = None;
            let hashed = loop {
                tokio::select! {
                    biased;
                    interrupt = interrupts.next() => match interrupt {
                        Interrupt::Status => shown.say(progress.done(), start.elapsed()),
                        Interrupt::Announce => {}
                        Interrupt::Pause => pause(),
                        Interrupt::Stop(code) => {
                            stopped_by = Some(code);
                            progress.stop();
                        }
                    },
                    hashed = &mut work => break hashed.expect("hashing does not panic"),
                    () = tokio::time::sleep(LOOK_EVERY) => shown.update(progress.done(), start.elapsed()),
                }
            };
            drop(shown);
            if let Some(code) = stopped_by {
                return Err(CliError::new(code, "stopped before everything was read"));
            }
            let hashed = hashed.map_err(|error| explained(&error))?;
            Ok((hashed, speed(progress.read(), start.elapsed())))
        })
    }
}

fn speed(bytes: u64, time: Duration) -> String {
    let rate = ByteRate((bytes as f64 / time.as_secs_f64().max(0.001)) as u64);
    format!("{} in {}, {}", size(bytes), format::span(time), format::rate(rate))
}

fn explained(error: &HashError) -> CliError {
    match error {
        HashError::Stopped | HashError::NoThread(_) => CliError::new(ExitCode::Error, error.to_string()),
        HashError::TooManyFiles(_) => {
            CliError::new(ExitCode::Io, error.to_string()).with_hint("more are needed: see ulimit -n")
        }
        HashError::Unreadable { path, .. } => CliError::new(
            ExitCode::Io,
            format!("{}: {error}", escape_bytes(path.as_os_str().as_encoded_bytes())),
        ),
        HashError::Changed { path } => CliError::new(
            ExitCode::Io,
            format!("{}: {error}", escape_bytes(path.as_os_str().as_encoded_bytes())),
        )
        .with_hint("try again when no program writes to it any more, or leave it out with --exclude"),
        HashError::Touched { path } => CliError::new(
            ExitCode::Io,
            format!("{}: {error}", escape_bytes(path.as_os_str().as_encoded_bytes())),
        )
        .with_hint("try again, without links being made or rights being changed meanwhile"),
    }
}
