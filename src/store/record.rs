//! The records of a run.

use crate::baseline::Baseline;
use crate::claims::Process;
use crate::config::{CONTROL, Experiment};
use crate::corpus::TextRecord;
use crate::measure::{Catalogue, Curves, Measurement, MetricDefinition};
use crate::synthesis::SynthesisRecord;
use crate::tokenizer::Coverage;
use crate::tokenizer::SpecialRecord;
use crate::training::TrainingRecord;
use crate::units::Tokens;
use crate::verdict::{self, ArmComparison, Observation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// An experiment and everything measured in it.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// The settings, complete and checked.
    pub experiment: Experiment,
    /// The resolved experiment file, as text.
    pub experiment_toml: String,
    /// Program, machine, command line and inputs.
    pub provenance: Provenance,
    /// One per seed and arm, in the order of the experiment; the control is the first arm.
    pub lineages: Vec<LineageRecord>,
    /// The baseline of drift alone; `None` until the run has simulated it, and in runs of versions without baselines.
    pub baseline: Option<Baseline>,
}

impl RunRecord {
    /// Every measurement, in the form that the verdict takes. Generation 0 is left out if a writer made it: the writer
    /// is a different model from those of later generations, so a change from one to the other is not narrowing.
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

    /// Whether every generation of every lineage is on record.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let wanted = self.experiment.arms.len() * self.experiment.seeds.len();
        let is_whole = |lineage: &&LineageRecord| lineage.generations.len() > self.experiment.generations;
        self.lineages.iter().filter(is_whole).count() == wanted
    }

    /// Compares every arm with the control and, if there is one, with the arm that repeats its natural part.
    #[must_use]
    pub fn comparisons(&self) -> Vec<ArmComparison> {
        let (experiment, observations, catalogue) = (&self.experiment, self.observations(), self.catalogue());
        let comparisons = verdict::compare(&experiment.name, &observations, CONTROL, &catalogue);
        verdict::with_synthetic_text_effects(comparisons, experiment, &observations, &catalogue)
    }

    /// The definitions of the built-in metrics, followed by those of all other metrics on record. For a metric without
    /// a definition, which another version of genloss measured, only the id and unit are known.
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

/// The records of one arm with one seed.
#[derive(Clone, Debug)]
pub struct LineageRecord {
    /// The seed.
    pub seed: u64,
    /// The name of the arm.
    pub arm: String,
    /// Generations 0, 1, … up to the last before a missing one. Generation 0 may be the one that the arms of the seed
    /// share.
    pub generations: Vec<GenerationRecord>,
    /// Where each of these was made, as far as that is on record.
    pub origins: Vec<Option<Origin>>,
}

/// The vector instructions and device of a computation. The last bits of its results depend on them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Machine {
    /// Vector instructions: another set rounds differently.
    pub instructions: String,
    /// Device of transformer models: `"cpu"`, `"cuda:0"`.
    pub device: String,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} instructions, device {}", self.instructions, self.device)
    }
}

/// Where and by which job a generation was made. Nothing that is measured depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The name of the machine.
    pub host: String,
    /// Processor and number of threads, such as `"AMD EPYC 7B13, 2 threads"`.
    pub cpu: String,
    /// Vector instructions.
    pub instructions: String,
    /// Device of transformer models.
    pub device: String,
    /// The job of the cluster, such as `12_3`; `None` outside of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

/// The record of one generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// Its training text.
    pub mixture: MixtureRecord,
    /// Its training.
    pub training: TrainingRecord,
    /// Its corpus.
    pub synthesis: SynthesisRecord,
    /// The vector instructions and device that it was made with; `None` in records of earlier versions, which stored
    /// them for the whole run only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// One for each metric that could be measured.
    pub measurements: Vec<Measurement>,
    /// Metrics without a value, each with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, String>,
    /// Definitions of those metrics that are not built in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricDefinition>,
    /// Distributions behind some metrics, for figures.
    pub curves: Curves,
}

impl GenerationRecord {
    /// The value of a metric, if it was measured and is finite.
    #[must_use]
    pub fn value(&self, metric: &str) -> Option<f64> {
        let found = self.measurements.iter().find(|measurement| measurement.metric == metric)?;
        Some(found.value).filter(|value| value.is_finite())
    }
}

