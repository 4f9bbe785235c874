//! `genloss score`: the log-probability of a text under a model.

use super::machine::{self, MachineArgs};
use super::output;
use crate::corpus;
use crate::documents::{Documents, TokenId};
use crate::input_files;
use crate::model::{self, Loaded, group};
use crate::seed::{StreamKey, streams};
use crate::stage::Stage;
use crate::tokenizer::{Coverage, Tokenizer};
use crate::units::{BitsPerByte, NatsPerToken, Tokens};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Options of `genloss score`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model folder: that of a generation, or a model from Hugging Face with its tokenizer.json.
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

/// Size of the largest text that is scored as one document.
const MOST_BYTES: u64 = 1 << 30;

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
    /// The token before the text, which is not scored.
    start_token: TokenId,
    /// Where in the model folder the start token was found.
    start_token_source: String,
    /// The token that would end the text. It is not scored.
    end_token: TokenId,
    /// Where in the model folder the end token was found.
    end_token_source: String,
    /// Share of the tokens that are the unknown token.
    unknown_share: f64,
    /// Share of the bytes of the text that no known token represents.
    lost_share: f64,
    /// Share of the characters that come back otherwise after encoding and decoding.
    changed_share: f64,
    /// The start token, then the tokens of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<Vec<TokenId>>,
    /// Natural logarithm of the probability of each token, given the tokens before it; None for the start token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_logprobs: Option<Vec<Option<f32>>>,
}

impl Args {
    /// Scores the text and prints the result.
    pub fn exec(self) -> Result<()> {
        let text = self.text()?;
        let device = self.machine.open()?;
        let loaded = model::load(&self.model, &device)?;
        loaded.notes.iter().for_each(|note| output::say(&format!("note: {note}")));
        // The writers of a group share their tokenizer.
        let folder = group::model_folders(&self.model).swap_remove(0);
        let tokenizer =
            Tokenizer::of_model(&folder.join("tokenizer.json"), loaded.special, loaded.sources.clone())?;
        let ids = tokenizer.encode(&text)?;
        let coverage = self.coverage(&text, &ids, &tokenizer)?;
        self.check_vocabulary(&ids, loaded.vocab_size)?;
        let scored = self.score(&text, &ids, &coverage, &loaded)?;
        match self.format {
            ScoreFormat::Json => output::json(&scored),
            ScoreFormat::Table => output::emit(&scored.to_table(&tokenizer)),
        }
    }

    /// The text, read as the text of a corpus is: see [`corpus::plain_text`].
    fn text(&self) -> Result<String> {
        let name = self.file.display();
        let bytes = input_files::read(&self.file, MOST_BYTES).with_context(|| name.to_string())?;
        let text = corpus::plain_text(&self.file, &bytes)?;
        ensure!(!text.is_empty(), "{name}: empty; there is nothing to score");
        Ok(text)
    }

    /// How much of the text the tokenizer represents. Prints a note if that is not all of the text, and returns an
    /// error if it is too little.
    fn coverage(&self, text: &str, ids: &[TokenId], tokenizer: &Tokenizer) -> Result<Coverage> {
        let name = self.file.display().to_string();
        let coverage = tokenizer.coverage_of(text, ids)?;
        ensure!(
            !ids.is_empty(),
            "{name}: the tokenizer of {} gives no token for this text",
            self.model.display()
        );
        ensure!(
            !coverage.is_refused(),
            "{name}: {coverage}, so that its score would be that of another text; score text that the model's tokenizer covers"
        );
        coverage.notes(&name).for_each(|note| output::say(&format!("note: {note}")));
        Ok(coverage)
    }

    fn score(&self, text: &str, ids: &[TokenId], coverage: &Coverage, loaded: &Loaded) -> Result<Scored> {
        let documents: Documents = std::iter::once(ids).collect();
        let observer = machine::observer();
        let interrupt = AtomicBool::new(false);
        let stage = Stage::new(StreamKey::new(0, "", 0, streams::SCORING), observer.as_ref(), &interrupt);
        let scores =
            loaded.model.score(&documents, &stage).with_context(|| self.model.display().to_string())?;
        let nats = -scores.log_probabilities.iter().map(|&x| f64::from(x)).sum::<f64>();
        let token_ids = || std::iter::once(loaded.special.start).chain(ids.iter().copied()).collect();
        let token_logprobs =
            || std::iter::once(None).chain(scores.log_probabilities.iter().copied().map(Some)).collect();
        Ok(Scored {
            tokens: documents.tokens(),
            nats_per_token: NatsPerToken(nats / documents.tokens().0 as f64),
            bits_per_byte: BitsPerByte::from_sums(nats, text.len() as u64),
            start_token: loaded.special.start,
            start_token_source: loaded.sources.start.to_string(),
            end_token: loaded.special.end,
            end_token_source: loaded.sources.end.to_string(),
            unknown_share: coverage.unknown_share(),
            lost_share: coverage.lost_share(),
            changed_share: coverage.round_trip.changed_share(),
            token_ids: self.tokens.then(token_ids),
            token_logprobs: self.tokens.then(token_logprobs),
        })
    }

    fn check_vocabulary(&self, ids: &[TokenId], vocab_size: usize) -> Result<()> {
        let largest = ids.iter().max().copied().unwrap_or(0);
        ensure!(
            (largest as usize) < vocab_size,
            "{}: its tokenizer yields token id {largest}, but the vocabulary of its model has {vocab_size} tokens; \
             the tokenizer and the model do not belong together",
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
        for (kind, record) in ["start", "end"].iter().zip(tokenizer.special_records()) {
            text.push_str(&format!("{kind} token: {record}\n"));
        }
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
