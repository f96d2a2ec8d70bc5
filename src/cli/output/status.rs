//! One torrent's state as one line:
//! `ubuntu.iso  62.3% 3.1/4.9 GiB  ↓ 98.2 MiB/s ↑ 1.2 MiB/s  peers 42 (17 seeds)  copies 23.4  ETA 0:19`.
//!
//! Where the line does not fit, what matters least goes first, then the name is cut.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::format;
use crate::base::rate::ByteRate;
use crate::base::time::Duration;
use crate::engine::snapshot::{Phase, TorrentSnapshot};

/// Columns that a name may take while there is room for all the rest.
const NAME_WIDTH: usize = 40;
/// Columns that a name keeps as long as other parts can go.
const NAME_WIDTH_GOOD: usize = 20;
/// Columns below which a name says nothing any more.
const NAME_WIDTH_MIN: usize = 8;

/// The parts of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusLine {
    name: String,
    parts: Vec<Part>,
}

/// A stretch of the line.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Part {
    text: String,
    /// Parts of high rank go first; rank 0 stays.
    rank: u8,
    /// Spaces before it.
    gap: usize,
}

impl StatusLine {
    /// A line of `name` (escaped already) and one word.
    pub fn word(name: &str, word: &str) -> StatusLine {
        StatusLine { name: name.to_owned(), parts: vec![part(word.to_owned(), 0, 2)] }
    }

    /// The line of a torrent called `name` (escaped already).
    pub fn new(name: &str, torrent: &TorrentSnapshot) -> StatusLine {
        let parts = match torrent.phase {
            Phase::Opening => return StatusLine::word(name, "opening"),
            Phase::Failed => return StatusLine::word(name, "failed"),
            Phase::Stopped => return StatusLine::word(name, "stopped"),
            Phase::Checking { done, pieces, rate } => checking(done, pieces, rate, torrent.eta),
            Phase::Seeding => seeding(torrent),
            Phase::Downloading => downloading(torrent),
        };
        StatusLine { name: name.to_owned(), parts }
    }

    /// The line of files that are read and hashed, `what` in one word: so many of `total` bytes are done after
    /// `time`. At the start there is no rate yet.
    pub fn hashing(name: &str, what: &str, done: u64, total: u64, time: Duration) -> StatusLine {
        let done = done.min(total);
        let rate = ByteRate((done as f64 / time.as_secs_f64().max(0.001)) as u64);
        let mut parts = vec![
            part(what.to_owned(), 4, 2),
            part(format::percent(done, total), 0, 2),
            part(format::part_of(done, total), 3, 1),
        ];
        if !time.is_zero() {
            parts.push(part(format::rate(rate), 2, 2));
        }
        if let Some(seconds) = (total - done).checked_div(rate.0) {
            parts.push(part(format!("ETA {}", format::clock(Duration::from_secs(seconds))), 1, 2));
        }
        StatusLine { name: name.to_owned(), parts }
    }

    /// The whole line.
    pub fn full(&self) -> String {
        self.assembled(&cut(&self.name, NAME_WIDTH), &self.parts)
    }

    /// The line in at most `width` columns: its name, and the rest behind it.
    pub fn fit(&self, width: usize) -> (String, String) {
        let mut parts = self.parts.clone();
        let mut name = cut(&self.name, NAME_WIDTH);
        loop {
            let room = width.saturating_sub(parts_width(&parts));
            let highest = parts.iter().map(|part| part.rank).max().unwrap_or(0);
            if room >= name.width().min(NAME_WIDTH_GOOD) || highest == 0 {
                name = cut(&name, room.max(NAME_WIDTH_MIN).min(width));
                break;
            }
            parts.retain(|part| part.rank < highest);
        }
        let rest = self.assembled("", &parts);
        let room = width.saturating_sub(name.width());
        (name, cut(&rest, room))
    }

    fn assembled(&self, name: &str, parts: &[Part]) -> String {
        let mut line = name.to_owned();
        for part in parts {
            line.push_str(&" ".repeat(part.gap));
            line.push_str(&part.text);
        }
        line
    }
}

fn part(text: String, rank: u8, gap: usize) -> Part {
    Part { text, rank, gap }
}

fn parts_width(parts: &[Part]) -> usize {
    parts.iter().map(|part| part.gap + part.text.width()).sum()
}

fn downloading(torrent: &TorrentSnapshot) -> Vec<Part> {
    let here = torrent.verified.saturating_add(torrent.partial).min(torrent.total);
    // Everything has come, but it is not yet verified and written.
    let shown = if torrent.verified < torrent.total { here.min(torrent.total - 1) } else { here };
    let mut parts = vec![
        part(format::percent(shown, torrent.total), 0, 2),
        part(format::part_of(here, torrent.total), 3, 1),
    ];
    if let Some(reason) = &torrent.waiting {
        parts.push(part(format!("waiting: {reason}"), 0, 2));
        parts.push(part(format!("peers {}", torrent.peers), 4, 2));
        return parts;
    }
    parts.push(part(format!("↓ {}", format::rate(torrent.down)), 0, 2));
    parts.push(part(format!("↑ {}", format::rate(torrent.up)), 6, 1));
    parts.push(part(format!("peers {}", torrent.peers), 4, 2));
    parts.push(part(format!("({})", format::count(torrent.seeds, "seed")), 5, 1));
    parts.push(part(format!("copies {:.1}", torrent.copies), 7, 2));
    if let Some(eta) = torrent.eta {
        parts.push(part(format!("ETA {}", format::clock(eta)), 1, 2));
    }
    parts
}

