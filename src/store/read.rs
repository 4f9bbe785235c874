//! Reading the records of a run: needs no lock, no weights, and no finished run.

use super::manifest::Manifest;
use super::{
    Address, DRIFT, EXPERIMENT, GenerationRecord, LineageRecord, MEASUREMENTS, ORIGIN, Origin, PROVENANCE,
    Provenance, RunRecord, StoreError, content, disk, name_order, study,
};
use crate::baseline::Baseline;
use crate::config::{Arm, Experiment, Registry};
use std::path::{Path, PathBuf};

/// Synthetic documents of one generation, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The name of the experiment.
    pub experiment: String,
    /// The seed.
    pub seed: u64,
    /// The arm.
    pub arm: String,
    /// The generation.
    pub generation: usize,
    /// The first documents of its corpus, as text.
    pub documents: Vec<String>,
}

/// The records of the run at `root`, which need not be finished. Each record is compared with its hash; models and
/// synthetic text are not read.
///
/// # Errors
/// If there is no experiment, or if a file cannot be read or was changed after it was written.
pub fn read(root: &Path) -> Result<RunRecord, StoreError> {
    read_with(root, &Registry::builtin())
}

/// As [`read`], for a run whose experiment file chooses from the models, methods and rules of `registry`.
///
/// # Errors
/// As [`read`].
pub fn read_with(root: &Path, registry: &Registry) -> Result<RunRecord, StoreError> {
    let (experiment, experiment_toml) = recorded_experiment(root, registry)?;
    let provenance = provenance(root)?;
    if disk::has_hash(&root.join(PROVENANCE))? && !disk::is_sealed(&root.join(EXPERIMENT))? {
        return Err(StoreError::HashMissing { path: root.join(EXPERIMENT) });
    }
    let mut lineages = Vec::new();
    for &seed in &experiment.seeds {
        for arm in &experiment.arms {
            let (generations, origins) = generations(root, &experiment, seed, arm)?;
            lineages.push(LineageRecord { seed, arm: arm.name.clone(), generations, origins });
        }
    }
    Ok(RunRecord {
        baseline: baseline(root, &experiment)?,
        experiment,
        experiment_toml,
        provenance,
        lineages,
    })
}

/// The experiment on record in the run at `root`.
///
/// # Errors
/// If there is no experiment, or if its file cannot be read or was changed after it was written.
pub fn experiment(root: &Path) -> Result<Experiment, StoreError> {
    Ok(recorded_experiment(root, &Registry::builtin())?.0)
}

/// The experiment on record, and its file as text.
fn recorded_experiment(root: &Path, registry: &Registry) -> Result<(Experiment, String), StoreError> {
    let path = root.join(EXPERIMENT);
    if !path.exists() {
        if let Some(example) =
            folders_below(root, |below| is_store(below) || study::is_study(below)).into_iter().next()
        {
            return Err(StoreError::Sweep { root: root.to_owned(), example });
        }
        return Err(StoreError::NoExperiment { root: root.to_owned(), file: EXPERIMENT });
    }
    let experiment_toml = disk::read_sealed(&path)?;
    let experiment = registry
        .parse_recorded(&experiment_toml, EXPERIMENT)
        .map_err(|source| StoreError::Experiment { path, source: Box::new(source) })?;
    Ok((experiment, experiment_toml))
}

/// The provenance of the run at `root`.
pub(super) fn provenance(root: &Path) -> Result<Provenance, StoreError> {
    let path = root.join(PROVENANCE);
    if !path.exists() && !path.is_symlink() {
        return Err(StoreError::Missing {
            path,
            content: "the program, machine and text of this run",
            remedy: "restore it from a copy, or run into another --out",
        });
    }
    disk::read_record(&path)
}

/// Reads the experiments of `folder`: that of a run, or all of a study.
///
/// # Errors
/// As [`read`] and [`super::read_study`].
pub fn read_all(folder: &Path) -> Result<Vec<RunRecord>, StoreError> {
    if study::is_study(folder) { study::read_study(folder) } else { Ok(vec![read(folder)?]) }
}

/// The folders of runs directly below a folder, such as that of a sweep, in the order of their names, numbers in them by size.
#[must_use]
pub fn stores_below(folder: &Path) -> Vec<PathBuf> {
    folders_below(folder, is_store)
}

/// The folders directly in `folder` that are asked for, in the order of their names, numbers in them by size.
fn folders_below(folder: &Path, is_asked_for: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| is_asked_for(path)).collect();
    found.sort_by_cached_key(|path| name_order::key(&path.to_string_lossy()));
    found
}

