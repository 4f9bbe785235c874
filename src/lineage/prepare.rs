//! Natural text made ready for an experiment: split, tokenised, cut to size, and checked to suffice for every arm.

use super::RunError;
use super::bases::{self, Base};
use super::natural::{NaturalOrder, text_hash};
use super::near_copies::{NearCopies, normalised};
use crate::config::{Arm, Experiment};
use crate::corpus::world::{self, World};
use crate::corpus::{self, CorpusSplit, NaturalText, RequiredTokens, SmallSplit, SplitRecord, TextRecord};
use crate::documents::{Documents, TokenId};
use crate::measure::{Fact, Reference};
use crate::mixture;
use crate::store::Provenance;
use crate::synthesis::{self, Sources};
use crate::tokenizer::{Coverage, Tokenizer, TokenizerError};
use crate::units::Tokens;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

mod kept;
mod saved;

pub use kept::KeptTexts;

/// The natural text of an experiment, or of several that read the same text.
pub struct PreparedText {
    /// The tokenizer, the same for every generation.
    pub tokenizer: Tokenizer,
    /// The tokenizer as the JSON that the store keeps.
    pub tokenizer_json: String,
    /// The whole train split; every seed takes documents from it in its own order.
    pub train: Documents,
    /// Held-out text, cut to `corpus.heldout_tokens`.
    pub heldout: Documents,
    /// The text that measurements compare with, cut to `corpus.reference_tokens`.
    pub reference: Reference,
    /// The files that the text was read from, and the sizes of its splits.
    pub record: TextRecord,
    /// A note on the memory that encoding takes; None if it takes little.
    pub(super) encoding_note: Option<String>,
    /// Facts to ask models for; empty unless the text comes from the built-in world.
    pub facts: Vec<Fact>,
    /// Entropy of the held-out text in nats per token, if it is known: no model has a lower expected loss.
    pub heldout_floor_nats: Option<f64>,
    /// The text of `reference`.
    reference_documents: Documents,
    /// The source text of each held-out document.
    heldout_texts: Vec<String>,
    tokenizer_hash: String,
    /// Hash of everything that metrics compare a generation with.
    evaluation_hash: String,
    /// Hashes of the text of each split, by its name.
    hashes: BTreeMap<String, String>,
    /// Model folders that training starts from, by their paths.
    pub(super) bases: BTreeMap<String, Base>,
    split_tokens: BTreeMap<String, Tokens>,
    /// How much of each split the tokenizer represents, by its name.
    pub(super) coverage: BTreeMap<String, Coverage>,
}

/// Reads, splits and tokenises the natural text, and checks that it suffices for every arm. Writes nothing.
///
/// # Errors
/// If text cannot be read or is too little, or if a setting does not fit it.
pub fn prepare(experiment: &Experiment) -> Result<PreparedText, RunError> {
    prepare_together(&[experiment])
}

/// As [`prepare`], for one or more experiments whose corpora and tokenizers differ at most in `train_tokens` and
/// `natural_tokens`. All of them share one text, so that their measurements can be compared.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_together(experiments: &[&Experiment]) -> Result<PreparedText, RunError> {
    let corpus = &experiments[0].corpus;
    let reach = check_settings(experiments)?;
    // The built-in world writes twice as much text as one seed uses, so that seeds draw different documents.
    let train = Tokens(reach.0.saturating_mul(2));
    let wanted = RequiredTokens { train, heldout: corpus.heldout_tokens, reference: corpus.reference_tokens };
    let text = corpus::load(corpus, wanted)?;
    let tokenizer = tokenizer(experiments, &text)?;
    let encoding_note = tokenizer.note_on_memory(text.train.longest());
    let hashes = text.hashes();
    let Splits { train, heldout, reference, heldout_texts, coverage, records } =
        splits(corpus, &text, &tokenizer, reach)?;
    let NaturalText { record, world, .. } = text;
    let record = TextRecord { splits: records, ..record };
    let bases = check_text(experiments, &train, &tokenizer, &heldout_texts)?;
    let heldout_floor_nats = world.as_ref().and_then(|world| floor(world, &heldout_texts, &heldout));
    let facts = world.as_ref().map_or(Ok(Vec::new()), |world| questions(world, &tokenizer))?;
    let split_tokens =
        [("train", train.tokens()), ("heldout", heldout.tokens()), ("reference", reference.tokens())];
    let tokenizer_json = tokenizer.to_json()?;
    tokenizer.forget_words();
    Ok(PreparedText {
        tokenizer_hash: blake3::hash(tokenizer_json.as_bytes()).to_hex().to_string(),
        evaluation_hash: evaluation_hash(&heldout, &reference, &facts, heldout_floor_nats),
        reference: Reference::new(
            &reference,
            &tokenizer.decode_documents(&reference),
            &heldout,
            &heldout_texts,
        )?,
        reference_documents: reference,
        heldout_texts,
        tokenizer_json,
        tokenizer,
        record,
        encoding_note,
        train,
        heldout,
        heldout_floor_nats,
        facts,
        hashes,
        bases,
        split_tokens: split_tokens.map(|(split, tokens)| (split.to_owned(), tokens)).into(),
        coverage,
    })
}

