//! Swarms of sessions in virtual time: they finish, whoever comes, goes or lies. A run that fails tells the
//! seed that replays it. `BTGET_SIM_SEED` runs every test with that seed alone, `BTGET_SIM_TRACE` prints every
//! input and action of a random swarm that fails, `BTGET_SIM_SEEDS` says how many of these there are.

use std::panic::{AssertUnwindSafe, catch_unwind};

use btget::base::bitfield::Bitfield;
use btget::base::index::{FileIndex, PieceIndex};
use btget::base::random::Rng;
use btget::base::rate::ByteRate;
use btget::base::time::Duration;
use btget::engine::disk_job::DiskErrorKind;
use btget::engine::notice::{Notice, TorrentFailure};
use btget::engine::settings::{Settings, Slots};
use btget::engine::snapshot::{Detail, StallReason};
use btget::sim::disk::DiskSpeed;
use btget::sim::host::Line;
use btget::sim::liar::Lie;
use btget::sim::link::LinkKind;
use btget::sim::report::Report;
use btget::sim::scenario::{Scenario, Swarm};
use btget::sim::world::{Departure, HostId, World};

const PIECES: u32 = 64;
const MINUTE: Duration = Duration::from_secs(60);

/// Runs a test with each of its seeds; a seed under which it panics is named.
fn with_seeds(seeds: impl IntoIterator<Item = u64>, test: impl Fn(u64)) {
    let asked = std::env::var("BTGET_SIM_SEED").ok().map(|text| text.parse().expect("a number"));
    let seeds: Vec<u64> = asked.map_or_else(|| seeds.into_iter().collect(), |seed| vec![seed]);
    for seed in seeds {
        let outcome = catch_unwind(AssertUnwindSafe(|| test(seed)));
        assert!(outcome.is_ok(), "failed with seed {seed}, see above; replay: BTGET_SIM_SEED={seed}");
    }
}

fn build(scenario: &Scenario) -> Swarm {
    scenario.build().expect("a layout that exists")
}

fn finishes(swarm: &mut Swarm, limit: Duration) -> Report {
    let report = swarm.finish(limit);
    assert!(report.is_done, "{}\n{report}", swarm.world.take_trace().join("\n"));
    for host in &report.hosts {
        let (requests, is_writing, _) = host.outstanding;
        assert!(host.is_complete && requests == 0 && !is_writing, "{report}");
        let torrent = host.torrent.as_ref().expect("it is switched on");
        assert_eq!((torrent.verified, torrent.partial), (torrent.total, 0), "{report}");
    }
    report
}

fn wasted(world: &World, host: HostId) -> u64 {
    world.snapshot(host, Detail::Totals).expect("it is switched on").wasted
}

fn banned(world: &World) -> Vec<std::net::SocketAddr> {
    let mut banned: Vec<_> = world
        .hosts()
        .flat_map(|host| world.notices(host))
        .filter_map(|(_, notice)| match notice {
            Notice::PeerBanned { address, .. } => Some(*address),
            _ => None,
        })
        .collect();
    banned.sort();
    banned.dedup();
    banned
}

#[test]
fn somebody_elses_file_ends_a_download_before_it_begins() {
    // Each file has pieces of its own; the first one is right.
    let scenario = |seed| Scenario::new(seed).files(&[400_000, 400_000], 65_536).seeds(1);
    with_seeds(1..=2, |seed| {
        let mut right = Bitfield::empty(13);
        (0..6).for_each(|piece| assert!(right.insert(PieceIndex(piece))));
        let mut swarm = build(&scenario(seed).having_foreign(right.clone(), &[FileIndex(1)]));
        let host = swarm.leechers[0];
        swarm.world.run_for(MINUTE);
        let failed = |notice: &Notice| match notice {
            Notice::Failed { failure: TorrentFailure::Disk(error), .. } => Some(error.kind),
            _ => None,
        };
        let failures: Vec<_> =
            swarm.world.notices(host).iter().filter_map(|(_, notice)| failed(notice)).collect();
        assert_eq!(failures, [DiskErrorKind::Exists]);
        let disk = swarm.world.disk(host).expect("it has a session");
        assert_eq!((disk.right(), disk.finished().len()), (&right, 0), "something was written");
    });
}

#[test]
fn a_file_that_shares_its_pieces_with_a_missing_one_does_not_end_a_download() {
    with_seeds(1..=2, |seed| {
        let mut right = Bitfield::empty(8);
        (0..7).for_each(|piece| assert!(right.insert(PieceIndex(piece))));
        let scenario = Scenario::new(seed).files(&[7 * 65_536, 30_000, 30_000], 65_536).seeds(1);
        let mut swarm = build(&scenario.having_foreign(right, &[FileIndex(1)]));
        finishes(&mut swarm, MINUTE);
    });
}

