//! `genloss completions`: a script that completes commands and options in a shell.

use super::{Cli, output};
use anyhow::Result;
use clap_complete::{Shell, generate};

/// Options of `genloss completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For bash:  genloss completions bash > ~/.local/share/bash-completion/completions/genloss
For zsh:   genloss completions zsh > DIR/_genloss, where DIR is on $fpath
For fish:  genloss completions fish > ~/.config/fish/completions/genloss.fish"
)]
pub struct Args {
    /// The shell.
    shell: Shell,
}

impl Args {
    /// Prints the script.
    pub fn exec(self) -> Result<()> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::described(), "genloss", &mut script);
        output::emit_bytes(&script)
    }
}
