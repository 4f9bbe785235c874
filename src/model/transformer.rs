//! A transformer decoder on candle. Its [`architecture`] is data: by default a small Llama, or that of a family of published
//! models (GPT-2, GPT-NeoX, Llama, Mistral, OPT, Qwen 2 and 3).
//!
//! It runs through [`fused`] on the CPU, and through the reference implementation [`plain`] on a GPU. A saved model
//! *is* a Hugging Face folder: `AutoModelForCausalLM` loads it and computes the same log-probabilities.
//!
//! Weights are f32. The precision to which the factors of matrix products are rounded depends on the [`Purpose`].
//!
//! ```
//! use candle_core::Device;
//! use genloss::model::{SpecialTokens, TransformerSettings, transformer::Transformer};
//! use genloss::seed::StreamKey;
//! let shape = TransformerSettings { width: 16, heads: 2, ffn: 44, context: 8, ..TransformerSettings::default() };
//! let special = SpecialTokens { start: 0, end: 0 };
//! let mut stream = StreamKey::new(1, "control", 0, "initialisation").stream(0);
//! let model = Transformer::initialise(&shape, 300, special, &mut stream, &Device::Cpu)?;
//! assert_eq!(model.context(), 8);
//! # Ok::<(), genloss::model::ModelError>(())
//! ```

use crate::decoding::SamplingSettings;
use crate::documents::Documents;
use crate::model::{
    FolderFormat, GenerateRequest, LanguageModel, Loaded, ModelError, Precision, Purpose, Redrawn, Scores,
    SpecialTokens, TransformerSettings, check_tokens,
};
use crate::seed::Stream;
use crate::stage::Stage;
use crate::tokenizer::SpecialSources;
use architecture::{Positions, Rotaries};
use candle_core::{Device, Tensor};
use parameters::{Parameters, Shape};
use std::path::Path;

pub mod architecture;
mod folder;
pub mod fused;
pub(crate) mod generate;
mod names;
pub mod parameters;
pub mod plain;
mod score;

/// Hugging Face folders of the known families: `config.json` and safetensors weights.
#[derive(Clone, Copy, Debug)]
pub struct TransformerFolder;

impl FolderFormat for TransformerFolder {
    fn recognises(&self, dir: &Path) -> bool {
        dir.join("config.json").exists()
    }

    fn load(&self, dir: &Path, device: &Device) -> Result<Loaded, ModelError> {
        let (model, sources) = folder::load(dir, device)?;
        let (vocab_size, special) = (model.vocab_size(), model.special());
        let notes = folder::notes(dir)?;
        Ok(Loaded { model: Box::new(model), vocab_size, special, sources, notes })
    }
}

/// The parameters of a transformer, with the shape, rotary tables, precision and device needed to compute with them.
#[derive(Clone)]
pub struct Network {
    /// Sizes of the network.
    pub shape: Shape,
    /// Weights: f32, contiguous and on `device`.
    pub parameters: Parameters<Tensor>,
    /// Number format to which the factors of matrix products are rounded.
    pub precision: Precision,
    /// Cosines and sines of the positions.
    pub rotaries: Rotaries,
    /// Device of the parameters and of all computation.
    pub device: Device,
}

impl Network {
    /// The same network, for texts of up to `context` tokens, which are no more than before, and computed in `precision`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn with(self, context: usize, precision: Precision) -> candle_core::Result<Self> {
        let Self { shape, mut parameters, device, .. } = self;
        if let (Some(table), &Positions::Learned { offset }) =
            (&mut parameters.positions, &shape.architecture.positions)
        {
            *table = table.narrow(0, 0, context + offset)?.copy()?;
        }
        Ok(Self::new(Shape { context, ..shape }, parameters, precision, device))
    }

    /// Creates a network. `parameters` must have the given shape.
    #[must_use]
    pub fn new(shape: Shape, parameters: Parameters<Tensor>, precision: Precision, device: Device) -> Self {
        let rotaries = shape.architecture.rotaries(shape.context);
        Self { shape, parameters, precision, rotaries, device }
    }

    /// The same network computing in another precision.
    #[must_use]
    pub fn in_precision(&self, precision: Precision) -> Self {
        Self { precision, ..self.clone() }
    }
}

/// A transformer as a language model.
#[derive(Clone)]
pub struct Transformer {
    network: Network,
    special: SpecialTokens,
    /// The model writes only tokens with ids below this one.
    writable: usize,
}

impl Transformer {
    /// Creates an untrained model. Elements of matrices are drawn from a normal distribution with standard deviation
    /// 0.02, divided by √(2 · layers) for matrices whose product is added to the hidden states. Norm weights are 1.
    ///
    /// # Errors
    /// If the device fails.
    pub fn initialise(
        architecture: &TransformerSettings,
        vocab_size: usize,
        special: SpecialTokens,
        stream: &mut Stream,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let shape = Shape::new(architecture, vocab_size);
        let parameters =
            shape.specifications().try_map(|specification| specification.draw(stream, device))?;
        let network = Network::new(shape, parameters, architecture.precision, device.clone());
        Ok(Self::from_network(network, special))
    }

    /// Creates a model from its network and the tokens that mark the start and the end of a document.
    #[must_use]
    pub fn from_network(network: Network, special: SpecialTokens) -> Self {
        Self { writable: network.shape.vocab_size, network, special }
    }

