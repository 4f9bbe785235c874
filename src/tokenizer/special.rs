//! The tokens that start and end documents.
//!
//! Each of the two is looked for in the settings; then in the files of a model folder, if the tokenizer is in one; then by
//! the usual names. A tokenizer without a start token starts documents with the end token.

use super::{Tokenizer, TokenizerError};
use crate::documents::{END_MARKERS, TokenId};
use crate::input_files;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::path::Path;

/// Usual names of a token that starts documents.
pub(super) const START_NAMES: [&str; 5] = ["<s>", "<|begin_of_text|>", "<bos>", "[BOS]", "[CLS]"];

/// Where the tokens of a learnt tokenizer and of the n-gram models that use it come from.
pub(crate) const LEARNT: SpecialSources = SpecialSources {
    start: Cow::Borrowed("learnt with the vocabulary"),
    end: Cow::Borrowed("learnt with the vocabulary"),
};

/// Largest size of the files of a tokenizer.
const MOST_BYTES: u64 = 1 << 30;

/// The tokens before and after each document, which are often the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialTokens {
    /// Input of a model before the first token of a document. Not part of the document.
    pub start: TokenId,
    /// Last token of a complete document.
    pub end: TokenId,
}

/// Where the special tokens were found, such as `eos_token_id of config.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialSources {
    /// Where the start token was found.
    pub start: Cow<'static, str>,
    /// Where the end token was found.
    pub end: Cow<'static, str>,
}

/// A special token, and where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) id: TokenId,
    pub(crate) source: &'static str,
}

/// The first start token that the files of a folder name and that is `usable`; or what is wrong with a file. Files are read
/// until one names such a token. `config.json` comes first, although Hugging Face transformers writes with the tokens of
/// `generation_config.json` where the two differ.
pub(crate) fn start_of_folder(dir: &Path, usable: &dyn Fn(TokenId) -> bool) -> Result<Option<Found>, String> {
    first_usable(
        &[
            ("bos_token_id of config.json", &|| id_in(dir, "config.json", "bos_token_id")),
            ("bos_token_id of generation_config.json", &|| id_in(dir, GENERATION, "bos_token_id")),
            ("post_processor of tokenizer.json", &|| token_before_text(dir)),
            ("bos_token of tokenizer_config.json", &|| token_of_tokenizer_config(dir, "bos_token")),
        ],
        usable,
    )
}

/// As [`start_of_folder`], of the end token.
pub(crate) fn end_of_folder(dir: &Path, usable: &dyn Fn(TokenId) -> bool) -> Result<Option<Found>, String> {
    first_usable(
        &[
            ("eos_token_id of config.json", &|| id_in(dir, "config.json", "eos_token_id")),
            ("eos_token_id of generation_config.json", &|| id_in(dir, GENERATION, "eos_token_id")),
            ("eos_token of tokenizer_config.json", &|| token_of_tokenizer_config(dir, "eos_token")),
        ],
        usable,
    )
}

const GENERATION: &str = "generation_config.json";

/// Looks for a token in one place of a folder.
type Look<'a> = (&'static str, &'a dyn Fn() -> Result<Option<TokenId>, String>);

fn first_usable(places: &[Look], usable: &dyn Fn(TokenId) -> bool) -> Result<Option<Found>, String> {
    for (source, look) in places {
        if let Some(id) = look()?.filter(|&id| usable(id)) {
            return Ok(Some(Found { id, source }));
        }
    }
    Ok(None)
}

/// The content of a JSON file of the folder; None if there is no such file.
fn json(dir: &Path, name: &str) -> Result<Option<Value>, String> {
    let path = dir.join(name);
    if !path.exists() {
        return Ok(None);
    }
    let bytes =
        input_files::read(&path, MOST_BYTES).map_err(|error| format!("{name}: {error}; copy it again"))?;
    match serde_json::from_slice(&bytes) {
        Ok(object @ Value::Object(_)) => Ok(Some(object)),
        Ok(_) => Err(format!("{name} is no JSON object; copy it again")),
        Err(error) => Err(format!("{name} is no JSON ({error}); copy it again")),
    }
}

/// A token id, or the first of a list of them.
fn id_in(dir: &Path, file: &str, key: &str) -> Result<Option<TokenId>, String> {
    let settings = json(dir, file)?.unwrap_or_default();
    let ids = match settings.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(ids) => ids,
    };
    let one = std::slice::from_ref(ids);
    let all = ids.as_array().map_or(one, Vec::as_slice).iter();
    let all: Option<Vec<TokenId>> = all.map(|id| TokenId::try_from(id.as_u64()?).ok()).collect();
    all.map(|ids| ids.first().copied()).ok_or_else(|| no_token(file, key, ids, "no token id"))
}

