//! Synthesis: how does a trained model write the corpus of the next generation?
//!
//! A [`SynthesisMethod`] determines what each document is written from: the start token, keywords, a prefix, or a whole
//! natural document. Documents form an infinite numbered sequence, and each number has its own source and its own
//! random streams. A corpus is the beginning of this sequence, cut where the token budget is used up. Therefore no
//! token depends on the number of documents per request to the model or on the number of threads, and a larger budget
//! only adds documents.
//!
//! **Pitfall.** A document may grow beyond the model's context, up to `synthesis.max_document_tokens`. If it were cut
//! at the context, the next generation would train only on the beginnings of documents, and this shift would be
//! mistaken for collapse. Methods that rewrite natural documents go through whole documents for the same reason, and
//! the limit applies only to what is written from nothing.
//!
//! The table `[synthesis]` of an experiment file chooses the method and its settings:
//!
//! ```
//! let file = r#"
//!     name = "prefixes"
//!     seeds = [1, 2]
//!     generations = 2
//!     corpus = { source = "world", train_tokens = 4000, heldout_tokens = 1000, reference_tokens = 8000 }
//!     tokenizer = { vocab_size = 400 }
//!     model = { kind = "ngram", order = 3 }
//!     synthesis = { method = "continuation", prefix_tokens = 8, top_k = 50 }
//!     [[arm]]
//!     name = "unanchored"
//!     mixture = "replace"
//! "#;
//! let experiment = genloss::config::parse(file, "prefixes.toml", &[])?;
//! assert_eq!(experiment.synthesis.method.name(), "continuation");
//! // The default of `tokens` is `corpus.train_tokens`.
//! assert_eq!(experiment.synthesis.tokens.0, 4000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod keywords;
mod method;
mod methods;
mod prompted;
mod selected;
mod settings;
mod sources;
mod taking_turns;

use crate::corpus::world::World;
use crate::decoding;
use crate::documents::{Documents, TokenId};
use crate::model::{LanguageModel, ModelError};
use crate::seed::streams;
use crate::selection::{SelectionError, SelectionRecord};
use crate::stage::Stage;
use crate::tokenizer::{Sentinels, Tokenizer, TokenizerError};
use crate::units::Tokens;
use selected::SelectiveWriter;
use serde::{Deserialize, Serialize};

pub use method::{
    Draft, Generator, GeneratorContext, GeneratorResult, MethodContext, MethodFacts, MethodProperties,
    SynthesisMethod, TokenChoice,
};
pub use methods::*;
pub use settings::{SynthesisKinds, SynthesisSettings};

/// Summary of how a corpus was written, stored with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SynthesisRecord {
    /// Name of the method: `"textbook"`, `"continuation"`, `"rephrase"`, …
    pub method: String,
    /// Result of [`Generator::source`]: `"start token"` or `"train split, 16 tokens"`.
    pub prompts: String,
    /// Description of the decoder: `"sampling, temperature 1, top-k 50"` or `"greedy"`.
    pub decoding: String,
    /// Number of documents of the corpus, including the last one, which the budget may cut.
    pub documents: u64,
    /// Tokens of the corpus; equal to the requested number.
    pub tokens: Tokens,
    /// Number of documents that end with an end-of-text token.
    pub ended: u64,
    /// Number of documents cut at `max_document_tokens`. A last document that the budget cuts counts in neither number,
    /// nor does the rewriting of a longer document without an end-of-text token.
    pub cut: u64,
    /// Share of the tokens written, before selection, that were copied unchanged from natural documents. `None` if the
    /// method copies none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_share: Option<f64>,
    /// Summary of the selection; `None` if the experiment selects no documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<SelectionRecord>,
}

/// The texts that documents can be written from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The part of the train split that belongs to the seed.
    pub natural: &'a Documents,
    /// The corpus of the previous generation; `None` in generation 0.
    pub previous: Option<&'a Documents>,
    /// The tokenizer of both texts and of the model.
    pub tokenizer: &'a Tokenizer,
    /// The built-in world, if natural text comes from it.
    pub world: Option<&'a World>,
}

