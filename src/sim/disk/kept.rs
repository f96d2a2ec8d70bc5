//! A virtual disk that keeps what was written as a real one does: real bytes on a [`Medium`], and the journal
//! that ships.
//!
//! It does in the same order what `runtime/disk` does, a call on the medium for each of its system calls that
//! can change anything:
//!
//! | job | here | there |
//! |---|---|---|
//! | open | look at each file, read the journal, make the first file | `prepare`, `keep::resume` |
//! | advance | make and size a file before its first byte, write runs of blocks, hash, judge | `advance`, `storage::writable` |
//! | … its end | stamps of the files written to, then one append, then the engine hears | `keep::record` |
//! | check | read, then one append without stamps | `check`, `keep::record_check` |
//! | finish | look, rename | `prepare::finish_file` |
//! | behind | note what is had, sync its files, append; other jobs come in between | `keep::sync_behind` |
//!
//! A job's writes happen when it is given, its record when it is done: so the writes of jobs that are under
//! way at the same time overlap as those of worker threads do.
//!
//! Whatever is said to be had is compared with what is on the medium: that is what it is for.

mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::medium::{Fault, Medium, Name};
use crate::base::bitfield::Bitfield;
use crate::base::block_data::BlockData;
use crate::base::digest;
use crate::base::index::{BlockAddress, FileIndex, PieceIndex};
use crate::base::layout::BLOCK_LENGTH;
use crate::base::time::{Duration, Instant};
use crate::engine::disk_job::{DiskError, DiskErrorKind, Existing, PieceJob, Resume, Traffic, Verdict};
use crate::engine::resume::durability::Pending;
use crate::engine::resume::reliance::{Look, Scene};
use crate::engine::resume::{Fact, Ledger, Pieces, Told, Whose, Write, runs_of};
use crate::sim::content::Content;

/// How long the journal is left alone after a failure.
const REST: Duration = Duration::from_secs(5);

pub(super) struct KeptDisk {
    content: Content,
    medium: Medium,
    /// How long what is written waits to be synced.
    patience: Duration,
    memory: Memory,
    recorded: BTreeSet<(PieceIndex, u32)>,
    durable: BTreeSet<PieceIndex>,
}

/// What ends with the process.
#[derive(Default)]
struct Memory {
    ledger: Option<Ledger>,
    had: Option<Bitfield>,
    rests_until: Instant,
    names: BTreeMap<FileIndex, Name>,
    ours: BTreeSet<FileIndex>,
    perhaps_ours: BTreeSet<FileIndex>,
    proof: BTreeSet<PieceIndex>,
    /// Of pieces under way: whether all that was hashed is right.
    hashed: BTreeMap<PieceIndex, bool>,
    /// What is written and not recorded.
    unrecorded: BTreeMap<PieceIndex, Vec<u32>>,
    sync: Sync,
}

#[derive(Default)]
enum Sync {
    #[default]
    Idle,
    Due(Instant),
    Noted(Pending),
    Told(Pending),
    Synced(Vec<Fact>),
}

type Result<T> = std::result::Result<T, Fault>;

impl KeptDisk {
    pub(super) fn new(content: Content, mut medium: Medium, patience: Duration) -> KeptDisk {
        medium.begin();
        let memory = Memory::default();
        KeptDisk { content, medium, patience, memory, recorded: BTreeSet::new(), durable: BTreeSet::new() }
    }

    /// Blocks that were recorded, by piece and first byte: no kill may lose them.
    pub(super) fn recorded(&self) -> &BTreeSet<(PieceIndex, u32)> {
        &self.recorded
    }

    /// Pieces that were had and then synced: no loss of power may lose them.
    pub(super) fn durable(&self) -> &BTreeSet<PieceIndex> {
        &self.durable
    }

    pub(super) fn medium(&self) -> &Medium {
        &self.medium
    }

    pub(super) fn medium_mut(&mut self) -> &mut Medium {
        &mut self.medium
    }

    /// The pieces that this run has.
    pub(super) fn had(&self) -> Bitfield {
        let none = || Bitfield::empty(self.content.layout().piece_count());
        self.memory.had.clone().unwrap_or_else(none)
    }

    /// The process is gone.
    pub(super) fn power_off(&mut self) {
        self.memory = Memory::default();
    }

