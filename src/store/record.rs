//! What is on record about an experiment, as its readers see it.

use crate::baseline::Baseline;
use crate::config::Experiment;
use crate::measure::{Catalogue, Curves, Measurement, MetricDefinition};
use crate::synthesis::SynthesisRecord;
use crate::training::TrainingRecord;
use crate::units::Tokens;
use crate::verdict::Observation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An experiment and everything that was measured of it.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// The settings.
    pub experiment: Experiment,
    /// The resolved experiment file, as text.
    pub experiment_toml: String,
    /// How it was made.
    pub provenance: Provenance,
    /// One per seed and arm: seeds in the experiment's order, arms likewise, the control first.
    pub lineages: Vec<LineageRecord>,
    /// What drift alone would have done; None in a record from before it was kept, until it is run again.
    pub baseline: Option<Baseline>,
}

impl RunRecord {
    /// Every measurement as the verdict takes them: without that of a writer, which is another model than those that
    /// follow, so that the step from it says nothing of theirs.
    #[must_use]
    pub fn observations(&self) -> Vec<Observation> {
        let mut observations = Vec::new();
        for lineage in &self.lineages {
            let first = usize::from(self.experiment.writer.is_some());
            for (generation, record) in lineage.generations.iter().enumerate().skip(first) {
                observations.extend(record.measurements.iter().map(|measurement| Observation {
                    seed: lineage.seed,
                    arm: lineage.arm.clone(),
                    generation,
                    metric: measurement.metric.clone(),
                    value: measurement.value,
                    std_err: measurement.std_err,
                }));
            }
        }
        observations
    }

    /// The definitions of the built-in metrics, followed by those of all other metrics on record. Of a metric without a
    /// definition (another version of genloss measured it) only the id and unit are known.
    #[must_use]
    pub fn catalogue(&self) -> Catalogue {
        let mut catalogue = Catalogue::builtin();
        let records = || self.lineages.iter().flat_map(|lineage| &lineage.generations);
        for definition in records().flat_map(|record| &record.metrics) {
            catalogue.add_if_new(definition);
        }
        for measurement in records().flat_map(|record| &record.measurements) {
            catalogue.add_unknown(&measurement.metric, &measurement.unit);
        }
        catalogue
    }
}

/// One arm with one seed.
#[derive(Clone, Debug)]
pub struct LineageRecord {
    /// The seed.
    pub seed: u64,
    /// The arm.
    pub arm: String,
    /// Generations 0.., as far as they stand. Generation 0 may be the one that the arms of the seed share.
    pub generations: Vec<GenerationRecord>,
}

/// One generation: what trained it, what it wrote, what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// What it was trained on.
    pub mixture: MixtureRecord,
    /// How it was trained.
    pub training: TrainingRecord,
    /// What it wrote.
    pub synthesis: SynthesisRecord,
    /// What was measured of it.
    pub measurements: Vec<Measurement>,
    /// Definitions of those metrics that are not built in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricDefinition>,
    /// What figures draw besides.
    pub curves: Curves,
}

impl GenerationRecord {
    /// The value of a metric, if it was measured and is a number.
    #[must_use]
    pub fn value(&self, metric: &str) -> Option<f64> {
        let found = self.measurements.iter().find(|measurement| measurement.metric == metric)?;
        Some(found.value).filter(|value| value.is_finite())
    }
}

/// What a generation was trained on, to the token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MixtureRecord {
    /// Tokens of natural text.
    pub natural_tokens: Tokens,
    /// Natural documents.
    pub natural_documents: u64,
    /// Tokens of synthetic text by the generation that wrote it.
    pub synthetic_tokens: BTreeMap<usize, Tokens>,
    /// Synthetic documents.
    pub synthetic_documents: u64,
    /// What "natural" means here: `"fixed"` or `"fresh"`, and whether it displaces synthetic text or is added to it.
    pub natural: String,
    /// BLAKE3 of the token ids trained on, in order.
    pub hash: String,
}

/// How a run was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of genloss.
    pub version: String,
    /// Cargo features built in.
    pub features: Vec<String>,
    /// Processor and number of threads.
    pub cpu: String,
    /// Vector instructions that were used: another set gives other last bits.
    #[serde(default)]
    pub instructions: String,
    /// Device of the transformer.
    pub device: String,
    /// Command line of the first run.
    pub command_line: Vec<String>,
    /// BLAKE3 of the natural text of each split.
    pub corpus: BTreeMap<String, String>,
    /// Tokens in each split.
    pub split_tokens: BTreeMap<String, Tokens>,
    /// BLAKE3 of `tokenizer.json`.
    pub tokenizer: String,
    /// BLAKE3 of every model folder that training starts from, by its path.
    #[serde(default)]
    pub bases: BTreeMap<String, String>,
    /// Loss of an ideal reader of the held-out text in nats per token, where it is known (the world).
    pub heldout_floor_nats: Option<f64>,
}
