//! What is said to HTTP trackers and what they answer (BEP 3, 7, 23, 24, 31).
//!
//! Asking, redirects and decompression are the runtime's; when to ask, and whom, is the engine's.

pub mod announce;
pub mod answer;

pub use announce::{AnnounceRequest, Event};
pub use answer::{AnnounceAnswer, AnswerError, RetryIn};