/// The id of the token that `tokenizer_config.json` gives under `key`, as text or as an object.
fn token_of_tokenizer_config(dir: &Path, key: &str) -> Result<Option<TokenId>, String> {
    let settings = json(dir, "tokenizer_config.json")?.unwrap_or_default();
    let given = match settings.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(given) => given,
    };
    let no_token = |what| no_token("tokenizer_config.json", key, given, what);
    let token = given.as_str().or_else(|| given.get("content")?.as_str());
    let token = token.ok_or_else(|| no_token("neither a token nor an object with one"))?;
    let tokenizer = json(dir, "tokenizer.json")?.unwrap_or_default();
    let id = || {
        let added = tokenizer.get("added_tokens").and_then(Value::as_array).into_iter().flatten();
        let mut added = added.filter(|added| added.get("content").and_then(Value::as_str) == Some(token));
        let id = match added.next() {
            Some(added) => added.get("id")?.as_u64()?,
            None => tokenizer.get("model")?.get("vocab")?.get(token)?.as_u64()?,
        };
        TokenId::try_from(id).ok()
    };
    match id() {
        None if tokenizer.pointer("/model/vocab").is_some_and(Value::is_object) => {
            Err(no_token("no token of tokenizer.json"))
        }
        id => Ok(id),
    }
}

/// The message that `given`, which `file` has under `key`, is not what it should be.
fn no_token(file: &str, key: &str, given: &Value, what: &str) -> String {
    let given: String = given.to_string().chars().take(40).collect();
    format!("{key} of {file} is {given}, which is {what}; correct it")
}

/// The one token that `tokenizer.json` puts before a text.
fn token_before_text(dir: &Path) -> Result<Option<TokenId>, String> {
    let tokenizer = json(dir, "tokenizer.json")?.unwrap_or_default();
    let id = tokenizer.get("post_processor").and_then(first_of);
    Ok(id.and_then(|id| TokenId::try_from(id).ok()))
}

fn first_of(processor: &Value) -> Option<u64> {
    match processor.get("type")?.as_str()? {
        "Sequence" => processor.get("processors")?.as_array()?.iter().find_map(first_of),
        "BertProcessing" | "RobertaProcessing" => processor.get("cls")?.get(1)?.as_u64(),
        "TemplateProcessing" => {
            let name = processor.get("single")?.get(0)?.get("SpecialToken")?.get("id")?.as_str()?;
            processor.get("special_tokens")?.get(name)?.get("ids")?.get(0)?.as_u64()
        }
        _ => None,
    }
}

/// The special tokens of the tokenizer in the file at `path`; `start` and `end` are their names in the settings.
pub(super) fn of_file(
    inner: &tokenizers::Tokenizer,
    path: &Path,
    start: Option<&str>,
    end: Option<&str>,
) -> Result<(SpecialTokens, SpecialSources), TokenizerError> {
    let named = |key: &'static str, name: Option<&str>| match name {
        None => Ok(None),
        Some(name) => match inner.token_to_id(name) {
            Some(id) => Ok(Some(Found { id, source: key })),
            None => Err(TokenizerError::NoSuchToken { path: path.to_owned(), key, token: name.to_owned() }),
        },
    };
    let usual = |names: &[&str]| {
        let id = names.iter().find_map(|name| inner.token_to_id(name));
        id.map(|id| Found { id, source: "its usual name" })
    };
    // A file beside the tokenizer may be of another model.
    let is_known = |id: TokenId| inner.id_to_token(id).is_some();
    let dir = path.parent().unwrap_or(Path::new(""));
    let damaged = |reason| TokenizerError::DamagedFile { folder: dir.to_owned(), reason };
    let end = match named("tokenizer.end", end)? {
        Some(end) => Some(end),
        None => end_of_folder(dir, &is_known).map_err(damaged)?,
    };
    let end = end
        .or_else(|| usual(&END_MARKERS))
        .ok_or_else(|| TokenizerError::NoEndToken { path: path.to_owned() })?;
    let start = match named("tokenizer.start", start)? {
        Some(start) => Some(start),
        None => start_of_folder(dir, &is_known).map_err(damaged)?,
    };
    let start =
        start.or_else(|| usual(&START_NAMES)).unwrap_or(Found { id: end.id, source: "the end token" });
    let sources = SpecialSources { start: start.source.into(), end: end.source.into() };
    Ok((SpecialTokens { start: start.id, end: end.id }, sources))
}

/// A special token, for records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialRecord {
    /// The id.
    pub id: TokenId,
    /// The token.
    pub token: String,
    /// Where it was found.
    pub source: String,
}

impl std::fmt::Display for SpecialRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} ({})", self.id, self.token, self.source)
    }
}

impl Tokenizer {
    /// The start and the end token, and where they were found.
    #[must_use]
    pub fn special_records(&self) -> [SpecialRecord; 2] {
        let SpecialTokens { start, end } = self.special;
        [(start, &self.sources.start), (end, &self.sources.end)].map(|(id, source)| SpecialRecord {
            id,
            token: self.token(id).unwrap_or_default(),
            source: source.to_string(),
        })
    }
}
