//! The transformer: its arithmetic against the reference pass, its folders, its training.

mod arithmetic;
mod scoring;
mod writing;
mod folders;
mod learning;

use candle_core::{Device, Tensor, Var};
use genloss::decoding::{DecodingStrategy, SamplingSettings};
use genloss::documents::{Documents, TokenId};
use genloss::model::Precision;
use genloss::model::transformer::architecture::{Architecture, Rope};
use genloss::model::transformer::fused::{self, BlockScratch, PackedNetwork};
use genloss::model::transformer::parameters::Parameters;
use genloss::model::transformer::parameters::Shape;
use genloss::model::transformer::{Network, Transformer, plain};
use genloss::model::{GenerateRequest, LanguageModel, ModelError, Scores, SpecialTokens};
use genloss::progress::{Event, Observer, Silent};
use genloss::seed::StreamKey;
use genloss::stage::Stage;
use genloss::training::TrainingSettings;
use genloss::training::gradients::{self, Batch, Gradients};
use genloss::training::{
    Checkpoints, Learner, LoraSettings, NoCheckpoints, Start, Trained, TrainingError, TransformerLearner,
};
use genloss::units::Tokens;
use genloss_kernels::attention::Heads;
use rand::Rng;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub const SPECIAL: SpecialTokens = SpecialTokens { start: 0, end: 0 };
pub const TINY: genloss::model::TransformerSettings = genloss::model::TransformerSettings {
    family: None,
    layers: 2,
    width: 16,
    heads: 2,
    ffn: 44,
    context: 8,
    precision: Precision::F32,
};

fn place(stage: &'static str) -> StreamKey {
    StreamKey::new(1, "test", 0, stage)
}

/// Runs `act` in a stage without an observer that is never interrupted.
pub fn staged<R>(act: impl FnOnce(&Stage) -> R) -> R {
    let interrupt = AtomicBool::new(false);
    act(&Stage::new(place("test"), &Silent, &interrupt))
}

fn tiny() -> Transformer {
    Transformer::initialise(&TINY, 50, SPECIAL, &mut place("initialisation").stream(0), &Device::Cpu).unwrap()
}

/// A shape with everything that a folder may have and an experiment does not: shared key–value heads, heads of another
/// width, an untied output matrix.
pub fn grouped_shape() -> Shape {
    Shape {
        vocab_size: 37,
        width: 24,
        layers: 2,
        heads: Heads { queries: 4, keys: 2, width: 10 },
        ffn: 20,
        context: 8,
        norm_epsilon: 1e-6,
        tied: false,
        architecture: Architecture::llama(Rope::plain(10, 500.0)),
    }
}

/// A model with weights far larger than initial ones, so that every part of the network matters.
pub fn lively(shape: Shape) -> Transformer {
    let mut stream = place("weights").stream(1);
    let parameters = shape
        .specifications()
        .try_map(|specification| {
            let values = specification.draw(&mut stream, &Device::Cpu)?;
            if specification.columns.is_some() { values * 15.0 } else { Ok(values) }
        })
        .unwrap();
    Transformer::from_network(Network::new(shape, parameters, Precision::F32, Device::Cpu), SPECIAL)
}

pub fn random_tokens(count: usize, vocab_size: usize, item: u64) -> Vec<TokenId> {
    let mut stream = place("tokens").stream(item);
    (0..count).map(|_| stream.random_range(0..vocab_size as TokenId)).collect()
}

fn random_documents(count: usize, vocab_size: usize) -> Documents {
    let documents: Vec<_> =
        (0..count).map(|i| random_tokens(1 + (i * 7) % 30, vocab_size, i as u64)).collect();
    documents.iter().map(Vec::as_slice).collect()
}

pub fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The bits of every weight.
fn bits(model: &Transformer) -> Vec<u32> {
    model.network().parameters.iter().flat_map(values).map(f32::to_bits).collect()
}

pub fn with_threads<R: Send>(threads: usize, act: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(act)
}
