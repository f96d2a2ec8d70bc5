//! What is going to happen, in virtual time. Events at the same time happen in the order in which they were
//! planned, so nothing depends on how a heap breaks ties.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use super::link::Parcel;
use super::scripted::PeerEvent;
use super::world::{Departure, HostId};
use crate::base::time::Instant;
use crate::engine::input::{DialId, Input};

/// Something that is going to happen.
pub(super) enum Event {
    /// A host's session is told something.
    Input { host: HostId, run: u32, input: Input },
    /// A session's deadline is here.
    Timeout { host: HostId, run: u32 },
    /// A scripted peer is told something.
    Scripted { host: HostId, run: u32, event: PeerEvent },
    /// A dial reaches the other host.
    Knock { host: HostId, run: u32, dial: Option<DialId>, address: SocketAddr },
    /// The dialler learns that its connection is open.
    Established { link: usize, dial: Option<DialId> },
    /// A host's line has room for more.
    UplinkFree { host: HostId, run: u32 },
    /// Bytes reach an end of a link.
    Arrived { link: usize, side: usize, parcel: Parcel },
    /// An end of a link reads what is there.
    Read { link: usize, side: usize },
    /// A host is switched on.
    Start { host: HostId },
    /// A host goes.
    Stop { host: HostId, departure: Departure },
}

struct Entry {
    at: Instant,
    sequence: u64,
    event: Event,
}

impl Entry {
    fn key(&self) -> (Instant, u64) {
        (self.at, self.sequence)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// All that is going to happen.
#[derive(Default)]
pub(super) struct EventQueue {
    heap: BinaryHeap<Reverse<Entry>>,
    planned: u64,
}

impl EventQueue {
    /// Plans `event`.
    pub(super) fn push(&mut self, at: Instant, event: Event) {
        self.planned += 1;
        self.heap.push(Reverse(Entry { at, sequence: self.planned, event }));
    }

    /// The next event and its time.
    pub(super) fn pop(&mut self) -> Option<(Instant, Event)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }

    /// When the next event is.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_of_planning() {
        let mut queue = EventQueue::default();
        for (at, link) in [(5, 0), (3, 1), (5, 2), (3, 3)] {
            queue.push(Instant::from_nanos(at), Event::Read { link, side: 0 });
        }
        let order: Vec<usize> = std::iter::from_fn(|| queue.pop())
            .map(|(_, event)| match event {
                Event::Read { link, .. } => link,
                _ => unreachable!("only reads were planned"),
            })
            .collect();
        assert_eq!(order, [1, 3, 0, 2]);
    }
}
