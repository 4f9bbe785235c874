//! The cost of work on this machine, estimated from a short trial of every model.

use super::machine::with_status_lines;
use crate::config::Arm;
use crate::corpus::CorpusSettings;
use crate::documents::Documents;
use crate::lineage::{self, PreparedText, Workload};
use crate::model::LanguageModel;
use crate::progress::Silent;
use crate::seed::{StreamKey, streams};
use crate::selection::Selection;
use crate::stage::Stage;
use crate::sweep::{PlannedGeneration, PreparedSweep, ThreadPools};
use crate::synthesis::{self, Sources};
use crate::synthesis::{External, SynthesisMethod, SynthesisSettings, Textbook};
use crate::training::{NoCheckpoints, TrainingSettings};
use crate::units::Tokens;
use anyhow::{Context, Result};
use candle_core::Device;
use std::borrow::Cow;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// The cost of several generations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// The number of generations.
    pub generations: u64,
    /// The number of generations that train a model; the others reuse one.
    pub trained_models: u64,
    /// Tokens seen in training.
    pub seen: Tokens,
    /// Synthetic tokens written.
    pub written: Tokens,
    /// Seconds if the generations run one after the other.
    pub seconds: f64,
    /// Bytes kept on disk.
    pub disk_bytes: u64,
    /// Peak memory of the largest generation, besides the text.
    pub memory_bytes: u64,
}

impl Cost {
    /// The cost of `planned`, whose models were all timed in `trials`.
    pub fn of<'a>(
        planned: impl IntoIterator<Item = &'a PlannedGeneration<'a>>,
        trials: &SpeedTrials,
        prepared: &PreparedSweep,
    ) -> Self {
        let mut cost = Self::default();
        for generation in planned {
            let text = prepared.text(generation.experiment);
            cost.add(generation, trials.of_arm(&generation.arm), text);
        }
        cost
    }

    fn add(&mut self, generation: &PlannedGeneration, trial: &SpeedTrial, text: &PreparedText) {
        let Workload { seen, written, scored, .. } = generation.workload;
        let seen = if generation.trains { seen } else { Tokens(0) };
        let (written, scored) = if generation.writes { (written, scored) } else { (Tokens(0), Tokens(0)) };
        self.generations += 1;
        self.trained_models += u64::from(generation.trains);
        self.seen.0 += seen.0;
        self.written.0 += written.0;
        self.seconds += seen.0 as f64 * trial.training_seconds_per_token
            + written.0 as f64 * trial.writing_seconds_per_token
            + scored.0 as f64 * trial.scoring_seconds_per_token;
        // Token ids and text compress to about three bytes a token; every model has its own copy of the tokenizer.
        self.disk_bytes += trial.model_bytes + 3 * written.0 + text.tokenizer_json.len() as u64;
        self.memory_bytes = self.memory_bytes.max(trial.memory_bytes);
    }
}

/// `12 minutes` or `3.4 hours`.
pub fn duration(seconds: f64) -> String {
    let minutes = seconds / 60.0;
    if minutes < 60.0 {
        let minutes = minutes.ceil();
        format!("{minutes:.0} minute{}", if minutes == 1.0 { "" } else { "s" })
    } else {
        format!("{:.1} hours", minutes / 60.0)
    }
}

/// `12 MiB`, rounded up.
pub fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// A timing trial of every distinct model of some generations.
pub struct SpeedTrials<'a>(Vec<(Cow<'a, Arm>, SpeedTrial)>);

impl<'a> SpeedTrials<'a> {
    /// Times every distinct model of the planned generations. Each trial runs `parallel_units` times at once, each time
    /// on an equal part of the threads.
    pub fn of(
        planned: &[PlannedGeneration<'a>],
        prepared: &PreparedSweep,
        device: &Device,
        parallel_units: usize,
    ) -> Result<Self> {
        let pools = ThreadPools::new(parallel_units)?;
        let mut different: Vec<&PlannedGeneration> = Vec::new();
        for generation in planned {
            if !different.iter().any(|other| has_same_cost(&other.arm, &generation.arm)) {
                different.push(generation);
            }
        }
        let mut tried: Vec<(Cow<Arm>, SpeedTrial)> = Vec::new();
        for generation in &different {
            let what = format!("timing model {} of {}", tried.len() + 1, different.len());
            let trial = || SpeedTrial::side_by_side(generation, prepared, device, &pools);
            tried.push((generation.arm.clone(), with_status_lines(&what, trial)?));
        }
        Ok(Self(tried))
    }

    fn of_arm(&self, arm: &Arm) -> &SpeedTrial {
        let found = self.0.iter().find(|(tried, _)| has_same_cost(tried, arm));
        &found.expect("the models of all planned generations were timed").1
    }
}

/// Whether training, writing and scoring take equally long per token in both arms.
fn has_same_cost(one: &Arm, other: &Arm) -> bool {
    let writes_alike =
        SynthesisSettings { tokens: other.synthesis.tokens, ..one.synthesis.clone() } == other.synthesis;
    let of_training = |arm: &Arm| {
        let TrainingSettings { batch, base, lora, writers, .. } = &arm.training;
        (*batch, base.clone(), lora.clone(), *writers)
    };
    one.model == other.model && of_training(one) == of_training(other) && writes_alike
}

/// Speed, size and memory of one model.
#[derive(Clone, Copy)]
struct SpeedTrial {
    training_seconds_per_token: f64,
    writing_seconds_per_token: f64,
    scoring_seconds_per_token: f64,
    model_bytes: u64,
    memory_bytes: u64,
}

/// Amounts of work in a timing trial, so small that the trial takes a few seconds and about a gigabyte of memory.
#[derive(Clone, Copy)]
struct TrialSize {
    batch: usize,
    trained: Tokens,
    written: Tokens,
    scored: Tokens,
}

impl TrialSize {
    /// Floating-point operations of each part of a trial.
    const OPERATIONS: f64 = 2e11;
    /// Largest memory for the activations of a training step, in bytes.
    const ACTIVATION_BYTES: u64 = 1 << 30;

