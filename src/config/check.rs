//! From what a file says to what an experiment is: defaults filled in, every setting checked.

pub(super) mod decoding;

use super::error::{ConfigError, setting};
use super::file::{
    ArmTable, CorpusTable, ExperimentFile, FractionValue, InitValue, MixtureTable, MixtureValue, ModelKind,
    ModelTable, SourceValue, SynthesisTable, TokenizerTable, TrainingTable, WorldTable, WriterTable,
};
use super::selection::selection;
use super::settings::{
    Arm, Budget, CONTROL, Corpus, Experiment, Files, Init, Method, Mixture, Model, NaturalDocuments,
    NaturalFraction, Ngram, Source, Split, Synthesis, SyntheticDocuments, Tokenizer, Training,
    TrainingLength, Transformer, World, Writer,
};
use super::{methods, regimes};
use crate::units::Tokens;

const MOST_GENERATIONS: usize = 1000;
pub(super) const LARGEST_SHAPE: usize = 1 << 20;

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

pub(super) fn check_name(key: &str, name: &str) -> Result<(), ConfigError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | ',');
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(good) {
        let message = format!(
            "{name:?} is no name for a folder; use up to 100 letters, digits, \"-\", \"_\", \".\", \"=\" and \",\", not beginning with \".\""
        );
        return Err(setting(key, message));
    }
    Ok(())
}

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

pub(super) fn within(key: &str, value: usize, least: usize, most: usize) -> Result<usize, ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(setting(key, format!("{value} is not within {least} to {most}")))
}

/// A finite number for which `good` holds; `range` says in words what that is.
pub(super) fn number(
    key: &str,
    value: f64,
    good: impl Fn(f64) -> bool,
    range: &str,
) -> Result<f64, ConfigError> {
    if value.is_finite() && good(value) {
        return Ok(value);
    }
    Err(setting(key, format!("{value} is not {range}")))
}

pub(super) fn positive(key: &str, value: f64) -> Result<f64, ConfigError> {
    number(key, value, |x| x > 0.0, "a number above 0")
}

pub(super) fn share(key: &str, value: f64) -> Result<f64, ConfigError> {
    number(key, value, |x| (0.0..=1.0).contains(&x), "a number from 0 to 1")
}

fn open_share(key: &str, value: f64) -> Result<f64, ConfigError> {
    number(key, value, |x| x > 0.0 && x < 1.0, "a number between 0 and 1, both excluded")
}

fn tokens(key: &str, value: u64) -> Result<Tokens, ConfigError> {
    const MOST: u64 = 1_000_000_000_000;
    if (1..=MOST).contains(&value) {
        return Ok(Tokens(value));
    }
    Err(setting(key, format!("{value} is not within 1 to {}", Tokens(MOST))))
}

fn corpus(table: CorpusTable) -> Result<Corpus, ConfigError> {
    let of_documents = |key: &str, value: f64| {
        number(key, value, |x| (0.001..1.0).contains(&x), "at least 0.001 and below 1")
    };
    let heldout_share = of_documents("corpus.heldout_share", table.heldout_share.unwrap_or(0.1))?;
    let reference_share = of_documents("corpus.reference_share", table.reference_share.unwrap_or(0.3))?;
    if heldout_share + reference_share >= 1.0 {
        let message = "with corpus.heldout_share it leaves nothing to train on; their sum must be below 1";
        return Err(setting("corpus.reference_share", message));
    }
    let source = match table.source {
        SourceValue::World => {
            let file_keys = [("split", table.split.is_some()), ("text_field", table.text_field.is_some())];
            if let Some((key, _)) = file_keys.iter().find(|(_, given)| *given) {
                return Err(setting(
                    format!("corpus.{key}"),
                    "belongs to text files, and the source is \"world\"; leave it out",
                ));
            }
            Source::World(world(&table.world.unwrap_or_default())?)
        }
        SourceValue::Paths(paths) => {
            if table.world.is_some() {
                return Err(setting(
                    "corpus.world",
                    "belongs to source = \"world\", and the source is files; leave it out",
                ));
            }
            if paths.is_empty() {
                return Err(setting("corpus.source", "the list is empty; give paths or globs, or \"world\""));
            }
            let text_field = table.text_field.unwrap_or_else(|| "text".to_owned());
            Source::Files(Files { paths, split: table.split.unwrap_or(Split::Paragraph), text_field })
        }
    };
    Ok(Corpus {
        source,
        train_tokens: tokens("corpus.train_tokens", table.train_tokens)?,
        heldout_tokens: tokens("corpus.heldout_tokens", table.heldout_tokens)?,
        reference_tokens: tokens("corpus.reference_tokens", table.reference_tokens)?,
        heldout_share,
        reference_share,
    })
}

