//! Reads the tables of an experiment file into an [`Experiment`].

use super::document::Document;
use super::error::ConfigError;
use super::expectation::{self, Expectation};
use super::experiment::{Arm, CONTROL, Experiment, WriterSettings, arms_together};
use super::names;
use super::registry::Registry;
use crate::corpus::CorpusSettings;
use crate::mixture::Mixture;
use crate::seed::{Source, Varied};
use crate::settings::{self, SettingError, unknown_key};
use crate::synthesis::SynthesisSettings;
use crate::tokenizer::TokenizerSettings;
use crate::training::{Init, ModelSettings, TrainingSettings};
use crate::units::Tokens;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use toml::{Table, Value};

/// The top-level settings of an experiment file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// Name of the experiment and of its folder: up to 100 letters, digits, `-`, `_`, `.`, `=` and `,`.
    #[schemars(extend("pattern" = names::FOLDER_PATTERN, "maxLength" = names::MAX_NAME_BYTES))]
    name: String,
    /// Random seeds, whole numbers from 0 to 9223372036854775807, at most 1000. Every arm is run once with each seed.
    #[schemars(length(min = 1, max = 1000), inner(range(max = 9_223_372_036_854_775_807_u64)), extend("uniqueItems" = true, "x-hint" = "give at least one seed, such as [1, 2, 3]"))]
    seeds: Vec<u64>,
    /// What seeds differ in: their initial weights, the data (natural documents and the order of training), the sampling of
    /// synthetic text. Draws that are left out are the same for all seeds, so intervals show the spread of the others alone.
    #[serde(default = "all_sources")]
    #[schemars(extend("uniqueItems" = true))]
    vary: Vec<Source>,
    /// Number of generations after generation 0.
    #[schemars(range(min = 1, max = 1000))]
    generations: usize,
    /// Synthetic tokens that each measurement uses. At most the smallest `synthesis.tokens` of any arm, which is the
    /// default. The last generation writes only these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64), extend("x-sensible" = {"minimum": 32, "why": "fewer are too few to estimate a distribution"}))]
    measured_tokens: Option<Tokens>,
    /// Published numbers that the run should reproduce, with their sources. `genloss compare` shows them beside those that
    /// were measured.
    #[serde(default)]
    expect: Vec<Expectation>,
}

fn all_sources() -> Vec<Source> {
    Source::ALL.to_vec()
}

/// The tables that an arm or the writer may override.
pub(super) const SECTIONS: [&str; 3] = ["model", "training", "synthesis"];

/// An error and the part of the file that it belongs to.
struct ReadError {
    scope: Scope,
    error: SettingError,
}

/// The part of the file that the key of an error is relative to.
#[derive(Clone, PartialEq)]
enum Scope {
    File,
    Writer,
    Arm(String),
}

impl From<SettingError> for ReadError {
    fn from(error: SettingError) -> Self {
        Self { scope: Scope::File, error }
    }
}

impl ReadError {
    /// Adds the scope to the key, and the position of the key in the file. If the key belongs to another table, the
    /// message names that table.
    fn located(self, document: &Document, registry: &Registry) -> ConfigError {
        let SettingError { key, message, is_unknown_key } = self.error;
        let name = key.rsplit('.').next().unwrap_or_default();
        let home = if is_unknown_key { registry.home_of(name) } else { None };
        let message = match (home, message.split_once("; ")) {
            (Some(home), Some((unknown, advice))) => {
                format!("{unknown}: it belongs in {home}; here, {advice}")
            }
            _ => message,
        };
        let keys: Vec<String> = key.split('.').map(str::to_owned).collect();
        let prefix: Vec<String> = match &self.scope {
            Scope::File => Vec::new(),
            Scope::Writer => vec!["writer".to_owned()],
            Scope::Arm(name) => vec!["arm".to_owned(), name.clone()],
        };
        let own = [prefix, keys.clone()].concat();
        // A setting that an arm or the writer inherits is in the table of the experiment.
        let path = if !document.has(&own) && document.has(&keys) { keys } else { own };
        let position = Some(document.position(&path));
        let key = match self.scope {
            Scope::File => key,
            Scope::Writer => format!("writer.{key}"),
            Scope::Arm(name) => format!("arm \"{name}\": {key}"),
        };
        ConfigError::Setting { position, key, message }
    }
}

