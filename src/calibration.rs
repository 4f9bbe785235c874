//! How often is the verdict wrong? An experiment run with many seeds, and judged again and again on a few of them.
//!
//! An arm with the settings of the control differs from it by chance alone: every call on it is false, and the truth that
//! intervals should cover is 0. All such arms are held against each other ([`Contrast`]). An arm whose effect is plain
//! should be called; and since the mean over all seeds is known far better than a few seeds tell, it stands for the truth.
//!
//! Seeds are dealt into experiments of S seeds without repetition, in as many rounds as it takes to make the
//! comparisons that were asked for, but never more than there are different ones; each round shuffles anew. Within a
//! round no two experiments share a seed; between rounds they may, so that comparisons beyond N/S are not independent of
//! the earlier ones. Arms that are alike are paired off at random in each round, and every pair counts as a seed of its
//! own: what differs between the two is chance, in the same way whichever seed they belong to.

mod deal;
mod rates;

pub use deal::Contrast;
pub use rates::{ArmRates, Share, rates};

use crate::config::Experiment;
use crate::lineage::{self, PreparedText, RunContext, RunError};
use crate::progress::Silent;
use crate::stage::Stage;
use crate::store::{self, StoreError};
use crate::verdict::Observation;
use rayon::prelude::*;
use std::ops::Range;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// A lineage failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What a lineage left could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no room for a run.
    #[error("temporary folder: {0}; set TMPDIR to a folder with room")]
    Folder(#[from] std::io::Error),
}

/// Runs an experiment with each of `seeds`, side by side, and gives what was observed, seed by seed. Nothing is kept on
/// disk. `stage` is told of each seed that is done.
///
/// # Errors
/// When a lineage fails, the disk does, or the user asks to stop.
pub fn observe(
    experiment: &Experiment,
    prepared: &PreparedText,
    seeds: Range<u64>,
    context: &RunContext,
    stage: &Stage,
) -> Result<Vec<Vec<Observation>>, CalibrationError> {
    stage.begin(seeds.end.saturating_sub(seeds.start), "seeds");
    let seeds: Vec<u64> = seeds.collect();
    let one = |&seed: &u64| {
        let observed = observe_seed(experiment, prepared, seed, context);
        stage.advance(1);
        observed
    };
    let observed = seeds.par_iter().map(one).collect();
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
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("run");
    let provenance = context.provenance.clone();
    lineage::run(&experiment, prepared, &root, &RunContext { observer: &Silent, provenance, ..*context })?;
    Ok(store::read(&root)?.observations())
}
