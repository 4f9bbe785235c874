//! The command line: one file per subcommand. Results go to standard output, everything else to standard error.

mod bench;
mod calibrate;
mod check;
mod compare;
mod cost;
mod counts;
mod demo;
mod drift;
mod experiment;
mod fit;
mod inspect;
mod output;
mod plan;
mod report;
mod run;
mod score;
mod surroundings;
mod sweep;
mod verify;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// A laboratory for model collapse: train, sample, mix, train again, and measure what is lost.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the main job on the built-in world: no data, no file, a few minutes.
    Demo(demo::Args),
    /// Read and check an experiment file; show what it resolves to, what it trains on and what it will cost.
    Check(check::Args),
    /// Run every arm and seed of an experiment, or go on where it stopped.
    Run(run::Args),
    /// Run every experiment of a file with a [grid], side by side, or go on where they stopped.
    Sweep(sweep::Args),
    /// Put arms side by side against the control: effects with intervals, and a verdict.
    Compare(compare::Args),
    /// Fit loss laws to the models of several runs: which share of synthetic text is best, and what it saves.
    Fit(fit::Args),
    /// Print every measurement, or synthetic documents to read.
    Inspect(inspect::Args),
    /// Draw the figures and write the page.
    Report(report::Args),
    /// Score a text under any model folder.
    Score(score::Args),
    /// Measure how often the verdict errs in experiments like this one.
    Calibrate(calibrate::Args),
    /// Simulate what finite sampling alone would do, at any scale, and hold it against what is exact.
    Drift(drift::Args),
    /// Check this build against what is known: exact theory, metrics of known texts, the verdict's error rates.
    Verify(verify::Args),
    /// Measure how fast this machine trains and samples.
    Bench(bench::Args),
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// With one line that says where, what, and what to try.
    pub fn exec(self) -> Result<()> {
        match self.command {
            Command::Demo(args) => args.exec(),
            Command::Check(args) => args.exec(),
            Command::Run(args) => args.exec(),
            Command::Sweep(args) => args.exec(),
            Command::Compare(args) => args.exec(),
            Command::Fit(args) => args.exec(),
            Command::Inspect(args) => args.exec(),
            Command::Report(args) => args.exec(),
            Command::Score(args) => args.exec(),
            Command::Calibrate(args) => args.exec(),
            Command::Drift(args) => args.exec(),
            Command::Verify(args) => args.exec(),
            Command::Bench(args) => args.exec(),
        }
    }
}

/// The exit code for an error: 130 when the user asked to stop, as shells have it; else 1.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let was_interrupted = error.downcast_ref::<run::Interrupted>().is_some();
    if was_interrupted { 130 } else { 1 }
}

/// An error and its causes on one line, each said once; control characters are shown, not obeyed.
#[must_use]
pub fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A fault of the command line on one line.
#[must_use]
pub fn usage(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.trim_start_matches("error:").split_whitespace().collect();
    format!("{}; see genloss --help", words.join(" "))
}
