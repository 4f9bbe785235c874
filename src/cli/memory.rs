//! Memory: estimates how much an experiment needs before it starts, and refuses an experiment that needs more than this
//! machine has.

use super::cost::mebibytes;
use super::machine::available_memory_bytes;
use super::output::say;
use crate::config::{Arm, Experiment};
use crate::lineage::{self, Footprint};
use anyhow::{Result, bail};

/// `--force`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ForceArgs {
    /// Go on even if the estimated memory is more than this machine has available.
    #[arg(long)]
    force: bool,
}

/// Vocabulary size assumed for a tokenizer that has not been read: the smallest possible. The estimate then leaves out
/// most of the embeddings, which are small compared with a model that does not fit into memory.
const UNKNOWN_VOCABULARY: usize = 257;

impl ForceArgs {
    /// Checks, before any text is read, that every experiment fits into this machine's memory.
    ///
    /// # Errors
    /// If settings contradict each other, or if an experiment does not fit and `--force` is not given.
    pub fn check(self, experiments: &[Experiment]) -> Result<()> {
        let vocabulary =
            |experiment: &Experiment, _: &Arm| experiment.tokenizer.vocab_size.unwrap_or(UNKNOWN_VOCABULARY);
        lineage::check_settings(&experiments.iter().collect::<Vec<_>>())?;
        self.check_with(experiments, vocabulary)
    }

    /// Repeats [`Self::check`] with the actual vocabulary size of every arm, once the tokenizers have been read or
    /// learned.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_with(
        self,
        experiments: &[Experiment],
        vocabulary: impl Fn(&Experiment, &Arm) -> usize,
    ) -> Result<()> {
        let available = available_memory_bytes();
        for experiment in experiments {
            let footprint = Footprint::of(experiment, |arm| vocabulary(experiment, arm));
            if available == 0 || footprint.total() <= available {
                continue;
            }
            let refusal = refusal(experiment, footprint, available);
            if !self.force {
                bail!("{refusal}, or go on with --force");
            }
            say(&format!("note: {refusal}"));
        }
        Ok(())
    }
}

/// The message for an experiment that does not fit: its memory, the part that takes most of it, and the settings that
/// determine that part.
fn refusal(experiment: &Experiment, footprint: Footprint, available: u64) -> String {
    let Footprint { natural_text, generated_text, training_step } = footprint;
    let (part, bytes, remedy) = if training_step >= natural_text.max(generated_text) {
        let remedy = "model.width, model.layers, model.context or training.batch";
        ("a training step", training_step, remedy)
    } else if natural_text >= generated_text {
        let remedy = "corpus.train_tokens, corpus.heldout_tokens or corpus.reference_tokens";
        ("the natural text", natural_text, remedy)
    } else {
        ("the text of a generation", generated_text, "synthesis.tokens or corpus.train_tokens")
    };
    format!(
        "{}: takes about {} of memory, and {} are available; {part} takes the most, about {}: lower {remedy}",
        experiment.name,
        mebibytes(footprint.total()),
        mebibytes(available),
        mebibytes(bytes)
    )
}
