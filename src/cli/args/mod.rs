//! Step one: the words of the command line to typed, checked values. Nothing is looked up, opened or built.
//!
//! The first word decides: a command's name is the command, anything else is the main form. `./create` and
//! `-- create` name files. Each group of flags has a file of its own, with help and tests beside the flag.

mod create;
mod download;
mod environment;
mod giving_up;
mod limits;
mod network;
mod output;
mod place;
mod seeding;
mod to_come;
pub mod value;
mod verify;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, Command};

pub use create::{CreateArgs, EditArgs};
pub use download::DownloadArgs;
pub use giving_up::GivingUp;
pub use limits::Limits;
pub use network::{Family, Network};
pub use output::{ColorChoice, Output, ProgressChoice};
pub use place::{AllocateChoice, ConflictChoice, Place, SyncChoice};
pub use seeding::{Seeding, StopWhen};
pub use verify::{MagnetArgs, VerifyArgs};

use self::environment::Refusal;
use super::error::CliError;
use super::output::escape::escape_bytes;

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// The main form: download these.
    Download(Box<DownloadArgs>),
    /// `create`.
    Create(Box<CreateArgs>),
    /// `edit`.
    Edit(EditArgs),
    /// `verify`.
    Verify(VerifyArgs),
    /// `magnet`.
    Magnet(MagnetArgs),
    /// `show`.
    Show(ShowArgs),
    /// `demo`.
    Demo(DemoArgs),
    /// Help or the version: text for stdout.
    Text(String),
}

/// Shows what is in a torrent file.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The torrent; - reads it from standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Prints one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// Downloads made-up data from itself, on this machine alone, and says how fast that was.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// How much to download
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = value::size)]
    pub size: u64,
    /// What is shown.
    #[command(flatten)]
    pub output: Output,
}

/// What the main form is called by.
const MAIN_FORM: &str = "btget";

/// Commands that exist.
pub const COMMANDS: &[&str] = &["create", "demo", "edit", "help", "magnet", "show", "verify"];

/// Reads the command line; `args` begins with the program's own name.
pub fn parse(args: &[OsString]) -> Result<Invocation, CliError> {
    let first = args.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    if to_come::COMMANDS.contains(&first) {
        return Err(CliError::usage(format!("btget {first} is not built yet"))
            .with_hint(format!("for a file of that name write ./{first}")));
    }
    let after = |words: usize| args.get(words..).unwrap_or_default();
    match first {
        "create" => read("btget create", after(2), |args| Invocation::Create(Box::new(args))),
        "edit" => read("btget edit", after(2), Invocation::Edit),
        "verify" => read("btget verify", after(2), Invocation::Verify),
        "magnet" => read("btget magnet", after(2), Invocation::Magnet),
        "show" => read("btget show", after(2), Invocation::Show),
        "demo" => read("btget demo", after(2), Invocation::Demo),
        "help" => help(args.get(2).map(OsString::as_os_str)),
        _ => read(MAIN_FORM, after(1), |args| Invocation::Download(Box::new(args))),
    }
}

fn help(topic: Option<&OsStr>) -> Result<Invocation, CliError> {
    let is_flag = |topic: &&OsStr| topic.as_encoded_bytes().starts_with(b"-");
    let mut words: Vec<OsString> = vec!["btget".into()];
    if let Some(topic) = topic.filter(|topic| *topic != "help" && !is_flag(topic)) {
        if !COMMANDS.iter().chain(to_come::COMMANDS).any(|name| topic == OsStr::new(name)) {
            let topic = escape_bytes(topic.as_encoded_bytes());
            return Err(
                CliError::usage(format!("no command is called {topic}")).with_hint("btget --help names them")
            );
        }
        words.push(topic.to_owned());
    }
    words.push("--help".into());
    parse(&words)
}

