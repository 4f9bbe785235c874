//! *External*: a command supplied by the user writes the documents, such as a client of a large instruction-tuned model.
//!
//! The command is started once for each request. For each natural document it reads a line of JSON from standard input,
//! `{"item": 17, "seed": 1234, "text": "…"}`, and writes a line of JSON to standard output, in the same order:
//! `{"text": "…"}`. `item` numbers the documents of a corpus. `seed` is a random number that is the same whenever the
//! experiment is repeated.
//!
//! The command can neither block a run forever nor corrupt its results: it has a time limit, and the run stops with an
//! error if the command fails, if a line is not an answer, if an answer is empty or missing, or if it repeats the
//! `item` of another document. Text in answers that the tokenizer has no tokens for is told.
//!
//! **Pitfall.** The run is reproducible only if the command uses `seed` for all its random choices.

mod process;

use crate::documents::{Documents, TokenId};
use crate::model::ModelError;
use crate::settings::SettingError;
use crate::stage::Stage;
use crate::synthesis::method::{
    Draft, Generator, GeneratorContext, GeneratorResult, MethodContext, MethodProperties, SynthesisMethod,
    TokenChoice,
};
use crate::synthesis::sources::{Rotation, longest_rewriting};
use crate::synthesis::{Sources, SynthesisError};
use crate::tokenizer::{Coverage, Tokenizer};
use process::{Answer, Process, RETRY};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

/// An error of the external command.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// The command cannot be started.
    #[error("synthesis.command: cannot start \"{program}\" (give a program on the PATH, or a path to one)")]
    Start {
        /// First word of the command.
        program: String,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The command exited with a failure.
    #[error("synthesis.command: \"{program}\" failed with {status}{stderr_tail}")]
    Failed {
        /// Program and arguments.
        program: String,
        /// Exit status.
        status: ExitStatus,
        /// `"; stderr: "` and the end of standard error; empty if nothing was written there.
        stderr_tail: String,
    },
    /// The command exceeded its time limit.
    #[error(
        "synthesis.command: \"{program}\" was stopped after {seconds} s, when it had written {lines} of {documents} \
         documents; raise synthesis.timeout_seconds if that is too short{stderr_tail}"
    )]
    TooSlow {
        /// Program and arguments.
        program: String,
        /// Time limit in seconds.
        seconds: f64,
        /// Number of answers received.
        lines: usize,
        /// Number of answers expected.
        documents: usize,
        /// `"; stderr: "` and the end of standard error; empty if nothing was written there.
        stderr_tail: String,
    },
    /// A line of the output is not an answer.
    #[error(
        "synthesis.command: line {line} of the output of \"{program}\" is not an answer {{\"text\": \"…\"}}: {reason}; the line: {excerpt}"
    )]
    Line {
        /// Program and arguments.
        program: String,
        /// Line number within the request, from 1.
        line: usize,
        /// What is wrong with the line.
        reason: String,
        /// First 120 characters of the line.
        excerpt: String,
    },
    /// The command exited before it had answered for every document.
    #[error(
        "synthesis.command: \"{program}\" gave {lines} answers to {documents} documents; write one line for each{stderr_tail}"
    )]
    TooFew {
        /// Program and arguments.
        program: String,
        /// Number of answers received.
        lines: usize,
        /// Number of answers expected.
        documents: usize,
        /// `"; stderr: "` and the end of standard error; empty if nothing was written there.
        stderr_tail: String,
    },
}

/// A line of the command's input.
#[derive(Serialize)]
struct Question<'a> {
    item: u64,
    seed: u64,
    text: &'a str,
}

/// Maximum number of documents per request. This is the largest number of documents lost when the command fails.
const MAX_REQUEST_DOCUMENTS: usize = 1024;

/// Number of answers that become tokens together, between two looks at whether the run is to stop.
const ENCODED_TOGETHER: usize = 16;

/// A command supplied by the user writes the documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Program and arguments, such as `["python3", "rephrase.py"]`.
    #[schemars(extend("x-hint" = "give the program and its arguments, such as [\"python3\", \"rephrase.py\"]"))]
    pub command: Vec<String>,
    /// Time limit in seconds for the documents of one request. Does not affect results.
    #[serde(default = "an_hour")]
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1e9, "x-run-time-only" = true, "x-sensible" = {"minimum": 0.1, "why": "no command answers sooner"}))]
    pub timeout_seconds: f64,
}

const fn an_hour() -> f64 {
    3600.0
}

