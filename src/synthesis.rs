//! A model in, a synthetic corpus out.
//!
//! A [`SynthesisMethod`] says what each document is written from: nothing, keywords, a prefix, or a whole document. Document i of
//! a corpus has its own source and its own random streams. A corpus is the beginning of the endless row of documents
//! that the method would write, cut where its token budget is full. So neither the size of the requests made to the
//! model nor the number of threads changes a token, and a larger budget only adds documents.
//!
//! **Pitfall.** A document that is longer than the model's context goes on all the same, up to
//! `synthesis.max_document_tokens`. Were it cut at the context, the next generation would read openings only, and
//! that shift would be mistaken for collapse.

mod continuation;
mod external;
mod keywords;
mod method;
mod prompted;
mod rephrase;
mod selected;
mod settings;
mod sources;
mod textbook;
mod token_edit;

use crate::decoding;
use crate::documents::{Documents, TokenId};
use crate::model::{LanguageModel, ModelError};
use crate::seed::streams;
use crate::selection::{SelectionError, SelectionRecord};
use crate::stage::Stage;
use crate::tokenizer::{Sentinels, Tokenizer, TokenizerError};
use crate::units::Tokens;
use selected::Selected;
use serde::{Deserialize, Serialize};

pub use continuation::{Continuation, PrefixSource};
pub use external::{External, ExternalError};
pub use method::{
    Draft, DrawnTokens, Generator, GeneratorContext, GeneratorResult, MethodContext, SynthesisMethod,
    builtin_methods,
};
pub use rephrase::Rephrase;
pub use settings::{SynthesisKinds, SynthesisSettings};
pub use textbook::{Textbook, TextbookSeed};
pub use token_edit::TokenEdit;

/// What was really done to write a corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SynthesisRecord {
    /// `"textbook"`, `"continuation"`, `"rephrase"`, …
    pub method: String,
    /// What documents were written from: `"start token"`, `"train split, 16 tokens"`.
    pub prompts: String,
    /// The decoder that ran, in words: `"sampling, temperature 1, top-k 50"` or `"greedy"`.
    pub decoding: String,
    /// Documents of the corpus.
    pub documents: u64,
    /// Tokens of the corpus: exactly what was asked.
    pub tokens: Tokens,
    /// Documents that the model ended by itself.
    pub ended: u64,
    /// Documents cut at `max_document_tokens`. The last document may be neither: it is cut where the budget ends.
    pub cut: u64,
    /// Share of the tokens written, before selection, that stand as in the documents they were made from, where a method
    /// leaves some of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_share: Option<f64>,
    /// What selection did, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<SelectionRecord>,
}

/// What documents may be written from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The part of the train split that the seed draws on.
    pub natural: &'a Documents,
    /// What the generation before wrote; none at generation 0.
    pub previous: Option<&'a Documents>,
    /// How text becomes tokens.
    pub tokenizer: &'a Tokenizer,
}

