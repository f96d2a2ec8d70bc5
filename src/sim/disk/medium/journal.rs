//! The journal's file on the medium, and what a loss of power leaves of it: all up to its last sync, and some of what
//! was appended since. A journal that took its place before it was synced may come back without any of it.

use super::{Fault, Medium, PAGE};
use crate::base::random::Rng;
use crate::engine::resume::JournalFile;

#[derive(Clone, Debug)]
pub(super) struct Log {
    bytes: Vec<u8>,
    synced: usize,
}

impl Medium {
    /// The journal's bytes.
    pub(in crate::sim::disk) fn read_log(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        self.enter_whole()?;
        Ok(self.logs.last().as_ref().map(|log| log.bytes.clone()))
    }
}

impl JournalFile for Medium {
    type Error = Fault;

    fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let is_torn = self.enter();
        let part = self.rng.below(bytes.len() + 1);
        let (bytes, result) = match is_torn {
            Ok(false) => (bytes, Ok(())),
            Err(Fault) if self.is_halted => return Err(Fault),
            Ok(true) | Err(Fault) => (&bytes[..part], Err(Fault)),
        };
        let log = self.logs.0.last_mut().and_then(Option::as_mut).ok_or(Fault)?;
        log.bytes.extend(bytes);
        result
    }

    fn make_beside(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.beside = None;
        self.enter_whole()?;
        self.beside = Some(Log { bytes: bytes.to_vec(), synced: 0 });
        Ok(())
    }

    fn sync_beside(&mut self) -> Result<(), Fault> {
        self.enter_whole()?;
        let log = self.beside.as_mut().ok_or(Fault)?;
        log.synced = log.bytes.len();
        Ok(())
    }

    fn take_place(&mut self) -> Result<(), Fault> {
        self.enter_whole()?;
        let log = self.beside.take().ok_or(Fault)?;
        self.logs.push(Some(log));
        Ok(())
    }

    fn sync_name(&mut self) -> Result<(), Fault> {
        self.enter_whole()?;
        self.logs.settle();
        Ok(())
    }
}

impl Log {
    pub(super) fn tear(&mut self, percent: u32, rng: &mut Rng) {
        if percent < 100 {
            let tail = self.bytes.len() - self.synced;
            self.bytes.truncate(self.synced + if percent == 0 { 0 } else { rng.below(tail + 1) });
            let (bytes, mut at) = (&mut self.bytes, self.synced);
            while at < bytes.len() {
                let end = ((at / PAGE + 1) * PAGE).min(bytes.len());
                if rng.below(100) >= percent as usize && rng.below(3) == 0 {
                    bytes[at..end].fill(0);
                }
                at = end;
            }
        }
        self.synced = self.bytes.len();
    }
}
