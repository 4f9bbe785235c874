//! Text to token ids and back. A tokenizer is learnt from natural text only and stays the same for the whole experiment.
//!
//! A learnt tokenizer is byte-level BPE (Sennrich et al. 2016, on bytes as in GPT-2): its alphabet is the 256 bytes, so
//! it can encode any text, and decoding returns the text unchanged. If each generation learnt its own tokenizer, a type
//! could disappear because it lost its merge, and counts of different generations could not be compared.
//!
//! **Pitfall.** A document may *contain* the end-of-text marker as text. Encoding it as the special token would let a
//! corpus end documents anywhere. Markers in text are therefore encoded as ordinary text, and only
//! [`Tokenizer::encode_documents`] adds special tokens.
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

use crate::documents::{Documents, END_MARKERS, TokenId};
use crate::guard::guard;
use crate::spool::SpoolError;
use learn::WordCounts;
use rayon::prelude::*;
use serde_json::json;
use std::path::{Path, PathBuf};
use tokenizers::{AddedToken, DecoderWrapper, Model, ModelWrapper};
use words::WordEncoder;

mod batches;
mod coverage;
mod file;
mod learn;
mod pieces;
mod round_trip;
mod settings;
mod special;
mod words;

pub use coverage::Coverage;
pub use file::Difference;
pub use round_trip::RoundTrip;
pub use settings::TokenizerSettings;
pub(crate) use special::{Found, LEARNT, end_of_folder, start_of_folder};
pub use special::{SpecialRecord, SpecialSources, SpecialTokens};

/// The end-of-text token of a learnt tokenizer.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// The 256 bytes and the end-of-text token.
pub const MIN_VOCAB_SIZE: usize = 257;

/// Bytes of memory that encoding a text as a whole takes per byte of it.
const BYTES_PER_BYTE_ENCODED: usize = 140;

/// Tokens that mark the parts of a document in fill-in-the-middle order: prefix, suffix, middle (Bavarian et al. 2022).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sentinels {
    /// Precedes the text before the gap.
    pub prefix: TokenId,
    /// Precedes the text after the gap.
    pub suffix: TokenId,
    /// Precedes the text that fills the gap.
    pub middle: TokenId,
}

impl Sentinels {
    /// Whether `token` is one of the three.
    #[must_use]
    pub fn contain(self, token: TokenId) -> bool {
        [self.prefix, self.suffix, self.middle].contains(&token)
    }
}

/// Names of the sentinel tokens, as in published models that fill gaps.
const SENTINEL_NAMES: [&str; 3] = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"];

