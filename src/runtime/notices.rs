//! Notices on their way from the engine to whoever watches, who may be slow, or held up by a terminal.
//!
//! Nothing here ever waits. What tells how a torrent stands is kept until it is taken; there is little of it. What
//! repeats, such as peers that come and go, is kept up to [`limit::NOTICES`], and then the oldest of it is dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::base::limit;
use crate::engine::notice::Notice;

#[derive(Default)]
struct Queue {
    /// Notices are numbered in the order in which they came.
    next: u64,
    lasting: VecDeque<(u64, Notice)>,
    repeating: VecDeque<(u64, Notice)>,
    is_closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Notify,
}

/// Where notices are told.
#[derive(Clone)]
pub(crate) struct Teller(Arc<Shared>);

/// Where they are heard.
pub(crate) struct Listener(Arc<Shared>);

/// A way from tellers to one listener.
pub(crate) fn channel() -> (Teller, Listener) {
    let shared = Arc::new(Shared::default());
    (Teller(shared.clone()), Listener(shared))
}

impl Teller {
    pub(crate) fn tell(&self, notice: Notice) {
        let mut queue = self.0.lock();
        let numbered = (queue.next, notice);
        queue.next += 1;
        if numbered.1.repeats() {
            if queue.repeating.len() >= limit::NOTICES {
                queue.repeating.pop_front();
            }
            queue.repeating.push_back(numbered);
        } else {
            queue.lasting.push_back(numbered);
        }
        drop(queue);
        self.0.changed.notify_one();
    }
}

/// Nothing more will be told once this is gone.
pub(crate) struct End(pub(crate) Teller);

impl Drop for End {
    fn drop(&mut self) {
        let End(Teller(shared)) = self;
        shared.lock().is_closed = true;
        shared.changed.notify_one();
    }
}

impl Listener {
    /// The next notice, if there is one.
    pub(crate) fn ready(&self) -> Option<Notice> {
        self.0.lock().pop()
    }

    /// The next notice; `None` once there will be no more. May be dropped while it waits.
    pub(crate) async fn next(&self) -> Option<Notice> {
        loop {
            {
                let mut queue = self.0.lock();
                if let Some(notice) = queue.pop() {
                    return Some(notice);
                }
                if queue.is_closed {
                    return None;
                }
            }
            self.0.changed.notified().await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Notice> {
        let number = |queue: &VecDeque<(u64, Notice)>| queue.front().map_or(u64::MAX, |(number, _)| *number);
        let oldest = match number(&self.lasting) < number(&self.repeating) {
            true => &mut self.lasting,
            false => &mut self.repeating,
        };
        oldest.pop_front().map(|(_, notice)| notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::index::FileIndex;
    use crate::engine::order::TorrentId;

    const TORRENT: TorrentId = TorrentId(1);

    fn heard(listener: &Listener) -> Vec<Notice> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        std::iter::from_fn(|| runtime.block_on(listener.next())).collect()
    }

    fn repeating(number: u32) -> Notice {
        Notice::FileComplete { torrent: TORRENT, file: FileIndex(number) }
    }

    #[test]
    fn they_are_heard_in_order_and_then_it_is_over() {
        let (teller, listener) = channel();
        let told = [
            repeating(1),
            Notice::Complete { torrent: TORRENT },
            repeating(2),
            Notice::Stopped { torrent: TORRENT },
        ];
        told.iter().for_each(|notice| teller.tell(notice.clone()));
        drop(End(teller));
        assert_eq!(heard(&listener), told);
    }

    #[test]
    fn of_what_repeats_the_oldest_is_dropped_and_nothing_else() {
        let (teller, listener) = channel();
        teller.tell(Notice::Complete { torrent: TORRENT });
        (0..3 * limit::NOTICES as u32).for_each(|number| teller.tell(repeating(number)));
        drop(End(teller));
        let heard = heard(&listener);
        assert_eq!(heard.len(), limit::NOTICES + 1);
        assert_eq!(heard[0], Notice::Complete { torrent: TORRENT });
        assert_eq!(heard.last(), Some(&repeating(3 * limit::NOTICES as u32 - 1)));
    }
}