impl SynthesisMethod for External {
    fn name() -> &'static str {
        "external"
    }

    fn token_choice() -> TokenChoice {
        TokenChoice::Other("the command's own")
    }

    fn check(&self, _: &MethodContext) -> Result<(), SettingError> {
        if self.command.first().is_none_or(String::is_empty) {
            let message =
                "is empty; give the program and its arguments, such as [\"python3\", \"rephrase.py\"]";
            return Err(SettingError::new("command", message));
        }
        Ok(())
    }

    fn check_sources(&self, _: Sources) -> Result<(), SynthesisError> {
        Ok(check_program(&self.command)?)
    }

    fn generator<'a>(&'a self, context: GeneratorContext<'a>) -> GeneratorResult<'a> {
        Ok(Box::new(ExternalGenerator {
            command: &self.command,
            limit: Duration::from_secs_f64(self.timeout_seconds),
            max_document_tokens: context.max_document_tokens,
            tokenizer: context.sources.tokenizer,
            end: context.end(),
            sources: Rotation::new(context.sources.natural, context.candidates, context.key)?,
        }))
    }

    fn properties(&self) -> MethodProperties {
        MethodProperties::REWRITING
    }
}

/// Generates documents by running the command.
struct ExternalGenerator<'a> {
    command: &'a [String],
    limit: Duration,
    max_document_tokens: usize,
    tokenizer: &'a Tokenizer,
    end: TokenId,
    sources: Rotation<'a>,
}

/// Checks that the program exists, without running it.
fn check_program(command: &[String]) -> Result<(), ExternalError> {
    let program = command.first().map_or("", String::as_str);
    let path = std::env::var_os("PATH").unwrap_or_default();
    // As in a shell, a name that contains a folder is not looked up on the PATH.
    let exists = match program.contains('/') {
        true => Path::new(program).is_file(),
        false => std::env::split_paths(&path).any(|folder| folder.join(program).is_file()),
    };
    if exists {
        return Ok(());
    }
    let source = std::io::Error::from(std::io::ErrorKind::NotFound);
    Err(ExternalError::Start { program: program.to_owned(), source })
}

impl ExternalGenerator<'_> {
    /// The command's input for documents `items`, one line each.
    fn questions(&self, items: &[u64], stage: &Stage) -> String {
        let mut lines = String::new();
        for (&item, source) in items.iter().zip(self.sources.of(items)) {
            // 53 bits, which JSON readers that use floating-point numbers represent exactly.
            let seed = stage.stream(item).random::<u64>() >> 11;
            let question = Question { item, seed, text: &self.tokenizer.decode(source) };
            lines +=
                &serde_json::to_string(&question).expect("a number and a text are representable in JSON");
            lines.push('\n');
        }
        lines
    }

    /// A note on text in `answers` that the tokenizer loses or changes, if it is more than 0.1 %.
    fn note_on_loss(&self, answers: &[Answer], coverage: &Coverage, stage: &Stage) {
        if let (Some(first), Some(last)) = (answers.first(), answers.last()) {
            let answers =
                format!("answers {} to {} of \"{}\"", first.item, last.item, self.command.join(" "));
            coverage.notes(&answers).for_each(|note| stage.note(note));
        }
    }

    /// The tokens of the answer to `source`, without an end-of-text token, as a document with one, cut at the maximum
    /// length.
    fn document(
        &self,
        answer: &Answer,
        tokens: &[TokenId],
        source: &[TokenId],
    ) -> Result<Vec<TokenId>, SynthesisError> {
        let mut document = tokens.to_vec();
        if document.is_empty() {
            return Err(ExternalError::Line {
                program: self.command.join(" "),
                line: answer.line,
                reason: format!("the text for item {} has no token; {RETRY}", answer.item),
                excerpt: answer.text.chars().take(120).collect(),
            }
            .into());
        }
        document.push(self.end);
        document.truncate(longest_rewriting(source, self.max_document_tokens));
        Ok(document)
    }
}

impl Generator for ExternalGenerator<'_> {
    fn generate(&self, items: &[u64], stage: &Stage) -> Result<Draft, SynthesisError> {
        let items = &items[..items.len().min(MAX_REQUEST_DOCUMENTS)];
        let process = Process::start(self.command, self.questions(items, stage))?;
        let answers = process.answers(items, self.limit, stage)?;
        let (mut documents, mut coverage) = (Documents::new(), Coverage::default());
        let mut sources = self.sources.of(items);
        for answers in answers.chunks(ENCODED_TOGETHER) {
            if stage.interrupted() {
                return Err(ModelError::Interrupted.into());
            }
            let texts: Vec<String> = answers.iter().map(|answer| answer.text.clone()).collect();
            let encoded = self.tokenizer.encode_documents(&texts)?;
            coverage = coverage.and(self.tokenizer.coverage(&texts, &encoded)?);
            for ((answer, tokens), source) in answers.iter().zip(encoded.iter()).zip(&mut sources) {
                let tokens = tokens.split_last().map_or(tokens, |(_, tokens)| tokens);
                let document = self.document(answer, tokens, source)?;
                stage.advance(document.len() as u64);
                documents.push(&document);
            }
        }
        self.note_on_loss(&answers, &coverage, stage);
        Ok(Draft { documents, kept: None })
    }

    fn source(&self) -> String {
        format!("train split, through {}", self.command.join(" "))
    }
}
