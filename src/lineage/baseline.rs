//! Records the baseline of a run (what drift alone would have done) as soon as it can be simulated.
//!
//! If every arm samples from unmodified predictions, the baseline is simulated before anything is trained. If an arm
//! has another decoder, the models of its generation 0 are needed first, for every seed: with them the effect of the
//! decoder on the probabilities of natural text is measured.

use super::{Run, RunError, learner, training_settings};
use crate::baseline::{self, Baseline, LogRatios};
use crate::config::Arm;
use crate::decoding::SamplingSettings;
use crate::measure::Heldout;
use crate::seed::{SHARED, StreamKey, streams};
use crate::stage::Stage;
use crate::store::Address;
use crate::training::Start;
use std::borrow::Cow;
use std::collections::BTreeMap;

impl Run<'_> {
    /// Simulates and records the baseline, unless it is on record or needs a model that is not committed yet.
    ///
    /// # Errors
    /// If a model or the disk fails, or the user asks to stop.
    pub fn baseline(&self) -> Result<(), RunError> {
        let Self { prepared, context, .. } = self;
        if self.store.has_baseline(self.experiment)? || !self.has_models_of_decoding_arms() {
            return Ok(());
        }
        let key = StreamKey::new(self.seeds()[0], SHARED, 0, streams::DRIFT);
        let stage = Stage::new(key, context.observer, context.interrupt);
        let heldout = Heldout {
            documents: &prepared.heldout,
            texts: &prepared.tokenizer.decode_documents(&prepared.heldout),
            byte_length: &|id| prepared.tokenizer.byte_length(&[id]),
        };
        let log_ratios = self.all_log_ratios()?;
        let baseline =
            Baseline::simulate(self.experiment, &prepared.reference, heldout, &log_ratios, &stage)?;
        Ok(self.store.write_baseline(&baseline)?)
    }

    /// The arms that choose one token at a time, and whose decoder modifies the predictions. (The effect of beam search
    /// or contrastive search on the probability of a token cannot be observed in a single prediction, so arms with
    /// these decoders have no baseline.)
    fn decoding_arms(&self) -> impl Iterator<Item = (&Arm, &SamplingSettings)> {
        let all = self.experiment.arms.iter().filter(|arm| baseline::can_be_simulated(self.experiment, arm));
        let by_token = all.filter_map(|arm| Some((arm, baseline::decoder(&arm.synthesis)?)));
        by_token.filter(|(_, decoding)| !decoding.is_plain())
    }

    fn has_models_of_decoding_arms(&self) -> bool {
        self.decoding_arms().all(|(arm, _)| {
            self.experiment
                .seeds
                .iter()
                .all(|&seed| self.store.exists(Address::of(self.experiment, seed, arm, 0)))
        })
    }

    /// The log-ratios of every arm that needs them, computed once for arms with the same model and decoder.
    fn all_log_ratios(&self) -> Result<BTreeMap<&str, LogRatios>, RunError> {
        let mut log_ratios: BTreeMap<&str, LogRatios> = BTreeMap::new();
        let mut computed: Vec<(Cow<Arm>, &str)> = Vec::new();
        for (arm, decoding) in self.decoding_arms() {
            let first = self.experiment.at(arm, 0);
            let equal = computed.iter().find(|(other, _)| decodes_alike(other, &first));
            let of_arm = match equal.and_then(|(_, name)| log_ratios.get(name)) {
                Some(known) => known.clone(),
                None => self.log_ratios(arm, decoding)?,
            };
            log_ratios.insert(&arm.name, of_arm);
            computed.push((first, &arm.name));
        }
        Ok(log_ratios)
    }

    /// For generation 0 of each seed, the log of the factor by which the decoder of `arm` changes the probability of
    /// each held-out token.
    fn log_ratios(&self, arm: &Arm, decoding: &SamplingSettings) -> Result<LogRatios, RunError> {
        let Self { prepared, context, .. } = self;
        let heldout = &prepared.heldout;
        let of_seed = |&seed: &u64| {
            let key = StreamKey::new(seed, &arm.name, 0, streams::DECODING);
            let stage = Stage::new(key, context.observer, context.interrupt);
            let address = Address::of(self.experiment, seed, arm, 0);
            self.store.verify(address)?;
            let arm_0 = self.experiment.at(arm, 0);
            let learner = learner(&arm_0, &prepared.tokenizer, Start::Scratch, context.device);
            let model = learner.load_trained(&self.store.model_dir(address))?;
            stage.begin(2 * heldout.tokens().0, "tokens");
            let plain = model.score(heldout, &stage)?.log_probabilities;
            let decoded = model.score_decoded(heldout, decoding, &stage)?;
            stage.end();
            Ok(decoded.iter().zip(&plain).map(|(decoded, plain)| decoded - plain).collect())
        };
        self.seeds().iter().map(of_seed).collect()
    }

    /// The seeds in ascending order, so that the baseline does not depend on the order in which a file lists them.
    fn seeds(&self) -> Vec<u64> {
        let mut seeds = self.experiment.seeds.clone();
        seeds.sort_unstable();
        seeds
    }
}

/// Returns true if two arms, as they are in generation 0, have the same model and decoder.
fn decodes_alike(a: &Arm, b: &Arm) -> bool {
    training_settings(&a.model, &a.training) == training_settings(&b.model, &b.training)
        && a.synthesis.decoding == b.synthesis.decoding
}
