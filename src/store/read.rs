//! Reading what is on record: needs no lock, no weights, and no finished run.

use super::{
    Address, DRIFT, EXPERIMENT, GenerationRecord, LineageRecord, MEASUREMENTS, PROVENANCE, RunRecord,
    SYNTHETIC, StoreError, disk, synthetic,
};
use crate::baseline::Baseline;
use crate::config::{self, Arm, Experiment};
use std::path::Path;

/// Synthetic documents of one generation, to be read by people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The experiment.
    pub experiment: String,
    /// The seed.
    pub seed: u64,
    /// The arm.
    pub arm: String,
    /// The generation.
    pub generation: usize,
    /// The first documents of its corpus.
    pub documents: Vec<String>,
}

/// Everything on record below `root`, as far as it stands.
///
/// # Errors
/// When there is no experiment, or a file is not what it should be.
pub fn read(root: &Path) -> Result<RunRecord, StoreError> {
    let path = root.join(EXPERIMENT);
    if !path.exists() {
        return Err(StoreError::NoExperiment { root: root.to_owned(), file: EXPERIMENT });
    }
    let experiment_toml = disk::read_text(&path)?;
    let experiment = config::parse(&experiment_toml, EXPERIMENT, &[])
        .map_err(|error| StoreError::Content { path, reason: error.to_string() })?;
    let mut lineages = Vec::new();
    for &seed in &experiment.seeds {
        for arm in &experiment.arms {
            let generations = standing(root, &experiment, seed, arm)?;
            lineages.push(LineageRecord { seed, arm: arm.name.clone(), generations });
        }
    }
    Ok(RunRecord {
        baseline: baseline(root, &experiment),
        experiment,
        experiment_toml,
        provenance: disk::read_json(&root.join(PROVENANCE))?,
        lineages,
    })
}

/// Whether `root` holds a run.
#[must_use]
pub fn is_store(root: &Path) -> bool {
    root.join(EXPERIMENT).exists()
}

/// Whether `root` holds all of this very experiment. Nobody looks whether its generations are whole.
#[must_use]
pub fn is_finished(root: &Path, experiment: &Experiment) -> bool {
    let is_it = disk::read_text(&root.join(EXPERIMENT)).is_ok_and(|text| text == experiment.to_toml());
    let stands = |seed: u64, arm: &Arm| {
        (0..=experiment.generations).all(|g| Address::of(experiment, seed, arm, g).exists_in(root))
    };
    let all_stands = experiment.seeds.iter().all(|&seed| experiment.arms.iter().all(|arm| stands(seed, arm)));
    is_it && all_stands && baseline(root, experiment).is_some()
}

/// What drift alone would have done, as far as that can be read. It can be made anew at any time, so that a file that is
/// damaged or of another experiment is as good as none.
pub(super) fn baseline(root: &Path, experiment: &Experiment) -> Option<Baseline> {
    let found: Option<Baseline> = disk::read_json(&root.join(DRIFT)).ok();
    found.filter(|found| found.fits(experiment))
}

/// The first `most` synthetic documents of every generation on record whose corpus is kept in this copy.
///
/// # Errors
/// When a corpus cannot be read.
pub fn samples(root: &Path, recorded: &RunRecord, most: usize) -> Result<Vec<Sample>, StoreError> {
    let mut samples = Vec::new();
    for lineage in &recorded.lineages {
        let Some(arm) = recorded.experiment.arms.iter().find(|arm| arm.name == lineage.arm) else { continue };
        for generation in 0..lineage.generations.len() {
            let folder = Address::of(&recorded.experiment, lineage.seed, arm, generation).folder(root);
            let path = folder.join(SYNTHETIC);
            if path.exists() {
                samples.push(Sample {
                    experiment: recorded.experiment.name.clone(),
                    seed: lineage.seed,
                    arm: lineage.arm.clone(),
                    generation,
                    documents: synthetic::read_texts(&path, most)?,
                });
            }
        }
    }
    Ok(samples)
}

fn standing(
    root: &Path,
    experiment: &Experiment,
    seed: u64,
    arm: &Arm,
) -> Result<Vec<GenerationRecord>, StoreError> {
    (0..=experiment.generations)
        .map(|generation| Address::of(experiment, seed, arm, generation).folder(root).join(MEASUREMENTS))
        .take_while(|path| path.exists())
        .map(|path| disk::read_json(&path))
        .collect()
}
