//! When a download is given up: the person's limits, and the case that nobody has answered at all.

use crate::base::time::Duration;
use crate::cli::args::GivingUp;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::format;
use crate::engine::snapshot::{Phase, StallReason, TorrentSnapshot};

/// Nothing at all has answered for this long: there is no network.
const SILENCE: Duration = Duration::from_secs(60);

/// What one torrent's patience remembers. Times count from the start of the run.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    /// When it began to download.
    downloading: Option<Duration>,
    /// The bytes that had come when something came last, and when that was.
    moved: (u64, Duration),
}

/// Why a download is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum GivenUp {
    /// `--timeout`.
    Timeout(Duration),
    /// `--stall`.
    Stall(Duration),
    /// `--stall`, for want of space on the disk.
    DiskFull(Duration),
    /// Nobody has answered.
    Silence,
    /// Every tracker refused, and there is nobody else to ask.
    Refused,
}

impl Patience {
    /// Of a torrent that is added `now`.
    pub(super) fn new(now: Duration) -> Patience {
        Patience { downloading: None, moved: (0, now) }
    }

    /// When the torrent began to download, if it has.
    pub(super) fn downloading_since(&self) -> Option<Duration> {
        self.downloading
    }

    /// Looks at the torrent `now`. `answered` says whether anyone at all has answered in this run, `is_alone`
    /// whether the person has named no peers.
    pub(super) fn check(
        &mut self,
        now: Duration,
        torrent: &TorrentSnapshot,
        limits: &GivingUp,
        answered: bool,
        is_alone: bool,
    ) -> Option<GivenUp> {
        if torrent.phase != Phase::Downloading {
            self.moved = (torrent.downloaded, now);
            return None;
        }
        let since = *self.downloading.get_or_insert(now);
        if torrent.downloaded != self.moved.0 {
            self.moved = (torrent.downloaded, now);
        }
        let has_nobody = torrent.peers == 0 && torrent.known_peers == 0 && is_alone;
        if has_nobody && torrent.waiting == Some(StallReason::TrackerRefused) {
            return Some(GivenUp::Refused);
        }
        if let Some(limit) = limits.stall.filter(|limit| now.saturating_sub(self.moved.1) >= *limit) {
            let is_full = matches!(torrent.waiting, Some(StallReason::DiskFull { .. }));
            return Some(if is_full { GivenUp::DiskFull(limit) } else { GivenUp::Stall(limit) });
        }
        (!answered && torrent.peers == 0 && now.saturating_sub(since) >= SILENCE).then_some(GivenUp::Silence)
    }
}

impl GivenUp {
    /// What the shell is told.
    pub(super) fn code(self) -> ExitCode {
        match self {
            GivenUp::Timeout(_) | GivenUp::Stall(_) => ExitCode::Stalled,
            GivenUp::DiskFull(_) => ExitCode::DiskFull,
            GivenUp::Silence => ExitCode::Network,
            GivenUp::Refused => ExitCode::Tracker,
        }
    }

    /// Why, in words.
    pub(super) fn words(self) -> String {
        match self {
            GivenUp::Timeout(limit) => format!("not complete after {} (--timeout)", format::span(limit)),
            GivenUp::Stall(limit) | GivenUp::DiskFull(limit) => {
                format!("no data for {} (--stall)", format::span(limit))
            }
            GivenUp::Silence => format!("nothing has answered for {}", format::span(SILENCE)),
            GivenUp::Refused => "every tracker refused, and there is nobody else to ask".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::status::tests::snapshot;

    const NO_LIMITS: GivingUp = GivingUp { timeout: None, stall: None, fail_fast: false, keep_going: false };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lonely() -> TorrentSnapshot {
        TorrentSnapshot { peers: 0, known_peers: 0, downloaded: 0, ..snapshot(Phase::Downloading) }
    }

    #[test]
    fn silence_counts_from_the_first_asking_and_ends_for_good_with_an_answer() {
        let mut patience = Patience::new(seconds(0));
        let checking = TorrentSnapshot {
            phase: Phase::Checking { done: 1, pieces: 9, rate: crate::base::rate::ByteRate(0) },
            ..lonely()
        };
        assert_eq!(patience.check(seconds(500), &checking, &NO_LIMITS, false, true), None);
        assert_eq!(patience.check(seconds(501), &lonely(), &NO_LIMITS, false, true), None);
        assert_eq!(patience.check(seconds(560), &lonely(), &NO_LIMITS, false, true), None);
        let mut answered = patience.clone();
        assert_eq!(answered.check(seconds(9000), &lonely(), &NO_LIMITS, true, true), None);
        let given_up = patience.check(seconds(561), &lonely(), &NO_LIMITS, false, true).unwrap();
        assert_eq!(given_up.code(), ExitCode::Network);
    }

    #[test]
    fn a_stall_is_time_without_data() {
        let limits = GivingUp { stall: Some(seconds(10)), ..NO_LIMITS };
        let mut patience = Patience::new(seconds(0));
        let mut torrent = snapshot(Phase::Downloading);
        assert_eq!(patience.check(seconds(9), &torrent, &limits, true, true), None);
        torrent.downloaded += 1;
        assert_eq!(patience.check(seconds(18), &torrent, &limits, true, true), None);
        assert_eq!(patience.check(seconds(27), &torrent, &limits, true, true), None);
        let given_up = patience.check(seconds(28), &torrent, &limits, true, true);
        assert_eq!(given_up, Some(GivenUp::Stall(seconds(10))));
        torrent.waiting = Some(StallReason::DiskFull { free: Some(0), needed: 5 });
        let given_up = patience.check(seconds(28), &torrent, &limits, true, true);
        assert_eq!(given_up.map(GivenUp::code), Some(ExitCode::DiskFull));
    }

    #[test]
    fn refusing_trackers_end_it_only_when_nobody_else_may_be_asked() {
        let refused = TorrentSnapshot { waiting: Some(StallReason::TrackerRefused), ..lonely() };
        let check = |torrent: &TorrentSnapshot, is_alone| {
            Patience::new(seconds(0)).check(seconds(1), torrent, &NO_LIMITS, true, is_alone)
        };
        assert_eq!(check(&refused, true), Some(GivenUp::Refused));
        assert_eq!(check(&refused, false), None);
        assert_eq!(check(&TorrentSnapshot { known_peers: 1, ..refused }, true), None);
    }
}
