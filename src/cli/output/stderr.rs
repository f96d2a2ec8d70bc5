//! Standard error behind a queue, with a thread of its own that writes: a pipe that nobody reads, or a terminal that
//! is held, keeps nobody else waiting.
//!
//! Whoever says something to people waits a little for it to be out, so that what is said and what is printed stay in
//! order; when it has waited in vain once, nobody waits any more until something moves. The log never waits. What
//! finds the queue full is dropped and counted, the log long before the rest; once there is room again, that is said.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::format;
use crate::base::limit;
use crate::base::time::Duration;

/// How long whoever says something waits for it to be out.
const PATIENCE: Duration = Duration::from_millis(400);

/// A handle on standard error; clones are the same stream.
#[derive(Clone, Debug)]
pub struct Stderr(Arc<Handle>);

/// What all clones share. Without it the thread ends when all is written.
struct Handle(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Something was queued, or written.
    moved: Condvar,
    stream: Mutex<Box<dyn Write + Send>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Vec<u8>>,
    /// Bytes of what waits and of what is being written.
    bytes: usize,
    /// Texts that found no room and have not been told of.
    dropped: usize,
    /// Somebody has waited in vain, and nothing has moved since.
    is_stuck: bool,
    /// Nobody has anything to say any more.
    is_over: bool,
    /// There is no thread that writes: who has something to say does it.
    is_direct: bool,
}

impl Stderr {
    /// Writes to `stream` from a thread of its own. Errors of the stream are nobody's concern: a standard error that
    /// is gone is no reason to stop.
    pub fn over(stream: Box<dyn Write + Send>) -> Stderr {
        let (queue, moved) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { queue, moved, stream: Mutex::new(stream) });
        let for_thread = Arc::clone(&shared);
        // Not joined: it may wait for a reader for ever.
        let started = thread::Builder::new().name("stderr".to_owned()).spawn(move || for_thread.write_all());
        shared.lock().is_direct = started.is_err();
        Stderr(Arc::new(Handle(shared)))
    }

    /// Writes `text`, and waits a little for it to be out.
    pub fn say(&self, text: &str) {
        self.push(text, limit::UNREAD_WORDS);
        if !self.shared().lock().is_stuck {
            self.wait(PATIENCE, false);
        }
    }

    /// Writes `drawing` when its time comes. To draw what is to be seen now, see first that nothing
    /// [is behind](Stderr::is_behind).
    pub fn draw(&self, drawing: &str) {
        self.push(drawing, limit::UNREAD_WORDS);
    }

    /// Writes `text` when its time comes.
    pub fn log(&self, text: &str) {
        self.push(text, limit::UNREAD_LOG);
    }

    /// Whether anything has not come out yet.
    pub fn is_behind(&self) -> bool {
        self.shared().lock().bytes > 0
    }

    /// Waits until everything is out, as long as something moves within `patience`.
    pub fn flush(&self, patience: Duration) {
        let mut queue = self.shared().lock();
        if let Some(notice) = queue.notice() {
            queue.push(notice);
            self.shared().moved.notify_all();
        }
        drop(queue);
        self.wait(patience, true);
    }

    /// Waits until everything is out, for `patience`, which begins anew with what moves if it `is_renewed`.
    fn wait(&self, patience: Duration, is_renewed: bool) {
        let mut queue = self.shared().lock();
        let mut until = Instant::now() + patience;
        while queue.bytes > 0 {
            let before = queue.bytes;
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                queue.is_stuck = true;
                return;
            };
            let waited = self.shared().moved.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            if is_renewed && queue.bytes < before {
                until = Instant::now() + patience;
            }
        }
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }

    fn push(&self, text: &str, most: usize) {
        let mut queue = self.shared().lock();
        if queue.is_direct {
            drop(queue);
            return self.shared().write(text.as_bytes());
        }
        if queue.bytes + text.len() > most {
            queue.dropped += 1;
            return;
        }
        if let Some(notice) = queue.notice() {
            queue.push(notice);
        }
        queue.push(text.as_bytes().to_vec());
        self.shared().moved.notify_all();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.moved.notify_all();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl Queue {
    /// Says that there is something missing here.
    fn notice(&mut self) -> Option<Vec<u8>> {
        let dropped = std::mem::take(&mut self.dropped);
        let lines = format::count(dropped, "line");
        (dropped > 0)
            .then(|| format!("warning: {lines} left out: standard error was not read\n").into_bytes())
    }

    fn push(&mut self, text: Vec<u8>) {
        self.bytes += text.len();
        self.waiting.push_back(text);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, text: &[u8]) {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let _gone = stream.write_all(text).and_then(|()| stream.flush());
    }

    /// Writes what comes, until nothing more can come.
    fn write_all(&self) {
        let mut queue = self.lock();
        loop {
            let Some(text) = queue.waiting.pop_front() else {
                if queue.is_over {
                    return;
                }
                queue = self.moved.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(queue);
            self.write(&text);
            queue = self.lock();
            queue.bytes -= text.len();
            queue.is_stuck = false;
            self.moved.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::mpsc;

    use super::*;

    /// A stream that takes nothing until the other end of `held` is gone.
    struct Held {
        held: mpsc::Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Held {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _gone = self.held.recv();
            self.taken.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What comes out of a stream that takes the first byte only when all has been said.
    fn read_late(say: impl FnOnce(&Stderr)) -> String {
        let (holds, held) = mpsc::channel();
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        let stderr = Stderr::over(Box::new(Held { held, taken: Arc::clone(&taken) }));
        say(&stderr);
        drop(holds);
        // Sooner or later there is room for it.
        while !taken.lock().unwrap().ends_with(b"the end\n") {
            stderr.say("the end\n");
        }
        String::from_utf8(taken.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn what_is_said_is_out_at_once_where_somebody_reads() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let stderr = Stderr::over(Box::new(writer));
        stderr.log("one\n");
        stderr.say("two\n");
        let mut text = [0; 8];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"one\ntwo\n");
        stderr.flush(Duration::from_secs(10));
        assert!(!stderr.is_behind());
    }

    #[test]
    fn a_log_that_nobody_reads_is_dropped_and_counted_and_leaves_room_for_words() {
        let text = read_late(|stderr| {
            let line = format!("{}\n", "x".repeat(999));
            (0..5 * limit::UNREAD_LOG / line.len()).for_each(|_| stderr.log(&line));
            stderr.say("words\n");
            assert!(stderr.is_behind());
        });
        let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("no {words:?}"));
        assert!(at("lines left out: standard error was not read\nwords\n") < at("the end\n"));
        assert!(text.len() < 2 * limit::UNREAD_LOG, "{}", text.len());
    }

    #[test]
    fn words_that_nobody_reads_are_bounded_too() {
        let text = read_late(|stderr| {
            let line = format!("{}\n", "x".repeat(9_999));
            (0..5 * limit::UNREAD_WORDS / line.len()).for_each(|_| stderr.say(&line));
        });
        assert!(text.contains("lines left out"));
        assert!(text.len() < 2 * limit::UNREAD_WORDS, "{}", text.len());
    }
}
