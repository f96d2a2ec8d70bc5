//! What a virtual disk lies on: files of pages, names, and a journal, of which only what was synced is sure
//! to outlive a loss of power.
//!
//! A page of 4 KiB, a file's length and time, and its names each have a history: first what is on the disk,
//! last what the system shows. A sync makes the last the first. A kill harms none of it. At a loss of power
//! each page, each file's length and time and each file's names come back as any one of their history, each
//! by itself; a page that never reached the disk is zeros, or whatever was there before. The journal comes back
//! up to any byte behind its last sync, pages of that lost as well. A sync that fails leaves some pages behind
//! that no later sync will write, as Linux does.
//!
//! Every operation is a *call*, and calls are counted: the system can be made to halt at any of them, before
//! it or in its midst, and any of them can be made to fail.

mod journal;

use std::collections::BTreeMap;

use self::journal::Log;
use crate::base::index::FileIndex;
use crate::base::random::Rng;
use crate::base::time::Instant;
use crate::engine::resume::Stamp;

/// Bytes that reach the disk together.
pub const PAGE: usize = 4096;

/// A file's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
    /// That of an incomplete file.
    Part = 0,
    /// Its own.
    Final = 1,
}

/// A call did not work, or was the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault;

/// What is to go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// The system halts at this call, counted from 1; when torn, in its midst.
    Halt(u64, bool),
    /// This call fails.
    Fail(u64),
    /// This call fails, and all after it.
    FailFrom(u64),
}

/// What of the things that were not synced outlives a loss of power, in percent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Survival {
    /// Of pages.
    pub pages: u32,
    /// Of names, lengths and times of change.
    pub metadata: u32,
    /// Of the journal.
    pub journal: u32,
    /// Whether a page that never reached the disk may hold what was there before, instead of zeros.
    pub garbage: bool,
}

/// A disk's content, and what has not reached it yet.
#[derive(Clone, Debug)]
pub struct Medium {
    places: Vec<History<[Option<u64>; 2]>>,
    files: BTreeMap<u64, Stored>,
    logs: History<Option<Log>>,
    /// A journal that has not got its place.
    beside: Option<Log>,
    boot: u32,
    next_inode: u64,
    /// Nanoseconds between two times of change that the file system tells apart.
    tick: i64,
    /// Added to the time: each process has a clock of its own.
    past: i64,
    now: i64,
    calls: u64,
    trouble: Trouble,
    is_halted: bool,
    rng: Rng,
}

/// What there was, the oldest on the disk, the newest as the system shows it.
#[derive(Clone, Debug)]
struct History<T>(Vec<T>);

#[derive(Clone, Debug)]
struct Stored {
    /// Length and time of change.
    about: History<(u64, i64)>,
    pages: BTreeMap<u64, Page>,
}

#[derive(Clone, Debug)]
struct Page {
    content: History<Option<Box<[u8]>>>,
    /// A sync has failed for it: the system takes it for written.
    is_lost: bool,
}

impl<T: Clone> History<T> {
    fn new(state: T) -> History<T> {
        History(vec![state])
    }

    fn last(&self) -> &T {
        self.0.last().expect("a history is never empty")
    }

    fn push(&mut self, state: T) {
        self.0.push(state);
    }

    fn settle(&mut self) {
        self.0.drain(..self.0.len() - 1);
    }

    /// What comes back: the newest so many times in a hundred, else any.
    fn choose(&self, percent: u32, rng: &mut Rng) -> T {
        let at = match percent {
            0 => 0,
            100 => self.0.len() - 1,
            _ if rng.below(100) < percent as usize => self.0.len() - 1,
            _ => rng.below(self.0.len()),
        };
        self.0[at].clone()
    }
}

impl Medium {
    /// An empty disk with places for so many files.
    pub fn new(files: usize, seed: u64) -> Medium {
        Medium {
            places: vec![History::new([None, None]); files],
            files: BTreeMap::new(),
            logs: History::new(None),
            beside: None,
            boot: 1,
            next_inode: 1,
            tick: 1,
            past: 0,
            now: 0,
            calls: 0,
            trouble: Trouble::None,
            is_halted: false,
            rng: Rng::from_number(seed),
        }
    }

    /// The same, where times of change come in steps of so many nanoseconds.
    pub fn with_tick(self, nanos: u32) -> Medium {
        Medium { tick: i64::from(nanos.max(1)), ..self }
    }

