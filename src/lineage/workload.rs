//! The size of the work that the generations of a lineage will take, known before any of them is made.

use super::{PreparedText, RunError, learner};
use crate::config::{Arm, Experiment};
use crate::mixture::{self, TokenSplit};
use crate::tokenizer::Tokenizer;
use crate::training::Start;
use crate::units::Tokens;
use candle_core::Device;

/// The tokens that a generation will handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Natural tokens in its mixture. If natural and synthetic documents are drawn together from one pool, this is the
    /// expected number.
    pub natural: Tokens,
    /// Natural tokens that those of the mixture are taken from. Fewer than `natural` if they are read several times.
    pub natural_text: Tokens,
    /// Synthetic tokens in its mixture, or their expected number as for `natural`.
    pub synthetic: Tokens,
    /// Tokens that training processes, counting repetitions and all writers of the generation.
    pub seen: Tokens,
    /// Tokens that it writes.
    pub written: Tokens,
    /// Held-out and synthetic tokens that it scores: the measured text with the model of generation 0, and, from
    /// generation 1 on, about as much of it as the held-out text with its own. Each writer of a generation scores them.
    pub scored: Tokens,
}

/// The workloads of generations 0, 1, … of an arm.
///
/// # Errors
/// If a mixture takes more synthetic text than earlier generations will write.
pub fn workloads(
    experiment: &Experiment,
    arm: &Arm,
    prepared: &PreparedText,
) -> Result<Vec<Workload>, RunError> {
    let budget = experiment.corpus.train_tokens;
    let first = TokenSplit { natural: budget, synthetic: Tokens(0) };
    let later = mixture::schedule(&arm.mixture, experiment.generations, budget, arm.synthesis.tokens)
        .map_err(|source| RunError::Mixture { arm: arm.name.clone(), source })?;
    let heldout = prepared.heldout.tokens();
    let own_text = heldout.min(experiment.measured_tokens);
    let natural_text = |generation| {
        let text = mixture::natural_text(&arm.mixture, generation, budget, arm.synthesis.tokens);
        experiment.corpus.natural_tokens.map_or(text, |limit| limit.min(text))
    };
    let writers = |generation| experiment.at(arm, generation).training.writers as u64;
    let workload = |(generation, parts): (usize, TokenSplit)| Workload {
        natural: parts.natural,
        natural_text: natural_text(generation),
        synthetic: parts.synthetic,
        seen: tokens_seen(
            &experiment.at(arm, generation),
            &prepared.tokenizer,
            Tokens(parts.natural.0 + parts.synthetic.0),
        ),
        written: experiment.tokens_written(arm, generation),
        scored: Tokens(
            writers(generation) * (heldout.0 + if generation == 0 { 0 } else { own_text.0 })
                + writers(0) * experiment.measured_tokens.0,
        ),
    };
    Ok(std::iter::once(first).chain(later).enumerate().map(workload).collect())
}

/// Tokens that training an arm's model on a mixture of `held` tokens processes, counting repetitions.
#[must_use]
pub fn tokens_seen(arm: &Arm, tokenizer: &Tokenizer, held: Tokens) -> Tokens {
    learner(arm, tokenizer, Start::Scratch, &Device::Cpu).tokens_seen(held)
}
