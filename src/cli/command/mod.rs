//! The subcommands, one file each; `download` is the main form.

pub mod create;
pub mod demo;
pub mod download;
pub mod edit;
mod hashing;
pub mod magnet;
pub mod show;
pub mod verify;

use std::io;
use std::path::Path;

use super::args::Output as OutputFlags;
use super::env::Env;
use super::error::CliError;
use super::exit_code::ExitCode;
use super::output::Screen;
use super::target::refused;
use super::torrent_file;
use crate::metainfo::Metainfo;

/// Runs a command that says how it goes, and tells what stopped it.
fn on_screen<A>(
    args: &A,
    output_flags: &OutputFlags,
    mut env: Env,
    run: impl FnOnce(&A, &mut Env, &Screen) -> Result<(), CliError>,
) -> ExitCode {
    let screen = Screen::new(env.stderr.clone(), env.stderr_is_terminal, env.no_color, output_flags);
    match run(args, &mut env, &screen) {
        Ok(()) => ExitCode::Ok,
        Err(error) => {
            screen.error(&error);
            error.code
        }
    }
}

/// The outcome of writing results to standard output.
pub(super) fn written(result: io::Result<()>) -> Result<(), CliError> {
    result.map_err(|error| CliError::new(ExitCode::Io, format!("cannot write the result: {error}")))
}

/// The bytes of the torrent file that the person named, `-` being standard input, and its name for messages.
fn torrent_bytes(file: &Path, env: &mut Env) -> Result<(Vec<u8>, String), CliError> {
    let (read, shown) = match file.to_str() {
        Some("-") => (torrent_file::read_bounded(&mut env.stdin, "-"), "-".to_owned()),
        _ => {
            let path = env.dir.join(file);
            (torrent_file::read(&path), torrent_file::shown(&path))
        }
    };
    Ok((read.map_err(|error| refused(&error))?, shown))
}

/// The torrent that the person named; see [`torrent_bytes`].
fn torrent(file: &Path, env: &mut Env) -> Result<Metainfo, CliError> {
    let (bytes, shown) = torrent_bytes(file, env)?;
    torrent_file::parse(&bytes, &shown).map_err(|error| refused(&error))
}
