//! The peer wire: handshake and messages (BEP 3, 6, 10).

pub mod decoder;
pub mod message;
pub mod stream;

#[cfg(test)]
mod tests;

pub use message::{Handshake, Message};

/// What a connection brings: the handshake, then messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Inbound {
    /// Always the first, and only once.
    Handshake(Handshake),
    /// Everything after it.
    Message(Message),
}
