//! Notices in words: what people hear without asking, and what they hear with `-v`.

use std::collections::BTreeSet;

use crate::base::index::FileIndex;
use crate::base::limit;
use crate::base::rate::ByteRate;
use crate::base::size::size;
use crate::base::time::Duration;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::Screen;
use crate::cli::output::escape::{escape, escape_sentence};
use crate::cli::output::format;
use crate::engine::disk_job::DiskErrorKind;
use crate::engine::notice::{Missing, Notice, TorrentFailure};
use crate::engine::order::TorrentId;
use crate::engine::snapshot::{Phase, TorrentSnapshot};
use crate::metainfo::Metainfo;

/// Trackers that are complained about in a run without `-v`: a list of dead trackers is nothing to act on.
const COMPLAINTS: usize = 5;

/// Files that are named when they lack something.
const FILES_NAMED: usize = 100;

/// Says notices, each complaint once.
#[derive(Debug, Default)]
pub(super) struct Teller {
    complaints: BTreeSet<String>,
    /// How many of them were not said.
    kept_back: usize,
    /// Torrents that were all there from the start: none of their files became complete in this run.
    whole: BTreeSet<TorrentId>,
}

impl Teller {
    /// Says `notice` of the torrent called `name` (escaped already).
    pub(super) fn tell(&mut self, screen: &Screen, name: &str, notice: &Notice) {
        match notice {
            Notice::Checked { have, pieces, .. } if *have > 0 && have < pieces => {
                screen.say(&format!("{name}: {have} of {} are here already", pieces_in_words(*pieces)));
            }
            Notice::Checked { torrent, have, pieces, .. } if have == pieces => {
                self.whole.insert(*torrent);
            }
            Notice::FileComplete { torrent, .. } if self.whole.contains(torrent) => {}
            Notice::FileComplete { file, .. } => {
                screen.detail(&format!("{name}: file {} is complete", file.0 + 1));
            }
            Notice::Warning { text, .. } => {
                self.complain(screen, format!("{name}: {}", escape_sentence(text)))
            }
            Notice::FileLost { error, .. } => {
                let error = escape_sentence(&error.to_string());
                self.complain(screen, format!("{name}: {error}; what is in it is not served any more"));
            }
            Notice::PieceFailed { piece, .. } => {
                screen.detail(&format!("{name}: piece {piece} was bad and is fetched again"));
            }
            Notice::PeerBanned { address, reason, .. } => {
                screen.detail(&format!("{name}: {address} is banned: {reason}"));
            }
            Notice::PeerConnected { address, .. } => {
                screen.detail(&format!("{name}: connected to {address}"));
            }
            Notice::PeerUnreachable { address, reason, .. } => {
                screen.detail(&format!("{name}: cannot connect to {address}: {}", short(reason)));
            }
            Notice::PeerClosed { address, reason, .. } => {
                screen.detail(&format!("{name}: {address} is gone: {}", short(reason)));
            }
            Notice::TrackerAnswered { tracker, peers, warning, .. } => {
                let peers = format::count(*peers, "peer");
                screen.detail(&format!("{name}: {} named {peers}", short(tracker)));
                if let Some(warning) = warning {
                    self.complain(screen, format!("{name}: {} warns: {}", short(tracker), short(warning)));
                }
            }
            Notice::TrackerFailed { tracker, reason, refused, .. } => {
                let verb = if *refused { "refused" } else { "failed" };
                self.complain(screen, format!("{name}: {} {verb}: {}", short(tracker), short(reason)));
            }
            // These end a target's way, which its own line tells.
            Notice::Checked { .. }
            | Notice::Complete { .. }
            | Notice::Failed { .. }
            | Notice::Stopped { .. } => {}
        }
    }

    fn complain(&mut self, screen: &Screen, complaint: String) {
        if self.complaints.len() >= limit::COMPLAINTS || !self.complaints.insert(complaint.clone()) {
            return;
        }
        if screen.verbose() > 0 || self.complaints.len() <= COMPLAINTS {
            return screen.warn(&complaint);
        }
        if self.kept_back == 0 {
            screen.warn("from here on warnings are kept back; -v shows them all");
        }
        self.kept_back += 1;
    }

    /// Says at the end how much was not said.
    pub(super) fn sum_up(&self, screen: &Screen) {
        if self.kept_back > 0 {
            let kept_back = format::count(self.kept_back, "warning");
            screen.warn(&format!("{kept_back} kept back; -v shows them all"));
        }
    }
}

fn pieces_in_words(pieces: u32) -> String {
    format::count(pieces as usize, "piece")
}

fn short(text: &str) -> String {
    let end = text.char_indices().nth(limit::SHOWN_TEXT).map_or(text.len(), |(end, _)| end);
    escape_sentence(&text[..end])
}

