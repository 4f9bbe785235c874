//! What drift alone would have done, put on record as soon as it can be known.
//!
//! Where every arm samples plainly that is before anything is trained. An arm with a decoder of its own needs its
//! generation 0, under every seed, to see what that decoder does to natural text.

use super::{Run, RunError};
use crate::baseline::{self, Baseline, LogRatios};
use crate::config::{Arm, Decoding};
use crate::decoding;
use crate::measure::Heldout;
use crate::model;
use crate::seed::{SHARED, StreamKey, streams};
use crate::stage::Stage;
use crate::store::Address;
use std::collections::BTreeMap;

impl Run<'_> {
    /// Puts the baseline on record, unless it is there or a model that it needs is not.
    ///
    /// # Errors
    /// When a model or the disk fails, or the user asks to stop.
    pub fn baseline(&self) -> Result<(), RunError> {
        let Self { prepared, context, .. } = self;
        if self.store.has_baseline(self.experiment) || !self.decoders_can_be_seen()? {
            return Ok(());
        }
        let key = StreamKey::new(self.experiment.seeds[0], SHARED, 0, streams::DRIFT);
        let stage = Stage::new(key, context.observer, context.interrupt);
        let mut log_ratios: BTreeMap<&str, LogRatios> = BTreeMap::new();
        for (arm, decoding) in self.decoding_arms() {
            let first = self.experiment.at(arm, 0);
            let alike = |(other, _): &(&Arm, _)| {
                other.name != arm.name && writes_alike(&self.experiment.at(other, 0), &first)
            };
            let twin = self.decoding_arms().find(alike);
            let known = twin.and_then(|(other, _)| log_ratios.get(other.name.as_str()));
            let of_arm = known.cloned().map_or_else(|| self.log_ratios(arm, decoding), Ok)?;
            log_ratios.insert(&arm.name, of_arm);
        }
        let heldout = Heldout {
            documents: &prepared.heldout,
            texts: &prepared.tokenizer.decode_documents(&prepared.heldout),
            byte_length: &|id| prepared.tokenizer.byte_length(&[id]),
        };
        let baseline =
            Baseline::simulate(self.experiment, &prepared.reference, heldout, &log_ratios, &stage)?;
        Ok(self.store.write_baseline(&baseline)?)
    }

    /// The arms that go token by token and do not draw from predictions as they are. (What beam search and contrastive
    /// search do to a token cannot be seen in one prediction: such arms have no baseline.)
    fn decoding_arms(&self) -> impl Iterator<Item = (&Arm, &Decoding)> {
        let all = self.experiment.arms.iter().filter(|arm| baseline::decodes_alike(self.experiment, arm));
        let by_token = all.filter_map(|arm| Some((arm, baseline::decoder(&arm.synthesis)?)));
        by_token.filter(|(_, decoding)| !decoding::is_plain(decoding))
    }

    fn decoders_can_be_seen(&self) -> Result<bool, RunError> {
        for (arm, _) in self.decoding_arms() {
            for &seed in &self.experiment.seeds {
                if !self.has_first(seed, arm)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// What the decoder of `arm` does to every held-out token, in the eyes of generation 0 of each seed.
    fn log_ratios(&self, arm: &Arm, decoding: &Decoding) -> Result<LogRatios, RunError> {
        let Self { prepared, context, .. } = self;
        let heldout = &prepared.heldout;
        let of_seed = |&seed: &u64| {
            let key = StreamKey::new(seed, &arm.name, 0, streams::DECODING);
            let stage = Stage::new(key, context.observer, context.interrupt);
            let address = Address::of(self.experiment, seed, arm, 0);
            let model = model::load(&self.store.model_dir(address), context.device)?.model;
            stage.begin(2 * heldout.tokens().0, "tokens");
            let plain = model.score(heldout, &stage)?.log_probabilities;
            let decoded = model.score_decoded(heldout, decoding, &stage)?;
            stage.end();
            Ok(decoded.iter().zip(&plain).map(|(decoded, plain)| decoded - plain).collect())
        };
        self.experiment.seeds.iter().map(of_seed).collect()
    }
}

/// Whether two arms have the same generation 0 and decoder.
fn writes_alike(a: &Arm, b: &Arm) -> bool {
    a.model == b.model && a.training == b.training && a.synthesis.decoding == b.synthesis.decoding
}
