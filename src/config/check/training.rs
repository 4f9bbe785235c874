//! Checks how a model is trained.

use super::values::{number, positive, share, tokens, within};
use crate::config::error::{ConfigError, setting};
use crate::config::file::{InitValue, TrainingTable};
use crate::config::settings::{Corpus, Init, Model, Patience, Training, TrainingLength};
use crate::units::Tokens;

pub(super) fn training(
    key: &str,
    table: &TrainingTable,
    model: &Model,
    corpus: &Corpus,
) -> Result<Training, ConfigError> {
    let sub = |part: &str| format!("{key}.{part}");
    let length = match (table.tokens, table.epochs) {
        (Some(_), Some(_)) => return Err(setting(key, "gives both tokens and epochs; keep one")),
        (Some(seen), None) => TrainingLength::Tokens(tokens(&sub("tokens"), seen)?),
        (None, Some(epochs)) => TrainingLength::Epochs(positive(&sub("epochs"), epochs)?),
        (None, None) => TrainingLength::Tokens(Tokens(corpus.train_tokens.0.saturating_mul(2))),
    };
    let init = match (table.init.unwrap_or(InitValue::Scratch), &table.base) {
        (InitValue::Scratch, None) => Init::Scratch,
        (InitValue::Scratch, Some(_)) => {
            return Err(setting(
                sub("base"),
                "has no meaning with init = \"scratch\"; leave it out, or set init to \"base\" or \"chained\"",
            ));
        }
        (InitValue::Chained, base) => Init::Chained { base: base.clone() },
        (InitValue::Base, Some(base)) => Init::Base { base: base.clone() },
        (InitValue::Base, None) => {
            return Err(setting(sub("base"), "init = \"base\" needs the path of a model folder here"));
        }
    };
    if matches!(model, Model::Ngram(_)) && init != Init::Scratch {
        return Err(setting(
            sub("init"),
            "an n-gram model is counted anew every generation; only \"scratch\" has a meaning for it",
        ));
    }
    let rate = table.learning_rate.unwrap_or(1e-3);
    let beta = |part: &str, value: f64| {
        number(&sub(part), value, |x| (0.0..1.0).contains(&x), "at least 0 and below 1")
    };
    Ok(Training {
        length,
        init,
        batch: within(&sub("batch"), table.batch.unwrap_or(16), 1, 1 << 16)?,
        learning_rate: positive(&sub("learning_rate"), rate)?,
        warmup_fraction: share(&sub("warmup_fraction"), table.warmup_fraction.unwrap_or(0.05))?,
        final_rate_fraction: share(&sub("final_rate_fraction"), table.final_rate_fraction.unwrap_or(0.1))?,
        weight_decay: number(
            &sub("weight_decay"),
            table.weight_decay.unwrap_or(0.1),
            |x| x >= 0.0,
            "0 or above",
        )?,
        beta1: beta("beta1", table.beta1.unwrap_or(0.9))?,
        beta2: beta("beta2", table.beta2.unwrap_or(0.95))?,
        gradient_clip: positive(&sub("gradient_clip"), table.gradient_clip.unwrap_or(1.0))?,
        fim_share: fim_share(&sub("fim_share"), table.fim_share.unwrap_or(0.0), model)?,
        checkpoint_minutes: Patience(number(
            &sub("checkpoint_minutes"),
            table.checkpoint_minutes.unwrap_or(5.0),
            |x| x > 0.0 && x <= 1e6,
            "above 0 and at most 1000000",
        )?),
    })
}

fn fim_share(key: &str, value: f64, model: &Model) -> Result<f64, ConfigError> {
    if matches!(model, Model::Ngram(_)) && value != 0.0 {
        let message =
            "an n-gram model sees the left side of a gap only and cannot learn to fill it; set it to 0";
        return Err(setting(key, message));
    }
    share(key, value)
}
