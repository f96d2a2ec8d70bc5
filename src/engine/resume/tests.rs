use std::sync::Arc;

use proptest::prelude::*;

use super::fact::{Fact, Pieces, Stamp};
use super::frame::{self, Content};
use super::record::Record;
use crate::base::index::{FileIndex, PieceIndex};
use crate::base::layout::Layout;

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
        (0..3u32, stamp, any::<bool>()).prop_map(|(file, stamp, ours)| Fact::File(
            FileIndex(file),
            stamp,
            ours
        )),
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
