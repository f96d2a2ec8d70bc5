//! What a crash leaves: a download is killed, or loses its power, at every step and at random ones, and each
//! call to the disk and to the network fails once. Never is a wrong byte called right, what was recorded or
//! durable is not fetched again, and whatever happened, the next run completes.
//!
//! `BTGET_CRASH_ROUNDS=100` makes a hundred times as many random runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use btget::base::bitfield::Bitfield;
use btget::base::index::PieceIndex;
use btget::base::random::Rng;
use btget::base::rate::ByteRate;
use btget::base::time::Duration;
use btget::engine::disk_job::DiskErrorKind;
use btget::engine::notice::{Notice, TorrentFailure};
use btget::engine::settings::Settings;
use btget::sim::content::Content;
use btget::sim::disk::medium::{Medium, Survival, Trouble};
use btget::sim::disk::{DiskSpeed, KeptPlan, VirtualDisk};
use btget::sim::host::{HostPlan, Line};
use btget::sim::link::LinkKind;
use btget::sim::tracker::{Tracker, TrackerMode};
use btget::sim::world::{HostId, World};

/// How long a run may take in its own time.
const LIMIT: Duration = Duration::from_secs(3600);
const KEPT: [u32; 3] = [0, 50, 100];
/// Blocks that were under way to the disk together. A record has the stamp that the last of their writes left; when
/// the journal comes back with the first one's record and not the others', these are forgotten, durable or not.
const UNDER_WAY: usize = 64;

