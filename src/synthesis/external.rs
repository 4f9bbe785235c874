//! *External*: a command of the user's writes the documents, such as a client of a large instruction-tuned model.
//!
//! For each request the command is started once. On its standard input it gets a line of JSON per natural document,
//! `{"item": 17, "seed": 1234, "text": "…"}`, and on its standard output it answers with a line of JSON each, in the same
//! order: `{"text": "…"}`. `item` numbers the documents of a corpus, and `seed` is a random number that is the same
//! whenever the experiment is run again; a command that heeds it makes the run reproducible.
//!
//! Nothing that it does can hang or spoil a run: there is a time limit, and a failure, a line that is no answer, or a
//! missing one is an error that names the line.

mod process;

use super::SynthesisError;
use super::method::{
    Draft, DrawnTokens, Generator, GeneratorContext, GeneratorResult, MethodContext, SynthesisMethod,
};
use super::sources::Rotation;
use crate::documents::{Documents, TokenId};
use crate::model::ModelError;
use crate::settings::SettingError;
use crate::stage::Stage;
use crate::tokenizer::Tokenizer;
use process::Process;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

/// What can go wrong with a command of the user's.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// It could not be started.
    #[error("synthesis.command: cannot start \"{program}\" (give a program on the PATH, or a path to one)")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It failed.
    #[error("synthesis.command: \"{program}\" ended with {status}{said}")]
    Failed {
        /// The command.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to standard error.
        said: String,
    },
    /// It took too long.
    #[error(
        "synthesis.command: \"{program}\" was stopped after {seconds} s, with {lines} of {documents} documents written; \
         raise synthesis.timeout_seconds if that is too short{said}"
    )]
    TooSlow {
        /// The command.
        program: String,
        /// The limit.
        seconds: f64,
        /// Answers that came.
        lines: usize,
        /// Answers that were due.
        documents: usize,
        /// The end of what it wrote to standard error.
        said: String,
    },
    /// A line of its output is no answer.
    #[error(
        "synthesis.command: line {line} of the output of \"{program}\" is not {{\"text\": \"…\"}}: {reason}: {excerpt}"
    )]
    Line {
        /// The command.
        program: String,
        /// From 1, within the request.
        line: usize,
        /// What is wrong with it.
        reason: String,
        /// Its beginning.
        excerpt: String,
    },
    /// It answered too few documents.
    #[error(
        "synthesis.command: \"{program}\" gave {lines} answers, and {documents} documents were asked for: a line each{said}"
    )]
    TooFew {
        /// The command.
        program: String,
        /// Answers that came.
        lines: usize,
        /// Answers that were due.
        documents: usize,
        /// The end of what it wrote to standard error.
        said: String,
    },
}

/// A line of the command's input.
#[derive(Serialize)]
struct Question<'a> {
    item: u64,
    seed: u64,
    text: &'a str,
}

/// Documents of one request, at most: what a failure throws away.
const MOST_DOCUMENTS: u64 = 1024;

/// A command of the user's writes the documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Program and arguments, such as `["python3", "rephrase.py"]`.
    #[schemars(extend("x-hint" = "give the program and its arguments, such as [\"python3\", \"rephrase.py\"]"))]
    pub command: Vec<String>,
    /// Time limit in seconds for the documents of one request. No result depends on it.
    #[serde(default = "an_hour")]
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1e9, "x-run-time-only" = true))]
    pub timeout_seconds: f64,
}

const fn an_hour() -> f64 {
    3600.0
}

impl SynthesisMethod for External {
    fn name() -> &'static str {
        "external"
    }

    fn check(&self, _: &MethodContext) -> Result<(), SettingError> {
        if self.command.first().is_none_or(String::is_empty) {
            let message =
                "is empty; give the program and its arguments, such as [\"python3\", \"rephrase.py\"]";
            return Err(SettingError::new("command", message));
        }
        Ok(())
    }

    fn check_sources(&self, _: &Documents) -> Result<(), SynthesisError> {
        Ok(check_program(&self.command)?)
    }

    fn generator<'a>(&'a self, context: GeneratorContext<'a>) -> GeneratorResult<'a> {
        Ok(Box::new(ExternalGenerator {
            command: &self.command,
            limit: Duration::from_secs_f64(self.timeout_seconds),
            max_document_tokens: context.synthesis.max_document_tokens,
            tokenizer: context.sources.tokenizer,
            end: context.end(),
            sources: Rotation::new(context.sources.natural, context.candidates(), context.key)?,
        }))
    }

    fn drawn_tokens(&self) -> DrawnTokens {
        DrawnTokens::None
    }

    fn rewrites_documents(&self) -> bool {
        true
    }
}

/// A command that writes documents.
struct ExternalGenerator<'a> {
    command: &'a [String],
    limit: Duration,
    max_document_tokens: usize,
    tokenizer: &'a Tokenizer,
    end: TokenId,
    sources: Rotation<'a>,
}

/// Checks that there is such a program, without running it.
fn check_program(command: &[String]) -> Result<(), ExternalError> {
    let program = command.first().map_or("", String::as_str);
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A name with a folder in it is not looked for on the PATH.
    let is_there = match program.contains('/') {
        true => Path::new(program).is_file(),
        false => std::env::split_paths(&path).any(|folder| folder.join(program).is_file()),
    };
    if is_there {
        return Ok(());
    }
    let source = std::io::Error::from(std::io::ErrorKind::NotFound);
    Err(ExternalError::Start { program: program.to_owned(), source })
}

impl ExternalGenerator<'_> {
    /// The lines that ask for documents `items`.
    fn questions(&self, items: Range<u64>, stage: &Stage) -> String {
        let mut lines = String::new();
        for (item, source) in items.clone().zip(self.sources.of(items)) {
            // 53 bits, which every reader of JSON has.
            let seed = stage.stream(item).random::<u64>() >> 11;
            let question = Question { item, seed, text: &self.tokenizer.decode(source) };
            lines +=
                &serde_json::to_string(&question).expect("a number and a text are representable in JSON");
            lines.push('\n');
        }
        lines
    }

    /// The tokens of an answer, ended, and cut where documents are.
    fn document(&self, answer: &str) -> Result<Vec<TokenId>, SynthesisError> {
        let mut document = self.tokenizer.encode(answer)?;
        document.push(self.end);
        document.truncate(self.max_document_tokens);
        Ok(document)
    }
}

impl Generator for ExternalGenerator<'_> {
    fn generate(&self, items: Range<u64>, stage: &Stage) -> Result<Draft, SynthesisError> {
        let items = items.start..items.end.min(items.start + MOST_DOCUMENTS);
        let wanted = (items.end - items.start) as usize;
        let process = Process::start(self.command, self.questions(items, stage))?;
        let answers = process.answers(wanted, self.limit, stage)?;
        let mut documents = Documents::new();
        for answer in &answers {
            if stage.interrupted() {
                return Err(ModelError::Interrupted.into());
            }
            documents.push(&self.document(answer)?);
        }
        stage.advance(documents.tokens().0);
        Ok(Draft { documents, kept: None })
    }

    fn source(&self) -> String {
        format!("train split, through {}", self.command.join(" "))
    }
}
