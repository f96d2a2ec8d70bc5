//! What is kept of each download from run to run: the state journal, and the locks.
//!
//! A target (a torrent in a place) has one file in the state folder, `INFOHASH-PLACE.state`. What it says, and
//! what of it counts, is [`crate::engine::resume`]'s; here it is read, appended to and replaced. Facts are
//! written by whoever made them true, a disk worker, right after the write that they tell of and with the
//! file's time of change as that write left it: so when the process is killed, the journal and the files agree
//! but for a write that was just under way, and a file that anybody else has changed is known by its time.
//! Nothing here is synced but the base (`journal`).
//!
//! Damage is no drama: frames before it count, and where they no longer fit the files, these are checked. A
//! file of a later version is left alone, and the run does without.
//!
//! `lock` keeps two of us from working on one target: one lock beside the journal, one on the payload itself
//! for those with another state folder. The system lets go of both when their holder ends, however it ends.

mod boot;
mod folder;
mod journal;
mod lock;

#[cfg(test)]
pub(super) mod tests;

pub(super) use boot::boot_id;
pub use journal::{Journal, Opened};
pub use lock::{Busy, Lock};
