//! Reads `tokenizer.json` files, and compares two tokenizers.
//!
//! Such a file may come from anywhere. The tokenizers crate panics on some damaged ones, and reserves memory for every
//! id up to the largest, so ids are checked before the crate parses the file.

use super::special::{self, SpecialSources, SpecialTokens};
use super::{Tokenizer, TokenizerError};
use crate::documents::TokenId;
use crate::guard::guard;
use crate::input_files;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tokenizers::ModelWrapper;

/// Largest size of a `tokenizer.json`. The largest published ones have some 40 MB.
const MOST_BYTES: u64 = 1 << 30;

/// A vocabulary may leave this number of ids unused, plus one for each of its tokens.
const MOST_UNUSED_IDS: u64 = 1024;

/// A normalizer or decoder may make a text this many times as long. Replacing each space by "▁" makes it at most three times
/// as long.
const MOST_GROWTH: f64 = 64.0;

/// The first id for which two tokenizers have different tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The id.
    pub id: TokenId,
    /// Its token in the first tokenizer, if it has one.
    pub left: Option<String>,
    /// Its token in the second tokenizer, if it has one.
    pub right: Option<String>,
}

impl Difference {
    /// The difference in words. `left` and `right` name the tokenizers by genitives such as "the model's".
    #[must_use]
    pub fn between(&self, left: &str, right: &str) -> String {
        let shown = |token: &Option<String>| match token {
            Some(token) => format!("{:?}", token.chars().take(40).collect::<String>()),
            None => "no token".to_owned(),
        };
        format!("{left} id {} is {}, {right} is {}", self.id, shown(&self.left), shown(&self.right))
    }
}

impl Tokenizer {
    /// Reads an existing `tokenizer.json`. Its settings for truncation, padding and random segmentation are switched off,
    /// because a corpus must be encoded completely, and in the same way every time.
    ///
    /// # Errors
    /// If the file cannot be read, is not a tokenizer, has implausible ids, or has no token that ends a document.
    pub fn from_file(path: &Path) -> Result<Self, TokenizerError> {
        Self::from_file_with(path, None, None)
    }

    /// As [`from_file`](Self::from_file), with a start and an end token by name; one that is not named is looked for.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file), and if the tokenizer has no token of that name.
    pub fn from_file_with(
        path: &Path,
        start: Option<&str>,
        end: Option<&str>,
    ) -> Result<Self, TokenizerError> {
        let inner = parse(path)?;
        let (special, sources) = special::of_file(&inner, path, start, end)?;
        Self::wrap(inner, special, sources)
    }

    /// As [`from_file`](Self::from_file), with the special tokens of the model that the tokenizer belongs to.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn of_model(
        path: &Path,
        special: SpecialTokens,
        sources: SpecialSources,
    ) -> Result<Self, TokenizerError> {
        Self::wrap(parse(path)?, special, sources)
    }

    /// The tokenizer that [`to_json`](Self::to_json) wrote, with its special tokens.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn from_json(
        json: &str,
        special: SpecialTokens,
        sources: SpecialSources,
    ) -> Result<Self, TokenizerError> {
        Self::wrap(parse_bytes(json.as_bytes(), Path::new("tokenizer.json"))?, special, sources)
    }

    /// The first id for which the tokenizers have different tokens.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<Difference> {
        let ids = 0..self.vocab_size.max(other.vocab_size) as TokenId;
        ids.map(|id| Difference { id, left: self.inner.id_to_token(id), right: other.inner.id_to_token(id) })
            .find(|difference| difference.left != difference.right)
    }
}

fn parse(path: &Path) -> Result<tokenizers::Tokenizer, TokenizerError> {
    let bytes = input_files::read(path, MOST_BYTES)
        .map_err(|source| TokenizerError::File { path: path.to_owned(), source })?;
    parse_bytes(&bytes, path)
}

