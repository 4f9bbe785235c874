//! genloss: parse, dispatch, exit code.

use clap::Parser;
use genloss::cli::{Cli, exit_code};
use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().exec() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be done if standard error is closed.
            let _ = writeln!(std::io::stderr(), "genloss: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}
