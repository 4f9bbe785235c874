//! The first seam of the loop: what it asks of a language model.
//!
//! Two implementations: [`transformer`], a small Llama on candle, and [`ngram`], interpolated Kneser–Ney.

use crate::decoding::{DecodingStrategy, SamplingSettings};
use crate::documents::{Documents, TokenId};
use crate::stage::Stage;
use std::path::{Path, PathBuf};

mod error;
pub mod ngram;
mod settings;
mod purpose;
pub(crate) mod slices;
pub mod transformer;

pub use crate::tokenizer::SpecialTokens;
pub(crate) use error::FolderProblem;
pub use error::ModelError;
pub use genloss_kernels::Precision;
pub use purpose::Purpose;
pub use settings::{NgramSettings, TransformerSettings};

/// What the loop asks of a model.
pub trait LanguageModel: Send + Sync {
    /// For every token of every document: its natural-log probability given the document before it, and the
    /// entropy in nats of the prediction it came from.
    ///
    /// # Errors
    /// When the run is interrupted, or the backend fails.
    fn score(&self, documents: &Documents, stage: &Stage) -> Result<Scores, ModelError>;

    /// The natural-log probability of every token as a document written through `decoding` would go on with it, given
    /// the document before it; −∞ where `decoding` would never write it. Beam search and contrastive search have no such
    /// number: they do not choose by one prediction.
    ///
    /// # Errors
    /// When the run is interrupted, or the backend fails.
    fn score_decoded(
        &self,
        documents: &Documents,
        decoding: &SamplingSettings,
        stage: &Stage,
    ) -> Result<Vec<f32>, ModelError>;

    /// One document per prompt. Document i of the request draws from the stage's stream `item(i)`, so what it says
    /// depends neither on the documents beside it nor on the number of threads.
    ///
    /// # Errors
    /// When the run is interrupted, the backend fails, or the decoder needs what the model does not have.
    fn generate(&self, request: &Generate, stage: &Stage) -> Result<Documents, ModelError>;

    /// The same model as a measurement asks it to write: nothing rounded that need not be. None if it is that already.
    fn in_full_precision(&self) -> Option<Box<dyn LanguageModel>> {
        None
    }

    /// For every token of every document, given the document before it: how probable it was, and a token drawn in its
    /// place through `decoding`, from `uniforms` (one per token, in [0, 1), flat).
    ///
    /// # Errors
    /// When the run is interrupted, or the backend fails.
    fn redraw(
        &self,
        documents: &Documents,
        decoding: &SamplingSettings,
        uniforms: &[f64],
        stage: &Stage,
    ) -> Result<Vec<Redrawn>, ModelError>;

    /// Writes the model into the existing folder `dir`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    fn save(&self, dir: &Path) -> Result<(), ModelError>;
}

/// A model read from a folder.
pub struct Loaded {
    /// The model.
    pub model: Box<dyn LanguageModel>,
    /// Tokens that it knows.
    pub vocab_size: usize,
    /// The tokens that start and end its documents.
    pub special: SpecialTokens,
}

/// Reads a model folder of either kind: the folder of a generation, or any Llama-shaped Hugging Face folder.
///
/// # Errors
/// When the folder is not there, not whole, or of a kind that is not known.
pub fn load(dir: &Path, device: &candle_core::Device) -> Result<Loaded, ModelError> {
    if ngram::Ngram::is_folder(dir) {
        let model = ngram::Ngram::load(dir)?;
        let (vocab_size, special) = (model.vocab_size(), model.special());
        return Ok(Loaded { model: Box::new(model), vocab_size, special });
    }
    let model = transformer::Transformer::load(dir, device)?;
    let (vocab_size, special) = (model.vocab_size(), model.special());
    Ok(Loaded { model: Box::new(model), vocab_size, special })
}

/// BLAKE3 of the JSON and weights of a model folder, in the order of their names.
///
/// # Errors
/// When a file cannot be read.
pub fn folder_hash(dir: &Path) -> Result<String, ModelError> {
    let file = |path: &Path, source| ModelError::File { path: path.to_owned(), source };
    let entries = std::fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut paths: Vec<PathBuf> =
        entries.map_err(|source| file(dir, source))?.iter().map(std::fs::DirEntry::path).collect();
    paths.sort();
    let mut hasher = blake3::Hasher::new();
    for path in paths {
        let extension = path.extension().unwrap_or_default();
        if extension == "json" || extension == "safetensors" {
            hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            let opened = std::fs::File::open(&path);
            opened
                .and_then(|opened| hasher.update_reader(opened).map(drop))
                .map_err(|source| file(&path, source))?;
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// A token that might have come instead of another.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Redrawn {
    /// Natural-log probability of the token that came, as the model predicts.
    pub log_probability: f32,
    /// The token drawn.
    pub token: TokenId,
}

/// Checks that every token is in a vocabulary of `vocab_size` tokens.
fn check_tokens(tokens: &[TokenId], vocab_size: usize) -> Result<(), ModelError> {
    match tokens.iter().find(|&&token| token as usize >= vocab_size) {
        None => Ok(()),
        Some(&token) => Err(ModelError::UnknownToken { token, vocab_size }),
    }
}

/// A request for documents.
#[derive(Clone)]
pub struct Generate<'a> {
    /// What each document goes on from; an empty prompt starts from the start token alone.
    pub prompts: &'a Documents,
    /// A document that has not ended after so many tokens is ended. At least 1.
    pub max_document_tokens: usize,
    /// How documents come out of predictions.
    pub decoding: &'a DecodingStrategy,
    /// The random stream of each document of the request, by its index.
    pub item: &'a (dyn Fn(usize) -> u64 + Sync),
}

/// What a model thinks of each token of some documents, in the order of [`Documents::flat`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Natural-log probability of each token.
    pub log_probabilities: Vec<f32>,
    /// Entropy in nats of the prediction each token came from.
    pub entropies: Vec<f32>,
}
