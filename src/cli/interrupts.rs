//! Signals as events: SIGINT and SIGTERM ask to stop, SIGHUP to ask the trackers anew, SIGUSR1 for a status,
//! SIGTSTP to pause. SIGXFSZ asks for nothing.
//!
//! They are heard on a thread of their own. A run may be held up by a terminal that nobody reads any more, or by
//! a disk; who asks it to stop need not wait for those: two seconds after the first signal, and soon after the
//! second, the process is ended from here.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::exit_code::ExitCode;
use crate::base::time::Duration;

/// What a polite end may take.
pub const POLITE_END: Duration = Duration::from_secs(2);
/// What an end may take that was asked for twice.
const ABRUPT_END: Duration = Duration::from_millis(300);
/// No exit code of ours: the signal's own counts.
const CODE_OF_SIGNAL: u8 = u8::MAX;

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupt {
    /// To stop; the code is the one for stopping before the goal.
    Stop(ExitCode),
    /// To say how it goes.
    Status,
    /// To ask the trackers anew.
    Announce,
    /// To pause until it is continued; see [`pause`].
    Pause,
}

/// The signals of this process, or none at all inside a test.
pub struct Interrupts {
    heard: Option<UnboundedReceiver<Interrupt>>,
    /// The exit code if the process has to be ended from here.
    code: Arc<AtomicU8>,
}

impl Interrupts {
    /// From here on the signals no longer end the process by themselves.
    pub fn catch(is_caught: bool) -> io::Result<Interrupts> {
        let code = Arc::new(AtomicU8::new(CODE_OF_SIGNAL));
        if !is_caught {
            return Ok(Interrupts { heard: None, code });
        }
        let (told, heard) = unbounded_channel();
        let (ready, is_ready) = mpsc::channel();
        let for_thread = Arc::clone(&code);
        // Not joined: it listens as long as there is a process.
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            runtime.block_on(async {
                match Signals::register() {
                    Ok(signals) => {
                        // Whoever asked waits for this.
                        let _ = ready.send(Ok(()));
                        listen(signals, &told, &for_thread).await;
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
        })?;
        is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("the thread for signals has ended")))?;
        Ok(Interrupts { heard: Some(heard), code })
    }

    /// The exit code of a run that is stopped now; `None`: the code of the signal.
    pub fn set_code(&self, code: Option<ExitCode>) {
        self.code.store(code.map_or(CODE_OF_SIGNAL, ExitCode::number), Ordering::Relaxed);
    }

    /// The next signal. Cancel-safe.
    pub async fn next(&mut self) -> Interrupt {
        let heard = match &mut self.heard {
            Some(heard) => heard.recv().await,
            None => None,
        };
        match heard {
            Some(interrupt) => interrupt,
            None => std::future::pending().await,
        }
    }

    /// The next signal that asks to stop. Cancel-safe.
    pub async fn stop(&mut self) -> ExitCode {
        loop {
            match self.next().await {
                Interrupt::Stop(code) => return code,
                Interrupt::Pause => pause(),
                Interrupt::Status | Interrupt::Announce => {}
            }
        }
    }
}

/// Stops this process, all threads of it, until somebody has it continue.
pub fn pause() {
    use rustix::process::{Signal, getpid, kill_process};
    // It cannot fail: a process may send itself what it likes.
    let _ = kill_process(getpid(), Signal::STOP);
}

/// Tells what is heard, for ever, and ends the process when it does not end by itself.
async fn listen(mut signals: Signals, told: &UnboundedSender<Interrupt>, code: &AtomicU8) {
    let mut end: Option<(Instant, ExitCode)> = None;
    loop {
        let overdue = async {
            match end {
                Some((at, code)) => {
                    sleep_until(at).await;
                    code
                }
                None => std::future::pending().await,
            }
        };
        let interrupt = tokio::select! {
            interrupt = signals.next() => interrupt,
            of_signal = overdue => return exit(code, of_signal),
        };
        if let Interrupt::Stop(of_signal) = interrupt {
            let now = Instant::now();
            end = Some(match end {
                None => (now + POLITE_END, of_signal),
                Some((at, _)) => (at.min(now + ABRUPT_END), of_signal),
            });
        }
        // Nobody listens once the run is over; then an end that takes long may still be cut short.
        let _ = told.send(interrupt);
    }
}

fn exit(code: &AtomicU8, of_signal: ExitCode) {
    let code = match code.load(Ordering::Relaxed) {
        CODE_OF_SIGNAL => of_signal.number(),
        code => code,
    };
    std::process::exit(code.into());
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    status: tokio::signal::unix::Signal,
    pause: tokio::signal::unix::Signal,
    _too_long: tokio::signal::unix::Signal,
}

impl Signals {
    fn register() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            status: signal(SignalKind::user_defined1())?,
            pause: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            // Would end the process; caught, the write that was too much is an error like others.
            _too_long: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.interrupt.recv() => Interrupt::Stop(ExitCode::Interrupted),
            _ = self.terminate.recv() => Interrupt::Stop(ExitCode::Terminated),
            _ = self.hang_up.recv() => Interrupt::Announce,
            _ = self.status.recv() => Interrupt::Status,
            _ = self.pause.recv() => Interrupt::Pause,
        }
    }
}
