//! The network as the operating system offers it.

mod block_row;
pub(crate) mod buffers;
pub(crate) mod connection;
pub mod door;
mod hot_rows;
pub(crate) mod outbox;
mod row_length;
mod unsent;
pub(crate) mod upload_reader;
