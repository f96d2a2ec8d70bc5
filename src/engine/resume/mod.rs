//! What a target's journal says, as bytes and as facts, and what may be relied on after a start.
//!
//! A journal begins with a base of everything that is known; then facts are appended as they come about, in
//! frames with a digest each ([`fact`], [`frame`]). Put together they are a [`Record`]; a
//! [`Ledger`] holds one and says which bytes come next. At a start, [`reliance`] holds the
//! record against the files as they are found. All of it is a function of bytes and plain facts: whoever
//! drives it reads and writes, and syncs.
//!
//! Three words: *verified*, the hash is right; *written*, the system has it, which survives this process;
//! *durable*, the disk has it, which survives a loss of power. What is written counts as long as the system
//! runs; after a restart of it only what is durable does, and the rest is checked.
//!
//! What is asked of whoever drives it:
//!
//! 1. Blocks are written first; then, in one step that no other record of the same files comes between, the
//!    files' stamps are read and the facts written; only then does the engine hear of it. So what a crash
//!    leaves unrecorded shows in a stamp.
//! 2. A base takes the place of the journal at one stroke, and is on the disk before anything else is
//!    appended. What is appended needs no sync.
//! 3. Pieces are durable when they were verified before their files were synced, and all of these syncs
//!    worked.

pub mod durability;
pub mod fact;
pub mod frame;
pub mod ledger;
pub mod record;
pub mod reliance;

#[cfg(test)]
mod tests;

pub use fact::{Fact, Pieces, RunOf, Stamp, Whose, runs_of};
pub use ledger::{Ledger, Told, Write};
pub use record::Record;
