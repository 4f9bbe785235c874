//! `genloss fit`: fits scaling laws of the loss to the models of runs.

mod rows;

use super::compare;
use super::counts::positive_count;
use super::machine;
use super::output::{self, OutputFormat, say};
use crate::fit::{self, FitSettings, Fitted};
use crate::report::{self, FitTable};
use crate::store;
use anyhow::{Result, ensure};
use std::path::PathBuf;

/// Options of `genloss fit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of runs or studies; the laws are fitted to the models of all of them.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Generation whose models are used, from 1 on [default: the last].
    #[arg(long)]
    generation: Option<usize>,
    /// Model size to predict losses for, in parameters [default: the largest].
    #[arg(long, value_parser = positive_count)]
    parameters: Option<u64>,
    /// Training tokens to predict losses for [default: the most that a model of that size has seen].
    #[arg(long, value_parser = positive_count)]
    tokens: Option<u64>,
    /// Bootstrap refits per interval.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(40..=1_000_000))]
    resamples: u64,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Output format.
    #[arg(long, value_enum, default_value = "table")]
    format: OutputFormat,
    /// Also write report.html, figures/ and fit.json into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Args {
    /// Fits the laws, prints the result, and writes the page if `--out` is given.
    pub fn exec(self) -> Result<()> {
        self.check_out()?;
        let recorded = compare::read_all(&self.folders)?;
        let last = fit::last_generation(&recorded);
        let generation = self.generation.unwrap_or(last);
        ensure!(
            (1..=last).contains(&generation),
            "--generation {generation}: the runs have generations 1 to {last} in common"
        );
        let settings = FitSettings {
            parameters: self.parameters,
            tokens: self.tokens,
            resamples: self.resamples as usize,
            seed: self.seed,
        };
        let names: Vec<&str> = recorded.iter().map(|one| one.experiment.name.as_str()).collect();
        let points = fit::points(&recorded, generation)?;
        let fitted = machine::with_status_lines("fitting", || fit::fit(points, &settings))?;
        show(&fitted, self.format)?;
        let Some(out) = &self.out else { return Ok(()) };
        for path in report::write_fit(&fitted, &names, out)? {
            say(&path.display().to_string());
        }
        Ok(())
    }

    /// Returns an error if `--out` is a run or a study, or the parent of a given folder: a later `DIR/*` would then
    /// match the files of the fit as if they were runs.
    fn check_out(&self) -> Result<()> {
        let Some(out) = &self.out else { return Ok(()) };
        let out_is_parent_of = |folder: &PathBuf| {
            let above = folder.canonicalize().ok().and_then(|folder| Some(folder.parent()?.to_owned()));
            above.is_some() && above == out.canonicalize().ok()
        };
        ensure!(
            !store::is_store(out) && !store::is_study(out) && !self.folders.iter().any(out_is_parent_of),
            "--out {}: contains runs; give a separate folder for the fit",
            out.display()
        );
        Ok(())
    }
}

fn show(fitted: &Fitted, format: OutputFormat) -> Result<()> {
    match format {
        OutputFormat::Json => output::json(fitted),
        OutputFormat::Csv => output::csv(rows::all(fitted)),
        OutputFormat::Table => output::emit(&text(fitted, output::table)),
        OutputFormat::Markdown => output::emit(&text(fitted, output::markdown)),
    }
}

/// Every table, formatted by `draw` from a header and rows, and the notes.
fn text(fitted: &Fitted, draw: impl Fn(&[&str], &[Vec<String>]) -> String) -> String {
    let mut text = String::new();
    for FitTable { title, header, rows, below, .. } in report::tables(fitted) {
        text.extend(title.map(|title| format!("\n{title}\n\n")));
        text.push_str(&draw(header, &rows));
        text.extend(below.map(|below| format!("\n{}\n", below)));
    }
    text.extend(fitted.notes.iter().map(|note| format!("\nNote: {note}.\n")));
    text
}
