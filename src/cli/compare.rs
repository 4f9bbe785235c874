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
        Format::Markdown => {
            let (header, rows) = cells(&all);
            output::emit(&output::markdown(&header, &rows))
        }
        Format::Table => {
            let (header, rows) = cells(&all);
            output::emit(&format!("{}{}", output::table(&header, &rows), explanations(&all)))
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

/// The effects that the table shows, at the last generation, and what it calls them.
const SHOWN: [(&str, &str); 5] = [
    ("heldout_loss", "held-out loss"),
    ("heldout_loss_tail", "of rare tokens"),
    ("unigram_entropy", "token entropy"),
    ("tail_coverage", "rare tokens found"),
    ("tail_coverage_words", "rare words found"),
];

/// The header and the rows of the table; the experiment is named where there are several.
fn cells(all: &[ArmComparison]) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let several = all.iter().any(|arm| arm.experiment != all[0].experiment);
    let named = several.then_some("experiment");
    let effects = SHOWN.iter().map(|(_, title)| *title);
    let header = named.into_iter().chain(["arm", "verdict", "called at"]).chain(effects).collect();
    let row = |arm: &ArmComparison| {
        let called = arm.called_at_generation.map_or("–".to_owned(), |generation| generation.to_string());
        let name = several.then(|| arm.experiment.clone());
        let first = [arm.arm.clone(), arm.verdict.word().to_owned(), called];
        let effects = SHOWN.iter().map(|(metric, _)| effect_at_last(arm, metric));
        name.into_iter().chain(first).chain(effects).collect()
    };
    (header, all.iter().map(row).collect())
}

fn effect_at_last(arm: &ArmComparison, metric: &str) -> String {
    let last = arm.last_generation();
    let found = arm.effects.iter().find(|effect| effect.metric == metric && Some(effect.generation) == last);
    found.map_or("–".to_owned(), interval)
}

/// A difference with its interval: `+0.31 [+0.27, +0.35]`.
fn interval(effect: &Effect) -> String {
    format!("{:+.3} [{:+.3}, {:+.3}]", effect.difference, effect.ci_low, effect.ci_high)
}

fn explanations(all: &[ArmComparison]) -> String {
    let mut text = "Differences from the control of the same seeds at the last generation, with 95 % intervals. Losses and\n\
        entropies in nats; rare types found, as a ratio to what natural text of the same size holds.\n\n"
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
