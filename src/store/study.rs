//! A study: the records of one or more experiments as tables that pandas, R or DuckDB open in one line.
//!
//! ```text
//! <study>/
//!   measurements.parquet     one row per measurement: experiment, seed, arm, generation, metric, unit, value, std_err, n
//!   generations.parquet      one row per generation: mixture.natural_tokens, training.parameters, synthesis.method, …
//!   drift.parquet            one row per arm, metric and generation: what drift alone would have done
//!   experiments/<name>.toml  the resolved experiment files
//!   provenance.json          how each experiment was run, by its name; the hash of every other file
//! ```
//!
//! [`export`] writes a study from records, and [`read_study`] returns the same records, with bit-identical numbers.
//! Models and synthetic text are not part of a study. The columns of `generations.parquet` are the fields of
//! [`GenerationRecord`] in its JSON form, one level deep; deeper fields, such as curves, are stored as JSON text.

mod columns;
mod drift;
mod flat;

pub use columns::measurements_note;

use super::manifest::{self, FileHashes};
use super::{GenerationRecord, LineageRecord, PROVENANCE, Provenance, RunRecord, StoreError, disk};
use crate::config::{self, Experiment};
use crate::measure::Measurement;
use crate::tables::{Effort, Table, Value};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const MEASUREMENTS: &str = "measurements.parquet";
const GENERATIONS: &str = "generations.parquet";
const DRIFT: &str = "drift.parquet";
pub(super) const EXPERIMENTS: &str = "experiments";

/// The first four columns of `measurements.parquet` and `generations.parquet`: the generation that a row belongs to.
const GENERATION_COLUMNS: [&str; 4] = ["experiment", "seed", "arm", "generation"];
const MEASUREMENT_COLUMNS: [&str; 9] =
    ["experiment", "seed", "arm", "generation", "metric", "unit", "value", "std_err", "n"];

/// Returns whether `folder` is a study, even one that lacks a file, rather than the folder of a run.
#[must_use]
pub fn is_study(folder: &Path) -> bool {
    folder.join(MEASUREMENTS).exists()
        || folder.join(EXPERIMENTS).is_dir() && folder.join(PROVENANCE).exists()
}

/// Writes `recorded` as a study into `folder`, completely or not at all.
///
/// # Errors
/// If `folder` exists and is not empty, if two experiments have the same name, or if the disk fails.
pub fn export(recorded: &[RunRecord], folder: &Path) -> Result<(), StoreError> {
    let mut names = BTreeSet::new();
    if let Some(twice) = recorded.iter().find(|one| !names.insert(&one.experiment.name)) {
        return Err(StoreError::SameName { name: twice.experiment.name.clone() });
    }
    disk::write_folder(folder, |aside| {
        let experiments = aside.join(EXPERIMENTS);
        disk::create_dir(&experiments)?;
        for one in recorded {
            let path = experiments.join(format!("{}.toml", one.experiment.name));
            disk::write_file(&path, one.experiment_toml.as_bytes())?;
        }
        write_table(&aside.join(DRIFT), &drift::table(recorded))?;
        write_table(&aside.join(GENERATIONS), &generations(recorded))?;
        write_table(&aside.join(MEASUREMENTS), &measurements(recorded))?;
        let files = manifest::hash_files(aside)?;
        disk::write_record(&aside.join(PROVENANCE), &StudyProvenance::new(recorded, files))
    })
}

