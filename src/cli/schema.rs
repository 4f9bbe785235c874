//! `genloss schema`: the JSON Schema of experiment files.

use super::output;
use crate::config::Registry;
use anyhow::Result;

/// Options of `genloss schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Editors that know TOML check a file as you write it if its first line is

    #:schema ./schema.json

and that file holds the schema: genloss schema > schema.json")]
pub struct Args {}

impl Args {
    /// Prints the schema.
    pub fn exec(self) -> Result<()> {
        output::json(&Registry::builtin().schema())
    }
}
