//! `genloss score`: the log-probability of a text under a model.

use super::machine::{self, MachineArgs};
use super::output;
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
    /// A model folder: that of a generation, or a Llama model from Hugging Face with its tokenizer.json.
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
    /// A text file in UTF-8, scored as one document.
    file: PathBuf,
    /// Print the log-probability of every token too, in nats.
    #[arg(long)]
    tokens: bool,
    /// Output format.
    #[arg(long, value_enum, default_value = "table")]
    format: ScoreFormat,
    #[command(flatten)]
    machine: MachineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScoreFormat {
    /// Aligned columns for reading.
    Table,
    /// A JSON object.
    Json,
}

#[derive(Serialize)]
struct Scored {
    tokens: Tokens,
    nats_per_token: NatsPerToken,
    bits_per_byte: BitsPerByte,
    /// The start token, then the tokens of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<Vec<TokenId>>,
    /// In nats, each given the tokens before it; None for the start token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_logprobs: Option<Vec<Option<f32>>>,
}

impl Args {
    /// Scores the text and prints the result.
    pub fn exec(self) -> Result<()> {
        let text = self.text()?;
        let device = self.machine.open()?;
        let tokenizer = Tokenizer::from_file(&self.model.join("tokenizer.json"))?;
        let loaded = model::load(&self.model, &device)?;
        let ids = tokenizer.encode(&text)?;
        self.check_vocabulary(&ids, loaded.vocab_size)?;
        let documents: Documents = std::iter::once(ids.as_slice()).collect();
        let observer = machine::observer();
        let never = AtomicBool::new(false);
        let stage = Stage::new(StreamKey::new(0, "", 0, streams::SCORING), observer.as_ref(), &never);
        let scores = loaded.model.score(&documents, &stage)?;
        let nats = -scores.log_probabilities.iter().map(|&x| f64::from(x)).sum::<f64>();
        let token_ids = || std::iter::once(loaded.special.start).chain(ids.iter().copied()).collect();
        let token_logprobs =
            || std::iter::once(None).chain(scores.log_probabilities.iter().copied().map(Some)).collect();
        let scored = Scored {
            tokens: documents.tokens(),
            nats_per_token: NatsPerToken(nats / documents.tokens().0 as f64),
            bits_per_byte: BitsPerByte::from_sums(nats, text.len() as u64),
            token_ids: self.tokens.then(token_ids),
            token_logprobs: self.tokens.then(token_logprobs),
        };
        match self.format {
            ScoreFormat::Json => output::json(&scored),
            ScoreFormat::Table => output::emit(&scored.to_table(&tokenizer)),
        }
    }

    fn text(&self) -> Result<String> {
        let name = self.file.display();
        let bytes = std::fs::read(&self.file).with_context(|| name.to_string())?;
        let text =
            String::from_utf8(bytes).with_context(|| format!("{name}: not UTF-8; convert it first"))?;
        ensure!(!text.is_empty(), "{name}: empty; there is nothing to score");
        Ok(text)
    }

    fn check_vocabulary(&self, ids: &[TokenId], vocab_size: usize) -> Result<()> {
        let largest = ids.iter().max().copied().unwrap_or(0);
        ensure!(
            (largest as usize) < vocab_size,
            "{}: its tokenizer yields token id {largest}, but the vocabulary of its model has {vocab_size} tokens; \
             they do not belong together",
            self.model.display(),
        );
        Ok(())
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
