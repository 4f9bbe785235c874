//! `genloss compare`: arms side by side against the control.

mod split;

use super::output::{self, Format};
use crate::attribution::{Attribution, attribute};
use crate::config::CONTROL;
use crate::store::{self, RunRecord};
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

/// An arm against the control, and where the differences come from.
#[derive(Serialize)]
struct Compared {
    #[serde(flatten)]
    comparison: ArmComparison,
    /// None where it is not on record what drift alone would have done.
    attribution: Option<Vec<Attribution>>,
}

impl Compared {
    fn all_of(recorded: &RunRecord) -> Vec<Self> {
        let compared = |comparison: ArmComparison| Self {
            attribution: recorded.baseline.as_ref().map(|baseline| attribute(&comparison, baseline)),
            comparison,
        };
        comparisons(recorded).into_iter().map(compared).collect()
    }

    fn at_last_generation(&self) -> Vec<&Attribution> {
        let last = self.comparison.last_generation();
        let parts = self.attribution.iter().flatten();
        parts.filter(|part| Some(part.generation) == last).collect()
    }

    /// The label of a metric that was compared.
    fn label<'a>(&'a self, metric: &'a str) -> &'a str {
        let effect = self.comparison.effects.iter().find(|effect| effect.metric == metric);
        effect.map_or(metric, |effect| &effect.label)
    }

    fn rows(&self) -> impl Iterator<Item = EffectRow<'_>> {
        self.comparison.effects.iter().map(|effect| {
            let belongs =
                |part: &&Attribution| part.metric == effect.metric && part.generation == effect.generation;
            EffectRow::new(&self.comparison, effect, self.attribution.iter().flatten().find(belongs))
        })
    }
}

/// Prints the comparison of every arm of `folders` with the control of its experiment.
pub fn print(folders: &[PathBuf], format: Format) -> Result<()> {
    let all: Vec<Compared> = read_all(folders)?.iter().flat_map(Compared::all_of).collect();
    let several = all.iter().any(|one| one.comparison.experiment != all[0].comparison.experiment);
    let (header, rows) = cells(&all, several);
    match format {
        Format::Json => output::json(&all),
        Format::Csv => output::csv(all.iter().flat_map(Compared::rows)),
        Format::Markdown => {
            let splits = split::tables(&all, output::markdown);
            output::emit(&format!("{}\n{splits}", output::markdown(&header, &rows)))
        }
        Format::Table => {
            let splits = split::tables(&all, output::table);
            output::emit(&format!("{}{}\n{splits}", output::table(&header, &rows), explanations(&all)))
        }
    }
}

/// Prints the table of every arm of `folders` against the control of its experiment, and no more.
pub fn print_overview(folders: &[PathBuf]) -> Result<()> {
    let all: Vec<Compared> = read_all(folders)?.iter().flat_map(Compared::all_of).collect();
    let (header, rows) = cells(&all, true);
    output::emit(&output::table(&header, &rows))
}

/// Reads several runs. Two of one name are told apart by their folders.
pub fn read_all(folders: &[PathBuf]) -> Result<Vec<RunRecord>> {
    let mut all: Vec<RunRecord> = Vec::new();
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
pub fn comparisons(recorded: &RunRecord) -> Vec<ArmComparison> {
    verdict::compare(&recorded.experiment.name, &recorded.observations(), CONTROL, &recorded.catalogue())
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
fn cells(all: &[Compared], names_experiments: bool) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let arms = all.iter().map(|compared| &compared.comparison);
    let named = names_experiments.then_some("experiment");
    let effects = SHOWN.iter().map(|(_, title)| *title);
    let header = named.into_iter().chain(["arm", "verdict", "called at"]).chain(effects).collect();
    let row = |arm: &ArmComparison| {
        let called = arm.called_at_generation.map_or("–".to_owned(), |generation| generation.to_string());
        let name = names_experiments.then(|| arm.experiment.clone());
        let first = [arm.arm.clone(), arm.verdict.word().to_owned(), called];
        let effects = SHOWN.iter().map(|(metric, _)| effect_at_last(arm, metric));
        name.into_iter().chain(first).chain(effects).collect()
    };
    (header, arms.map(row).collect())
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

fn explanations(all: &[Compared]) -> String {
    let mut text = "Differences from the control of the same seeds at the last generation, with 95 % intervals. Losses and\n\
        entropies in nats; rare types found, as a ratio to what natural text of the same size holds.\n\n"
        .to_owned();
    for Compared { comparison: arm, .. } in all {
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
    label: &'a str,
    unit: &'a str,
    generation: usize,
    control: f64,
    arm_value: f64,
    difference: f64,
    ci_low: f64,
    ci_high: f64,
    std_err: f64,
    significant: bool,
    control_by_drift: Option<f64>,
    arm_by_drift: Option<f64>,
    sampling: Option<f64>,
    decoding: Option<f64>,
    misfit: Option<f64>,
    misfit_ci_low: Option<f64>,
    misfit_ci_high: Option<f64>,
}

impl<'a> EffectRow<'a> {
    fn new(arm: &'a ArmComparison, effect: &'a Effect, part: Option<&Attribution>) -> Self {
        Self {
            experiment: &arm.experiment,
            arm: &arm.arm,
            seeds: arm.seeds,
            verdict: arm.verdict.word(),
            called_at_generation: arm.called_at_generation,
            metric: &effect.metric,
            label: &effect.label,
            unit: &effect.unit,
            generation: effect.generation,
            control: effect.control,
            arm_value: effect.arm_value,
            difference: effect.difference,
            ci_low: effect.ci_low,
            ci_high: effect.ci_high,
            std_err: effect.std_err,
            significant: effect.significant,
            control_by_drift: part.map(|part| part.control_by_drift),
            arm_by_drift: part.map(|part| part.arm_by_drift),
            sampling: part.map(|part| part.sampling),
            decoding: part.map(|part| part.decoding),
            misfit: part.map(|part| part.misfit),
            misfit_ci_low: part.map(|part| part.misfit_ci_low),
            misfit_ci_high: part.map(|part| part.misfit_ci_high),
        }
    }
}
