//! A checked experiment.

use crate::corpus::CorpusSettings;
use crate::mixture::Mixture;
use crate::settings::{result_table_of, table_of};
use crate::synthesis::SynthesisSettings;
use crate::tokenizer::TokenizerSettings;
use crate::training::{ModelSettings, TrainingSettings};
use crate::units::Tokens;
use std::borrow::Cow;
use toml::{Table, Value};

/// The name of the arm that never trains on synthetic text.
pub const CONTROL: &str = "control";

/// Arms × seeds, for a number of generations.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// A name fit for a folder.
    pub name: String,
    /// At least one, each different.
    pub seeds: Vec<u64>,
    /// Generations after generation 0.
    pub generations: usize,
    /// Synthetic tokens that measurements are made on. The last generation, on whose text nothing is trained, writes no
    /// more.
    pub measured_tokens: Tokens,
    /// Natural text.
    pub corpus: CorpusSettings,
    /// How text becomes tokens.
    pub tokenizer: TokenizerSettings,
    /// The model of generation 0 and of every arm that does not override it.
    pub model: ModelSettings,
    /// How generation 0 is trained, and every arm that does not override it.
    pub training: TrainingSettings,
    /// How generation 0 writes its corpus, and every arm that does not override it.
    pub synthesis: SynthesisSettings,
    /// Generation 0 of every arm, if it is another model than those that follow.
    pub writer: Option<WriterSettings>,
    /// The arms, the control first.
    pub arms: Vec<Arm>,
}

/// A generation 0 that is the same for every arm and writes the text that all of them train on first (a teacher).
#[derive(Clone, Debug, PartialEq)]
pub struct WriterSettings {
    /// Its model.
    pub model: ModelSettings,
    /// How it is trained.
    pub training: TrainingSettings,
    /// How it writes; its `tokens` are those of the arms.
    pub synthesis: SynthesisSettings,
}

/// One setting under comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// A name fit for a folder.
    pub name: String,
    /// What generations 1, 2, … train on.
    pub mixture: Mixture,
    /// The model of every generation.
    pub model: ModelSettings,
    /// How it is trained.
    pub training: TrainingSettings,
    /// How it writes.
    pub synthesis: SynthesisSettings,
}

impl Experiment {
    /// Whether some model learns to fill gaps, which takes sentinel tokens.
    #[must_use]
    pub fn fills_gaps(&self) -> bool {
        let writer = self.writer.iter().map(|writer| &writer.training);
        let arms = self.arms.iter().map(|arm| &arm.training);
        arms.chain(writer).chain([&self.training]).any(|training| training.fim_share > 0.0)
    }

    /// The arm that never trains on synthetic text.
    #[must_use]
    pub fn control(&self) -> &Arm {
        &self.arms[0]
    }

    /// Whether `arm` has the generation 0 that arms share: whether there is a writer, or it overrides nothing that a result
    /// of generation 0 depends on.
    #[must_use]
    pub fn shares_generation_0(&self, arm: &Arm) -> bool {
        let overrides_nothing = arm.model.result_table() == self.model.result_table()
            && result_table_of(&arm.training) == result_table_of(&self.training)
            && arm.synthesis.result_table() == self.synthesis.result_table();
        self.writer.is_some() || overrides_nothing
    }

    /// `arm` as it is at `generation`: at generation 0 with the settings of the writer, if there is one.
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

    /// The resolved experiment file: every default written out.
    ///
    /// # Panics
    /// Never: settings are representable in TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.table()).expect("settings are representable in TOML")
    }

    fn table(&self) -> Table {
        let integer = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let seeds: Vec<Value> = self.seeds.iter().map(|&seed| integer(seed)).collect();
        let arms: Vec<Value> = self.arms.iter().map(|arm| Value::Table(arm.table())).collect();
        let mut table = Table::from_iter([
            ("name".to_owned(), Value::String(self.name.clone())),
            ("seeds".to_owned(), Value::Array(seeds)),
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
        table
    }
}

impl Arm {
    fn table(&self) -> Table {
        let mut table = Table::from_iter([
            ("name".to_owned(), Value::String(self.name.clone())),
            ("mixture".to_owned(), Value::Table(table_of(&self.mixture))),
        ]);
        table.extend(sections(&self.model, &self.training, &self.synthesis));
        table
    }
}

fn sections(model: &ModelSettings, training: &TrainingSettings, synthesis: &SynthesisSettings) -> Table {
    Table::from_iter([
        ("model".to_owned(), Value::Table(model.table().clone())),
        ("training".to_owned(), Value::Table(table_of(training))),
        ("synthesis".to_owned(), Value::Table(synthesis.table())),
    ])
}
