//! The environment that the program runs in, as a value: a test hands in its own.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::PathBuf;

use super::output::stderr::Stderr;

/// Arguments, folder and streams of one run.
pub struct Env {
    /// The words of the command line, the program's name first.
    pub args: Vec<OsString>,
    /// The folder that relative paths start from.
    pub dir: PathBuf,
    /// Where this user's programs keep what they remember; `None` where that is unknown.
    pub state_home: Option<PathBuf>,
    /// Standard input.
    pub stdin: Box<dyn Read + Send>,
    /// For results only.
    pub stdout: Box<dyn Write + Send>,
    /// For everything else.
    pub stderr: Stderr,
    /// Whether standard error is a terminal that can redraw and color.
    pub stderr_is_terminal: bool,
    /// Whether the person wants no color anywhere (`NO_COLOR`).
    pub no_color: bool,
    /// Whether SIGINT and SIGTERM are caught from the first download on.
    pub catches_signals: bool,
}

impl Env {
    /// The environment of this process.
    pub fn of_process() -> Env {
        Env {
            args: std::env::args_os().collect(),
            // Without a current folder relative paths fail one by one, each with its own message.
            dir: std::env::current_dir().unwrap_or_default(),
            state_home: state_home(),
            stdin: Box::new(io::stdin()),
            stdout: Box::new(io::stdout()),
            stderr: Stderr::over(Box::new(io::stderr())),
            stderr_is_terminal: io::stderr().is_terminal() && !is_dumb(),
            no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            catches_signals: true,
        }
    }
}

/// Whether the terminal can neither move its cursor nor color: that is what it says, or it says nothing.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// As the XDG base directory specification has it; relative paths there are to be ignored.
fn state_home() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))
}