/// The words for a torrent that is complete.
pub(super) fn done(torrent: &TorrentSnapshot, time: Duration) -> String {
    let total = size(torrent.total);
    if torrent.downloaded == 0 {
        return format!("done, all {total} was here already");
    }
    let rate = ByteRate((torrent.downloaded as f64 / time.as_secs_f64().max(0.001)) as u64);
    let come = match torrent.downloaded {
        // A little less is a pad file, or the last blocks of an earlier run.
        most if most >= torrent.total - torrent.total / 100 => total,
        some => format!("{} of {total}", size(some)),
    };
    let mut text = format!("done, {come} in {} ({})", format::span(time), format::rate(rate));
    // A little is wasted in every endgame; nobody needs to hear of that.
    if torrent.wasted > torrent.total / 100 {
        text.push_str(&format!(", {} wasted", size(torrent.wasted)));
    }
    text
}

/// What is left behind of a torrent called `name` that is stopped before it is complete, if that is known.
pub(super) fn left(name: &str, torrent: &TorrentSnapshot) -> Option<String> {
    match torrent.phase {
        Phase::Opening | Phase::Checking { .. } => {
            Some(format!("{name}: stopped before it was checked; what is here is kept"))
        }
        Phase::Downloading if torrent.verified == 0 => {
            Some(format!("{name}: stopped with no piece here yet"))
        }
        Phase::Downloading => {
            let here = format::percent(torrent.verified, torrent.total);
            Some(format!("{name}: stopped; {here} is here and is kept"))
        }
        Phase::Seeding | Phase::Failed | Phase::Stopped => None,
    }
}

/// The error for a torrent called `name` that cannot go on.
pub(super) fn failed(name: &str, failure: &TorrentFailure) -> CliError {
    let code = match failure {
        TorrentFailure::Disk(error) => match error.kind {
            DiskErrorKind::Full { .. } => ExitCode::DiskFull,
            DiskErrorKind::Exists => ExitCode::Exists,
            DiskErrorKind::Busy => ExitCode::Busy,
            DiskErrorKind::Strained | DiskErrorKind::Other => ExitCode::Io,
        },
        TorrentFailure::Duplicate => ExitCode::Error,
        TorrentFailure::Incomplete(missing) => {
            let pieces = pieces_in_words(missing.pieces);
            return CliError::new(
                ExitCode::Corrupt,
                format!("{name}: {pieces} {} missing or bad", if missing.pieces == 1 { "is" } else { "are" }),
            )
            .with_hint("--seed in place of --seed-only downloads what is missing");
        }
    };
    let error = CliError::new(code, format!("{name}: {}", escape_sentence(&failure.to_string())));
    match code {
        ExitCode::DiskFull => error.with_hint("make room and start again: what is here is kept"),
        ExitCode::Exists => {
            error.with_hint("move it away, choose another place with --dir or --output, or see --on-conflict")
        }
        _ => error,
    }
}