fn checking(done: u32, pieces: u32, rate: ByteRate, eta: Option<Duration>) -> Vec<Part> {
    let percent = u64::from(done) * 100 / u64::from(pieces.max(1));
    let mut parts = vec![part(format!("checking {percent} %"), 0, 2)];
    if rate.0 > 0 {
        parts.push(part(format::rate(rate), 2, 2));
        parts.extend(eta.map(|eta| part(format!("ETA {}", format::clock(eta)), 1, 2)));
    }
    parts
}

fn seeding(torrent: &TorrentSnapshot) -> Vec<Part> {
    vec![
        part("seeding".to_owned(), 0, 2),
        part(format!("↑ {}", format::rate(torrent.up)), 0, 2),
        part(format!("uploaded {}", format::growing(torrent.uploaded)), 1, 2),
        part(format!("peers {}", torrent.peers), 2, 2),
    ]
}

/// `text` in at most `width` columns, with an ellipsis where something is missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let mut short: String = text
        .chars()
        .take_while(|c| {
            let columns = c.width().unwrap_or(0);
            let fits = columns <= room;
            room = if fits { room - columns } else { 0 };
            fits
        })
        .collect();
    if width > 0 {
        short.push('…');
    }
    short
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::rate::ByteRate;
    use crate::base::time::Duration;
    use crate::engine::disk_job::Traffic;
    use crate::engine::order::TorrentId;
    use crate::engine::snapshot::StallReason;

    pub(crate) fn snapshot(phase: Phase) -> TorrentSnapshot {
        TorrentSnapshot {
            swarm_seeds: 0,
            torrent: TorrentId(1),
            phase,
            total: 5_261_334_938,
            pieces: 100,
            have: 62,
            verified: 3_278_500_000,
            partial: 0,
            downloaded: 3_278_500_000,
            uploaded: 1 << 20,
            earlier: Traffic::default(),
            wasted: 0,
            down: ByteRate(102_970_163),
            up: ByteRate(1_258_291),
            peers: 42,
            seeds: 17,
            known_peers: 60,
            copies: 23.4,
            eta: Some(Duration::from_secs(19)),
            waiting: None,
            peer_list: Vec::new(),
        }
    }

    #[test]
    fn the_line_is_as_the_readme_shows_it() {
        let line = StatusLine::new("ubuntu.iso", &snapshot(Phase::Downloading)).full();
        assert_eq!(
            line,
            "ubuntu.iso  62.3% 3.1/4.9 GiB  ↓ 98.2 MiB/s ↑ 1.2 MiB/s  peers 42 (17 seeds)  copies 23.4  ETA 0:19"
        );
    }

    #[test]
    fn states_are_told_in_words() {
        let line = |torrent: &TorrentSnapshot| StatusLine::new("x", torrent).full();
        let checking = |done, pieces, rate| snapshot(Phase::Checking { done, pieces, rate: ByteRate(rate) });
        assert_eq!(line(&checking(37, 100, 1 << 30)), "x  checking 37 %  1.0 GiB/s  ETA 0:19");
        assert_eq!(line(&checking(0, 0, 0)), "x  checking 0 %");
        assert!(line(&snapshot(Phase::Seeding)).starts_with("x  seeding  ↑ 1.2 MiB/s"));
        let mut waiting = snapshot(Phase::Downloading);
        waiting.waiting = Some(StallReason::MissingPieces { pieces: 12, copies: 0.97 });
        assert!(line(&waiting).contains("  waiting: no peer has 12 missing pieces (copies 0.97)"));
    }

    #[test]
    fn what_is_not_verified_yet_is_not_a_hundred_percent() {
        let mut last = snapshot(Phase::Downloading);
        last.partial = last.total - last.verified;
        assert!(StatusLine::new("x", &last).full().contains("99.9%"));
    }

    #[test]
    fn a_narrow_line_loses_what_matters_least_and_never_wraps() {
        let status = StatusLine::new("a-rather-long-name-of-a-file.iso", &snapshot(Phase::Downloading));
        let fitted = |width| {
            let (name, rest) = status.fit(width);
            assert!(format!("{name}{rest}").width() <= width, "{width}: {name}{rest}");
            name + &rest
        };
        assert_eq!(fitted(200), status.full());
        let narrow = fitted(60);
        assert!(
            narrow.contains("62.3%") && narrow.contains("98.2 MiB/s") && narrow.contains("ETA"),
            "{narrow}"
        );
        assert!(!narrow.contains("copies"), "{narrow}");
        for width in 0..120 {
            fitted(width);
        }
    }

    #[test]
    fn wide_letters_count_as_two_columns() {
        assert_eq!(cut("日本語の名前", 7), "日本語…");
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("abc", 0), "");
    }
}
