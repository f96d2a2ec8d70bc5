//! Floor 3.

pub mod disk;
pub mod dns;
pub mod http;
pub mod net;
