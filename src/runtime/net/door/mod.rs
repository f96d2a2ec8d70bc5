//! The only place where sockets and HTTP clients are made.
//!
//! What holds for all of them (interfaces to bind to, proxies, addresses that may be spoken to) can then be
//! held in one place. Who is spoken to, when, and what is said is for the callers.

pub(crate) mod changes;
pub mod http;
pub mod tcp;
