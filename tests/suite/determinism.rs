//! The same seed and the same inputs give the same actions: in one process, and in another.

use std::process::Command;

use btget::base::time::Duration;
use btget::sim::liar::Lie;
use btget::sim::link::LinkKind;
use btget::sim::scenario::Scenario;
use btget::sim::world::Departure;

/// A swarm in which a bit of everything happens.
fn digest(seed: u64, links: LinkKind) -> u64 {
    let scenario = Scenario::new(seed)
        .files(&[1_000_000, 0, 1_097_152], 32_768)
        .links(links)
        .uneven_lines()
        .spread(Duration::from_secs(5))
        .seeds(1)
        .leechers(6)
        .liar(Lie::BadBlocks { every: 10 })
        .liar(Lie::Disconnects);
    let mut swarm = scenario.build().expect("a layout that exists");
    swarm.world.stop_in(swarm.leechers[0], Duration::from_secs(3), Departure::Off);
    swarm.world.start_in(swarm.leechers[0], Duration::from_secs(20));
    let report = swarm.finish(Duration::from_secs(600));
    assert!(report.is_done && report.steps > 2_000, "{report}");
    report.digest
}

const EVERY_LINK: [LinkKind; 2] = [LinkKind::Messages, LinkKind::Wire];

/// How a digest is told to whoever runs this test in another process.
fn line(links: LinkKind, digest: u64) -> String {
    format!("{links:?}: digest {digest:016x}")
}

#[test]
fn the_same_seed_does_the_same_and_another_does_not() {
    for links in EVERY_LINK {
        let first = digest(1, links);
        println!("{}", line(links, first));
        assert_eq!(first, digest(1, links), "{links:?}");
        assert_ne!(first, digest(2, links), "{links:?}");
    }
}

#[test]
fn the_same_seed_does_the_same_in_another_process() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "determinism::the_same_seed_does_the_same_and_another_does_not", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    for links in EVERY_LINK {
        let expected = line(links, digest(1, links));
        assert!(text.contains(&expected), "{expected} is not in:\n{text}");
    }
}
