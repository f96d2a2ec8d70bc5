//! The project's promises, one file each.

mod architecture;
mod determinism;
mod metainfo;
mod swarm;
