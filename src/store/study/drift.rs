//! `drift.parquet`: what drift alone would have done, one row per arm, metric and generation.

use super::{StoreError, read_table};
use crate::baseline::{Baseline, DriftCurve, ReplicateMean};
use crate::store::RunRecord;
use crate::tables::{Table, Value};
use std::collections::BTreeMap;
use std::path::Path;

const DRIFT_COLUMNS: [&str; 9] = [
    "experiment",
    "arm",
    "metric",
    "generation",
    "replicates",
    "sampling",
    "sampling_std_err",
    "decoding",
    "decoding_std_err",
];

/// The baselines of all experiments. A baseline without curves becomes a single row without an arm. An experiment
/// without a baseline has no row.
pub(super) fn table(recorded: &[RunRecord]) -> Table {
    let mut table = Table::new(&DRIFT_COLUMNS);
    table.note = Some(super::columns::drift_note());
    for (name, baseline) in
        recorded.iter().filter_map(|one| Some((&one.experiment.name, one.baseline.as_ref()?)))
    {
        let name = Value::Text(name.clone());
        let replicates = Value::Integer(baseline.replicates as i64);
        if baseline.curves.is_empty() {
            let mut row = vec![Value::Missing; DRIFT_COLUMNS.len()];
            (row[0], row[4]) = (name, replicates);
            table.rows.push(row);
            continue;
        }
        for curve in &baseline.curves {
            for (generation, (sampling, decoding)) in curve.sampling.iter().zip(&curve.decoding).enumerate() {
                table.rows.push(vec![
                    name.clone(),
                    Value::Text(curve.arm.clone()),
                    Value::Text(curve.metric.clone()),
                    Value::Integer(generation as i64),
                    replicates.clone(),
                    Value::Real(sampling.mean),
                    Value::Real(sampling.std_err),
                    Value::Real(decoding.mean),
                    Value::Real(decoding.std_err),
                ]);
            }
        }
    }
    table
}

/// Reads the baselines in the file at `path`, by experiment.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Baseline>, StoreError> {
    let content = |reason: &str| StoreError::Table { path: path.to_owned(), reason: reason.to_owned() };
    let mut baselines: BTreeMap<String, Baseline> = BTreeMap::new();
    for row in read_table(path, &DRIFT_COLUMNS)?.rows {
        let [Value::Text(experiment), arm, metric, _, Value::Integer(replicates), numbers @ ..] = &row[..]
        else {
            return Err(content("a row has no experiment or no number of replicates"));
        };
        let baseline = baselines.entry(experiment.clone()).or_default();
        baseline.replicates = *replicates as usize;
        let (Value::Text(arm), Value::Text(metric)) = (arm, metric) else { continue };
        let [
            Value::Real(sampling),
            Value::Real(sampling_error),
            Value::Real(decoding),
            Value::Real(decoding_error),
        ] = *numbers
        else {
            return Err(content("a mean or a standard error is missing"));
        };
        if baseline.curves.last().is_none_or(|last| last.arm != *arm || last.metric != *metric) {
            let (arm, metric) = (arm.clone(), metric.clone());
            baseline.curves.push(DriftCurve { arm, metric, sampling: Vec::new(), decoding: Vec::new() });
        }
        let Some(curve) = baseline.curves.last_mut() else { continue };
        curve.sampling.push(ReplicateMean { mean: sampling, std_err: sampling_error });
        curve.decoding.push(ReplicateMean { mean: decoding, std_err: decoding_error });
    }
    Ok(baselines)
}
