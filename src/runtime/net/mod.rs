//! The network as the operating system offers it.

pub(crate) mod buffers;
pub(crate) mod connection;
pub mod door;
pub(crate) mod outbox;
