//! What work costs on this machine: every model is tried for a moment.

use crate::config::{Arm, Method, Model, Selection, Synthesis, Training, TrainingLength};
use crate::documents::Documents;
use crate::lineage::{self, PreparedText, Workload};
use crate::model::LanguageModel;
use crate::progress::Silent;
use crate::seed::{StreamKey, streams};
use crate::stage::Stage;
use crate::sweep::{PlannedGeneration, PreparedSweep, ThreadPools};
use crate::synthesis::{self, Sources};
use crate::training::{NoCheckpoints, Start};
use crate::units::Tokens;
use anyhow::Result;
use candle_core::Device;
use std::borrow::Cow;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What some generations cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// How many they are.
    pub generations: u64,
    /// How many of them train a model.
    pub trainings: u64,
    /// Tokens that training sees.
    pub seen: Tokens,
    /// Tokens that are written.
    pub written: Tokens,
    /// Seconds, one after the other.
    pub seconds: f64,
    /// What they leave on disk.
    pub disk_bytes: u64,
    /// The most memory that one of them takes.
    pub memory_bytes: u64,
}

impl Cost {
    /// The cost of `steps`, whose models were all tried.
    pub fn of<'a>(
        steps: impl IntoIterator<Item = &'a PlannedGeneration<'a>>,
        trials: &Trials,
        ready: &PreparedSweep,
    ) -> Self {
        let mut cost = Self::default();
        for step in steps {
            cost.add(step, trials.of_arm(&step.arm), ready.text(step.experiment));
        }
        cost
    }

    fn add(&mut self, step: &PlannedGeneration, trial: &Trial, prepared: &PreparedText) {
        let Workload { seen, written, scored, .. } = step.workload;
        let seen = if step.trains { seen } else { Tokens(0) };
        let (written, scored) = if step.writes { (written, scored) } else { (Tokens(0), Tokens(0)) };
        self.generations += 1;
        self.trainings += u64::from(step.trains);
        self.seen.0 += seen.0;
        self.written.0 += written.0;
        self.seconds += seen.0 as f64 * trial.training_seconds_per_token
            + written.0 as f64 * trial.writing_seconds_per_token
            + scored.0 as f64 * trial.scoring_seconds_per_token;
        // Token ids and text compress to about three bytes a token; the tokenizer goes with every model.
        self.disk_bytes += trial.model_bytes + 3 * written.0 + prepared.tokenizer_json.len() as u64;
        self.memory_bytes = self.memory_bytes.max(trial.memory_bytes);
    }
}

/// A time in words.
pub fn duration(seconds: f64) -> String {
    let minutes = seconds / 60.0;
    if minutes < 60.0 {
        let minutes = minutes.ceil();
        format!("{minutes:.0} minute{}", if minutes == 1.0 { "" } else { "s" })
    } else {
        format!("{:.1} hours", minutes / 60.0)
    }
}

/// Bytes in words.
pub fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// The models of some generations, tried.
pub struct Trials<'a>(Vec<(Cow<'a, Arm>, Trial)>);

impl<'a> Trials<'a> {
    /// Tries the model of every step, with so many going on at a time, each on its share of the threads.
    pub fn of(
        steps: &[PlannedGeneration<'a>],
        ready: &PreparedSweep,
        device: &Device,
        at_a_time: usize,
    ) -> Result<Self> {
        let pools = ThreadPools::new(at_a_time)?;
        let mut tried: Vec<(Cow<Arm>, Trial)> = Vec::new();
        for step in steps {
            if !tried.iter().any(|(arm, _)| cost_alike(arm, &step.arm)) {
                let trial = Trial::side_by_side(step, ready, device, &pools)?;
                tried.push((step.arm.clone(), trial));
            }
        }
        Ok(Self(tried))
    }

    fn of_arm(&self, arm: &Arm) -> &Trial {
        let found = self.0.iter().find(|(tried, _)| cost_alike(tried, arm));
        &found.expect("the models of all steps were tried").1
    }
}

/// Whether a token costs as much with either arm.
fn cost_alike(one: &Arm, other: &Arm) -> bool {
    let writes_alike =
        Synthesis { tokens: other.synthesis.tokens, ..one.synthesis.clone() } == other.synthesis;
    one.model == other.model && one.training.batch == other.training.batch && writes_alike
}

/// How fast a model trains, writes and scores here, and how large it is.
#[derive(Clone, Copy)]
struct Trial {
    training_seconds_per_token: f64,
    writing_seconds_per_token: f64,
    scoring_seconds_per_token: f64,
    model_bytes: u64,
    memory_bytes: u64,
}

/// No step of a trial leads astray, whatever rate the experiment has.
const HARMLESS_RATE: f64 = 1e-5;

impl Trial {
    /// The mean of trials that go on at the same time, one by each team.
    fn side_by_side(
        step: &PlannedGeneration,
        ready: &PreparedSweep,
        device: &Device,
        pools: &ThreadPools,
    ) -> Result<Self> {
        let train_tokens = ready.experiments()[step.experiment].corpus.train_tokens;
        let try_once = || Self::of(&step.arm, train_tokens, ready.text(step.experiment), device);
        let trials: Vec<Self> = pools.on_each(try_once).into_iter().collect::<Result<_>>()?;
        let mean = |of: fn(&Self) -> f64| trials.iter().map(of).sum::<f64>() / trials.len() as f64;
        Ok(Self {
            training_seconds_per_token: mean(|trial| trial.training_seconds_per_token),
            writing_seconds_per_token: mean(|trial| trial.writing_seconds_per_token),
            scoring_seconds_per_token: mean(|trial| trial.scoring_seconds_per_token),
            ..trials[0]
        })
    }

