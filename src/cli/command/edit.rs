//! `edit`: changes a torrent's trackers, web seeds or comment, and leaves its info-hash alone; only `--source`
//! gives another one, and says so.

use super::create::not_written;
use super::download::catch;
use super::{on_screen, torrent_bytes, written};
use crate::cli::args::EditArgs;
use crate::cli::env::Env;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::Screen;
use crate::cli::{new_file, torrent_file};
use crate::metainfo::edit::Edit;

/// Runs the command.
pub fn edit(args: &EditArgs, env: Env) -> ExitCode {
    on_screen(args, &args.output_flags, env, run)
}

fn run(args: &EditArgs, env: &mut Env, screen: &Screen) -> Result<(), CliError> {
    let edit = Edit {
        trackers: args
            .trackers
            .as_ref()
            .map(|tiers| tiers.iter().map(|tier| tier.0.clone()).filter(|tier| !tier.is_empty()).collect()),
        web_seeds: args
            .web_seeds
            .as_ref()
            .map(|urls| urls.iter().filter(|url| !url.is_empty()).cloned().collect()),
        comment: args.comment.clone(),
        source: args.source.clone(),
    };
    if edit == Edit::default() {
        return Err(CliError::usage("there is nothing to change")
            .with_hint("name --tracker, --webseed, --comment or --source"));
    }
    let is_stdin = args.file.as_os_str() == "-";
    let output = match &args.output {
        None if is_stdin => {
            return Err(
                CliError::usage("standard input cannot be changed").with_hint("name --output, such as -o -")
            );
        }
        output => output.as_ref().unwrap_or(&args.file),
    };
    let (before, shown) = torrent_bytes(&args.file, env)?;
    let refused = |error| CliError::new(ExitCode::BadTorrent, format!("{shown}: {error}"));
    let after = edit.apply(&before).map_err(refused)?;
    let hashes = |bytes: &[u8]| torrent_file::parse(bytes, &shown).map(|metainfo| metainfo.info_hashes);
    let (old, new) = (hashes(&before), hashes(&after));
    let (Ok(old), Ok(new)) = (old, new) else {
        return Err(CliError::new(ExitCode::Error, format!("{shown}: the changed torrent would be refused")));
    };
    // A signal does not end it in the midst of writing, nor does a limit on the length of files.
    let _interrupts = catch(env.catches_signals)?;
    if args.output.as_ref().is_some_and(|path| path.as_os_str() == "-") {
        written(env.stdout.write_all(&after).and_then(|()| env.stdout.flush()))?;
    } else {
        let path = env.dir.join(output);
        let write = if args.output.is_some() { new_file::write_new } else { new_file::replace };
        write(&path, &after).map_err(|error| match (error.kind(), path.parent()) {
            (std::io::ErrorKind::PermissionDenied, Some(folder)) if args.output.is_none() => not_written(
                folder, &error,
            )
            .with_hint("the changed torrent is made beside the old one: name another place with --output"),
            _ => not_written(&path, &error),
        })?;
    }
    if old != new {
        let (old, new) = (old.wire(), new.wire());
        screen.warn(&format!("the source is part of the torrent's identity: {old} has become {new}"));
    }
    Ok(())
}
