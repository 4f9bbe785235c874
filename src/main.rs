//! The program `genloss`: parse the command line, execute, turn an error into one line and an exit code.

#![forbid(unsafe_code)]

use genloss::cli::{Cli, NoCommand, exit_code, one_line};
use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::from_command_line() {
        Ok(cli) => cli,
        Err(NoCommand::HelpRequested(help)) => help.exit(),
        Err(NoCommand::UsageError(message)) => return fail(&message, 2),
    };
    match cli.exec() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&one_line(&error), exit_code(&error)),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    // If standard error is closed, the message cannot be shown anywhere.
    let _ = writeln!(std::io::stderr(), "genloss: {message}");
    ExitCode::from(code)
}