/// Returns true if `root` is the folder of a run.
#[must_use]
pub fn is_store(root: &Path) -> bool {
    root.join(EXPERIMENT).exists()
}

/// Returns true if `root` is a finished run of this experiment, unchanged, with its baseline. Does not verify the
/// generations.
#[must_use]
pub fn is_finished(root: &Path, experiment: &Experiment) -> bool {
    let is_unchanged =
        disk::read_sealed(&root.join(EXPERIMENT)).is_ok_and(|text| text == experiment.to_toml());
    is_unchanged && is_complete(root, experiment)
}

/// Returns true if `root` has every generation of `experiment` and its baseline.
pub(super) fn is_complete(root: &Path, experiment: &Experiment) -> bool {
    let has_lineage = |seed: u64, arm: &Arm| {
        (0..=experiment.generations).all(|g| Address::of(experiment, seed, arm, g).exists_in(root))
    };
    let has_seed = |&seed: &u64| experiment.arms.iter().all(|arm| has_lineage(seed, arm));
    let has_baseline = || baseline(root, experiment).is_ok_and(|baseline| baseline.is_some());
    experiment.seeds.iter().all(has_seed) && has_baseline()
}

/// The baseline on record; `None` if there is none, or if it was computed for other settings.
pub(super) fn baseline(root: &Path, experiment: &Experiment) -> Result<Option<Baseline>, StoreError> {
    let path = root.join(DRIFT);
    // A link that leads nowhere is damage, too.
    if !path.exists() && !path.is_symlink() {
        return Ok(None);
    }
    match disk::read_record::<Baseline>(&path) {
        Ok(found) => Ok(Some(found).filter(|found| found.fits(experiment))),
        Err(error @ StoreError::NewerSchema { .. }) => Err(error),
        Err(error) => Err(StoreError::Baseline { path, reason: error.reason() }),
    }
}

/// The first `most` synthetic documents of every generation whose corpus is on record. Each corpus is compared with its
/// hash. (Published runs may lack their corpora.)
///
/// # Errors
/// If a corpus cannot be read or was changed after it was written.
pub fn samples(root: &Path, recorded: &RunRecord, most: usize) -> Result<Vec<Sample>, StoreError> {
    let mut samples = Vec::new();
    for lineage in &recorded.lineages {
        let Some(arm) = recorded.experiment.arms.iter().find(|arm| arm.name == lineage.arm) else { continue };
        for generation in 0..lineage.generations.len() {
            samples.extend(sample(root, &recorded.experiment, lineage.seed, arm, generation, most)?);
        }
    }
    Ok(samples)
}

/// The first `most` synthetic documents of one generation; `None` if its corpus is not on record.
pub(super) fn sample(
    root: &Path,
    experiment: &Experiment,
    seed: u64,
    arm: &Arm,
    generation: usize,
    most: usize,
) -> Result<Option<Sample>, StoreError> {
    let address = Address::of(experiment, seed, arm, generation);
    let documents = content::read_documents(root, address, most)?;
    Ok(documents.map(|documents| Sample {
        experiment: experiment.name.clone(),
        seed,
        arm: arm.name.clone(),
        generation,
        documents,
    }))
}

fn generations(
    root: &Path,
    experiment: &Experiment,
    seed: u64,
    arm: &Arm,
) -> Result<(Vec<GenerationRecord>, Vec<Option<Origin>>), StoreError> {
    (0..=experiment.generations)
        .map(|generation| Address::of(experiment, seed, arm, generation))
        .take_while(|address| address.exists_in(root))
        .map(|address| record(root, address))
        .collect()
}

/// The record of a committed generation of the run at `root`.
///
/// # Errors
/// If it cannot be read, or was changed after it was written.
pub fn read_generation(root: &Path, address: Address) -> Result<GenerationRecord, StoreError> {
    Ok(record(root, address)?.0)
}

/// The records of a committed generation, compared with their hashes. Generations of earlier versions have no origin.
pub(super) fn record(
    root: &Path,
    address: Address,
) -> Result<(GenerationRecord, Option<Origin>), StoreError> {
    let folder = address.folder(root);
    Manifest::read(&folder, address)?.check(&folder, MEASUREMENTS)?;
    let origin = folder.join(ORIGIN);
    let origin = origin.exists().then(|| disk::read_record(&origin)).transpose();
    let origin = origin.map_err(|error| match error {
        StoreError::Json { path, source } => StoreError::Origin { path, source },
        other => other,
    })?;
    Ok((disk::read_record(&folder.join(MEASUREMENTS))?, origin))
}
