//! The network as the operating system offers it.

pub mod door;
