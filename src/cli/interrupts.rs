//! Signals as events: SIGINT and SIGTERM ask to stop, SIGUSR1 asks for a status.

use std::io;

use super::exit_code::ExitCode;

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupt {
    /// To stop; the code is the one for stopping before the goal.
    Stop(ExitCode),
    /// To say how it goes.
    Status,
}

/// The signals of this process, or none at all inside a test.
pub struct Interrupts {
    #[cfg(unix)]
    signals: Option<Signals>,
    #[cfg(not(unix))]
    is_caught: bool,
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    status: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Interrupts {
    /// From here on the signals no longer end the process by themselves. Needs a tokio runtime.
    pub fn catch(is_caught: bool) -> io::Result<Interrupts> {
        use tokio::signal::unix::{SignalKind, signal};
        if !is_caught {
            return Ok(Interrupts { signals: None });
        }
        let signals = Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            status: signal(SignalKind::user_defined1())?,
        };
        Ok(Interrupts { signals: Some(signals) })
    }

    /// The next signal. Cancel-safe.
    pub async fn next(&mut self) -> Interrupt {
        match &mut self.signals {
            None => std::future::pending().await,
            Some(signals) => tokio::select! {
                _ = signals.interrupt.recv() => Interrupt::Stop(ExitCode::Interrupted),
                _ = signals.terminate.recv() => Interrupt::Stop(ExitCode::Terminated),
                _ = signals.status.recv() => Interrupt::Status,
            },
        }
    }
}

#[cfg(not(unix))]
impl Interrupts {
    /// From here on Ctrl-C no longer ends the process by itself. Needs a tokio runtime.
    pub fn catch(is_caught: bool) -> io::Result<Interrupts> {
        Ok(Interrupts { is_caught })
    }

    /// The next Ctrl-C. Cancel-safe.
    pub async fn next(&mut self) -> Interrupt {
        if !self.is_caught || tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Interrupt::Stop(ExitCode::Interrupted)
    }
}

impl Interrupts {
    /// The next signal that asks to stop. Cancel-safe.
    pub async fn stop(&mut self) -> ExitCode {
        loop {
            if let Interrupt::Stop(code) = self.next().await {
                return code;
            }
        }
    }
}