    const MOST_WRITTEN: Tokens = Tokens(16_384);
    /// A trial that takes longer than this, in seconds, is long enough to measure the speed.
    const ENOUGH_SECONDS: f64 = 0.5;

    /// The first trial: one sequence to train on, 256 tokens to write and 256 to score.
    fn smallest(arm: &Arm) -> Self {
        let context = arm.model.context_tokens().unwrap_or(1) as u64;
        Self { batch: 1, trained: Tokens(context), written: Tokens(256), scored: Tokens(256) }
    }

    fn training(self, training: &TrainingSettings) -> TrainingSettings {
        TrainingSettings {
            tokens: Some(self.trained),
            epochs: None,
            batch: self.batch,
            writers: 1,
            learning_rate: HARMLESS_RATE,
            ..training.clone()
        }
    }

    /// The second trial, of [`Self::OPERATIONS`] at most where possible. Training takes six operations per token and
    /// parameter, and writing and scoring take two.
    fn of(arm: &Arm, vocab_size: usize) -> Self {
        let parameters = arm.model.parameters(vocab_size).max(1) as f64;
        let (steps, context) = arm.model.context_tokens().map_or((1, 1), |context| (4, context));
        let in_time = (Self::OPERATIONS / (6.0 * parameters) / context as f64) as usize;
        let one = TrainingSettings { batch: 1, ..arm.training.clone() };
        let in_memory = Self::ACTIVATION_BYTES / arm.model.activation_bytes(&one, vocab_size).max(1);
        let batch = arm.training.batch.min(in_time).min(in_memory as usize).max(1);
        let steps = steps.min(in_time / batch).max(1);
        let forward = (Self::OPERATIONS / (2.0 * parameters)) as u64;
        Self {
            batch,
            trained: Tokens((steps * batch * context) as u64),
            written: Tokens(forward.clamp(256, Self::MOST_WRITTEN.0)),
            scored: Tokens(forward.clamp(256, 4096)),
        }
    }
}

/// A learning rate so small that a timing trial cannot diverge, whatever the rate of the experiment.
const HARMLESS_RATE: f64 = 1e-5;

impl SpeedTrial {
    /// The mean of trials that run at the same time, one in each thread pool.
    fn side_by_side(
        generation: &PlannedGeneration,
        prepared: &PreparedSweep,
        device: &Device,
        pools: &ThreadPools,
    ) -> Result<Self> {
        let corpus = &prepared.experiments()[generation.experiment].corpus;
        let try_once = || Self::of(&generation.arm, corpus, prepared.text(generation.experiment), device);
        let trials: Vec<Self> = pools.on_each(try_once).into_iter().collect::<Result<_>>()?;
        let mean = |of: fn(&Self) -> f64| trials.iter().map(of).sum::<f64>() / trials.len() as f64;
        Ok(Self {
            training_seconds_per_token: mean(|trial| trial.training_seconds_per_token),
            writing_seconds_per_token: mean(|trial| trial.writing_seconds_per_token),
            scoring_seconds_per_token: mean(|trial| trial.scoring_seconds_per_token),
            ..trials[0]
        })
    }

