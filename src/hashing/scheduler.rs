//! Runs of different messages onto the lanes of a kernel.
//!
//! A lane that comes to its run's end takes the next run that waits, the longest first, so that many lanes
//! stay busy to the end. How many are busy decides which kernel takes the next step. Bytes that don't fill a
//! block wait in the message's tail; a tail that is full is a block like others.

use super::kernel::Block;
use super::plan::{MAX_LANES, Table};
use super::running::Running;

/// The next bytes of one message.
pub(super) struct Lane<'a, const WORDS: usize> {
    message: &'a mut Running<WORDS>,
    /// Whole blocks where they lie.
    blocks: &'a [Block],
    /// What follows them in the same slice.
    rest: &'a [u8],
    /// The slices after that.
    slices: std::slice::Iter<'a, &'a [u8]>,
    in_tail: usize,
    length: usize,
}

impl<'a, const WORDS: usize> Lane<'a, WORDS> {
    /// The message is to go on by all of `bytes`.
    pub(super) fn new(message: &'a mut Running<WORDS>, bytes: &'a [&'a [u8]]) -> Lane<'a, WORDS> {
        let length = bytes.iter().map(|bytes| bytes.len()).sum();
        let in_tail = message.in_tail();
        message.length += length as u64;
        Lane { message, blocks: &[], rest: &[], slices: bytes.iter(), in_tail, length }
    }

    /// Whole blocks that lie side by side. None at the run's end only.
    fn ready(&self) -> &[Block] {
        if self.in_tail == self.message.tail.len() {
            std::slice::from_ref(&self.message.tail)
        } else {
            self.blocks
        }
    }

    /// Finds the next blocks if there are none, and puts what does not fill one into the tail.
    fn refill(&mut self) {
        while self.ready().is_empty() {
            let bytes = match std::mem::take(&mut self.rest) {
                [] => match self.slices.next() {
                    Some(bytes) => bytes,
                    None => return,
                },
                rest => rest,
            };
            if self.in_tail == 0 && bytes.len() >= self.message.tail.len() {
                (self.blocks, self.rest) = bytes.as_chunks();
            } else {
                let room = &mut self.message.tail[self.in_tail..];
                let (taken, rest) = bytes.split_at(room.len().min(bytes.len()));
                room[..taken.len()].copy_from_slice(taken);
                self.in_tail += taken.len();
                self.rest = rest;
            }
        }
    }

    /// So many of the ready blocks are done.
    fn pass(&mut self, count: usize) {
        if self.in_tail == self.message.tail.len() {
            self.in_tail = 0;
        } else {
            self.blocks = &self.blocks[count..];
        }
        self.refill();
    }
}

/// Hashes all runs to their ends.
pub(super) fn advance<const WORDS: usize>(table: &Table<WORDS>, mut waiting: Vec<Lane<'_, WORDS>>) {
    waiting.iter_mut().for_each(Lane::refill);
    waiting.retain(|lane| !lane.ready().is_empty());
    if waiting.len() > table.width() {
        waiting.sort_by_key(|lane| lane.length);
    }
    let mut busy: Vec<Lane<'_, WORDS>> = Vec::with_capacity(table.width());
    let mut states = [[0; WORDS]; MAX_LANES];
    loop {
        while busy.len() < table.width()
            && let Some(lane) = waiting.pop()
        {
            states[busy.len()] = lane.message.state;
            busy.push(lane);
        }
        if busy.is_empty() {
            return;
        }
        let step = table.step(busy.len());
        let active = step.lanes.min(busy.len());
        let mut data: [&[Block]; MAX_LANES] = [&[]; MAX_LANES];
        let mut count = usize::MAX;
        for (data, lane) in data.iter_mut().zip(&busy[..active]) {
            *data = lane.ready();
            count = count.min(data.len());
        }
        (step.compress)(&mut states[..active], &data[..active], count);
        for at in (0..active).rev() {
            busy[at].pass(count);
            if busy[at].ready().is_empty() {
                let last = busy.len() - 1;
                busy[at].message.state = states[at];
                busy.swap_remove(at);
                states[at] = states[last];
            }
        }
    }
}
