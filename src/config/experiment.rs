//! An experiment whose settings have been checked, with every default filled in.

use super::expectation::Expectation;
use crate::corpus::CorpusSettings;
use crate::mixture::{self, Mixture};
use crate::seed::{StreamKey, Varied};
use crate::settings::{result_table_of, table_of};
use crate::synthesis::SynthesisSettings;
use crate::tokenizer::TokenizerSettings;
use crate::training::{ModelSettings, TrainingSettings};
use crate::units::Tokens;
use std::borrow::Cow;
use toml::{Table, Value};

/// The name of the arm that never trains on synthetic text.
pub const CONTROL: &str = "control";

/// A comparison of arms: every arm is run with every seed, for a number of generations.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// A valid folder name.
    pub name: String,
    /// At least one, without repetitions.
    pub seeds: Vec<u64>,
    /// The sources of randomness in which the seeds differ.
    pub vary: Varied,
    /// Generations after generation 0.
    pub generations: usize,
    /// Published numbers that the run should reproduce.
    pub expectations: Vec<Expectation>,
    /// Synthetic tokens that each measurement uses. The last generation writes only these, since no model is trained on
    /// its text.
    pub measured_tokens: Tokens,
    /// Natural text and how it is split.
    pub corpus: CorpusSettings,
    /// Shared by all models of the experiment.
    pub tokenizer: TokenizerSettings,
    /// Model of generation 0, and of every arm that does not override it.
    pub model: ModelSettings,
    /// Training of generation 0, and of every arm that does not override it.
    pub training: TrainingSettings,
    /// Synthesis by generation 0, and by every arm that does not override it.
    pub synthesis: SynthesisSettings,
    /// Settings of generation 0, if they differ from those above (a teacher).
    pub writer: Option<WriterSettings>,
    /// The arms, the control first.
    pub arms: Vec<Arm>,
}

/// A generation 0 with its own settings (a teacher). It is the same for every arm, and writes the first synthetic text
/// that all arms train on.
#[derive(Clone, Debug, PartialEq)]
pub struct WriterSettings {
    /// Model of generation 0.
    pub model: ModelSettings,
    /// Training of generation 0.
    pub training: TrainingSettings,
    /// Synthesis by generation 0. The number of tokens is that of the experiment.
    pub synthesis: SynthesisSettings,
}

/// One of the conditions that an experiment compares.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// A valid folder name.
    pub name: String,
    /// Training text of generations 1, 2, ….
    pub mixture: Mixture,
    /// Model of every generation.
    pub model: ModelSettings,
    /// Training of every generation.
    pub training: TrainingSettings,
    /// Synthesis by every generation.
    pub synthesis: SynthesisSettings,
}

impl Experiment {
    /// Whether any model learns to fill gaps, which requires sentinel tokens in the vocabulary.
    #[must_use]
    pub fn fills_gaps(&self) -> bool {
        let writer = self.writer.iter().map(|writer| &writer.training);
        let arms = self.arms.iter().map(|arm| &arm.training);
        arms.chain(writer).chain([&self.training]).any(|training| training.fim_share > 0.0)
    }

    /// The key of a random stream of one of the seeds.
    #[must_use]
    pub fn stream_key(&self, seed: u64, arm: &str, generation: usize, stage: &'static str) -> StreamKey {
        StreamKey::new(seed, arm, generation, stage).varying(self.vary)
    }

    /// Whether any training starts from random weights, or from random updates of a base model's.
    pub(super) fn draws_weights(&self) -> bool {
        let writer = self.writer.iter().map(|writer| (&writer.model, &writer.training));
        let arms = self.arms.iter().map(|arm| (&arm.model, &arm.training));
        let mut trained = arms.chain(writer);
        trained.any(|(model, training)| {
            model.draws_weights() && (training.base.is_none() || training.lora.is_some())
        })
    }

    /// The arm that never trains on synthetic text.
    #[must_use]
    pub fn control(&self) -> &Arm {
        &self.arms[0]
    }

    /// Whether `arm` uses the generation 0 that arms share: there is a writer, or `arm` overrides no setting that affects
    /// results of generation 0.
    #[must_use]
    pub fn shares_generation_0(&self, arm: &Arm) -> bool {
        let overrides_nothing = arm.model.result_table() == self.model.result_table()
            && result_table_of(&arm.training) == result_table_of(&self.training)
            && arm.synthesis.result_table() == self.synthesis.result_table();
        self.writer.is_some() || overrides_nothing
    }

    /// The arms whose synthetic text an arm learns from: itself, unless its mixture names others.
    pub fn sources<'a>(&'a self, arm: &'a Arm) -> impl Iterator<Item = &'a Arm> {
        let named = &arm.mixture.synthetic_from;
        self.arms.iter().filter(move |one| match named.is_empty() {
            true => one.name == arm.name,
            false => named.contains(&one.name),
        })
    }

    /// The arms in groups that are made together, generation by generation, because they learn from each other's text.
    /// Each is in one group, most of them alone.
    #[must_use]
    pub fn arms_together(&self) -> Vec<Vec<&Arm>> {
        arms_together(&self.arms)
    }

