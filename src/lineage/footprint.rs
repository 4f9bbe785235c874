//! Estimates, from its settings alone, the memory that an experiment takes, before anything is read or allocated.
//!
//! The estimate is a rough lower bound: it detects experiments that are too large, but does not guarantee that all
//! other experiments fit.

use crate::config::{Arm, Experiment};
use crate::corpus::{CorpusSource, WORLD_MARGIN};
use crate::mixture;

/// Bytes of memory, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Natural text of the built-in world, as text and as tokens. 0 for text from files, whose size is unknown until
    /// they are read.
    pub natural_text: u64,
    /// The text that a generation writes or trains on.
    pub generated_text: u64,
    /// What the largest model takes in a training step: weights, gradient, moments, the factors of its products, activations;
    /// and the weights of the other writers of its generation.
    pub training_step: u64,
}

/// Bytes per natural token: about seven characters of text, and its id in a list with spare capacity.
const NATURAL_BYTES: f64 = 20.0;
/// Bytes per generated token: its id, and its characters while it is measured.
const GENERATED_BYTES: f64 = 12.0;
/// Bytes per token of training text, for each order of an n-gram model.
const NGRAM_BYTES: f64 = 8.0;

impl Footprint {
    /// The footprint of an experiment. `vocab_size` is the size of an arm's vocabulary.
    #[must_use]
    pub fn of(experiment: &Experiment, vocab_size: impl Fn(&Arm) -> usize) -> Self {
        let largest = |of: &dyn Fn(&Arm) -> f64| {
            let generations =
                experiment.arms.iter().flat_map(|arm| [experiment.at(arm, 0).into_owned(), arm.clone()]);
            generations.map(|arm| of(&arm)).fold(0.0, f64::max) as u64
        };
        Self {
            natural_text: natural_text(experiment) as u64,
            generated_text: largest(&|arm| generated_text(experiment, arm)),
            training_step: largest(&|arm| {
                let vocab_size = vocab_size(arm);
                arm.model.training_bytes(&arm.training, vocab_size, arm.model.parameters(vocab_size)) as f64
            }),
        }
    }

    /// The sum of all parts.
    #[must_use]
    pub fn total(self) -> u64 {
        self.natural_text.saturating_add(self.generated_text).saturating_add(self.training_step)
    }
}

fn natural_text(experiment: &Experiment) -> f64 {
    let corpus = &experiment.corpus;
    if corpus.source != CorpusSource::World {
        return 0.0;
    }
    let reach = experiment.arms.iter().map(|arm| {
        let (budget, written) = (corpus.train_tokens, arm.synthesis.tokens);
        mixture::natural_reach(&arm.mixture, experiment.generations, budget, written).0
    });
    let train = reach.max().unwrap_or(0).max(corpus.train_tokens.0);
    let train = corpus.natural_tokens.map_or(train, |limit| limit.0.min(train)) as f64;
    let evaluation = corpus.heldout_tokens.0 as f64 + corpus.reference_tokens.0 as f64;
    NATURAL_BYTES * WORLD_MARGIN * (2.0 * train + evaluation)
}

fn generated_text(experiment: &Experiment, arm: &Arm) -> f64 {
    let written = (0..=experiment.generations).map(|generation| experiment.tokens_written(arm, generation).0);
    let trained = experiment.corpus.train_tokens.0 as f64;
    let ngrams = arm.model.order().map_or(0.0, |order| NGRAM_BYTES * order as f64 * trained);
    GENERATED_BYTES * written.max().unwrap_or(0) as f64 + 4.0 * trained + ngrams
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn footprint(change: &str) -> Footprint {
        let file = "name = \"x\"\nseeds = [1]\ngenerations = 1\n\
            corpus = { source = \"world\", train_tokens = 4000, heldout_tokens = 1000, reference_tokens = 1000 }\n\
            [[arm]]\nname = \"a\"\nmixture = \"replace\"\n";
        let experiment = config::parse(file, "x", &[change.to_owned()]).unwrap();
        Footprint::of(&experiment, |_| 2048)
    }

    /// Width 128, 2 layers, feed-forward 352, vocabulary 2048: 2048·128 + 2·(4·128² + 3·128·352) + 5·128 = 664 192
    /// parameters with their gradient and two moments; those of one block as factors, and the output matrix for both passes;
    /// 16·128 tokens, each with 2·(6·128 + 704) numbers that blocks keep, 2·(8·128 + 704 + 352) factors of two blocks, two
    /// hidden states, and a row of logits with its input.
    #[test]
    fn a_training_step_is_counted_by_hand() {
        let step = footprint("training.batch=16").training_step;
        let per_token = 2 * (768 + 704) + 2 * (1024 + 704 + 352) + 2 * 128 + 2048 + 128;
        let block = (664_192 - 2048 * 128) / 2;
        assert_eq!(step, 4 * (4 * 664_192 + block + 2 * 2048 * 128) + 16 * 128 * 4 * per_token);
    }

    #[test]
    fn extreme_settings_do_not_overflow() {
        for change in [
            "model={width=262144, heads=131072, ffn=1048576, layers=1000, context=1048576}",
            "training.batch=65536",
            "corpus.heldout_tokens=1000000000000",
            "corpus.train_tokens=500000000000",
            "synthesis.tokens=1000000000000",
        ] {
            assert!(footprint(change).total() > 1 << 32, "{change}: {:?}", footprint(change));
        }
    }
}