/// Reads the records of a study, in the order in which they were exported.
///
/// ```
/// use genloss::store;
///
/// let study = store::read_study("generations/reference/quiet-collapse".as_ref())?;
/// let lineage = &study[0].lineages[0];
/// assert_eq!((lineage.seed, lineage.arm.as_str(), lineage.generations.len()), (1, "control", 5));
/// assert!(lineage.generations[4].value("heldout_loss") > Some(0.0));
/// # Ok::<(), store::StoreError>(())
/// ```
///
/// # Errors
/// If a file is missing, damaged or was changed after it was written, or its rows do not belong to its experiments.
pub fn read_study(folder: &Path) -> Result<Vec<RunRecord>, StoreError> {
    let path = folder.join(PROVENANCE);
    if !path.exists() {
        return Err(StoreError::Missing {
            path,
            content: "how the experiments of this study were run, and the hashes of its tables",
            remedy: "restore it from a copy, or export the runs again",
        });
    }
    let provenance: StudyProvenance = disk::read_record(&path)?;
    provenance.verify(folder)?;
    let mut records = read_generations(folder)?;
    let mut baselines = drift::read(&folder.join(DRIFT))?;
    let mut all = Vec::with_capacity(provenance.experiments.len());
    for (name, provenance) in provenance.experiments {
        let json = |source| StoreError::Json { path: folder.join(PROVENANCE), source };
        let provenance: Provenance = serde_json::from_value(provenance).map_err(json)?;
        let (experiment, experiment_toml) = read_experiment(folder, &name)?;
        let lineages = lineages(&experiment, &mut records);
        let baseline = baselines.remove(&name).filter(|baseline| baseline.fits(&experiment));
        all.push(RunRecord { experiment, experiment_toml, provenance, lineages, baseline });
    }
    match records.into_keys().next() {
        None => Ok(all),
        Some((experiment, seed, arm, generation)) => Err(StoreError::Table {
            path: folder.join(GENERATIONS),
            reason: format!(
                "experiment \"{experiment}\", seed {seed}, arm \"{arm}\", generation {generation} belongs to no \
                 experiment under {EXPERIMENTS}/, or a generation before it is missing"
            ),
        }),
    }
}

/// `provenance.json`: how each experiment was run, in the order of export.
#[derive(Serialize, Deserialize)]
struct StudyProvenance {
    experiments: Map<String, serde_json::Value>,
    /// Absent in studies of earlier versions, which recorded no hashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<FileHashes>,
}

impl StudyProvenance {
    fn new(recorded: &[RunRecord], files: FileHashes) -> Self {
        let entry = |one: &RunRecord| {
            let value = serde_json::to_value(&one.provenance).expect("provenance is plain data");
            (one.experiment.name.clone(), value)
        };
        Self { experiments: recorded.iter().map(entry).collect(), files: Some(files) }
    }

    /// Compares every file of the study with its hash.
    fn verify(&self, folder: &Path) -> Result<(), StoreError> {
        let Some(files) = &self.files else { return Ok(()) };
        let tables = [DRIFT, GENERATIONS, MEASUREMENTS].map(str::to_owned).into_iter();
        let experiments = self.experiments.keys().map(|name| format!("{EXPERIMENTS}/{name}.toml"));
        tables.chain(experiments).try_for_each(|name| {
            let damaged = |reason| StoreError::Study { path: folder.to_owned(), reason };
            manifest::check_file(folder, &name, files).map_err(damaged)
        })
    }
}

/// Reads the resolved file of the experiment `name`; returns the experiment and the text of the file.
fn read_experiment(folder: &Path, name: &str) -> Result<(Experiment, String), StoreError> {
    let path = folder.join(EXPERIMENTS).join(format!("{name}.toml"));
    let text = disk::read_text(&path)?;
    let mut experiment = config::parse_recorded(&text, &path.to_string_lossy())
        .map_err(|source| StoreError::Experiment { path, source: Box::new(source) })?;
    name.clone_into(&mut experiment.name);
    Ok((experiment, text))
}

/// Experiment, seed, arm, generation.
type Key = (String, u64, String, usize);

/// Takes the lineages of `experiment` out of `records`.
fn lineages(experiment: &Experiment, records: &mut BTreeMap<Key, GenerationRecord>) -> Vec<LineageRecord> {
    let mut lineages = Vec::new();
    for &seed in &experiment.seeds {
        for arm in &experiment.arms {
            let key = |generation| (experiment.name.clone(), seed, arm.name.clone(), generation);
            let generations = (0..=experiment.generations).map_while(|g| records.remove(&key(g))).collect();
            lineages.push(LineageRecord { seed, arm: arm.name.clone(), generations, origins: Vec::new() });
        }
    }
    lineages
}

fn write_table(path: &Path, table: &Table) -> Result<(), StoreError> {
    let parquet = |source| StoreError::Parquet { path: path.to_owned(), source };
    disk::write_file(path, &table.to_parquet(Effort::Small).map_err(parquet)?)
}

/// Calls `visit` with the first four columns and the record of every generation.
fn for_each_generation(recorded: &[RunRecord], mut visit: impl FnMut([Value; 4], &GenerationRecord)) {
    for one in recorded {
        for lineage in &one.lineages {
            for (generation, record) in lineage.generations.iter().enumerate() {
                let key = [
                    Value::Text(one.experiment.name.clone()),
                    Value::Integer(lineage.seed.cast_signed()),
                    Value::Text(lineage.arm.clone()),
                    Value::Integer(generation as i64),
                ];
                visit(key, record);
            }
        }
    }
}

