//! The tokens that start and end documents of the model in a folder: those that its files name, or else those that Hugging
//! Face transformers takes for a family whose `config.json` lacks the keys. Without a start token, documents start with the
//! end token.

use super::config::ModelConfig;
use crate::documents::TokenId;
use crate::model::SpecialTokens;
use crate::model::family::Family;
use crate::tokenizer::{Found, SpecialSources, end_of_folder, start_of_folder};
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

/// Start and end token of a folder with `config`, or the reason why they cannot be determined.
pub fn of_folder(
    dir: &Path,
    config: &ModelConfig,
    vocab_size: usize,
) -> Result<(SpecialTokens, SpecialSources), String> {
    let (start, end) = defaults(config.family);
    let default = |key: &str, id: Option<TokenId>| -> Result<Option<Found>, String> {
        let lacks_key = config.token(key).map_err(|reason| format!("config.json: {reason}"))?.is_none();
        let source = "the default of transformers for the family";
        Ok(id.filter(|_| lacks_key).map(|id| Found { id, source }))
    };
    let (start, end) = (default("bos_token_id", start)?, default("eos_token_id", end)?);
    let missing = "config.json has no eos_token_id, so documents would not end; add it, with the id of the token that ends them";
    let end = end_of_folder(dir, &|_| true)?.or(end).ok_or(missing)?;
    let start = start_of_folder(dir, &|_| true)?
        .or(start.filter(|start| (start.id as usize) < vocab_size))
        .unwrap_or(Found { id: end.id, source: "the end token" });
    if let Some(Found { id, source }) = [start, end].iter().find(|found| found.id as usize >= vocab_size) {
        return Err(format!("{id} ({source}) is not below vocab_size {vocab_size}; correct it"));
    }
    let sources = SpecialSources { start: start.source.into(), end: end.source.into() };
    Ok((SpecialTokens { start: start.id, end: end.id }, sources))
}