impl PreparedText {
    /// The natural documents that the lineages of `seed` can train on, in the order in which the seed takes them.
    #[must_use]
    pub fn natural_documents(&self, experiment: &Experiment, seed: u64) -> Documents {
        NaturalOrder::new(&self.train, experiment, seed).used_by(experiment)
    }

    /// The reference text, cut to `corpus.reference_tokens`.
    #[must_use]
    pub fn reference_documents(&self) -> &Documents {
        &self.reference_documents
    }

    /// How much of each split the tokenizer represents, by the split's name.
    #[must_use]
    pub fn coverage(&self) -> &BTreeMap<String, Coverage> {
        &self.coverage
    }

    /// Conventions for kinds of text that earlier versions of this program treated differently. Only kinds that occur
    /// in this arm are listed.
    pub(super) fn conventions(&self, arm: &Arm) -> BTreeMap<&'static str, &'static str> {
        let words = self.reference.dictionaries().map(|dictionaries| ("words without spaces", dictionaries));
        let whole = synthesis::rewrites_long_documents(&arm.synthesis, &self.train);
        words.into_iter().chain(whole.then_some(("long documents", "rewritten whole"))).collect()
    }

    /// The provenance of a run: that of the process, with the hashes and sizes of the text, tokenizer and base models
    /// added.
    #[must_use]
    pub fn provenance(&self, experiment: &Experiment, process: Provenance) -> Provenance {
        let bases = bases::bases(experiment)
            .filter_map(|(_, base)| Some((base.display().to_string(), self.base_hash(&base)?.to_owned())));
        let arms = experiment.arms.iter().flat_map(|arm| [experiment.at(arm, 0), Cow::Borrowed(arm)]);
        let conventions = arms.flat_map(|arm| self.conventions(&arm));
        Provenance {
            conventions: conventions.map(|(subject, how)| (subject.to_owned(), how.to_owned())).collect(),
            corpus: self.hashes.clone(),
            bases: bases.collect(),
            split_tokens: self.split_tokens.clone(),
            text: self.record.clone(),
            coverage: self.coverage.clone(),
            special_tokens: self.tokenizer.special_records().into(),
            tokenizer: self.tokenizer_hash.clone(),
            heldout_floor_nats: self.heldout_floor_nats,
            ..process
        }
    }

    /// BLAKE3 of `tokenizer.json`.
    pub(super) fn tokenizer_hash(&self) -> &str {
        &self.tokenizer_hash
    }

    /// BLAKE3 of everything that metrics compare a generation with.
    pub(super) fn evaluation_hash(&self) -> &str {
        &self.evaluation_hash
    }

    /// Size of the vocabulary of an arm's models: that of the model folder that training starts from, or else that of the
    /// tokenizer.
    #[must_use]
    pub fn vocab_size_of(&self, arm: &Arm) -> usize {
        let base = arm.training.base.as_ref().and_then(|base| self.bases.get(&base.display().to_string()));
        base.map_or(self.tokenizer.vocab_size(), |base| base.vocab_size)
    }

