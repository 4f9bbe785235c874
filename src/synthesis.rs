//! A model in, a synthetic corpus out.
//!
//! A [`Method`] says what each document goes on from: document i of a corpus has its own prompt and its own random
//! stream. A corpus is the beginning of the endless row of documents that the model would write, cut where its token
//! budget is full. So neither the size of the requests made to the model nor the number of threads changes a token,
//! and a larger budget only adds documents.
//!
//! **Pitfall.** A document that is longer than the model's context goes on all the same, up to
//! `synthesis.max_document_tokens`. Were it cut at the context, the next generation would read openings only, and
//! that shift would be mistaken for collapse.

mod continuation;
mod textbook;

use crate::config::{Method, Synthesis};
use crate::decoding;
use crate::documents::{Documents, TokenId};
use crate::model::{Generate, LanguageModel, ModelError, SpecialTokens};
use crate::stage::Stage;
use crate::units::Tokens;
use continuation::Continuation;
use serde::{Deserialize, Serialize};
use textbook::Textbook;

/// What was really done to write a corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SynthesisRecord {
    /// `"textbook"` or `"continuation"`.
    pub method: String,
    /// Where prompts came from: `"start token"` or `"train split, 16 tokens"`.
    pub prompts: String,
    /// The decoder that ran, in words: `"sampling, temperature 1, top-k 50"` or `"greedy"`.
    pub decoding: String,
    /// Documents written.
    pub documents: u64,
    /// Tokens written: exactly what was asked.
    pub tokens: Tokens,
    /// Documents that the model ended by itself.
    pub ended: u64,
    /// Documents cut at `max_document_tokens`. The last document may be neither: it is cut where the budget ends.
    pub cut: u64,
}

/// What can go wrong in synthesis.
#[derive(Debug, thiserror::Error)]
pub enum SynthesisError {
    /// No natural document can be continued.
    #[error(
        "of {documents} natural documents none is longer than the prefix of {prefix_tokens} tokens (the longest has {longest}); try a smaller synthesis.prefix_tokens"
    )]
    NoPrefix {
        /// Natural documents there are.
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
    /// The model failed, or the run was interrupted.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// What each document of a corpus goes on from.
trait Prompts {
    /// The prompt of document `item`.
    fn prompt(&self, item: u64) -> &[TokenId];
    /// The method's name.
    fn method(&self) -> &'static str;
    /// Where prompts come from, in words.
    fn source(&self) -> String;
}

/// Documents of one request, at most. It bounds what is thrown away when an interrupt comes, and the memory of the
/// prompts.
const MOST_DOCUMENTS: u64 = 16_384;
/// Documents of one request, at least: a model that writes in batches takes as long for one document as for these.
const FEWEST_DOCUMENTS: u64 = 32;

/// Checks that documents can be written from `natural`.
///
/// # Errors
/// When no natural document is long enough for a prompt.
pub fn check(synthesis: &Synthesis, natural: &Documents) -> Result<(), SynthesisError> {
    match synthesis.method {
        Method::Textbook => Ok(()),
        Method::Continuation { prefix_tokens } => continuation::long_enough(natural, prefix_tokens).map(drop),
    }
}

/// Has `model` write a corpus of exactly `synthesis.tokens`. `natural` is the train split, of which prompts are
/// taken; `special` are the model's special tokens.
///
/// # Errors
/// When no natural document is long enough for a prompt, when the model writes nothing or fails, or when the run is
/// interrupted.
pub fn write_corpus(
    model: &dyn LanguageModel,
    synthesis: &Synthesis,
    special: SpecialTokens,
    natural: &Documents,
    stage: &Stage,
) -> Result<(Documents, SynthesisRecord), SynthesisError> {
    let prompts: Box<dyn Prompts> = match synthesis.method {
        Method::Textbook => Box::new(Textbook),
        Method::Continuation { prefix_tokens } => Box::new(Continuation::new(natural, prefix_tokens, stage)?),
    };
    stage.begin(synthesis.tokens.0, "tokens");
    let written = write_at_least(model, synthesis, &*prompts, stage);
    stage.end();
    let corpus = written?.prefix(synthesis.tokens);
    let ended = corpus.iter().filter(|document| document.last() == Some(&special.end)).count();
    let full = corpus.iter().filter(|document| document.len() >= synthesis.max_document_tokens);
    let cut = full.filter(|document| document.last() != Some(&special.end)).count();
    let record = SynthesisRecord {
        method: prompts.method().into(),
        prompts: prompts.source(),
        decoding: decoding::describe(&synthesis.decoding),
        documents: corpus.len() as u64,
        tokens: corpus.tokens(),
        ended: ended as u64,
        cut: cut as u64,
    };
    Ok((corpus, record))
}

/// Asks for documents until there are at least as many tokens as the corpus needs. The model shows its progress.
fn write_at_least(
    model: &dyn LanguageModel,
    synthesis: &Synthesis,
    prompts: &dyn Prompts,
    stage: &Stage,
) -> Result<Documents, SynthesisError> {
    let mut written = Documents::new();
    while written.tokens() < synthesis.tokens {
        let first_item = written.len() as u64;
        let end = first_item + documents_to_ask(&written, synthesis);
        let request = Generate {
            prompts: &(first_item..end).map(|item| prompts.prompt(item)).collect(),
            max_document_tokens: synthesis.max_document_tokens,
            decoding: &synthesis.decoding,
            first_item,
        };
        let more = model.generate(&request, stage)?;
        if more.tokens() == Tokens(0) {
            return Err(SynthesisError::Silent { documents: more.len() });
        }
        for document in more.iter() {
            written.push(document);
        }
    }
    Ok(written)
}

/// How many documents may fill what is left: by the mean length so far, or, at first, by the greatest length.
fn documents_to_ask(written: &Documents, synthesis: &Synthesis) -> u64 {
    let left = synthesis.tokens.0 - written.tokens().0;
    let mean_tokens = match written.len() {
        0 => synthesis.max_document_tokens as f64,
        documents => written.tokens().0 as f64 / documents as f64,
    };
    ((left as f64 / mean_tokens).ceil() as u64).clamp(FEWEST_DOCUMENTS.min(left), MOST_DOCUMENTS)
}
