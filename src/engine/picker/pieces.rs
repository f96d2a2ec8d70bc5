//! What has become of each piece: the one place where a piece changes its state.
//!
//! ```text
//! Missing -> Open <-> Verifying -> Have
//!    ^         |          |
//!    +---------+----------+     nothing asked for or received any more | hash failure
//! ```
//!
//! Invariant: `have` holds exactly the pieces in state `Have`; `closed` all pieces but the missing ones that
//! may be picked; an open piece lacks at least one block; a piece being verified lacks none.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::open_piece::OpenPiece;
use crate::base::bitfield::Bitfield;
use crate::base::index::PieceIndex;
use crate::base::layout::Layout;

/// A piece's state. `slot` is its place in the list of that state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PieceState {
    /// Nothing of it is here or on its way.
    Missing,
    /// Some blocks are asked for or received.
    Open { slot: u32 },
    /// All blocks are received; the disk has not given its verdict.
    Verifying { slot: u32 },
    /// Verified and written.
    Have,
}

pub(super) struct Pieces {
    layout: Arc<Layout>,
    states: Vec<PieceState>,
    open: Vec<OpenPiece>,
    verifying: Vec<OpenPiece>,
    have: Bitfield,
    /// Pieces never to be picked, and those that are here: no reason to be interested.
    settled: Bitfield,
    /// Pieces that may not be opened.
    closed: Bitfield,
    /// Pieces that failed their hash, and how often: whoever sends them next does so alone.
    failures: BTreeMap<PieceIndex, u32>,
}

