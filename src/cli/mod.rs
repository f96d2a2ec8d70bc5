//! Floor 4: asks and shows. Arguments in, progress out.
//!
//! Two steps: [`args`] turns words into checked values and does nothing else; `settings` builds what the
//! client needs from them. Then a command runs, with the whole environment in its hands as an [`env::Env`], so
//! that the program also runs inside a test.

pub mod args;
pub mod command;
pub mod env;
pub mod error;
pub mod exit_code;
pub mod interrupts;
pub mod output;
pub mod torrent_file;
