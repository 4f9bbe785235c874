//! `genloss inspect`: every measurement as a tidy table, or synthetic documents to read.

use super::compare;
use super::output::{self, say};
use crate::settings::nearest;
use crate::store::{self, MissingMetrics, RunRecord, Sample};
use crate::tables::{Effort, Table, TableNote, Value};
use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Options of `genloss inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of a run or a study.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Output format; redirect parquet to a file: > measurements.parquet.
    #[arg(long, value_enum, default_value = "table")]
    format: InspectFormat,
    /// Only this arm.
    #[arg(long)]
    arm: Option<String>,
    /// Only this metric.
    #[arg(long)]
    metric: Option<String>,
    /// Only this generation.
    #[arg(long)]
    generation: Option<usize>,
    /// Show K synthetic documents of every generation instead of measurements.
    #[arg(long, value_name = "K", conflicts_with_all = ["metric", "format"])]
    samples: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InspectFormat {
    /// Aligned columns for reading.
    Table,
    /// An array of objects.
    Json,
    /// Comma-separated, with a header.
    Csv,
    /// A Parquet file.
    Parquet,
}

/// One measurement. If arms share a generation 0, its measurements are listed for each of them.
#[derive(Clone, Debug, Serialize)]
struct MeasurementRow {
    experiment: String,
    seed: u64,
    arm: String,
    generation: usize,
    metric: String,
    unit: String,
    value: f64,
    std_err: f64,
    n: u64,
}

impl Args {
    /// Prints the measurements or the documents.
    pub fn exec(self) -> Result<()> {
        let recorded = compare::read_and_print_notes(&self.folder)?;
        self.check_arm(&recorded)?;
        self.check_generation(&recorded)?;
        if let Some(most) = self.samples {
            ensure!(most > 0, "--samples 0: shows no document; give at least 1");
            ensure!(
                !store::is_study(&self.folder),
                "{}: a study has measurements but no text; give the folder of the run that it was exported from",
                self.folder.display()
            );
            return recorded.iter().try_for_each(|one| self.print_samples(one, most));
        }
        self.check_metric(&recorded)?;
        recorded.iter().for_each(|one| self.print_missing(one));
        let rows: Vec<MeasurementRow> = recorded.iter().flat_map(|one| self.rows(one)).collect();
        if let Some(note) = more_effective_types_than_seen(&recorded, &rows) {
            say(&format!("note: {note}"));
        }
        match self.format {
            InspectFormat::Table => {
                let cells: Vec<_> = rows.iter().map(MeasurementRow::cells).collect();
                output::emit(&output::table(&COLUMNS, &cells))
            }
            InspectFormat::Json => output::json(&rows),
            InspectFormat::Csv => output::csv(&rows),
            InspectFormat::Parquet => {
                ensure!(
                    !std::io::stdout().is_terminal(),
                    "--format parquet: not for a terminal; redirect it: > measurements.parquet"
                );
                output::emit_bytes(&parquet(&rows, store::measurements_note(&recorded))?)
            }
        }
    }

    fn check_arm(&self, recorded: &[RunRecord]) -> Result<()> {
        let Some(arm) = &self.arm else { return Ok(()) };
        let mut names: Vec<&str> = Vec::new();
        for other in recorded.iter().flat_map(|one| &one.experiment.arms) {
            if !names.contains(&other.name.as_str()) {
                names.push(&other.name);
            }
        }
        ensure!(
            names.contains(&arm.as_str()),
            "--arm {arm}: there is no such arm; the arms are {}",
            names.join(", ")
        );
        Ok(())
    }

    fn check_generation(&self, recorded: &[RunRecord]) -> Result<()> {
        let Some(generation) = self.generation else { return Ok(()) };
        let lineages = recorded.iter().flat_map(|one| &one.lineages);
        let count = lineages.map(|lineage| lineage.generations.len()).max().unwrap_or(0);
        ensure!(
            generation < count,
            "--generation {generation}: not recorded; there are {count} generations, counted from 0"
        );
        Ok(())
    }

    /// Notes which metrics have no value, of those that pass the filters.
    fn print_missing(&self, recorded: &RunRecord) {
        let passes = |one: &MissingMetrics| {
            self.arm.as_ref().is_none_or(|arm| one.arms.contains(arm))
                && self.generation.is_none_or(|generation| one.generations.contains(&generation))
                && self.metric.as_ref().is_none_or(|metric| one.metrics.contains(metric))
        };
        for one in recorded.missing_metrics().into_iter().filter(passes) {
            say(&format!("note: experiment \"{}\": {one}", recorded.experiment.name));
        }
    }

    fn check_metric(&self, recorded: &[RunRecord]) -> Result<()> {
        let Some(metric) = &self.metric else { return Ok(()) };
        let missing: Vec<MissingMetrics> = recorded.iter().flat_map(RunRecord::missing_metrics).collect();
        if missing.iter().any(|one| one.metrics.contains(metric)) {
            return Ok(());
        }
        let lineages = recorded.iter().flat_map(|one| &one.lineages);
        let records = lineages.flat_map(|lineage| &lineage.generations);
        let measured: BTreeSet<&str> =
            records.flat_map(|record| &record.measurements).map(|one| one.metric.as_str()).collect();
        let list = measured.iter().copied().collect::<Vec<_>>().join(", ");
        let nearest = nearest(metric, measured.iter().copied());
        let nearest = nearest.map_or(String::new(), |name| format!("the nearest is {name}; "));
        ensure!(
            measured.contains(metric.as_str()),
            "--metric {metric}: not measured here; {nearest}the metrics are {list}"
        );
        Ok(())
    }

    /// The measurements of one run that pass the filters.
    fn rows(&self, recorded: &RunRecord) -> Vec<MeasurementRow> {
        let mut rows = Vec::new();
        for lineage in recorded.lineages.iter().filter(|lineage| wanted(self.arm.as_ref(), &lineage.arm)) {
            for (generation, record) in lineage.generations.iter().enumerate() {
                if !wanted(self.generation.as_ref(), &generation) {
                    continue;
                }
                let measurements =
                    record.measurements.iter().filter(|one| wanted(self.metric.as_ref(), &one.metric));
                rows.extend(measurements.map(|one| MeasurementRow {
                    experiment: recorded.experiment.name.clone(),
                    seed: lineage.seed,
                    arm: lineage.arm.clone(),
                    generation,
                    metric: one.metric.clone(),
                    unit: one.unit.clone(),
                    value: one.value,
                    std_err: one.std_err,
                    n: one.n,
                }));
            }
        }
        rows
    }

    fn print_samples(&self, recorded: &RunRecord, most: usize) -> Result<()> {
        let samples = store::samples(&self.folder, recorded, most)?;
        ensure!(!samples.is_empty(), "{}: the synthetic text of this run is not kept", self.folder.display());
        let arms: Vec<&str> = recorded.experiment.arms.iter().map(|arm| arm.name.as_str()).collect();
        let arms: Vec<&str> =
            arms.into_iter().filter(|arm| self.arm.as_deref().is_none_or(|wanted| wanted == *arm)).collect();
        let header: Vec<&str> = std::iter::once("generation").chain(arms.iter().copied()).collect();
        let mut text = String::new();
        for &seed in &recorded.experiment.seeds {
            let generations =
                (0..=recorded.experiment.generations).filter(|g| wanted(self.generation.as_ref(), g));
            let row = |generation: usize| {
                let cell = |arm: &&str| documents_of(&samples, seed, arm, generation);
                std::iter::once(generation.to_string()).chain(arms.iter().map(cell)).collect()
            };
            let rows: Vec<Vec<String>> = generations.map(row).collect();
            text.push_str(&format!("seed {seed}\n{}\n", output::table(&header, &rows)));
        }
        output::emit(&text)
    }
}

/// A note on a shown generation whose hill_1 is larger than its hill_0, which looks like an error.
fn more_effective_types_than_seen(recorded: &[RunRecord], rows: &[MeasurementRow]) -> Option<String> {
    let seen_by = |row: &MeasurementRow| {
        let run = recorded.iter().find(|one| one.experiment.name == row.experiment)?;
        let mut lineages = run.lineages.iter();
        let lineage = lineages.find(|lineage| (lineage.seed, &lineage.arm) == (row.seed, &row.arm))?;
        lineage.generations.get(row.generation)?.value(&row.metric.replace("hill_1", "hill_0"))
    };
    let mut effective = rows.iter().filter(|row| row.metric.starts_with("hill_1"));
    let row = effective.find(|row| seen_by(row).is_some_and(|seen| row.value > seen))?;
    Some(format!(
        "{} may be larger than {}: hill_1 includes an estimate of the types that the text lacks, hill_0 counts those in it",
        row.metric,
        row.metric.replace("hill_1", "hill_0")
    ))
}

/// The documents of a generation, one below the other.
fn documents_of(samples: &[Sample], seed: u64, arm: &str, generation: usize) -> String {
    let of = |sample: &&Sample| sample.seed == seed && sample.arm == arm && sample.generation == generation;
    let documents = samples.iter().find(of).map_or(&[][..], |sample| &sample.documents);
    documents.iter().map(|document| format!("• {document}\n")).collect()
}

fn wanted<T: PartialEq>(filter: Option<&T>, value: &T) -> bool {
    filter.is_none_or(|filter| filter == value)
}

const COLUMNS: [&str; 9] =
    ["experiment", "seed", "arm", "generation", "metric", "unit", "value", "std_err", "n"];

impl MeasurementRow {
    fn cells(&self) -> Vec<String> {
        vec![
            self.experiment.clone(),
            self.seed.to_string(),
            self.arm.clone(),
            self.generation.to_string(),
            self.metric.clone(),
            self.unit.clone(),
            output::plain(self.value, 6),
            format!("{:.6}", self.std_err),
            self.n.to_string(),
        ]
    }
}

/// The rows as a Parquet file. It says what its columns and metrics mean.
fn parquet(rows: &[MeasurementRow], note: TableNote) -> Result<Vec<u8>> {
    let mut table = Table::new(&COLUMNS);
    table.note = Some(note);
    table.rows.extend(rows.iter().map(|row| {
        vec![
            Value::Text(row.experiment.clone()),
            Value::Integer(row.seed.cast_signed()),
            Value::Text(row.arm.clone()),
            Value::Integer(row.generation as i64),
            Value::Text(row.metric.clone()),
            Value::Text(row.unit.clone()),
            Value::Real(row.value),
            Value::Real(row.std_err),
            Value::Integer(row.n.cast_signed()),
        ]
    }));
    Ok(table.to_parquet(Effort::Fast)?)
}
