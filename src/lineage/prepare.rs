//! Natural text made ready for an experiment: split, tokenised, cut to size, and found to suffice.

use super::RunError;
use super::generation::transformer_learner;
use crate::config::{self, Arm, Experiment, Init, Model};
use crate::corpus::world::{self, World};
use crate::corpus::{self, CorpusSplit, RequiredTokens};
use crate::documents::{Documents, TokenId};
use crate::measure::{Fact, Reference};
use crate::mixture;
use crate::model;
use crate::progress::Silent;
use crate::seed::{SHARED, StreamKey, streams};
use crate::stage::Stage;
use crate::store::Provenance;
use crate::synthesis;
use crate::tokenizer::Tokenizer;
use crate::training::Start;
use crate::units::Tokens;
use candle_core::Device;
use rand::seq::SliceRandom;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// The natural side of an experiment.
pub struct PreparedText {
    /// The frozen tokenizer.
    pub tokenizer: Tokenizer,
    /// The same as the JSON that the store keeps.
    pub tokenizer_json: String,
    /// The whole train split; every seed draws from it in an order of its own.
    pub train: Documents,
    /// Held-out text, cut to size.
    pub heldout: Documents,
    /// What measurements are made against.
    pub reference: Reference,
    /// The facts to ask back, where the text comes from the built-in world.
    pub facts: Vec<Fact>,
    /// Loss of an ideal reader of the held-out text, in nats per token, where it is known.
    pub heldout_floor_nats: Option<f64>,
    hashes: BTreeMap<String, String>,
    bases: BTreeMap<String, String>,
    split_tokens: BTreeMap<String, Tokens>,
}

/// Reads, splits and tokenises the natural text, and checks that it suffices for every arm. Writes nothing.
///
/// # Errors
/// When text cannot be read or is too little, or a setting does not fit it.
pub fn prepare(experiment: &Experiment) -> Result<PreparedText, RunError> {
    prepare_together(&[experiment])
}

/// The same for experiments (at least one) whose corpora and tokenizers differ in nothing but `train_tokens`: they read
/// one text, and what they measure can be compared.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_together(experiments: &[&Experiment]) -> Result<PreparedText, RunError> {
    let (first, corpus) = (experiments[0], &experiments[0].corpus);
    let mut reach = Tokens(0);
    let of = |experiment: &Experiment, error: RunError| match experiments.len() {
        1 => error,
        _ => error.of(experiment),
    };
    for &experiment in experiments {
        let reached = check_contexts(experiment).and_then(|()| check_mixtures(experiment));
        reach = reach.max(reached.map_err(|error| of(experiment, error))?);
    }
    // The world makes twice what one seed takes, so that seeds draw different documents.
    let train = Tokens(reach.0.saturating_mul(2));
    let wanted = RequiredTokens { train, heldout: corpus.heldout_tokens, reference: corpus.reference_tokens };
    let text = corpus::load(corpus, wanted)?;
    let tokenizer = match &first.tokenizer {
        config::Tokenizer::Learn { vocab_size } => Tokenizer::learn(&text.train, *vocab_size)?,
        config::Tokenizer::File { path } => Tokenizer::from_file(path)?,
    };
    let fills_gaps = experiments.iter().any(|experiment| experiment.fills_gaps());
    let tokenizer = if fills_gaps { tokenizer.with_sentinels()? } else { tokenizer };
    let train = tokenizer.encode_documents(&text.train)?;
    let heldout = tokenizer.encode_documents(&text.heldout)?;
    let reference = tokenizer.encode_documents(&text.reference)?;
    let rest = 1.0 - corpus.heldout_share - corpus.reference_share;
    enough(CorpusSplit::Train, reach, train.tokens(), rest)?;
    enough(CorpusSplit::Heldout, corpus.heldout_tokens, heldout.tokens(), corpus.heldout_share)?;
    enough(CorpusSplit::Reference, corpus.reference_tokens, reference.tokens(), corpus.reference_share)?;
    let mut bases = BTreeMap::new();
    for &experiment in experiments {
        let checked = check_seeds(experiment, &train).and_then(|()| check_bases(experiment, &tokenizer));
        bases.extend(checked.map_err(|error| of(experiment, error))?);
    }
    let heldout = heldout.prefix(corpus.heldout_tokens);
    let reference = reference.prefix(corpus.reference_tokens);
    let heldout_floor_nats = text.world.as_ref().and_then(|world| floor(world, &text.heldout, &heldout));
    let facts = text.world.as_ref().map_or(Ok(Vec::new()), |world| questions(world, &tokenizer))?;
    let split_tokens =
        [("train", train.tokens()), ("heldout", heldout.tokens()), ("reference", reference.tokens())];
    Ok(PreparedText {
        reference: Reference::new(
            &reference,
            &tokenizer.decode_documents(&reference),
            &heldout,
            &tokenizer.decode_documents(&heldout),
        )?,
        tokenizer_json: tokenizer.to_json()?,
        tokenizer,
        train,
        heldout,
        heldout_floor_nats,
        facts,
        hashes: text.hashes,
        bases,
        split_tokens: split_tokens.map(|(split, tokens)| (split.to_owned(), tokens)).into(),
    })
}

impl PreparedText {
    /// What the user of `experiment` should know of the text before it is run.
    #[must_use]
    pub fn notes(&self, experiment: &Experiment) -> Vec<String> {
        let seed = experiment.seeds[0];
        let natural = natural_order(&self.train, seed).prefix(experiment.corpus.train_tokens);
        let of_arm = |arm: &Arm| {
            let cut =
                |generation| synthesis::cut_sources(&experiment.at(arm, generation).synthesis, &natural);
            let cut = cut(0).or_else(|| cut(1))?;
            Some(format!("arm \"{}\", seed {seed}: {cut}", arm.name))
        };
        experiment.arms.iter().filter_map(of_arm).collect()
    }

