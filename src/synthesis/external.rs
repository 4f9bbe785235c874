//! *External*: a command of the user's writes the documents, such as a client of a large instruction-tuned model.
//!
//! For each request the command is started once. On its standard input it gets a line of JSON per natural document,
//! `{"item": 17, "seed": 1234, "text": "…"}`, and on its standard output it answers with a line of JSON each, in the same
//! order: `{"text": "…"}`. `item` numbers the documents of a corpus, and `seed` is a random number that is the same
//! whenever the experiment is run again; a command that heeds it makes the run reproducible.
//!
//! Nothing that it does can hang or spoil a run: there is a time limit, and a failure, a line that is no answer, or a
//! missing one is an error that names the line.

use super::sources::Rotation;
use super::{Draft, Sources, SynthesisError, Writer};
use crate::config::Synthesis;
use crate::documents::{Documents, TokenId};
use crate::model::ModelError;
use crate::seed::Place;
use crate::stage::Stage;
use crate::tokenizer::Tokenizer;
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What can go wrong with a command of the user's.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// It could not be started.
    #[error(
        "synthesis.command: cannot start \"{program}\": {source}; give a program on the PATH, or a path to one"
    )]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It failed.
    #[error("synthesis.command: \"{program}\" ended with {status}{said}")]
    Failed {
        /// The program.
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
        /// The program.
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
        /// The program.
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
        "synthesis.command: \"{program}\" ended after line {lines} of its output, and {documents} documents were asked \
         for: a line each{said}"
    )]
    TooFew {
        /// The program.
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

/// A line of its output.
#[derive(Deserialize)]
struct Answer {
    text: String,
}

/// Documents of one request, at most: what a failure throws away.
const MOST_DOCUMENTS: u64 = 1024;

/// Bytes of a line, at most.
const LONGEST_LINE: u64 = 1 << 26;

/// What a command that has answered may still take to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often the clock and the user are heeded.
const HEARTBEAT: Duration = Duration::from_millis(50);

/// A command that writes documents.
pub(super) struct External<'a> {
    command: &'a [String],
    limit: Duration,
    max_document_tokens: usize,
    tokenizer: &'a Tokenizer,
    end: TokenId,
    sources: Rotation<'a>,
}

/// Checks that there is such a program, without running it.
pub(super) fn check(command: &[String]) -> Result<(), ExternalError> {
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

impl<'a> External<'a> {
    pub(super) fn new(
        command: &'a [String],
        timeout_seconds: f64,
        synthesis: &Synthesis,
        sources: Sources<'a>,
        place: Place,
    ) -> Result<Self, SynthesisError> {
        Ok(Self {
            command,
            limit: Duration::from_secs_f64(timeout_seconds),
            max_document_tokens: synthesis.max_document_tokens,
            tokenizer: sources.tokenizer,
            end: sources.tokenizer.special().end,
            sources: Rotation::new(sources.natural, synthesis.selection.candidates(), place)?,
        })
    }

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

impl Writer for External<'_> {
    fn write(&self, items: Range<u64>, stage: &Stage) -> Result<Draft, SynthesisError> {
        let items = items.start..items.end.min(items.start + MOST_DOCUMENTS);
        let wanted = (items.end - items.start) as usize;
        let process = Process::start(self.command, self.questions(items, stage))?;
        let answers = process.answers(wanted, self.limit, stage)?;
        let mut documents = Documents::new();
        for answer in &answers {
            documents.push(&self.document(answer)?);
        }
        stage.advance(documents.tokens().0);
        Ok(Draft { documents, kept: None })
    }

    fn method(&self) -> &'static str {
        "external"
    }

    fn source(&self) -> String {
        format!("train split, through {}", self.command.join(" "))
    }
}

/// A command that runs, fed and read by threads of its own.
struct Process {
    program: String,
    child: Child,
    lines: Receiver<std::io::Result<Vec<u8>>>,
    errors: JoinHandle<String>,
}

impl Process {
    fn start(command: &[String], input: String) -> Result<Self, ExternalError> {
        let program = command.first().cloned().unwrap_or_default();
        let mut prepared = Command::new(&program);
        prepared.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that what the command starts can be stopped with it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut prepared, 0);
        let mut child =
            prepared.spawn().map_err(|source| ExternalError::Start { program: program.clone(), source })?;
        let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        std::thread::spawn(move || {
            // A command that does not read its input to the end has its reasons: what it answers is what counts.
            stdin.as_mut().map(|stdin| stdin.write_all(input.as_bytes()))
        });
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let Some(stdout) = stdout else { return };
            let mut reader = BufReader::new(stdout);
            loop {
                let mut line = Vec::new();
                let sent = match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                    Ok(0) => return,
                    Ok(_) => sender.send(Ok(line)),
                    Err(error) => sender.send(Err(error)),
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        let errors = std::thread::spawn(move || stderr.map_or_else(String::new, last_words));
        Ok(Self { program, child, lines, errors })
    }

