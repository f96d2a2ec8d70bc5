//! Floor 4: asks and shows. Arguments in, progress out.
//!
//! Two steps: [`args`] turns words into checked values and does nothing else; [`settings`] builds what the
//! client needs from them. Then a command runs, with the whole environment in its hands as an [`env::Env`], so
//! that the program also runs inside a test.

pub mod args;
pub mod command;
pub mod env;
pub mod error;
pub mod exit_code;
pub mod glob;
pub mod interrupts;
pub mod new_file;
pub mod output;
pub mod settings;
pub mod target;
pub mod torrent_file;

use args::{Invocation, Output};
use command::{create, demo, download, edit, magnet, show, verify};
use env::Env;
use error::CliError;
use exit_code::ExitCode;
use output::Screen;
use output::screen::LAST_WORDS;

use crate::hashing;

/// Runs the program; what it returns is for the shell.
pub fn run(env: Env) -> ExitCode {
    let stderr = env.stderr.clone();
    let code = run_command(env);
    stderr.flush(LAST_WORDS);
    code
}

fn run_command(mut env: Env) -> ExitCode {
    let kernel = hashing::require_kernel().map_err(|error| CliError::usage(error.to_string()));
    let result = match kernel.and_then(|()| args::parse(&env.args)) {
        Ok(Invocation::Download(args)) => return download::main_form(&args, env),
        Ok(Invocation::Demo(args)) => return demo::demo(&args, env),
        Ok(Invocation::Create(args)) => return create::create(&args, env),
        Ok(Invocation::Edit(args)) => return edit::edit(&args, env),
        Ok(Invocation::Verify(args)) => return verify::verify(&args, env),
        Ok(Invocation::Magnet(args)) => magnet::run(&args, &mut env),
        Ok(Invocation::Show(args)) => show::run(&args, &mut env),
        Ok(Invocation::Text(text)) => command::written(env.stdout.write_all(text.as_bytes())),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::Ok,
        Err(error) => {
            let screen = Screen::new(env.stderr, env.stderr_is_terminal, env.no_color, &Output::default());
            screen.error(&error);
            error.code
        }
    }
}
