//! A virtual disk that keeps what was written as a real one does: real bytes on a [`Medium`], and the journal
//! that ships.
//!
//! In which order files are looked at, synced and named, and the journal is told, is `engine/resume`'s, which
//! `runtime/disk` asks too: here each of its single calls is one on the medium. What is left to do alike is how blocks
//! get into files (`writing`: `write_together` and `payload::writable` there) and whose the files are (`names`:
//! `unproven` there).
//!
//! A job's writes happen when it is given, its record when it is done: so the writes of jobs that are under way at
//! the same time overlap as those of worker threads do. Between the steps of a round of syncs other jobs come in.
//!
//! Whatever is said to be had is compared with what is on the medium: that is what it is for.

mod finishing;
mod names;
mod recording;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use self::recording::Step;
use super::KeptPlan;
use super::medium::{Fault, Medium, Name};
use crate::base::bitfield::Bitfield;
use crate::base::block_data::BlockData;
use crate::base::digest;
use crate::base::index::{BlockAddress, FileIndex, PieceIndex};
use crate::base::time::{Duration, Instant};
use crate::engine::disk_job::{DiskError, DiskErrorKind, Existing, Traffic};
use crate::engine::resume::going_on::GoingOn;
use crate::engine::resume::reliance::{Look, Scene};
use crate::engine::resume::{Fact, Ledger, Told};
use crate::sim::content::Content;

pub(super) struct KeptDisk {
    content: Content,
    medium: Medium,
    /// How long what is written waits to be synced.
    patience: Duration,
    /// Whether a file is on the disk before it counts as finished.
    syncs_at_end: bool,
    memory: Memory,
    recorded: BTreeSet<(PieceIndex, u32)>,
    durable: BTreeSet<PieceIndex>,
}

/// What ends with the process.
#[derive(Default)]
struct Memory {
    ledger: Option<Ledger>,
    had: Option<Bitfield>,
    names: BTreeMap<FileIndex, Name>,
    ours: BTreeSet<FileIndex>,
    perhaps_ours: BTreeSet<FileIndex>,
    /// Files that were opened to write.
    opened: BTreeSet<FileIndex>,
    proof: BTreeSet<PieceIndex>,
    /// Of pieces under way: whether all that was hashed is right.
    hashed: BTreeMap<PieceIndex, bool>,
    /// What was to be written and is not recorded.
    unrecorded: BTreeMap<PieceIndex, Vec<u32>>,
    /// When a round of syncs is to begin.
    sync_due: Option<Instant>,
    /// How far one is.
    round: Step,
    /// Nothing is written any more.
    is_settled: bool,
}

type Result<T> = std::result::Result<T, Fault>;

impl KeptDisk {
    pub(super) fn new(content: Content, plan: KeptPlan) -> KeptDisk {
        let KeptPlan { mut medium, patience, syncs_at_end } = plan;
        medium.begin();
        let (memory, recorded, durable) = (Memory::default(), BTreeSet::new(), BTreeSet::new());
        KeptDisk { content, medium, patience, syncs_at_end, memory, recorded, durable }
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
            self.memory.sync_due = Some(now + self.patience);
        }
        (opened.map_err(|fault| self.error("open", fault)), wrong)
    }

    fn opened(&mut self) -> Result<Existing> {
        let (mut ledger, is_known) = self.read_journal();
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
        let boot = self.medium.boot();
        let (layout, file_map) = (self.content.layout(), self.content.file_map());
        let scene = Scene { layout, file_map, found: &looks, boot: Some(&boot), device: 1 };
        let has_data = self.files().any(|file| self.has_data(file));
        let existing = if has_data { Existing::Something } else { Existing::Nothing };
        let GoingOn { existing, ours, perhaps_ours } = ledger.go_on(is_known, &scene, existing);
        (self.memory.ours, self.memory.perhaps_ours) = (ours, perhaps_ours);
        self.memory.ledger = Some(ledger);
        let first = FileIndex(0);
        if looks[0] == Look::Absent {
            self.medium.create(first, Name::Part)?;
            self.memory.names.insert(first, Name::Part);
        }
        for file in self.files().filter(|file| !self.has_data(*file)).collect::<Vec<_>>() {
            self.memory.ours.insert(file);
        }
        Ok(existing)
    }

    /// The journal, and whether an earlier run left something in it.
    fn read_journal(&mut self) -> (Ledger, bool) {
        let identity = digest::sha1(b"the target").0;
        let layout = Arc::new(self.content.layout().clone());
        let mut ledger = Ledger::new(identity, layout, self.files().count() as u32);
        let told = match self.medium.read_log() {
            Ok(Some(bytes)) => ledger.read(&bytes),
            Ok(None) | Err(Fault) => Told::Nothing,
        };
        (ledger, matches!(told, Told::Whole | Told::Part))
    }

    /// So much more was moved. A journal that is closed already is opened for a moment.
    pub(super) fn remember(&mut self, now: Instant, traffic: Traffic) {
        let facts = [Fact::Moved(traffic)];
        // What fails is written anew, or forgotten, as there.
        let _ = if let Some(ledger) = &mut self.memory.ledger {
            ledger.append(now, &facts, &mut self.medium)
        } else {
            let (mut ledger, is_known) = self.read_journal();
            if is_known { ledger.append(now, &facts, &mut self.medium) } else { Ok(false) }
        };
    }

    /// Whether a file holds anything but zeros.
    fn has_data(&self, file: FileIndex) -> bool {
        let Some(name) = self.memory.names.get(&file) else { return false };
        let Some(stamp) = self.medium.peek(file, *name) else { return false };
        let bytes = self.medium.peek_at(file, *name, 0, stamp.length);
        bytes.is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
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

    /// Whether a file has its own name and length, and all its bytes.
    pub(super) fn is_file_right(&self, file: FileIndex) -> bool {
        let span = self.content.file_map().files()[file.index()];
        let bytes = self.medium.peek_at(file, Name::Final, 0, span.length);
        let is_long = self.medium.peek(file, Name::Final).is_some_and(|stamp| stamp.length > span.length);
        let start = |piece| self.content.layout().piece_range(piece).start;
        let pieces = super::pieces_of(self.content.layout(), span.offset..span.offset + span.length);
        let pieces: Vec<PieceIndex> = pieces.collect();
        let good: Vec<u8> = pieces.iter().flat_map(|piece| self.good(*piece)).collect();
        let skip = pieces.first().map_or(0, |first| (span.offset - start(*first)) as usize);
        !is_long && bytes.is_some_and(|bytes| good[skip..].starts_with(&bytes))
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