    /// What the store records: the process's part, completed by the text's.
    #[must_use]
    pub fn provenance(&self, experiment: &Experiment, process: Provenance) -> Provenance {
        let own = bases(experiment).map(|(_, base)| base.display().to_string());
        Provenance {
            corpus: self.hashes.clone(),
            bases: own.filter_map(|base| Some((base.clone(), self.bases.get(&base)?.clone()))).collect(),
            split_tokens: self.split_tokens.clone(),
            tokenizer: blake3::hash(self.tokenizer_json.as_bytes()).to_hex().to_string(),
            heldout_floor_nats: self.heldout_floor_nats,
            ..process
        }
    }
}

/// The train split in a seed's order.
pub(super) fn natural_order(train: &Documents, seed: u64) -> Documents {
    let mut order: Vec<usize> = (0..train.len()).collect();
    order.shuffle(&mut StreamKey::new(seed, SHARED, 0, streams::NATURAL_ORDER).stream(0));
    order.iter().map(|&index| train.get(index)).collect()
}

/// Checks what depends on the order in which a seed draws natural documents.
fn check_seeds(experiment: &Experiment, train: &Documents) -> Result<(), RunError> {
    let budget = experiment.corpus.train_tokens;
    for &seed in &experiment.seeds {
        let natural = natural_order(train, seed);
        let lengths: Vec<usize> = natural.iter().map(<[TokenId]>::len).collect();
        let drawn = natural.prefix(budget);
        for arm in &experiment.arms {
            for synthesis in [&experiment.at(arm, 0).synthesis, &arm.synthesis] {
                synthesis::check(synthesis, &drawn).map_err(|source| {
                    RunError::synthesis(source, format!("seed {seed}, arm \"{}\"", arm.name))
                })?;
            }
            let (mixture, written) = (&arm.mixture, arm.synthesis.tokens);
            mixture::check_natural(mixture, experiment.generations, budget, written, &lengths)
                .map_err(|source| RunError::Mixture { arm: arm.name.clone(), source })?;
        }
    }
    Ok(())
}

/// Every model folder that training starts from, with the arm that starts from it, as it is then.
fn bases(experiment: &Experiment) -> impl Iterator<Item = (Cow<'_, Arm>, PathBuf)> {
    let all = experiment.arms.iter().flat_map(|arm| [experiment.at(arm, 0), Cow::Borrowed(arm)]);
    all.filter_map(|arm| match arm.training.init.clone() {
        Init::Base { base } | Init::Chained { base: Some(base) } => Some((arm, base)),
        Init::Scratch | Init::Chained { base: None } => None,
    })
}

/// Checks every model folder that training starts from, and hashes it.
fn check_bases(experiment: &Experiment, tokenizer: &Tokenizer) -> Result<BTreeMap<String, String>, RunError> {
    let mut hashes = BTreeMap::new();
    let never = AtomicBool::new(false);
    for (arm, base) in bases(experiment) {
        if let Model::Transformer(shape) = &arm.model {
            let learner =
                transformer_learner(&arm, shape, tokenizer, Start::Base(base.clone()), &Device::Cpu);
            learner.check_start(&Stage::new(
                StreamKey::new(0, SHARED, 0, streams::CHECK),
                &Silent,
                &never,
            ))?;
        }
        hashes.insert(base.display().to_string(), model::folder_hash(&base)?);
    }
    Ok(hashes)
}

/// Checks the token counts of every arm; returns how far into the train split they reach.
fn check_mixtures(experiment: &Experiment) -> Result<Tokens, RunError> {
    let budget = experiment.corpus.train_tokens;
    let generations = experiment.generations;
    let mut reach = budget;
    for arm in &experiment.arms {
        let written = arm.synthesis.tokens;
        mixture::schedule(&arm.mixture, generations, budget, written)
            .map_err(|source| RunError::Mixture { arm: arm.name.clone(), source })?;
        reach = reach.max(mixture::natural_reach(&arm.mixture, generations, budget, written));
    }
    Ok(reach)
}

fn check_contexts(experiment: &Experiment) -> Result<(), RunError> {
    let shared = ("model.context".to_owned(), &experiment.model);
    let arms = experiment.arms.iter().map(|arm| (format!("arm \"{}\": model.context", arm.name), &arm.model));
    let writer = experiment.writer.iter().map(|writer| ("writer.model.context".to_owned(), &writer.model));
    for (key, model) in std::iter::once(shared).chain(writer).chain(arms) {
        let Model::Transformer(shape) = model else { continue };
        let train_tokens = experiment.corpus.train_tokens;
        if shape.context as u64 >= train_tokens.0 {
            let message = format!(
                "{} is longer than the {train_tokens} tokens of training text allow; lower it or raise corpus.train_tokens",
                shape.context
            );
            return Err(RunError::Setting { key, message });
        }
    }
    Ok(())
}

fn enough(split: CorpusSplit, wanted: Tokens, available: Tokens, share: f64) -> Result<(), RunError> {
    if available >= wanted { Ok(()) } else { Err(corpus::too_small(split, wanted, available, share).into()) }
}

/// What the loss of held-out text cannot go below: the world's own log-probability of the documents that were not
/// cut, over their tokens.
fn floor(world: &World, texts: &[String], documents: &Documents) -> Option<f64> {
    let whole = documents.len().saturating_sub(1);
    let nats: Option<f64> = texts[..whole].iter().map(|text| world.log_probability(text)).sum();
    let tokens: usize = (0..whole).map(|index| documents.get(index).len()).sum();
    nats.filter(|_| tokens > 0).map(|nats| -nats / tokens as f64)
}

/// The world's facts, ready to be asked.
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
