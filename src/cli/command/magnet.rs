//! `magnet`: the magnet link of a torrent, on standard output.

use serde::Serialize;

use super::{torrent, written};
use crate::cli::args::MagnetArgs;
use crate::cli::env::Env;
use crate::cli::error::CliError;
use crate::cli::output::json_text::to_json;
use crate::metainfo::magnet_link;

/// What `magnet --json` prints. A published format: fields are added, never renamed or taken away.
#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    info_hash: Option<String>,
    info_hash_v2: Option<String>,
    magnet: &'a str,
}

/// Runs the command. A torrent that is refused leaves standard output empty.
pub fn run(args: &MagnetArgs, env: &mut Env) -> Result<(), CliError> {
    let metainfo = torrent(&args.file, env)?;
    let magnet = magnet_link(&metainfo);
    let text = match args.json {
        false => magnet,
        true => to_json(&Document {
            name: &metainfo.name,
            info_hash: metainfo.info_hashes.v1.map(|hash| hash.to_string()),
            info_hash_v2: metainfo.info_hashes.v2.map(|hash| hash.to_string()),
            magnet: &magnet,
        }),
    };
    written(writeln!(env.stdout, "{text}").and_then(|()| env.stdout.flush()))
}