/// How many times as many random runs as by default.
fn rounds(by_default: u64) -> u64 {
    let factor = std::env::var("BTGET_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    by_default * factor.unwrap_or(1_u64)
}

/// A download from one seed, to be disturbed.
struct Download {
    content: Content,
    patience: Duration,
    memory: u64,
    syncs_at_end: bool,
    seed: u64,
}

/// A run of it.
struct Run {
    world: World,
    leecher: HostId,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Complete,
    /// With a message.
    Failed,
    Halted,
    TimedOut,
}

impl Download {
    /// Two files, four pieces, eight blocks; the second file begins within a piece and within a block.
    fn small() -> Download {
        Download::new(&[70_000, 50_000], 32_768, Duration::from_millis(4), 1)
    }

    fn new(lengths: &[u64], piece_length: u32, patience: Duration, seed: u64) -> Download {
        let content = Content::new(lengths, piece_length, &mut Rng::from_number(seed)).expect("a layout");
        Download { content, patience, memory: Settings::default().memory, syncs_at_end: false, seed }
    }

    fn on(&self, medium: Medium) -> KeptPlan {
        KeptPlan { medium, patience: self.patience, syncs_at_end: self.syncs_at_end }
    }

    fn medium(&self) -> Medium {
        Medium::new(self.content.file_map().files().len(), self.seed)
    }

    fn run(&self, medium: Medium) -> Run {
        let mut world = World::new(self.seed, self.content.clone(), LinkKind::Messages, TrackerMode::Works);
        let pieces = self.content.layout().piece_count();
        let line =
            Line { latency: Duration::from_millis(1), down: ByteRate(10_000_000), up: ByteRate(10_000_000) };
        let plan = |has: Bitfield, kept| HostPlan {
            super_seed: false,
            line,
            disk: DiskSpeed::default(),
            has,
            foreign: BTreeSet::new(),
            remembers: false,
            kept,
            settings: Arc::new(Settings { memory: self.memory, ..Settings::default() }),
            trackers: vec![vec![Tracker::URL.to_owned()]],
            peers: Vec::new(),
        };
        let seed = world.add_session(plan(Bitfield::full(pieces), None));
        let leecher = world.add_session(plan(Bitfield::empty(pieces), Some(self.on(medium))));
        world.start_in(seed, Duration::ZERO);
        world.start_in(leecher, Duration::from_millis(500));
        Run { world, leecher }
    }

    /// A run in which this goes wrong, to its end.
    fn disturbed(&self, mut medium: Medium, trouble: Trouble) -> (Run, End) {
        medium.expect_trouble(trouble);
        let mut run = self.run(medium);
        let end = run.finish();
        (run, end)
    }

    /// The same after a loss of power. A file that came back spoiled under its final name may be taken for
    /// somebody else's where pages came back as garbage, and where no journal is left to say that it is ours.
    fn goes_on(&self, medium: Medium, survival: Survival, safe: &BTreeSet<(PieceIndex, u32)>, what: &str) {
        let is_excused = survival.garbage || !medium.has_journal();
        let (run, end) = self.disturbed(medium.clone(), Trouble::None);
        if is_excused && end == End::Failed && run.has_conflict() {
            assert_eq!(run.world.faults(), [""; 0], "{what}");
        } else {
            self.completes(medium, safe, what);
        }
    }

    /// A run in which nothing goes wrong completes, and fetches nothing of what was `safe`. What it leaves.
    fn completes(&self, medium: Medium, safe: &BTreeSet<(PieceIndex, u32)>, what: &str) -> Medium {
        let (mut run, end) = self.disturbed(medium, Trouble::None);
        assert_eq!(run.world.faults(), [""; 0], "{what}");
        assert_eq!(end, End::Complete, "{what}: {:?}", run.failures());
        assert!(run.world.disk(run.leecher).expect("it has one").is_all_right(), "{what}");
        let again: Vec<_> =
            run.world.fetched(run.leecher).iter().filter(|block| safe.contains(block)).collect();
        assert!(again.is_empty(), "{what}: {again:?} are fetched again");
        let banned = |(_, notice): &&(_, Notice)| matches!(notice, Notice::PeerBanned { .. });
        assert_eq!(run.world.notices(run.leecher).iter().find(banned), None, "{what}");
        run.world.disk_mut(run.leecher).expect("it has one").catch_up();
        run.medium().clone()
    }
}

impl Run {
    fn finish(&mut self) -> End {
        let leecher = self.leecher;
        let has_failed = |world: &World| {
            world.notices(leecher).iter().any(|(_, notice)| matches!(notice, Notice::Failed { .. }))
        };
        let halted =
            |world: &World| world.disk(leecher).and_then(|disk| disk.medium()).is_some_and(Medium::is_halted);
        let is_complete = |world: &World| world.is_complete(leecher);
        self.world.run_until(LIMIT, |world| is_complete(world) || has_failed(world) || halted(world));
        match &self.world {
            world if halted(world) => End::Halted,
            world if is_complete(world) => End::Complete,
            world if has_failed(world) => End::Failed,
            _ => End::TimedOut,
        }
    }

    fn medium(&self) -> &Medium {
        self.world.disk(self.leecher).and_then(|disk| disk.medium()).expect("it keeps real bytes")
    }

    fn failures(&self) -> Vec<&Notice> {
        let notices = self.world.notices(self.leecher).iter().map(|(_, notice)| notice);
        notices.filter(|notice| matches!(notice, Notice::Failed { .. })).collect()
    }

    fn has_conflict(&self) -> bool {
        let is_conflict = |notice: &&Notice| match notice {
            Notice::Failed { failure: TorrentFailure::Disk(error), .. } => {
                error.kind == DiskErrorKind::Exists
            }
            _ => false,
        };
        self.failures().iter().any(is_conflict)
    }

    /// What no kill may lose.
    fn recorded(&self) -> BTreeSet<(PieceIndex, u32)> {
        self.world.disk(self.leecher).expect("it has one").recorded()
    }

    /// What no loss of power may lose.
    fn durable(&self) -> BTreeSet<(PieceIndex, u32)> {
        let layout = self.world.content().layout();
        let blocks = |piece| (0..layout.blocks_in(piece)).map(move |block| (piece, block * 16_384));
        self.world.disk(self.leecher).expect("it has one").durable().into_iter().flat_map(blocks).collect()
    }
}

fn survivals() -> impl Iterator<Item = Survival> {
    let each = || KEPT.into_iter();
    let of_both = move |pages| each().map(move |metadata| (pages, metadata));
    let of_all = each().flat_map(of_both).flat_map(move |(pages, metadata)| {
        each().map(move |journal| Survival { pages, metadata, journal, garbage: false })
    });
    of_all.flat_map(|survival| [false, true].map(|garbage| Survival { garbage, ..survival }))
}

/// Every call of an undisturbed run to its disk, halted before and in its midst.
fn every_halt(download: &Download) -> impl Iterator<Item = (Trouble, Run)> + '_ {
    let (run, end) = download.disturbed(download.medium(), Trouble::None);
    assert_eq!((end, run.world.faults()), (End::Complete, &[][..]));
    let calls = run.medium().calls();
    assert!(calls > 30, "{calls} calls");
    let halts = (1..=calls).flat_map(|call| [false, true].map(|is_torn| Trouble::Halt(call, is_torn)));
    halts.map(|halt| {
        let (run, end) = download.disturbed(download.medium(), halt);
        assert_eq!((end, run.world.faults()), (End::Halted, &[][..]), "{halt:?}");
        (halt, run)
    })
}

