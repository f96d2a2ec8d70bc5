//! Options from the environment, and what comes of those that are typed: the command line is judged by itself first,
//! then variables add what it leaves open. So a variable never gets in the way of what is typed, and is named itself
//! when something is wrong with it.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// Options of which only one can count.
const OPPOSITES: [[&str; 2]; 4] =
    [["fail_fast", "keep_going"], ["ipv4", "ipv6"], ["no_part", "part"], ["no_state", "state_dir"]];

/// What a switch is told in order not to be one.
const NO: [&str; 6] = ["0", "f", "false", "n", "no", "off"];

/// Why there is nothing to go on with.
pub(super) enum Refusal {
    /// What is typed is wrong, or asks for help.
    Typed(clap::Error),
    /// A variable is wrong; the words for it.
    Variable(String),
}

/// Reads `words`, and for what they leave open the environment.
pub(super) fn read(command: Command, words: &[OsString]) -> Result<ArgMatches, Refusal> {
    let typed_only = command.clone().mut_args(without_variable);
    let typed = typed_only.try_get_matches_from(words).map_err(Refusal::Typed)?;
    let is_typed = |id: &str| typed.value_source(id) == Some(ValueSource::CommandLine);
    let counts = |arg: &Arg| {
        let id = arg.get_id().as_str();
        let opposite =
            OPPOSITES.iter().find(|pair| pair.contains(&id)).map(|[a, b]| if *a == id { b } else { a });
        says_something(arg) && !is_typed(id) && !opposite.is_some_and(|other| is_typed(other))
    };
    let mut command = command.mut_args(|arg| if counts(&arg) { arg } else { without_variable(arg) });
    if !command.get_arguments().any(|arg| arg.get_env().is_some()) {
        return Ok(typed);
    }
    command.try_get_matches_from_mut(words).map_err(|error| {
        let mut text = super::in_one_line(&error);
        for arg in command.get_arguments() {
            if let Some(variable) = arg.get_env() {
                text = text.replace(&format!("'{arg}'"), &variable.to_string_lossy());
            }
        }
        Refusal::Variable(text)
    })
}

fn without_variable(arg: Arg) -> Arg {
    arg.env(None::<&str>)
}

/// Whether the variable of `arg` is there and says something: an empty one does not, nor does a "no" to a switch.
fn says_something(arg: &Arg) -> bool {
    let Some(value) = arg.get_env().and_then(std::env::var_os).filter(|value| !value.is_empty()) else {
        return false;
    };
    let is_no = || value.to_str().is_some_and(|text| NO.contains(&text.to_lowercase().as_str()));
    !(matches!(arg.get_action(), ArgAction::SetTrue) && is_no())
}
