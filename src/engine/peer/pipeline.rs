//! The requests that are out with one peer: how many there may be, and when it is late.
//!
//! Depth follows the peer's best second of late: enough requests for a second of it (or for two round trips,
//! if that is more), between 8 and what the peer accepts. It starts small and grows by one with every block
//! until the rate grows no more. A peer that lets its requests lie is snubbed: one request, until it delivers.
//!
//! Here a request is what counts against the peer, with the time that it takes; whose answer is welcome, and whom else
//! to ask, is the picker's to know. When a peer is late, its requests are over here, and there they are not.

use std::collections::VecDeque;

use crate::base::index::BlockAddress;
use crate::base::layout::BLOCK_LENGTH;
use crate::base::limit;
use crate::base::rate::RollingRate;
use crate::base::time::{Duration, Instant};

/// The fewest requests out with a peer that is not snubbed.
const DEPTH_MIN: usize = 8;
/// Requests at the start: enough for 1 MiB/s at a quarter of a second.
const DEPTH_START: usize = 16;
/// A peer with requests out and no block for so long is snubbed.
const SNUB_AFTER: Duration = Duration::from_secs(20);
/// A peer that rejects so many requests and sends nothing is given a pause.
const REJECTS_MAX: u32 = 32;
/// Added to two round trips.
const SLACK: Duration = Duration::from_millis(50);
/// Requests last at least so long at the peer's best rate.
const HORIZON_MIN: Duration = Duration::from_secs(1);

/// What is asked of one peer. Oldest first.
#[derive(Debug)]
pub struct RequestPipeline {
    out: VecDeque<(BlockAddress, Instant)>,
    /// What the peer accepts.
    limit: usize,
    depth: usize,
    is_growing: bool,
    /// The best second when growth was last looked at, bytes a second.
    peak_before: u64,
    looked_at: Instant,
    /// The shortest time from a request to its block.
    latency: Duration,
    /// When a block came last, or the first of the present requests went out.
    progress: Instant,
    is_snubbed: bool,
    /// Rejects since a block came or a pause ended.
    rejects: u32,
}

impl RequestPipeline {
    /// Nothing asked yet.
    pub fn new(now: Instant) -> RequestPipeline {
        RequestPipeline {
            out: VecDeque::new(),
            limit: usize::from(limit::REQUESTS_OUT_UNTOLD),
            depth: DEPTH_START,
            is_growing: true,
            peak_before: 0,
            looked_at: now,
            latency: Duration::from_secs(1),
            progress: now,
            is_snubbed: false,
            rejects: 0,
        }
    }

    /// Takes the number of requests that the peer says it accepts.
    pub fn set_limit(&mut self, reqq: u16) {
        self.limit = usize::from(reqq.clamp(1, limit::REQUESTS_OUT));
    }

    /// The number of requests that the peer accepts.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many requests are out.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Whether the peer let its requests lie.
    pub fn is_snubbed(&self) -> bool {
        self.is_snubbed
    }

    /// How many requests may go out in addition, if `allowed` may be out in all; 0 until a batch is worth a write.
    pub fn room(&self, allowed: usize) -> usize {
        if self.rejects >= REJECTS_MAX {
            return 0;
        }
        let depth = if self.is_snubbed { 1 } else { self.depth.min(self.limit).min(allowed) };
        let room = depth.saturating_sub(self.out.len());
        if room * 8 >= depth { room } else { 0 }
    }

