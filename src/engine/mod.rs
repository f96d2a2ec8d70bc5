//! Floor 2: decides.
//!
//! The engine is a set of state machines without input or output of their own: `(now, Input)` goes in,
//! [`Action`](action::Action)s come out. It opens no socket and no file, reads no clock, holds no lock and
//! never fails: what happens outside is told to it in the past tense, what it wants done it says in the
//! imperative. The same seed and the same inputs give the same actions, whoever drives it.

pub mod action;
pub mod bandwidth;
pub mod choker;
pub mod disk_job;
pub mod input;
pub mod notice;
pub mod order;
pub mod peer;
pub mod peer_list;
pub mod picker;
pub mod resume;
pub mod session;
pub mod settings;
pub mod smart_ban;
pub mod snapshot;
pub mod timers;
mod torrent;
pub mod tracker;
pub mod tracker_server;
