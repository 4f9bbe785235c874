//! `genloss compare`: compares every arm with the control of the same seeds.

mod effects;
mod empty;
mod expected;
mod lines;
mod pairs;
mod split;
mod summary;
mod synthetic;

use super::output::{self, OutputFormat, say};
use crate::attribution::{Attribution, attribute};
use crate::store::{self, RunRecord};
use crate::verdict::{ArmComparison, HeadlineMetric};
use anyhow::{Result, ensure};
use effects::EffectRow;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Options of `genloss compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of runs or studies.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Output format; json and csv have every effect at every generation.
    #[arg(long, value_enum, default_value = "table")]
    format: OutputFormat,
    /// Show how much of each difference comes from finite samples, from decoding, and from the models (json and csv
    /// always do).
    #[arg(long)]
    why: bool,
    /// Compare every arm with the control and with every other arm, all pairs judged together; in held-out loss, or in
    /// the headline metrics given.
    #[arg(
        long,
        value_name = "METRIC,…",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = pairs::DEFAULT_METRIC,
        value_delimiter = ',',
        value_parser = pairs::metric,
        conflicts_with = "why"
    )]
    pairs: Option<Vec<HeadlineMetric>>,
}

impl Args {
    /// Prints the comparison.
    pub fn exec(self) -> Result<()> {
        if let Some(metrics) = self.pairs {
            pairs::check(&metrics)?;
            let recorded = read_all(&self.folders)?;
            recorded.iter().filter_map(unlike_control).for_each(|note| say(&format!("note: {note}")));
            return pairs::print(&recorded, &metrics, self.format);
        }
        let recorded = read_all(&self.folders)?;
        let arms = ComparedArm::all(&recorded);
        match self.format {
            OutputFormat::Json => output::json(&arms),
            OutputFormat::Csv => output::csv(arms.iter().flat_map(ComparedArm::rows)),
            OutputFormat::Markdown => {
                let split = if self.why { split::tables(&arms, output::markdown) } else { String::new() };
                let expected = expected::text(&recorded, output::markdown);
                let synthetic = synthetic::text(&arms, output::markdown);
                output::emit(&(effects::markdown(&arms) + &synthetic + &expected + &split))
            }
            OutputFormat::Table => {
                let split = if self.why { split::tables(&arms, output::table) } else { String::new() };
                output::emit(&(text(&recorded, &arms) + &split))
            }
        }
    }
}

/// Prints the output of `genloss compare`: a line and a sentence for every arm of the runs in `folders`.
pub fn print_summary(folders: &[PathBuf]) -> Result<()> {
    let recorded = read_all(folders)?;
    output::emit(&text(&recorded, &ComparedArm::all(&recorded)))
}

/// A line and a sentence for every arm, the effect of synthetic text, and the numbers that were expected.
fn text(recorded: &[RunRecord], arms: &[ComparedArm]) -> String {
    let synthetic = synthetic::text(arms, synthetic::table);
    summary::text(arms) + &synthetic + &expected::text(recorded, expected::table)
}

/// Prints a line for every arm of the runs in `folders`, without the sentences.
pub fn print_overview(folders: &[PathBuf]) -> Result<()> {
    output::emit(&summary::table(&ComparedArm::all(&read_all(folders)?), true))
}

/// An arm compared with the control, and the parts that each difference is split into.
#[derive(Serialize)]
struct ComparedArm {
    #[serde(flatten)]
    comparison: ArmComparison,
    /// None if the run has no baseline of drift alone.
    attribution: Option<Vec<Attribution>>,
}

impl ComparedArm {
    /// Every arm but the control of every run. Notes on empty columns, and on what else differs between arms, go to
    /// standard error.
    fn all(recorded: &[RunRecord]) -> Vec<Self> {
        let notes = recorded.iter().flat_map(|one| empty::notes(one).into_iter().chain(unlike_control(one)));
        notes.for_each(|note| say(&format!("note: {note}")));
        recorded.iter().flat_map(Self::all_of).collect()
    }

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

    /// The label of `metric`, or its id if it was not compared.
    fn label<'a>(&'a self, metric: &'a str) -> &'a str {
        let effect = self.comparison.effects.iter().find(|effect| effect.metric == metric);
        effect.map_or(metric, |effect| &effect.label)
    }

    /// A row for every effect at every generation.
    fn rows(&self) -> impl Iterator<Item = EffectRow<'_>> {
        self.comparison.effects.iter().map(|effect| {
            let belongs =
                |part: &&Attribution| part.metric == effect.metric && part.generation == effect.generation;
            EffectRow::new(&self.comparison, effect, self.attribution.iter().flatten().find(belongs))
        })
    }
}

/// A note on arms that write under other settings than the control, with the name of the experiment.
fn unlike_control(RunRecord { experiment, .. }: &RunRecord) -> Option<String> {
    let note = experiment.written_unlike_control()?;
    Some(format!("experiment \"{}\": {note}", experiment.name))
}

/// Whether the arms belong to more than one experiment, so that output has to name each one.
fn has_several_experiments(arms: &[ComparedArm]) -> bool {
    arms.iter().any(|arm| arm.comparison.experiment != arms[0].comparison.experiment)
}

/// Reads several runs and studies. If two experiments have the same name, the second is renamed to `name@folder`.
pub fn read_all(folders: &[PathBuf]) -> Result<Vec<RunRecord>> {
    Ok(read_with_folders(folders)?.into_iter().map(|(_, recorded)| recorded).collect())
}

/// Reads several runs and studies; each experiment comes with the folder that it was read from. Notes on folders that
/// are given twice, and on what is missing in a run, go to standard error.
pub fn read_with_folders(folders: &[PathBuf]) -> Result<Vec<(&Path, RunRecord)>> {
    let mut all: Vec<(&Path, RunRecord)> = Vec::new();
    for folder in each_once(folders) {
        for mut recorded in read_and_print_notes(folder)? {
            let is_taken = |name: &str| all.iter().any(|(_, other)| other.experiment.name == name);
            if is_taken(&recorded.experiment.name) {
                let folder_name = folder.file_name().unwrap_or_default().to_string_lossy();
                let name = format!("{}@{folder_name}", recorded.experiment.name);
                ensure!(
                    !is_taken(&name),
                    "{}: another folder of the same name holds an experiment of the same name; rename a folder",
                    folder.display()
                );
                recorded.experiment.name = name;
            }
            all.push((folder, recorded));
        }
    }
    Ok(all)
}

/// The folders, each once, even if it is given under several paths.
fn each_once(folders: &[PathBuf]) -> Vec<&Path> {
    let mut seen = BTreeSet::new();
    let is_new = |folder: &&PathBuf| {
        // A folder that does not exist is reported when it is read.
        let is_new = folder.canonicalize().map_or(true, |real| seen.insert(real));
        if !is_new {
            say(&format!("note: {} is given twice and counts once", folder.display()));
        }
        is_new
    };
    folders.iter().filter(is_new).map(PathBuf::as_path).collect()
}

/// Reads the run or study in `folder`. Notes on what is missing in it go to standard error.
pub fn read_and_print_notes(folder: &Path) -> Result<Vec<RunRecord>> {
    let recorded = store::read_all(folder)?;
    for one in &recorded {
        let is_empty = one.lineages.iter().all(|lineage| lineage.generations.is_empty());
        ensure!(
            !is_empty,
            "{}: no generation of experiment \"{}\" is finished yet; continue it with genloss run",
            folder.display(),
            one.experiment.name
        );
        for note in store::notes(folder, one)? {
            say(&format!("note: {}: {note}", folder.display()));
        }
    }
    ensure!(
        !recorded.is_empty(),
        "{}: this study has no experiments; export the runs again",
        folder.display()
    );
    Ok(recorded)
}

/// Compares every arm of an experiment with its control and, if there is one, with the arm that repeats its natural part.
pub fn comparisons(recorded: &RunRecord) -> Vec<ArmComparison> {
    recorded.comparisons()
}
