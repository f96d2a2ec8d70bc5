//! What a target's journal says, as bytes and as facts, and what may be relied on after a start.
//!
//! A journal begins with a base of everything that is known; then facts are appended as they come about, in
//! frames with a digest each ([`fact`], [`frame`]). Put together they are a [`Record`]; a [`Ledger`] holds one.
//!
//! In which order files are written, looked at, synced and named, and the journal is told, is decided here and
//! nowhere else: at a start ([`going_on`], [`reliance`]), after each job ([`outcomes`]), in a round of syncs
//! ([`durability`]), when a file is complete ([`finish`]), and when the journal itself is written anew ([`ledger`]).
//! Who drives it lends single calls, of files or of a `sim` medium that halts between any two of them.
//!
//! Three words: *verified*, the hash is right; *written*, the system has it, which survives this process;
//! *durable*, the disk has it, which survives a loss of power. What is written counts as long as the system
//! runs; after a restart of it only what is durable does, and the rest is checked.

pub mod durability;
pub mod fact;
pub mod finish;
pub mod frame;
pub mod going_on;
pub mod ledger;
pub mod outcomes;
pub mod record;
pub mod reliance;

#[cfg(test)]
mod tests;

pub use fact::{Fact, Pieces, RunOf, Stamp, Whose, runs_of};
pub use ledger::{JournalFile, Ledger, Told};
pub use outcomes::Outcomes;
pub use record::Record;
