//! Checks where natural text comes from, and how it becomes tokens.

use super::values::{LARGEST_SHAPE, number, open_share, positive, tokens, within};
use crate::config::error::{ConfigError, setting};
use crate::config::file::{CorpusTable, SourceValue, TokenizerTable, WorldTable};
use crate::config::settings::{Corpus, Files, Source, Split, Tokenizer, World};

pub(super) fn corpus(table: CorpusTable) -> Result<Corpus, ConfigError> {
    let of_documents = |key: &str, value: f64| {
        number(key, value, |x| (0.001..1.0).contains(&x), "at least 0.001 and below 1")
    };
    let heldout_share = of_documents("corpus.heldout_share", table.heldout_share.unwrap_or(0.1))?;
    let reference_share = of_documents("corpus.reference_share", table.reference_share.unwrap_or(0.3))?;
    if heldout_share + reference_share >= 1.0 {
        let message = "with corpus.heldout_share it leaves nothing to train on; their sum must be below 1";
        return Err(setting("corpus.reference_share", message));
    }
    let source = match table.source {
        SourceValue::World => {
            let file_keys = [("split", table.split.is_some()), ("text_field", table.text_field.is_some())];
            if let Some((key, _)) = file_keys.iter().find(|(_, given)| *given) {
                return Err(setting(
                    format!("corpus.{key}"),
                    "belongs to text files, and the source is \"world\"; leave it out",
                ));
            }
            Source::World(world(&table.world.unwrap_or_default())?)
        }
        SourceValue::Paths(paths) => {
            if table.world.is_some() {
                return Err(setting(
                    "corpus.world",
                    "belongs to source = \"world\", and the source is files; leave it out",
                ));
            }
            if paths.is_empty() {
                return Err(setting("corpus.source", "the list is empty; give paths or globs, or \"world\""));
            }
            let text_field = table.text_field.unwrap_or_else(|| "text".to_owned());
            Source::Files(Files { paths, split: table.split.unwrap_or(Split::Paragraph), text_field })
        }
    };
    Ok(Corpus {
        source,
        train_tokens: tokens("corpus.train_tokens", table.train_tokens)?,
        heldout_tokens: tokens("corpus.heldout_tokens", table.heldout_tokens)?,
        reference_tokens: tokens("corpus.reference_tokens", table.reference_tokens)?,
        heldout_share,
        reference_share,
    })
}

fn world(table: &WorldTable) -> Result<World, ConfigError> {
    Ok(World {
        seed: table.seed.unwrap_or(1),
        nouns: within("corpus.world.nouns", table.nouns.unwrap_or(600), 10, 20_000)?,
        entities: within("corpus.world.entities", table.entities.unwrap_or(150), 10, 20_000)?,
        relations: within("corpus.world.relations", table.relations.unwrap_or(4), 1, 20)?,
        zipf_exponent: positive("corpus.world.zipf_exponent", table.zipf_exponent.unwrap_or(1.0))?,
        fact_share: open_share("corpus.world.fact_share", table.fact_share.unwrap_or(0.4))?,
    })
}

pub(super) fn tokenizer(table: &TokenizerTable) -> Result<Tokenizer, ConfigError> {
    const BYTES_AND_END: usize = 257;
    match (table.vocab_size, &table.path) {
        (Some(_), Some(_)) => Err(setting("tokenizer", "gives both vocab_size and path; keep one")),
        (None, Some(path)) => Ok(Tokenizer::File { path: path.clone() }),
        (size, None) => {
            let vocab_size = size.unwrap_or(2048);
            if vocab_size < BYTES_AND_END {
                let message = format!(
                    "{vocab_size} is smaller than the bytes; byte-level BPE needs at least {BYTES_AND_END} (256 bytes and the end-of-text token)"
                );
                return Err(setting("tokenizer.vocab_size", message));
            }
            within("tokenizer.vocab_size", vocab_size, BYTES_AND_END, LARGEST_SHAPE)?;
            Ok(Tokenizer::Learn { vocab_size })
        }
    }
}