    /// Has this go wrong from here on; calls are counted from now.
    pub fn expect_trouble(&mut self, trouble: Trouble) {
        (self.trouble, self.calls, self.is_halted) = (trouble, 0, false);
    }

    /// Calls since trouble was last planned.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Whether the system has halted.
    pub fn is_halted(&self) -> bool {
        self.is_halted
    }

    /// Whether there is a journal.
    pub fn has_journal(&self) -> bool {
        self.logs.last().is_some()
    }

    /// The name of the system's present run.
    pub(super) fn boot(&self) -> String {
        self.boot.to_string()
    }

    pub(super) fn set_now(&mut self, now: Instant) {
        self.now = (self.past + now.as_nanos() as i64) / self.tick * self.tick;
    }

    /// Another world's clock goes on from here.
    pub(super) fn begin(&mut self) {
        self.past = self.now + self.tick.max(1_000_000);
    }

    /// The power is gone, and comes back.
    pub fn lose_power(&mut self, survival: Survival, seed: u64) {
        let rng = &mut Rng::from_number(seed);
        self.boot += 1;
        for place in &mut self.places {
            *place = History::new(place.choose(survival.metadata, rng));
        }
        let named: Vec<u64> = self.places.iter().flat_map(|place| *place.last()).flatten().collect();
        self.files.retain(|inode, _| named.contains(inode));
        for file in self.files.values_mut() {
            let about = file.about.choose(survival.metadata, rng);
            file.about = History::new(about);
            for page in file.pages.values_mut() {
                let percent = if page.is_lost { 0 } else { survival.pages };
                let mut content = page.content.choose(percent, rng);
                if survival.garbage && content.is_none() && rng.below(2) == 0 {
                    content = Some(vec![0xa5; PAGE].into());
                }
                *page = Page { content: History::new(content), is_lost: false };
            }
            file.pages.retain(|page, _| page * (PAGE as u64) < about.0);
        }
        let mut log = self.logs.choose(survival.journal, rng);
        if let Some(log) = &mut log {
            log.tear(survival.journal, rng);
        }
        (self.logs, self.beside) = (History::new(log), None);
    }

    /// Counts a call. Whether it works; one that is torn works in part.
    fn enter(&mut self) -> Result<bool, Fault> {
        if self.is_halted {
            return Err(Fault);
        }
        self.calls += 1;
        match self.trouble {
            Trouble::Halt(at, is_torn) if self.calls == at => {
                self.is_halted = true;
                if is_torn { Ok(true) } else { Err(Fault) }
            }
            Trouble::Fail(at) if self.calls == at => Err(Fault),
            Trouble::FailFrom(at) if self.calls >= at => Err(Fault),
            _ => Ok(false),
        }
    }

    /// A call that is done whole or not at all.
    fn enter_whole(&mut self) -> Result<(), Fault> {
        if self.enter()? { Err(Fault) } else { Ok(()) }
    }

    fn inode(&self, file: FileIndex, name: Name) -> Option<u64> {
        self.places[file.index()].last()[name as usize]
    }

    fn stored(&mut self, file: FileIndex, name: Name) -> Result<&mut Stored, Fault> {
        let inode = self.inode(file, name).ok_or(Fault)?;
        self.files.get_mut(&inode).ok_or(Fault)
    }

    /// What is there under a name.
    pub(super) fn look(&mut self, file: FileIndex, name: Name) -> Result<Option<Stamp>, Fault> {
        self.enter_whole()?;
        Ok(self.peek(file, name))
    }

    /// The same, as no program could: it is no call.
    pub(super) fn peek(&self, file: FileIndex, name: Name) -> Option<Stamp> {
        let inode = self.inode(file, name)?;
        let (length, time) = *self.files.get(&inode)?.about.last();
        Some(Stamp { length, modified: (time / 1_000_000_000, time % 1_000_000_000), inode })
    }

    /// Makes a file, of zeros.
    pub(super) fn create(&mut self, file: FileIndex, name: Name) -> Result<(), Fault> {
        self.enter_whole()?;
        let inode = self.next_inode;
        self.next_inode += 1;
        self.files.insert(inode, Stored { about: History::new((0, self.now)), pages: BTreeMap::new() });
        let mut place = *self.places[file.index()].last();
        place[name as usize] = Some(inode);
        self.places[file.index()].push(place);
        Ok(())
    }