    /// Reads a Hugging Face folder of a known family. It contains `config.json` and either `model.safetensors` or shards with
    /// `model.safetensors.index.json`; weights are f32, bf16 or f16. The precision is f32 unless
    /// [`with_precision`](Self::with_precision) changes it, because a folder does not record the precision of training.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the model has features that are not supported.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, ModelError> {
        Ok(folder::load(dir, device)?.0)
    }

    /// The tokens that start and end the documents of the model in a Hugging Face folder, and where they were found, without
    /// reading its weights.
    ///
    /// # Errors
    /// If `config.json` is missing or damaged, or the model has features that are not supported.
    pub fn special_tokens_of(dir: &Path) -> Result<(SpecialTokens, SpecialSources), ModelError> {
        folder::special_tokens(dir)
    }

    /// What a user should know about the model in a Hugging Face folder.
    ///
    /// # Errors
    /// If the folder is incomplete or damaged, or the model has features that are not supported.
    pub fn notes_on(dir: &Path) -> Result<Vec<String>, ModelError> {
        folder::notes(dir)
    }

    /// Shape of the model in a folder, without reading its weights.
    ///
    /// # Errors
    /// If `config.json` is missing or damaged, or the model has features that are not supported.
    pub fn shape_of(dir: &Path) -> Result<Shape, ModelError> {
        folder::shape(dir)
    }

    /// The same model, but it only writes tokens below `vocabulary`. A folder may have more embeddings than the
    /// tokenizer has tokens, for example to make matrix sizes multiples of 64. As in Hugging Face transformers,
    /// predictions include the surplus tokens, so their probability counts in every loss.
    #[must_use]
    pub fn writing_below(self, vocabulary: usize) -> Self {
        Self { writable: vocabulary.min(self.vocab_size()), ..self }
    }

    /// The same model with another precision for training and writing.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { network: Network { precision, ..self.network }, ..self }
    }

    /// The parameters, shape, precision and device.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the network and drops the special tokens.
    #[must_use]
    pub fn into_network(self) -> Network {
        self.network
    }

    /// Context length in tokens.
    #[must_use]
    pub fn context(&self) -> usize {
        self.network.shape.context
    }

    /// Number of trainable parameters.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.network.shape.parameters()
    }

    /// Size of the vocabulary.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.network.shape.vocab_size
    }

    /// Tokens that mark the start and the end of a document.
    #[must_use]
    pub fn special(&self) -> SpecialTokens {
        self.special
    }

    /// The error for a prediction at `place` that is not a number.
    fn not_finite(&self, place: String) -> ModelError {
        let Network { shape, parameters, .. } = &self.network;
        let largest = |tensor: &Tensor| tensor.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>();
        let weights = shape.specifications();
        let sizes = weights.iter().zip(parameters.iter());
        let sizes = sizes.filter_map(|(specification, tensor)| {
            Some((specification.name().to_owned(), largest(tensor).ok()?))
        });
        let largest = sizes.max_by(|(_, a), (_, b)| a.total_cmp(b));
        let largest =
            largest.map_or_else(String::new, |(name, size)| format!(" (the largest is {size:e}, in {name})"));
        ModelError::NotFinite { place, largest }
    }

    /// The same model with the precision in which it computes for `purpose`.
    fn computing_for(&self, purpose: Purpose) -> Self {
        self.clone().with_precision(purpose.precision(self.network.precision))
    }
}

/// Whether all logits are finite. (Without a branch in the loop, which is several times faster.)
fn all_finite(logits: &[f32]) -> bool {
    logits.iter().fold(true, |all, logit| all & logit.is_finite())
}

impl LanguageModel for Transformer {
    fn score(&self, documents: &Documents, stage: &Stage) -> Result<Scores, ModelError> {
        check_tokens(documents.flat(), self.vocab_size())?;
        score::score(&self.computing_for(Purpose::Measuring), documents, stage)
    }

    fn score_decoded(
        &self,
        documents: &Documents,
        decoding: &SamplingSettings,
        stage: &Stage,
    ) -> Result<Vec<f32>, ModelError> {
        check_tokens(documents.flat(), self.vocab_size())?;
        score::score_decoded(&self.computing_for(Purpose::Measuring), documents, decoding, stage)
    }

    fn generate(&self, request: &GenerateRequest, stage: &Stage) -> Result<Documents, ModelError> {
        check_tokens(request.prompts.flat(), self.vocab_size())?;
        generate::generate(&self.computing_for(Purpose::Writing), request, stage)
    }

    fn in_full_precision(&self) -> Option<Box<dyn LanguageModel>> {
        let precise = self.computing_for(Purpose::Measuring);
        let differs = precise.network.precision != self.network.precision;
        differs.then(|| Box::new(precise) as Box<dyn LanguageModel>)
    }

    fn redraw(
        &self,
        documents: &Documents,
        decoding: &SamplingSettings,
        uniforms: &[f64],
        stage: &Stage,
    ) -> Result<Vec<Redrawn>, ModelError> {
        check_tokens(documents.flat(), self.vocab_size())?;
        score::redraw(&self.computing_for(Purpose::Writing), documents, decoding, uniforms, stage)
    }

    fn save(&self, dir: &Path) -> Result<(), ModelError> {
        folder::save(self, dir)
    }
}