    /// The time, and a turn for the thread that syncs.
    pub(super) fn pass(&mut self, now: Instant) {
        if now != Instant::FAR {
            self.medium.set_now(now);
        }
        self.memory.sync = match std::mem::take(&mut self.memory.sync) {
            Sync::Due(at) if at <= now => match &self.memory.ledger {
                Some(ledger) => {
                    let (layout, map) = (self.content.layout(), self.content.file_map());
                    Sync::Noted(Pending::of(ledger.record(), layout, map, |_| true))
                }
                None => Sync::Idle,
            },
            Sync::Noted(pending) => {
                let intent = pending.intent();
                let is_told = intent.is_some_and(|intent| self.append(now, &[intent]));
                if is_told { Sync::Told(pending) } else { Sync::Idle }
            }
            Sync::Told(pending) => {
                let facts = pending.settle(|file| self.sync(file).is_ok()).facts;
                self.durable.extend(facts.iter().flat_map(durable_in));
                Sync::Synced(facts)
            }
            Sync::Synced(facts) => {
                self.append(now, &facts);
                Sync::Idle
            }
            other => other,
        };
    }

    fn sync(&mut self, file: FileIndex) -> Result<()> {
        let Some(name) = self.name(file)? else { return Ok(()) };
        self.medium.sync(file, name)
    }

    fn files(&self) -> impl Iterator<Item = FileIndex> + use<> {
        (0..self.content.file_map().files().len() as u32).map(FileIndex)
    }

    fn length(&self, file: FileIndex) -> u64 {
        self.content.file_map().files()[file.index()].length
    }

