//! Training of a transformer: AdamW on packed text, with checkpoints from which training resumes with bit-identical
//! results. [`super`] has an example of a learner.

use super::adamw;
use super::checkpoint::{self, TrainingProgress};
use super::gradients::Batch;
use super::lora::Adapters;
use super::memory;
use super::trainer::Trainer;
use super::windows::{Gaps, TrainingWindows};
use super::{
    Checkpoints, Learner, LearnerContext, LossPoint, ModelKind, Start, Trained, TrainingError,
    TrainingLength, TrainingRecord, TrainingSettings,
};
use crate::documents::Documents;
use crate::model::transformer::parameters::Shape;
use crate::model::transformer::{Network, Transformer};
use crate::model::{FolderProblem, LanguageModel, ModelError, SpecialTokens, TransformerSettings};
use crate::seed::streams;
use crate::settings::SettingError;
use crate::stage::Stage;
use crate::tokenizer::Sentinels;
use crate::units::Tokens;
use candle_core::Device;
use genloss_kernels::softmax::IGNORED;
use std::path::Path;
use toml::Table;

/// Approximate number of points of a loss curve.
const CURVE_POINTS: u64 = 100;

/// Trains a transformer.
#[derive(Clone, Debug)]
pub struct TransformerLearner {
    /// Shape of the model. If training starts from a model folder, that model must have the same shape.
    pub architecture: TransformerSettings,
    /// Optimiser settings and length of training. `init` and `base` are ignored in favour of `start`.
    pub training: TrainingSettings,
    /// Size of the vocabulary.
    pub vocab_size: usize,
    /// Tokens that mark the start and the end of a document.
    pub special: SpecialTokens,
    /// Tokens that mark a gap; `None` if the model does not learn to fill gaps.
    pub sentinels: Option<Sentinels>,
    /// The initial weights.
    pub start: Start,
    /// Device to train on.
    pub device: Device,
}

impl ModelKind for TransformerSettings {
    fn name() -> &'static str {
        "transformer"
    }

    fn complete(table: &mut Table) {
        Self::complete(table);
    }

    fn check(&self) -> Result<(), SettingError> {
        self.check()
    }

    fn context_tokens(&self) -> Option<usize> {
        Some(self.context)
    }

    fn can_fill_gaps(&self) -> bool {
        true
    }

    fn has_hidden_states(&self) -> bool {
        true
    }

    fn activation_bytes(&self, training: &TrainingSettings, vocab_size: usize) -> u64 {
        memory::activation_bytes(self, training, vocab_size)
    }

    fn training_bytes(&self, training: &TrainingSettings, vocab_size: usize, parameters: u64) -> u64 {
        memory::training_bytes(self, training, vocab_size, parameters)
    }

    fn writing_bytes(&self, vocab_size: usize, parameters: u64, document_tokens: usize) -> u64 {
        memory::writing_bytes(self, vocab_size, parameters, document_tokens)
    }

    fn parameters(&self, vocab_size: usize) -> u64 {
        Shape::new(self, vocab_size).parameters()
    }

    fn learner(&self, context: LearnerContext) -> Box<dyn Learner> {
        let LearnerContext { training, tokenizer, start, device } = context;
        Box::new(TransformerLearner {
            architecture: self.clone(),
            training: training.clone(),
            vocab_size: tokenizer.vocab_size(),
            special: tokenizer.special(),
            sentinels: tokenizer.sentinels(),
            start,
            device: device.clone(),
        })
    }
}

impl Learner for TransformerLearner {
    fn fit(
        &self,
        documents: &Documents,
        checkpoints: &mut dyn Checkpoints,
        stage: &Stage,
    ) -> Result<Trained, TrainingError> {
        let context = self.architecture.context;
        if documents.tokens().0 < context as u64 {
            return Err(TrainingError::TooShort { tokens: documents.tokens(), context });
        }
        let steps = self.steps(documents.tokens());
        let mut run = TrainingRun::open(self, steps, checkpoints.latest().as_deref(), stage)?;
        let tokens_per_step = self.tokens_per_step();
        stage.begin(steps * tokens_per_step, "tokens");
        stage.advance(run.progress.step * tokens_per_step);
        for point in &run.progress.curve {
            stage.training_loss(point.tokens.0, point.loss_nats);
        }
        let mut windows = TrainingWindows::new(documents, self.special, self.gaps(), stage);
        windows.skip(run.progress.step * tokens_per_step);
        while run.progress.step < steps {
            if stage.interrupted() {
                checkpoints.save(&mut |dir| run.save(dir))?;
                return Err(TrainingError::Interrupted);
            }
            let batch = next_batch(&mut windows, context, self.training.batch, self.sentinels);
            run.step(&batch, stage)?;
            stage.advance(tokens_per_step);
            if run.progress.step == steps || checkpoints.due() {
                checkpoints.save(&mut |dir| run.save(dir))?;
            }
        }
        stage.end();
        let record = self.record(&run, documents.tokens(), stage);
        Ok(Trained { model: Box::new(self.model(run.trainer.into_network())), record })
    }

