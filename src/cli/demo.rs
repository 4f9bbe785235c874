//! `genloss demo`: a small experiment on built-in text, with comparison and report.

use super::machine::MachineArgs;
use super::{compare, output, report, run};
use crate::config;
use anyhow::Result;
use std::path::PathBuf;

const DEMO: &str = include_str!("../../configs/demo.toml");

/// Options of `genloss demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the run [default: generations/demo].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Args {
    /// Runs the demo, prints the comparison and writes the report.
    pub fn exec(self) -> Result<()> {
        let experiment = config::parse(DEMO, "configs/demo.toml", &[])?;
        let root = self.out.unwrap_or_else(|| run::default_root(&experiment));
        run::run(&experiment, &root, &self.machine, None)?;
        compare::print_summary(std::slice::from_ref(&root))?;
        let page = report::write(std::slice::from_ref(&root), &root)?;
        output::emit(&format!("\nreport: {}\n", page.display()))
    }
}