    fn of(arm: &Arm, corpus: &CorpusSettings, prepared: &PreparedText, device: &Device) -> Result<Self> {
        let vocab_size = prepared.tokenizer.vocab_size();
        let sizes = [TrialSize::smallest(arm), TrialSize::of(arm, vocab_size)];
        let never = AtomicBool::new(false);
        let stage = Stage::new(StreamKey::new(0, "", 0, streams::TRIAL), &Silent, &never);
        let text = prepared.train.prefix(corpus.train_tokens);
        let train = |size: TrialSize| {
            let trial_arm = Arm { training: size.training(&arm.training), ..arm.clone() };
            let seen = lineage::tokens_seen(&trial_arm, &prepared.tokenizer, text.tokens());
            let start = trial_arm.training.start(None);
            let learner = lineage::learner(&trial_arm, &prepared.tokenizer, start, device);
            Ok((learner.fit(&text, &mut NoCheckpoints, &stage)?, seen.0))
        };
        // A model without a context is always trained on the whole text, so one trial is enough.
        let rounds = if arm.model.context_tokens().is_some() { &sizes[..] } else { &sizes[1..] };
        let (fitted, training_seconds_per_token) = seconds_per_token(rounds, train)?;
        let model = fitted.model.as_ref();
        let world = corpus.built_in_world();
        let sources = Sources {
            natural: &prepared.train,
            previous: None,
            tokenizer: &prepared.tokenizer,
            world: world.as_ref(),
        };
        let write = |size| Ok(((), write_small_corpus(arm, model, sources, size, &stage)?));
        let ((), writing_seconds_per_token) = seconds_per_token(&sizes, write)?;
        let score = |size: TrialSize| {
            let sample = prepared.heldout.prefix(size.scored);
            model.score(&sample, &stage)?;
            Ok(((), sample.tokens().0))
        };
        let ((), scoring_seconds_per_token) = seconds_per_token(&sizes, score)?;
        let folder = tempfile::tempdir().context("TMPDIR must name a folder that this user may write to")?;
        fitted.model.save(folder.path())?;
        let model_bytes: u64 = std::fs::read_dir(folder.path())?
            .flatten()
            .filter_map(|file| file.metadata().ok())
            .map(|file| file.len())
            .sum();
        Ok(Self {
            training_seconds_per_token,
            writing_seconds_per_token,
            scoring_seconds_per_token,
            model_bytes: model_bytes * arm.training.writers as u64,
            memory_bytes: memory_bytes(arm, model_bytes, prepared.vocab_size_of(arm)),
        })
    }
}

/// Writes a small corpus and returns its number of tokens. An external command is not run for a trial: the model writes
/// instead. Selection is off, because a barely trained model does not show which share a trained one would keep.
fn write_small_corpus(
    arm: &Arm,
    model: &dyn LanguageModel,
    sources: Sources,
    size: TrialSize,
    stage: &Stage,
) -> Result<u64> {
    let tokens = arm.synthesis.tokens.min(size.written);
    let is_external = arm.synthesis.method.name() == External::name();
    let method = if is_external { Textbook::default().into() } else { arm.synthesis.method.clone() };
    let selection = Selection::default();
    // Documents are requested at least 32 at a time; short ones keep a small trial small.
    let longest = arm.synthesis.max_document_tokens;
    let is_short = size.written < TrialSize::MOST_WRITTEN && !method.properties().rewrites_documents;
    let max_document_tokens = if is_short { longest.min(size.written.0 as usize / 32) } else { longest };
    let small = SynthesisSettings { method, tokens, max_document_tokens, selection, ..arm.synthesis.clone() };
    let (documents, _): (Documents, _) = synthesis::write_corpus(model, &small, sources, model, stage)?;
    Ok(documents.tokens().0)
}

/// Estimated peak memory of a generation, in bytes. The text, which is in memory already, is not included. The trial's model
/// takes `model_bytes`.
fn memory_bytes(arm: &Arm, model_bytes: u64, vocab_size: usize) -> u64 {
    let bytes_of_a_parameter = size_of::<f32>() as u64;
    let parameters = model_bytes / bytes_of_a_parameter;
    let training = arm.model.training_bytes(&arm.training, vocab_size, parameters);
    // The other writers, and those of generation 0, wait while one writes.
    let others = 2 * (arm.training.writers as u64 - 1) * model_bytes;
    training.max(others + arm.model.writing_bytes(vocab_size, parameters, arm.synthesis.max_document_tokens))
}

/// Does `work` in each of `sizes` until it takes longer than [`TrialSize::ENOUGH_SECONDS`]. Returns the result of the
/// last size that was tried, and its seconds per token.
fn seconds_per_token<T>(
    sizes: &[TrialSize],
    work: impl Fn(TrialSize) -> Result<(T, u64)>,
) -> Result<(T, f64)> {
    let [earlier @ .., last] = sizes else { unreachable!("there is at least one size") };
    for &size in earlier {
        let (done, seconds) = timed(|| work(size));
        let (result, tokens) = done?;
        if seconds > TrialSize::ENOUGH_SECONDS {
            return Ok((result, seconds / tokens.max(1) as f64));
        }
    }
    let (done, seconds) = timed(|| work(*last));
    let (result, tokens) = done?;
    Ok((result, seconds / tokens.max(1) as f64))
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let done = work();
    (done, started.elapsed().as_secs_f64())
}
