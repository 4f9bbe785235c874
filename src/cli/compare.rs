//! `genloss compare`: arms side by side against the control.

use super::output::{self, Format};
use crate::config::CONTROL;
use crate::measure;
use crate::store::{self, Recorded};
use crate::verdict::{self, ArmComparison, Effect};
use anyhow::{Result, ensure};
use serde::Serialize;
use std::path::PathBuf;

/// Options of `genloss compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of runs.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// How to show it.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl Args {
    /// Prints the comparison.
    pub fn exec(self) -> Result<()> {
        print(&self.folders, self.format)
    }
}

/// Prints the comparison of every arm of `folders` with the control of its experiment.
pub fn print(folders: &[PathBuf], format: Format) -> Result<()> {
    let all: Vec<ArmComparison> = read_all(folders)?.iter().flat_map(comparisons).collect();
    match format {
        Format::Json => output::json(&all),
        Format::Csv => output::csv(
            all.iter().flat_map(|arm| arm.effects.iter().map(|effect| EffectRow::new(arm, effect))),
        ),
        Format::Markdown => output::emit(&output::markdown(&HEADER, &rows(&all))),
        Format::Table => {
            output::emit(&format!("{}{}", output::table(&HEADER, &rows(&all)), explanations(&all)))
        }
    }
}

/// Reads several runs. Two of one name are told apart by their folders.
pub fn read_all(folders: &[PathBuf]) -> Result<Vec<Recorded>> {
    let mut all: Vec<Recorded> = Vec::new();
    for folder in folders {
        let mut recorded = store::read(folder)?;
        let taken = |name: &str| all.iter().any(|other| other.experiment.name == name);
        if taken(&recorded.experiment.name) {
            let place = folder.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("{}@{place}", recorded.experiment.name);
            ensure!(
                !taken(&name),
                "{}: the same run, or one of the same name, is given twice",
                folder.display()
            );
            recorded.experiment.name = name;
        }
        all.push(recorded);
    }
    Ok(all)
}

/// Every arm of an experiment against its control.
pub fn comparisons(recorded: &Recorded) -> Vec<ArmComparison> {
    verdict::compare(&recorded.experiment.name, &recorded.observations(), CONTROL)
}

/// The effects that the table shows, at the last generation.
const SHOWN: [&str; 5] =
    ["heldout_loss", "heldout_loss_tail", "unigram_entropy", "tail_coverage", "tail_coverage_words"];

const HEADER: [&str; 10] = [
    "experiment",
    "arm",
    "verdict",
    "called at",
    "generation",
    "held-out loss",
    "of rare tokens",
    "token entropy",
    "rare tokens found",
    "rare words found",
];

fn rows(all: &[ArmComparison]) -> Vec<Vec<String>> {
    all.iter()
        .map(|arm| {
            let last = arm.last_generation();
            let effect = |metric: &&str| {
                let found = arm
                    .effects
                    .iter()
                    .find(|effect| effect.metric == *metric && Some(effect.generation) == last);
                found.map_or("–".to_owned(), interval)
            };
            let number = |value: Option<usize>| value.map_or("–".to_owned(), |value| value.to_string());
            let mut row = vec![
                arm.experiment.clone(),
                arm.arm.clone(),
                arm.verdict.word().to_owned(),
                number(arm.called_at_generation),
                number(last),
            ];
            row.extend(SHOWN.iter().map(effect));
            row
        })
        .collect()
}

/// A difference with its interval: `+0.31 [+0.27, +0.35]`.
fn interval(effect: &Effect) -> String {
    format!("{:+.3} [{:+.3}, {:+.3}]", effect.difference, effect.ci_low, effect.ci_high)
}

fn explanations(all: &[ArmComparison]) -> String {
    let mut text = "Differences from the control of the same seeds, with 95 % intervals. Losses and entropies in nats;\n\
        rare types found, as a ratio to what natural text of the same size holds.\n\n"
        .to_owned();
    for arm in all {
        text.push_str(&format!("{}, {}: {}\n", arm.experiment, arm.arm, arm.explanation));
    }
    text
}

/// One effect of one arm, as a row.
#[derive(Serialize)]
struct EffectRow<'a> {
    experiment: &'a str,
    arm: &'a str,
    seeds: usize,
    verdict: &'static str,
    called_at_generation: Option<usize>,
    metric: &'a str,
    label: &'static str,
    unit: &'a str,
    generation: usize,
    control: f64,
    arm_value: f64,
    difference: f64,
    ci_low: f64,
    ci_high: f64,
    std_err: f64,
    significant: bool,
}

impl<'a> EffectRow<'a> {
    fn new(arm: &'a ArmComparison, effect: &'a Effect) -> Self {
        Self {
            experiment: &arm.experiment,
            arm: &arm.arm,
            seeds: arm.seeds,
            verdict: arm.verdict.word(),
            called_at_generation: arm.called_at_generation,
            metric: &effect.metric,
            label: measure::metric(&effect.metric).map_or("", |metric| metric.label),
            unit: &effect.unit,
            generation: effect.generation,
            control: effect.control,
            arm_value: effect.arm_value,
            difference: effect.difference,
            ci_low: effect.ci_low,
            ci_high: effect.ci_high,
            std_err: effect.std_err,
            significant: effect.significant,
        }
    }
}
