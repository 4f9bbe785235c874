//! `genloss score`: a text under any model folder.

use super::output;
use super::surroundings::{self, MachineArgs};
use crate::documents::{Documents, TokenId};
use crate::model;
use crate::seed::{StreamKey, streams};
use crate::stage::Stage;
use crate::tokenizer::Tokenizer;
use crate::units::{BitsPerByte, NatsPerToken, Tokens};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Options of `genloss score`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model folder: of a generation, or any Llama-shaped Hugging Face folder with its tokenizer.json.
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
    /// A text file in UTF-8, scored as one document.
    file: PathBuf,
    /// Print the natural-log probability of every token too.
    #[arg(long)]
    tokens: bool,
    /// How to show it.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    machine: MachineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// A scored text.
#[derive(Serialize)]
struct Scored {
    tokens: Tokens,
    nats_per_token: NatsPerToken,
    bits_per_byte: BitsPerByte,
    /// What was fed, the start token first.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<Vec<TokenId>>,
    /// Of each token given those before it; none for the start token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_logprobs: Option<Vec<Option<f32>>>,
}

impl Args {
    /// Scores the text.
    pub fn exec(self) -> Result<()> {
        let bytes = std::fs::read(&self.file).with_context(|| self.file.display().to_string())?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            anyhow::anyhow!("{}: not UTF-8 at byte {at}; convert it first", self.file.display())
        })?;
        ensure!(!text.is_empty(), "{}: empty; there is nothing to score", self.file.display());
        let device = self.machine.open()?;
        let tokenizer = Tokenizer::from_file(&self.model.join("tokenizer.json"))?;
        let loaded = model::load(&self.model, &device)?;
        let ids = tokenizer.encode(&text)?;
        let largest = ids.iter().max().copied().unwrap_or(0);
        ensure!(
            (largest as usize) < loaded.vocab_size,
            "{}: its tokenizer gives token {largest}, but its model knows {} tokens; the two do not belong together",
            self.model.display(),
            loaded.vocab_size
        );
        let documents: Documents = std::iter::once(ids.as_slice()).collect();
        let observer = surroundings::observer();
        let never = AtomicBool::new(false);
        let stage = Stage::new(StreamKey::new(0, "", 0, streams::SCORING), observer.as_ref(), &never);
        let scores = loaded.model.score(&documents, &stage)?;
        let nats = -scores.log_probabilities.iter().map(|&x| f64::from(x)).sum::<f64>();
        let token_ids = std::iter::once(loaded.special.start).chain(ids.iter().copied()).collect();
        let token_logprobs =
            std::iter::once(None).chain(scores.log_probabilities.iter().copied().map(Some)).collect();
        let scored = Scored {
            tokens: documents.tokens(),
            nats_per_token: NatsPerToken(nats / documents.tokens().0 as f64),
            bits_per_byte: BitsPerByte::from_sums(nats, text.len() as u64),
            token_ids: self.tokens.then_some(token_ids),
            token_logprobs: self.tokens.then_some(token_logprobs),
        };
        match self.format {
            Format::Json => output::json(&scored),
            Format::Table => output::emit(&scored.to_table(&tokenizer)),
        }
    }
}

impl Scored {
    fn to_table(&self, tokenizer: &Tokenizer) -> String {
        let summary = vec![
            self.tokens.to_string(),
            format!("{:.6}", self.nats_per_token.0),
            format!("{:.6}", self.bits_per_byte.0),
        ];
        let mut text = output::table(&["tokens", "nats per token", "bits per byte"], &[summary]);
        if let (Some(ids), Some(logprobs)) = (&self.token_ids, &self.token_logprobs) {
            let rows: Vec<Vec<String>> = ids
                .iter()
                .zip(logprobs)
                .map(|(&id, logprob)| {
                    let shown = logprob.map_or("start".to_owned(), |value| format!("{value:.6}"));
                    vec![id.to_string(), format!("{:?}", tokenizer.decode(&[id])), shown]
                })
                .collect();
            text.push_str(&output::table(&["token", "text", "log probability, nats"], &rows));
        }
        text
    }
}
