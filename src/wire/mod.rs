//! Floor 1: bytes in flight.
//!
//! What peers and trackers say to each other, as types with a total and bounded decoder and an encoder
//! each. What a message means and what to answer is the engine's business.

pub mod extension;
pub mod peer;
pub mod shown_text;
pub mod shown_url;
pub mod tracker;
