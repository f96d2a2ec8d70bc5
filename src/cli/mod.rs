//! Floor 4.

pub mod command;
pub mod output;
pub mod torrent_file;
