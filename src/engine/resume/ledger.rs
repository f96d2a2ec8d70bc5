//! One target's journal as it grows: which bytes are written next, when all of it is written anew and in which
//! steps, and when the file is left alone because it fails.
//!
//! What a base takes the place of is what a crash falls back to. So it is made beside it, and is on the disk before it
//! has the journal's name; and that name is on the disk before anything is appended.

use std::sync::Arc;

use super::fact::Fact;
use super::frame::{self, Content};
use super::record::Record;
use crate::base::layout::Layout;
use crate::base::time::{Duration, Instant};

/// How long a journal's file is left alone after a failure.
const REST: Duration = Duration::from_secs(5);
/// Bytes of facts before a journal is written anew, beyond four times its base.
const GROWTH: u64 = 4 * 1024 * 1024;

/// A journal's content.
#[derive(Clone, Debug)]
pub struct Ledger {
    identity: [u8; 20],
    layout: Arc<Layout>,
    files: u32,
    record: Record,
    /// Whether there is a file to append to: none before the first fact, and none after a failure.
    is_begun: bool,
    base: u64,
    length: u64,
    /// Since a failure: until when the file is left alone.
    rests_until: Option<Instant>,
    /// Bytes of pieces verified since the files were synced last.
    pub(super) unsynced: u64,
}

/// The file that a journal lies in. Each call may fail, and may have got somewhere all the same.
pub trait JournalFile {
    /// Why a call has failed.
    type Error;
    /// Appends these bytes.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
    /// Makes a file of these bytes beside the journal, whatever an earlier attempt has left there.
    fn make_beside(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
    /// Has what was made beside on the disk.
    fn sync_beside(&mut self) -> Result<(), Self::Error>;
    /// Gives what was made beside the journal's name. What is appended goes there from here on.
    fn take_place(&mut self) -> Result<(), Self::Error>;
    /// Has that name on the disk.
    fn sync_name(&mut self) -> Result<(), Self::Error>;
}

/// What an earlier run has told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// All of it counts.
    Whole,
    /// Something in it could not be read, or could not be true: what is before it counts.
    Part,
    /// Nothing about this target.
    Nothing,
    /// It is a later version's, and must be left alone.
    Later,
}

impl Ledger {
    /// Of the target that `identity` names, a torrent of so many files, of which nothing is known.
    pub fn new(identity: [u8; 20], layout: Arc<Layout>, files: u32) -> Ledger {
        let record = Record::empty(layout.piece_count());
        Ledger {
            identity,
            layout,
            files,
            record,
            is_begun: false,
            base: 0,
            length: 0,
            rests_until: None,
            unsynced: 0,
        }
    }

    /// Takes in what an earlier run wrote.
    pub fn read(&mut self, bytes: &[u8]) -> Told {
        match frame::read(bytes) {
            Content::Later => Told::Later,
            Content::Foreign => Told::Nothing,
            Content::Frames(frames, is_torn) => match self.take_frames(&frames) {
                None => Told::Nothing,
                Some(is_whole) if is_whole && !is_torn => Told::Whole,
                Some(_) => Told::Part,
            },
        }
    }

    /// All that is known.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Goes on from this record. It is written with the next facts.
    pub fn restart(&mut self, record: Record) {
        self.record = record;
        self.is_begun = false;
    }

    /// Takes facts in and writes them down. Whether they are written: not while the file is left alone. What is not
    /// written now comes with the next facts, in a new base.
    pub fn append<F: JournalFile>(
        &mut self,
        now: Instant,
        facts: &[Fact],
        file: &mut F,
    ) -> Result<bool, F::Error> {
        for fact in facts {
            // Facts of our own are about this torrent.
            let _ = self.record.apply(fact, &self.layout, self.files);
        }
        if self.rests_until.is_some_and(|until| now < until) {
            return Ok(false);
        }
        let result = self.write(facts, file);
        self.is_begun = result.is_ok();
        self.rests_until = result.is_err().then(|| now + REST);
        result.map(|()| true)
    }

    /// Whether what was to be written last is not.
    pub fn is_failing(&self) -> bool {
        self.rests_until.is_some()
    }

    /// Whether it says all that there will ever be to say of a target that is complete.
    pub fn is_done(&self) -> bool {
        !self.is_failing() && self.record.have == self.record.durable
    }

    fn write<F: JournalFile>(&mut self, facts: &[Fact], file: &mut F) -> Result<(), F::Error> {
        if self.is_begun && self.length <= 4 * self.base + GROWTH {
            let bytes = frame::frame(facts);
            self.length += bytes.len() as u64;
            return file.append(&bytes);
        }
        let mut bytes = frame::head();
        bytes.extend(frame::frame(&self.record.facts(self.identity)));
        self.base = bytes.len() as u64;
        self.length = self.base;
        file.make_beside(&bytes)?;
        file.sync_beside()?;
        file.take_place()?;
        file.sync_name()
    }

    /// Takes in what was read; `None` when it is not about this target, else whether all of it could be true.
    fn take_frames(&mut self, frames: &[Vec<Fact>]) -> Option<bool> {
        let (first, rest) = frames.split_first()?;
        let (Fact::Begin { identity, boot, device }, base) = first.split_first()? else { return None };
        if *identity != self.identity {
            return None;
        }
        let mut record = Record::empty(self.layout.piece_count());
        (record.boot, record.device) = (boot.clone(), *device);
        let is_whole = base
            .iter()
            .chain(rest.iter().flatten())
            .all(|fact| record.apply(fact, &self.layout, self.files).is_ok());
        self.record = record;
        Some(is_whole)
    }
}
