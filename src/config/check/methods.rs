//! What a model may write from: the keys of `[synthesis]` that belong to one method, checked.

use super::{LARGEST_SHAPE, number, positive, share, within};
use crate::config::error::{ConfigError, setting};
use crate::config::file::{MethodValue, SeedValue, SynthesisTable};
use crate::config::settings::{Method, Model, Patience, Training};

/// Checks what `table` says of its method; `sub` turns a key into what errors call it.
pub(super) fn check(
    sub: &dyn Fn(&str) -> String,
    table: &SynthesisTable,
    model: &Model,
    training: &Training,
) -> Result<Method, ConfigError> {
    let method = table.method.unwrap_or(MethodValue::Textbook);
    refuse_foreign_keys(sub, table, method)?;
    match method {
        MethodValue::Textbook => textbook(sub, table, model),
        MethodValue::Continuation => continuation(sub, table, model),
        MethodValue::Rephrase => rephrase(sub, table, model, training),
        MethodValue::TokenEdit => Ok(Method::TokenEdit {
            sharpness: number(
                &sub("sharpness"),
                table.sharpness.unwrap_or(4.0),
                |x| x >= 0.0,
                "a number from 0 up",
            )?,
        }),
        MethodValue::External => external(sub, table),
    }
}

/// Which method each key belongs to, and whether it is given.
fn keys(table: &SynthesisTable) -> [(&'static str, MethodValue, bool); 10] {
    use MethodValue::{Continuation, External, Rephrase, Textbook, TokenEdit};
    [
        ("seed", Textbook, table.seed.is_some()),
        ("keywords", Textbook, table.keywords.is_some()),
        ("prefix", Continuation, table.prefix.is_some()),
        ("prefix_tokens", Continuation, table.prefix_tokens.is_some()),
        ("fidelity", Rephrase, table.fidelity.is_some()),
        ("span_tokens", Rephrase, table.span_tokens.is_some()),
        ("view_tokens", Rephrase, table.view_tokens.is_some()),
        ("sharpness", TokenEdit, table.sharpness.is_some()),
        ("command", External, table.command.is_some()),
        ("timeout_seconds", External, table.timeout_seconds.is_some()),
    ]
}

fn refuse_foreign_keys(
    sub: &dyn Fn(&str) -> String,
    table: &SynthesisTable,
    method: MethodValue,
) -> Result<(), ConfigError> {
    match keys(table).into_iter().find(|(_, owner, given)| *given && *owner != method) {
        None => Ok(()),
        Some((key, owner, _)) => Err(setting(
            sub(key),
            format!(
                "has no meaning for method = \"{}\"; leave it out, or set method = \"{}\"",
                name(method),
                name(owner)
            ),
        )),
    }
}

/// As an experiment file has it.
fn name(method: MethodValue) -> &'static str {
    match method {
        MethodValue::Textbook => "textbook",
        MethodValue::Continuation => "continuation",
        MethodValue::Rephrase => "rephrase",
        MethodValue::TokenEdit => "token-edit",
        MethodValue::External => "external",
    }
}

fn textbook(
    sub: &dyn Fn(&str) -> String,
    table: &SynthesisTable,
    model: &Model,
) -> Result<Method, ConfigError> {
    match (table.seed.unwrap_or_default(), table.keywords) {
        (SeedValue::Nothing, None) => Ok(Method::Textbook),
        (SeedValue::Nothing, Some(_)) => Err(setting(
            sub("keywords"),
            "has no meaning without seed = \"keywords\"; leave it out, or set the seed",
        )),
        (SeedValue::Keywords, count) => {
            let count = within(&sub("keywords"), count.unwrap_or(3), 1, 100)?;
            // A word is a token at least, and half the context is left to write in.
            fits_context(&sub("keywords"), count, model)?;
            Ok(Method::Keywords { count })
        }
    }
}

fn continuation(
    sub: &dyn Fn(&str) -> String,
    table: &SynthesisTable,
    model: &Model,
) -> Result<Method, ConfigError> {
    let key = sub("prefix_tokens");
    let prefix_tokens = within(&key, table.prefix_tokens.unwrap_or(16), 1, LARGEST_SHAPE)?;
    fits_context(&key, prefix_tokens, model)?;
    Ok(Method::Continuation { prefix_tokens, prefix: table.prefix.unwrap_or_default() })
}

fn fits_context(key: &str, tokens: usize, model: &Model) -> Result<(), ConfigError> {
    match model {
        Model::Transformer(shape) if tokens > shape.context / 2 => {
            let message = format!(
                "{tokens} is more than half the context of {}; lower it or raise model.context",
                shape.context
            );
            Err(setting(key, message))
        }
        _ => Ok(()),
    }
}

fn rephrase(
    sub: &dyn Fn(&str) -> String,
    table: &SynthesisTable,
    model: &Model,
    training: &Training,
) -> Result<Method, ConfigError> {
    let Some(fidelity) = table.fidelity else {
        let message = "is missing; give the share of a document that stays, from 0 (textbook) to 1 (a copy)";
        return Err(setting(sub("fidelity"), message));
    };
    let fidelity = share(&sub("fidelity"), fidelity)?;
    let widest = widest_view(model);
    let view_tokens = within(&sub("view_tokens"), table.view_tokens.unwrap_or(widest.min(64)), 1, widest)?;
    // What a model fills in is half a view long on average.
    let span_tokens = table.span_tokens.unwrap_or((view_tokens / 2).max(1));
    let span_tokens = within(&sub("span_tokens"), span_tokens, 1, LARGEST_SHAPE)?;
    let fills_gaps = fidelity > 0.0 && fidelity < 1.0;
    match model {
        Model::Ngram(_) if fills_gaps => Err(setting(
            sub("method"),
            "an n-gram model sees the left side of a gap only and cannot rephrase; use a transformer, or method = \"token-edit\"",
        )),
        Model::Transformer(_) if fills_gaps && training.fim_share == 0.0 => Err(setting(
            sub("method"),
            "\"rephrase\" fills gaps, which the model never learns with training.fim_share = 0; set it to 0.5, say",
        )),
        _ => Ok(Method::Rephrase { fidelity, span_tokens, view_tokens }),
    }
}

/// Two views and three sentinels take half the context at most; the other half is to write in.
fn widest_view(model: &Model) -> usize {
    match model {
        Model::Transformer(shape) => (shape.context / 4).saturating_sub(2).max(1),
        Model::Ngram(_) => LARGEST_SHAPE,
    }
}

fn external(sub: &dyn Fn(&str) -> String, table: &SynthesisTable) -> Result<Method, ConfigError> {
    let command = table.command.clone().unwrap_or_default();
    if command.first().is_none_or(String::is_empty) {
        let message =
            "is missing; give the program and its arguments, such as [\"python3\", \"rephrase.py\"]";
        return Err(setting(sub("command"), message));
    }
    let timeout_seconds = positive(&sub("timeout_seconds"), table.timeout_seconds.unwrap_or(3600.0))?;
    if timeout_seconds > 1e9 {
        return Err(setting(sub("timeout_seconds"), format!("{timeout_seconds} is more than 1000000000")));
    }
    Ok(Method::External { command, timeout_seconds: Patience(timeout_seconds) })
}