    fn load_trained(&self, dir: &Path) -> Result<Box<dyn LanguageModel>, ModelError> {
        let network = Transformer::load(dir, &self.device)?.into_network();
        Ok(Box::new(self.model(network).with_precision(self.architecture.precision)))
    }

    fn tokens_seen(&self, text: Tokens) -> Tokens {
        Tokens(self.steps(text).saturating_mul(self.tokens_per_step()))
    }

    fn check_start(&self, stage: &Stage) -> Result<(), ModelError> {
        let network = self.initial(stage)?;
        self.adapters(&network, stage).map(drop)
    }
}

impl TransformerLearner {
    /// Settings of the gaps that the model learns to fill; `None` if it does not learn to fill gaps.
    fn gaps(&self) -> Option<Gaps> {
        let share = self.training.fim_share;
        let sentinels = self.sentinels.filter(|_| share > 0.0)?;
        // A piece, the start token and the three sentinels together fill the context.
        Some(Gaps { share, sentinels, piece_tokens: self.architecture.context - 4 })
    }

    fn tokens_per_step(&self) -> u64 {
        (self.training.batch * self.architecture.context) as u64
    }

    /// Optimiser steps over a text of `text` tokens.
    fn steps(&self, text: Tokens) -> u64 {
        let per_step = self.tokens_per_step();
        let steps = match self.training.length() {
            TrainingLength::Tokens(tokens) => tokens.0.div_ceil(per_step),
            TrainingLength::Epochs(epochs) => (epochs * text.0 as f64 / per_step as f64).ceil() as u64,
        };
        steps.max(1)
    }

    /// The model with this network, which writes only tokens of the experiment's tokenizer.
    fn model(&self, network: Network) -> Transformer {
        Transformer::from_network(network, self.special).writing_below(self.vocab_size)
    }

    /// The network before the first step.
    fn initial(&self, stage: &Stage) -> Result<Network, ModelError> {
        let dir = match &self.start {
            Start::Scratch => {
                let mut stream = stage.at(streams::INITIALISATION).stream(0);
                let Self { architecture, vocab_size, special, device, .. } = self;
                let model =
                    Transformer::initialise(architecture, *vocab_size, *special, &mut stream, device)?;
                return Ok(model.into_network());
            }
            Start::Previous(dir) | Start::Base(dir) => dir,
        };
        let network = Transformer::load(dir, &self.device)?.into_network();
        self.adopt(network).map_err(|reason| FolderProblem::from(reason).of_folder(dir))
    }

    /// The trainer before the first step.
    fn trainer(&self, stage: &Stage) -> Result<Trainer, ModelError> {
        let network = self.initial(stage)?;
        Ok(match self.adapters(&network, stage)? {
            None => Trainer::new(network),
            Some(adapters) => Trainer::of_adapters(network, adapters),
        })
    }

    /// The low-rank updates of the loaded `network`; None if all weights are trained.
    fn adapters(&self, network: &Network, stage: &Stage) -> Result<Option<Adapters>, ModelError> {
        let (Some(lora), Start::Previous(dir) | Start::Base(dir)) = (&self.training.lora, &self.start) else {
            return Ok(None);
        };
        let mut stream = stage.at(streams::INITIALISATION).stream(0);
        let adapters = Adapters::new(network, lora, &mut stream);
        adapters.map(Some).map_err(|reason| FolderProblem::from(reason).of_folder(dir))
    }

    /// Adapts a loaded network to the experiment, by shortening its context and setting its precision. Returns an error
    /// message if its shape is different, or its context or vocabulary too small.
    fn adopt(&self, network: Network) -> Result<Network, String> {
        let TransformerSettings { family, layers, width, heads, ffn, context, precision } = self.architecture;
        let Network { shape, .. } = &network;
        if (shape.layers, shape.width, shape.heads.queries, shape.ffn) != (layers, width, heads, ffn) {
            return Err(format!(
                "it has layers = {}, width = {}, heads = {}, ffn = {}: write these into [model]",
                shape.layers, shape.width, shape.heads.queries, shape.ffn
            ));
        }
        let found = shape.architecture.family;
        if family.is_some_and(|family| family != found) {
            return Err(format!("it is of the family {0}: set model.family = \"{0}\"", found.model_type()));
        }
        if shape.vocab_size < self.vocab_size {
            let remedy = match self.sentinels {
                Some(_) => "it has not learnt to fill gaps, so leave out training.fim_share",
                None => "use the tokenizer that it was trained with, without added tokens",
            };
            return Err(format!(
                "it has {} tokens and the tokenizer {}: {remedy}",
                shape.vocab_size, self.vocab_size
            ));
        }
        if shape.context < context {
            return Err(format!(
                "its context is {} tokens: set model.context to that or less",
                shape.context
            ));
        }
        network.with(context, precision).map_err(|error| error.to_string())
    }

