//! How often is the verdict wrong? An experiment is run with many seeds and then judged repeatedly on a few seeds at a
//! time.
//!
//! An arm with the settings of the control differs from it only by chance: every call of such an arm is false, and the
//! true effect that intervals should cover is 0. All such arms are compared with one another ([`Contrast::Alike`]). An
//! arm with a real effect should be called. Its mean effect over all seeds serves as the true effect, because it is far
//! more precise than the mean over a few seeds.
//!
//! The N seeds are partitioned at random into experiments of S seeds each. They are shuffled and partitioned again
//! until the requested number of comparisons is reached. There are fewer comparisons if it is not certain that enough
//! different experiments exist. Experiments of one partition share no seed, but experiments of different partitions
//! may, so only the first N/S comparisons are independent of each other. Arms that are alike are paired at random in
//! each partition, and every pair counts as a seed: the arms of a pair differ only by chance, and the distribution of
//! that difference is the same for every seed.
//!
//! The command `genloss calibrate` runs this on an experiment file. In code:
//!
//! ```
//! use genloss::calibration::{Contrast, Proportion};
//! use genloss::config;
//!
//! let file = r#"
//! name = "aa"
//! seeds = [1]
//! generations = 1
//! corpus = { source = "world", train_tokens = 1000, heldout_tokens = 100, reference_tokens = 100 }
//! tokenizer = { vocab_size = 300 }
//! model = { kind = "ngram", order = 2 }
//! [[arm]]
//! name = "control-again"
//! mixture = "control"
//! [[arm]]
//! name = "replace"
//! mixture = "replace"
//! "#;
//! let contrasts = Contrast::all(&config::parse(file, "aa.toml", &[])?);
//! assert_eq!(contrasts[0], Contrast::Alike(vec!["control".to_owned(), "control-again".to_owned()]));
//! assert_eq!(contrasts[1], Contrast::Effect("replace".to_owned()));
//! // No false call in 300 comparisons is compatible with a rate of up to 1 % (rule of three).
//! let called = Proportion { count: 0, of: 300 };
//! assert!((called.upper_bound() - 0.01).abs() < 1e-4);
//! # Ok::<(), config::ConfigError>(())
//! ```

mod folds;
mod rates;

pub use folds::Contrast;
pub use rates::{ArmRates, Proportion, rates};

use crate::config::Experiment;
use crate::lineage::{self, PreparedText, RunContext, RunError};
use crate::progress::Silent;
use crate::stage::Stage;
use crate::store::{self, StoreError};
use crate::verdict::Observation;
use rayon::prelude::*;
use std::ops::Range;

/// Why the seeds of a calibration could not be run.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// A lineage failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The results of a lineage could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No temporary folder for a run could be created.
    #[error("cannot create a temporary folder; set TMPDIR to a folder on a disk with free space")]
    Folder(#[source] std::io::Error),
}

/// Runs an experiment with each of `seeds`, in parallel, and returns the observations of each seed, in order. Runs are
/// kept in temporary folders and deleted afterwards. `stage` reports progress in seeds.
///
/// # Errors
/// If a lineage fails, a temporary folder cannot be written, or the user interrupts.
pub fn observe(
    experiment: &Experiment,
    prepared: &PreparedText,
    seeds: Range<u64>,
    context: &RunContext,
    stage: &Stage,
) -> Result<Vec<Vec<Observation>>, CalibrationError> {
    stage.begin(seeds.end.saturating_sub(seeds.start), "seeds");
    let seeds: Vec<u64> = seeds.collect();
    let observe_and_report = |&seed: &u64| {
        let observed = observe_seed(experiment, prepared, seed, context);
        stage.advance(1);
        observed
    };
    let observed = seeds.par_iter().map(observe_and_report).collect();
    stage.end();
    observed
}

fn observe_seed(
    experiment: &Experiment,
    prepared: &PreparedText,
    seed: u64,
    context: &RunContext,
) -> Result<Vec<Observation>, CalibrationError> {
    let experiment = Experiment { seeds: vec![seed], ..experiment.clone() };
    let folder = tempfile::tempdir().map_err(CalibrationError::Folder)?;
    let root = folder.path().join("run");
    let provenance = context.provenance.clone();
    lineage::run(&experiment, prepared, &root, &RunContext { observer: &Silent, provenance, ..*context })?;
    Ok(store::read(&root)?.observations())
}
