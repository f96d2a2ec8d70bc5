//! Standard error: one place through which every line goes, so that lines and bars never mix.

use indicatif::{MultiProgress, ProgressDrawTarget};

use super::stderr::Stderr;
use super::terminal::{self, Terminal};
use crate::base::time::Duration;
use crate::cli::args::{ColorChoice, Output, ProgressChoice};
use crate::cli::error::CliError;

/// Redraws of the bars a second, at most.
const REDRAWS: u8 = 5;
/// How long the last words wait for somebody to read on.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// Standard error, shared by whoever has something to say.
#[derive(Clone)]
pub struct Screen {
    stderr: Stderr,
    bars: Option<MultiProgress>,
    mode: Mode,
    color: bool,
    quiet: u8,
    verbose: u8,
}

/// How progress is shown on this screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Lines that are redrawn.
    Bars,
    /// Plain lines now and then.
    Lines,
    /// Not at all.
    Silent,
}

impl Screen {
    /// A screen over `stderr` as the flags want it. Bars need a terminal; without one there are lines.
    pub fn new(stderr: Stderr, is_terminal: bool, no_color: bool, output: &Output) -> Screen {
        let mode = match output.progress {
            _ if output.quiet > 0 => Mode::Silent,
            ProgressChoice::None => Mode::Silent,
            ProgressChoice::Auto | ProgressChoice::Bar if is_terminal => Mode::Bars,
            ProgressChoice::Auto | ProgressChoice::Bar | ProgressChoice::Line => Mode::Lines,
        };
        let color = match output.color {
            ColorChoice::Auto => is_terminal && !no_color,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        let bars = (mode == Mode::Bars).then(|| {
            let terminal = Box::new(Terminal::new(stderr.clone()));
            let target = ProgressDrawTarget::term_like_with_hz(terminal, REDRAWS);
            let bars = MultiProgress::with_draw_target(target);
            bars.set_move_cursor(true);
            bars
        });
        let (quiet, verbose) = (output.quiet, output.verbose);
        Screen { stderr, bars, mode, color, quiet, verbose }
    }

    /// How progress is shown.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Where the bars live, if there are bars.
    pub fn bars(&self) -> Option<&MultiProgress> {
        self.bars.as_ref()
    }

    /// How often `-v` was given.
    pub fn verbose(&self) -> u8 {
        self.verbose
    }

    /// A line that people want unless they asked for quiet.
    pub fn say(&self, text: &str) {
        if self.quiet == 0 {
            self.line(text);
        }
    }

    /// A line for `-v`.
    pub fn detail(&self, text: &str) {
        if self.verbose > 0 && self.quiet == 0 {
            self.line(text);
        }
    }

    /// Something is not as it should be, but work goes on.
    pub fn warn(&self, text: &str) {
        if self.quiet < 2 {
            self.line(&format!("{} {text}", self.painted(Paint::Yellow, "warning:")));
        }
    }

    /// Why the program, or one of its targets, failed.
    pub fn error(&self, error: &CliError) {
        self.line(&format!("{} {}", self.painted(Paint::Red, "error:"), error.message));
        if let Some(hint) = &error.hint {
            self.line(&format!("  {hint}"));
        }
    }

    /// `text` in a color, where color is wanted.
    pub fn painted(&self, paint: Paint, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Red => "1;31",
            Paint::Green => "32",
            Paint::Yellow => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Columns of the terminal.
    pub fn width(&self) -> usize {
        terminal::size().map_or(80, |(columns, _)| usize::from(columns))
    }

    /// Whether bars may be drawn now: not while the program runs in the background of its terminal, nor while what was
    /// drawn before has not come out.
    pub(super) fn takes_bars(&self) -> bool {
        !self.stderr.is_behind() && is_in_foreground()
    }

    /// A line of the log.
    pub(super) fn log(&self, text: &str) {
        self.clear();
        self.stderr.log(&format!("{text}\n"));
    }

    fn line(&self, text: &str) {
        self.clear();
        self.stderr.say(&format!("{text}\n"));
    }

    /// Takes the bars off, if there are any. They are drawn again with the next look.
    fn clear(&self) {
        if let Some(bars) = &self.bars {
            let _gone = bars.clear();
        }
    }

    /// Waits until all is shown, as long as somebody reads it.
    pub fn flush(&self) {
        self.stderr.flush(LAST_WORDS);
    }
}

fn is_in_foreground() -> bool {
    if let Ok(group) = rustix::termios::tcgetpgrp(std::io::stderr()) {
        return group == rustix::process::getpgrp();
    }
    true
}

/// Colors that are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Paint {
    /// For names.
    Bold,
    /// For what matters less.
    Dim,
    /// For errors.
    Red,
    /// For what is done.
    Green,
    /// For warnings and waiting.
    Yellow,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cli::args::parse_main;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    /// A stream that a test can read back.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    /// What came out of a screen.
    pub(crate) struct Shown(Shared, Stderr);

    impl Shown {
        pub(crate) fn text(&self) -> String {
            self.1.flush(Duration::from_secs(60));
            String::from_utf8(self.0.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    pub(crate) fn screen(flags: &[&str], is_terminal: bool, no_color: bool) -> (Screen, Shown) {
        let shared = Shared::default();
        let words: Vec<&str> = flags.iter().copied().chain(["x"]).collect();
        let output = parse_main(&words).unwrap().output;
        let stderr = Stderr::over(Box::new(shared.clone()));
        (Screen::new(stderr.clone(), is_terminal, no_color, &output), Shown(shared, stderr))
    }

    #[test]
    fn quiet_keeps_warnings_and_twice_quiet_keeps_errors() {
        let shown = |flags: &[&str]| {
            let (screen, shared) = screen(flags, false, false);
            screen.say("said");
            screen.detail("detail");
            screen.warn("careful");
            screen.error(&CliError::usage("wrong").with_hint("do right"));
            shared.text()
        };
        assert_eq!(shown(&[]), "said\nwarning: careful\nerror: wrong\n  do right\n");
        assert_eq!(shown(&["-v"]), "said\ndetail\nwarning: careful\nerror: wrong\n  do right\n");
        assert_eq!(shown(&["-q"]), "warning: careful\nerror: wrong\n  do right\n");
        assert_eq!(shown(&["-qq"]), "error: wrong\n  do right\n");
    }

    #[test]
    fn color_follows_terminal_no_color_and_flag_in_this_order() {
        let colored = |flags: &[&str], is_terminal, no_color| {
            screen(flags, is_terminal, no_color).0.painted(Paint::Red, "x") != "x"
        };
        assert!(colored(&[], true, false));
        assert!(!colored(&[], true, true));
        assert!(!colored(&[], false, false));
        assert!(colored(&["--color=always"], false, true));
        assert!(!colored(&["--color=never"], true, false));
    }

    #[test]
    fn bars_need_a_terminal() {
        let mode = |flags: &[&str], is_terminal| screen(flags, is_terminal, false).0.mode();
        assert_eq!(mode(&[], true), Mode::Bars);
        assert_eq!(mode(&["--progress=line"], true), Mode::Lines);
        assert_eq!(mode(&["--progress=bar"], false), Mode::Lines);
        assert_eq!(mode(&["--progress=none"], true), Mode::Silent);
        assert_eq!(mode(&["-q"], true), Mode::Silent);
    }
}
