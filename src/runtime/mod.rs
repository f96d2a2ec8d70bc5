//! Floor 3.

pub mod dns;
pub mod http;
pub mod net;