    /// BLAKE3 of a model folder that training starts from.
    pub(super) fn base_hash(&self, base: &Path) -> Option<&str> {
        self.bases.get(&base.display().to_string()).map(|base| base.hash.as_str())
    }
}

/// Checks settings that need no text. Returns how many tokens, counted from the start of the train split, are needed by
/// the experiment that needs the most.
///
/// # Errors
/// If the context of a model is as long as the training text or longer, or if a mixture takes more synthetic text than
/// the generations write.
pub fn check_settings(experiments: &[&Experiment]) -> Result<Tokens, RunError> {
    let mut reach = Tokens(0);
    for &experiment in experiments {
        let reached = check_contexts(experiment).and_then(|()| check_mixtures(experiment));
        reach = reach.max(reached.map_err(|error| named(error, experiment, experiments))?);
    }
    Ok(reach)
}

/// Checks settings that depend on the text. Returns the model folders that training starts from, by their paths.
fn check_text(
    experiments: &[&Experiment],
    train: &Documents,
    tokenizer: &Tokenizer,
    texts: &[String],
) -> Result<BTreeMap<String, Base>, RunError> {
    let mut all = BTreeMap::new();
    for &experiment in experiments {
        let checked = check_seeds(experiment, train, tokenizer)
            .and_then(|()| bases::check(experiment, tokenizer, texts));
        all.extend(checked.map_err(|error| named(error, experiment, experiments))?);
    }
    Ok(all)
}

/// Adds the experiment to an error if there are several experiments.
fn named(error: RunError, experiment: &Experiment, experiments: &[&Experiment]) -> RunError {
    if experiments.len() == 1 { error } else { error.of(experiment) }
}

fn tokenizer(experiments: &[&Experiment], text: &NaturalText) -> Result<Tokenizer, RunError> {
    let settings = &experiments[0].tokenizer;
    let tokenizer = match (&settings.path, settings.vocab_size) {
        (Some(path), _) => {
            Tokenizer::from_file_with(path, settings.start.as_deref(), settings.end.as_deref())?
        }
        (None, vocab_size) => Tokenizer::learn_from(&text.train, vocab_size.unwrap_or_default())?,
    };
    let fills_gaps = experiments.iter().any(|experiment| experiment.fills_gaps());
    Ok(if fills_gaps { tokenizer.with_sentinels()? } else { tokenizer })
}

/// The tokenised splits. Held-out and reference text are cut to size.
struct Splits {
    train: Documents,
    heldout: Documents,
    reference: Documents,
    /// The source text of each held-out document.
    heldout_texts: Vec<String>,
    /// How much of each split the tokenizer represents, by its name.
    coverage: BTreeMap<String, Coverage>,
    /// The record of each split, by its name.
    records: BTreeMap<String, SplitRecord>,
}

fn record_of(documents: &Documents, near_copies: Option<u64>) -> SplitRecord {
    let longest = documents.iter().map(<[TokenId]>::len).max().unwrap_or(0);
    let largest_share = longest as f64 / documents.tokens().0.max(1) as f64;
    SplitRecord { documents: documents.len() as u64, largest_share, near_copies }
}

