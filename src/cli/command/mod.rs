//! The subcommands, one file each; `download` is the main form.

pub mod demo;
pub mod download;
pub mod show;

use std::io;

use super::error::CliError;
use super::exit_code::ExitCode;

/// The outcome of writing results to standard output.
pub(super) fn written(result: io::Result<()>) -> Result<(), CliError> {
    result.map_err(|error| CliError::new(ExitCode::Io, format!("cannot write the result: {error}")))
}