#[test]
fn a_seed_and_twenty_leechers_finish() {
    with_seeds(1..=3, |seed| {
        let mut swarm = build(&Scenario::new(seed).seeds(1).leechers(20).uneven_lines());
        finishes(&mut swarm, 10 * MINUTE);
        assert_eq!(banned(&swarm.world), [], "an honest peer is banned");
    });
}

#[test]
fn they_finish_over_the_real_codec() {
    with_seeds(1..=2, |seed| {
        let scenario = Scenario::new(seed).links(LinkKind::Wire).files(&[3_000_000], 49_152);
        let mut swarm = build(&scenario.seeds(1).leechers(6));
        finishes(&mut swarm, 10 * MINUTE);
    });
}

#[test]
fn leechers_that_leave_and_come_back_go_on_where_they_were() {
    with_seeds(1..=3, |seed| {
        let scenario = Scenario::new(seed).spread(Duration::from_secs(10)).uneven_lines();
        let mut swarm = build(&scenario.seeds(1).leechers(12));
        for (turn, &host) in swarm.leechers.iter().enumerate() {
            let away = Duration::from_secs(11 + turn as u64 / 2);
            let departure = if turn % 2 == 0 { Departure::Off } else { Departure::Lost };
            if turn % 3 != 0 {
                swarm.world.stop_in(host, away, departure);
                swarm.world.start_in(host, away + Duration::from_secs(15));
            }
        }
        swarm.world.run_for(Duration::from_secs(60));
        let came_back = swarm.leechers[1];
        let checks = swarm.world.notices(came_back).iter().filter_map(|(_, notice)| match notice {
            Notice::Checked { have, .. } => Some(*have),
            _ => None,
        });
        let checks: Vec<u32> = checks.collect();
        assert!(checks.len() == 2 && checks[0] == 0 && checks[1] > 0, "{checks:?}");
        finishes(&mut swarm, 20 * MINUTE);
    });
}

#[test]
fn a_leecher_that_is_killed_again_and_again_fetches_only_what_was_under_way() {
    with_seeds(1..=10, |seed| {
        // Pieces of 64 blocks, so that most of what is lost would be blocks of unfinished pieces.
        let scenario = Scenario::new(seed).files(&[16 << 20], 1 << 20).remembering();
        let mut swarm = build(&scenario.seeds(3).leechers(1).uneven_lines());
        let leecher = swarm.leechers[0];
        let mut received = 0;
        for round in 0..5 {
            let is_on_its_way = |world: &World| {
                world.snapshot(leecher, Detail::Totals).is_some_and(|torrent| torrent.downloaded > 2 << 20)
            };
            assert!(swarm.world.run_until(10 * MINUTE, is_on_its_way), "round {round} fetches nothing");
            received += swarm.world.snapshot(leecher, Detail::Totals).unwrap().downloaded;
            let departure = if round % 2 == 0 { Departure::Off } else { Departure::Lost };
            swarm.world.stop_in(leecher, Duration::ZERO, departure);
            swarm.world.run_for(Duration::from_secs(3));
            swarm.world.start_in(leecher, Duration::ZERO);
            swarm.world.run_for(Duration::from_secs(1));
        }
        finishes(&mut swarm, 20 * MINUTE);
        received += swarm.world.snapshot(leecher, Detail::Totals).unwrap().downloaded;
        let lost = received - (16 << 20);
        // A second's worth of blocks waits for its run, of a piece from each seed, at each of the five ends.
        assert!(lost < 5 * 3 * (1 << 20), "{lost} bytes were fetched again");
        assert_eq!(banned(&swarm.world), [], "blocks of an earlier run are nobody's fault");
    });
}

/// One leecher, honest seeds and liars of one kind: the leecher finishes, and no honest peer is banned.
fn survives(seed: u64, lie: Lie, links: LinkKind) -> Swarm {
    let scenario = Scenario::new(seed).links(links).seeds(2).leechers(2);
    let mut swarm = build(&scenario.liar(lie).liar(lie));
    finishes(&mut swarm, 20 * MINUTE);
    let liars: Vec<_> = swarm.liars.iter().map(|host| swarm.world.address(*host)).collect();
    let banned = banned(&swarm.world);
    assert!(banned.iter().all(|address| liars.contains(address)), "{lie:?}: {banned:?} are banned");
    swarm
}

#[test]
fn liars_do_not_keep_a_swarm_from_finishing() {
    let lies = [
        Lie::Mute,
        Lie::Silent,
        Lie::Chokes,
        Lie::Withholds,
        Lie::Rejects,
        Lie::Disconnects,
        Lie::Flaps,
        Lie::Floods,
        Lie::Crawls,
    ];
    for lie in lies {
        for links in [LinkKind::Messages, LinkKind::Wire] {
            with_seeds(1..=2, |seed| drop(survives(seed, lie, links)));
        }
    }
    with_seeds(1..=2, |seed| drop(survives(seed, Lie::Garbage, LinkKind::Wire)));
}

