//! `genloss man`: manual pages, one for the program and one for each command.

use super::Cli;
use super::output::say;
use anyhow::{Context, Result};
use clap::CommandFactory;
use std::fs;
use std::path::PathBuf;

/// Options of `genloss man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write `genloss.1`, `genloss-run.1`, … into; it is created if it does not exist.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

impl Args {
    /// Writes the pages.
    pub fn exec(self) -> Result<()> {
        let folder = || self.out.display().to_string();
        fs::create_dir_all(&self.out).with_context(folder)?;
        clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), &self.out)
            .with_context(folder)?;
        say(&format!("manual pages written; read one with: man {}", self.out.join("genloss.1").display()));
        Ok(())
    }
}