    pub(super) fn set_length(&mut self, file: FileIndex, name: Name, length: u64) -> Result<(), Fault> {
        self.enter_whole()?;
        let now = self.now;
        self.stored(file, name)?.about.push((length, now));
        Ok(())
    }

    /// Gives the incomplete file its own name, in the place of what has it.
    pub(super) fn rename(&mut self, file: FileIndex) -> Result<(), Fault> {
        self.enter_whole()?;
        let part = self.inode(file, Name::Part).ok_or(Fault)?;
        self.places[file.index()].push([None, Some(part)]);
        Ok(())
    }

    pub(super) fn write(
        &mut self,
        file: FileIndex,
        name: Name,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let is_torn = self.enter();
        let part = self.rng.below(bytes.len() + 1);
        // A write that fails may have got somewhere too.
        let (bytes, result) = match is_torn {
            Ok(false) => (bytes, Ok(())),
            Ok(true) => (&bytes[..part], Err(Fault)),
            Err(Fault) if self.is_halted => return Err(Fault),
            Err(Fault) => (&bytes[..part], Err(Fault)),
        };
        let now = self.now;
        let stored = self.stored(file, name)?;
        if !bytes.is_empty() {
            stored.write(offset, bytes, now);
        }
        result
    }

    /// Bytes of a file; `None` when it does not reach so far.
    pub(super) fn read(
        &mut self,
        file: FileIndex,
        name: Name,
        offset: u64,
        length: u64,
    ) -> Result<Option<Vec<u8>>, Fault> {
        self.enter_whole()?;
        Ok(self.peek_at(file, name, offset, length))
    }

    /// The same, as no program could: it is no call.
    pub(super) fn peek_at(&self, file: FileIndex, name: Name, offset: u64, length: u64) -> Option<Vec<u8>> {
        let stored = self.files.get(&self.inode(file, name)?)?;
        stored.read(offset, length)
    }

    /// Has a file's content, length and time on the disk.
    pub(super) fn sync(&mut self, file: FileIndex, name: Name) -> Result<(), Fault> {
        let worked = self.enter_whole();
        if self.is_halted {
            return Err(Fault);
        }
        let mut rng = self.rng.fork("sync");
        let stored = self.stored(file, name)?;
        for page in stored.pages.values_mut().filter(|page| !page.is_lost && page.content.0.len() > 1) {
            if worked.is_ok() || rng.below(2) == 0 {
                page.content.settle();
            } else {
                page.is_lost = true;
            }
        }
        worked?;
        stored.about.settle();
        // Its having been made is on the disk too, under the one name or the other.
        let inode = self.inode(file, name);
        self.places[file.index()].0.retain(|place| place.contains(&inode));
        Ok(())
    }

    /// Has a file's names on the disk.
    pub(super) fn sync_name(&mut self, file: FileIndex) -> Result<(), Fault> {
        self.enter_whole()?;
        self.places[file.index()].settle();
        Ok(())
    }
}

impl Stored {
    fn write(&mut self, offset: u64, bytes: &[u8], now: i64) {
        let mut at = 0;
        while at < bytes.len() {
            let place = offset as usize + at;
            let (number, within) = ((place / PAGE) as u64, place % PAGE);
            let count = (PAGE - within).min(bytes.len() - at);
            let page = self.pages.entry(number);
            let page = page.or_insert_with(|| Page { content: History::new(None), is_lost: false });
            let mut content = page.content.last().clone().unwrap_or_else(|| vec![0; PAGE].into());
            content[within..within + count].copy_from_slice(&bytes[at..at + count]);
            if page.is_lost {
                // It is to be written again, and all of it.
                page.content.0.truncate(1);
                page.is_lost = false;
            }
            page.content.push(Some(content));
            at += count;
        }
        let length = self.about.last().0.max(offset + bytes.len() as u64);
        self.about.push((length, now));
    }

    fn read(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
        if offset + length > self.about.last().0 {
            return None;
        }
        let mut bytes = vec![0; length as usize];
        let mut at = 0;
        while at < bytes.len() {
            let place = offset as usize + at;
            let (number, within) = ((place / PAGE) as u64, place % PAGE);
            let count = (PAGE - within).min(bytes.len() - at);
            if let Some(Some(content)) = self.pages.get(&number).map(|page| page.content.last().as_deref()) {
                bytes[at..at + count].copy_from_slice(&content[within..within + count]);
            }
            at += count;
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests;