    /// The text of as many answers as were asked for, once the command has ended well.
    fn answers(
        mut self,
        wanted: usize,
        limit: Duration,
        stage: &Stage,
    ) -> Result<Vec<String>, SynthesisError> {
        let mut deadline = Instant::now() + limit;
        let mut answers = Vec::with_capacity(wanted);
        loop {
            if stage.interrupted() {
                self.stop();
                return Err(ModelError::Interrupted.into());
            }
            if Instant::now() >= deadline && answers.len() == wanted {
                break;
            }
            if Instant::now() >= deadline {
                self.stop();
                let (lines, seconds) = (answers.len(), limit.as_secs_f64());
                let Self { program, .. } = &self;
                let program = program.clone();
                return Err(ExternalError::TooSlow {
                    program,
                    seconds,
                    lines,
                    documents: wanted,
                    said: self.said(),
                }
                .into());
            }
            match self.lines.recv_timeout(HEARTBEAT) {
                Ok(line) => match self.answer(line, answers.len() + 1, wanted) {
                    Ok(answer) => {
                        answers.extend(answer);
                        if answers.len() == wanted {
                            deadline = deadline.min(Instant::now() + FAREWELL);
                        }
                    }
                    Err(error) => {
                        self.stop();
                        return Err(error.into());
                    }
                },
                // What it has started may hold its output open after it.
                Err(RecvTimeoutError::Timeout) if answers.len() == wanted && self.has_ended() => break,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.ended(&answers, wanted)?;
        Ok(answers)
    }

    /// What a line of the output says; nothing if it is blank.
    fn answer(
        &self,
        line: std::io::Result<Vec<u8>>,
        number: usize,
        wanted: usize,
    ) -> Result<Option<String>, ExternalError> {
        let wrong = |reason: String, line: &[u8]| ExternalError::Line {
            program: self.program.clone(),
            line: number,
            reason,
            excerpt: String::from_utf8_lossy(line).trim_end().chars().take(120).collect(),
        };
        let line = line.map_err(|error| wrong(error.to_string(), &[]))?;
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        if number > wanted {
            return Err(wrong(format!("{wanted} documents were asked for"), &line));
        }
        let answer: Answer =
            serde_json::from_slice(&line).map_err(|error| wrong(error.to_string(), &line))?;
        Ok(Some(answer.text))
    }

    /// Whether the command has ended. It is not reaped, so that nothing else can have its number yet.
    fn has_ended(&mut self) -> bool {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            let pid = Pid::from_raw(self.child.id() as i32);
            pid.is_none_or(|pid| !matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
        }
        #[cfg(not(unix))]
        {
            !matches!(self.child.try_wait(), Ok(None))
        }
    }

    /// Waits a little for a command that has closed its output, stops what it has left behind, and checks how it ended.
    fn ended(mut self, answers: &[String], wanted: usize) -> Result<(), ExternalError> {
        let deadline = Instant::now() + FAREWELL;
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(HEARTBEAT / 10);
        }
        // One that has answered and does not go: what counts is whether the answers are whole.
        let has_ended = self.has_ended();
        self.stop();
        let status = self.child.wait().ok().filter(|_| has_ended).unwrap_or_default();
        let (program, lines) = (self.program.clone(), answers.len());
        if !status.success() {
            return Err(ExternalError::Failed { program, status, said: self.said() });
        }
        if lines < wanted {
            return Err(ExternalError::TooFew { program, lines, documents: wanted, said: self.said() });
        }
        Ok(())
    }

    /// Ends the command and what it has started.
    fn stop(&mut self) {
        #[cfg(unix)]
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The end of what the command wrote to standard error, to stand behind a message.
    fn said(self) -> String {
        let patience = Instant::now() + HEARTBEAT * 10;
        while !self.errors.is_finished() && Instant::now() < patience {
            std::thread::sleep(HEARTBEAT / 10);
        }
        let said =
            if self.errors.is_finished() { self.errors.join().unwrap_or_default() } else { String::new() };
        if said.is_empty() { said } else { format!("; it said: {said}") }
    }
}

/// Reads all of a stream and gives the end of it, as text.
fn last_words(mut stream: impl Read) -> String {
    const KEPT: usize = 2000;
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..read]);
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
    let start = kept.len().saturating_sub(KEPT);
    String::from_utf8_lossy(&kept[start..]).trim().to_owned()
}
