//! The project's promises, one file each.

#[path = "../harness/mod.rs"]
mod harness;

mod architecture;
mod choking;
mod cli;
mod create;
mod determinism;
mod disk_faults;
mod hostile;
mod loopback;
mod metainfo;
mod on_conflict;
mod resume;
mod setting;
mod swarm;
