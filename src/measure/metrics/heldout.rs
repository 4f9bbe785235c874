//! Held-out loss: how surprised is the model by natural text it was not trained on?
//!
//! - `heldout_loss`: `−Σ ln p / Σ tokens` over all held-out tokens, end-of-text included; nats per token.
//! - `heldout_loss_head`, `_torso`, `_tail`: the same over the tokens whose type is in the head, torso or tail of
//!   natural text (see `natural`; types that the reference lacks count as tail). *Does the model forget rare things
//!   first?* Rare tokens are few, so their loss has the largest error.
//! - `bits_per_byte`: `−Σ ln p / (ln 2 · Σ bytes)`: the loss in a unit that does not depend on the tokenizer.
//! - `excess_loss`: `heldout_loss` minus the loss of a model that knows the true distribution, which is available only
//!   for synthetic worlds; 0 is perfect.
//!
//! All rise when a model narrows, because it then gives too little probability to what it no longer writes. They are
//! means over a fixed text, without bias from n. Standard errors: ratio estimator over documents. They say how far
//! the loss on another held-out text of this size might lie; differences between models on this same text are known
//! more precisely.

use crate::measure::uncertainty::{Estimate, clusters, mean_over};
use crate::measure::{
    CountedGeneration, Direction::Up, Family::HeldOut, Inputs, MeasureError, Metric, MetricDefinition,
};
use crate::rarity::Rarity;

/// Held-out loss, whole and by rarity, in nats per token and in bits per byte.
pub(super) struct HeldOutLoss;

/// The metrics of the classes of [`Rarity::ALL`].
const CLASSES: [&str; 3] = ["heldout_loss_head", "heldout_loss_torso", "heldout_loss_tail"];

impl Metric for HeldOutLoss {
    fn definitions(&self) -> Vec<MetricDefinition> {
        let of = |id, label, unit| MetricDefinition::builtin(id, label, unit, HeldOut, Up).on_fixed_text();
        vec![
            of("heldout_loss", "held-out loss", "nats/token"),
            of("heldout_loss_head", "held-out loss of frequent tokens", "nats/token"),
            of("heldout_loss_torso", "held-out loss of medium tokens", "nats/token"),
            of("heldout_loss_tail", "held-out loss of rare tokens", "nats/token"),
            of("bits_per_byte", "held-out bits per byte", "bits/byte"),
            of("excess_loss", "held-out loss above the exact floor", "nats/token"),
        ]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        let inputs = generation.inputs();
        let loss = loss(inputs, |_| true);
        let [head, torso, tail] = Rarity::ALL.map(|rarity| {
            let rarities = &inputs.reference.heldout_rarity;
            self::loss(inputs, |position| rarities[position] == rarity)
        });
        let excess = inputs.heldout_floor.and_then(|floor| {
            let loss = loss?;
            Some(Estimate { value: loss.value - floor.0, ..loss })
        });
        Ok(vec![loss, head, torso, tail, bits_per_byte(inputs, loss), excess])
    }

    fn why_missing(&self, id: &str, generation: &CountedGeneration) -> Option<String> {
        let inputs = generation.inputs();
        if id == "excess_loss" {
            inputs.heldout_floor?;
        }
        let class = CLASSES.iter().position(|class| *class == id).map(|index| Rarity::ALL[index]);
        let scored = inputs.heldout_scores.log_probabilities.iter().zip(&inputs.reference.heldout_rarity);
        let of_class = scored.filter(|(_, rarity)| class.is_none_or(|class| **rarity == class));
        Some(why_no_mean(of_class.map(|(value, _)| *value), "held-out"))
    }
}

/// Why a mean of log-probabilities over documents is undefined.
pub(super) fn why_no_mean(mut log_probabilities: impl Iterator<Item = f32>, which: &str) -> String {
    match log_probabilities.all(f32::is_finite) {
        true => format!("fewer than two {which} documents have such tokens"),
        false => format!("the model gives a {which} token no finite log-probability"),
    }
}

/// Mean loss over the held-out positions that are `included`, in nats per token.
fn loss(inputs: &Inputs, included: impl Fn(usize) -> bool) -> Option<Estimate> {
    let log_probabilities = &inputs.heldout_scores.log_probabilities;
    mean_over(log_probabilities, &inputs.reference.heldout_ends, included).map(|mean| mean.scaled(-1.0))
}

/// Held-out loss in bits per byte; `loss` is the held-out loss in nats per token.
fn bits_per_byte(inputs: &Inputs, loss: Option<Estimate>) -> Option<Estimate> {
    let reference = inputs.reference;
    let log_probabilities = &inputs.heldout_scores.log_probabilities;
    let to_bits = 1.0 / std::f64::consts::LN_2;
    if reference.heldout_bytes.len() < 2 {
        // The bytes of a part of a document are not known and are assumed proportional to its tokens.
        let bytes: u64 = reference.heldout_bytes.iter().sum();
        let tokens_per_byte = log_probabilities.len() as f64 / bytes as f64;
        return loss.map(|loss| loss.scaled(to_bits * tokens_per_byte));
    }
    let documents = clusters(&reference.heldout_ends);
    let sums: Vec<(f64, f64)> = documents
        .into_iter()
        .zip(&reference.heldout_bytes)
        .map(|(range, &bytes)| (-sum(&log_probabilities[range]), bytes as f64))
        .collect();
    let tokens = log_probabilities.len() as u64;
    Estimate::ratio(&sums).map(|nats_per_byte| nats_per_byte.scaled(to_bits).with_n(tokens))
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}