#[test]
fn whoever_sends_bad_blocks_is_banned_and_little_is_wasted() {
    with_seeds(1..=10, |seed| {
        let scenario = Scenario::new(seed).seeds(4).leechers(1).liar(Lie::BadBlocks { every: 10 });
        let mut swarm = build(&scenario);
        finishes(&mut swarm, 10 * MINUTE);
        let liar = swarm.world.address(swarm.liars[0]);
        assert_eq!(banned(&swarm.world), [liar]);
        let failed = failed_pieces(&swarm.world, swarm.leechers[0]);
        assert!((1..=4).contains(&failed), "{failed} pieces failed");
    });
}

fn failed_pieces(world: &World, host: HostId) -> usize {
    world.notices(host).iter().filter(|(_, notice)| matches!(notice, Notice::PieceFailed { .. })).count()
}

#[test]
fn a_leecher_with_only_a_liar_takes_what_is_good_from_it() {
    with_seeds(1..=3, |seed| {
        let scenario = Scenario::new(seed).leechers(1).liar(Lie::Floods);
        finishes(&mut build(&scenario), 20 * MINUTE);
    });
}

#[test]
fn all_peers_gone_at_99_percent_is_told_and_survived() {
    with_seeds(1..=5, |seed| {
        // Slow lines: little is on its way when the others go.
        let line = Line { up: ByteRate(200_000), ..Line::default() };
        let scenario = Scenario::new(seed).files(&[256 * 65_536], 65_536).line(line);
        let mut swarm = build(&scenario.seeds(2).leechers(1));
        let leecher = swarm.leechers[0];
        let is_nearly_done = |world: &World| world.disk(leecher).unwrap().right().count() >= 253;
        assert!(swarm.world.run_until(10 * MINUTE, is_nearly_done));
        let departure = if seed % 2 == 0 { Departure::Lost } else { Departure::Off };
        for &host in &swarm.seeds {
            swarm.world.stop_in(host, Duration::ZERO, departure);
        }
        swarm.world.run_for(5 * MINUTE);
        let snapshot = swarm.world.snapshot(leecher, Detail::Totals).unwrap();
        assert!(!swarm.world.is_complete(leecher));
        assert_eq!(snapshot.peers, 0);
        assert_eq!(snapshot.waiting, Some(StallReason::NoneConnectable));
        for &host in &swarm.seeds {
            swarm.world.start_in(host, Duration::ZERO);
        }
        finishes(&mut swarm, 30 * MINUTE);
    });
}

#[test]
fn a_piece_that_nobody_has_is_named_and_comes_with_the_one_who_has_it() {
    with_seeds(1..=3, |seed| {
        let mut most = Bitfield::full(PIECES);
        most.remove(PieceIndex(40));
        let mut swarm = build(&Scenario::new(seed).having(most).leechers(2).seeds(1));
        swarm.world.stop_in(swarm.seeds[0], Duration::ZERO, Departure::Off);
        swarm.world.run_for(2 * MINUTE);
        for &host in &swarm.leechers {
            let snapshot = swarm.world.snapshot(host, Detail::Totals).unwrap();
            assert_eq!((snapshot.pieces, snapshot.have), (PIECES, PIECES - 1));
            let waiting = snapshot.waiting;
            assert!(matches!(waiting, Some(StallReason::MissingPieces { pieces: 1, .. })), "{waiting:?}");
        }
        swarm.world.start_in(swarm.seeds[0], Duration::ZERO);
        finishes(&mut swarm, 30 * MINUTE);
    });
}

#[test]
fn in_the_endgame_few_blocks_come_twice() {
    with_seeds(1..=5, |seed| {
        let mut swarm = build(&Scenario::new(seed).seeds(8).leechers(1).uneven_lines());
        finishes(&mut swarm, 10 * MINUTE);
        let leecher = swarm.leechers[0];
        let blocks = u64::from(PIECES * 4);
        let (duplicates, wasted) = (swarm.world.duplicates(leecher), wasted(&swarm.world, leecher) / 16_384);
        assert!(duplicates <= blocks / 5, "{duplicates} of {blocks} blocks were asked for twice");
        assert!(wasted <= blocks / 10, "{wasted} of {blocks} blocks came twice");
    });
}