/// Tokenises the texts of train, held-out and reference split, and checks that each has enough text. The train split
/// needs `reach` tokens.
fn splits(
    corpus: &corpus::CorpusSettings,
    text: &NaturalText,
    tokenizer: &Tokenizer,
    reach: Tokens,
) -> Result<Splits, RunError> {
    let (all_heldout, heldout_coverage) = tokenizer.encode_texts(&text.heldout, |_| ())?;
    let (all_reference, reference_coverage) = tokenizer.encode_texts(&text.reference, |_| ())?;
    let heldout = all_heldout.prefix(corpus.heldout_tokens);
    let reference = all_reference.prefix(corpus.reference_tokens);
    let heldout_texts = text.heldout.first(heldout.len())?;
    // Documents of the built-in world are independent draws, so only text from files can have near copies.
    let mut near = match &text.world {
        Some(_) => None,
        None => {
            Some([&heldout_texts, &text.reference.first(reference.len())?].map(|texts| near_copies_of(texts)))
        }
    };
    let (train, train_coverage) = tokenizer.encode_texts(&text.train, |texts| {
        if let Some(near) = &mut near {
            let words = normalised(texts);
            near.iter_mut().for_each(|near| near.look_in(&words));
        }
    })?;
    let coverage = accepted([
        (CorpusSplit::Train, train_coverage),
        (CorpusSplit::Heldout, heldout_coverage),
        (CorpusSplit::Reference, reference_coverage),
    ])?;
    let documents = [&train, &all_heldout, &all_reference].map(|split| split.len() as u64).iter().sum();
    for (split, wanted, available) in [
        (CorpusSplit::Train, reach, train.tokens()),
        (CorpusSplit::Heldout, corpus.heldout_tokens, all_heldout.tokens()),
        (CorpusSplit::Reference, corpus.reference_tokens, all_reference.tokens()),
    ] {
        if available < wanted {
            return Err(SmallSplit { split, wanted, available, documents, corpus }.error().into());
        }
    }
    let [near_heldout, near_reference] =
        near.map_or([None, None], |near| near.map(|near| Some(near.count())));
    let records = [
        (CorpusSplit::Train, record_of(&train, None)),
        (CorpusSplit::Heldout, record_of(&heldout, near_heldout)),
        (CorpusSplit::Reference, record_of(&reference, near_reference)),
    ];
    let records = records.map(|(split, record)| (split.name().to_owned(), record)).into();
    let heldout_texts = source_texts(tokenizer, heldout_texts, &heldout)?;
    Ok(Splits { train, heldout, reference, heldout_texts, coverage, records })
}

fn near_copies_of(texts: &[String]) -> NearCopies {
    NearCopies::of(&normalised(texts))
}

/// How much of each split the tokenizer represents, by its name; an error if that is too little.
fn accepted(splits: [(CorpusSplit, Coverage); 3]) -> Result<BTreeMap<String, Coverage>, TokenizerError> {
    let mut all = BTreeMap::new();
    for (split, coverage) in splits {
        let name = split.name().to_owned();
        if coverage.is_refused() {
            return Err(TokenizerError::Lossy {
                text: format!("{name} split"),
                coverage: Box::new(coverage),
            });
        }
        all.insert(name, coverage);
    }
    Ok(all)
}

/// The source text of each of `documents`. These are the leading documents of `texts`, and the last of them may be cut.
/// A byte-level tokenizer restores the text by decoding; a character that was cut becomes a replacement character.
fn source_texts(
    tokenizer: &Tokenizer,
    texts: Vec<String>,
    documents: &Documents,
) -> Result<Vec<String>, TokenizerError> {
    let end = tokenizer.special().end;
    let source = |(text, ids): (String, &[TokenId])| match ids.last() {
        Some(&last) if last == end => Ok(text),
        _ if tokenizer.is_byte_level() => Ok(tokenizer.decode(ids)),
        _ => Ok(tokenizer.source_of_prefix(&text, ids.len())?.to_owned()),
    };
    texts.into_iter().zip(documents.iter()).map(source).collect()
}

/// BLAKE3 of everything that metrics compare a generation with: held-out text, reference text, facts, and the entropy
/// of the held-out text (`floor_nats`).
fn evaluation_hash(
    heldout: &Documents,
    reference: &Documents,
    facts: &[Fact],
    floor_nats: Option<f64>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(text_hash(heldout).as_bytes());
    hasher.update(text_hash(reference).as_bytes());
    let prompts: Documents = facts.iter().map(|fact| fact.prompt.as_slice()).collect();
    hasher.update(text_hash(&prompts).as_bytes());
    for fact in facts {
        hasher.update(&(fact.value.len() as u64).to_le_bytes());
        hasher.update(fact.value.as_bytes());
        hasher.update(fact.popularity.name().as_bytes());
    }
    hasher.update(&floor_nats.unwrap_or(f64::NAN).to_le_bytes());
    hasher.finalize().to_hex().to_string()
}