/// Why a tokenizer could not be learnt, read or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// Text that does not fit into memory cannot be read from or written to a temporary file.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The vocabulary is too small for all bytes.
    #[error(
        "tokenizer.vocab_size is {requested}, but the 256 bytes and the end-of-text token need {MIN_VOCAB_SIZE}; \
         try 2048"
    )]
    VocabularyTooSmall {
        /// The requested size.
        requested: usize,
    },
    /// A file could not be read or written.
    #[error("cannot read or write tokenizer {}; check tokenizer.path, or leave it out to learn a tokenizer", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file is not a `tokenizer.json`.
    #[error(
        "tokenizer {}: not a tokenizer.json as written by Hugging Face tokenizers; \
         try the tokenizer.json of a model folder",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The error of the parser.
        source: tokenizers::Error,
    },
    /// The ids of a tokenizer have larger gaps than those of any real vocabulary.
    #[error(
        "tokenizer {}: token {token:?} has the id {id}, but there are only {tokens} tokens; ids must lie near the number \
         of tokens, because a model has an embedding for each id up to the largest",
        path.display()
    )]
    ScatteredIds {
        /// The file.
        path: PathBuf,
        /// The token with the largest id.
        token: String,
        /// Its id.
        id: u64,
        /// The number of tokens.
        tokens: usize,
    },
    /// The replacements of a normalizer or decoder make a text many times as long.
    #[error(
        "tokenizer {}: the replacements of its {part} can make a text more than 64 times as long; no published tokenizer does \
         so: fetch the file again, or take another one",
        path.display()
    )]
    Grows {
        /// The file.
        path: PathBuf,
        /// The field of the file.
        part: &'static str,
    },
    /// Two tokens have the same id.
    #[error(
        "tokenizer {}: tokens {first:?} and {second:?} both have the id {id}; give each token an id of its own",
        path.display()
    )]
    SharedId {
        /// The file.
        path: PathBuf,
        /// The id.
        id: TokenId,
        /// One token.
        first: String,
        /// The other one.
        second: String,
    },
    /// The tokens of a text represent too little of it.
    #[error(
        "{text}: {coverage}, so that losses would be those of another text; \
         use a tokenizer that covers it, such as a byte-level one, which is learnt if tokenizer.path is left out"
    )]
    Lossy {
        /// Which text.
        text: String,
        /// What is lost.
        coverage: Box<Coverage>,
    },
    /// A tokenizer has no token with a known name that ends a document.
    #[error(
        "tokenizer {}: no token that ends a document; looked for {}, and in config.json, generation_config.json and \
         tokenizer_config.json beside it; name one by tokenizer.end",
        path.display(),
        END_MARKERS.join(", ")
    )]
    NoEndToken {
        /// The file.
        path: PathBuf,
    },
    /// A file beside a tokenizer, which may name the tokens that start and end documents, is damaged.
    #[error("beside the tokenizer in {}: {reason}; or name the tokens that start and end documents by tokenizer.start and tokenizer.end", folder.display())]
    DamagedFile {
        /// The folder.
        folder: PathBuf,
        /// What is wrong, and what to try.
        reason: String,
    },
    /// A setting names a token that the tokenizer does not have.
    #[error("{key}: tokenizer {} has no token {token:?}", path.display())]
    NoSuchToken {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: &'static str,
        /// The name.
        token: String,
    },
    /// The pattern of a tokenizer tries too many ways to match a text.
    #[error(
        "the pattern by which the tokenizer splits text tries too many ways to match a document of {bytes} bytes; \
         use another tokenizer, or shorter documents (corpus.split)"
    )]
    Backtracking {
        /// Size of the document, or of the piece of it that was encoded.
        bytes: usize,
        /// The error of the regular expression.
        source: tokenizers::Error,
    },
    /// The tokenizer cannot encode a text, or cannot be changed or written.
    #[error(
        "the tokenizer failed; check the file in tokenizer.path with the tokenizers package, or use another one"
    )]
    Failed(#[source] tokenizers::Error),
}

/// Text to token ids and back.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: SpecialTokens,
    sources: SpecialSources,
    sentinels: Option<Sentinels>,
    vocab_size: usize,
    /// The token that stands for text outside of the vocabulary, if there is one.
    unknown: Option<TokenId>,
    /// Number of UTF-8 bytes of each token, if the tokenizer is byte-level.
    byte_lengths: Option<Vec<u32>>,
    /// Whether long texts may be encoded in pieces.
    is_exact_in_pieces: bool,
    /// Encodes text word by word, if that gives the same tokens.
    words: Option<WordEncoder>,
}

impl Tokenizer {
    /// Learns byte-level BPE from `texts`. Id 0 is the end-of-text token, followed by the bytes, then by the merges in
    /// the order in which they were learnt. The result does not depend on the order of the texts, nor on threads or
    /// hash seeds.
    ///
    /// Pairs of tokens that occur only once are not merged, so a small text may give fewer than `vocab_size` tokens
    /// ([`Tokenizer::vocab_size`]).
    ///
    /// # Errors
    /// If `vocab_size` is less than [`MIN_VOCAB_SIZE`].
    pub fn learn(texts: &[String], vocab_size: usize) -> Result<Self, TokenizerError> {
        Self::check_vocab_size(vocab_size)?;
        let mut counts = WordCounts::default();
        counts.add(texts)?;
        Self::from_counts(counts, vocab_size)
    }

    fn check_vocab_size(requested: usize) -> Result<(), TokenizerError> {
        let is_enough = requested >= MIN_VOCAB_SIZE;
        if is_enough { Ok(()) } else { Err(TokenizerError::VocabularyTooSmall { requested }) }
    }

    fn from_counts(counts: WordCounts, vocab_size: usize) -> Result<Self, TokenizerError> {
        let inner = learn::byte_level_bpe(counts, vocab_size).map_err(TokenizerError::Failed)?;
        let end = inner.token_to_id(END_OF_TEXT).unwrap_or_default();
        Self::wrap(inner, SpecialTokens { start: end, end }, LEARNT)
    }