/// A line for each file that lacks something, and one for those that are too many to name.
pub(super) fn missing_files(missing: &Missing, metainfo: &Metainfo) -> Vec<String> {
    let line = |(file, bytes): &(FileIndex, u64)| {
        let file = metainfo.files.get(file.index())?;
        let (path, bytes) = (metainfo.path_of(file), format::part_of(*bytes, file.length));
        Some(format!("not here or not right: {} ({bytes})", escape(&path)))
    };
    let mut lines: Vec<String> = missing.files.iter().take(FILES_NAMED).filter_map(line).collect();
    if let Some(more) = missing.files.len().checked_sub(FILES_NAMED).filter(|more| *more > 0) {
        lines.push(format!("not here or not right: {} more", format::count(more, "file")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::screen::tests::screen;
    use crate::cli::output::status::tests::snapshot;
    use crate::engine::disk_job::DiskError;
    use crate::engine::order::TorrentId;

    const TORRENT: TorrentId = TorrentId(1);

    fn told(flags: &[&str], notices: &[Notice]) -> String {
        let (screen, shared) = screen(flags, false, false);
        let mut teller = Teller::default();
        notices.iter().for_each(|notice| teller.tell(&screen, "x", notice));
        teller.sum_up(&screen);
        shared.text()
    }

    fn failed(tracker: &str, reason: &str) -> Notice {
        let (tracker, reason) = (tracker.to_owned(), reason.to_owned());
        Notice::TrackerFailed { torrent: TORRENT, tracker, reason, refused: true }
    }

    #[test]
    fn a_tracker_that_keeps_failing_is_said_once() {
        let notices = [failed("http://t", "no"), failed("http://t", "no"), failed("http://t", "never")];
        let expected = "warning: x: http://t refused: no\nwarning: x: http://t refused: never\n";
        assert_eq!(told(&[], &notices), expected);
    }

    #[test]
    fn of_many_complaints_some_are_said_and_the_rest_counted() {
        let many: Vec<Notice> = (0..50).map(|number| failed(&format!("http://{number}"), "no")).collect();
        assert_eq!(told(&["-v"], &many).lines().count(), 50);
        assert_eq!(told(&[], &many[..COMPLAINTS]).lines().count(), COMPLAINTS);
        let said = told(&[], &many);
        let expected = [
            "warning: x: http://4 refused: no",
            "warning: from here on warnings are kept back; -v shows them all",
            "warning: 45 warnings kept back; -v shows them all",
        ];
        assert_eq!(said.lines().collect::<Vec<_>>()[4..], expected);
    }

    #[test]
    fn files_that_were_there_before_do_not_become_complete() {
        let checked = |have| Notice::Checked { torrent: TORRENT, have, pieces: 2 };
        let complete = Notice::FileComplete { torrent: TORRENT, file: FileIndex(0) };
        assert_eq!(told(&["-v"], &[checked(2), complete.clone()]), "");
        assert!(told(&["-v"], &[checked(0), complete]).contains("file 1 is complete"));
    }

    #[test]
    fn what_a_tracker_says_cannot_forge_a_line() {
        let text = told(&[], &[failed("http://t", "a\n\x1b[2Jerror: forged")]);
        assert_eq!(text, "warning: x: http://t refused: a\\n\\x1b[2Jerror: forged\n");
    }

    #[test]
    fn peers_are_told_of_with_v() {
        let notices = [Notice::PeerConnected { torrent: TORRENT, address: "127.0.0.1:1".parse().unwrap() }];
        assert_eq!(told(&[], &notices), "");
        assert_eq!(told(&["-v"], &notices), "x: connected to 127.0.0.1:1\n");
    }

    #[test]
    fn the_last_line_tells_size_time_rate_and_what_was_lost() {
        let mut torrent = snapshot(Phase::Seeding);
        (torrent.total, torrent.downloaded) = (1 << 30, 1 << 30);
        assert_eq!(done(&torrent, Duration::from_secs(12)), "done, 1 GiB in 12 s (85.3 MiB/s)");
        torrent.wasted = 1 << 29;
        assert!(done(&torrent, Duration::from_secs(12)).ends_with(", 512 MiB wasted"));
        torrent.downloaded = 0;
        assert_eq!(done(&torrent, Duration::ZERO), "done, all 1 GiB was here already");
    }

    #[test]
    fn of_a_download_that_was_gone_on_with_it_is_said_how_much_came_now() {
        let mut torrent = snapshot(Phase::Seeding);
        (torrent.total, torrent.downloaded, torrent.wasted) = (1 << 30, 1 << 29, 0);
        assert_eq!(
            done(&torrent, Duration::from_secs(64)),
            "done, 512 MiB of 1 GiB in 1 min 4 s (8.0 MiB/s)"
        );
    }

    #[test]
    fn what_is_left_when_it_is_stopped_is_said_as_far_as_it_is_known() {
        let mut torrent = snapshot(Phase::Downloading);
        (torrent.total, torrent.verified) = (1000, 250);
        assert_eq!(left("x", &torrent).unwrap(), "x: stopped; 25.0% is here and is kept");
        torrent.verified = 0;
        assert!(left("x", &torrent).unwrap().contains("no piece here yet"));
        torrent.phase = Phase::Opening;
        assert!(left("x", &torrent).unwrap().contains("before it was checked"));
    }

    #[test]
    fn what_the_disk_refuses_decides_the_exit_code() {
        let failure = |kind| {
            let file = "a\x1b".to_owned();
            let message = "so it is".to_owned();
            TorrentFailure::Disk(DiskError { kind, operation: "write", file, message })
        };
        for (kind, number) in
            [(DiskErrorKind::Full { free: None }, 9), (DiskErrorKind::Exists, 13), (DiskErrorKind::Other, 17)]
        {
            let error = super::failed("x", &failure(kind));
            assert_eq!(error.code.number(), number);
            assert!(error.message.starts_with("x: cannot write"), "{error}");
        }
    }

    #[test]
    fn what_was_here_already_is_said_when_it_is_some_but_not_all() {
        let checked = |have| Notice::Checked { torrent: TORRENT, have, pieces: 100 };
        assert_eq!(told(&[], &[checked(37)]), "x: 37 of 100 pieces are here already\n");
        assert_eq!(told(&[], &[checked(0), checked(100)]), "");
    }
}
