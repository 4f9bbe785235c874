//! Runs as a file store of MLflow: no account, no server, no database.
//!
//! ```text
//! MLRUNS/<experiment id>/meta.yaml
//! MLRUNS/<experiment id>/<run id>/meta.yaml          a lineage
//!   params/mixture.natural_fraction  …               settings of the arm, as text
//!   tags/verdict  tags/mlflow.note.content  …        the verdict and its reason
//!   metrics/tail/tail_coverage  …                    a line per generation: time in ms, value, step
//!   metrics/training_loss/generation_003             a line per point of the loss curve
//!   artifacts/experiment.toml
//! ```
//!
//! MLflow 3 keeps the file store for reading: `mlflow migrate-filestore --source MLRUNS --target sqlite:///mlflow.db` copies
//! it into a database, whose schema changes with MLflow's version. Ids are hashes of names, so that an export
//! repeats itself.

use super::{InteropError, card, series};
use crate::config::Arm;
use crate::store::{self, Address, LineageRecord, RunRecord};
use crate::terminal::on_one_line;
use crate::verdict::ArmComparison;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use toml::{Table, Value};

/// MLflow's limit on the value of a parameter, in characters.
const LONGEST_VALUE: usize = 6000;

/// An experiment, the folder that it was read from, and the verdicts on its arms.
pub type Exported<'a> = (&'a Path, RunRecord, Vec<ArmComparison>);

/// Writes experiments into `out`, a new folder, completely or not at all.
///
/// # Errors
/// If the disk fails.
pub fn export(all: &[Exported], out: &Path) -> Result<(), InteropError> {
    // Artifacts are found by absolute paths.
    let absolute = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    store::write_folder(out, |aside| {
        for (folder, recorded, comparisons) in all {
            let id = experiment_id(&recorded.experiment.name);
            let experiment = ExperimentFolder {
                source: folder,
                recorded,
                comparisons,
                aside: &aside.join(&id),
                uri: format!("{}/{id}", file_uri(&absolute)),
                id,
            };
            experiment.write()?;
        }
        Ok(())
    })
}

/// Eighteen digits.
fn experiment_id(name: &str) -> String {
    let hash = blake3::hash(name.as_bytes());
    let first = hash.as_bytes()[..8].iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    format!("{:018}", first % 900_000_000_000_000_000 + 100_000_000_000_000_000)
}

/// Thirty-two hexadecimal digits.
fn run_id(experiment: &str, name: &str) -> String {
    blake3::hash(format!("{experiment}/{name}").as_bytes()).to_hex()[..32].to_owned()
}

/// `file:///…`, with everything but letters, digits and `-_.~/` in percent encoding.
fn file_uri(path: &Path) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(byte);
    let encoded =
        |byte: &u8| if is_plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    let path: String = path.to_string_lossy().as_bytes().iter().map(encoded).collect();
    format!("file://{path}")
}

struct ExperimentFolder<'a> {
    source: &'a Path,
    recorded: &'a RunRecord,
    comparisons: &'a [ArmComparison],
    aside: &'a Path,
    uri: String,
    id: String,
}