/// The author of a file, which decides how strictly names and ranges are checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A user wrote it.
    User,
    /// A run recorded it, perhaps with an earlier version, which allowed more names.
    Record,
}

/// Reads the tables of a file as one experiment.
pub(super) fn experiment(
    registry: &Registry,
    table: Table,
    document: &Document,
    origin: Origin,
) -> Result<Experiment, ConfigError> {
    read_experiment(registry, table, origin).map_err(|error| error.located(document, registry))
}

fn read_experiment(registry: &Registry, mut file: Table, origin: Origin) -> Result<Experiment, ReadError> {
    if file.remove("grid").is_some_and(|grid| grid.as_table().is_none_or(|grid| !grid.is_empty())) {
        let message = "turns this file into several experiments; run them with genloss sweep";
        return Err(SettingError::new("grid", message).into());
    }
    no_unknown_keys(&file)?;
    let corpus = read_corpus(take_table(&mut file, "corpus")?)?;
    let tokenizer = read_tokenizer(take_table(&mut file, "tokenizer")?)?;
    let base = Sections::take(&mut file)?;
    let writer = file.remove("writer");
    let arms = take_arms(&mut file)?;
    let head = read_head(file, origin)?;
    let reader = Reader { registry, base: &base, corpus: &corpus, origin };
    let Settings { model, training, synthesis } = reader.settings(base.clone())?;
    let writer = writer.map(|writer| reader.writer(writer)).transpose()?;
    let arms = reader.arms(arms)?;
    if let Some(writer) = &writer {
        arms.iter().try_for_each(|arm| check_chained(arm, writer))?;
    }
    arms.iter().try_for_each(|arm| check_sources(arm, &arms))?;
    check_together(&arms)?;
    let measured_tokens = measured_tokens(head.measured_tokens, &arms)?;
    let Head { name, seeds, vary, generations, expect: expectations, .. } = head;
    let experiment = Experiment {
        name,
        seeds,
        vary: Varied::new(&vary),
        generations,
        expectations,
        measured_tokens,
        corpus,
        tokenizer,
        model,
        training,
        synthesis,
        writer,
        arms,
    };
    check_varies(&experiment)?;
    let names: Vec<&str> = experiment.arms.iter().map(|arm| arm.name.as_str()).collect();
    expectation::check(&experiment.expectations, &names, experiment.generations)?;
    if origin == Origin::User {
        check_sensible(&experiment, &registry.full_schema())?;
    }
    Ok(experiment)
}

/// Checks that every number is in the range of meaningful values. The tables of the file are checked first,
/// because arms inherit from them.
fn check_sensible(experiment: &Experiment, schema: &Json) -> Result<(), ReadError> {
    let mut file = experiment.table();
    let arms = take_arms(&mut file)?;
    let writer = file.remove("writer");
    // If it is not in the file, it is derived from a setting that is checked here, and that users know.
    let measured_tokens = file.remove("measured_tokens");
    settings::check_sensible(&file, schema)?;
    let decoder = |synthesis: &SynthesisSettings| {
        synthesis.check_decoder_is_used().map_err(|error| error.below("synthesis"))
    };
    decoder(&experiment.synthesis)?;
    if let Some(Value::Table(writer)) = writer {
        let checked = settings::check_sensible(&writer, &schema["properties"]["writer"]);
        let used = experiment.writer.as_ref().map_or(Ok(()), |writer| decoder(&writer.synthesis));
        checked.and(used).map_err(|error| ReadError { scope: Scope::Writer, error })?;
    }
    for (arm, table) in experiment.arms.iter().zip(arms) {
        let checked = settings::check_sensible(&table, &schema["properties"]["arm"]["items"]);
        let length = || arm.mixture.check_length(experiment.generations);
        checked
            .and_then(|()| length().map_err(|error| error.below("mixture")))
            .and_then(|()| decoder(&arm.synthesis))
            .map_err(|error| ReadError { scope: Scope::Arm(arm.name.clone()), error })?;
    }
    let measured_tokens = measured_tokens.map(|tokens| ("measured_tokens".to_owned(), tokens));
    Ok(settings::check_sensible(&measured_tokens.into_iter().collect(), schema)?)
}

/// Largest number of arms in an experiment.
const MAX_ARMS: usize = 1000;