/// Reads `rest`, what comes after the words `name` that call a command, or the main form. An option that is there twice
/// counts as it was given last.
fn read<A: Args>(
    name: &'static str,
    rest: &[OsString],
    invocation: impl FnOnce(A) -> Invocation,
) -> Result<Invocation, CliError> {
    let words: Vec<OsString> = std::iter::once(name.into()).chain(rest.iter().cloned()).collect();
    let hint = format!("{name} --help lists all options");
    environment::read(command::<A>(name).args_override_self(true), &words)
        .and_then(|matches| A::from_arg_matches(&matches).map_err(Refusal::Typed))
        .map(invocation)
        .or_else(|refusal| match refusal {
            Refusal::Typed(error)
                if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
            {
                Ok(Invocation::Text(error.to_string()))
            }
            Refusal::Typed(error) => Err(typed_wrong(&error, name).with_hint(hint)),
            Refusal::Variable(text) => {
                Err(CliError::usage(text).with_hint("the environment has it: correct or unset it"))
            }
        })
}

/// What is wrong with what was typed.
fn typed_wrong(error: &clap::Error, name: &str) -> CliError {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return CliError::usage("no target: name a .torrent file or the URL of one");
    }
    if let (ErrorKind::UnknownArgument, Some(ContextValue::String(option))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
        && name == MAIN_FORM
        && to_come::OPTIONS.contains(&option.as_str())
    {
        return CliError::usage(format!("{option} is not built yet"));
    }
    CliError::usage(in_one_line(error))
}

/// clap's own words, without its leading "error:" and its usage lines: ours come around them.
fn in_one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let is_said =
        |line: &&str| !line.is_empty() && !line.starts_with("For more") && !line.contains("as a value");
    let message: Vec<&str> = lines.filter(is_said).collect();
    message.join(" ").replace(" tip: ", "; ")
}

/// Options of these commands that say what a torrent is to hold, or where it goes. They are not taken from the
/// environment: there the same names are meant for downloads, and a tracker with a passkey would get into every torrent.
const SAID_EACH_TIME: (&[&str], &[&str]) =
    (&["btget create", "btget edit"], &["comment", "output", "private", "source", "tracker", "webseed"]);

/// The clap command for `A`: a long option also comes from the environment as `BTGET_OPTION_NAME`, but for those that
/// are [`SAID_EACH_TIME`].
fn command<A: Args>(name: &'static str) -> Command {
    let (commands, options) = SAID_EACH_TIME;
    let is_said = |long: &str| commands.contains(&name) && options.contains(&long);
    let command = A::augment_args(Command::new(name).version(env!("CARGO_PKG_VERSION")));
    command.max_term_width(100).mut_args(|arg| {
        // Each says itself what it wants instead of one below zero.
        let is_number =
            arg.get_value_names().is_some_and(|names| names.iter().any(|name| NUMBERS.contains(&&**name)));
        let arg = arg.allow_negative_numbers(is_number);
        let Some(variable) = arg.get_long().filter(|long| !is_said(long)).map(variable) else { return arg };
        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        let arg = arg.env(variable).hide_env(true);
        if is_switch { arg.value_parser(BoolishValueParser::new()) } else { arg }
    })
}

/// What values are called that are numbers, or begin with one.
const NUMBERS: &[&str] = &["DUR", "N", "N[-M]", "N|auto", "R", "RATE", "SIZE"];

fn variable(long: &str) -> String {
    format!("BTGET_{}", long.to_uppercase().replace('-', "_"))
}