/// Parses the contents of the file at `path`.
fn parse_bytes(bytes: &[u8], path: &Path) -> Result<tokenizers::Tokenizer, TokenizerError> {
    let damaged = |source: tokenizers::Error| TokenizerError::Damaged { path: path.to_owned(), source };
    let ids: FileIds = serde_json::from_slice(bytes).map_err(|error| damaged(error.into()))?;
    ids.check(path)?;
    if claims_too_much(&ids.normalizer) {
        return Err(damaged("its map of characters is cut off".into()));
    }
    for (part, steps) in [("normalizer", &ids.normalizer), ("decoder", &ids.decoder)] {
        if growth(steps) > MOST_GROWTH {
            return Err(TokenizerError::Grows { path: path.to_owned(), part });
        }
    }
    let parsed = guard(|| {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes)?;
        inner.with_truncation(None)?;
        inner.with_padding(None);
        let mut model = inner.get_model().clone();
        match &mut model {
            ModelWrapper::BPE(bpe) => bpe.dropout = None,
            ModelWrapper::Unigram(unigram) => (unigram.alpha, unigram.nbest_size) = (None, None),
            ModelWrapper::WordPiece(_) | ModelWrapper::WordLevel(_) => {}
        }
        inner.with_model(model);
        // A decoder that cannot work fails here, and not in the middle of a run.
        let mut ids: Vec<TokenId> = inner.get_vocab(true).into_values().collect();
        ids.sort_unstable();
        inner.decode(&ids, false)?;
        Ok(inner)
    });
    let inner = parsed.map_err(|panic| damaged(panic.into()))?.map_err(damaged)?;
    check_distinct_ids(&inner, path)?;
    Ok(inner)
}

/// The ids in a `tokenizer.json`.
#[derive(Deserialize)]
struct FileIds {
    #[serde(default)]
    added_tokens: Vec<AddedId>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    decoder: Value,
    model: ModelIds,
}

#[derive(Deserialize)]
struct AddedId {
    id: u64,
    content: String,
}

#[derive(Deserialize)]
struct ModelIds {
    vocab: Vocabulary,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Vocabulary {
    ById(BTreeMap<String, u64>),
    /// The list of a Unigram model. The id of a token is its index in the list.
    InOrder(Vec<IgnoredAny>),
}

impl FileIds {
    /// Checks that the largest id is not far above the number of tokens.
    fn check(&self, path: &Path) -> Result<(), TokenizerError> {
        let (count, largest) = match &self.model.vocab {
            Vocabulary::ById(ids) => (ids.len(), ids.iter().max_by_key(|&(_, id)| id)),
            Vocabulary::InOrder(pieces) => (pieces.len(), None),
        };
        let added = self.added_tokens.iter().map(|added| (&added.content, &added.id));
        let tokens = count + self.added_tokens.len();
        match added.chain(largest).max_by_key(|&(_, id)| id) {
            Some((token, &id)) if id > 2 * tokens as u64 + MOST_UNUSED_IDS => {
                let token = token.chars().take(40).collect();
                Err(TokenizerError::ScatteredIds { path: path.to_owned(), token, id, tokens })
            }
            _ => Ok(()),
        }
    }
}

/// How many times as long a text can become by the replacements of a normalizer or decoder.
fn growth(steps: &Value) -> f64 {
    let inner = ["normalizers", "decoders"].iter().filter_map(|name| steps.get(name)?.as_array()).flatten();
    let own = match steps.get("content").and_then(Value::as_str) {
        Some(content) if steps.get("type").and_then(Value::as_str) == Some("Replace") => {
            let replaced = steps.pointer("/pattern/String").and_then(Value::as_str).map_or(1, str::len);
            (content.len() as f64 / replaced.max(1) as f64).max(1.0)
        }
        _ => 1.0,
    };
    inner.map(growth).product::<f64>() * own
}

/// Whether a map of characters claims more bytes than it has. The crate would reserve memory for all of them. Such a
/// map is in Base64 and begins with the size of its trie, four bytes in little-endian order.
fn claims_too_much(normalizer: &Value) -> bool {
    let inner = normalizer.get("normalizers").and_then(Value::as_array).into_iter().flatten();
    let Some(map) = normalizer.get("precompiled_charsmap").and_then(Value::as_str) else {
        return inner.into_iter().any(claims_too_much);
    };
    let sextet = |c: u8| match c {
        b'A'..=b'Z' => u64::from(c - b'A'),
        b'a'..=b'z' => u64::from(c - b'a') + 26,
        b'0'..=b'9' => u64::from(c - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let bits = map.bytes().take(6).fold(0, |bits, c| bits << 6 | sextet(c));
    let size = u32::from_le_bytes([28, 20, 12, 4].map(|shift| (bits >> shift) as u8));
    map.len() < 6 || size as usize > map.len()
}

/// Checks that no two tokens have the same id. If two had, text encoded as one would be decoded as the other.
fn check_distinct_ids(inner: &tokenizers::Tokenizer, path: &Path) -> Result<(), TokenizerError> {
    let mut by_id: BTreeMap<TokenId, String> = BTreeMap::new();
    let tokens: BTreeMap<String, TokenId> = inner.get_vocab(true).into_iter().collect();
    for (token, id) in tokens {
        if let Some(first) = by_id.insert(id, token.clone()) {
            return Err(TokenizerError::SharedId { path: path.to_owned(), id, first, second: token });
        }
    }
    Ok(())
}
