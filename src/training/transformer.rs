//! Training a transformer: AdamW on packed text, with checkpoints that go on to the bit.

use super::adamw::{self, Moments};
use super::checkpoint::{self, Progress, State};
use super::gradients::{Batch, Gradients};
use super::packed::{Gaps, Packed};
use super::{Checkpoints, Learner, LossPoint, Trained, TrainingError, TrainingRecord};
use crate::config::{self, Training, TrainingLength};
use crate::documents::Documents;
use crate::model::transformer::parameters::Parameters;
use crate::model::transformer::{Network, Transformer};
use crate::model::{LanguageModel, ModelError, SpecialTokens};
use crate::seed::streams;
use crate::stage::Stage;
use crate::tokenizer::Sentinels;
use crate::units::Tokens;
use candle_core::{Device, Tensor};
use genloss_kernels::softmax::IGNORED;
use std::path::{Path, PathBuf};

/// Points of a loss curve, about.
const CURVE_POINTS: u64 = 100;

/// What the weights start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A fresh initialisation.
    Scratch,
    /// The model folder of the generation before.
    Previous(PathBuf),
    /// A given Hugging Face folder.
    Base(PathBuf),
}

/// Learns a transformer.
#[derive(Clone, Debug)]
pub struct TransformerLearner {
    /// The shape. What a folder starts from must have it too.
    pub architecture: config::Transformer,
    /// How it is trained; `init` has become `start`.
    pub training: Training,
    /// Tokens of the tokenizer.
    pub vocab_size: usize,
    /// The tokenizer's special tokens.
    pub special: SpecialTokens,
    /// The tokenizer's sentinels, for learning to fill gaps.
    pub sentinels: Option<Sentinels>,
    /// What the weights start from.
    pub start: Start,
    /// Where to train.
    pub device: Device,
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
        let mut run = Run::open(self, steps, checkpoints.latest().as_deref(), stage)?;
        let tokens_per_step = self.tokens_per_step();
        stage.begin(steps * tokens_per_step, "tokens");
        stage.advance(run.progress.step * tokens_per_step);
        let mut packed = Packed::new(documents, self.special, self.gaps(), stage);
        packed.skip(run.progress.step * tokens_per_step);
        while run.progress.step < steps {
            if stage.interrupted() {
                checkpoints.save(&mut |dir| run.save(dir))?;
                return Err(TrainingError::Interrupted);
            }
            let batch = next_batch(&mut packed, context, self.training.batch, self.sentinels);
            run.step(&batch, stage)?;
            stage.advance(tokens_per_step);
            if run.progress.step == steps || checkpoints.due() {
                checkpoints.save(&mut |dir| run.save(dir))?;
            }
        }
        stage.end();
        let record = self.record(&run, documents.tokens(), stage);
        Ok(Trained { model: Box::new(Transformer::from_network(run.network, self.special)), record })
    }

    fn recall(&self, dir: &Path) -> Result<Box<dyn LanguageModel>, ModelError> {
        let model = Transformer::load(dir, &self.device)?;
        Ok(Box::new(model.with_precision(self.architecture.precision)))
    }
}

impl TransformerLearner {
    /// How documents are read with their middle last, if some are.
    fn gaps(&self) -> Option<Gaps> {
        let share = self.training.fim_share;
        let sentinels = self.sentinels.filter(|_| share > 0.0)?;
        // With the start token and the sentinels a piece fills the context.
        Some(Gaps { share, sentinels, piece_tokens: self.architecture.context - 4 })
    }

    fn tokens_per_step(&self) -> u64 {
        (self.training.batch * self.architecture.context) as u64
    }

    /// Tokens that training sees of a text of so many tokens: whole steps, repetitions counted.
    #[must_use]
    pub fn tokens_seen(&self, text: Tokens) -> Tokens {
        Tokens(self.steps(text).saturating_mul(self.tokens_per_step()))
    }

    /// Checks that there is a network to start from, and that it fits.
    ///
    /// # Errors
    /// When the folder that training would start from is not whole, or not of the experiment's shape.
    pub fn check_start(&self, stage: &Stage) -> Result<(), ModelError> {
        self.initial(stage).map(drop)
    }

    /// Optimiser steps over a text of so many tokens.
    fn steps(&self, text: Tokens) -> u64 {
        let per_step = self.tokens_per_step();
        let steps = match self.training.length {
            TrainingLength::Tokens(tokens) => tokens.0.div_ceil(per_step),
            TrainingLength::Epochs(epochs) => (epochs * text.0 as f64 / per_step as f64).ceil() as u64,
        };
        steps.max(1)
    }

