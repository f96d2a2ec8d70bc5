use super::*;
use crate::engine::resume::JournalFile;

const FILE: FileIndex = FileIndex(0);
const ALL: Survival = Survival { pages: 100, metadata: 100, journal: 100, garbage: false };
const NONE: Survival = Survival { pages: 0, metadata: 0, journal: 0, garbage: false };

fn written() -> Medium {
    let mut medium = Medium::new(1, 1);
    medium.create(FILE, Name::Part).unwrap();
    medium.write(FILE, Name::Part, 100, &[7; 2 * PAGE]).unwrap();
    medium
}

#[test]
fn what_was_not_synced_may_be_gone_after_a_loss_of_power_and_may_be_there() {
    let mut gone = written();
    gone.lose_power(NONE, 1);
    assert_eq!(gone.look(FILE, Name::Part), Ok(None));
    let mut there = written();
    there.lose_power(ALL, 1);
    assert_eq!(there.read(FILE, Name::Part, 100, 2 * PAGE as u64), Ok(Some(vec![7; 2 * PAGE])));
    let mut synced = written();
    synced.sync(FILE, Name::Part).unwrap();
    synced.write(FILE, Name::Part, 100, &[8; 10]).unwrap();
    synced.lose_power(NONE, 1);
    assert_eq!(synced.read(FILE, Name::Part, 100, 2 * PAGE as u64), Ok(Some(vec![7; 2 * PAGE])));
}

#[test]
fn pages_come_back_each_by_itself() {
    let half = Survival { pages: 50, metadata: 100, ..NONE };
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut medium = written();
        medium.lose_power(half, seed);
        let bytes = medium.read(FILE, Name::Part, 0, 2 * PAGE as u64 + 100).unwrap().unwrap();
        seen.insert([200, PAGE + 200, 2 * PAGE + 50].map(|at| bytes[at] == 7));
    }
    assert_eq!(seen.len(), 8);
}

#[test]
fn a_sync_that_works_after_one_that_failed_says_nothing_of_what_that_one_left() {
    let losses = (0..20).filter(|seed| {
        let mut medium = written();
        medium.rng = Rng::from_number(*seed);
        medium.expect_trouble(Trouble::Fail(1));
        assert_eq!(medium.sync(FILE, Name::Part), Err(Fault));
        assert_eq!(medium.sync(FILE, Name::Part), Ok(()));
        medium.lose_power(ALL, 1);
        medium.read(FILE, Name::Part, 100, 2 * PAGE as u64) != Ok(Some(vec![7; 2 * PAGE]))
    });
    assert!(losses.count() > 10);
}

#[test]
fn a_journal_keeps_what_was_synced_and_some_beginning_of_the_rest() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut medium = Medium::new(0, 1);
        medium.make_beside(b"base").unwrap();
        medium.sync_beside().unwrap();
        medium.take_place().unwrap();
        JournalFile::sync_name(&mut medium).unwrap();
        medium.append(b"facts").unwrap();
        medium.lose_power(Survival { journal: 90, ..NONE }, seed);
        let log = medium.read_log().unwrap().unwrap();
        assert!(log.starts_with(b"base"));
        lengths.insert(log.len());
    }
    assert_eq!(lengths.len(), 6);
}

#[test]
fn a_journal_that_took_its_place_before_it_was_synced_may_come_back_without_its_end() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut medium = Medium::new(0, 1);
        medium.make_beside(b"base").unwrap();
        medium.take_place().unwrap();
        JournalFile::sync_name(&mut medium).unwrap();
        medium.lose_power(Survival { journal: 90, ..NONE }, seed);
        lengths.insert(medium.read_log().unwrap().unwrap().len());
    }
    assert_eq!(lengths.len(), 5);
}