    fn wrap(
        mut inner: tokenizers::Tokenizer,
        special: SpecialTokens,
        sources: SpecialSources,
    ) -> Result<Self, TokenizerError> {
        inner.set_encode_special_tokens(true);
        let names = [special.start, special.end].map(|id| inner.id_to_token(id));
        names.iter().flatten().try_for_each(|name| make_special(&mut inner, name))?;
        let vocab_size = inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        let byte_lengths = byte_lengths(&inner, vocab_size);
        let is_exact_in_pieces = pieces::are_exact(&inner);
        let unknown = unknown_token(&inner);
        let words = WordEncoder::of(&inner);
        let mut tokenizer = Self {
            inner,
            special,
            sources,
            sentinels: None,
            vocab_size,
            unknown,
            byte_lengths,
            is_exact_in_pieces,
            words,
        };
        tokenizer.sentinels = tokenizer.find_sentinels();
        Ok(tokenizer)
    }

    /// Adds sentinel tokens, with the highest ids, unless the tokenizer has them already.
    ///
    /// # Errors
    /// If the tokenizer cannot be extended.
    pub fn with_sentinels(self) -> Result<Self, TokenizerError> {
        let mut inner = self.inner;
        inner
            .add_special_tokens(SENTINEL_NAMES.map(|name| AddedToken::from(name, true)))
            .map_err(TokenizerError::Failed)?;
        Self::wrap(inner, self.special, self.sources)
    }

    fn find_sentinels(&self) -> Option<Sentinels> {
        let [prefix, suffix, middle] = SENTINEL_NAMES.map(|name| self.inner.token_to_id(name));
        Some(Sentinels { prefix: prefix?, suffix: suffix?, middle: middle? })
    }

    /// The tokens that mark the parts of a document with a gap, if the tokenizer has them.
    #[must_use]
    pub fn sentinels(&self) -> Option<Sentinels> {
        self.sentinels
    }

    /// The tokens before and after each document.
    #[must_use]
    pub fn special(&self) -> SpecialTokens {
        self.special
    }

    /// Where the tokens before and after each document were found.
    #[must_use]
    pub fn special_sources(&self) -> &SpecialSources {
        &self.sources
    }

    /// One more than the largest token id.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Whether every token stands for some bytes, so that decoding gives back any text.
    #[must_use]
    pub fn is_byte_level(&self) -> bool {
        self.byte_lengths.is_some()
    }

    /// The token with this id, as the vocabulary spells it.
    #[must_use]
    pub fn token(&self, id: TokenId) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The tokens of a text, without special tokens. Markers of special tokens in the text are encoded as ordinary text.
    ///
    /// # Errors
    /// If an existing tokenizer cannot encode the text. A learnt one always can.
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, TokenizerError> {
        if !self.is_exact_in_pieces || text.len() <= pieces::PIECE {
            return self.encode_piece(text);
        }
        let pieces = pieces::of(text, pieces::PIECE);
        let encoded: Result<Vec<Vec<TokenId>>, TokenizerError> =
            pieces.into_par_iter().map(|piece| self.encode_piece(piece)).collect();
        Ok(encoded?.concat())
    }

    /// Lets the memory go in which [`Self::encode`] remembers words; it is filled again by the next texts.
    pub fn forget_words(&self) {
        if let Some(words) = &self.words {
            words.forget();
        }
    }

    fn encode_piece(&self, text: &str) -> Result<Vec<TokenId>, TokenizerError> {
        match &self.words {
            Some(words) => words.encode(text, |word| self.encode_whole(word)),
            None => self.encode_whole(text),
        }
    }

    fn encode_whole(&self, text: &str) -> Result<Vec<TokenId>, TokenizerError> {
        let encoding = guard(|| self.inner.encode_fast(text, false));
        let encoding = encoding.map_err(|panic| panicked(panic.into(), text))?;
        Ok(encoding.map_err(TokenizerError::Failed)?.get_ids().to_vec())
    }

