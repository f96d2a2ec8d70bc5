//! The project's promises, one file each.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../interop/namespace.rs"]
mod namespace;

mod architecture;
mod choking;
mod cli;
mod crash;
mod create;
mod determinism;
mod disk_faults;
mod exit_codes;
mod fast;
mod hard_times;
mod hostile;
mod http_server;
mod limits;
mod loopback;
mod many;
mod metainfo;
mod network_faults;
mod news;
mod on_conflict;
mod one_session;
mod options;
mod puppet;
mod resume;
mod seed_faults;
mod seeding;
mod seeds_meet;
mod serving;
mod setting;
mod signals;
mod stall_reasons;
mod strangers;
mod super_seeding;
mod swarm;
mod verify;