    /// The network before its first step.
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
        self.adopt(network).map_err(|reason| ModelError::Folder { dir: dir.clone(), reason })
    }

    /// Takes on a network of the experiment's shape, its context cut to the experiment's.
    fn adopt(&self, network: Network) -> Result<Network, String> {
        let config::Transformer { layers, width, heads, ffn, context, precision } = self.architecture;
        let Network { mut shape, parameters, device, .. } = network;
        if (shape.layers, shape.width, shape.heads.queries, shape.ffn) != (layers, width, heads, ffn) {
            return Err(format!(
                "it has layers = {}, width = {}, heads = {}, ffn = {}: write these into [model]",
                shape.layers, shape.width, shape.heads.queries, shape.ffn
            ));
        }
        if shape.vocab_size != self.vocab_size {
            let remedy = match self.sentinels {
                Some(_) => "it has not learnt to fill gaps, so leave out training.fim_share; and ",
                None => "",
            };
            return Err(format!(
                "it has {} tokens and the tokenizer {}: {remedy}set tokenizer.path to the tokenizer.json of this folder",
                shape.vocab_size, self.vocab_size
            ));
        }
        if shape.context < context {
            return Err(format!("it reads {} positions: set model.context to that or less", shape.context));
        }
        shape.context = context;
        Ok(Network::new(shape, parameters, precision, device))
    }

    fn record(&self, run: &Run, text: Tokens, stage: &Stage) -> TrainingRecord {
        let tokens_seen = Tokens(run.progress.steps * self.tokens_per_step());
        TrainingRecord {
            init: match &self.start {
                Start::Scratch => "scratch".to_owned(),
                Start::Previous(_) => format!("generation {}", stage.key().generation.saturating_sub(1)),
                Start::Base(dir) => format!("base {}", dir.display()),
            },
            parameters: run.network.shape.parameters(),
            steps: run.progress.steps,
            tokens_seen,
            epochs: tokens_seen.0 as f64 / text.0 as f64,
            curve: run.progress.curve.clone(),
        }
    }
}

/// The next step's sequences. Nothing learns to write a sentinel: it is never what is to be predicted.
fn next_batch(packed: &mut Packed, context: usize, sequences: usize, sentinels: Option<Sentinels>) -> Batch {
    let is_sentinel = |token| sentinels.is_some_and(|sentinels| sentinels.contain(token));
    let mut batch = Batch { time: context, ..Batch::default() };
    for _ in 0..sequences {
        let (tokens, targets) = packed.window(context);
        batch.tokens.extend(tokens);
        batch
            .targets
            .extend(targets.into_iter().map(|token| if is_sentinel(token) { IGNORED } else { token }));
    }
    batch
}

/// A training under way.
struct Run<'a> {
    training: &'a Training,
    network: Network,
    moments: Parameters<Moments>,
    gradients: Gradients,
    progress: Progress,
}

impl<'a> Run<'a> {
    /// From a checkpoint, or from the start.
    fn open(
        learner: &'a TransformerLearner,
        steps: u64,
        checkpoint: Option<&Path>,
        stage: &Stage,
    ) -> Result<Self, TrainingError> {
        let network = learner.initial(stage)?;
        let training = &learner.training;
        let gradients = Gradients::new(&network);
        if let Some(dir) = checkpoint {
            let State { parameters, moments, progress } =
                checkpoint::load(dir, &network.shape, steps, &learner.device)?;
            let network = Network { parameters, ..network };
            return Ok(Self { training, network, moments, gradients, progress });
        }
        let moments = network.parameters.map(|parameter: &Tensor| {
            let zeros = vec![0.0; parameter.elem_count()];
            Moments { first: zeros.clone(), second: zeros }
        });
        Ok(Self {
            training,
            network,
            moments,
            gradients,
            progress: Progress { steps, ..Progress::default() },
        })
    }

    fn save(&self, dir: &Path) -> Result<(), TrainingError> {
        checkpoint::save(dir, &self.network.shape, &self.network.parameters, &self.moments, &self.progress)
    }

    /// One step of the optimiser.
    fn step(&mut self, batch: &Batch, stage: &Stage) -> Result<(), TrainingError> {
        let nats = self.gradients.compute(&self.network, batch)?;
        let gradient = self.gradients.values();
        let tokens = batch.predictions() as u64;
        let norm = adamw::norm(gradient);
        let Progress { step, steps, .. } = self.progress;
        if !nats.is_finite() || !norm.is_finite() {
            let place = stage.key();
            return Err(TrainingError::Diverged {
                seed: place.seed,
                arm: place.arm.clone(),
                generation: place.generation,
                step,
                loss_nats: nats / tokens as f64,
                gradient_norm: norm,
            });
        }
        let this = adamw::Step {
            count: step + 1,
            rate: adamw::learning_rate(self.training, step, steps),
            gradient_scale: adamw::clip(norm, self.training.gradient_clip),
        };
        adamw::step(&mut self.network.parameters, &mut self.moments, gradient, self.training, this)?;
        self.note(nats, tokens, batch.tokens.len() as u64);
        Ok(())
    }

    /// Counts a step that is done, and adds a point to the curve now and then.
    fn note(&mut self, nats: f64, predictions: u64, tokens: u64) {
        let progress = &mut self.progress;
        progress.step += 1;
        progress.nats += nats;
        progress.tokens += predictions;
        if progress.step.is_multiple_of(progress.steps.div_ceil(CURVE_POINTS))
            || progress.step == progress.steps
        {
            progress.curve.push(LossPoint {
                tokens: Tokens(progress.step * tokens),
                loss_nats: progress.nats / progress.tokens as f64,
            });
            (progress.nats, progress.tokens) = (0.0, 0);
        }
    }
}
