//! From what a file says to what an experiment is: defaults filled in, every setting checked.

mod corpus;
pub(super) mod decoding;
mod methods;
mod mixture;
mod model;
mod training;
mod values;
mod writing;

pub(super) use mixture::mixture_value;
pub(super) use values::{LARGEST_SHAPE, check_name, number, positive, share, within};

use super::error::{ConfigError, setting};
use super::file::{
    ArmTable, ExperimentFile, MixtureValue, ModelTable, SynthesisTable, TrainingTable, WriterTable,
};
use super::regimes;
use super::settings::{Arm, CONTROL, Corpus, Experiment, Init, Model, Synthesis, Training, Writer};
use crate::units::Tokens;
use corpus::{corpus, tokenizer};
use mixture::mixture;
use model::model;
use training::training;
use values::tokens;
use writing::synthesis;

const MOST_GENERATIONS: usize = 1000;

/// Checks a whole experiment file.
pub(super) fn experiment(file: ExperimentFile) -> Result<Experiment, ConfigError> {
    if !file.grid.is_empty() {
        return Err(setting("grid", "makes several experiments of this file; run them with genloss sweep"));
    }
    check_name("name", &file.name)?;
    check_seeds(&file.seeds)?;
    within("generations", file.generations, 1, MOST_GENERATIONS)?;
    let corpus = corpus(file.corpus)?;
    let tokenizer = tokenizer(&file.tokenizer)?;
    let model = model("model", &file.model)?;
    let training = training("training", &file.training, &model, &corpus)?;
    let synthesis = synthesis("synthesis", &file.synthesis, &model, &training, &corpus)?;
    let base =
        Base { model: &file.model, training: &file.training, synthesis: &file.synthesis, corpus: &corpus };
    let writer = file.writer.as_ref().map(|table| base.writer(table)).transpose()?;
    let mut arms = Vec::new();
    if !file.arms.iter().any(|arm| arm.name == CONTROL) {
        arms.push(base.arm(&ArmTable::control())?);
    }
    for table in &file.arms {
        let arm = base.arm(table)?;
        if arms.iter().any(|other: &Arm| other.name == arm.name) {
            return Err(setting(
                "arm",
                format!("two arms are named \"{}\"; give each its own name", arm.name),
            ));
        }
        arms.push(arm);
    }
    arms.sort_by_key(|arm| arm.name != CONTROL);
    if let Some(writer) = &writer {
        arms.iter().try_for_each(|arm| follows(arm, writer))?;
    }
    let measured_tokens = measured_tokens(file.measured_tokens, &synthesis, &arms)?;
    Ok(Experiment {
        name: file.name,
        seeds: file.seeds,
        generations: file.generations,
        measured_tokens,
        corpus,
        tokenizer,
        model,
        training,
        synthesis,
        writer,
        arms,
    })
}

/// A model that goes on from the weights of generation 0 must have their shape.
fn follows(arm: &Arm, writer: &Writer) -> Result<(), ConfigError> {
    match arm.training.init {
        Init::Chained { .. } if arm.model != writer.model => Err(setting(
            format!("arm \"{}\": training.init", arm.name),
            "\"chained\" goes on from the weights of generation 0, and the [writer] is another model; use \"scratch\", or leave out writer.model",
        )),
        _ => Ok(()),
    }
}

/// No more than any arm writes, so that all are measured on the same number.
fn measured_tokens(given: Option<u64>, base: &Synthesis, arms: &[Arm]) -> Result<Tokens, ConfigError> {
    const KEY: &str = "measured_tokens";
    let written = arms.iter().map(|arm| arm.synthesis.tokens).min().unwrap_or(base.tokens);
    match given {
        None => Ok(written),
        Some(given) if Tokens(given) > written => {
            let message = format!(
                "{} is more than the {written} that an arm writes (synthesis.tokens); lower it",
                Tokens(given)
            );
            Err(setting(KEY, message))
        }
        Some(given) => tokens(KEY, given),
    }
}

impl ArmTable {
    fn control() -> Self {
        let mixture = Some(MixtureValue::Name(CONTROL.to_owned()));
        Self { name: CONTROL.to_owned(), mixture, model: None, training: None, synthesis: None }
    }
}

/// What arms may override.
struct Base<'a> {
    model: &'a ModelTable,
    training: &'a TrainingTable,
    synthesis: &'a SynthesisTable,
    corpus: &'a Corpus,
}

impl Base<'_> {
    fn arm(&self, table: &ArmTable) -> Result<Arm, ConfigError> {
        let key = |part: &str| format!("arm \"{}\": {part}", table.name);
        check_name("arm.name", &table.name)?;
        if table.name.starts_with("gen-") {
            return Err(setting(
                key("name"),
                "names that begin with \"gen-\" are kept for generations; choose another",
            ));
        }
        let (model, training, synthesis) =
            self.under(&key, (table.model.as_ref(), table.training.as_ref(), table.synthesis.as_ref()))?;
        let arm = Arm {
            name: table.name.clone(),
            mixture: mixture(&key("mixture"), table)?,
            model,
            training,
            synthesis,
        };
        if arm.name == CONTROL && arm.mixture != regimes::control() {
            return Err(setting(
                key("mixture"),
                "the control trains on natural text only; give this arm another name",
            ));
        }
        Ok(arm)
    }

    fn writer(&self, table: &WriterTable) -> Result<Writer, ConfigError> {
        let key = |part: &str| format!("writer.{part}");
        if table.synthesis.as_ref().is_some_and(|synthesis| synthesis.tokens.is_some()) {
            let message = "has no meaning: a writer writes as much as the arms take; set synthesis.tokens";
            return Err(setting(key("synthesis.tokens"), message));
        }
        let (model, training, synthesis) =
            self.under(&key, (table.model.as_ref(), table.training.as_ref(), table.synthesis.as_ref()))?;
        Ok(Writer { model, training, synthesis })
    }

    /// What tables say over those of the experiment; `key` turns a table's name into what errors call it.
    fn under(
        &self,
        key: &dyn Fn(&str) -> String,
        (model_table, training_table, synthesis_table): Overrides,
    ) -> Result<(Model, Training, Synthesis), ConfigError> {
        let model_table = model_table.map_or_else(|| self.model.clone(), |over| over.over(self.model));
        let training_table =
            training_table.map_or_else(|| self.training.clone(), |over| over.over(self.training));
        let synthesis_table =
            synthesis_table.map_or_else(|| self.synthesis.clone(), |over| over.over(self.synthesis));
        let model = model(&key("model"), &model_table)?;
        let training = training(&key("training"), &training_table, &model, self.corpus)?;
        let synthesis = synthesis(&key("synthesis"), &synthesis_table, &model, &training, self.corpus)?;
        Ok((model, training, synthesis))
    }
}

/// What an arm or the writer has of its own.
type Overrides<'a> = (Option<&'a ModelTable>, Option<&'a TrainingTable>, Option<&'a SynthesisTable>);

fn check_seeds(seeds: &[u64]) -> Result<(), ConfigError> {
    if seeds.is_empty() {
        return Err(setting("seeds", "there are none; give at least one, such as [1, 2, 3]"));
    }
    let repeated = seeds.iter().enumerate().find(|(place, seed)| seeds[..*place].contains(seed));
    if let Some((_, seed)) = repeated {
        return Err(setting("seeds", format!("{seed} stands twice; a repeated seed repeats its results")));
    }
    if seeds.iter().any(|&seed| i64::try_from(seed).is_err()) {
        return Err(setting("seeds", "a seed is a whole number from 0 to 9223372036854775807"));
    }
    Ok(())
}
