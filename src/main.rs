//! The `btget` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    let code = btget::cli::run(btget::cli::env::Env::of_process());
    ExitCode::from(code.number())
}
