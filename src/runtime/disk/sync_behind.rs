//! One thread that syncs files behind those who write them.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use std::{io, thread};

use super::payload::Payload;
use crate::engine::resume::outcomes::Due;

/// How long what is written waits to be synced.
const PATIENCE: Duration = Duration::from_secs(5);

type Wish = (Weak<Payload>, Due);

/// Tells the thread. It ends when nobody can tell it anything any more, and nobody waits for that: a sync may
/// take long.
#[derive(Clone, Debug)]
pub(super) struct SyncBehind {
    wishes: Sender<Wish>,
}

impl SyncBehind {
    pub(super) fn start() -> io::Result<SyncBehind> {
        let (wishes, heard) = channel();
        thread::Builder::new().name("sync".to_owned()).spawn(move || run(&heard))?;
        Ok(SyncBehind { wishes })
    }

    /// `payload` has something to sync.
    pub(super) fn wish(&self, payload: &Arc<Payload>, due: Due) {
        // Without the thread nothing is durable, and that is all.
        let _ = self.wishes.send((Arc::downgrade(payload), due));
    }
}

fn run(wishes: &Receiver<Wish>) {
    let mut waiting: Vec<(Instant, Weak<Payload>)> = Vec::new();
    loop {
        let next = waiting.iter().map(|(at, _)| *at).min();
        let wish = match next {
            Some(at) => wishes.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => wishes.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match wish {
            Ok((payload, due)) => {
                let wait = if due == Due::AtOnce { Duration::ZERO } else { PATIENCE };
                waiting.retain(|(_, other)| !other.ptr_eq(&payload));
                waiting.push((Instant::now() + wait, payload));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        for (_, payload) in waiting.extract_if(.., |(at, _)| *at <= now) {
            if let Some(payload) = payload.upgrade() {
                payload.sync_behind();
            }
        }
    }
}
