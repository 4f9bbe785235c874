//! genloss: parse, dispatch, exit code.

#![forbid(unsafe_code)]

use clap::Parser;
use genloss::cli::{Cli, exit_code, one_line, usage};
use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return refuse(&usage(&error), 2),
        // Help and version, which are no errors.
        Err(shown) => shown.exit(),
    };
    match cli.exec() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&one_line(&error), exit_code(&error)),
    }
}

fn refuse(message: &str, code: u8) -> ExitCode {
    // Nothing is left to be done if standard error is closed.
    let _ = writeln!(std::io::stderr(), "genloss: {message}");
    ExitCode::from(code)
}