/// The tables of an experiment file.
const TABLES: [&str; 8] = ["corpus", "tokenizer", "model", "training", "synthesis", "writer", "arm", "grid"];

/// Checks all keys of the file before any is missed, because a key that seems to be missing may be misspelt.
fn no_unknown_keys(file: &Table) -> Result<(), SettingError> {
    let head = settings::schema_of::<Head>();
    let head = settings::properties(&head);
    let known: Vec<&str> = head.iter().map(|(name, _)| name.as_str()).chain(TABLES).collect();
    no_other_keys(file, &known)
}

fn read_head(file: Table, origin: Origin) -> Result<Head, SettingError> {
    let head: Head = settings::read(file)?;
    check_name("name", &head.name, origin)?;
    check_seeds(&head.seeds)?;
    Ok(head)
}

fn check_name(key: &str, name: &str, origin: Origin) -> Result<(), SettingError> {
    match origin {
        Origin::User => names::check_new(key, name),
        Origin::Record => names::check_folder(key, name),
    }
}

fn check_seeds(seeds: &[u64]) -> Result<(), SettingError> {
    let mut seen = BTreeSet::new();
    if let Some(seed) = seeds.iter().find(|seed| !seen.insert(**seed)) {
        let message = format!("{seed} is given twice; remove one, as the same seed gives the same results");
        return Err(SettingError::new("seeds", message));
    }
    Ok(())
}

/// Checks that seeds differ in something that is drawn.
fn check_varies(experiment: &Experiment) -> Result<(), SettingError> {
    let vary = experiment.vary;
    let varies = vary.has(Source::Data)
        || vary.has(Source::Sampling)
        || vary.has(Source::Initialisation) && experiment.draws_weights();
    if varies || experiment.seeds.len() == 1 {
        return Ok(());
    }
    let message = match vary.has(Source::Initialisation) {
        true => {
            "no model here starts from random weights, so all seeds would be the same; add \"data\" or \"sampling\""
        }
        false => {
            "all seeds would be the same; name \"initialisation\", \"data\" or \"sampling\", or give a single seed"
        }
    };
    Err(SettingError::new("vary", message))
}

fn read_corpus(mut table: Table) -> Result<CorpusSettings, SettingError> {
    CorpusSettings::complete(&mut table);
    let corpus = settings::read::<CorpusSettings>(table).and_then(|corpus| corpus.check().map(|()| corpus));
    corpus.map_err(|error| error.below("corpus"))
}

fn read_tokenizer(mut table: Table) -> Result<TokenizerSettings, SettingError> {
    TokenizerSettings::complete(&mut table);
    let tokenizer = settings::read::<TokenizerSettings>(table)
        .and_then(|tokenizer| tokenizer.check().map(|()| tokenizer));
    tokenizer.map_err(|error| error.below("tokenizer"))
}

/// The tables that an arm or the writer may override.
#[derive(Clone, Default)]
struct Sections {
    model: Table,
    training: Table,
    synthesis: Table,
}

impl Sections {
    /// Removes the tables from `above`.
    fn take(above: &mut Table) -> Result<Self, SettingError> {
        let [model, training, synthesis] = SECTIONS;
        Ok(Self {
            model: take_table(above, model)?,
            training: take_table(above, training)?,
            synthesis: take_table(above, synthesis)?,
        })
    }
}

fn take_table(above: &mut Table, key: &str) -> Result<Table, SettingError> {
    match above.remove(key) {
        None => Ok(Table::new()),
        Some(Value::Table(table)) => Ok(table),
        Some(other) => {
            Err(SettingError::new(key, format!("expected a table, found {}", settings::described(&other))))
        }
    }
}

/// Removes the array of tables `[[arm]]` from the file.
fn take_arms(file: &mut Table) -> Result<Vec<Table>, SettingError> {
    let invalid = || SettingError::new("arm", "expected tables that each begin with [[arm]]");
    let arms = match file.remove("arm") {
        None => return Ok(Vec::new()),
        Some(Value::Array(arms)) => arms,
        Some(_) => return Err(invalid()),
    };
    if arms.len() > MAX_ARMS {
        let message = format!(
            "{} arms are more than the {MAX_ARMS} that an experiment can have; use several files",
            arms.len()
        );
        return Err(SettingError::new("arm", message));
    }
    arms.into_iter()
        .map(|arm| match arm {
            Value::Table(arm) => Ok(arm),
            _ => Err(invalid()),
        })
        .collect()
}

