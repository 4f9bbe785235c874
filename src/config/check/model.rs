//! Checks what a model is.

use super::values::{LARGEST_SHAPE, within};
use crate::config::error::{ConfigError, setting};
use crate::config::file::{ModelKind, ModelTable};
use crate::config::settings::{Model, Ngram, Transformer};

pub(super) fn model(key: &str, table: &ModelTable) -> Result<Model, ConfigError> {
    let sub = |part: &str| format!("{key}.{part}");
    let foreign = |part: &str, kind: &str| {
        setting(sub(part), format!("has no meaning for kind = \"{kind}\"; leave it out"))
    };
    match table.kind.unwrap_or(ModelKind::Transformer) {
        ModelKind::Ngram => {
            let of_transformers = [
                ("layers", table.layers.is_some()),
                ("width", table.width.is_some()),
                ("heads", table.heads.is_some()),
                ("ffn", table.ffn.is_some()),
                ("context", table.context.is_some()),
                ("precision", table.precision.is_some()),
            ];
            if let Some((part, _)) = of_transformers.iter().find(|(_, given)| *given) {
                return Err(foreign(part, "ngram"));
            }
            let order = within(&sub("order"), table.order.unwrap_or(5), 1, 5)?;
            Ok(Model::Ngram(Ngram { order }))
        }
        ModelKind::Transformer if table.order.is_some() => Err(foreign("order", "transformer")),
        ModelKind::Transformer => transformer(&sub, table).map(Model::Transformer),
    }
}

fn transformer(sub: &dyn Fn(&str) -> String, table: &ModelTable) -> Result<Transformer, ConfigError> {
    let width = within(&sub("width"), table.width.unwrap_or(128), 2, LARGEST_SHAPE)?;
    let heads = within(&sub("heads"), table.heads.unwrap_or(4), 1, LARGEST_SHAPE)?;
    if !width.is_multiple_of(2 * heads) {
        let message = format!(
            "{width} does not split into {heads} heads of even width; make it a multiple of {}",
            2 * heads
        );
        return Err(setting(sub("width"), message));
    }
    let context = within(&sub("context"), table.context.unwrap_or(128), 8, LARGEST_SHAPE)?;
    if !context.is_multiple_of(2) {
        return Err(setting(
            sub("context"),
            format!("{context} is odd; long documents are read on by half a context"),
        ));
    }
    Ok(Transformer {
        layers: within(&sub("layers"), table.layers.unwrap_or(2), 1, 1000)?,
        width,
        heads,
        // Llama's 8/3 of the width, rounded up so that a multiple of 32 stays one of 8.
        ffn: within(&sub("ffn"), table.ffn.unwrap_or(width * 11 / 4), 1, LARGEST_SHAPE)?,
        context,
        precision: table.precision.unwrap_or_default(),
    })
}
