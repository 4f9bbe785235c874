//! Encoding and counting word by word.
//!
//! Byte-level tokenizers split a text into words by a pattern, and encode every word by itself. Most words of a text
//! occurred before, so their tokens are looked up. A test compares the result with that of the `tokenizers` crate, which
//! encodes each word again and keeps the place of every character.

use super::{TokenizerError, panicked};
use crate::documents::TokenId;
use crate::guard::guard;
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use tokenizers::utils::SysRegex;
use tokenizers::{ModelWrapper, Tokenizer};

/// The pattern of GPT-2, with which tokenizers are learnt.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The patterns of published byte-level tokenizers: GPT-2, GPT-4, Llama 3, Qwen 2.
pub(super) const PATTERNS: [&str; 4] = [
    GPT2,
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];

/// The pattern, one of [`PATTERNS`], by which a serialised pre-tokenizer splits text before it turns it into bytes.
pub(super) fn pattern_of(pre_tokenizer: &Value) -> Option<&'static str> {
    let is_byte_level = |value: &Value, use_regex: bool| {
        value["type"] == "ByteLevel" && value["add_prefix_space"] == false && value["use_regex"] == use_regex
    };
    let known = |value: &Value| {
        let is_plain =
            value["type"] == "Split" && value["invert"] == false && value["behavior"] == "Isolated";
        let is_pattern = |pattern: &&str| is_plain && value["pattern"] == json!({ "Regex": pattern });
        PATTERNS.into_iter().find(is_pattern)
    };
    match pre_tokenizer["type"].as_str() {
        Some("ByteLevel") => is_byte_level(pre_tokenizer, true).then_some(GPT2),
        Some("Sequence") => match pre_tokenizer["pretokenizers"].as_array().map(Vec::as_slice) {
            Some([split, bytes]) => known(split).filter(|_| is_byte_level(bytes, false)),
            _ => None,
        },
        _ => None,
    }
}

/// Splits text into words.
pub(super) struct WordPattern(SysRegex);

impl WordPattern {
    /// The pattern of tokenizers that are learnt.
    pub(super) fn of_learnt() -> tokenizers::Result<Self> {
        Self::new(GPT2)
    }

    fn new(pattern: &str) -> tokenizers::Result<Self> {
        SysRegex::new(pattern).map(Self)
    }

    /// Calls `each` with every word, in order. Text between two matches of the pattern is a word too.
    pub(super) fn split<'t, E>(
        &self,
        text: &'t str,
        mut each: impl FnMut(&'t str) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut end = 0;
        for (start, stop) in self.0.find_iter(text) {
            if end < start {
                each(&text[end..start])?;
            }
            if start < stop {
                each(&text[start..stop])?;
            }
            end = stop;
        }
        if end < text.len() { each(&text[end..]) } else { Ok(()) }
    }
}

#[expect(clippy::disallowed_types, reason = "a pure lookup table, never iterated")]
type KnownWords = std::collections::HashMap<Box<str>, Box<[TokenId]>>;

/// Words whose tokens a table remembers; of a text, those that occur first.
const MOST_KNOWN: usize = 1 << 17;
/// Words that all tables together remember, in some 100 MB.
const MOST_KNOWN_IN_ALL: usize = 1 << 20;
/// Longer words are not remembered.
const LONGEST_KNOWN: usize = 64;
/// Number of tables. Threads of one pool use different ones as far as they suffice, because a thread has its table to itself
/// while it encodes a text.
const TABLES: usize = 64;

/// Encodes text word by word.
pub(super) struct WordEncoder {
    pattern: WordPattern,
    known: Vec<Mutex<KnownWords>>,
}

impl WordEncoder {
    /// None unless the tokenizer encodes the words of a known pattern one by one, and in nothing else.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let ModelWrapper::BPE(model) = tokenizer.get_model() else { return None };
        let pre_tokenizer = serde_json::to_value(tokenizer.get_pre_tokenizer()?).ok()?;
        let added = tokenizer.get_added_tokens_decoder();
        let is_plain = tokenizer.get_normalizer().is_none()
            && tokenizer.get_truncation().is_none()
            && tokenizer.get_padding().is_none()
            && model.dropout.is_none()
            // The text of special tokens is encoded as ordinary text; that of others is found before words are.
            && added.values().all(|token| token.special);
        let pattern = pattern_of(&pre_tokenizer).filter(|_| is_plain)?;
        let known = (0..TABLES).map(|_| Mutex::default()).collect();
        Some(Self { pattern: WordPattern::new(pattern).ok()?, known })
    }

    /// The tokens of a text. `encode` is called with words that are not known yet.
    pub(super) fn encode(
        &self,
        text: &str,
        encode: impl Fn(&str) -> Result<Vec<TokenId>, TokenizerError>,
    ) -> Result<Vec<TokenId>, TokenizerError> {
        let table = rayon::current_thread_index().map_or(0, |thread| thread + 1) % TABLES;
        let mut known = self.known[table].lock().unwrap_or_else(PoisonError::into_inner);
        let most_known = MOST_KNOWN.min(MOST_KNOWN_IN_ALL / rayon::current_num_threads());
        let mut ids = Vec::with_capacity(text.len() / 3);
        let add = |word: &str| {
            if let Some(tokens) = known.get(word) {
                ids.extend_from_slice(tokens);
                return Ok::<(), TokenizerError>(());
            }
            let tokens = encode(word)?;
            ids.extend_from_slice(&tokens);
            if known.len() < most_known && word.len() <= LONGEST_KNOWN {
                known.insert(word.into(), tokens.into());
            }
            Ok(())
        };
        let split = guard(|| self.pattern.split(text, add));
        split.map_err(|panic| panicked(panic.into(), text))??;
        Ok(ids)
    }

    /// Forgets all words, and lets their memory go.
    pub(super) fn forget(&self) {
        for table in &self.known {
            *table.lock().unwrap_or_else(PoisonError::into_inner) = KnownWords::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_what_is_between_matches_are_all_of_the_text() {
        let words = |pattern: &str, text: &'static str| {
            let mut words = Vec::new();
            let pattern = WordPattern::new(pattern).expect("a pattern");
            let push = |word| {
                words.push(word);
                Ok::<(), ()>(())
            };
            pattern.split(text, push).expect("never fails");
            words
        };
        assert_eq!(
            words(GPT2, "The dog's  bone,\n2 é"),
            ["The", " dog", "'s", " ", " bone", ",", "\n", "2", " é"]
        );
        assert_eq!(words("b+|x*", "abba"), ["a", "bb", "a"]);
        assert!(words(GPT2, "").is_empty());
    }
}
