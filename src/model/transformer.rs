//! A small Llama on candle: RMSNorm, rotary positions, SwiGLU, no biases, usually tied embeddings.
//!
//! On the processor it runs through [`fused`], cut into shards that depend on the documents only, one thread each; on
//! a GPU through [`plain`], the readable twin. A saved model *is* a Hugging Face folder: `AutoModelForCausalLM` loads
//! it, and its log-probabilities agree.
//!
//! Weights are f32. With [`Precision::Bf16`] the factors of matrix products are rounded to bf16 when the model learns
//! and when it writes; scores never are.
//!
//! ```
//! use candle_core::Device;
//! use genloss::config::{self, Precision};
//! use genloss::model::{SpecialTokens, transformer::Transformer};
//! use genloss::seed::StreamKey;
//! let shape = config::Transformer { layers: 1, width: 16, heads: 2, ffn: 44, context: 8, precision: Precision::F32 };
//! let special = SpecialTokens { start: 0, end: 0 };
//! let mut stream = StreamKey::new(1, "control", 0, "initialisation").stream(0);
//! let model = Transformer::initialise(&shape, 300, special, &mut stream, &Device::Cpu)?;
//! assert_eq!(model.context(), 8);
//! # Ok::<(), genloss::model::ModelError>(())
//! ```

use crate::config::{self, Decoding, Precision};
use crate::documents::Documents;
use crate::model::{Generate, LanguageModel, ModelError, Redrawn, Scores, SpecialTokens};
use crate::seed::Stream;
use crate::stage::Stage;
use candle_core::{Device, Tensor};
use genloss_kernels::attention::Rotary;
use parameters::{Parameters, Shape};
use std::path::Path;

mod folder;
pub mod fused;
mod generate;
pub mod parameters;
pub mod plain;
mod score;

/// Parameters and what is needed to run them.
#[derive(Clone)]
pub struct Network {
    /// The shape.
    pub shape: Shape,
    /// The parameters, on `device`, f32 and contiguous.
    pub parameters: Parameters<Tensor>,
    /// What the factors of its matrix products are rounded to, when it is trained or sampled from.
    pub precision: Precision,
    /// Cosines and sines of the positions.
    pub rotary: Rotary,
    /// Where it runs.
    pub device: Device,
}

impl Network {
    /// Brings parameters of that shape to life.
    #[must_use]
    pub fn new(shape: Shape, parameters: Parameters<Tensor>, precision: Precision, device: Device) -> Self {
        let rotary = Rotary::new(shape.heads.width, shape.context, shape.rope_theta);
        Self { shape, parameters, precision, rotary, device }
    }

    /// The same network, computing in this precision.
    #[must_use]
    pub fn in_precision(&self, precision: Precision) -> Self {
        Self { precision, ..self.clone() }
    }
}

/// A Llama that writes and reads documents.
#[derive(Clone)]
pub struct Transformer {
    network: Network,
    special: SpecialTokens,
}

impl Transformer {
    /// A model that has learnt nothing: normal weights of standard deviation 0.02, those that write into the
    /// residual stream smaller by √(2 · layers), norms 1.
    ///
    /// # Errors
    /// When the device fails.
    pub fn initialise(
        architecture: &config::Transformer,
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

    /// A model of these weights.
    #[must_use]
    pub fn from_network(network: Network, special: SpecialTokens) -> Self {
        Self { network, special }
    }

    /// Reads a Hugging Face folder that holds a Llama: `config.json` and `model.safetensors`, or its parts and
    /// `model.safetensors.index.json`; weights in f32, bf16 or f16. Whatever they are kept in, they are computed with
    /// in f32 until [`with_precision`](Self::with_precision) says otherwise: a folder is of weights, not of how they
    /// came to be.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the model is of a kind that would be misread.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, ModelError> {
        folder::load(dir, device)
    }

    /// The same weights, computed with in another precision.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { network: Network { precision, ..self.network }, ..self }
    }

    /// Its weights and shape.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Its weights and shape, given away.
    #[must_use]
    pub fn into_network(self) -> Network {
        self.network
    }

    /// Positions that attention reaches over.
    #[must_use]
    pub fn context(&self) -> usize {
        self.network.shape.context
    }

    /// Trainable numbers.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.network.shape.parameters()
    }

    /// Tokens it can read and write.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.network.shape.vocab_size
    }

    /// What it reads before a document, and what ends one.
    #[must_use]
    pub fn special(&self) -> SpecialTokens {
        self.special
    }

    /// Refuses documents with tokens that it does not have.
    fn check_tokens(&self, documents: &Documents) -> Result<(), ModelError> {
        let vocab_size = self.vocab_size();
        match documents.flat().iter().find(|&&token| token as usize >= vocab_size) {
            Some(token) => Err(ModelError::Tensor(candle_core::Error::Msg(format!(
                "token {token} is not among the {vocab_size} of the model; was the text made with another tokenizer?"
            )))),
            None => Ok(()),
        }
    }
}

impl LanguageModel for Transformer {
    fn score(&self, documents: &Documents, stage: &Stage) -> Result<Scores, ModelError> {
        self.check_tokens(documents)?;
        score::score(&self.clone().with_precision(Precision::F32), documents, stage)
    }

    fn score_decoded(
        &self,
        documents: &Documents,
        decoding: &Decoding,
        stage: &Stage,
    ) -> Result<Vec<f32>, ModelError> {
        self.check_tokens(documents)?;
        score::score_decoded(&self.clone().with_precision(Precision::F32), documents, decoding, stage)
    }

    fn generate(&self, request: &Generate, stage: &Stage) -> Result<Documents, ModelError> {
        self.check_tokens(request.prompts)?;
        generate::generate(self, request, stage)
    }

    fn in_full_precision(&self) -> Option<Box<dyn LanguageModel>> {
        let rounds = self.network.precision != Precision::F32;
        rounds.then(|| Box::new(self.clone().with_precision(Precision::F32)) as Box<dyn LanguageModel>)
    }

    fn redraw(
        &self,
        documents: &Documents,
        decoding: &Decoding,
        uniforms: &[f64],
        stage: &Stage,
    ) -> Result<Vec<Redrawn>, ModelError> {
        self.check_tokens(documents)?;
        score::redraw(self, documents, decoding, uniforms, stage)
    }

    fn save(&self, dir: &Path) -> Result<(), ModelError> {
        folder::save(self, dir)
    }
}
