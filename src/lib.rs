#![doc = include_str!("ARCHITECTURE.md")]

pub mod base;
pub mod cli;
pub mod engine;
pub mod hashing;
pub mod metainfo;
pub mod runtime;
pub mod sim;
pub mod wire;
