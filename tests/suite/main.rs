//! The promises of btget, one file each.

#[path = "../harness/mod.rs"]
mod harness;
mod loopback;
mod metainfo;
