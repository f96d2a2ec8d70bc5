//! The flags of `verify` and `magnet`.

use std::path::PathBuf;

use clap::Args;

use super::Output;
use super::value::{self, Threads};

/// Compares files with a torrent, and changes nothing. Ends with code 32 when any is missing, short, long or bad.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The torrent; - reads it from standard input
    #[arg(value_name = "TORRENT")]
    pub file: PathBuf,
    /// The folder that was downloaded into, or the torrent's own folder or file in it [default: the current
    /// folder, then the torrent file's]
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// Prints one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Threads that hash: a number, or auto for one a processor
    #[arg(long, value_name = "N", default_value = "auto", value_parser = value::threads)]
    pub check_threads: Threads,
    /// What is shown.
    #[command(flatten)]
    pub output: Output,
}

/// Prints the magnet link of a torrent.
#[derive(Args, Debug)]
pub struct MagnetArgs {
    /// The torrent; - reads it from standard input
    #[arg(value_name = "TORRENT")]
    pub file: PathBuf,
    /// Prints one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}
