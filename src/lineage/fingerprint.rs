//! Fingerprints: hashes of everything that a generation depends on. Other runs find generations to reuse by their
//! fingerprints.
//!
//! | fingerprint | hashes |
//! |---|---|
//! | model | seed, what seeds differ in if not in everything, generation, the arm name in its random streams, model and training settings, base weights, tokenizer, training text, the parent's model fingerprint |
//! | generation | the model fingerprint, the arm name in its random streams, synthesis settings, tokens written and measured, the texts that metrics compare with, metrics that are not built in; the parent's generation fingerprint if it writes from the parent's corpus |
//!
//! The parent is the previous generation. The random streams that generation 0 trains with name no arm, so its model is
//! the same in all arms that differ only in writing. If those arms also write alike, they share the whole generation,
//! and the random streams that it writes with name no arm either. The training text is hashed as token ids, so if a
//! corpus differs, all later generations of its lineage have different fingerprints.
//!
//! Device and vector instructions are not part of a fingerprint: they are recorded in `provenance.json`. Settings that
//! only affect how long something takes are left out, too. An external command is assumed to write the same text for
//! the same documents.

use super::PreparedText;
use crate::config::{Arm, Experiment};
use crate::measure::MetricDefinition;
use crate::seed::{SHARED, Varied, streams};
use crate::settings::result_table_of;
use crate::store::{Fingerprint, Fingerprints};
use crate::synthesis::SynthesisSettings;
use crate::training::{ModelSettings, TrainingSettings};
use crate::units::Tokens;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Random streams used to train a model.
const TRAINING_STREAMS: [&str; 3] = [streams::INITIALISATION, streams::TRAINING, streams::GAPS];

/// Random streams used to write a corpus.
const SYNTHESIS_STREAMS: [&str; 5] =
    [streams::PROMPTS, streams::SYNTHESIS, streams::SPANS, streams::DETECTOR, streams::SELECTION];

/// One arm of an experiment with one seed, whose generations have fingerprints.
#[derive(Clone, Copy)]
pub struct LineageInputs<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// The natural text of the experiment.
    pub prepared: &'a PreparedText,
    /// The seed.
    pub seed: u64,
    /// The arm.
    pub arm: &'a Arm,
}

impl LineageInputs<'_> {
    /// The fingerprints of a generation, given a hash of its training text, the metrics that are not built in, and, from
    /// generation 1 on, the fingerprints of the previous generation.
    #[must_use]
    pub fn fingerprints(
        self,
        generation: usize,
        text: &str,
        metrics: &[MetricDefinition],
        parent: Option<&Fingerprints>,
    ) -> Fingerprints {
        let model = self.model(generation, text, parent);
        let generation = self.generation(generation, &model, metrics, parent);
        Fingerprints { model, generation }
    }

    fn model(self, generation: usize, text: &str, parent: Option<&Fingerprints>) -> Fingerprint {
        let arm = self.experiment.at(self.arm, generation);
        let mut hash = Hasher::new("genloss model fingerprint 1");
        hash.add("seed", &self.seed);
        // Added only where it matters, so that fingerprints of earlier versions stay valid.
        if self.experiment.vary != Varied::ALL {
            hash.add("vary", &self.experiment.vary.names(true).join(", "));
        }
        hash.add("generation", &generation);
        hash.add("arm", &if generation == 0 { SHARED } else { &arm.name });
        hash.add("streams", &TRAINING_STREAMS.join(", "));
        let [model, training] = training_settings(&arm.model, &arm.training);
        hash.add_table("model", &model);
        hash.add_table("training", &training);
        if let Some(base) = &arm.training.base {
            hash.add("base", &self.prepared.base_hash(base).unwrap_or_default());
        }
        hash.add("tokenizer", &self.prepared.tokenizer_hash());
        hash.add("text", &text);
        if let Some(parent) = parent {
            hash.add("parent", &parent.model);
        }
        hash.finish()
    }

    fn generation(
        self,
        generation: usize,
        model: &Fingerprint,
        metrics: &[MetricDefinition],
        parent: Option<&Fingerprints>,
    ) -> Fingerprint {
        let Self { experiment, prepared, arm, .. } = self;
        let is_shared = generation == 0 && experiment.shares_generation_0(arm);
        let mut hash = Hasher::new("genloss generation fingerprint 1");
        hash.add("model", &model);
        hash.add("arm", &if is_shared { SHARED } else { &arm.name });
        hash.add("streams", &SYNTHESIS_STREAMS.join(", "));
        let now = experiment.at(arm, generation);
        hash.add_table("synthesis", &synthesis_settings(&now.synthesis));
        hash.add("tokens written", &experiment.tokens_written(arm, generation).0);
        hash.add("tokens measured", &experiment.measured_tokens.0);
        hash.add("measured against", &prepared.evaluation_hash());
        for (subject, convention) in prepared.conventions(&now) {
            hash.add(subject, &convention);
        }
        for metric in metrics {
            hash.add("metric", &metric.id);
        }
        if let Some(parent) = parent.filter(|_| now.synthesis.method.properties().reads_previous) {
            hash.add("parent", &parent.generation);
        }
        hash.finish()
    }
}

/// A placeholder for the hash of a training text that does not exist yet. It is equal for two generations of one seed
/// if both will train on the same `natural` tokens of the same natural text, and on nothing else.
#[must_use]
pub fn planned_natural_text(
    experiment: &Experiment,
    arm: &Arm,
    generation: usize,
    natural: Tokens,
) -> String {
    let budget = experiment.corpus.train_tokens.0;
    let mut text = match generation {
        0 => format!("the first {} natural tokens", natural.0),
        _ => format!("{} natural tokens with a budget of {budget} and {:?}", natural.0, arm.mixture),
    };
    if let Some(limit) = experiment.corpus.natural_tokens.filter(|&limit| limit < natural) {
        text.push_str(&format!(" of a text of {}", limit.0));
    }
    text
}

/// The resolved tables `[model]` and `[training]`, without run-time-only settings.
#[must_use]
pub fn training_settings(model: &ModelSettings, training: &TrainingSettings) -> [Table; 2] {
    [model.result_table().clone(), result_table_of(training)]
}

/// The resolved table `[synthesis]`, without run-time-only settings and without `tokens`, because a generation may
/// write more: see [`Experiment::tokens_written`].
fn synthesis_settings(synthesis: &SynthesisSettings) -> Table {
    let mut table = synthesis.result_table();
    table.remove("tokens");
    table
}

/// Hashes named values. Names and values are hashed with their lengths, so that different lists are hashed as
/// different bytes.
struct Hasher(blake3::Hasher);

impl Hasher {
    /// `purpose` separates hashes of different kinds, and their versions.
    fn new(purpose: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(purpose))
    }

    fn add(&mut self, name: &str, value: &impl ToString) {
        for text in [name, &value.to_string()] {
            self.0.update(&(text.len() as u64).to_le_bytes());
            self.0.update(text.as_bytes());
        }
    }

    /// Adds every value of a table by its dotted key, whatever their order.
    fn add_table(&mut self, name: &str, table: &Table) {
        let sorted: BTreeMap<&String, &Value> = table.iter().collect();
        for (key, value) in sorted {
            let key = format!("{name}.{key}");
            match value {
                Value::Table(inner) => self.add_table(&key, inner),
                value => self.add(&key, value),
            }
        }
    }

    fn finish(self) -> Fingerprint {
        self.0.finalize().into()
    }
}
