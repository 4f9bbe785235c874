//! Runs many experiments together: what they have in common is computed once, and several can run in parallel.
//!
//! Experiments that read the same natural text are prepared together, with one tokenizer, so that their measurements
//! can be compared. [`PreparedSweep::run`] divides the work into [`UnitGroup`]s: one seed of all experiments that train
//! the same model on the same number of tokens. Generation 0 is a group of its own, and the later generations are another.
//! Two experiments can only have generations in common (see [`crate::lineage::LineageInputs`]) within one group, and a
//! group makes one lineage after the other, so that each finds what the earlier ones have committed. First all groups of
//! generation 0 run, then the others; within either phase groups are independent and may run side by side, each on its
//! share of the threads. Small models run faster that way, because one of their steps is too little work for several
//! threads. No result depends on the number of groups that run side by side.
//!
//! [`PreparedSweep::save`] records experiments and text, so that any number of processes can work on them with
//! [`PreparedSweep::work`], each on one unit at a time.
//!
//! `tests/it/sweep.rs` prepares and runs small sweeps.

mod execute;
mod observer;
mod plan;
mod pools;
mod recorded;
mod work;

pub use plan::PlannedGeneration;
pub use pools::ThreadPools;
pub use recorded::RecordedRuns;
pub use work::{WorkReport, WorkSettings};

use crate::config::Experiment;
use crate::corpus::CorpusSettings;
use crate::lineage::{self, KeptTexts, PreparedText, RunError};
use crate::store::{Provenance, Store};
use crate::tokenizer::TokenizerSettings;
use crate::units::Tokens;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::Table;

/// Experiments, each with its natural text.
pub struct PreparedSweep<'a> {
    experiments: &'a [Experiment],
    texts: Vec<PreparedText>,
    /// For each experiment, the index of its text.
    text_of: Vec<usize>,
}

/// One phase of one seed of experiments that train the same model. A thread pool works on one unit at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitGroup {
    /// Which generations it makes.
    pub phase: SweepPhase,
    /// The seed.
    pub seed: u64,
    /// Indices of its experiments, ascending.
    pub experiments: Vec<usize>,
}

/// Which generations a unit group makes. All groups of the first phase run before those of the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SweepPhase {
    /// Generation 0.
    First,
    /// Generations from 1 on.
    Later,
}

/// Reads the natural text of every experiment, once for all that read the same. Writes nothing.
///
/// # Errors
/// If text cannot be read or is too little, or if a setting does not fit it.
pub fn prepare(experiments: &[Experiment]) -> Result<PreparedSweep<'_>, RunError> {
    prepare_by(experiments, &|members| lineage::prepare_together(members))
}

/// As [`prepare`], with text that is [kept](KeptTexts) for later commands.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_kept<'a>(
    experiments: &'a [Experiment],
    kept: &KeptTexts,
) -> Result<PreparedSweep<'a>, RunError> {
    prepare_by(experiments, &|members| kept.prepare_together(members))
}

fn prepare_by<'a>(
    experiments: &'a [Experiment],
    prepare_together: &dyn Fn(&[&Experiment]) -> Result<PreparedText, RunError>,
) -> Result<PreparedSweep<'a>, RunError> {
    let keys: Vec<(CorpusSettings, &TokenizerSettings)> = experiments.iter().map(text_key).collect();
    let (groups, text_of) = grouped(&keys);
    let text = |group: &Vec<usize>| {
        let members: Vec<&Experiment> = group.iter().map(|&index| &experiments[index]).collect();
        prepare_together(&members)
    };
    Ok(PreparedSweep { experiments, texts: groups.iter().map(text).collect::<Result<_, _>>()?, text_of })
}

/// Equal for experiments with the same natural text and tokenizer, even if they train on different numbers of tokens, or
/// read different numbers of them again.
fn text_key(experiment: &Experiment) -> (CorpusSettings, &TokenizerSettings) {
    (experiment.corpus.of_text(), &experiment.tokenizer)
}

/// Groups the indices of equal keys. Returns the groups, in the order of their first members, and the group of each
/// index.
fn grouped<K: PartialEq>(keys: &[K]) -> (Vec<Vec<usize>>, Vec<usize>) {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let found = groups.iter().position(|group| keys[group[0]] == *key);
        let group = found.unwrap_or_else(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(index);
        group_of.push(group);
    }
    (groups, group_of)
}

/// The folder of an experiment's store in a sweep at `root`.
#[must_use]
pub fn folder(root: &Path, experiment: &Experiment) -> PathBuf {
    root.join(&experiment.name)
}

impl<'a> PreparedSweep<'a> {
    /// The experiments.
    #[must_use]
    pub fn experiments(&self) -> &'a [Experiment] {
        self.experiments
    }

    /// The natural text of the experiment with this index.
    #[must_use]
    pub fn text(&self, experiment: usize) -> &PreparedText {
        &self.texts[self.text_of[experiment]]
    }

    /// All unit groups: those of generation 0, then those of later generations, in the order of the experiments.
    #[must_use]
    pub fn groups(&self) -> Vec<UnitGroup> {
        [SweepPhase::First, SweepPhase::Later].into_iter().flat_map(|phase| self.groups_of(phase)).collect()
    }

    fn groups_of(&self, phase: SweepPhase) -> Vec<UnitGroup> {
        let keys: Vec<_> = (0..self.experiments.len()).map(|index| self.training_key(phase, index)).collect();
        let mut groups: Vec<UnitGroup> = Vec::new();
        for group in grouped(&keys).0 {
            let seeds: BTreeSet<u64> =
                group.iter().flat_map(|&index| self.experiments[index].seeds.iter().copied()).collect();
            groups.extend(seeds.into_iter().map(|seed| {
                let has_seed = |index: &usize| self.experiments[*index].seeds.contains(&seed);
                UnitGroup { phase, seed, experiments: group.iter().copied().filter(has_seed).collect() }
            }));
        }
        groups
    }

    /// Equal for experiments that train the same model on the same number of tokens of the same text. (Single arms may
    /// differ.)
    fn training_key(&self, phase: SweepPhase, index: usize) -> (usize, [Tokens; 2], [Table; 2]) {
        let experiment = &self.experiments[index];
        let (model, training) = match (&experiment.writer, phase) {
            (Some(writer), SweepPhase::First) => (&writer.model, &writer.training),
            (Some(_), SweepPhase::Later) | (None, _) => (&experiment.model, &experiment.training),
        };
        let settings = lineage::training_settings(model, training);
        let corpus = &experiment.corpus;
        (self.text_of[index], [corpus.train_tokens, corpus.distinct_train_tokens()], settings)
    }

    /// Checks that every store below `root` can be opened for its experiment: see [`Store::check`]. Writes nothing.
    ///
    /// # Errors
    /// If a store belongs to another or a changed experiment.
    pub fn check(&self, root: &Path, provenance: &Provenance) -> Result<(), RunError> {
        self.experiments.iter().enumerate().try_for_each(|(index, experiment)| {
            let provenance = self.text(index).provenance(experiment, provenance.clone());
            let checked = Store::check(&folder(root, experiment), experiment, &provenance);
            checked.map_err(|error| RunError::from(error).of(experiment))
        })
    }
}