fn world(table: &WorldTable) -> Result<World, ConfigError> {
    Ok(World {
        seed: table.seed.unwrap_or(1),
        nouns: within("corpus.world.nouns", table.nouns.unwrap_or(600), 10, 20_000)?,
        entities: within("corpus.world.entities", table.entities.unwrap_or(150), 10, 20_000)?,
        relations: within("corpus.world.relations", table.relations.unwrap_or(4), 1, 20)?,
        zipf_exponent: positive("corpus.world.zipf_exponent", table.zipf_exponent.unwrap_or(1.0))?,
        fact_share: open_share("corpus.world.fact_share", table.fact_share.unwrap_or(0.4))?,
    })
}

fn tokenizer(table: &TokenizerTable) -> Result<Tokenizer, ConfigError> {
    const BYTES_AND_END: usize = 257;
    match (table.vocab_size, &table.path) {
        (Some(_), Some(_)) => Err(setting("tokenizer", "gives both vocab_size and path; keep one")),
        (None, Some(path)) => Ok(Tokenizer::File { path: path.clone() }),
        (size, None) => {
            let vocab_size = size.unwrap_or(2048);
            if vocab_size < BYTES_AND_END {
                let message = format!(
                    "{vocab_size} is smaller than the bytes; byte-level BPE needs at least {BYTES_AND_END} (256 bytes and the end-of-text token)"
                );
                return Err(setting("tokenizer.vocab_size", message));
            }
            within("tokenizer.vocab_size", vocab_size, BYTES_AND_END, LARGEST_SHAPE)?;
            Ok(Tokenizer::Learn { vocab_size })
        }
    }
}

fn model(key: &str, table: &ModelTable) -> Result<Model, ConfigError> {
    let sub = |part: &str| format!("{key}.{part}");
    let foreign = |part: &str, kind: &str| {
        setting(sub(part), format!("has no meaning for kind = \"{kind}\"; leave it out"))
    };
    match table.kind.unwrap_or(ModelKind::Transformer) {
        ModelKind::Ngram => {
            let of_transformers = [
                ("layers", table.layers.is_some()),
                ("width", table.width.is_some()),
                ("heads", table.heads.is_some()),
                ("ffn", table.ffn.is_some()),
                ("context", table.context.is_some()),
                ("precision", table.precision.is_some()),
            ];
            if let Some((part, _)) = of_transformers.iter().find(|(_, given)| *given) {
                return Err(foreign(part, "ngram"));
            }
            let order = within(&sub("order"), table.order.unwrap_or(5), 1, 5)?;
            Ok(Model::Ngram(Ngram { order }))
        }
        ModelKind::Transformer if table.order.is_some() => Err(foreign("order", "transformer")),
        ModelKind::Transformer => transformer(&sub, table).map(Model::Transformer),
    }
}

fn transformer(sub: &dyn Fn(&str) -> String, table: &ModelTable) -> Result<Transformer, ConfigError> {
    let width = within(&sub("width"), table.width.unwrap_or(128), 2, LARGEST_SHAPE)?;
    let heads = within(&sub("heads"), table.heads.unwrap_or(4), 1, LARGEST_SHAPE)?;
    if !width.is_multiple_of(2 * heads) {
        let message = format!(
            "{width} does not split into {heads} heads of even width; make it a multiple of {}",
            2 * heads
        );
        return Err(setting(sub("width"), message));
    }
    let context = within(&sub("context"), table.context.unwrap_or(128), 8, LARGEST_SHAPE)?;
    if !context.is_multiple_of(2) {
        return Err(setting(
            sub("context"),
            format!("{context} is odd; long documents are read on by half a context"),
        ));
    }
    Ok(Transformer {
        layers: within(&sub("layers"), table.layers.unwrap_or(2), 1, 1000)?,
        width,
        heads,
        // Llama's 8/3 of the width, rounded up so that a multiple of 32 stays one of 8.
        ffn: within(&sub("ffn"), table.ffn.unwrap_or(width * 11 / 4), 1, LARGEST_SHAPE)?,
        context,
        precision: table.precision.unwrap_or_default(),
    })
}