/// The training text of a generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MixtureRecord {
    /// Tokens of natural text, exactly. Repetitions count.
    pub natural_tokens: Tokens,
    /// Tokens of natural text without repetitions; `None` if nothing is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct_natural_tokens: Option<Tokens>,
    /// Natural documents, a cut one included.
    pub natural_documents: u64,
    /// Tokens of synthetic text, exactly, by the generation that wrote them.
    pub synthetic_tokens: BTreeMap<usize, Tokens>,
    /// Synthetic documents, cut ones included.
    pub synthetic_documents: u64,
    /// Arms that wrote the synthetic text; empty if it is the arm's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synthetic_from: Vec<String>,
    /// Whether natural text is fixed or fresh, and whether it displaces synthetic text or is added to it, such as
    /// `"fixed, displaces synthetic text"`.
    pub natural: String,
    /// BLAKE3 of the documents trained on, in order: for each its length as u64 and its ids as u32, little-endian.
    pub hash: String,
}

impl MixtureRecord {
    /// How often each token of natural text occurs in the training text, on average. 1 if nothing is repeated.
    #[must_use]
    pub fn natural_repetitions(&self) -> f64 {
        let distinct = self.distinct_natural_tokens.filter(|distinct| distinct.0 > 0);
        distinct.map_or(1.0, |distinct| self.natural_tokens.0 as f64 / distinct.0 as f64)
    }
}

/// Program, machine, command line and inputs of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of genloss.
    pub version: String,
    /// Cargo features that it was built with.
    pub features: Vec<String>,
    /// Processor and number of threads, such as `"AMD EPYC 7B13, 2 threads"`.
    pub cpu: String,
    /// Vector instructions of the process that created the store; empty if that process only prepared it and nobody has
    /// collected the results yet.
    #[serde(default)]
    pub instructions: String,
    /// Device of transformer models, `"cpu"` or `"cuda:0"`, in that process; empty as above.
    pub device: String,
    /// Other vector instructions and devices with which later processes made generations. Each generation also has its
    /// own on record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed_on: Vec<Machine>,
    /// Arguments of the process that created the store, the program first.
    pub command_line: Vec<String>,
    /// Conventions for text that earlier versions treated differently, by kind of text. Only kinds that occur in the
    /// run are listed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conventions: BTreeMap<String, String>,
    /// BLAKE3 of the natural text of each split, by its name.
    pub corpus: BTreeMap<String, String>,
    /// Tokens in each split, by its name.
    pub split_tokens: BTreeMap<String, Tokens>,
    /// Files that the text was read from, and its splits. Empty in records of earlier versions.
    #[serde(default, skip_serializing_if = "is_absent")]
    pub text: TextRecord,
    /// How much of each split the tokenizer represents, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub coverage: BTreeMap<String, Coverage>,
    /// BLAKE3 of `tokenizer.json`.
    pub tokenizer: String,
    /// The tokens that start and end documents. Empty in records of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub special_tokens: Vec<SpecialRecord>,
    /// BLAKE3 of every model folder that training starts from, by its path.
    #[serde(default)]
    pub bases: BTreeMap<String, String>,
    /// Entropy of the held-out text under the distribution that it came from, in nats per token: no model has a
    /// lower expected loss. `None` unless the text comes from the built-in world.
    pub heldout_floor_nats: Option<f64>,
}

/// Returns true if nothing is known about the text, as in records of earlier versions. This value must not be written,
/// because it would be read as a text without documents.
fn is_absent(text: &TextRecord) -> bool {
    *text == TextRecord::default()
}

impl Provenance {
    /// The vector instructions and device of the process that created the store.
    #[must_use]
    pub fn machine(&self) -> Machine {
        Machine { instructions: self.instructions.clone(), device: self.device.clone() }
    }

    /// Where this process makes generations.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let Process { host, job, .. } = Process::this();
        Origin {
            host,
            cpu: self.cpu.clone(),
            instructions: self.instructions.clone(),
            device: self.device.clone(),
            job: job.map(|job| job.id),
        }
    }

    /// All vector instructions and devices with which generations of the store were made. Empty for stores of earlier
    /// versions, which recorded none.
    #[must_use]
    pub fn machines(&self) -> Vec<Machine> {
        let first = Some(self.machine()).filter(|machine| !machine.instructions.is_empty());
        first.into_iter().chain(self.resumed_on.iter().cloned()).collect()
    }
}
