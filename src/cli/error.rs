//! An error as a person sees it: what went wrong with which input, what to do, and the exit code.

use std::fmt;
use std::io;

use super::exit_code::ExitCode;
use crate::runtime::client::ClientError;

/// Why the program, or one of its targets, ends without having reached its goal. Its text is ready to be
/// shown: what came from strangers in it is escaped already.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct CliError {
    /// What the shell is told.
    pub code: ExitCode,
    /// What happened, naming the input.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl CliError {
    /// An error with no hint.
    pub fn new(code: ExitCode, message: impl Into<String>) -> CliError {
        CliError { code, message: message.into(), hint: None }
    }

    /// A mistake on the command line.
    pub fn usage(message: impl Into<String>) -> CliError {
        CliError::new(ExitCode::Usage, message)
    }

    /// The system refuses what it takes to start.
    pub fn cannot_start(code: ExitCode, why: &dyn fmt::Display, error: &io::Error) -> CliError {
        let refused = CliError::new(code, format!("cannot start: {why}"));
        match error.raw_os_error() {
            Some(number) if number == rustix::io::Errno::MFILE.raw_os_error() => {
                refused.with_hint("more files have to be open than is allowed: see ulimit -n")
            }
            _ => refused,
        }
    }

    /// The same error with a word on what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> CliError {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ClientError> for CliError {
    fn from(refused: ClientError) -> CliError {
        match &refused {
            ClientError::Listen { error, .. } => CliError::cannot_start(ExitCode::Network, &refused, error),
            ClientError::Start(error) => CliError::cannot_start(ExitCode::Error, error, error),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}