    /// A note on memory if the longest of some texts, with this many bytes, is long and can only be encoded as a whole.
    #[must_use]
    pub fn note_on_memory(&self, longest: usize) -> Option<String> {
        /// Bytes from which on a text is long.
        const LONG: usize = 4 << 20;
        (!self.is_exact_in_pieces && longest >= LONG).then(|| {
            format!(
                "the longest document has {} MiB, and this tokenizer can only encode it as a whole, which takes some {} MiB \
                 of memory; shorter documents take less (corpus.split)",
                longest >> 20,
                (longest >> 20) * BYTES_PER_BYTE_ENCODED
            )
        })
    }

    /// The text of a sequence of tokens. Special tokens and ids outside of the vocabulary are skipped. Bytes that are not
    /// UTF-8, which a model may write, become the replacement character.
    #[must_use]
    pub fn decode(&self, ids: &[TokenId]) -> String {
        // `from_file` has returned an error if the decoder has an invalid pattern or panics.
        guard(|| self.inner.decode(ids, true)).ok().and_then(Result::ok).unwrap_or_default()
    }

    /// The text of each document.
    #[must_use]
    pub fn decode_documents(&self, documents: &Documents) -> Vec<String> {
        (0..documents.len()).into_par_iter().map(|index| self.decode(documents.get(index))).collect()
    }

    /// The number of UTF-8 bytes of a sequence of tokens; special tokens have none. For byte-level tokenizers it is
    /// exact even if a document was cut within a character; for others it is the length of the decoded text.
    #[must_use]
    pub fn byte_length(&self, ids: &[TokenId]) -> u64 {
        match &self.byte_lengths {
            Some(lengths) => {
                ids.iter().map(|&id| lengths.get(id as usize).copied().map_or(0, u64::from)).sum()
            }
            None => self.decode(ids).len() as u64,
        }
    }

    /// The content of a `tokenizer.json`.
    ///
    /// # Errors
    /// If the tokenizer cannot be serialised.
    pub fn to_json(&self) -> Result<String, TokenizerError> {
        self.inner.to_string(true).map_err(TokenizerError::Failed)
    }

    /// Writes a `tokenizer.json`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TokenizerError> {
        std::fs::write(path, self.to_json()?)
            .map_err(|source| TokenizerError::File { path: path.to_owned(), source })
    }

    /// The contents of a `tokenizer_config.json`, from which Hugging Face transformers takes the special tokens. Without it,
    /// transformers adds tokens that the model does not have, or knows no end of a text.
    #[must_use]
    pub fn config_json(&self) -> String {
        let SpecialTokens { start, end } = self.special;
        let mut config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": self.token(start),
            "eos_token": self.token(end),
            "clean_up_tokenization_spaces": false,
        });
        if let Some(unknown) = self.unknown {
            config["unk_token"] = json!(self.token(unknown));
        }
        format!("{config:#}\n")
    }
}

/// The error for a panic while `text` was encoded. Oniguruma gives up after ten million ways to match one word, and the
/// crate around it panics.
fn panicked(panic: tokenizers::Error, text: &str) -> TokenizerError {
    match panic.to_string().contains("retry-limit") {
        true => TokenizerError::Backtracking { bytes: text.len(), source: panic },
        false => TokenizerError::Failed(panic),
    }
}

/// Makes a token special if it is not, so that text cannot contain it.
fn make_special(inner: &mut tokenizers::Tokenizer, name: &str) -> Result<(), TokenizerError> {
    if !inner.get_added_vocabulary().is_special_token(name) {
        inner.add_special_tokens([AddedToken::from(name, true)]).map_err(TokenizerError::Failed)?;
    }
    Ok(())
}

/// The token that stands for text outside of the vocabulary.
fn unknown_token(inner: &tokenizers::Tokenizer) -> Option<TokenId> {
    let name = match inner.get_model() {
        ModelWrapper::BPE(bpe) => bpe.unk_token.as_deref()?,
        ModelWrapper::WordPiece(model) => &model.unk_token,
        ModelWrapper::WordLevel(model) => &model.unk_token,
        ModelWrapper::Unigram(model) => {
            // The crate exposes this field only in the serialised model.
            let id = serde_json::to_value(model).ok()?.get("unk_id")?.as_u64()?;
            return TokenId::try_from(id).ok();
        }
    };
    inner.get_model().token_to_id(name)
}

/// Number of bytes of each token, for a byte-level vocabulary, in which each character represents one byte. None for
/// other vocabularies.
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
