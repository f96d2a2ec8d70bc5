//! The project's promises, one file each.

#[path = "../harness/mod.rs"]
mod harness;

mod architecture;
mod choking;
mod cli;
mod crash;
mod create;
mod determinism;
mod disk_faults;
mod hostile;
mod limits;
mod loopback;
mod many;
mod metainfo;
mod on_conflict;
mod resume;
mod seeding;
mod serving;
mod setting;
mod super_seeding;
mod swarm;