#[test]
fn a_kill_at_any_step_of_a_small_download_loses_nothing_that_was_recorded() {
    let mut states = 0;
    for memory in [Settings::default().memory, 32_768] {
        let download = Download { memory, ..Download::small() };
        for (halt, run) in every_halt(&download) {
            download.completes(run.medium().clone(), &run.recorded(), &format!("{halt:?}"));
            states += 1;
        }
    }
    println!("{states} states");
}

#[test]
fn a_loss_of_power_at_any_step_of_a_small_download_loses_nothing_that_was_durable() {
    let download = Download::small();
    let mut states = 0;
    for (halt, run) in every_halt(&download) {
        let durable = run.durable();
        for survival in survivals() {
            let is_random =
                survival.garbage || [survival.pages, survival.metadata, survival.journal].contains(&50);
            for seed in 0..if is_random { rounds(1) } else { 1 } {
                let mut medium = run.medium().clone();
                medium.lose_power(survival, seed);
                let what = format!("{halt:?}, {survival:?}, seed {seed}");
                download.goes_on(medium, survival, &durable, &what);
                states += 1;
            }
        }
    }
    println!("{states} states");
}

#[test]
fn a_file_that_was_synced_before_it_counted_as_finished_outlives_any_loss_of_power_under_its_name() {
    let download = Download { syncs_at_end: true, ..Download::small() };
    let (mut finished, mut states) = (0, 0);
    for (halt, run) in every_halt(&download) {
        let durable = run.durable();
        let files = run.world.disk(run.leecher).expect("it has one").finished();
        for (seed, survival) in (0..).zip(survivals()) {
            let mut medium = run.medium().clone();
            medium.lose_power(survival, seed);
            let disk = VirtualDisk::keeping(
                download.content.clone(),
                DiskSpeed::default(),
                download.on(medium.clone()),
            );
            let what = format!("{halt:?}, {survival:?}");
            let gone: Vec<_> = files.iter().filter(|file| !disk.is_file_right(**file)).collect();
            assert!(gone.is_empty(), "{what}: {gone:?} were finished");
            download.goes_on(medium, survival, &durable, &what);
            (finished, states) = (finished + files.len(), states + 1);
        }
    }
    println!("{states} states");
    assert!(finished > 0, "some files were finished before the power was lost");
}

#[test]
fn each_failing_call_to_the_disk_ends_in_success_or_a_message_and_the_next_run_completes() {
    let download = Download::small();
    let (run, _) = download.disturbed(download.medium(), Trouble::None);
    let (mut ends, mut states) = (BTreeSet::new(), 0);
    for call in 1..=run.medium().calls() {
        for trouble in [Trouble::Fail(call), Trouble::FailFrom(call)] {
            let (run, end) = download.disturbed(download.medium(), trouble);
            assert_eq!(run.world.faults(), [""; 0], "{trouble:?}");
            assert!(matches!(end, End::Complete | End::Failed), "{trouble:?}: {end:?}");
            ends.insert(end == End::Complete);
            if end == End::Complete {
                assert!(run.world.disk(run.leecher).expect("it has one").is_all_right(), "{trouble:?}");
            }
            let next = download.completes(run.medium().clone(), &BTreeSet::new(), &format!("{trouble:?}"));
            // Also when the power is lost before the next run, or after it.
            for (seed, survival) in (0..).zip(survivals()) {
                if rounds(1) == 1 && (seed + call) % 4 != 0 {
                    continue;
                }
                for (mut medium, when) in [(run.medium().clone(), "before"), (next.clone(), "after")] {
                    medium.lose_power(survival, seed);
                    let what = format!("{trouble:?}, {survival:?} {when} the next run, seed {seed}");
                    download.goes_on(medium, survival, &BTreeSet::new(), &what);
                    states += 1;
                }
            }
        }
    }
    println!("{states} states");
    assert_eq!(ends.len(), 2, "some failures are survived and some are not");
}

#[test]
fn each_failing_call_to_the_network_is_survived() {
    let download = Download::small();
    let mut undisturbed = download.run(download.medium());
    assert_eq!(undisturbed.finish(), End::Complete);
    let calls = undisturbed.world.network_calls(undisturbed.leecher);
    assert!(calls > 15, "{calls} calls");
    for call in 1..=calls {
        let mut run = download.run(download.medium());
        run.world.fail_network(run.leecher, Some(call));
        assert_eq!((run.finish(), run.world.faults()), (End::Complete, &[][..]), "call {call}");
        assert!(run.world.disk(run.leecher).expect("it has one").is_all_right(), "call {call}");
    }
}

