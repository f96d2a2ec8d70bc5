//! The peer wire: handshake and messages (BEP 3, 6, 10).

pub mod message;