/// Checked settings of an arm, the writer or the experiment.
struct Settings {
    model: ModelSettings,
    training: TrainingSettings,
    synthesis: SynthesisSettings,
}

/// Reads the settings of arms and the writer, which inherit from the tables of the experiment.
struct Reader<'a> {
    registry: &'a Registry,
    base: &'a Sections,
    corpus: &'a CorpusSettings,
    origin: Origin,
}

impl Reader<'_> {
    fn settings(&self, sections: Sections) -> Result<Settings, SettingError> {
        let Sections { model, mut training, mut synthesis } = sections;
        let train_tokens = self.corpus.train_tokens;
        let model = self.registry.models.read(model, &()).map_err(|error| error.below("model"))?;
        TrainingSettings::complete(&mut training, train_tokens);
        let training = settings::read::<TrainingSettings>(training)
            .and_then(|training| training.check().map(|()| training))
            .and_then(|training| model.check_training(&training).map(|()| training))
            .map_err(|error| error.below("training"))?;
        SynthesisSettings::complete(&mut synthesis, train_tokens);
        let synthesis =
            SynthesisSettings::read(synthesis, &self.registry.synthesis, &*model, &training, self.corpus)
                .map_err(|error| error.below("synthesis"))?;
        Ok(Settings { model, training, synthesis })
    }

    /// Removes the tables of an arm or the writer from `above` and reads them, inheriting from those of the experiment.
    fn overridden(&self, above: &mut Table) -> Result<Settings, SettingError> {
        let Sections { model, training, synthesis } = Sections::take(above)?;
        self.settings(Sections {
            model: self.registry.models.inherit(model, &self.base.model),
            training: TrainingSettings::inherit(training, &self.base.training),
            synthesis: self.registry.synthesis.inherit(synthesis, &self.base.synthesis),
        })
    }

    fn writer(&self, value: Value) -> Result<WriterSettings, ReadError> {
        let in_writer = |error| ReadError { scope: Scope::Writer, error };
        let Value::Table(mut table) = value else {
            return Err(SettingError::new("writer", "expected a table").into());
        };
        let synthesis = table.get("synthesis").and_then(Value::as_table);
        if synthesis.is_some_and(|synthesis| synthesis.contains_key("tokens")) {
            let message = "has no effect: a writer writes as much as the arms train on; set synthesis.tokens";
            return Err(in_writer(SettingError::new("synthesis.tokens", message)));
        }
        no_other_keys(&table, &SECTIONS).map_err(in_writer)?;
        let Settings { model, training, synthesis } = self.overridden(&mut table).map_err(in_writer)?;
        Ok(WriterSettings { model, training, synthesis })
    }

    /// Reads the arms. The control comes first, and is added if it is not in the file.
    fn arms(&self, tables: Vec<Table>) -> Result<Vec<Arm>, ReadError> {
        let mut arms: Vec<Arm> = tables.into_iter().map(|table| self.arm(table)).collect::<Result<_, _>>()?;
        if !arms.iter().any(|arm| arm.name == CONTROL) {
            arms.push(self.arm(Table::from_iter([("name".to_owned(), Value::String(CONTROL.to_owned()))]))?);
        }
        arms.sort_by_key(|arm| arm.name != CONTROL);
        names::check_distinct(arms.iter().map(|arm| arm.name.as_str()), self.origin == Origin::User)?;
        Ok(arms)
    }

    fn arm(&self, mut table: Table) -> Result<Arm, ReadError> {
        let known = ["name", "mixture", "model", "training", "synthesis"];
        let name = match table.get("name") {
            Some(Value::String(name)) => name.clone(),
            Some(_) | None => {
                no_other_keys(&table, &known).map_err(|error| error.below("arm"))?;
                return Err(SettingError::new("arm", "an arm has no name; add name = \"…\"").into());
            }
        };
        let in_arm = |error| ReadError { scope: Scope::Arm(name.clone()), error };
        no_other_keys(&table, &known).map_err(in_arm)?;
        check_name("name", &name, self.origin).map_err(in_arm)?;
        if name.to_ascii_lowercase().starts_with("gen-") {
            let message = "names that begin with \"gen-\" are reserved for generations; choose another name";
            return Err(in_arm(SettingError::new("name", message)));
        }
        let mixture = read_mixture(&name, table.remove("mixture")).map_err(in_arm)?;
        let Settings { model, training, synthesis } = self.overridden(&mut table).map_err(in_arm)?;
        Ok(Arm { name, mixture, model, training, synthesis })
    }
}

