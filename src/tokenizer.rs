//! Text to token ids and back: learnt from natural text only, then frozen for the whole experiment.
//!
//! A learnt tokenizer is byte-level BPE (Sennrich et al. 2016, on bytes as in GPT-2): its alphabet is the 256 bytes,
//! so any text goes in and comes back unchanged. A tokenizer must not change between generations: if each were to
//! learn its own, a type could die by losing its merge, and the counts of two generations would not compare.
//!
//! The pitfall is a document that *contains* the end-of-text marker as text. Reading it as the special token would
//! let a corpus end documents wherever it likes, so special tokens are never read out of text: they are placed by
//! [`Tokenizer::encode_documents`] alone.
//!
//! ```
//! use genloss::tokenizer::Tokenizer;
//! let texts = vec!["the old dog sees the other dog".to_owned()];
//! let tokenizer = Tokenizer::learn(&texts, 260)?;
//! let ids = tokenizer.encode("the dog 🐕 <|endoftext|>")?;
//! assert!(!ids.contains(&tokenizer.special().end));
//! assert_eq!(tokenizer.decode(&ids), "the dog 🐕 <|endoftext|>");
//! # Ok::<(), genloss::tokenizer::TokenizerError>(())
//! ```

use crate::documents::{Documents, TokenId};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use tokenizers::{AddedToken, DecoderWrapper, ModelWrapper};

mod learn;

/// The end-of-text token of a learnt tokenizer.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// The 256 bytes and the end-of-text token.
pub const MIN_VOCAB_SIZE: usize = 257;

/// What an existing tokenizer may call the token that ends a document, in the order they are looked for.
const END_NAMES: [&str; 8] =
    [END_OF_TEXT, "</s>", "<|end_of_text|>", "<eos>", "<|eot|>", "<|im_end|>", "[EOS]", "[SEP]"];

/// What an existing tokenizer may call the token read before a document; the end token serves where none is.
const START_NAMES: [&str; 5] = ["<s>", "<|begin_of_text|>", "<bos>", "[BOS]", "[CLS]"];

/// The token that ends a document, and the one a model reads before it. They are often the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Read before the first token of a document.
    pub start: TokenId,
    /// Ends a document.
    pub end: TokenId,
}

/// Tokens that mark the parts of a document that is read with its middle last (Bavarian et al. 2022).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sentinels {
    /// Before what comes before a gap.
    pub prefix: TokenId,
    /// Before what comes after it.
    pub suffix: TokenId,
    /// Before what fills it.
    pub middle: TokenId,
}

impl Sentinels {
    /// Whether a token is one of them.
    #[must_use]
    pub fn contain(self, token: TokenId) -> bool {
        [self.prefix, self.suffix, self.middle].contains(&token)
    }
}

/// What sentinel tokens are called, as in published models that fill gaps.
const SENTINEL_NAMES: [&str; 3] = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"];

/// What can go wrong with a tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A vocabulary too small to hold every byte.
    #[error(
        "tokenizer.vocab_size is {asked}, but the 256 bytes and the end-of-text token need {MIN_VOCAB_SIZE}; \
         try 2048"
    )]
    VocabularyTooSmall {
        /// What was asked for.
        asked: usize,
    },
    /// A file could not be read or written.
    #[error("tokenizer {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not a tokenizer.
    #[error(
        "tokenizer {}: not a tokenizer.json as Hugging Face tokenizers write it ({reason}); \
         try the tokenizer.json of a model folder",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// A tokenizer without a token that ends documents.
    #[error(
        "tokenizer {}: no token that ends a document; looked for {}; add one of these to its added_tokens",
        path.display(),
        END_NAMES.join(", ")
    )]
    NoEndToken {
        /// The file.
        path: PathBuf,
    },
    /// The tokenizer cannot express a text, or the library failed.
    #[error("tokenizer: {reason}")]
    Failed {
        /// What the library says.
        reason: String,
    },
}