/// Kills and losses of power at random steps of one download, one after the other.
fn disturb_again_and_again(seed: u64) {
    let mut rng = Rng::from_number(seed);
    let piece_length = 16_384 << rng.below(4);
    let lengths: Vec<u64> = (0..1 + rng.below(5)).map(|_| 1 + rng.below(600_000) as u64).collect();
    let patience = Duration::from_millis(2 + rng.below(60) as u64);
    let mut download = Download::new(&lengths, piece_length, patience, seed);
    if rng.below(2) == 0 {
        download.memory = u64::from(piece_length) * 2;
    }
    let is_coarse = rng.below(2) == 0;
    let mut medium = download.medium().with_tick(if is_coarse { 4_000_000 } else { 1 });
    let is_garbage = rng.below(3) == 0;
    // A journal that failed knows less of whose the files are.
    let mut is_excused = is_garbage;
    let mut survival = Survival { pages: 100, metadata: 100, journal: 100, garbage: is_garbage };
    let (mut safe, mut allowed) = (BTreeSet::new(), 0);
    for round in 0..1 + rng.below(6) {
        let call = 1 + rng.below(300) as u64;
        let trouble = match rng.below(4) {
            0 => Trouble::Fail(call),
            is_torn => Trouble::Halt(call, is_torn == 1),
        };
        let what = format!("seed {seed}, round {round}, {trouble:?}");
        let (run, end) = download.disturbed(medium, trouble);
        assert_eq!(run.world.faults(), [""; 0], "{what}");
        if is_excused && run.has_conflict() {
            return;
        }
        is_excused |= trouble == Trouble::Fail(call);
        let has_failed = end == End::Failed && trouble == Trouble::Fail(call);
        let is_expected = has_failed || matches!(end, End::Halted | End::Complete);
        assert!(is_expected, "{what}: {end:?} {:?}", run.failures());
        let fetched = run.world.fetched(run.leecher);
        let again: Vec<_> = fetched.iter().filter(|block| safe.contains(*block)).collect();
        assert!(again.len() <= allowed, "{what}: {again:?} are fetched again");
        medium = run.medium().clone();
        if rng.below(2) == 0 {
            if allowed > 0 {
                safe.clear();
            }
            safe.extend(run.recorded());
            allowed = 0;
        } else {
            let mut kept = || KEPT[rng.below(3)];
            let (pages, metadata, journal) = (kept(), kept(), kept());
            survival = Survival { pages, metadata, journal, garbage: is_garbage };
            medium.lose_power(survival, rng.next_u64());
            allowed = UNDER_WAY;
            // What was written in the same tick as a record's stamp may be forgotten with that record.
            safe = if is_coarse { BTreeSet::new() } else { run.durable() };
        }
    }
    survival.garbage = is_excused;
    if allowed > 0 {
        safe.clear();
    }
    download.goes_on(medium, survival, &safe, &format!("seed {seed}, at the end"));
}

#[test]
fn kills_and_losses_of_power_at_random_steps_of_larger_downloads_are_gone_on_from() {
    for seed in 0..rounds(60) {
        disturb_again_and_again(seed);
    }
}

#[test]
fn a_kill_loses_no_more_than_what_was_under_way_and_the_last_quarter_of_a_second() {
    let mut worst = 0;
    let settings = |seed| [32_768, 1 << 20, 4 << 20].map(|piece_length| (seed, piece_length));
    for (seed, piece_length) in (0..rounds(1)).flat_map(settings) {
        let patience = Duration::from_millis(200);
        let download = Download::new(&[5_000_000, 3_000_000], piece_length, patience, seed);
        let mut rng = Rng::from_number(seed);
        let mut medium = download.medium();
        for round in 0..8 {
            medium.expect_trouble(Trouble::None);
            let mut run = download.run(medium);
            let leecher = run.leecher;
            let time = Duration::from_millis(500 + rng.below(300) as u64);
            run.world.run_until(time, |world| world.is_complete(leecher));
            assert_eq!(run.world.faults(), [""; 0], "seed {seed}, round {round}");
            let (recorded, (requests, _, _)) = (run.recorded(), run.world.outstanding(leecher));
            let fetched = run.world.fetched(leecher).iter();
            let lost = fetched.filter(|block| !recorded.contains(block)).count() as u64 * 16_384;
            // What comes in a quarter of a second, and what peers were asked for.
            let window = 10_000_000 / 4 + requests as u64 * 16_384;
            assert!(lost <= window, "seed {seed}, pieces of {piece_length}: {lost} bytes, not {window}");
            worst = worst.max(lost);
            medium = run.medium().clone();
        }
        download.completes(medium, &BTreeSet::new(), &format!("seed {seed}, pieces of {piece_length}"));
    }
    println!("{worst} bytes at worst");
}
