//! Step two: checked values to what the client needs. Nothing is opened here either.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::value::HostPort;
use super::args::{AllocateChoice, ConflictChoice, DownloadArgs, Family, GivingUp, Seeding, SyncChoice};
use super::error::CliError;
use crate::base::address::Families;
use crate::base::rate::ByteRate;
use crate::engine;
use crate::engine::action::AddressFamily;
use crate::engine::settings::Limits;
use crate::metainfo::Metainfo;
use crate::runtime::client::{ClientSettings, Listen, NewTorrent};
use crate::runtime::disk::{Allocate, OnConflict, SyncPolicy, Target};

/// Everything that one run of downloads goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For the client as a whole.
    pub client: ClientSettings,
    /// Where data goes.
    pub disk: Target,
    /// What the file or folder is to be called, instead of the torrent's own name.
    pub name: Option<String>,
    /// Peers that the person named.
    pub peers: Vec<HostPort>,
    /// Trackers that the person named.
    pub trackers: Vec<String>,
    /// When to give up.
    pub giving_up: GivingUp,
    /// Whether to go on seeding when complete, and until when.
    pub seeding: Seeding,
    /// Downloads that run side by side.
    pub active: usize,
}

impl Settings {
    /// What `args` ask for, for this many targets; relative paths start from `dir`. `state_home` is where this
    /// user's programs keep their state.
    pub fn new(
        args: &DownloadArgs,
        dir: &Path,
        state_home: Option<&Path>,
        targets: usize,
    ) -> Result<Settings, CliError> {
        let (folder, name) = place(args, dir, targets)?;
        let family = args.network.family();
        let (v4, v6) = (family != Family::V6, family != Family::V4);
        let mut engine = engine::settings::Settings {
            families: Families { v4, v6 },
            memory: args.limits.memory,
            slots: args.limits.slots,
            limits: Limits { down: limit(args.limits.limit_down), up: limit(args.limits.limit_up) },
            lan_unlimited: args.limits.lan_unlimited,
            ..engine::settings::Settings::default()
        };
        if let Some(peers) = args.limits.max_peers.map(usize::from) {
            engine.max_peers_torrent = peers;
            engine.max_peers = engine.max_peers.max(peers);
        }
        Ok(Settings {
            client: ClientSettings {
                ports: args.network.port.clone(),
                listen: Listen { v4, v6, loopback_only: false },
                check_threads: args.limits.check_threads.0,
                state: state_folder(args, dir, state_home),
                sync: match args.place.sync {
                    SyncChoice::None => SyncPolicy::None,
                    SyncChoice::End => SyncPolicy::End,
                },
                engine,
            },
            disk: Target {
                dir: folder,
                part_suffix: !args.place.no_part,
                allocate: match args.place.allocate {
                    AllocateChoice::Sparse => Allocate::Sparse,
                    AllocateChoice::Full => Allocate::Full,
                    AllocateChoice::None => Allocate::None,
                },
                read_only: args.seeding.seed_only,
                lenient: args.seeding.is_wanted(),
                reserve: args.place.reserve,
                on_conflict: match args.place.on_conflict {
                    ConflictChoice::Keep => OnConflict::Keep,
                    ConflictChoice::Rename => OnConflict::Rename,
                    ConflictChoice::Fail => OnConflict::Fail,
                    ConflictChoice::Overwrite => OnConflict::Overwrite,
                },
            },
            name,
            peers: args.network.peers.clone(),
            trackers: args.network.trackers.clone(),
            giving_up: GivingUp {
                timeout: args.giving_up.timeout.filter(|limit| !limit.is_zero()),
                stall: args.giving_up.stall.filter(|limit| !limit.is_zero()),
                ..args.giving_up.clone()
            },
            seeding: args.seeding.clone(),
            active: usize::from(args.limits.jobs),
        })
    }

    /// The one family of addresses that is used; `None`: both.
    pub fn family(&self) -> Option<AddressFamily> {
        match self.client.engine.families {
            Families { v4: true, v6: false } => Some(AddressFamily::V4),
            Families { v4: false, v6: true } => Some(AddressFamily::V6),
            _ => None,
        }
    }

    /// What the client is given for one torrent; `peers` are those that the person named, looked up.
    pub fn new_torrent(&self, metainfo: Metainfo, peers: &[SocketAddr]) -> NewTorrent {
        NewTorrent {
            metainfo: Arc::new(metainfo),
            target: self.disk.clone(),
            output: self.name.as_ref().map(PathBuf::from),
            peers: peers.to_vec(),
            trackers: self.trackers.clone(),
            seed_only: self.seeding.seed_only,
            super_seed: self.seeding.super_seed,
        }
    }
}