/// Text to token ids and back.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: SpecialTokens,
    sentinels: Option<Sentinels>,
    vocab_size: usize,
    /// The UTF-8 length of each token, where tokens are byte strings.
    byte_lengths: Option<Vec<u32>>,
}

impl Tokenizer {
    /// Learns byte-level BPE from `texts`. The end-of-text token has id 0, the bytes follow, then the merges in the
    /// order in which they were learnt. The outcome depends on the multiset of the texts alone: on neither their
    /// order, nor threads, nor hash seeds.
    ///
    /// A pair of tokens seen only once is no pattern and is not merged, so that a small text may give fewer tokens
    /// than `vocab_size`: see [`Tokenizer::vocab_size`].
    ///
    /// # Errors
    /// When `vocab_size` is less than [`MIN_VOCAB_SIZE`].
    pub fn learn(texts: &[String], vocab_size: usize) -> Result<Self, TokenizerError> {
        if vocab_size < MIN_VOCAB_SIZE {
            return Err(TokenizerError::VocabularyTooSmall { asked: vocab_size });
        }
        let inner = learn::byte_level_bpe(texts, vocab_size).map_err(failed)?;
        Self::wrap(inner, Path::new("tokenizer.json"))
    }

    /// Reads an existing `tokenizer.json`. Truncation, padding and random segmentation that it may ask for are
    /// turned off: a corpus must be read whole, and the same way every time.
    ///
    /// # Errors
    /// When the file cannot be read, is no tokenizer, or has no token that ends a document.
    pub fn from_file(path: &Path) -> Result<Self, TokenizerError> {
        let bytes =
            std::fs::read(path).map_err(|source| TokenizerError::File { path: path.to_owned(), source })?;
        let damaged = |reason: String| TokenizerError::Damaged { path: path.to_owned(), reason };
        // The crate panics on some JSON that is cut short, so that is found out first.
        serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).map_err(|e| damaged(e.to_string()))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| damaged(e.to_string()))?;
        inner.with_truncation(None).map_err(|e| damaged(e.to_string()))?;
        inner.with_padding(None);
        let mut model = inner.get_model().clone();
        match &mut model {
            ModelWrapper::BPE(bpe) => bpe.dropout = None,
            ModelWrapper::Unigram(unigram) => (unigram.alpha, unigram.nbest_size) = (None, None),
            ModelWrapper::WordPiece(_) | ModelWrapper::WordLevel(_) => {}
        }
        inner.with_model(model);
        Self::wrap(inner, path)
    }

    fn wrap(mut inner: tokenizers::Tokenizer, path: &Path) -> Result<Self, TokenizerError> {
        inner.set_encode_special_tokens(true);
        let end = special_token(&mut inner, &END_NAMES)?
            .ok_or_else(|| TokenizerError::NoEndToken { path: path.to_owned() })?;
        let start = special_token(&mut inner, &START_NAMES)?.unwrap_or(end);
        let special = SpecialTokens { start, end };
        let vocab_size = inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        let byte_lengths = byte_lengths(&inner, vocab_size);
        let mut tokenizer = Self { inner, special, sentinels: None, vocab_size, byte_lengths };
        tokenizer.sentinels = tokenizer.find_sentinels();
        Ok(tokenizer)
    }

    /// The same tokenizer with sentinel tokens, after all others unless it has them already.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn with_sentinels(self) -> Result<Self, TokenizerError> {
        let mut inner = self.inner;
        inner.add_special_tokens(SENTINEL_NAMES.map(|name| AddedToken::from(name, true))).map_err(failed)?;
        Self::wrap(inner, Path::new("tokenizer.json"))
    }

    fn find_sentinels(&self) -> Option<Sentinels> {
        let [prefix, suffix, middle] = SENTINEL_NAMES.map(|name| self.inner.token_to_id(name));
        Some(Sentinels { prefix: prefix?, suffix: suffix?, middle: middle? })
    }

    /// The tokens that mark the parts of a document with a gap, if there are any.
    #[must_use]
    pub fn sentinels(&self) -> Option<Sentinels> {
        self.sentinels
    }

    /// The token that ends a document, and the one read before it.
    #[must_use]
    pub fn special(&self) -> SpecialTokens {
        self.special
    }

    /// One more than the largest token id.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The tokens of a text, without special tokens. Markers of special tokens within the text are text.
    ///
    /// # Errors
    /// When an existing tokenizer cannot express the text. A learnt one always can.
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, TokenizerError> {
        let encoding = self.inner.encode_fast(text, false).map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokens of each text, followed by the end token.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_documents(&self, texts: &[String]) -> Result<Documents, TokenizerError> {
        let encoded: Vec<Result<Vec<TokenId>, TokenizerError>> =
            texts.par_iter().map(|text| self.encode(text)).collect();
        let mut documents = Documents::new();
        for ids in encoded {
            let mut ids = ids?;
            ids.push(self.special.end);
            documents.push(&ids);
        }
        Ok(documents)
    }

    /// The text of some tokens. Special tokens say nothing; bytes that are not UTF-8 (a model may write them)
    /// become the replacement character, and ids beyond the vocabulary nothing.
    #[must_use]
    pub fn decode(&self, ids: &[TokenId]) -> String {
        // Decoding fails only for decoders with an unreadable pattern, which `from_file` has refused.
        self.inner.decode(ids, true).unwrap_or_default()
    }

    /// The text of each document.
    #[must_use]
    pub fn decode_documents(&self, documents: &Documents) -> Vec<String> {
        (0..documents.len()).into_par_iter().map(|index| self.decode(documents.get(index))).collect()
    }

    /// The UTF-8 bytes that some tokens stand for; none for special tokens. Exact for byte-level tokenizers, also
    /// where a document was cut within a character; otherwise the length of the decoded text.
    #[must_use]
    pub fn byte_length(&self, ids: &[TokenId]) -> u64 {
        match &self.byte_lengths {
            Some(lengths) => {
                ids.iter().map(|&id| lengths.get(id as usize).copied().map_or(0, u64::from)).sum()
            }
            None => self.decode(ids).len() as u64,
        }
    }

    /// The tokenizer as the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// When the library cannot write it.
    pub fn to_json(&self) -> Result<String, TokenizerError> {
        self.inner.to_string(true).map_err(failed)
    }

    /// Writes a `tokenizer.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TokenizerError> {
        std::fs::write(path, self.to_json()?)
            .map_err(|source| TokenizerError::File { path: path.to_owned(), source })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn failed(error: tokenizers::Error) -> TokenizerError {
    TokenizerError::Failed { reason: error.to_string() }
}

/// The first of `names` that there is, made special if it is not: it must not be read out of text, nor into it.
fn special_token(
    inner: &mut tokenizers::Tokenizer,
    names: &[&str],
) -> Result<Option<TokenId>, TokenizerError> {
    let Some(name) = names.iter().find(|name| inner.token_to_id(name).is_some()) else { return Ok(None) };
    if !inner.get_added_vocabulary().is_special_token(name) {
        inner.add_special_tokens([AddedToken::from(*name, true)]).map_err(failed)?;
    }
    Ok(inner.token_to_id(name))
}

/// In a byte-level vocabulary a character stands for a byte.
fn byte_lengths(inner: &tokenizers::Tokenizer, vocab_size: usize) -> Option<Vec<u32>> {
    let Some(DecoderWrapper::ByteLevel(_)) = inner.get_decoder() else { return None };
    let added = inner.get_added_tokens_decoder();
    let length = |id: u32| match added.get(&id) {
        Some(token) if token.special => 0,
        Some(token) => token.content.len() as u32,
        None => inner.id_to_token(id).map_or(0, |token| token.chars().count() as u32),
    };
    Some((0..vocab_size as u32).map(length).collect())
}

#[cfg(test)]
mod tests;