impl ExperimentFolder<'_> {
    fn write(&self) -> Result<(), InteropError> {
        let mut created = u64::MAX;
        for lineage in self.recorded.lineages.iter().filter(|lineage| !lineage.generations.is_empty()) {
            let arm = self.recorded.experiment.arms.iter().find(|arm| arm.name == lineage.arm);
            if let Some(arm) = arm {
                created = created.min(self.write_run(arm, lineage)?);
            }
        }
        let meta = format!(
            "artifact_location: {}\ncreation_time: {created}\nexperiment_id: {}\nlast_update_time: {created}\n\
             lifecycle_stage: active\nname: {}\n",
            card::quoted(&self.uri),
            card::quoted(&self.id),
            card::quoted(&self.recorded.experiment.name)
        );
        self.file("meta.yaml", &meta)
    }

    fn file(&self, name: &str, text: &str) -> Result<(), InteropError> {
        Ok(store::write_derived(&self.aside.join(name), text.as_bytes())?)
    }

    /// Writes a lineage; returns when it began, in milliseconds since 1970.
    fn write_run(&self, arm: &Arm, lineage: &LineageRecord) -> Result<u64, InteropError> {
        let name = format!("{}, seed {}", arm.name, lineage.seed);
        let id = run_id(&self.recorded.experiment.name, &name);
        let times = self.times(arm, lineage)?;
        let (first, last) = (times[0], times[times.len() - 1]);
        let is_finished = times.len() > self.recorded.experiment.generations;
        let meta = format!(
            "artifact_uri: {}\nend_time: {last}\nentry_point_name: ''\nexperiment_id: {}\nlifecycle_stage: active\n\
             run_id: {id}\nrun_name: {}\nsource_name: ''\nsource_type: 4\nsource_version: ''\nstart_time: {first}\n\
             status: {}\ntags: []\nuser_id: genloss\n",
            card::quoted(&format!("{}/{id}/artifacts", self.uri)),
            card::quoted(&self.id),
            card::quoted(&name),
            if is_finished { FINISHED } else { RUNNING },
        );
        self.file(&format!("{id}/meta.yaml"), &meta)?;
        for (key, value) in settings(arm) {
            self.file(&format!("{id}/params/{key}"), &value)?;
        }
        for (key, value) in self.tags(arm, lineage, &name) {
            self.file(&format!("{id}/tags/{key}"), &value)?;
        }
        for (key, lines) in metrics(lineage, &times) {
            self.file(&format!("{id}/metrics/{key}"), &lines)?;
        }
        self.file(&format!("{id}/artifacts/experiment.toml"), &self.recorded.experiment_toml)?;
        Ok(first)
    }

    /// When each generation was committed, in milliseconds since 1970; now for a study, which does not say so.
    fn times(&self, arm: &Arm, lineage: &LineageRecord) -> Result<Vec<u64>, InteropError> {
        let experiment = &self.recorded.experiment;
        let time = |generation: usize| {
            let address = Address::of(experiment, lineage.seed, arm, generation);
            let at = match store::is_study(self.source) {
                true => SystemTime::now(),
                false => store::committed_at(self.source, address)?,
            };
            Ok(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64)
        };
        (0..lineage.generations.len()).map(time).collect()
    }

    fn tags(&self, arm: &Arm, lineage: &LineageRecord, name: &str) -> Vec<(&'static str, String)> {
        let mut tags = vec![
            ("mlflow.runName", name.to_owned()),
            ("arm", arm.name.clone()),
            ("seed", lineage.seed.to_string()),
            ("genloss.version", self.recorded.provenance.version.clone()),
        ];
        if let Some(one) = self.comparisons.iter().find(|one| one.arm == arm.name) {
            tags.push(("verdict", one.verdict.word().to_owned()));
            tags.push(("mlflow.note.content", card::plain(&one.explanation)));
        }
        tags
    }
}

/// MLflow's numbers of these states.
const RUNNING: u32 = 1;
const FINISHED: u32 = 3;

/// The settings of an arm as parameters: `training.learning_rate`.
fn settings(arm: &Arm) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    flatten("", &arm.settings(), &mut all);
    all
}

fn flatten(prefix: &str, table: &Table, all: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, all),
            Value::String(text) => {
                all.insert(format!("{prefix}{key}"), parameter(text));
            }
            other => {
                all.insert(format!("{prefix}{key}"), parameter(&other.to_string()));
            }
        }
    }
}

/// A value of a parameter: one line, not too long.
fn parameter(text: &str) -> String {
    on_one_line(text).chars().take(LONGEST_VALUE).collect()
}

/// The lines of every metric, by its name.
fn metrics(lineage: &LineageRecord, times: &[u64]) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (generation, (record, time)) in lineage.generations.iter().zip(times).enumerate() {
        let measured = series::measurements(record).into_iter();
        let measured = measured.map(|one| (one.tag, generation as u64, one.value));
        let losses = series::loss_curve(&record.training).into_iter();
        let losses = losses.map(|(step, loss)| (series::loss_tag(generation), step, loss));
        for (tag, step, value) in measured.chain(losses) {
            *all.entry(tag).or_default() += &format!("{time} {value:?} {step}\n");
        }
    }
    all
}
