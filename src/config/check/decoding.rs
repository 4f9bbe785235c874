//! Checks how documents come out of predictions.

use super::{LARGEST_SHAPE, number, positive, share, within};
use crate::config::error::{ConfigError, setting};
use crate::config::file::SynthesisTable;
use crate::config::settings::{Beam, Contrastive, Decoding, Model, Strategy};

/// Documents or candidates that a search keeps side by side, at most.
const MOST_ABREAST: usize = 1024;

/// Checks how `model` writes; `sub` turns a key into what errors call it.
pub fn strategy(
    sub: &dyn Fn(&str) -> String,
    table: &SynthesisTable,
    model: &Model,
) -> Result<Strategy, ConfigError> {
    match (table.beams, table.contrastive_k) {
        (Some(_), Some(_)) => {
            Err(setting(sub("contrastive_k"), "contrastive search has no beams; leave out one of the two"))
        }
        (Some(beams), None) => beam(sub, table, beams).map(Strategy::Beam),
        (None, Some(k)) => contrastive(sub, table, k, model).map(Strategy::Contrastive),
        (None, None) => token_by_token(sub, table).map(Strategy::TokenByToken),
    }
}

fn beam(sub: &dyn Fn(&str) -> String, table: &SynthesisTable, beams: usize) -> Result<Beam, ConfigError> {
    refuse_foreign(sub, table, "beam search", &["beams", "length_penalty"])?;
    let length_penalty = table.length_penalty.unwrap_or(1.0);
    Ok(Beam {
        beams: within(&sub("beams"), beams, 2, MOST_ABREAST)?,
        length_penalty: number(
            &sub("length_penalty"),
            length_penalty,
            |x| (0.0..=10.0).contains(&x),
            "a number from 0 to 10",
        )?,
    })
}

fn contrastive(
    sub: &dyn Fn(&str) -> String,
    table: &SynthesisTable,
    k: usize,
    model: &Model,
) -> Result<Contrastive, ConfigError> {
    if matches!(model, Model::Ngram(_)) {
        let message = "contrastive search compares hidden states, and an n-gram has no hidden states; take a transformer or another decoder";
        return Err(setting(sub("contrastive_k"), message));
    }
    refuse_foreign(sub, table, "contrastive search", &["contrastive_k", "contrastive_alpha"])?;
    Ok(Contrastive {
        k: within(&sub("contrastive_k"), k, 2, MOST_ABREAST)?,
        alpha: share(&sub("contrastive_alpha"), table.contrastive_alpha.unwrap_or(0.6))?,
    })
}

/// Checks how the next token is chosen; `sub` turns a key into what errors call it.
pub fn token_by_token(sub: &dyn Fn(&str) -> String, table: &SynthesisTable) -> Result<Decoding, ConfigError> {
    let owners = [("length_penalty", "beams"), ("contrastive_alpha", "contrastive_k")];
    let orphan = owners.into_iter().find(|(key, _)| given(table).contains(key));
    if let Some((key, owner)) = orphan {
        return Err(setting(sub(key), format!("has no meaning without {owner}; set it, or leave this out")));
    }
    let greedy = table.greedy.unwrap_or(false);
    if greedy {
        refuse_foreign(sub, table, "greedy decoding", &["greedy", "repetition_penalty"])?;
    }
    let zero_hint = "a number above 0 (for the most probable token always, set greedy = true)";
    let optional = |part: &str, value: Option<f64>, good: fn(f64) -> bool, range: &str| {
        value.map(|x| number(&sub(part), x, good, range)).transpose()
    };
    let mass = |x: f64| x > 0.0 && x <= 1.0;
    Ok(Decoding {
        greedy,
        repetition_penalty: positive(&sub("repetition_penalty"), table.repetition_penalty.unwrap_or(1.0))?,
        temperature: number(&sub("temperature"), table.temperature.unwrap_or(1.0), |x| x > 0.0, zero_hint)?,
        top_k: table.top_k.map(|k| within(&sub("top_k"), k, 1, LARGEST_SHAPE)).transpose()?,
        top_p: optional("top_p", table.top_p, mass, "above 0 and at most 1")?,
        min_p: optional("min_p", table.min_p, |x| (0.0..=1.0).contains(&x), "a number from 0 to 1")?,
        typical_p: optional("typical_p", table.typical_p, mass, "above 0 and at most 1")?,
    })
}

/// Refuses what `decoder` would not heed: every key given that is not its own.
fn refuse_foreign(
    sub: &dyn Fn(&str) -> String,
    table: &SynthesisTable,
    decoder: &str,
    own: &[&str],
) -> Result<(), ConfigError> {
    match given(table).into_iter().find(|key| !own.contains(key)) {
        Some(key) => Err(setting(sub(key), format!("{decoder} does not heed it; leave it out"))),
        None => Ok(()),
    }
}

/// The keys that say something about decoding: what changes nothing is not among them.
fn given(table: &SynthesisTable) -> Vec<&'static str> {
    let keys = [
        ("greedy", table.greedy == Some(true)),
        ("repetition_penalty", table.repetition_penalty.is_some_and(|penalty| penalty != 1.0)),
        ("temperature", table.temperature.is_some_and(|temperature| temperature != 1.0)),
        ("top_k", table.top_k.is_some()),
        ("top_p", table.top_p.is_some()),
        ("min_p", table.min_p.is_some()),
        ("typical_p", table.typical_p.is_some()),
        ("beams", table.beams.is_some()),
        ("length_penalty", table.length_penalty.is_some()),
        ("contrastive_k", table.contrastive_k.is_some()),
        ("contrastive_alpha", table.contrastive_alpha.is_some()),
    ];
    keys.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect()
}