/// A limit as the engine takes it: 0 is none, as other downloaders have it.
fn limit(rate: Option<ByteRate>) -> Option<ByteRate> {
    rate.filter(|rate| *rate > ByteRate(0))
}

/// The folder to remember torrents in, if they are to be remembered.
fn state_folder(args: &DownloadArgs, dir: &Path, state_home: Option<&Path>) -> Option<PathBuf> {
    if args.place.no_state {
        return None;
    }
    let chosen = args.place.state_dir.as_ref().map(|chosen| dir.join(chosen));
    chosen.or_else(|| state_home.map(|home| home.join("btget")))
}

/// The folder to download into, and the name to use there if it is not the torrent's own.
fn place(args: &DownloadArgs, dir: &Path, targets: usize) -> Result<(PathBuf, Option<String>), CliError> {
    let folder = dir.join(&args.place.dir);
    let Some(output) = &args.place.output else { return Ok((folder, None)) };
    if targets != 1 {
        return Err(CliError::usage("--output names one file, but there are several targets")
            .with_hint("choose their folder with --dir"));
    }
    let path = folder.join(output);
    let name = path.file_name().and_then(|name| name.to_str());
    match (path.parent(), name) {
        (Some(parent), Some(name)) => Ok((parent.to_owned(), Some(name.to_owned()))),
        _ => Err(CliError::usage("--output must end in a name for the file or folder")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::parse_main;

    fn settings(flags: &[&str], targets: usize) -> Result<Settings, CliError> {
        let words: Vec<&str> = flags.iter().copied().chain(["x"]).collect();
        Settings::new(&parse_main(&words).unwrap(), Path::new("/here"), Some(Path::new("/state")), targets)
    }

    #[test]
    fn flags_reach_the_client() {
        let flags = [
            "-4",
            "-p",
            "7000-7010",
            "--memory",
            "8M",
            "--max-peers",
            "300",
            "--no-part",
            "--allocate=full",
            "--check-threads=1",
            "-r",
            "1M",
            "-u",
            "0",
            "--lan-unlimited",
            "-j",
            "9",
        ];
        let settings = settings(&flags, 1).unwrap();
        let client = &settings.client;
        assert_eq!(client.ports, Some(7000..=7010));
        assert_eq!(
            (client.listen.v4, client.listen.v6, client.engine.families),
            (true, false, Families { v4: true, v6: false })
        );
        assert_eq!((client.engine.memory, client.check_threads), (8 << 20, Some(1)));
        assert_eq!(client.engine.limits, Limits { down: Some(ByteRate(1 << 20)), up: None });
        assert!(client.engine.lan_unlimited);
        assert_eq!(settings.active, 9);
        assert_eq!((client.engine.max_peers_torrent, client.engine.max_peers), (300, 300));
        assert_eq!((settings.disk.part_suffix, settings.disk.allocate), (false, Allocate::Full));
    }

    #[test]
    fn a_time_of_0_to_give_up_after_is_no_time_at_all() {
        let giving_up = settings(&["--stall", "0", "--timeout", "0s"], 1).unwrap().giving_up;
        assert_eq!((giving_up.timeout, giving_up.stall), (None, None));
        let giving_up = settings(&["--stall", "1", "--timeout", "2s"], 1).unwrap().giving_up;
        assert!(giving_up.timeout.is_some() && giving_up.stall.is_some());
    }

    #[test]
    fn torrents_are_remembered_in_the_users_state_folder_unless_told_otherwise() {
        let state = |flags: &[&str]| settings(flags, 1).unwrap().client.state;
        assert_eq!(state(&[]), Some(PathBuf::from("/state/btget")));
        assert_eq!(state(&["--state-dir", "s"]), Some(PathBuf::from("/here/s")));
        assert_eq!(state(&["--state-dir", "s", "--no-state"]), None);
        assert_eq!(state(&["--no-state", "--state-dir", "/s"]), Some(PathBuf::from("/s")));
        assert_eq!(settings(&["--sync", "end"], 1).unwrap().client.sync, SyncPolicy::End);
    }

    #[test]
    fn the_output_path_starts_from_the_folder_and_is_for_one_target() {
        let place = |flags: &[&str]| settings(flags, 1).map(|settings| (settings.disk.dir, settings.name));
        assert_eq!(place(&["-d", "d"]), Ok((PathBuf::from("/here/d"), None)));
        assert_eq!(place(&["-d", "d", "-o", "n"]), Ok((PathBuf::from("/here/d"), Some("n".to_owned()))));
        assert_eq!(place(&["-o", "/a/b/"]), Ok((PathBuf::from("/a"), Some("b".to_owned()))));
        assert!(place(&["-o", ".."]).is_err());
        assert!(place(&["-o", "/"]).is_err());
        assert!(settings(&["-o", "n"], 2).is_err());
    }
}
