//! The project's promises, one file each.

#[path = "../harness/mod.rs"]
mod harness;

mod architecture;
mod choking;
mod cli;
mod crash;
mod create;
mod determinism;
mod hostile;
mod limits;
mod loopback;
mod many;
mod metainfo;
mod resume;
mod serving;
mod swarm;
