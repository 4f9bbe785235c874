//! What was made already is not made again.
//!
//! A model follows from its shape, its training, the text, and its random streams, which are named by seed, arm and
//! generation; in generation 0 by no arm. So lineages of one seed that train alike, and that were trained on the same
//! texts so far, have the same models to the bit, whatever they write with them: generation 0 in arms that write
//! differently, and every generation of the controls of experiments that differ in nothing but how they write. Where
//! they write alike besides, as much and on the same streams, the whole generation is the same: generation 0 in
//! experiments that have a writer in common.

use super::generation::{GenerationRunner, tokens_written};
use super::{Run, RunError};
use crate::config::{Arm, Experiment};
use crate::store::Address;
use crate::training::TrainingRecord;
use std::borrow::Cow;
use std::path::PathBuf;

/// A generation that has something in common with one to be made.
pub(super) enum Twin {
    /// Everything; its folder.
    Generation(PathBuf),
    /// The model alone.
    Model { model_dir: PathBuf, training: TrainingRecord },
}

/// An arm of an experiment.
#[derive(Clone, Copy)]
pub struct ArmOf<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// One of its arms.
    pub arm: &'a Arm,
}

impl ArmOf<'_> {
    /// Whether both have the same model at `generation`, if they have trained on the same texts up to it.
    #[must_use]
    pub fn trains_alike(self, other: Self, generation: usize) -> bool {
        // From generation 1 on an arm trains in one way.
        let trains_alike = |generation| {
            let (one, other) = (self.at(generation), other.at(generation));
            one.model == other.model && one.training == other.training
        };
        trains_alike(0) && trains_alike(generation) && (generation == 0 || self.arm.name == other.arm.name)
    }

    /// Whether both write and measure the same at `generation`, if they have the same models up to it.
    #[must_use]
    pub fn writes_alike(self, other: Self, generation: usize) -> bool {
        let written = |kind: Self, generation| tokens_written(kind.experiment, kind.arm, generation);
        let writes_alike = |generation| {
            self.at(generation).synthesis == other.at(generation).synthesis
                && written(self, generation) == written(other, generation)
        };
        // What was written before is in the texts that both have trained on, unless it is written from besides.
        let first = if self.arm.synthesis.reads_previous() { 0 } else { generation };
        let streams_of = |kind: Self| (kind.experiment.shares_generation_0(kind.arm), &kind.arm.name);
        let (own, others) = (streams_of(self), streams_of(other));
        let on_same_streams = if generation == 0 && own.0 { others.0 } else { own == others };
        on_same_streams
            && (first..=generation).all(writes_alike)
            && self.experiment.measured_tokens == other.experiment.measured_tokens
            && self.experiment.corpus.train_tokens == other.experiment.corpus.train_tokens
    }

    fn at(&self, generation: usize) -> Cow<'_, Arm> {
        self.experiment.at(self.arm, generation)
    }
}

impl GenerationRunner<'_> {
    /// What is committed of another lineage and is the same as `generation` of `arm`, whose text has this hash.
    pub(super) fn twin(
        &self,
        arm: &Arm,
        generation: usize,
        text_hash: &str,
    ) -> Result<Option<Twin>, RunError> {
        let mut texts = Vec::new();
        for earlier in 0..generation {
            texts.push(self.store.record(self.address(arm, earlier))?.mixture.hash);
        }
        texts.push(text_hash.to_owned());
        let own = ArmOf { experiment: self.experiment, arm };
        let mut model = None;
        for &run in self.sibling_runs {
            for other in &run.experiment.arms {
                let other = ArmOf { experiment: run.experiment, arm: other };
                if !own.trains_alike(other, generation) || !self.has_trained_on(run, other.arm, &texts)? {
                    continue;
                }
                let address = Address::of(run.experiment, self.seed, other.arm, generation);
                if own.writes_alike(other, generation) {
                    return Ok(Some(Twin::Generation(run.store.generation_dir(address))));
                }
                if model.is_none() {
                    let training = run.store.record(address)?.training;
                    model = Some(Twin::Model { model_dir: run.store.model_dir(address), training });
                }
            }
        }
        Ok(model)
    }

    /// Whether the lineage of `other` has been trained on these texts, the last of them included.
    fn has_trained_on(&self, run: &Run, other: &Arm, texts: &[String]) -> Result<bool, RunError> {
        let address = |generation| Address::of(run.experiment, self.seed, other, generation);
        for (generation, text) in texts.iter().enumerate().rev() {
            let address = address(generation);
            if !run.store.is_committed(address)? || run.store.record(address)?.mixture.hash != *text {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