/// Checks synthesis and mixtures for every seed, because each seed draws natural documents in another order.
fn check_seeds(experiment: &Experiment, train: &Documents, tokenizer: &Tokenizer) -> Result<(), RunError> {
    let (budget, limit) = (experiment.corpus.train_tokens, experiment.corpus.natural_tokens);
    let world = experiment.corpus.built_in_world();
    for &seed in &experiment.seeds {
        let natural = NaturalOrder::new(train, experiment, seed);
        let (lengths, drawn) = (natural.lengths(), natural.prefix(budget));
        let sources = Sources { natural: &drawn, previous: None, tokenizer, world: world.as_ref() };
        for arm in &experiment.arms {
            for synthesis in [&experiment.at(arm, 0).synthesis, &arm.synthesis] {
                synthesis::check(synthesis, sources).map_err(|source| {
                    RunError::synthesis(source, format!("seed {seed}, arm \"{}\"", arm.name))
                })?;
            }
            let (mixture, written) = (&arm.mixture, arm.synthesis.tokens);
            mixture::check_natural(limit, mixture, experiment.generations, budget, written, &lengths)
                .map_err(|source| RunError::Mixture { arm: arm.name.clone(), source })?;
        }
    }
    Ok(())
}

/// Checks the token counts of every arm. Returns how many tokens, counted from the start of the train split, are
/// needed by the arm that needs the most.
fn check_mixtures(experiment: &Experiment) -> Result<Tokens, RunError> {
    let (budget, limit) = (experiment.corpus.train_tokens, experiment.corpus.natural_tokens);
    let generations = experiment.generations;
    let mut reach = experiment.corpus.distinct_train_tokens();
    for arm in &experiment.arms {
        let written = arm.synthesis.tokens;
        let of_arm = mixture::schedule(&arm.mixture, generations, budget, written)
            .and_then(|_| mixture::natural_reach_within(limit, &arm.mixture, generations, budget, written));
        let of_arm = of_arm.map_err(|source| RunError::Mixture { arm: arm.name.clone(), source })?;
        reach = reach.max(of_arm);
    }
    Ok(reach)
}

fn check_contexts(experiment: &Experiment) -> Result<(), RunError> {
    let shared = ("model.context".to_owned(), &experiment.model);
    let arms = experiment.arms.iter().map(|arm| (format!("arm \"{}\": model.context", arm.name), &arm.model));
    let writer = experiment.writer.iter().map(|writer| ("writer.model.context".to_owned(), &writer.model));
    for (key, model) in std::iter::once(shared).chain(writer).chain(arms) {
        let Some(context) = model.context_tokens() else { continue };
        let train_tokens = experiment.corpus.train_tokens;
        if context as u64 >= train_tokens.0 {
            let message = format!(
                "{} is longer than the {train_tokens} tokens of training text allow; lower it or raise corpus.train_tokens",
                context
            );
            return Err(RunError::Setting { key, message });
        }
    }
    Ok(())
}

/// The entropy of held-out text in nats per token. The last document is left out, because it may be cut; for the
/// others, the negative log-probability under the world is divided by the number of their tokens. `None` if the world
/// cannot generate one of them, or if there are no others.
fn floor(world: &World, texts: &[String], documents: &Documents) -> Option<f64> {
    let whole = documents.len().saturating_sub(1);
    let nats: Option<f64> = texts[..whole].iter().map(|text| world.log_probability(text)).sum();
    let tokens: usize = (0..whole).map(|index| documents.get(index).len()).sum();
    nats.filter(|_| tokens > 0).map(|nats| -nats / tokens as f64)
}

/// The world's facts as prompts and answers.
fn questions(world: &World, tokenizer: &Tokenizer) -> Result<Vec<Fact>, RunError> {
    let question = |fact: &world::Fact| {
        Ok(Fact {
            prompt: tokenizer.encode(&fact.prompt)?,
            value_tokens: tokenizer.encode(&fact.value)?.len(),
            value: fact.value.clone(),
            popularity: fact.rarity,
        })
    };
    world.facts().iter().map(question).collect()
}