/// An error of synthesis.
#[derive(Debug, thiserror::Error)]
pub enum SynthesisError {
    /// Every document is too short to be continued.
    #[error(
        "none of {documents} documents is longer than the prefix of {prefix_tokens} tokens (the longest has {longest}); try a smaller synthesis.prefix_tokens"
    )]
    NoPrefix {
        /// Number of documents that prefixes are taken from.
        documents: usize,
        /// Tokens of a prefix.
        prefix_tokens: usize,
        /// Tokens of the longest document.
        longest: usize,
    },
    /// All documents of a request are empty.
    #[error(
        "the model wrote {documents} documents without a single token; train it longer, or change the decoding settings under synthesis"
    )]
    NoTokens {
        /// Documents of the request.
        documents: usize,
    },
    /// Every word occurs in all documents, so none of them is a keyword.
    #[error(
        "none of {documents} natural documents has a word that another one lacks; provide more documents, or leave out synthesis.seed"
    )]
    NoKeyword {
        /// Number of natural documents.
        documents: usize,
    },
    /// The natural text that belongs to the seed is empty.
    #[error("there is no natural document to write from; raise corpus.train_tokens")]
    NoSource,
    /// `token-edit` is combined with beam or contrastive search.
    #[error(
        "method = \"token-edit\" samples tokens one by one, which beam and contrastive search do not; leave out beams and contrastive_k, or set temperature = 1.0 beside the method where they are inherited"
    )]
    Search,
    /// A prompt or an answer of the external command cannot be tokenized.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The command of `method = "external"` failed.
    #[error(transparent)]
    External(#[from] ExternalError),
    /// `method = "oracle"` has nothing to write about.
    #[error(transparent)]
    Oracle(#[from] OracleError),
    /// Selection keeps too few documents, or has too few natural documents for its detector.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// The model failed, or the run was interrupted.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// The documents of a corpus after selection, not yet cut to the budget.
struct UncutCorpus {
    /// At least as many tokens as the corpus needs.
    documents: Documents,
    kept_share: Option<f64>,
    selection: Option<SelectionRecord>,
}

/// Maximum number of documents per request. Limits the work lost when the run is interrupted, and the memory for
/// prompts.
const MAX_REQUEST_DOCUMENTS: u64 = 16_384;
/// Minimum number of documents per request. A model that writes in batches takes as long for one document as for this
/// many.
const MIN_REQUEST_DOCUMENTS: u64 = 32;

/// Checks before a run that documents can be written from `sources`, without an earlier corpus.
///
/// # Errors
/// Returns an error if no natural document is long enough for a prompt, there are too few to train a detector, the
/// external command does not exist, or an oracle has nothing to write about.
pub fn check(synthesis: &SynthesisSettings, sources: Sources) -> Result<(), SynthesisError> {
    if synthesis.selection.needs_pilot() {
        selected::counterparts(synthesis, sources.natural)?;
    }
    synthesis.method.check_sources(sources)
}

/// Returns true if the method rewrites documents and some of `natural` are longer than those written from nothing.
#[must_use]
pub fn rewrites_long_documents(synthesis: &SynthesisSettings, natural: &Documents) -> bool {
    let is_long = |document: &[TokenId]| document.len() > synthesis.max_document_tokens;
    synthesis.method.properties().rewrites_documents && natural.iter().any(is_long)
}

/// A warning if the method writes documents from nothing and much of `natural` lies beyond `max_document_tokens`: where
/// written documents are cut there, the corpus lacks everything that comes late in a natural document.
#[must_use]
pub fn cut_documents(synthesis: &SynthesisSettings, natural: &Documents) -> Option<String> {
    const MIN_WARNED_SHARE: f64 = 0.05;
    let most = synthesis.max_document_tokens;
    let lengths = natural.iter().map(<[TokenId]>::len);
    let beyond: usize = lengths.clone().map(|length| length.saturating_sub(most)).sum();
    let share = beyond as f64 / natural.tokens().0.max(1) as f64;
    (!synthesis.method.properties().rewrites_documents && share >= MIN_WARNED_SHARE).then(|| {
        format!(
            "documents are written up to synthesis.max_document_tokens = {most}, and {:.0} % of the natural text lies \
             beyond that in its documents (the longest has {}), so that synthetic documents are beginnings only; raise it",
            100.0 * share,
            lengths.max().unwrap_or(0)
        )
    })
}

/// Writes a corpus of exactly `synthesis.tokens` tokens with `model`, or with its members in turn. Selection scores documents with `reference`, the
/// model of generation 0.
///
/// # Errors
/// Returns an error if there is no text to write from, if the model fails or writes only empty documents, if selection
/// drops nearly everything, or if the run is interrupted.
pub fn write_corpus(
    model: &dyn LanguageModel,
    synthesis: &SynthesisSettings,
    sources: Sources,
    reference: &dyn LanguageModel,
    stage: &Stage,
) -> Result<(Documents, SynthesisRecord), SynthesisError> {
    let key = stage.key().at(streams::PROMPTS);
    let context = GeneratorContext {
        model,
        decoding: &synthesis.decoding,
        max_document_tokens: synthesis.max_document_tokens,
        candidates: synthesis.selection.candidates(),
        sources,
        key,
    };
    let generator = taking_turns::generator(&*synthesis.method, context)?;
    stage.begin(synthesis.tokens.0, "tokens");
    let written = if synthesis.selection.keeps_all() {
        write_at_least(&*generator, synthesis, stage)
    } else {
        let natural = sources.natural;
        SelectiveWriter { generator: &*generator, reference, synthesis, natural }.write(stage)
    };
    stage.end();
    let UncutCorpus { documents, kept_share, selection } = written?;
    let corpus = documents.prefix(synthesis.tokens);
    let end = sources.tokenizer.special().end;
    let ended = corpus.iter().filter(|document| document.last() == Some(&end)).count();
    let at_limit = corpus.iter().filter(|document| document.len() == synthesis.max_document_tokens);
    let cut = at_limit.filter(|document| document.last() != Some(&end)).count();
    let record = SynthesisRecord {
        method: synthesis.method.name().to_owned(),
        prompts: generator.source(),
        decoding: match synthesis.method.facts().token_choice {
            TokenChoice::Decoder => decoding::describe(&synthesis.decoding),
            TokenChoice::Other(description) => description.to_owned(),
        },
        documents: corpus.len() as u64,
        tokens: corpus.tokens(),
        ended: ended as u64,
        cut: cut as u64,
        kept_share,
        selection,
    };
    Ok((corpus, record))
}

/// Removes sentinel tokens. They are never training targets, but their predicted probability is not zero, so a model
/// occasionally draws one.
fn without_sentinels(documents: Documents, sentinels: Option<Sentinels>) -> Documents {
    let is_sentinel = |token: TokenId| sentinels.is_some_and(|sentinels| sentinels.contain(token));
    if !documents.flat().iter().any(|&token| is_sentinel(token)) {
        return documents;
    }
    let mut cleaned = Documents::new();
    for document in documents.iter() {
        cleaned.push(&document.iter().copied().filter(|&token| !is_sentinel(token)).collect::<Vec<_>>());
    }
    cleaned
}

/// Requests documents until they have at least as many tokens as the corpus needs.
fn write_at_least(
    generator: &dyn Generator,
    synthesis: &SynthesisSettings,
    stage: &Stage,
) -> Result<UncutCorpus, SynthesisError> {
    let mut written = Draft::default();
    while written.documents.tokens() < synthesis.tokens {
        let first_item = written.documents.len() as u64;
        let end = first_item + documents_to_request(&written.documents, synthesis);
        let items: Vec<u64> = (first_item..end).collect();
        written.append(&generator.generate(&items, stage)?)?;
    }
    let Draft { documents, kept } = written;
    let kept_share = kept.map(|kept| kept.0 as f64 / documents.tokens().0 as f64);
    Ok(UncutCorpus { documents, kept_share, selection: None })
}

/// Estimates how many documents fill the rest of the budget: from the mean length of those written, or from the maximum
/// length if there are none.
fn documents_to_request(written: &Documents, synthesis: &SynthesisSettings) -> u64 {
    let left = synthesis.tokens.0 - written.tokens().0;
    let mean_tokens = match written.len() {
        0 => synthesis.max_document_tokens as f64,
        documents => written.tokens().0 as f64 / documents as f64,
    };
    ((left as f64 / mean_tokens).ceil() as u64).clamp(MIN_REQUEST_DOCUMENTS.min(left), MAX_REQUEST_DOCUMENTS)
}
