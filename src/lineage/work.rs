//! What the generations of a lineage will take, to the token, before any of them is made.

use super::{PreparedText, RunError, tokens_seen, tokens_written};
use crate::config::{Arm, Experiment};
use crate::mixture::{self, Parts};
use crate::units::Tokens;

/// What a generation has to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Natural tokens in its mixture.
    pub natural: Tokens,
    /// Synthetic tokens in its mixture.
    pub synthetic: Tokens,
    /// Tokens that training sees, repetitions counted.
    pub seen: Tokens,
    /// Tokens that it writes.
    pub written: Tokens,
    /// Tokens of natural and of its own text that it scores.
    pub scored: Tokens,
}

/// The work of generations 0, 1, … of an arm.
///
/// # Errors
/// When the mixture cannot be made.
pub fn work(experiment: &Experiment, arm: &Arm, prepared: &PreparedText) -> Result<Vec<Workload>, RunError> {
    let budget = experiment.corpus.train_tokens;
    let first = Parts { natural: budget, synthetic: Tokens(0) };
    let later = mixture::schedule(&arm.mixture, experiment.generations, budget, arm.synthesis.tokens)
        .map_err(|source| RunError::Mixture { arm: arm.name.clone(), source })?;
    let work = |(generation, parts): (usize, Parts)| Workload {
        natural: parts.natural,
        synthetic: parts.synthetic,
        seen: tokens_seen(
            &experiment.at(arm, generation),
            &prepared.tokenizer,
            Tokens(parts.natural.0 + parts.synthetic.0),
        ),
        written: tokens_written(experiment, arm, generation),
        scored: Tokens(prepared.heldout.tokens().0 + experiment.measured_tokens.0),
    };
    Ok(std::iter::once(first).chain(later).enumerate().map(work).collect())
}
