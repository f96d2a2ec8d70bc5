//! How it goes, for people: lines that are redrawn on a terminal, a plain line now and then elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use unicode_width::UnicodeWidthStr as _;

use super::format;
use super::screen::{Mode, Paint, Screen};
use super::status::StatusLine;
use crate::base::time::Duration;
use crate::engine::snapshot::{Phase, TorrentSnapshot};

/// Torrents that have a line of their own on a terminal; with more there is a line for all together.
const BARS: usize = 8;
/// Columns of the bar where a line leaves room for one.
const BAR_WIDTH: usize = 20;
/// Time between plain lines while nothing changes.
pub(super) const LINE_EVERY: Duration = Duration::from_secs(60);
/// A state counts as changed once it has lasted this long: short ones are not worth a line.
const SETTLED: Duration = Duration::from_secs(1);

/// One target on its way.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Its place on the command line.
    pub index: usize,
    /// Its name, escaped.
    pub name: &'a str,
    /// What the client says of it.
    pub torrent: &'a TorrentSnapshot,
}

/// How many targets are where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// All targets.
    pub all: usize,
    /// Those that are complete.
    pub done: usize,
    /// Those that failed.
    pub failed: usize,
}

/// Shows progress the way its screen wants it.
pub struct Progress {
    screen: Screen,
    bars: Option<Bars>,
    lines: BTreeMap<usize, Line>,
    /// When a line for all was said last.
    total_said_at: Duration,
}

/// What has been said of a target in plain lines.
struct Line {
    /// The state that was said last.
    said: String,
    said_at: Duration,
    /// The state as it is, and since when.
    state: String,
    since: Duration,
}

impl Progress {
    /// Nothing shown yet.
    pub fn new(screen: &Screen) -> Progress {
        let bars = screen.bars().map(|multi| Bars::new(multi.clone()));
        Progress { screen: screen.clone(), bars, lines: BTreeMap::new(), total_said_at: Duration::ZERO }
    }

