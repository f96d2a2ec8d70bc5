//! How far the hashing of files is, for people: one line that is redrawn on a terminal, a plain line now and
//! then elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

use super::progress::{LINE_EVERY, drawn, fraction};
use super::screen::{Mode, Paint, Screen};
use super::status::StatusLine;
use crate::base::time::Duration;

/// Work of a known size on something with a name.
pub struct HashingProgress {
    screen: Screen,
    bar: Option<ProgressBar>,
    name: String,
    what: &'static str,
    total: u64,
    said_at: Duration,
}

impl HashingProgress {
    /// At the start: a plain line, where there are plain lines. `name` is escaped already; `what` is one word for
    /// what is done; `total` bytes.
    pub fn new(screen: &Screen, name: &str, what: &'static str, total: u64) -> HashingProgress {
        let bar = screen.bars().map(|bars| {
            let style = ProgressStyle::with_template("{msg}").expect("a template of one key");
            bars.add(ProgressBar::new_spinner().with_style(style))
        });
        let said_at = Duration::ZERO;
        let shown =
            HashingProgress { screen: screen.clone(), bar, name: name.to_owned(), what, total, said_at };
        if screen.mode() == Mode::Lines {
            shown.say(0, Duration::ZERO);
        }
        shown
    }

    /// Shows that `done` bytes are done after `time`.
    pub fn update(&mut self, done: u64, time: Duration) {
        if let Some(bar) = &self.bar {
            if !self.screen.takes_bars() {
                return;
            }
            let width = self.screen.width().saturating_sub(1);
            let share = Some(fraction(done, self.total));
            bar.set_message(drawn(&self.screen, &self.line(done, time), Paint::Bold, share, width));
        } else if self.screen.mode() == Mode::Lines && time.saturating_sub(self.said_at) >= LINE_EVERY {
            self.said_at = time;
            self.say(done, time);
        }
    }

    /// Says how it goes, whatever the mode.
    pub fn say(&self, done: u64, time: Duration) {
        self.screen.say(&self.line(done, time).full());
    }

    fn line(&self, done: u64, time: Duration) -> StatusLine {
        StatusLine::hashing(&self.name, self.what, done, self.total, time)
    }
}

impl Drop for HashingProgress {
    /// Takes what is redrawn off the screen.
    fn drop(&mut self) {
        if let (Some(bar), Some(bars)) = (&self.bar, self.screen.bars()) {
            bars.remove(bar);
            let _gone = bars.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::screen::tests::screen;

    #[test]
    fn without_a_terminal_there_is_a_line_at_the_start_and_one_a_minute() {
        let (screen, shared) = screen(&[], false, false);
        let mut progress = HashingProgress::new(&screen, "x", "hashing", 4 << 30);
        for second in 0..=130 {
            progress.update(second << 24, Duration::from_secs(second));
        }
        let text = shared.text();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(text.lines().next(), Some("x  hashing  0.0% 0.0/4.0 GiB"));
        assert_eq!(text.lines().nth(1), Some("x  hashing  23.4% 0.9/4.0 GiB  16.0 MiB/s  ETA 3:16"));
    }
}