    /// All requests, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = BlockAddress> + '_ {
        self.out.iter().map(|(block, _)| *block)
    }

    /// Notes a request.
    pub fn on_requested(&mut self, now: Instant, block: BlockAddress) {
        if self.out.is_empty() {
            self.progress = now;
        }
        self.out.push_back((block, now));
    }

    /// Notes that a block came; says whether it had been asked for. `down` is the peer's rate, this block
    /// counted in.
    pub fn on_received(&mut self, now: Instant, block: BlockAddress, down: &mut RollingRate) -> bool {
        let Some(sent) = self.take(block) else {
            return false;
        };
        self.progress = now;
        self.is_snubbed = false;
        self.rejects = 0;
        self.latency = self.latency.min(now.since(sent));
        if self.is_growing {
            self.depth = (self.depth + 1).min(usize::from(limit::REQUESTS_OUT));
        }
        if now.since(self.looked_at) >= HORIZON_MIN {
            self.look(now, down);
        }
        true
    }

    /// Notes that the peer rejected a request; says whether there was one. A peer that rejects and never
    /// delivers is given a pause, or requests and rejects would go round as fast as the network carries them.
    pub fn on_rejected(&mut self, block: BlockAddress) -> bool {
        self.rejects = self.rejects.saturating_add(1);
        self.forget(block)
    }

    /// Ends the pause of a peer that rejects.
    pub fn end_pause(&mut self) {
        self.rejects = 0;
    }

    /// Forgets a request: it was cancelled. Says whether it was there.
    pub fn forget(&mut self, block: BlockAddress) -> bool {
        self.take(block).is_some()
    }

    /// Forgets all requests and gives them back.
    pub fn clear(&mut self) -> Vec<BlockAddress> {
        self.out.drain(..).map(|(block, _)| block).collect()
    }

    /// When the peer is late, if nothing comes; `None` with nothing asked.
    pub fn late_at(&self) -> Option<Instant> {
        (!self.out.is_empty()).then(|| self.progress + SNUB_AFTER)
    }

    /// What was out until now is as if it had just been asked for: nobody was there to receive it.
    pub fn excuse(&mut self, now: Instant) {
        self.progress = now;
    }

    /// Marks the peer as snubbed: its depth is 1 until a block comes.
    pub fn mark_snubbed(&mut self, now: Instant) {
        self.is_snubbed = true;
        self.progress = now;
        self.is_growing = true;
        self.depth = DEPTH_MIN;
    }

    fn take(&mut self, block: BlockAddress) -> Option<Instant> {
        let at = self.out.iter().position(|(out, _)| *out == block)?;
        self.out.remove(at).map(|(_, sent)| sent)
    }

    fn look(&mut self, now: Instant, down: &mut RollingRate) {
        let peak = down.peak(now).0;
        if peak <= self.peak_before + self.peak_before / 10 {
            self.is_growing = false;
        }
        if !self.is_growing {
            let horizon = (2 * self.latency + SLACK).max(HORIZON_MIN);
            let blocks = crate::base::rate::ByteRate(peak).over(horizon) / u64::from(BLOCK_LENGTH);
            self.depth = (blocks as usize).clamp(DEPTH_MIN, usize::from(limit::REQUESTS_OUT));
        }
        self.peak_before = peak;
        self.looked_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::index::PieceIndex;

    fn block(number: u32) -> BlockAddress {
        BlockAddress { piece: PieceIndex(0), block: number }
    }

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// Delivers `rate` blocks a second for `seconds`, asking again whenever there is room.
    fn deliver(pipeline: &mut RequestPipeline, from: u64, seconds: u64, rate: u64) {
        let mut down = RollingRate::new(at(from));
        let mut next = 0;
        for tick in 0..seconds * rate {
            let now = at(from + tick * 1000 / rate);
            for _ in 0..pipeline.room(usize::MAX) {
                pipeline.on_requested(now, block(next));
                next += 1;
            }
            let first = pipeline.iter().next().unwrap();
            down.add(now, BLOCK_LENGTH);
            assert!(pipeline.on_received(now, first, &mut down));
        }
    }

    #[test]
    fn depth_settles_at_a_second_of_the_peers_rate() {
        let mut pipeline = RequestPipeline::new(at(0));
        deliver(&mut pipeline, 0, 10, 100);
        assert!((80..=120).contains(&pipeline.depth), "{}", pipeline.depth);
    }

    #[test]
    fn depth_never_passes_what_the_peer_accepts() {
        let mut pipeline = RequestPipeline::new(at(0));
        pipeline.set_limit(10);
        assert_eq!(pipeline.room(usize::MAX), 10);
        deliver(&mut pipeline, 0, 5, 1000);
        assert!(pipeline.len() <= 10);
        pipeline.set_limit(0);
        assert_eq!(pipeline.limit(), 1);
    }

    #[test]
    fn a_snubbed_peer_gets_one_request_until_it_delivers() {
        let mut pipeline = RequestPipeline::new(at(0));
        assert_eq!(pipeline.late_at(), None);
        pipeline.on_requested(at(0), block(0));
        assert_eq!(pipeline.late_at(), Some(at(20_000)));
        pipeline.mark_snubbed(at(20_000));
        pipeline.clear();
        assert_eq!(pipeline.room(usize::MAX), 1);
        pipeline.on_requested(at(21_000), block(1));
        assert!(pipeline.on_received(at(22_000), block(1), &mut RollingRate::new(at(0))));
        assert!(pipeline.room(usize::MAX) >= DEPTH_MIN);
    }

    #[test]
    fn a_peer_that_only_rejects_is_given_a_pause() {
        let mut pipeline = RequestPipeline::new(at(0));
        for number in 0..REJECTS_MAX {
            assert!(pipeline.room(usize::MAX) > 0);
            pipeline.on_requested(at(0), block(number));
            assert!(pipeline.on_rejected(block(number)));
        }
        assert_eq!(pipeline.room(usize::MAX), 0);
        pipeline.end_pause();
        assert!(pipeline.room(usize::MAX) > 0);
    }

    #[test]
    fn a_block_that_was_not_asked_for_is_not_counted() {
        let mut pipeline = RequestPipeline::new(at(0));
        assert!(!pipeline.on_received(at(0), block(7), &mut RollingRate::new(at(0))));
        assert!(!pipeline.forget(block(7)));
    }
}