fn measurements(recorded: &[RunRecord]) -> Table {
    let mut table = Table::new(&MEASUREMENT_COLUMNS);
    table.note = Some(measurements_note(recorded));
    for_each_generation(recorded, |key, record| {
        for measurement in &record.measurements {
            let mut row = key.to_vec();
            row.extend([
                Value::Text(measurement.metric.clone()),
                Value::Text(measurement.unit.clone()),
                Value::Real(measurement.value),
                Value::Real(measurement.std_err),
                Value::Integer(measurement.n.cast_signed()),
            ]);
            table.rows.push(row);
        }
    });
    table
}

fn generations(recorded: &[RunRecord]) -> Table {
    let mut table = Table::new(&GENERATION_COLUMNS);
    table.note = Some(columns::generations_note());
    for_each_generation(recorded, |key, record| {
        let mut row = key.to_vec();
        row.resize(table.columns.len(), Value::Missing);
        for (name, value) in flat::flatten(record) {
            match table.columns.iter().position(|column| *column == name) {
                Some(column) => row[column] = value,
                None => {
                    table.columns.push(name);
                    row.push(value);
                }
            }
        }
        table.rows.push(row);
    });
    // Earlier rows have no value in columns that were added later.
    let columns = table.columns.len();
    table.rows.iter_mut().for_each(|row| row.resize(columns, Value::Missing));
    table
}

/// Reads every generation of every experiment, with its measurements.
fn read_generations(folder: &Path) -> Result<BTreeMap<Key, GenerationRecord>, StoreError> {
    let path = folder.join(GENERATIONS);
    let content = |reason| StoreError::Table { path: path.clone(), reason };
    let table = read_table(&path, &GENERATION_COLUMNS)?;
    let mut records = BTreeMap::new();
    for row in &table.rows {
        let (key, fields) = row.split_at(GENERATION_COLUMNS.len());
        let record = flat::unflatten(&table.columns[GENERATION_COLUMNS.len()..], fields).map_err(content)?;
        records.insert(parse_key(key).ok_or_else(|| content(missing_key(key)))?, record);
    }
    let path = folder.join(MEASUREMENTS);
    let content = |reason| StoreError::Table { path: path.clone(), reason };
    for row in read_table(&path, &MEASUREMENT_COLUMNS)?.rows {
        let (key, fields) = row.split_at(GENERATION_COLUMNS.len());
        let record = parse_key(key).and_then(|key| records.get_mut(&key));
        let record = record.ok_or_else(|| content(missing_key(key)))?;
        let [
            Value::Text(metric),
            Value::Text(unit),
            Value::Real(value),
            Value::Real(std_err),
            Value::Integer(n),
        ] = fields
        else {
            return Err(content(format!("a measurement is incomplete: {fields:?}")));
        };
        let (metric, unit) = (metric.clone(), unit.clone());
        record.measurements.push(Measurement {
            metric,
            unit,
            value: *value,
            std_err: *std_err,
            n: n.cast_unsigned(),
        });
    }
    Ok(records)
}

fn parse_key(key: &[Value]) -> Option<Key> {
    match key {
        [Value::Text(experiment), Value::Integer(seed), Value::Text(arm), Value::Integer(generation)] => {
            let generation = usize::try_from(*generation).ok()?;
            Some((experiment.clone(), seed.cast_unsigned(), arm.clone(), generation))
        }
        _ => None,
    }
}

fn missing_key(key: &[Value]) -> String {
    format!("a row belongs to no generation of {GENERATIONS}: {key:?}")
}

/// Reads a table whose first columns must be `columns`.
fn read_table(path: &Path, columns: &[&str]) -> Result<Table, StoreError> {
    let parquet = |source| StoreError::Parquet { path: path.to_owned(), source };
    let table = Table::from_file(disk::open(path)?).map_err(parquet)?;
    let begins_with =
        |(index, name): (usize, &&str)| table.columns.get(index).is_some_and(|found| found == name);
    if columns.iter().enumerate().all(begins_with) {
        return Ok(table);
    }
    let reason = format!("its columns are {} instead of {}, …", table.columns.join(", "), columns.join(", "));
    Err(StoreError::Table { path: path.to_owned(), reason })
}
