//! The project's promises, one file each.

#[path = "../harness/mod.rs"]
mod harness;

mod architecture;
mod cli;
mod determinism;
mod loopback;
mod metainfo;
mod resume;
mod swarm;
