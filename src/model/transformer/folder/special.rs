//! The tokens that start and end documents, chosen as Hugging Face transformers chooses them from a folder.
//!
//! The start token is, in this order: `bos_token_id` of `config.json`; what `tokenizer.json` puts before a text;
//! `bos_token` of `tokenizer_config.json`; the token that transformers takes for a family whose `config.json` lacks the
//! key; the end token.

use super::config::ModelConfig;
use crate::documents::TokenId;
use crate::input_files;
use crate::model::SpecialTokens;
use crate::model::family::Family;
use serde_json::Value;
use std::path::Path;

/// The start and the end token of transformers for a family whose `config.json` lacks the key.
fn defaults(family: Family) -> (Option<TokenId>, Option<TokenId>) {
    match family {
        Family::Gemma | Family::Gemma2 | Family::Gemma3 => (Some(2), Some(1)),
        Family::Llama | Family::Mistral => (Some(1), Some(2)),
        Family::Olmo2 => (None, Some(50_279)),
        Family::Gpt2 => (Some(50_256), Some(50_256)),
        Family::GptNeoX => (Some(0), Some(2)),
        Family::Opt => (Some(2), Some(2)),
        Family::Qwen2 | Family::Qwen3 => (None, None),
    }
}

/// Largest size of the files of a tokenizer.
const MOST_BYTES: u64 = 1 << 30;

/// Where the start token of a model folder was found, for messages.
pub type StartSource = &'static str;

/// Start and end token of a folder.
pub struct FolderSpecial {
    pub special: SpecialTokens,
    pub start_source: StartSource,
}

/// Start and end token of a folder with `config`, or the reason why they cannot be determined.
pub fn of_folder(dir: &Path, config: &ModelConfig, vocab_size: usize) -> Result<FolderSpecial, String> {
    let end = end_token(dir, config)?;
    let (start, start_source) = start_token(dir, config, vocab_size)?.unwrap_or((end, "the end token"));
    if start.max(end) as usize >= vocab_size {
        return Err(format!(
            "bos_token_id {start} or eos_token_id {end} is not below vocab_size {vocab_size}"
        ));
    }
    Ok(FolderSpecial { special: SpecialTokens { start, end }, start_source })
}

fn end_token(dir: &Path, config: &ModelConfig) -> Result<TokenId, String> {
    let in_config = config.token("eos_token_id")?;
    if let Some(Some(id)) = in_config {
        return Ok(id);
    }
    let default = || defaults(config.family).1.filter(|_| in_config.is_none());
    let found = token_of_tokenizer_config(dir, "eos_token").or_else(default);
    found.ok_or_else(|| "eos_token_id is missing, so documents would not end".to_owned())
}

fn start_token(
    dir: &Path,
    config: &ModelConfig,
    vocab_size: usize,
) -> Result<Option<(TokenId, StartSource)>, String> {
    let in_config = config.token("bos_token_id")?;
    let default =
        || defaults(config.family).0.filter(|&id| in_config.is_none() && (id as usize) < vocab_size);
    let source = |source: StartSource| move |id: TokenId| (id, source);
    let found = in_config
        .flatten()
        .map(source("bos_token_id of config.json"))
        .or_else(|| token_before_text(dir).map(source("post_processor of tokenizer.json")))
        .or_else(|| {
            token_of_tokenizer_config(dir, "bos_token").map(source("bos_token of tokenizer_config.json"))
        })
        .or_else(|| default().map(source("the default of transformers for the family")));
    Ok(found)
}

/// The content of a JSON file of the folder; None if it is missing or damaged.
fn json(dir: &Path, name: &str) -> Option<Value> {
    serde_json::from_slice(&input_files::read(&dir.join(name), MOST_BYTES).ok()?).ok()
}

/// The id of the token that `tokenizer_config.json` gives under `key`, as text or as an object.
fn token_of_tokenizer_config(dir: &Path, key: &str) -> Option<TokenId> {
    let settings = json(dir, "tokenizer_config.json")?;
    let token = settings.get(key)?;
    let token = token.as_str().or_else(|| token.get("content")?.as_str())?;
    let tokenizer = json(dir, "tokenizer.json")?;
    let added = tokenizer.get("added_tokens").and_then(Value::as_array).into_iter().flatten();
    let mut added = added.filter(|added| added.get("content").and_then(Value::as_str) == Some(token));
    let id = match added.next() {
        Some(added) => added.get("id")?.as_u64()?,
        None => tokenizer.get("model")?.get("vocab")?.get(token)?.as_u64()?,
    };
    TokenId::try_from(id).ok()
}

/// The one token that `tokenizer.json` puts before a text.
fn token_before_text(dir: &Path) -> Option<TokenId> {
    let id = first_of(json(dir, "tokenizer.json")?.get("post_processor")?)?;
    TokenId::try_from(id).ok()
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
