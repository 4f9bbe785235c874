//! Language models: the trait that the loop uses, its implementations, and reading of models from folders.
//!
//! There are two kinds of model: [`transformer`], a decoder on candle, and [`ngram`], interpolated Kneser–Ney; a
//! [`group`] is several models that write one text. To add a kind, implement [`LanguageModel`] in a new module and list its folder format in [`FOLDER_FORMATS`]. [`ngram`] has
//! an example that trains a model and computes predictions.

use crate::decoding::{DecodingStrategy, SamplingSettings};
use crate::documents::{Documents, TokenId};
use crate::stage::Stage;
use crate::tokenizer::SpecialSources;
use candle_core::Device;
use std::path::{Path, PathBuf};

mod error;
pub mod family;
pub mod group;
pub mod ngram;
mod settings;
mod purpose;
pub(crate) mod slices;
pub mod tensors;
pub mod transformer;

pub use crate::tokenizer::SpecialTokens;
pub(crate) use error::FolderProblem;
pub use error::ModelError;
pub use genloss_kernels::Precision;
pub use purpose::Purpose;
pub use settings::{NgramSettings, TransformerSettings};

/// A model that scores documents and writes new ones. Documents do not include the start token.
pub trait LanguageModel: Send + Sync {
    /// Computes, for every token of every document, its natural-log probability given the part of the document before
    /// it, and the entropy of that prediction in nats. The computation is in f32, whatever the model's precision.
    ///
    /// # Errors
    /// If the run is interrupted, a token is unknown, or the device fails.
    fn score(&self, documents: &Documents, stage: &Stage) -> Result<Scores, ModelError>;

    /// Computes the natural-log probability of every token under `decoding`, given the part of the document before it.
    /// It is −∞ for a token that `decoding` would never choose. The computation is in f32. Beam and contrastive search
    /// do not choose tokens from one prediction and therefore define no such probability.
    ///
    /// # Errors
    /// If the run is interrupted, a token is unknown, or the device fails.
    fn score_decoded(
        &self,
        documents: &Documents,
        decoding: &SamplingSettings,
        stage: &Stage,
    ) -> Result<Vec<f32>, ModelError>;

    /// Writes one document per prompt, in the model's precision. Document i of the request draws from the stage's
    /// stream `item(i)`, so it depends neither on the other documents of the request nor on the number of threads.
    ///
    /// # Errors
    /// If the run is interrupted, a token is unknown, the device fails, or the decoder needs hidden states that the
    /// model does not have.
    fn generate(&self, request: &GenerateRequest, stage: &Stage) -> Result<Documents, ModelError>;

    /// The same model with f32 as its precision, for measurements of text that it writes. `None` if it already writes
    /// in f32.
    fn in_full_precision(&self) -> Option<Box<dyn LanguageModel>> {
        None
    }

    /// Computes, for every token of every document, its natural-log probability given the part of the document before
    /// it, and draws a replacement from the same prediction through `decoding`. `uniforms` has one number in [0, 1) per
    /// token, in the order of [`Documents::flat`]. The computation is in the model's precision.
    ///
    /// # Errors
    /// If the run is interrupted, a token is unknown, or the device fails.
    fn redraw(
        &self,
        documents: &Documents,
        decoding: &SamplingSettings,
        uniforms: &[f64],
        stage: &Stage,
    ) -> Result<Vec<Redrawn>, ModelError>;

    /// The models of a group, which write documents in turn. Empty for a single model.
    fn members(&self) -> &[Box<dyn LanguageModel>] {
        &[]
    }

    /// Writes the model to the existing folder `dir`.
    ///
    /// # Errors
    /// If the folder cannot be written.
    fn save(&self, dir: &Path) -> Result<(), ModelError>;
}

/// A model read from a folder.
pub struct Loaded {
    /// The model.
    pub model: Box<dyn LanguageModel>,
    /// Size of its vocabulary.
    pub vocab_size: usize,
    /// Tokens that mark the start and the end of its documents.
    pub special: SpecialTokens,
    /// Where they were found.
    pub sources: SpecialSources,
    /// Notes for the user, such as where versions of Hugging Face transformers read the folder differently.
    pub notes: Vec<String>,
}

/// The format of a folder in which models of one kind are stored.
pub trait FolderFormat: Send + Sync {
    /// Whether `dir` looks like a folder of this format, even if it is incomplete.
    fn recognises(&self, dir: &Path) -> bool;

    /// Reads the model in `dir`.
    ///
    /// # Errors
    /// If the folder is incomplete, damaged, or has features that are not supported.
    fn load(&self, dir: &Path, device: &Device) -> Result<Loaded, ModelError>;
}

/// The formats that [`load`] knows. If none of them recognises a folder, the last one tries to read it and reports the
/// error.
pub const FOLDER_FORMATS: &[&dyn FolderFormat] =
    &[&group::GroupFolder, &ngram::NgramFolder, &transformer::TransformerFolder];

/// Reads a model folder, which is either the model folder of a generation or any Hugging Face folder of a known family.
///
/// # Errors
/// If the folder is missing, incomplete, damaged, or of a kind that is not supported.
pub fn load(dir: &Path, device: &Device) -> Result<Loaded, ModelError> {
    load_as(FOLDER_FORMATS, dir, device)
}

/// Reads a model folder of one of `formats`, which must not be empty.
///
/// # Errors
/// If the folder is missing, incomplete, damaged, or of a kind that is not supported.
pub fn load_as(formats: &[&dyn FolderFormat], dir: &Path, device: &Device) -> Result<Loaded, ModelError> {
    let format = formats.iter().find(|format| format.recognises(dir)).or(formats.last());
    match format {
        Some(format) => format.load(dir, device),
        None => Err(FolderProblem::from("no format of model folders is known").of_folder(dir)),
    }
}

/// The BLAKE3 hash of the names and contents of all JSON and safetensors files of a model folder, in the order of
/// names.
///
/// # Errors
/// If a file cannot be read.
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

/// The probability of a token of a document, and a token drawn in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Redrawn {
    /// Natural-log probability of the document's own token.
    pub log_probability: f32,
    /// The token drawn in its place.
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
pub struct GenerateRequest<'a> {
    /// The texts that the documents continue. A document with an empty prompt continues only the start token.
    pub prompts: &'a Documents,
    /// Length in tokens at which a document is cut if it has not ended; at least 1.
    pub max_document_tokens: usize,
    /// How tokens are chosen from predictions.
    pub decoding: &'a DecodingStrategy,
    /// Maps the index of a document in the request to the item number of its random stream.
    pub item: &'a (dyn Fn(usize) -> u64 + Sync),
}

/// Scores of all tokens of a list of documents, in the order of [`Documents::flat`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Natural-log probability of each token.
    pub log_probabilities: Vec<f32>,
    /// Entropy of the prediction at each token, in nats.
    pub entropies: Vec<f32>,
    /// For a group of models: by how much the natural-log probability of each token under the mixture of all members, in equal
    /// parts, exceeds the mean over members of its natural-log probability. At least 0, and 0 where all agree. Empty for a single
    /// model.
    pub disagreements: Vec<f32>,
}

impl Scores {
    /// The scores of the first `tokens` tokens, or all if there are fewer.
    #[must_use]
    pub fn first(&self, tokens: usize) -> Self {
        let first = |values: &[f32]| values[..tokens.min(values.len())].to_vec();
        Self {
            log_probabilities: first(&self.log_probabilities),
            entropies: first(&self.entropies),
            disagreements: first(&self.disagreements),
        }
    }
}
