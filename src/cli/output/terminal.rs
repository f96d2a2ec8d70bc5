//! The terminal that bars are drawn on: each drawing goes out in one piece, through the same queue as all lines.

use std::fmt::Write as _;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;

use super::stderr::Stderr;

/// A terminal over `stderr`, driven with ANSI sequences.
#[derive(Debug)]
pub(super) struct Terminal {
    stderr: Stderr,
    /// The drawing under way.
    drawing: Mutex<String>,
}

impl Terminal {
    pub(super) fn new(stderr: Stderr) -> Terminal {
        Terminal { stderr, drawing: Mutex::default() }
    }

    fn drawing(&self) -> MutexGuard<'_, String> {
        self.drawing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the cursor by `count` in the direction that `letter` means.
    fn move_cursor(&self, count: usize, letter: char) -> io::Result<()> {
        if count > 0 {
            write!(self.drawing(), "\x1b[{count}{letter}").map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Columns and rows of the terminal at standard error.
pub(super) fn size() -> Option<(u16, u16)> {
    if let Ok(size) = rustix::termios::tcgetwinsize(io::stderr())
        && size.ws_col > 0
    {
        return Some((size.ws_col, size.ws_row));
    }
    None
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        size().map_or(80, |(columns, _)| columns)
    }

    fn height(&self) -> u16 {
        size().map_or(24, |(_, rows)| rows)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D')
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        let mut drawing = self.drawing();
        drawing.push_str(s);
        drawing.push('\n');
        Ok(())
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.drawing().push_str(s);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.drawing().push_str("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let drawing = std::mem::take(&mut *self.drawing());
        if !drawing.is_empty() {
            self.stderr.draw(&drawing);
        }
        Ok(())
    }
}