impl Pieces {
    pub(super) fn new(layout: Arc<Layout>, have: &Bitfield, pickable: impl Fn(PieceIndex) -> bool) -> Pieces {
        let count = layout.piece_count();
        let mut pieces = Pieces {
            states: vec![PieceState::Missing; count as usize],
            open: Vec::new(),
            verifying: Vec::new(),
            have: Bitfield::empty(count),
            settled: Bitfield::empty(count),
            closed: Bitfield::empty(count),
            failures: BTreeMap::new(),
            layout,
        };
        for piece in pieces.layout.pieces() {
            if have.has(piece) {
                pieces.states[piece.index()] = PieceState::Have;
                pieces.have.insert(piece);
            }
            if have.has(piece) || !pickable(piece) {
                pieces.settled.insert(piece);
                pieces.closed.insert(piece);
            }
        }
        pieces
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn have(&self) -> &Bitfield {
        &self.have
    }

    pub(super) fn settled(&self) -> &Bitfield {
        &self.settled
    }

    pub(super) fn closed(&self) -> &Bitfield {
        &self.closed
    }

    pub(super) fn state(&self, piece: PieceIndex) -> Option<PieceState> {
        self.states.get(piece.index()).copied()
    }

    /// Whether `piece` may be opened.
    pub(super) fn is_openable(&self, piece: PieceIndex) -> bool {
        self.layout.has_piece(piece) && !self.closed.has(piece)
    }

    /// All open pieces, in no order that matters.
    pub(super) fn open_pieces(&self) -> &[OpenPiece] {
        &self.open
    }

    pub(super) fn verifying_pieces(&self) -> &[OpenPiece] {
        &self.verifying
    }

    pub(super) fn open_piece(&self, piece: PieceIndex) -> Option<&OpenPiece> {
        match self.state(piece)? {
            PieceState::Open { slot } => Some(&self.open[slot as usize]),
            _ => None,
        }
    }

    pub(super) fn open_piece_mut(&mut self, piece: PieceIndex) -> Option<&mut OpenPiece> {
        match self.state(piece)? {
            PieceState::Open { slot } => Some(&mut self.open[slot as usize]),
            _ => None,
        }
    }

    pub(super) fn verifying_piece(&self, piece: PieceIndex) -> Option<&OpenPiece> {
        match self.state(piece)? {
            PieceState::Verifying { slot } => Some(&self.verifying[slot as usize]),
            _ => None,
        }
    }

    /// Missing to open. `None` when the piece may not be opened.
    pub(super) fn open(&mut self, piece: PieceIndex) -> Option<&mut OpenPiece> {
        if !self.is_openable(piece) {
            return None;
        }
        let failures = self.failures.get(&piece).copied().unwrap_or(0);
        self.states[piece.index()] = PieceState::Open { slot: self.open.len() as u32 };
        self.closed.insert(piece);
        self.open.push(OpenPiece::new(piece, self.layout.blocks_in(piece), failures));
        self.open.last_mut()
    }

    /// Open to missing, if nothing is asked for or received; says whether it was so.
    pub(super) fn close_if_untouched(&mut self, piece: PieceIndex) -> bool {
        let is_untouched = self.open_piece(piece).is_some_and(OpenPiece::is_untouched);
        if is_untouched {
            self.leave(piece, PieceState::Missing);
            self.closed.remove(piece);
        }
        is_untouched
    }

    /// Open to verifying, if no block is lacking; says whether it was so.
    pub(super) fn verify_if_complete(&mut self, piece: PieceIndex) -> bool {
        let is_complete = self.open_piece(piece).is_some_and(OpenPiece::is_complete);
        if is_complete {
            let slot = self.verifying.len() as u32;
            if let Some(complete) = self.leave(piece, PieceState::Verifying { slot }) {
                self.verifying.push(complete);
            }
        }
        is_complete
    }

    /// An open piece, or one being verified, which is open from here on: some of its blocks are gone.
    pub(super) fn reopen(&mut self, piece: PieceIndex) -> Option<&mut OpenPiece> {
        if self.verifying_piece(piece).is_some() {
            let slot = self.open.len() as u32;
            if let Some(mut reopened) = self.leave(piece, PieceState::Open { slot }) {
                reopened.owner = None;
                self.open.push(reopened);
            }
        }
        self.open_piece_mut(piece)
    }

    /// Verifying to had; says whether it was so.
    pub(super) fn accept(&mut self, piece: PieceIndex) -> bool {
        let is_verifying = self.verifying_piece(piece).is_some();
        if is_verifying {
            self.leave(piece, PieceState::Have);
            self.have.insert(piece);
            self.settled.insert(piece);
            self.failures.remove(&piece);
        }
        is_verifying
    }

    /// Verifying to missing; says whether it was so.
    pub(super) fn refuse(&mut self, piece: PieceIndex) -> bool {
        let is_verifying = self.verifying_piece(piece).is_some();
        if is_verifying {
            self.leave(piece, PieceState::Missing);
            self.closed.remove(piece);
            let failures = self.failures.entry(piece).or_default();
            *failures = failures.saturating_add(1);
        }
        is_verifying
    }

    /// Takes a piece out of the list of its state, and puts it into `state`.
    fn leave(&mut self, piece: PieceIndex, state: PieceState) -> Option<OpenPiece> {
        let old = std::mem::replace(&mut self.states[piece.index()], state);
        match old {
            PieceState::Open { slot } => {
                let left = self.open.swap_remove(slot as usize);
                if let Some(moved) = self.open.get(slot as usize) {
                    self.states[moved.piece.index()] = PieceState::Open { slot };
                }
                Some(left)
            }
            PieceState::Verifying { slot } => {
                let left = self.verifying.swap_remove(slot as usize);
                if let Some(moved) = self.verifying.get(slot as usize) {
                    self.states[moved.piece.index()] = PieceState::Verifying { slot };
                }
                Some(left)
            }
            PieceState::Missing | PieceState::Have => None,
        }
    }

    /// Panics when the invariant does not hold.
    pub(super) fn check_invariants(&self) {
        let (mut open, mut verifying) = (0, 0);
        for piece in self.layout.pieces() {
            match self.states[piece.index()] {
                PieceState::Missing => {
                    assert!(!self.have.has(piece), "{piece:?} is missing and had");
                    assert_eq!(self.closed.has(piece), self.settled.has(piece), "{piece:?} may be opened");
                    continue;
                }
                PieceState::Open { slot } => {
                    let found = &self.open[slot as usize];
                    assert_eq!(found.piece, piece, "an open piece is in its slot");
                    assert!(!found.is_complete(), "{piece:?} is open and lacks nothing");
                    assert!(!found.is_untouched(), "{piece:?} is open for nothing");
                    found.check_invariants();
                    open += 1;
                }
                PieceState::Verifying { slot } => {
                    let found = &self.verifying[slot as usize];
                    assert_eq!(found.piece, piece, "a piece being verified is in its slot");
                    assert!(found.is_complete(), "{piece:?} is being verified and lacks a block");
                    verifying += 1;
                }
                PieceState::Have => assert!(self.settled.has(piece), "{piece:?} is had and wanted"),
            }
            assert!(self.closed.has(piece), "{piece:?} is not missing and may be opened");
            let is_had = self.states[piece.index()] == PieceState::Have;
            assert_eq!(self.have.has(piece), is_had, "{piece:?} is in the bitfield exactly when had");
        }
        assert_eq!(self.open.len(), open, "no open piece is listed twice");
        assert_eq!(self.verifying.len(), verifying, "no verifying piece is listed twice");
    }
}
