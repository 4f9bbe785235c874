//! Held-out loss: how surprised is the model by natural text it never saw?
//!
//! - `heldout_loss`: `−Σ ln p / Σ tokens` over all held-out tokens, end-of-text included; nats per token.
//! - `heldout_loss_head`, `_torso`, `_tail`: the same over the tokens whose type is in the head, torso or tail of
//!   natural text (see `natural`; types that the reference lacks count as tail). *Does the model forget rare things
//!   first?* Rare tokens are few, so their loss has the largest error.
//! - `bits_per_byte`: `−Σ ln p / (ln 2 · Σ bytes)`: the loss in a unit that does not depend on the tokenizer.
//! - `excess_loss`: `heldout_loss` less the loss of an ideal reader, where that is known (the world); 0 is perfect.
//!
//! All rise when a model narrows, for then it gives too little probability to what it no longer writes. They are means
//! over a fixed text, without bias from n. Standard errors: ratio estimator over documents, which says how far
//! another held-out text of this size might stand; differences between models on this same text are known better.

use super::uncertainty::{Estimate, clusters, ratio};
use super::{Collected, Inputs};
use crate::rarity::Rarity;

/// Measures the held-out family.
pub(super) fn measure(inputs: &Inputs, collected: &mut Collected) {
    let reference = inputs.reference;
    let log_probabilities = &inputs.heldout_scores.log_probabilities;
    let tokens = log_probabilities.len() as u64;
    let loss = mean_over(log_probabilities, &reference.heldout_ends, |_| true, -1.0);
    collected.add("heldout_loss", loss, tokens);
    for class in Rarity::ALL {
        let in_class = |place: usize| reference.heldout_rarity[place] == class;
        let loss = mean_over(log_probabilities, &reference.heldout_ends, in_class, -1.0);
        let tokens = reference.heldout_rarity.iter().filter(|&&rarity| rarity == class).count();
        collected.add(&format!("heldout_loss_{}", class.name()), loss, tokens as u64);
    }
    collected.add("bits_per_byte", bits_per_byte(inputs, loss), tokens);
    if let Some(floor) = inputs.heldout_floor {
        let excess = loss.map(|loss| Estimate { value: loss.value - floor.0, ..loss });
        collected.add("excess_loss", excess, tokens);
    }
}

fn bits_per_byte(inputs: &Inputs, loss: Option<Estimate>) -> Option<Estimate> {
    let reference = inputs.reference;
    let log_probabilities = &inputs.heldout_scores.log_probabilities;
    let to_bits = 1.0 / std::f64::consts::LN_2;
    if reference.heldout_bytes.len() < 2 {
        // The bytes of parts of a document are not known: as good as constant per token.
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
    ratio(&sums).map(|nats_per_byte| nats_per_byte.scaled(to_bits))
}

/// `factor` times the mean of `values` over the positions that are `included`, with documents (given by their ends)
/// as independent clusters.
pub(super) fn mean_over(
    values: &[f32],
    ends: &[usize],
    included: impl Fn(usize) -> bool,
    factor: f64,
) -> Option<Estimate> {
    let sums: Vec<(f64, f64)> = clusters(ends)
        .into_iter()
        .map(|range| {
            let places = range.filter(|&place| included(place));
            places.fold((0.0, 0.0), |(sum, count), place| (sum + f64::from(values[place]), count + 1.0))
        })
        .collect();
    ratio(&sums).map(|mean| mean.scaled(factor))
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}
