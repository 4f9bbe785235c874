//! `genloss demo`: small experiments on built-in text, with comparisons and a report. An n-gram model comes first, because
//! it shows in seconds what a transformer shows in minutes.

use super::machine::MachineArgs;
use super::run::Runner;
use super::watch::WatchArgs;
use super::{compare, output, report, run};
use crate::config;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::slice;

const NGRAM: &str = include_str!("../../configs/demo-ngram.toml");
const DEMO: &str = include_str!("../../configs/demo.toml");

/// Options of `genloss demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the run; that of the n-gram model has the same name with -ngram [default: generations/demo].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

impl Args {
    /// Runs both experiments, prints their comparisons and writes the report on the second.
    pub fn exec(self) -> Result<()> {
        let first = config::parse(NGRAM, "configs/demo-ngram.toml", &[])?;
        let experiment = config::parse(DEMO, "configs/demo.toml", &[])?;
        let root = self.out.unwrap_or_else(|| run::default_root(&experiment));
        let first_root = with_suffix(&root, "-ngram");
        let _watch = self.watch.start(&[&first_root, &root])?;
        let mut runner = Runner::new(&self.machine)?;
        runner.run(&first, &first_root, None)?;
        output::emit("A model that only counts, an n-gram:\n\n")?;
        compare::print_summary(slice::from_ref(&first_root))?;
        output::emit("\nThe same with a small transformer, which takes minutes:\n\n")?;
        runner.run(&experiment, &root, None)?;
        compare::print_summary(slice::from_ref(&root))?;
        let page = report::write(slice::from_ref(&root), &root)?;
        output::emit(&where_to_look(&page, &first_root, &root))
    }
}

fn where_to_look(page: &Path, first_root: &Path, root: &Path) -> String {
    let folders = [first_root, root].map(|folder| run::shell_quoted(&folder.to_string_lossy()));
    format!("\nreport: {}\nboth runs in a browser: genloss watch {}\n", page.display(), folders.join(" "))
}

/// The folder beside `root` with a suffix at the end of its name.
fn with_suffix(root: &Path, suffix: &str) -> PathBuf {
    let mut name = root.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    root.with_file_name(name)
}
