//! What people and scripts get to see: numbers, lines, bars, logs, JSON.
//!
//! All that goes to standard error goes through one [`Screen`], so that lines and bars do not mix, and from there
//! through a queue, so that nobody waits for who reads it. Results go
//! to standard output, which the commands write themselves.

pub mod escape;
pub mod format;
pub mod hashing;
pub mod json_text;
pub mod log;
pub mod progress;
pub mod screen;
pub mod status;
pub mod stderr;
mod terminal;

pub use screen::Screen;
