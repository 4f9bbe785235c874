//! Checks how a model writes, and that the parts of it go together.

use super::values::{tokens, within};
use super::{decoding, methods};
use crate::config::error::{ConfigError, setting};
use crate::config::file::SynthesisTable;
use crate::config::selection::selection;
use crate::config::settings::{Corpus, Method, Model, Prefix, Synthesis, Training};

pub(super) fn synthesis(
    key: &str,
    table: &SynthesisTable,
    model: &Model,
    training: &Training,
    corpus: &Corpus,
) -> Result<Synthesis, ConfigError> {
    let sub = |part: &str| format!("{key}.{part}");
    let method = methods::check(&sub, table, model, training)?;
    let decoding = decoding::strategy(&sub, table, model)?;
    let synthesis = Synthesis {
        method,
        tokens: tokens(&sub("tokens"), table.tokens.unwrap_or(corpus.train_tokens.0))?,
        max_document_tokens: within(
            &sub("max_document_tokens"),
            table.max_document_tokens.unwrap_or(512),
            1,
            1 << 24,
        )?,
        decoding,
        selection: selection(&sub("selection"), &table.selection.clone().unwrap_or_default())?,
    };
    go_together(&sub, &synthesis)?;
    Ok(synthesis)
}

/// Refuses a method with a decoder or a selection that it makes no sense with.
fn go_together(sub: &dyn Fn(&str) -> String, synthesis: &Synthesis) -> Result<(), ConfigError> {
    let Synthesis { method, decoding, selection, .. } = synthesis;
    let is_search = decoding.token_by_token().is_none();
    if matches!(method, Method::TokenEdit { .. }) && is_search {
        let message = "\"token-edit\" draws tokens one by one, and a search does not; leave out beams and contrastive_k";
        return Err(setting(sub("method"), message));
    }
    if let Method::Continuation { prefix_tokens, prefix: Prefix::Previous } = method
        && *prefix_tokens >= synthesis.max_document_tokens
    {
        let message = format!(
            "{prefix_tokens} leaves nothing to go on from: documents of the generation before have at most {} tokens (max_document_tokens); lower it",
            synthesis.max_document_tokens
        );
        return Err(setting(sub("prefix_tokens"), message));
    }
    let from_prompts =
        matches!(method, Method::Textbook | Method::Keywords { .. } | Method::Continuation { .. });
    let repeats_itself = is_search || decoding.token_by_token().is_some_and(|decoding| decoding.greedy);
    if selection.best_of.is_some() && from_prompts && repeats_itself {
        let message = "candidates would be copies of each other: this decoder writes the same document after the same prompt; sample, or leave it out";
        return Err(setting(sub("selection.best_of"), message));
    }
    Ok(())
}
