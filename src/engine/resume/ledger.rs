//! One target's journal as it grows: which bytes are to be written next, and when all of it anew.

use std::sync::Arc;

use super::fact::Fact;
use super::frame::{self, Content};
use super::record::Record;
use crate::base::layout::Layout;

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

/// What is to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// These bytes, at the journal's end.
    Append(Vec<u8>),
    /// These, in the place of what there is; synced before they take it.
    Anew(Vec<u8>),
}

impl Ledger {
    /// Of the target that `identity` names, a torrent of so many files, of which nothing is known.
    pub fn new(identity: [u8; 20], layout: Arc<Layout>, files: u32) -> Ledger {
        let record = Record::empty(layout.piece_count());
        Ledger { identity, layout, files, record, is_begun: false, base: 0, length: 0 }
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

    /// Takes facts in.
    pub fn take(&mut self, facts: &[Fact]) {
        for fact in facts {
            // Facts of our own are about this torrent.
            let _ = self.record.apply(fact, &self.layout, self.files);
        }
    }

    /// How facts that were taken in are written down.
    pub fn write(&mut self, facts: &[Fact]) -> Write {
        if self.is_begun && self.length <= 4 * self.base + GROWTH {
            let bytes = frame::frame(facts);
            self.length += bytes.len() as u64;
            return Write::Append(bytes);
        }
        let mut bytes = frame::head();
        bytes.extend(frame::frame(&self.record.facts(self.identity)));
        self.is_begun = true;
        self.base = bytes.len() as u64;
        self.length = self.base;
        Write::Anew(bytes)
    }

    /// What was to be written is not, or perhaps only some of it: all is written anew next time.
    pub fn write_failed(&mut self) {
        self.is_begun = false;
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