fn read_mixture(arm: &str, value: Option<Value>) -> Result<Mixture, SettingError> {
    let mixture = match value {
        Some(value) => Mixture::read(value).map_err(|error| error.below("mixture"))?,
        None if arm == CONTROL => Mixture::control(),
        None => {
            let message =
                "is missing; give a published name such as \"replace\", or { natural_fraction = 0.3 }";
            return Err(SettingError::new("mixture", message));
        }
    };
    if arm == CONTROL && mixture != Mixture::control() {
        let message =
            "the control always trains on natural text only; leave this out, or give the arm another name";
        return Err(SettingError::new("mixture", message));
    }
    Ok(mixture)
}

fn no_other_keys(table: &Table, known: &[&str]) -> Result<(), SettingError> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(unknown_key(key, known.iter().copied())),
        None => Ok(()),
    }
}

/// Checks that an arm whose training starts from the weights of generation 0 has the same model as the writer.
fn check_chained(arm: &Arm, writer: &WriterSettings) -> Result<(), ReadError> {
    let is_alike = arm.model == writer.model && arm.training.writers == writer.training.writers;
    if arm.training.init != Init::Chained || is_alike {
        return Ok(());
    }
    let message = "\"chained\" starts from the weights of generation 0, but the [writer] has a different model, or another number of training.writers; use \"scratch\", or give both the same";
    let error = SettingError::new("training.init", message);
    Err(ReadError { scope: Scope::Arm(arm.name.clone()), error })
}

/// Checks that the arms whose text an arm learns from are arms of the experiment.
fn check_sources(arm: &Arm, arms: &[Arm]) -> Result<(), ReadError> {
    let is_unknown = |name: &&String| !arms.iter().any(|arm| arm.name == **name);
    let Some(unknown) = arm.mixture.synthetic_from.iter().find(is_unknown) else { return Ok(()) };
    let known = names::arms_in_words(arms.iter().map(|arm| arm.name.as_str()));
    let message = format!("\"{unknown}\" is not an arm; there are the {known}");
    let error = SettingError::new("mixture.synthetic_from", message);
    Err(ReadError { scope: Scope::Arm(arm.name.clone()), error })
}

/// Largest length of the names of arms that are made together. They are part of a file name.
const MAX_TOGETHER_BYTES: usize = 200;

/// Checks that arms that learn from each other's text are not too many.
fn check_together(arms: &[Arm]) -> Result<(), ReadError> {
    let lengths = |together: &Vec<&Arm>| together.iter().map(|arm| arm.name.len() + 1).sum::<usize>();
    let too_long = |together: &Vec<&Arm>| together.len() > 1 && lengths(together) > MAX_TOGETHER_BYTES;
    let Some(together) = arms_together(arms).into_iter().find(too_long) else { return Ok(()) };
    let message = format!(
        "{} arms are made together, because they learn from each other's text or from that of the same arm, and their names have \
         more than {MAX_TOGETHER_BYTES} letters in all; choose shorter names, or split the experiment",
        together.len()
    );
    let error = SettingError::new("mixture.synthetic_from", message);
    let reader = together.iter().find(|arm| !arm.mixture.synthetic_from.is_empty());
    Err(ReadError { scope: Scope::Arm(reader.unwrap_or(&together[0]).name.clone()), error })
}

/// Number of synthetic tokens to measure: at most what the arm with the shortest corpus writes, so that all arms are
/// measured on the same number of tokens.
fn measured_tokens(given: Option<Tokens>, arms: &[Arm]) -> Result<Tokens, SettingError> {
    let written = arms.iter().map(|arm| arm.synthesis.tokens).min().unwrap_or_default();
    match given {
        Some(given) if given > written => {
            let message = format!(
                "{given} is more than the {written} tokens that an arm writes (synthesis.tokens); lower measured_tokens"
            );
            Err(SettingError::new("measured_tokens", message))
        }
        Some(given) => Ok(given),
        None => Ok(written),
    }
}