fn training(
    key: &str,
    table: &TrainingTable,
    model: &Model,
    corpus: &Corpus,
) -> Result<Training, ConfigError> {
    let sub = |part: &str| format!("{key}.{part}");
    let length = match (table.tokens, table.epochs) {
        (Some(_), Some(_)) => return Err(setting(key, "gives both tokens and epochs; keep one")),
        (Some(seen), None) => TrainingLength::Tokens(tokens(&sub("tokens"), seen)?),
        (None, Some(epochs)) => TrainingLength::Epochs(positive(&sub("epochs"), epochs)?),
        (None, None) => TrainingLength::Tokens(Tokens(corpus.train_tokens.0.saturating_mul(2))),
    };
    let init = match (table.init.unwrap_or(InitValue::Scratch), &table.base) {
        (InitValue::Scratch, None) => Init::Scratch,
        (InitValue::Scratch, Some(_)) => {
            return Err(setting(
                sub("base"),
                "has no meaning with init = \"scratch\"; leave it out, or set init to \"base\" or \"chained\"",
            ));
        }
        (InitValue::Chained, base) => Init::Chained { base: base.clone() },
        (InitValue::Base, Some(base)) => Init::Base { base: base.clone() },
        (InitValue::Base, None) => {
            return Err(setting(sub("base"), "init = \"base\" needs the path of a model folder here"));
        }
    };
    if matches!(model, Model::Ngram(_)) && init != Init::Scratch {
        return Err(setting(
            sub("init"),
            "an n-gram model is counted anew every generation; only \"scratch\" has a meaning for it",
        ));
    }
    let rate = table.learning_rate.unwrap_or(1e-3);
    let beta = |part: &str, value: f64| {
        number(&sub(part), value, |x| (0.0..1.0).contains(&x), "at least 0 and below 1")
    };
    Ok(Training {
        length,
        init,
        batch: within(&sub("batch"), table.batch.unwrap_or(16), 1, 1 << 16)?,
        learning_rate: positive(&sub("learning_rate"), rate)?,
        warmup_fraction: share(&sub("warmup_fraction"), table.warmup_fraction.unwrap_or(0.05))?,
        final_rate_fraction: share(&sub("final_rate_fraction"), table.final_rate_fraction.unwrap_or(0.1))?,
        weight_decay: number(
            &sub("weight_decay"),
            table.weight_decay.unwrap_or(0.1),
            |x| x >= 0.0,
            "0 or above",
        )?,
        beta1: beta("beta1", table.beta1.unwrap_or(0.9))?,
        beta2: beta("beta2", table.beta2.unwrap_or(0.95))?,
        gradient_clip: positive(&sub("gradient_clip"), table.gradient_clip.unwrap_or(1.0))?,
        fim_share: fim_share(&sub("fim_share"), table.fim_share.unwrap_or(0.0), model)?,
        checkpoint_minutes: number(
            &sub("checkpoint_minutes"),
            table.checkpoint_minutes.unwrap_or(5.0),
            |x| x > 0.0 && x <= 1e6,
            "above 0 and at most 1000000",
        )?,
    })
}

fn fim_share(key: &str, value: f64, model: &Model) -> Result<f64, ConfigError> {
    if matches!(model, Model::Ngram(_)) && value != 0.0 {
        let message =
            "an n-gram model sees the left side of a gap only and cannot learn to fill it; set it to 0";
        return Err(setting(key, message));
    }
    share(key, value)
}

