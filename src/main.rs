//! The `btget` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    end_with_any_panic();
    let code = btget::cli::run(btget::cli::env::Env::of_process());
    ExitCode::from(code.number())
}

/// A panic is a bug, and whatever thread it is in, others may wait for that one for ever. What is on disk is as after a
/// kill, from which the next run goes on.
fn end_with_any_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(btget::cli::exit_code::ExitCode::Error.number().into());
    }));
}