    fn record(&self, run: &TrainingRun, text: Tokens, stage: &Stage) -> TrainingRecord {
        let tokens_seen = Tokens(run.progress.steps * self.tokens_per_step());
        TrainingRecord {
            init: match &self.start {
                Start::Scratch => "scratch".to_owned(),
                Start::Previous(_) => format!("generation {}", stage.key().generation.saturating_sub(1)),
                Start::Base(dir) => format!("base {}", dir.display()),
            },
            parameters: run.trainer.network().shape.parameters(),
            adapter_parameters: run.trainer.adapter_parameters(),
            writers: None,
            steps: run.progress.steps,
            tokens_seen,
            epochs: tokens_seen.0 as f64 / text.0 as f64,
            curve: run.progress.curve.clone(),
        }
    }
}

/// The sequences of the next step. Sentinels are excluded from the targets, so that no model learns to write one.
fn next_batch(
    windows: &mut TrainingWindows,
    context: usize,
    sequences: usize,
    sentinels: Option<Sentinels>,
) -> Batch {
    let is_sentinel = |token| sentinels.is_some_and(|sentinels| sentinels.contain(token));
    let mut batch = Batch { time: context, ..Batch::default() };
    for _ in 0..sequences {
        let (tokens, targets) = windows.next_window(context);
        batch.tokens.extend(tokens);
        batch
            .targets
            .extend(targets.into_iter().map(|token| if is_sentinel(token) { IGNORED } else { token }));
    }
    batch
}

/// A training run in progress.
struct TrainingRun<'a> {
    settings: &'a TrainingSettings,
    trainer: Trainer,
    progress: TrainingProgress,
}

impl<'a> TrainingRun<'a> {
    /// Resumes from a checkpoint if there is one, else starts from the initial weights.
    fn open(
        learner: &'a TransformerLearner,
        steps: u64,
        checkpoint: Option<&Path>,
        stage: &Stage,
    ) -> Result<Self, TrainingError> {
        let settings = &learner.training;
        let mut trainer = learner.trainer(stage)?;
        let Some(dir) = checkpoint else {
            let progress = TrainingProgress { steps, ..TrainingProgress::default() };
            return Ok(Self { settings, trainer, progress });
        };
        let (state, progress) = checkpoint::load(dir, &trainer.layout(), steps)?;
        trainer.restore(state)?;
        Ok(Self { settings, trainer, progress })
    }

    fn save(&self, dir: &Path) -> Result<(), TrainingError> {
        checkpoint::save(dir, self.trainer.state(), &self.progress)
    }

    /// Performs one optimiser step and records its loss.
    fn step(&mut self, batch: &Batch, stage: &Stage) -> Result<(), TrainingError> {
        let TrainingProgress { step, steps, .. } = self.progress;
        let rate = adamw::learning_rate(self.settings, step, steps);
        let loss = self.trainer.step(batch, self.settings, step + 1, rate)?;
        let predictions = batch.predictions() as u64;
        if !loss.is_finite() {
            let key = stage.key();
            return Err(TrainingError::Diverged {
                seed: key.seed,
                arm: key.arm.clone(),
                generation: key.generation,
                step,
                loss_nats: loss.nats / predictions as f64,
                gradient_norm: loss.gradient_norm,
            });
        }
        if let Some(point) = self.record_step(loss.nats, predictions, batch.tokens.len() as u64) {
            stage.training_loss(point.tokens.0, point.loss_nats);
        }
        Ok(())
    }

    /// Counts a completed step, and adds a point to the loss curve at regular intervals, about [`CURVE_POINTS`] points
    /// in all. Returns that point.
    fn record_step(&mut self, nats: f64, predictions: u64, tokens: u64) -> Option<LossPoint> {
        let progress = &mut self.progress;
        progress.step += 1;
        progress.nats += nats;
        progress.tokens += predictions;
        let is_due = progress.step.is_multiple_of(progress.steps.div_ceil(CURVE_POINTS))
            || progress.step == progress.steps;
        is_due.then(|| {
            let point = LossPoint {
                tokens: Tokens(progress.step * tokens),
                loss_nats: progress.nats / progress.tokens as f64,
            };
            progress.curve.push(point);
            (progress.nats, progress.tokens) = (0.0, 0);
            point
        })
    }
}
