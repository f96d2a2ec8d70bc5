//! Floor 3: does.
//!
//! Sockets, files, threads and the clock: drives the engine's [`Session`](crate::engine::session::Session)
//! and does what it says. Decides nothing about torrents.

pub mod client;
mod clock;
pub mod disk;
pub mod dns;
mod driver;
pub mod hash_files;
pub mod http;
pub mod net;
mod notices;
pub mod state;
pub mod tracker_server;