    /// Tokens that a generation of an arm writes: `synthesis.tokens`, or more if the next generation trains on more. A
    /// generation 0 that arms share writes enough for each of them; the last generation writes only what is measured.
    #[must_use]
    pub fn tokens_written(&self, arm: &Arm, generation: usize) -> Tokens {
        if generation == self.generations {
            return self.measured_tokens;
        }
        let is_shared = generation == 0 && self.shares_generation_0(arm);
        let is_source = |one: &Arm| one.name == arm.name || (is_shared && self.shares_generation_0(one));
        let writes_for = |other: &&Arm| self.sources(other).any(is_source);
        let budget = self.corpus.train_tokens;
        let needs = |other: &Arm| {
            mixture::corpus_tokens(&other.mixture, generation + 1, budget, other.synthesis.tokens)
        };
        self.arms.iter().filter(writes_for).map(needs).max().unwrap_or(arm.synthesis.tokens)
    }

    /// The settings of `arm` at `generation`: those of the writer, if there is one, at generation 0.
    #[must_use]
    pub fn at<'a>(&self, arm: &'a Arm, generation: usize) -> Cow<'a, Arm> {
        match &self.writer {
            Some(WriterSettings { model, training, synthesis }) if generation == 0 => Cow::Owned(Arm {
                name: arm.name.clone(),
                mixture: arm.mixture.clone(),
                model: model.clone(),
                training: training.clone(),
                synthesis: synthesis.clone(),
            }),
            Some(_) | None => Cow::Borrowed(arm),
        }
    }

    /// The resolved experiment file, with every default written out.
    ///
    /// # Panics
    /// Never: settings are representable in TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.table()).expect("settings are representable in TOML")
    }

    pub(super) fn table(&self) -> Table {
        let integer = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let seeds: Vec<Value> = self.seeds.iter().map(|&seed| integer(seed)).collect();
        let vary = self.vary.names(true).into_iter().map(|name| Value::String(name.to_owned())).collect();
        let arms: Vec<Value> = self.arms.iter().map(|arm| Value::Table(arm.table())).collect();
        let mut table = Table::from_iter([
            ("name".to_owned(), Value::String(self.name.clone())),
            ("seeds".to_owned(), Value::Array(seeds)),
            ("vary".to_owned(), Value::Array(vary)),
            ("generations".to_owned(), integer(self.generations as u64)),
            ("measured_tokens".to_owned(), integer(self.measured_tokens.0)),
            ("corpus".to_owned(), Value::Table(table_of(&self.corpus))),
            ("tokenizer".to_owned(), Value::Table(table_of(&self.tokenizer))),
        ]);
        table.extend(sections(&self.model, &self.training, &self.synthesis));
        if let Some(writer) = &self.writer {
            let mut sections = sections(&writer.model, &writer.training, &writer.synthesis);
            if let Some(Value::Table(synthesis)) = sections.get_mut("synthesis") {
                synthesis.remove("tokens");
            }
            table.insert("writer".to_owned(), Value::Table(sections));
        }
        table.insert("arm".to_owned(), Value::Array(arms));
        if !self.expectations.is_empty() {
            let rows = self.expectations.iter().map(|expected| Value::Table(table_of(expected)));
            table.insert("expect".to_owned(), Value::Array(rows.collect()));
        }
        table
    }
}

impl Arm {
    fn table(&self) -> Table {
        let mut table = Table::from_iter([("name".to_owned(), Value::String(self.name.clone()))]);
        table.extend(self.settings());
        table
    }

    /// The tables `mixture`, `model`, `training` and `synthesis` of the resolved experiment file.
    #[must_use]
    pub fn settings(&self) -> Table {
        let mut table = Table::from_iter([("mixture".to_owned(), Value::Table(table_of(&self.mixture)))]);
        table.extend(sections(&self.model, &self.training, &self.synthesis));
        table
    }
}

/// As [`Experiment::arms_together`], of these arms.
pub(super) fn arms_together(arms: &[Arm]) -> Vec<Vec<&Arm>> {
    if arms.iter().all(|arm| arm.mixture.synthetic_from.is_empty()) {
        return arms.iter().map(|arm| vec![arm]).collect();
    }
    let mut groups: Vec<Vec<&Arm>> = Vec::new();
    for arm in arms {
        let names = &arm.mixture.synthetic_from;
        let is_linked =
            |other: &&Arm| names.contains(&other.name) || other.mixture.synthetic_from.contains(&arm.name);
        let (linked, others): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|group| group.iter().any(is_linked));
        groups = others;
        groups.push(linked.into_iter().flatten().chain([arm]).collect());
    }
    let place = |arm: &Arm| arms.iter().position(|one| one.name == arm.name);
    for group in &mut groups {
        group.sort_by_key(|arm| place(arm));
    }
    groups.sort_by_key(|group| place(group[0]));
    groups
}

/// The tables `model`, `training` and `synthesis`.
fn sections(model: &ModelSettings, training: &TrainingSettings, synthesis: &SynthesisSettings) -> Table {
    Table::from_iter([
        ("model".to_owned(), Value::Table(model.table().clone())),
        ("training".to_owned(), Value::Table(table_of(training))),
        ("synthesis".to_owned(), Value::Table(synthesis.table())),
    ])
}