    /// Shows `views` as they are `now` (time since the start).
    pub fn update(&mut self, now: Duration, views: &[View<'_>], tally: Tally) {
        match (self.screen.mode(), &mut self.bars) {
            (Mode::Bars, Some(bars)) if self.screen.takes_bars() => {
                bars.update(&self.screen, views, tally);
            }
            (Mode::Lines, _) => self.update_lines(now, views, tally),
            _ => {}
        }
    }

    /// Says how each of `views` is doing, whatever the mode.
    pub fn say_status(&self, views: &[View<'_>], tally: Tally) {
        for view in views {
            self.screen.say(&StatusLine::new(view.name, view.torrent).full());
        }
        self.screen.say(&format!("{} of {} done, {} failed", tally.done, tally.all, tally.failed));
    }

    /// Takes everything that is redrawn off the screen.
    pub fn clear(&mut self) {
        if let Some(bars) = &mut self.bars {
            bars.clear();
        }
    }

    /// Too many for a line each are a line together, but for changes.
    fn update_lines(&mut self, now: Duration, views: &[View<'_>], tally: Tally) {
        let are_many = views.len() > BARS;
        if are_many && now.saturating_sub(self.total_said_at) >= LINE_EVERY {
            self.total_said_at = now;
            self.screen.say(&total_line(views, tally).full());
        }
        let shown: BTreeSet<usize> = views.iter().map(|view| view.index).collect();
        self.lines.retain(|index, _| shown.contains(index));
        for view in views {
            let (state, words) = state(view.torrent);
            let line = self.lines.entry(view.index).or_insert_with(|| Line {
                said: String::new(),
                said_at: now,
                state: state.to_owned(),
                since: now,
            });
            if line.state != state {
                line.state = state.to_owned();
                line.since = now;
            }
            if line.said != line.state && now.saturating_sub(line.since) >= SETTLED {
                line.said.clone_from(&line.state);
                line.said_at = now;
                self.screen.say(&format!("{}: {words}", view.name));
            } else if !are_many && now.saturating_sub(line.said_at) >= LINE_EVERY {
                line.said_at = now;
                self.screen.say(&StatusLine::new(view.name, view.torrent).full());
            }
        }
    }
}

/// The state's name, which changes only when people should hear of it, and the state in words.
fn state(torrent: &TorrentSnapshot) -> (&'static str, String) {
    match (&torrent.phase, &torrent.waiting) {
        (Phase::Downloading, Some(reason)) => (reason.name(), format!("waiting: {reason}")),
        (Phase::Downloading, None) => {
            let here = format::percent(torrent.verified, torrent.total);
            ("downloading", format!("downloading, {here} is here"))
        }
        (Phase::Opening, _) => ("opening", "opening".to_owned()),
        (Phase::Checking { .. }, _) => ("checking", "checking what is there".to_owned()),
        (Phase::Seeding, _) => ("seeding", "seeding".to_owned()),
        (Phase::Failed, _) => ("failed", "failed".to_owned()),
        (Phase::Stopped, _) => ("stopped", "stopped".to_owned()),
    }
}

struct Bars {
    multi: MultiProgress,
    style: ProgressStyle,
    shown: BTreeMap<usize, ProgressBar>,
    total: Option<ProgressBar>,
}

impl Bars {
    fn new(multi: MultiProgress) -> Bars {
        let style = ProgressStyle::with_template("{msg}").expect("a template of one key");
        Bars { multi, style, shown: BTreeMap::new(), total: None }
    }

    fn update(&mut self, screen: &Screen, views: &[View<'_>], tally: Tally) {
        let width = screen.width().saturating_sub(1);
        let shown = &views[..views.len().min(BARS)];
        let gone: Vec<usize> = self
            .shown
            .keys()
            .filter(|index| shown.iter().all(|view| view.index != **index))
            .copied()
            .collect();
        for bar in gone.iter().filter_map(|index| self.shown.remove(index)) {
            self.multi.remove(&bar);
        }
        for view in shown {
            let status = StatusLine::new(view.name, view.torrent);
            let message = with_bar(screen, &status, view.torrent, width);
            let bar = self.shown.entry(view.index).or_insert_with(|| {
                self.multi.insert(shown.iter().position(|other| other.index == view.index).unwrap_or(0), {
                    ProgressBar::new_spinner().with_style(self.style.clone())
                })
            });
            bar.set_message(message);
        }
        if tally.all > BARS {
            let total = self.total.get_or_insert_with(|| {
                self.multi.add(ProgressBar::new_spinner().with_style(self.style.clone()))
            });
            let (name, rest) = total_line(views, tally).fit(width);
            total.set_message(format!("{}{rest}", screen.painted(Paint::Bold, &name)));
        }
    }

    fn clear(&mut self) {
        for bar in std::mem::take(&mut self.shown).into_values().chain(self.total.take()) {
            self.multi.remove(&bar);
        }
        let _gone = self.multi.clear();
    }
}

fn total_line(views: &[View<'_>], tally: Tally) -> StatusLine {
    let rate = |of: fn(&TorrentSnapshot) -> u64| {
        format::rate(crate::base::rate::ByteRate(views.iter().map(|view| of(view.torrent)).sum()))
    };
    let failed = if tally.failed > 0 { format!(", {} failed", tally.failed) } else { String::new() };
    let (down, up) = (rate(|torrent| torrent.down.0), rate(|torrent| torrent.up.0));
    StatusLine::word("total", &format!("{} of {} done{failed}  ↓ {down} ↑ {up}", tally.done, tally.all))
}

/// The line in `width` columns, and at its end a bar, if there is room for it.
fn with_bar(screen: &Screen, status: &StatusLine, torrent: &TorrentSnapshot, width: usize) -> String {
    let paint = if torrent.waiting.is_some() { Paint::Yellow } else { Paint::Bold };
    let share = match torrent.phase {
        Phase::Downloading => Some(fraction(torrent.verified.saturating_add(torrent.partial), torrent.total)),
        Phase::Checking { done, pieces, .. } => Some(fraction(u64::from(done), u64::from(pieces))),
        _ => None,
    };
    drawn(screen, status, paint, share, width)
}

/// A line in `width` columns, its name painted; behind it a bar that is full to `share` (0 to 1), where there
/// is a share and room.
pub(super) fn drawn(
    screen: &Screen,
    status: &StatusLine,
    paint: Paint,
    share: Option<f64>,
    width: usize,
) -> String {
    let (name, rest) = status.fit(width);
    let used = name.width() + rest.width();
    let mut line = format!("{}{rest}", screen.painted(paint, &name));
    if let Some(share) = share
        && used + 2 + BAR_WIDTH <= width
    {
        let full = ((share * BAR_WIDTH as f64) as usize).min(BAR_WIDTH);
        line.push_str(&" ".repeat(width - used - BAR_WIDTH));
        line.push_str(&screen.painted(Paint::Green, &"━".repeat(full)));
        line.push_str(&screen.painted(Paint::Dim, &"─".repeat(BAR_WIDTH - full)));
    }
    line
}

pub(super) fn fraction(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::screen::tests::screen;
    use crate::cli::output::status::tests::snapshot;
    use crate::engine::snapshot::StallReason;

    fn lines_of(steps: &[(u64, &TorrentSnapshot)]) -> Vec<String> {
        let (screen, shared) = screen(&[], false, false);
        let mut progress = Progress::new(&screen);
        for (second, torrent) in steps {
            let views = [View { index: 0, name: "x", torrent }];
            progress.update(Duration::from_secs(*second), &views, Tally { all: 1, ..Tally::default() });
        }
        shared.text().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_change_of_state_is_said_once_when_it_has_lasted() {
        let flowing = snapshot(Phase::Downloading);
        let mut waiting = flowing.clone();
        waiting.waiting = Some(StallReason::MissingPieces { pieces: 12, copies: 0.97 });
        let mut still_waiting = flowing.clone();
        still_waiting.waiting = Some(StallReason::MissingPieces { pieces: 11, copies: 0.98 });
        let steps =
            [(0, &flowing), (3, &flowing), (4, &waiting), (5, &flowing), (8, &flowing), (10, &waiting)];
        assert_eq!(lines_of(&steps), ["x: downloading, 62.3% is here"]);
        let steps = [(0, &flowing), (3, &waiting), (6, &still_waiting), (7, &flowing), (9, &flowing)];
        let lines = lines_of(&steps);
        assert_eq!(lines[0], "x: waiting: no peer has 11 missing pieces (copies 0.98)");
        assert_eq!(lines[1], "x: downloading, 62.3% is here");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn every_reason_to_wait_is_shown_in_bars_and_in_lines_in_the_same_words() {
        let reasons = [
            StallReason::NoTrackers,
            StallReason::TrackerRefused,
            StallReason::NoPeersFound,
            StallReason::NoneConnectable,
            StallReason::AllChokeUs,
            StallReason::MissingPieces { pieces: 2, copies: 0.5 },
            StallReason::PeersSilent,
            StallReason::DiskSlow,
            StallReason::DiskFull { free: Some(1), needed: 2 },
            StallReason::LimitedByUser,
        ];
        assert_eq!(reasons.map(|reason| reason.name()), StallReason::NAMES);
        for reason in reasons {
            let waiting = TorrentSnapshot { waiting: Some(reason), ..snapshot(Phase::Downloading) };
            let words = format!("waiting: {reason}");
            assert_eq!(lines_of(&[(0, &waiting), (2, &waiting)]), [format!("x: {words}")]);
            let (screen, _) = screen(&[], false, false);
            let bar = with_bar(&screen, &StatusLine::new("x", &waiting), &waiting, 100);
            assert!(bar.contains(&words), "{bar}");
        }
    }

    #[test]
    fn while_nothing_changes_there_is_a_line_a_minute() {
        let flowing = snapshot(Phase::Downloading);
        let steps: Vec<_> = (0..=190).map(|second| (second, &flowing)).collect();
        let lines = lines_of(&steps);
        assert_eq!(lines.len(), 4, "{lines:#?}");
        assert!(lines[1].contains("ETA"), "{lines:#?}");
    }

    #[test]
    fn of_many_there_is_one_line_a_minute_for_all() {
        let (screen, shared) = screen(&[], false, false);
        let mut progress = Progress::new(&screen);
        let flowing = snapshot(Phase::Seeding);
        let views: Vec<View<'_>> =
            (0..1000).map(|index| View { index, name: "x", torrent: &flowing }).collect();
        for second in 0..=130 {
            let tally = Tally { all: 1000, done: 1000, failed: 0 };
            progress.update(Duration::from_secs(second), &views, tally);
        }
        let text = shared.text();
        let said = |words: &str| text.lines().filter(|line| line.contains(words)).count();
        assert_eq!(
            (said("x: seeding"), said("total  1000 of 1000 done"), text.lines().count()),
            (1000, 2, 1002)
        );
    }

    #[test]
    fn a_bar_is_drawn_only_where_there_is_room() {
        let (screen, _) = screen(&[], false, false);
        let torrent = snapshot(Phase::Downloading);
        let status = StatusLine::new("x", &torrent);
        let wide = with_bar(&screen, &status, &torrent, 140);
        assert_eq!(wide.width(), 140);
        assert!(wide.ends_with("━━━━━━━━━━━━────────"), "{wide}");
        assert!(!with_bar(&screen, &status, &torrent, 80).contains('━'));
    }
}