    /// Under which name a file is there.
    fn name(&mut self, file: FileIndex) -> Result<Option<Name>> {
        if let Some(name) = self.memory.names.get(&file) {
            return Ok(Some(*name));
        }
        for name in [Name::Final, Name::Part] {
            if self.medium.look(file, name)?.is_some() {
                self.memory.names.insert(file, name);
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    // Opening.

    /// What is there, and what of it is said to be right and is not.
    pub(super) fn open(
        &mut self,
        now: Instant,
    ) -> (std::result::Result<Existing, DiskError>, Vec<PieceIndex>) {
        self.memory = Memory::default();
        let opened = self.opened();
        let wrong = match &opened {
            Ok(Existing::Known(resume)) => {
                resume.have.iter().filter(|piece| !self.is_right_on_medium(*piece)).collect()
            }
            _ => Vec::new(),
        };
        let none = Bitfield::empty(self.content.layout().piece_count());
        let had = match &opened {
            Ok(Existing::Known(resume)) => resume.have.clone(),
            _ => none,
        };
        self.prove(had.iter());
        self.memory.had = Some(had);
        if self.memory.ledger.is_some() {
            self.memory.sync = Sync::Due(now + self.patience);
        }
        (opened.map_err(|fault| self.error("open", fault)), wrong)
    }

    fn opened(&mut self) -> Result<Existing> {
        let mut looks = Vec::new();
        for file in self.files() {
            let name = self.name(file)?;
            let stamp = match name {
                Some(name) => self.medium.look(file, name)?,
                None => None,
            };
            let is_part = name == Some(Name::Part);
            looks.push(stamp.map_or(Look::Absent, |stamp| Look::Present(stamp, is_part)));
        }
        let identity = digest::sha1(b"the target").0;
        let mut ledger =
            Ledger::new(identity, Arc::new(self.content.layout().clone()), self.files().count() as u32);
        let told = match self.medium.read_log() {
            Ok(Some(bytes)) => ledger.read(&bytes),
            Ok(None) | Err(Fault) => Told::Nothing,
        };
        let is_known = matches!(told, Told::Whole | Told::Part);
        let is_gone = looks.iter().all(|look| *look == Look::Absent);
        let boot = self.medium.boot();
        let (layout, file_map) = (self.content.layout(), self.content.file_map());
        let scene = Scene { layout, file_map, found: &looks, boot: Some(&boot), device: 1 };
        let pieces = layout.piece_count();
        let has_data = self.files().any(|file| self.has_data(file));
        let resume = if is_known {
            scene.reliable(ledger.record())
        } else {
            let none = Bitfield::empty(pieces);
            let unsure = if has_data { Bitfield::full(pieces) } else { none.clone() };
            Resume { have: none, unsure, written: Vec::new(), traffic: Traffic::default() }
        };
        let record = scene.going_on(&resume, is_known.then_some(ledger.record()));
        self.memory.ours = record.files_that_are(Whose::Ours).collect();
        self.memory.perhaps_ours = record.files_that_are(Whose::PerhapsOurs).collect();
        if record != *ledger.record() {
            ledger.restart(record);
        }
        self.memory.ledger = Some(ledger);
        let first = FileIndex(0);
        if looks[0] == Look::Absent {
            self.medium.create(first, Name::Part)?;
            self.memory.names.insert(first, Name::Part);
        }
        for file in self.files().filter(|file| !self.has_data(*file)).collect::<Vec<_>>() {
            self.memory.ours.insert(file);
        }
        Ok(match (is_known && !is_gone, has_data) {
            (true, _) => Existing::Known(Box::new(resume)),
            (false, true) => Existing::Something,
            (false, false) => Existing::Nothing,
        })
    }

    /// So much more was moved.
    pub(super) fn remember(&mut self, now: Instant, traffic: Traffic) {
        self.append(now, &[Fact::Moved(traffic)]);
    }

    /// Whether a file holds anything but zeros.
    fn has_data(&self, file: FileIndex) -> bool {
        let Some(name) = self.memory.names.get(&file) else { return false };
        let Some(stamp) = self.medium.peek(file, *name) else { return false };
        let bytes = self.medium.peek_at(file, *name, 0, stamp.length);
        bytes.is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
    }

    // Writing.

    /// Under which name a file is written to; it is made if it is missing.
    fn writable(&mut self, file: FileIndex) -> Result<Name> {
        let known = self.name(file)?;
        let is_beside = known == Some(Name::Final) && !self.memory.ours.contains(&file);
        let name = match known {
            Some(Name::Final) if is_beside => {
                // Beside somebody else's.
                if self.medium.look(file, Name::Part)?.is_none() {
                    self.medium.create(file, Name::Part)?;
                }
                Name::Part
            }
            Some(name) => name,
            None => {
                self.medium.create(file, Name::Part)?;
                Name::Part
            }
        };
        self.memory.names.insert(file, name);
        let length = self.length(file);
        if self.medium.peek(file, name).is_some_and(|stamp| stamp.length < length) {
            self.medium.set_length(file, name, length)?;
        }
        if is_beside {
            self.bring_over(file)?;
        }
        Ok(name)
    }

    /// Copies what right pieces have in the older file to the one beside it.
    fn bring_over(&mut self, file: FileIndex) -> Result<()> {
        let content = self.content.clone();
        let slices = |piece: &PieceIndex| content.file_map().slices(content.layout().piece_range(*piece));
        let proven: Vec<_> =
            self.memory.proof.iter().flat_map(slices).filter(|slice| slice.file == file).collect();
        for slice in proven {
            let bytes = self.medium.read(file, Name::Final, slice.offset, slice.length)?.ok_or(Fault)?;
            self.medium.write(file, Name::Part, slice.offset, &bytes)?;
        }
        Ok(())
    }

    /// Writes a job's blocks and hashes the piece on, as far as it goes.
    pub(super) fn advance(&mut self, job: &mut PieceJob) -> std::result::Result<Option<Verdict>, DiskError> {
        self.advanced(job).map_err(|fault| {
            self.memory.unrecorded.remove(&job.piece);
            self.error("write", fault)
        })
    }

    fn advanced(&mut self, job: &mut PieceJob) -> Result<Option<Verdict>> {
        let piece = job.piece;
        let blocks: Vec<(u32, BlockData)> = std::mem::take(&mut job.blocks);
        for run in blocks.chunk_by(|(before, _), (after, _)| before + 1 == *after) {
            let bytes = run.iter().map(|(_, data)| data.bytes()).collect::<Vec<_>>().concat();
            self.write(self.start_of(piece, run[0].0), &bytes)?;
            run.iter().for_each(|(block, _)| job.written[*block as usize] = true);
        }
        let mut is_right = job.front == 0 || self.memory.hashed.get(&piece).copied().unwrap_or(false);
        while job.written.get(job.front as usize) == Some(&true) {
            let address = BlockAddress { piece, block: job.front };
            let good = self.content.block(self.content.layout().request_for(address));
            let good = good.as_ref().map_or(&[][..], BlockData::bytes);
            is_right &= match blocks.iter().find(|(block, _)| *block == job.front) {
                Some((_, data)) => data.bytes() == good,
                None => self.read(self.start_of(piece, job.front), good.len() as u64)?.ok_or(Fault)? == good,
            };
            job.front += 1;
        }
        self.memory.hashed.insert(piece, is_right);
        let verdict = if job.front == self.content.layout().blocks_in(piece) {
            self.memory.hashed.remove(&piece);
            let digests =
                if is_right && !job.wants_digests { Vec::new() } else { self.block_digests(piece)? };
            Some(if is_right { Verdict::Passed { digests } } else { Verdict::Failed { digests } })
        } else {
            None
        };
        self.memory.unrecorded.insert(piece, blocks.iter().map(|(block, _)| *block).collect());
        Ok(verdict)
    }

    fn block_digests(&mut self, piece: PieceIndex) -> Result<Vec<crate::base::hash::Sha1Hash>> {
        let layout = self.content.layout();
        let lengths: Vec<u64> = (0..layout.blocks_in(piece))
            .map(|block| u64::from(layout.block_len(BlockAddress { piece, block })))
            .collect();
        let digest = |(block, length): (u32, u64)| {
            let bytes = self.read(self.start_of(piece, block), length)?.ok_or(Fault)?;
            Ok(digest::sha1(&bytes))
        };
        (0..).zip(lengths).map(digest).collect()
    }

    /// Where a block begins in the payload.
    fn start_of(&self, piece: PieceIndex, block: u32) -> u64 {
        self.content.layout().piece_range(piece).start + u64::from(block) * u64::from(BLOCK_LENGTH)
    }

    fn write(&mut self, start: u64, bytes: &[u8]) -> Result<()> {
        let map = self.content.clone();
        let mut at = 0;
        for slice in map.file_map().slices(start..start + bytes.len() as u64) {
            let name = self.writable(slice.file)?;
            let end = at + slice.length as usize;
            self.medium.write(slice.file, name, slice.offset, &bytes[at..end])?;
            at = end;
        }
        Ok(())
    }

    fn read(&mut self, start: u64, length: u64) -> Result<Option<Vec<u8>>> {
        let map = self.content.clone();
        let mut bytes = Vec::new();
        for slice in map.file_map().slices(start..start + length) {
            let Some(name) = self.name(slice.file)? else { return Ok(None) };
            let Some(read) = self.medium.read(slice.file, name, slice.offset, slice.length)? else {
                return Ok(None);
            };
            bytes.extend(read);
        }
        Ok(Some(bytes))
    }

    // Recording.

    /// A job on a piece is done: it is written down before the engine hears of it.
    pub(super) fn record_piece(&mut self, now: Instant, piece: PieceIndex, verdict: Option<&Verdict>) {
        let blocks = self.memory.unrecorded.remove(&piece).unwrap_or_default();
        let runs = runs_of(blocks.iter().copied());
        if let (Some(Verdict::Passed { .. }), Some(had)) = (verdict, &mut self.memory.had) {
            had.insert(piece);
        }
        let end = self.content.layout().piece_range(piece).end;
        let map = self.content.file_map();
        let stretch = |block: &u32| {
            let start = self.start_of(piece, *block);
            map.slices(start..(start + u64::from(BLOCK_LENGTH)).min(end))
        };
        let files: BTreeSet<FileIndex> = blocks.iter().flat_map(stretch).map(|slice| slice.file).collect();
        let is_recorded = self.record(now, vec![Fact::of_blocks(piece, &runs, verdict)], files);
        if matches!(verdict, Some(Verdict::Failed { .. })) {
            self.recorded.retain(|(recorded, _)| *recorded != piece);
        } else if is_recorded {
            self.recorded.extend(blocks.iter().map(|block| (piece, block * BLOCK_LENGTH)));
        }
    }

    /// Whether it worked.
    fn record(&mut self, now: Instant, mut facts: Vec<Fact>, files: BTreeSet<FileIndex>) -> bool {
        for file in files {
            let Some(name) = self.memory.names.get(&file).copied() else { continue };
            let Ok(Some(stamp)) = self.medium.look(file, name) else { continue };
            let is_known = |ledger: &Ledger| ledger.record().is_known(file, &stamp);
            if !self.memory.ledger.as_ref().is_some_and(is_known) {
                facts.push(Fact::File(file, stamp, Whose::Ours));
            }
        }
        let is_recorded = self.append(now, &facts);
        if matches!(self.memory.sync, Sync::Idle) {
            self.memory.sync = Sync::Due(now + self.patience);
        }
        is_recorded
    }

    fn append(&mut self, now: Instant, facts: &[Fact]) -> bool {
        let Some(ledger) = self.memory.ledger.as_mut().filter(|_| !facts.is_empty()) else { return true };
        ledger.take(facts);
        if now < self.memory.rests_until {
            return false;
        }
        let result = match ledger.write(facts) {
            Write::Append(bytes) => self.medium.append_log(&bytes),
            Write::Anew(bytes) => self.medium.replace_log(&bytes),
        };
        if result.is_err() {
            ledger.write_failed();
            self.memory.rests_until = now + REST;
        }
        result.is_ok()
    }

    // Checking.

    pub(super) fn check(&mut self, pieces: Range<u32>) -> std::result::Result<Vec<PieceIndex>, DiskError> {
        let layout = self.content.layout().clone();
        let mut right = Vec::new();
        for piece in pieces.map(PieceIndex) {
            let range = layout.piece_range(piece);
            let read = self.read(range.start, range.end - range.start);
            let read = read.map_err(|fault| self.error("read", fault))?;
            right.extend(read.filter(|bytes| *bytes == self.good(piece)).map(|_| piece));
        }
        Ok(right)
    }

    pub(super) fn record_check(&mut self, now: Instant, pieces: &Range<u32>, right: &[PieceIndex]) {
        if let Some(had) = &mut self.memory.had {
            right.iter().for_each(|piece| {
                had.insert(*piece);
            });
        }
        self.prove(right.iter().copied());
        self.record(now, Fact::of_check(pieces, right), BTreeSet::new());
    }

    fn good(&self, piece: PieceIndex) -> Vec<u8> {
        let layout = self.content.layout();
        let mut bytes = Vec::with_capacity(layout.piece_len(piece) as usize);
        for block in 0..layout.blocks_in(piece) {
            let good = self.content.block(layout.request_for(BlockAddress { piece, block }));
            bytes.extend_from_slice(good.as_ref().map_or(&[], BlockData::bytes));
        }
        bytes
    }

    /// Whether a fresh read of a piece would find it right.
    pub(super) fn is_right_on_medium(&self, piece: PieceIndex) -> bool {
        let mut bytes = Vec::new();
        for slice in self.content.file_map().slices(self.content.layout().piece_range(piece)) {
            let names = [Name::Final, Name::Part].into_iter();
            let name = self
                .memory
                .names
                .get(&slice.file)
                .copied()
                .or_else(|| names.into_iter().find(|name| self.medium.peek(slice.file, *name).is_some()));
            let read =
                name.and_then(|name| self.medium.peek_at(slice.file, name, slice.offset, slice.length));
            let Some(read) = read else { return false };
            bytes.extend(read);
        }
        bytes == self.good(piece)
    }

    /// Whether every file has its own name and length, and all its bytes.
    pub(super) fn is_all_right(&self) -> bool {
        let is_final =
            |file| self.medium.peek(file, Name::Final).is_some_and(|stamp| stamp.length == self.length(file));
        self.files().all(is_final)
            && self.content.layout().pieces().all(|piece| self.is_right_on_medium(piece))
    }

    fn error(&self, operation: &'static str, _: Fault) -> DiskError {
        let (file, message) = ("a file".to_owned(), "input/output error".to_owned());
        DiskError { kind: DiskErrorKind::Other, operation, file, message }
    }
}

fn durable_in(fact: &Fact) -> Vec<PieceIndex> {
    match fact {
        Fact::Pieces(Pieces::Durable, runs) => {
            runs.iter().flat_map(|(first, count)| (*first..first + count).map(PieceIndex)).collect()
        }
        _ => Vec::new(),
    }
}
