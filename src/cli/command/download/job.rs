//! One target on its way from the command line to its end.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::time::Duration;
use crate::cli::exit_code::ExitCode;
use crate::engine::order::TorrentId;
use crate::engine::snapshot::TorrentSnapshot;
use crate::metainfo::Metainfo;
use crate::runtime::client::NewTorrent;

use super::goals::Service;
use super::patience::Patience;

/// One target.
#[derive(Debug)]
pub(super) struct Job {
    /// What it is called, escaped: the torrent's name, or before that is known the target itself.
    pub(super) name: String,
    /// Where it is.
    pub(super) state: State,
    /// The folder that its torrent file lies in.
    pub(super) folder: Option<PathBuf>,
    /// Whether something of it can no longer be read.
    pub(super) is_damaged: bool,
    /// Whether its files look as if it had nothing to download, and no check has found otherwise: then it takes no
    /// place from those that do.
    pub(super) seems_complete: bool,
    /// What the client said of it last.
    pub(super) snapshot: Option<TorrentSnapshot>,
}

/// Where a target is. It only ever moves downwards in this list.
#[derive(Debug)]
pub(super) enum State {
    /// Its torrent file is being fetched.
    Fetching,
    /// It waits until fewer downloads run.
    Queued(Box<NewTorrent>),
    /// The client has it.
    Active(Active),
    /// It is complete, and stays to seed.
    Seeding(TorrentId, Service),
    /// It is over.
    Ended(ExitCode),
}

/// A torrent that the client works on.
#[derive(Debug)]
pub(super) struct Active {
    /// Its name with the client.
    pub(super) torrent: TorrentId,
    /// When it was given to the client; time since the start of the run.
    pub(super) since: Duration,
    /// When it is given up.
    pub(super) patience: Patience,
    /// The torrent, if what is missing of it is to be told by name.
    pub(super) metainfo: Option<Arc<Metainfo>>,
}

impl Job {
    /// The client's name for it, while the client has it.
    pub(super) fn torrent(&self) -> Option<TorrentId> {
        match &self.state {
            State::Active(active) => Some(active.torrent),
            State::Seeding(torrent, _) => Some(*torrent),
            _ => None,
        }
    }

    /// Whether it counts among the downloads that run.
    pub(super) fn is_active(&self) -> bool {
        matches!(self.state, State::Active(_))
    }

    /// Whether it has reached its goal.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Seeding(..) | State::Ended(ExitCode::Ok))
    }

    /// Whether it has neither reached its goal nor failed.
    pub(super) fn is_pending(&self) -> bool {
        !matches!(self.state, State::Seeding(..) | State::Ended(_))
    }

    /// What it adds to the exit code.
    pub(super) fn code(&self) -> ExitCode {
        match self.state {
            State::Seeding(..) | State::Ended(ExitCode::Ok) if self.is_damaged => ExitCode::Io,
            State::Seeding(..) => ExitCode::Ok,
            State::Ended(code) => code,
            // The run ended before it: only a signal does that, and a signal has a code of its own.
            _ => ExitCode::Error,
        }
    }
}