/// What can go wrong in synthesis.
#[derive(Debug, thiserror::Error)]
pub enum SynthesisError {
    /// No document can be continued.
    #[error(
        "of {documents} documents none is longer than the prefix of {prefix_tokens} tokens (the longest has {longest}); try a smaller synthesis.prefix_tokens"
    )]
    NoPrefix {
        /// Documents there are.
        documents: usize,
        /// Tokens asked of each.
        prefix_tokens: usize,
        /// Tokens of the longest document.
        longest: usize,
    },
    /// The model writes nothing.
    #[error("the model wrote {documents} documents without a single token")]
    Silent {
        /// Documents it wrote.
        documents: usize,
    },
    /// No word can be a keyword.
    #[error(
        "none of {documents} natural documents has a word that the others lack; give more documents than one, or leave out synthesis.seed"
    )]
    NoKeyword {
        /// Documents there are.
        documents: usize,
    },
    /// There is no document to rewrite.
    #[error("there is no natural document to write from")]
    NoSource,
    /// A search cannot draw one token in the place of another.
    #[error(
        "method = \"token-edit\" draws tokens one by one, and a search does not; leave out beams and contrastive_k"
    )]
    Search,
    /// A text cannot be tokenised.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The user's command failed.
    #[error(transparent)]
    External(#[from] ExternalError),
    /// Selection keeps too little.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// The model failed, or the run was interrupted.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// What a corpus is cut from.
struct Written {
    /// At least as many tokens as the corpus needs.
    documents: Documents,
    kept_share: Option<f64>,
    selection: Option<SelectionRecord>,
}

/// Documents of one request, at most. It bounds what is thrown away when an interrupt comes, and the memory of the
/// prompts.
const MOST_DOCUMENTS: u64 = 16_384;
/// Documents of one request, at least: a model that writes in batches takes as long for one document as for these.
const FEWEST_DOCUMENTS: u64 = 32;

/// Checks that documents can be written from `natural`.
///
/// # Errors
/// When no natural document is long enough for a prompt, there are too few to learn from what sets them apart, or the
/// user's command is not there.
pub fn check(synthesis: &SynthesisSettings, natural: &Documents) -> Result<(), SynthesisError> {
    if synthesis.selection.needs_pilot() {
        selected::counterparts(synthesis, natural)?;
    }
    synthesis.method.check_sources(natural)
}

/// What is lost of `natural` when its documents are rewritten: those that are longer than a document may become.
#[must_use]
pub fn cut_sources(synthesis: &SynthesisSettings, natural: &Documents) -> Option<String> {
    let most = synthesis.max_document_tokens;
    let longer = natural.iter().filter(|document| document.len() > most).count();
    let longest = natural.iter().map(<[TokenId]>::len).max().unwrap_or(0);
    (synthesis.method.rewrites_documents() && longer > 0).then(|| {
        format!(
            "{longer} of {} natural documents are longer than synthesis.max_document_tokens = {most}, and of these only \
             the beginning is rewritten; raise it, to {longest} for all",
            natural.len()
        )
    })
}

/// Has `model` write a corpus of exactly `synthesis.tokens`. Selection asks `reference` how probable documents are.
///
/// # Errors
/// When there is nothing to write from, when the model writes nothing or fails, when selection keeps next to nothing, or
/// when the run is interrupted.
pub fn write_corpus(
    model: &dyn LanguageModel,
    synthesis: &SynthesisSettings,
    sources: Sources,
    reference: &dyn LanguageModel,
    stage: &Stage,
) -> Result<(Documents, SynthesisRecord), SynthesisError> {
    let key = stage.key().at(streams::PROMPTS);
    let context = GeneratorContext { model, synthesis, sources, key };
    let generator = synthesis.method.generator(context)?;
    stage.begin(synthesis.tokens.0, "tokens");
    let written = if synthesis.selection.keeps_all() {
        write_at_least(&*generator, synthesis, stage)
    } else {
        let natural = sources.natural;
        Selected { generator: &*generator, reference, synthesis, natural }.write(stage)
    };
    stage.end();
    let Written { documents, kept_share, selection } = written?;
    let corpus = documents.prefix(synthesis.tokens);
    let end = sources.tokenizer.special().end;
    let ended = corpus.iter().filter(|document| document.last() == Some(&end)).count();
    let full = corpus.iter().filter(|document| document.len() >= synthesis.max_document_tokens);
    let cut = full.filter(|document| document.last() != Some(&end)).count();
    let record = SynthesisRecord {
        method: synthesis.method.name().to_owned(),
        prompts: generator.source(),
        decoding: match synthesis.method.drawn_tokens() {
            DrawnTokens::None => "the command's own".into(),
            DrawnTokens::All | DrawnTokens::Some => decoding::describe(&synthesis.decoding),
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

/// Documents without sentinel tokens. A model never learns to write one; where it does all the same, once in very many
/// tokens, it says nothing and is left out.
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

/// Asks for documents until there are at least as many tokens as the corpus needs.
fn write_at_least(
    generator: &dyn Generator,
    synthesis: &SynthesisSettings,
    stage: &Stage,
) -> Result<Written, SynthesisError> {
    let mut written = Draft::default();
    while written.documents.tokens() < synthesis.tokens {
        let first_item = written.documents.len() as u64;
        let end = first_item + documents_to_ask(&written.documents, synthesis);
        written.append(&generator.generate(first_item..end, stage)?)?;
    }
    let Draft { documents, kept } = written;
    let kept_share = kept.map(|kept| kept.0 as f64 / documents.tokens().0 as f64);
    Ok(Written { documents, kept_share, selection: None })
}

/// How many documents may fill what is left: by the mean length so far, or, at first, by the greatest length.
fn documents_to_ask(written: &Documents, synthesis: &SynthesisSettings) -> u64 {
    let left = synthesis.tokens.0 - written.tokens().0;
    let mean_tokens = match written.len() {
        0 => synthesis.max_document_tokens as f64,
        documents => written.tokens().0 as f64 / documents as f64,
    };
    ((left as f64 / mean_tokens).ceil() as u64).clamp(FEWEST_DOCUMENTS.min(left), MOST_DOCUMENTS)
}