fn synthesis(
    key: &str,
    table: &SynthesisTable,
    model: &Model,
    training: &Training,
    corpus: &Corpus,
) -> Result<Synthesis, ConfigError> {
    let sub = |part: &str| format!("{key}.{part}");
    let method = methods::check(&sub, table, model, training)?;
    let decoding = decoding::strategy(&sub, table, model)?;
    let synthesis = Synthesis {
        method,
        tokens: tokens(&sub("tokens"), table.tokens.unwrap_or(corpus.train_tokens.0))?,
        max_document_tokens: within(
            &sub("max_document_tokens"),
            table.max_document_tokens.unwrap_or(512),
            1,
            1 << 24,
        )?,
        decoding,
        selection: selection(&sub("selection"), &table.selection.clone().unwrap_or_default())?,
    };
    go_together(&sub, &synthesis)?;
    Ok(synthesis)
}

/// Refuses a method with a decoder or a selection that it makes no sense with.
fn go_together(sub: &dyn Fn(&str) -> String, synthesis: &Synthesis) -> Result<(), ConfigError> {
    let Synthesis { method, decoding, selection, .. } = synthesis;
    let is_search = decoding.token_by_token().is_none();
    if matches!(method, Method::TokenEdit { .. }) && is_search {
        let message = "\"token-edit\" draws tokens one by one, and a search does not; leave out beams and contrastive_k";
        return Err(setting(sub("method"), message));
    }
    let from_prompts =
        matches!(method, Method::Textbook | Method::Keywords { .. } | Method::Continuation { .. });
    let repeats_itself = is_search || decoding.token_by_token().is_some_and(|decoding| decoding.greedy);
    if selection.best_of.is_some() && from_prompts && repeats_itself {
        let message = "candidates would be copies of each other: this decoder writes the same document after the same prompt; sample, or leave it out";
        return Err(setting(sub("selection.best_of"), message));
    }
    Ok(())
}

fn mixture(key: &str, table: &ArmTable) -> Result<Mixture, ConfigError> {
    match &table.mixture {
        None if table.name == CONTROL => Ok(regimes::control()),
        None => Err(setting(
            key,
            "is missing; give a published name such as \"replace\", or { natural_fraction = 0.3 }",
        )),
        Some(value) => mixture_value(key, value),
    }
}

/// Checks a mixture, given by a published name or by its settings.
pub(super) fn mixture_value(key: &str, value: &MixtureValue) -> Result<Mixture, ConfigError> {
    match value {
        MixtureValue::Name(name) => regimes::find(name).ok_or_else(|| unknown_regime(key, name)),
        MixtureValue::Settings(settings) => mixture_settings(key, settings),
    }
}

fn unknown_regime(key: &str, name: &str) -> ConfigError {
    let known: Vec<&str> = regimes::PUBLISHED_REGIMES.iter().map(|regime| regime.name).collect();
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)))
        .copied()
        .unwrap_or_default();
    setting(
        key,
        format!("\"{name}\" is no published regime; the nearest is \"{nearest}\" (of {})", known.join(", ")),
    )
}

fn mixture_settings(key: &str, table: &MixtureTable) -> Result<Mixture, ConfigError> {
    let fraction_key = format!("{key}.natural_fraction");
    let natural_fraction = match &table.natural_fraction {
        None => {
            return Err(setting(
                fraction_key,
                "is missing; give a number from 0 to 1, a list, or \"proportional\"",
            ));
        }
        Some(FractionValue::Proportional) => NaturalFraction::Proportional,
        Some(FractionValue::Schedule(fractions)) if fractions.is_empty() => {
            return Err(setting(
                fraction_key,
                "the list is empty; give one number per generation (the last one repeats)",
            ));
        }
        Some(FractionValue::Schedule(fractions)) => {
            fractions.iter().try_for_each(|&fraction| share(&fraction_key, fraction).map(drop))?;
            NaturalFraction::Schedule(fractions.clone())
        }
    };
    Ok(Mixture {
        natural_fraction,
        natural: table.natural.unwrap_or(NaturalDocuments::Fixed),
        synthetic: table.synthetic.unwrap_or(SyntheticDocuments::Latest),
        budget: table.budget.unwrap_or(Budget::Constant),
    })
}
