//! Workers at a queue, one step of one of them at a time and in any order: each job is done once, no two write to
//! one file, and nobody sleeps over work.
//!
//! A worker here does what `workers` has one do: it sleeps until it is woken, wakes another when it leaves work behind,
//! and one of them waits for more pieces. Whom a call wakes is anybody's guess, and how soon that one gets on too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::{Sample, TORRENT, payload, target};
use super::sample;
use crate::base::index::FileIndex;
use crate::engine::disk_job::DiskJob;
use crate::runtime::disk::advance::Lane;
use crate::runtime::disk::check::Check;
use crate::runtime::disk::open_files::Key;
use crate::runtime::disk::payload::Payload;
use crate::runtime::disk::queue::{Next, Queue, Turn, Work};

const WORKERS: usize = 3;
const MOST: u32 = 120;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A piece that goes to this file.
    Piece(u32),
    Job,
    Check,
    /// This worker gets on.
    Step(usize),
    /// So many microseconds go by.
    Pass(u64),
}

enum Worker {
    Asleep,
    /// Waits for more pieces, until then.
    Gathering(Instant),
    /// Has been woken; whether it was one who gathers.
    Woken(bool),
    Busy(Turn),
    Ended,
}

struct Model {
    queue: Queue,
    now: Instant,
    workers: Vec<Worker>,
    /// Whom the next call wakes.
    whim: usize,
    sample: Sample,
    payload: Arc<Payload>,
    /// By piece: its file, and how often it was written and judged.
    pieces: Vec<(Key, u32, u32)>,
    /// Jobs and checks: how many came, and how many are done.
    others: (u32, u32),
    checks: (u32, u32),
}

fn key(file: u32) -> Key {
    (TORRENT, FileIndex(file))
}

impl Model {
    fn new(dir: &tempfile::TempDir, checking_max: Option<usize>) -> Model {
        let sample = sample(MOST);
        let payload = payload(sample.storage(target(dir.path())));
        let mut queue = Queue::default();
        queue.checking_max = checking_max;
        let workers = (0..WORKERS).map(|_| Worker::Woken(false)).collect();
        let (now, pieces) = (Instant::now(), Vec::new());
        Model { queue, now, workers, whim: 0, sample, payload, pieces, others: (0, 0), checks: (0, 0) }
    }

