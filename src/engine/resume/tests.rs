use std::sync::Arc;

use proptest::prelude::*;

use super::durability::{Ground, Round};
use super::fact::{Fact, Pieces, Stamp, Whose};
use super::frame::{self, Content};
use super::record::Record;
use super::reliance::{Look, Scene};
use crate::base::file_map::FileMap;
use crate::base::index::{FileIndex, PieceIndex};
use crate::base::layout::Layout;
use crate::engine::disk_job::Traffic;

const PIECES: u32 = 40;

fn layout() -> Arc<Layout> {
    Arc::new(Layout::uniform(u64::from(PIECES) * 65_536 - 100, 65_536).unwrap())
}

fn a_fact() -> impl Strategy<Value = Fact> {
    let runs = || prop::collection::vec((0..PIECES, 0..9u32), 0..5);
    let what = prop::sample::select(vec![Pieces::Have, Pieces::Durable, Pieces::Unsure, Pieces::Missing]);
    let stamp = (any::<u64>(), any::<(i64, i64)>(), any::<u64>())
        .prop_map(|(length, modified, inode)| Stamp { length, modified, inode });
    prop_oneof![
        (what, runs()).prop_map(|(what, runs)| Fact::Pieces(what, runs)),
        (0..PIECES, runs()).prop_map(|(piece, runs)| Fact::Blocks(PieceIndex(piece), runs)),
        (0..PIECES).prop_map(|piece| Fact::Dropped(PieceIndex(piece))),
        (0..3u32, stamp, prop::sample::select(vec![Whose::Unknown, Whose::Ours, Whose::PerhapsOurs]))
            .prop_map(|(file, stamp, whose)| Fact::File(FileIndex(file), stamp, whose)),
        (0..3u32).prop_map(|file| Fact::Tainted(FileIndex(file))),
        any::<(u64, u64)>().prop_map(|(uploaded, downloaded)| Fact::Moved(Traffic { uploaded, downloaded })),
        prop::collection::vec((0..3u32, 0..3u32), 0..3).prop_map(Fact::Syncing),
        (any::<[u8; 20]>(), "[0-9a-f-]{0,36}", any::<u64>())
            .prop_map(|(identity, boot, device)| Fact::Begin { identity, boot, device }),
    ]
}

proptest! {
    #[test]
    fn what_can_be_written_can_be_read(frames in prop::collection::vec(prop::collection::vec(a_fact(), 0..6), 0..6)) {
        let mut bytes = frame::head();
        frames.iter().for_each(|facts| bytes.extend(frame::frame(facts)));
        prop_assert_eq!(frame::read(&bytes), Content::Frames(frames, false));
    }

    #[test]
    fn garbage_is_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let read = frame::read(&[frame::head(), bytes.clone()].concat());
        let expected = !bytes.is_empty();
        prop_assert_eq!(read, Content::Frames(Vec::new(), expected));
        Fact::decode_all(&bytes);
    }

    #[test]
    fn a_record_never_contradicts_itself(facts in prop::collection::vec(a_fact(), 0..40)) {
        let (layout, mut record) = (layout(), Record::empty(PIECES));
        for fact in &facts {
            let _ = record.apply(fact, &layout, 3);
            let both = record.have.iter().filter(|piece| record.unsure.has(*piece)).count();
            prop_assert_eq!(both, 0);
            prop_assert!(record.durable.iter().all(|piece| record.have.has(piece)));
            prop_assert!(record.written.keys().all(|piece| !record.have.has(*piece)));
        }
        let mut again = Record::empty(PIECES);
        for fact in &record.facts([0; 20])[1..] {
            prop_assert_eq!(again.apply(fact, &layout, 3), Ok(()));
        }
        prop_assert_eq!(again, record);
    }
}

/// Two files of two pieces each, and one piece that both have a part of between them.
fn files() -> (Layout, FileMap) {
    let file_map = FileMap::new([(2 * 65_536 + 100, false), (3 * 65_536 - 100, false)]).unwrap();
    (Layout::uniform(file_map.total(), 65_536).unwrap(), file_map)
}

fn round(record: &Record) -> Round {
    let (layout, file_map) = files();
    Round::of(record, Ground { layout: &layout, file_map: &file_map, is_on_disk: &|_| true })
}

fn having(pieces: &[u32], layout: &Layout) -> Record {
    let mut record = Record::empty(layout.piece_count());
    record.boot = "now".to_owned();
    pieces.iter().for_each(|piece| {
        record.have.insert(PieceIndex(*piece));
    });
    record
}

#[test]
fn a_piece_is_durable_when_all_its_files_are_synced_and_a_failed_sync_taints_its_file() {
    let record = having(&[0, 2, 4], &files().0);
    let settled = round(&record).sync(|_| true);
    let over = || Fact::Syncing(Vec::new());
    assert_eq!(settled.facts, [over(), Fact::Pieces(Pieces::Durable, vec![(0, 1), (2, 1), (4, 1)])]);
    let settled = round(&record).sync(|file| file.0 == 0);
    assert_eq!(settled.failed, Some(FileIndex(1)));
    assert_eq!(
        settled.facts,
        [Fact::Tainted(FileIndex(1)), over(), Fact::Pieces(Pieces::Durable, vec![(0, 1)])]
    );
}

#[test]
fn no_piece_of_a_tainted_file_becomes_durable_before_the_system_has_started_again() {
    let (layout, file_map) = files();
    let mut record = having(&[0], &layout);
    record.apply(&Fact::Tainted(FileIndex(1)), &layout, 2).unwrap();
    // Under way while the sync failed, had only now.
    record.apply(&Fact::Pieces(Pieces::Have, vec![(2, 2)]), &layout, 2).unwrap();
    let durable = |record: &Record| round(record).sync(|_| true).facts;
    let only_the_first = [Fact::Syncing(Vec::new()), Fact::Pieces(Pieces::Durable, vec![(0, 1)])];
    assert_eq!(durable(&record), only_the_first);
    let stamp = Stamp { length: 1 << 20, modified: (0, 0), inode: 1 };
    let found = [Look::Present(stamp, false); 2];
    record.files = [0, 1].map(|file| (FileIndex(file), (stamp, Whose::Ours))).into();
    for (boot, expected) in [("now", &[1][..]), ("later", &[])] {
        let (layout, file_map) = (&layout, &file_map);
        let scene = Scene { layout, file_map, found: &found, boot: Some(boot), device: 0 };
        let resume = scene.reliable(&record);
        let again = scene.going_on(&resume, Some(&record));
        assert_eq!(again.tainted.iter().map(|file| file.0).collect::<Vec<_>>(), expected, "{boot}");
        if boot == "now" {
            assert_eq!(durable(&again), only_the_first);
        } else {
            assert_eq!(resume.unsure.count(), 3, "what may not be on the disk is checked");
        }
    }
}
