//! A model that was trained already is not trained again.
//!
//! A model follows from its shape, its training, the text, and its random streams, which are named by seed, arm and
//! generation; in generation 0 by no arm. So lineages of one seed that train alike, and that were trained on the same
//! texts so far, have the same models to the bit, whatever they write with them: generation 0 in arms that write
//! differently, and every generation of the controls of experiments that differ in nothing but how they write.

use super::generation::Maker;
use super::{Run, RunError};
use crate::config::Arm;
use crate::store::Address;
use crate::training::TrainingRecord;
use std::path::PathBuf;

/// A model that is the same as one to be trained.
pub(super) struct Twin {
    pub(super) model_dir: PathBuf,
    pub(super) training: TrainingRecord,
}

/// Whether two arms that have trained on the same texts up to `generation` have the same models.
#[must_use]
pub fn train_alike(one: &Arm, other: &Arm, generation: usize) -> bool {
    one.model == other.model && one.training == other.training && (generation == 0 || one.name == other.name)
}

impl Maker<'_> {
    /// A committed model that is the same as that of `generation` of `arm`, whose text has this hash.
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
        for &run in self.kin {
            for other in run.experiment.arms.iter().filter(|other| train_alike(arm, other, generation)) {
                if let Some(twin) = self.twin_in(run, other, &texts)? {
                    return Ok(Some(twin));
                }
            }
        }
        Ok(None)
    }

    /// The last model of the lineage of `other`, if that was trained on these texts.
    fn twin_in(&self, run: &Run, other: &Arm, texts: &[String]) -> Result<Option<Twin>, RunError> {
        let address = |generation| Address::of(run.experiment, self.seed, other, generation);
        let last = address(texts.len() - 1);
        if !run.store.is_committed(last)? {
            return Ok(None);
        }
        for (generation, text) in texts.iter().enumerate() {
            if run.store.record(address(generation))?.mixture.hash != *text {
                return Ok(None);
            }
        }
        let training = run.store.record(last)?.training;
        Ok(Some(Twin { model_dir: run.store.model_dir(last), training }))
    }
}