    fn of(arm: &Arm, train_tokens: Tokens, prepared: &PreparedText, device: &Device) -> Result<Self> {
        let (steps, context) = match &arm.model {
            Model::Transformer(shape) => (4, shape.context),
            Model::Ngram(_) => (1, 1),
        };
        let length = TrainingLength::Tokens(Tokens((steps * arm.training.batch * context) as u64));
        let training = Training { length, learning_rate: HARMLESS_RATE, ..arm.training.clone() };
        let brief = Arm { training, ..arm.clone() };
        let never = AtomicBool::new(false);
        let stage = Stage::new(StreamKey::new(0, "", 0, streams::TRIAL), &Silent, &never);
        let text = prepared.train.prefix(train_tokens);
        let trained = lineage::tokens_seen(&brief, &prepared.tokenizer, text.tokens());
        let learner = lineage::learner(&brief, &prepared.tokenizer, Start::Scratch, device);
        let (fitted, training) = timed(|| learner.fit(&text, &mut NoCheckpoints, &stage));
        let fitted = fitted?;
        let (written, writing) = timed(|| write_a_little(arm, fitted.model.as_ref(), prepared, &stage));
        let sample = prepared.heldout.prefix(Tokens(4096));
        let (scored, scoring) = timed(|| fitted.model.score(&sample, &stage));
        scored?;
        let folder = tempfile::tempdir()?;
        fitted.model.save(folder.path())?;
        let model_bytes: u64 = std::fs::read_dir(folder.path())?
            .flatten()
            .filter_map(|file| file.metadata().ok())
            .map(|file| file.len())
            .sum();
        Ok(Self {
            training_seconds_per_token: training / trained.0 as f64,
            writing_seconds_per_token: writing / written? as f64,
            scoring_seconds_per_token: scoring / sample.tokens().0 as f64,
            model_bytes,
            memory_bytes: memory(arm, model_bytes, prepared),
        })
    }
}

/// Writes a small corpus and says how many tokens it has. A command of the user's is not run for a trial: the model
/// writes in its place. Nothing is selected: a model that has hardly learnt says little of what would be kept.
fn write_a_little(
    arm: &Arm,
    model: &dyn LanguageModel,
    prepared: &PreparedText,
    stage: &Stage,
) -> Result<u64> {
    let tokens = Tokens(arm.synthesis.tokens.0.min(16_384));
    let method = match &arm.synthesis.method {
        Method::External { .. } => Method::Textbook,
        method => method.clone(),
    };
    let selection = Selection::default();
    let little = Synthesis { method, tokens, selection, ..arm.synthesis.clone() };
    let sources = Sources { natural: &prepared.train, previous: None, tokenizer: &prepared.tokenizer };
    let (documents, _): (Documents, _) = synthesis::write_corpus(model, &little, sources, model, stage)?;
    Ok(documents.tokens().0)
}

/// Weights, gradients, two moments; what a step keeps for its backward pass; the text as ids and as characters.
fn memory(arm: &Arm, model_bytes: u64, prepared: &PreparedText) -> u64 {
    let activations = match &arm.model {
        Model::Ngram(_) => 0,
        Model::Transformer(shape) => {
            let per_layer = 12 * shape.width + 4 * shape.ffn + 2 * shape.heads * shape.context;
            let per_token = shape.layers * per_layer + 2 * prepared.tokenizer.vocab_size();
            4 * per_token * arm.training.batch * shape.context
        }
    };
    4 * model_bytes + activations as u64 + 12 * prepared.train.tokens().0
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let done = work();
    (done, started.elapsed().as_secs_f64())
}
