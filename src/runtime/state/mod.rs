//! What is kept of each download from run to run: the state journal, and the locks.
//!
//! A target (a torrent in a place) has one file in the state folder, `INFOHASH-PLACE.state`. It begins with a
//! line of its own and a base of everything that is known; then facts are appended as they come about, in
//! frames with a digest each (`fact`, `frame`). Facts are written by whoever made them true, a disk worker,
//! right after the write that they tell of and with the file's time of change as that write left it: so when
//! the process is killed, the journal and the files agree but for a write that was just under way, and a file
//! that anybody else has changed is known by its time. Nothing here is synced but the base (`journal`).
//!
//! Three words: *verified*, the hash is right; *written*, the system has it, which survives this process;
//! *durable*, the disk has it, which survives a loss of power. What is written counts as long as the system
//! runs (`boot`); after a restart only what is durable does, and the rest is checked.
//!
//! Damage is no drama: frames before it count, and where they no longer fit the files, these are checked. A
//! file of a later version is left alone, and the run does without.
//!
//! `lock` keeps two of us from working on one target: one lock beside the journal, one on the payload itself
//! for those with another state folder. The system lets go of both when their holder ends, however it ends.

mod boot;
mod fact;
mod folder;
mod frame;
mod journal;
mod lock;
mod record;

#[cfg(test)]
pub(super) mod tests;

pub(super) use boot::boot_id;
pub(super) use fact::{Fact, Pieces, RunOf, Stamp, runs_of};
pub use journal::{Journal, Opened};
pub use lock::{Busy, Lock};
pub(super) use record::Record;
