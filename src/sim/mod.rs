//! Floor 3: pretends to.
//!
//! A swarm of the very same sessions that the runtime drives, in one process and in virtual time: with
//! virtual links and disks instead of sockets and files, and a heap of events instead of a clock. All that is
//! random comes from one seed, so a run that fails can be replayed from its seed.
//!
//! [`scenario`] says who takes part, [`world`] runs it, [`report`] tells what came of it.

mod checks;
pub mod content;
pub mod disk;
mod event;
pub mod host;
pub mod liar;
pub mod link;
mod network;
pub mod report;
pub mod scenario;
pub mod scripted;
mod trace;
pub mod tracker;
pub mod world;