    fn wake_one(&mut self) {
        self.whim = self.whim.wrapping_mul(7) + 3;
        for at in (0..WORKERS).map(|at| (at + self.whim) % WORKERS) {
            let is_gatherer = matches!(self.workers[at], Worker::Gathering(_));
            if is_gatherer || matches!(self.workers[at], Worker::Asleep) {
                self.workers[at] = Worker::Woken(is_gatherer);
                return;
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Piece(file) if self.pieces.len() < MOST as usize => {
                let job = self.sample.job(self.pieces.len() as u32, [0]);
                self.pieces.push((key(file), 0, 0));
                if self.queue.push_piece(key(file), job, self.now) {
                    self.wake_one();
                }
            }
            Event::Piece(_) => {}
            Event::Job => {
                self.others.0 += 1;
                self.queue.push(Work::Job(DiskJob::Settle { torrent: TORRENT }));
                self.wake_one();
            }
            Event::Check => {
                self.checks.0 += 1;
                self.queue.checks.push_back((TORRENT, Check::new(0..1)));
                self.wake_one();
            }
            Event::Step(worker) => self.step(worker % WORKERS),
            Event::Pass(micros) => self.now += Duration::from_micros(micros),
        }
    }

    /// A worker gets on, if it is not asleep.
    fn step(&mut self, at: usize) {
        let woken = match &self.workers[at] {
            Worker::Woken(is_gatherer) => Some(*is_gatherer),
            Worker::Gathering(until) if *until <= self.now => Some(true),
            Worker::Asleep | Worker::Gathering(_) | Worker::Ended => return,
            Worker::Busy(_) => None,
        };
        let Some(is_gatherer) = woken else {
            if let Worker::Busy(turn) = std::mem::replace(&mut self.workers[at], Worker::Woken(false)) {
                self.finish(turn);
            }
            return;
        };
        if is_gatherer {
            self.queue.is_gathering = false;
        }
        self.workers[at] = match self.queue.take(self.now) {
            Next::Turn(turn) => {
                self.begin(&turn);
                self.workers[at] = Worker::Busy(turn);
                if self.queue.has_more() {
                    self.wake_one();
                }
                return;
            }
            Next::Later(wait) if !self.queue.is_gathering => {
                self.queue.is_gathering = true;
                Worker::Gathering(self.now + wait)
            }
            Next::Nothing if self.queue.is_ending => Worker::Ended,
            Next::Later(_) | Next::Nothing => Worker::Asleep,
        };
    }

    fn begin(&self, turn: &Turn) {
        let Turn::Write(file, jobs) = turn else { return };
        let is_same =
            |worker: &Worker| matches!(worker, Worker::Busy(Turn::Write(other, _)) if other == file);
        assert!(!self.workers.iter().any(is_same), "two write to {file:?}");
        let pieces: Vec<usize> = jobs.iter().map(|job| job.piece.0 as usize).collect();
        assert!(!pieces.is_empty() && pieces.is_sorted(), "{pieces:?}");
        assert!(pieces.iter().all(|piece| self.pieces[*piece].0 == *file), "{pieces:?}");
    }

    fn finish(&mut self, turn: Turn) {
        match turn {
            Turn::Write(file, jobs) => {
                jobs.iter().for_each(|job| self.pieces[job.piece.0 as usize].1 += 1);
                // Of some the write fails, and they are reported at once.
                let (failed, written): (Vec<_>, Vec<_>) =
                    jobs.into_iter().partition(|job| job.piece.0 % 7 == 3);
                failed.iter().for_each(|job| self.pieces[job.piece.0 as usize].2 += 1);
                let lane = |job| Lane::new(self.payload.clone(), job);
                self.queue.on_written(file, written.into_iter().map(lane).collect(), self.now);
            }
            Turn::Hash(lanes) => {
                let mut rest = Vec::new();
                for mut lane in lanes {
                    // Every other piece takes two steps.
                    if lane.job.piece.0 % 2 == 0 && lane.job.front == 0 {
                        lane.job.front = 1;
                        rest.push(lane);
                    } else {
                        self.pieces[lane.job.piece.0 as usize].2 += 1;
                    }
                }
                self.queue.on_hashed(rest, self.now);
            }
            Turn::Check(torrent, check) => {
                self.queue.checking -= 1;
                if !self.queue.checks.is_empty() {
                    self.wake_one();
                }
                if self.checks.1 % 3 == 1 && !self.queue.is_ending {
                    self.checks = (self.checks.0 + 1, self.checks.1);
                    self.queue.checks.push_front((torrent, check));
                    self.wake_one();
                }
                self.checks.1 += 1;
            }
            Turn::Other(_) => self.others.1 += 1,
        }
    }

    /// Nothing comes any more: until all sleep or have ended.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            let busy =
                self.workers.iter().position(|worker| matches!(worker, Worker::Woken(_) | Worker::Busy(_)));
            let gathering = self.workers.iter().enumerate().find_map(|(at, worker)| match worker {
                Worker::Gathering(until) => Some((at, *until)),
                _ => None,
            });
            match (busy, gathering) {
                (Some(at), _) => self.step(at),
                (None, Some((at, until))) => {
                    self.now = self.now.max(until);
                    self.step(at);
                }
                (None, None) => return,
            }
        }
        panic!("they find no end");
    }

    fn require_all_done(&self, has_ended: bool) {
        for (piece, (file, written, judged)) in self.pieces.iter().enumerate() {
            assert_eq!((*written, *judged), (1, 1), "piece {piece} of {file:?}");
        }
        assert_eq!(self.others.0, self.others.1, "jobs");
        if has_ended {
            assert!(self.workers.iter().all(|worker| matches!(worker, Worker::Ended)), "somebody sleeps on");
        } else {
            assert_eq!(self.checks.0, self.checks.1, "checks");
        }
    }
}

fn an_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..3u32).prop_map(Event::Piece),
        1 => Just(Event::Job),
        1 => Just(Event::Check),
        8 => (0..WORKERS).prop_map(Event::Step),
        4 => (0..3000u64).prop_map(Event::Pass),
    ]
}

proptest! {
    #[test]
    fn each_job_is_done_once_and_nobody_sleeps_over_work(
        events in prop::collection::vec(an_event(), 0..200),
        checking_max in prop::option::of(1..3usize),
        ends in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model::new(&dir, checking_max);
        events.into_iter().for_each(|event| model.happen(event));
        if ends {
            model.queue.end();
            (0..WORKERS).for_each(|_| model.wake_one());
        }
        model.settle();
        model.require_all_done(ends);
    }
}