/// A swarm of anything, drawn from its seed: geometry, lines, disks, bounds, liars, comings and goings. One
/// seed stays, so whoever is there at the end must finish.
fn anything(seed: u64) -> Swarm {
    let mut rng = Rng::from_number(seed).fork("anything");
    let piece_length = 16_384 << rng.below(4);
    let lengths: Vec<u64> = (0..1 + rng.below(5)).map(|_| rng.below(900_000) as u64).collect();
    let lengths = if lengths.iter().sum::<u64>() == 0 { vec![1] } else { lengths };
    let settings = Settings {
        max_peers_torrent: 3 + rng.below(20),
        max_dials: 1 + rng.below(5),
        memory: 65_536 << rng.below(8),
        slots: Slots::Fixed(1 + rng.below(5)),
        check_jobs: 1 + rng.below(3),
        ..Settings::default()
    };
    let millis = |rng: &mut Rng, most: usize| Duration::from_millis(rng.below(most) as u64);
    let line = Line {
        latency: millis(&mut rng, 200),
        down: ByteRate(50_000 << rng.below(8)),
        up: ByteRate(50_000 << rng.below(6)),
    };
    let disk = DiskSpeed { latency: millis(&mut rng, 30), rate: ByteRate(500_000 << rng.below(8)) };
    let links = if rng.below(3) == 0 { LinkKind::Wire } else { LinkKind::Messages };
    let mut scenario = Scenario::new(seed).files(&lengths, piece_length).settings(settings).line(line);
    scenario = scenario.disk(disk).links(links).uneven_lines().spread(millis(&mut rng, 20_000));
    scenario = scenario.seeds(1 + rng.below(2)).leechers(1 + rng.below(8));
    if rng.below(2) == 0 {
        scenario = scenario.remembering();
    }
    for _ in 0..rng.below(3) {
        let lies = [
            Lie::BadBlocks { every: 1 + rng.below(20) as u32 },
            Lie::Mute,
            Lie::Silent,
            Lie::Chokes,
            Lie::Withholds,
            Lie::Rejects,
            Lie::Disconnects,
            Lie::Flaps,
            Lie::Floods,
            Lie::Garbage,
            Lie::Crawls,
        ];
        scenario = scenario.liar(lies[rng.below(lies.len())]);
    }
    let mut swarm = build(&scenario);
    if std::env::var("BTGET_SIM_TRACE").is_ok() {
        swarm.world.keep_trace();
    }
    let mut coming_and_going = swarm.leechers.clone();
    coming_and_going.extend(&swarm.seeds[1..]);
    for host in coming_and_going {
        for _ in 0..rng.below(3) {
            let leaves = millis(&mut rng, 60_000);
            let departure = if rng.below(2) == 0 { Departure::Off } else { Departure::Lost };
            swarm.world.stop_in(host, leaves, departure);
            swarm.world.start_in(host, leaves + millis(&mut rng, 40_000));
        }
    }
    swarm
}

#[test]
fn whatever_happens_whoever_stays_finishes() {
    let many = std::env::var("BTGET_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    with_seeds(1..=many, |seed| {
        let mut swarm = anything(seed);
        swarm.world.run_for(2 * MINUTE);
        finishes(&mut swarm, 120 * MINUTE);
        let liars: Vec<_> = swarm.liars.iter().map(|host| swarm.world.address(*host)).collect();
        let banned = banned(&swarm.world);
        assert!(banned.iter().all(|address| liars.contains(address)), "{banned:?} are banned");
    });
}

#[test]
fn a_full_disk_is_waited_for_and_what_was_written_stays() {
    // With the second setting most of what waits has to be given up.
    for (memory, waste) in [(Settings::default().memory, 128 << 10), (400_000, 2 << 20)] {
        with_seeds(1..=3, |seed| {
            let settings = Settings { memory, ..Settings::default() };
            let scenario = Scenario::new(seed).settings(settings).links(LinkKind::Wire).seeds(2).leechers(2);
            let mut swarm = build(&scenario);
            let host = swarm.leechers[0];
            let have = |world: &World| world.disk(host).expect("it has a session").right().count();
            assert!(swarm.world.run_until(MINUTE, |world| have(world) >= PIECES / 3));
            swarm.world.set_full(host, true);
            swarm.world.run_for(30 * MINUTE);
            let snapshot = swarm.world.snapshot(host, Detail::Totals).expect("it is switched on");
            let needed = snapshot.total - snapshot.verified;
            assert_eq!(snapshot.waiting, Some(StallReason::DiskFull { free: Some(0), needed }));
            assert_eq!(swarm.world.outstanding(host).0, 0, "it still asks");
            assert!(snapshot.partial <= memory, "{snapshot:?}");
            let right = have(&swarm.world);
            assert!((PIECES / 3..PIECES).contains(&right));
            swarm.world.set_full(host, false);
            let report = finishes(&mut swarm, MINUTE);
            assert!(wasted(&swarm.world, host) <= waste, "{report}");
        });
    }
}