#[cfg(test)]
pub(crate) fn parse_main(words: &[&str]) -> Result<DownloadArgs, CliError> {
    let words: Vec<OsString> = ["btget"].iter().chain(words).map(OsString::from).collect();
    match parse(&words)? {
        Invocation::Download(args) => Ok(*args),
        other => panic!("{words:?} is {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_first_word_decides_between_command_and_target() {
        assert!(matches!(parse(&words(&["btget", "show", "x"])), Ok(Invocation::Show(_))));
        assert!(matches!(parse(&words(&["btget", "demo"])), Ok(Invocation::Demo(_))));
        for line in [&["./show"][..], &["--", "show"], &["-q", "show"], &["./create"], &["--", "create"]] {
            assert_eq!(parse_main(line).unwrap().targets, [*line.last().unwrap()], "{line:?}");
        }
    }

    #[test]
    fn a_command_that_is_still_to_come_says_so() {
        for name in to_come::COMMANDS {
            let error = parse(&words(&["btget", name, "x"])).unwrap_err();
            assert_eq!(error.message, format!("btget {name} is not built yet"));
            assert_eq!(error.code.number(), 2);
        }
    }

    #[test]
    fn an_unknown_flag_is_one_line_that_suggests_the_right_one() {
        let error = parse_main(&["--max-peer", "3", "x"]).unwrap_err();
        assert_eq!(error.code.number(), 2);
        assert!(error.message.contains("--max-peers") && !error.message.contains('\n'), "{error}");
        assert!(parse_main(&[]).unwrap_err().message.contains("no target"));
    }

    #[test]
    fn a_number_below_zero_is_told_what_is_wanted_instead() {
        for (words, wanted) in [
            (["-u", "-5"], "a rate is"),
            (["--seed-time", "-1"], "a duration is"),
            (["--reserve", "-1"], "a size is"),
            (["--slots", "-2"], "slots are"),
            (["-j", "-1"], "1..=65535"),
            (["--until-seeds", "-1"], "1.."),
        ] {
            let error = parse_main(&[words[0], words[1], "x"]).unwrap_err();
            assert!(error.message.contains(wanted), "{words:?}: {error}");
        }
    }

    #[test]
    fn every_long_option_is_a_variable_too_but_for_what_a_torrent_is_to_hold() {
        let said = |words: &'static str| words.split(' ').collect::<Vec<_>>();
        for (command, without) in [
            (command::<DownloadArgs>("btget"), vec![]),
            (command::<VerifyArgs>("btget verify"), vec![]),
            (command::<CreateArgs>("btget create"), said("comment output private source tracker webseed")),
            (command::<EditArgs>("btget edit"), said("comment output source tracker webseed")),
        ] {
            let (with, none): (Vec<_>, Vec<_>) = command
                .get_arguments()
                .filter_map(|arg| Some((arg.get_long()?, arg)))
                .partition(|(_, arg)| arg.get_env().is_some());
            for (long, arg) in with {
                assert_eq!(arg.get_env(), Some(OsStr::new(&variable(long))), "{:?}", command.get_name());
            }
            let mut none: Vec<&str> = none.into_iter().map(|(long, _)| long).collect();
            none.sort_unstable();
            assert_eq!(none, without, "{:?}", command.get_name());
        }
    }

    #[test]
    fn the_definitions_hold_together() {
        command::<DownloadArgs>("btget").debug_assert();
        command::<CreateArgs>("btget create").debug_assert();
        command::<EditArgs>("btget edit").debug_assert();
        command::<VerifyArgs>("btget verify").debug_assert();
        command::<MagnetArgs>("btget magnet").debug_assert();
        command::<ShowArgs>("btget show").debug_assert();
        command::<DemoArgs>("btget demo").debug_assert();
    }

    #[test]
    fn help_is_grouped_has_examples_and_fits_a_screen_in_width() {
        let Ok(Invocation::Text(help)) = parse(&words(&["btget", "--help"])) else { panic!("no help") };
        for part in [
            "Examples:",
            "Where:",
            "Seeding:",
            "Network:",
            "Limits:",
            "Giving up:",
            "Output:",
            "btget demo",
            "-d, --dir",
        ] {
            assert!(help.contains(part), "{part} is missing from:\n{help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
        assert!(!help.contains("scrape"), "what does not exist is not offered:\n{help}");
        let Ok(Invocation::Text(help)) = parse(&words(&["btget", "help", "demo"])) else { panic!("no help") };
        assert!(help.contains("--size"), "{help}");
    }
}
