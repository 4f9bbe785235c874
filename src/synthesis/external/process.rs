//! A command at work on one request: fed, read, watched, and stopped with all that it has started.

use super::{ExternalError, SynthesisError};
use crate::model::ModelError;
use crate::stage::Stage;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes of a line, at most.
const LONGEST_LINE: u64 = 1 << 26;

/// What a command that has answered may still take to end, and what it has started to answer after it.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often the clock and the user are heeded.
const HEARTBEAT: Duration = Duration::from_millis(50);

/// A command that runs, fed and read by threads of its own.
pub(super) struct Process {
    program: String,
    child: Child,
    /// With their numbers, from 1; blank ones are left out.
    lines: Receiver<std::io::Result<(usize, Vec<u8>)>>,
    errors: JoinHandle<String>,
}

impl Process {
    pub(super) fn start(command: &[String], input: String) -> Result<Self, ExternalError> {
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
            for number in 1.. {
                let mut line = Vec::new();
                let sent = match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                    Ok(0) => return,
                    Ok(_) if line.iter().all(u8::is_ascii_whitespace) => Ok(()),
                    Ok(_) => sender.send(Ok((number, line))),
                    Err(error) => sender.send(Err(error)),
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        let errors = std::thread::spawn(move || stderr.map_or_else(String::new, last_words));
        Ok(Self { program: command.join(" "), child, lines, errors })
    }

    /// The text of as many answers as were asked for, once the command has ended well.
    pub(super) fn answers(
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
            if Instant::now() >= deadline {
                if answers.len() == wanted || self.has_ended() {
                    break;
                }
                self.stop();
                return Err(ExternalError::TooSlow {
                    program: self.program.clone(),
                    seconds: limit.as_secs_f64(),
                    lines: answers.len(),
                    documents: wanted,
                    said: self.said(),
                }
                .into());
            }
            match self.lines.recv_timeout(HEARTBEAT) {
                Ok(line) => match self.answer(line, answers.len(), wanted) {
                    Ok(answer) => {
                        answers.push(answer);
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
                Err(RecvTimeoutError::Timeout) if self.has_ended() => {
                    deadline = deadline.min(Instant::now() + FAREWELL);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.ended(&answers, wanted, deadline.min(Instant::now() + FAREWELL), stage)?;
        Ok(answers)
    }

    /// What a line of the output says.
    fn answer(
        &self,
        line: std::io::Result<(usize, Vec<u8>)>,
        answered: usize,
        wanted: usize,
    ) -> Result<String, ExternalError> {
        let wrong = |reason: String, number: usize, line: &[u8]| ExternalError::Line {
            program: self.program.clone(),
            line: number,
            reason,
            excerpt: String::from_utf8_lossy(line).trim_end().chars().take(120).collect(),
        };
        let (number, line) = line.map_err(|error| wrong(error.to_string(), answered + 1, &[]))?;
        if answered == wanted {
            return Err(wrong(format!("{wanted} documents were asked for"), number, &line));
        }
        let answer: Value =
            serde_json::from_slice(&line).map_err(|error| wrong(error.to_string(), number, &line))?;
        let text = answer.get("text").and_then(Value::as_str);
        text.map(str::to_owned)
            .ok_or_else(|| wrong("it has no \"text\" that is a string".to_owned(), number, &line))
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

    /// Waits until `deadline` for a command that has closed its output or answered all, stops what it has left behind, and
    /// checks how it ended.
    fn ended(
        mut self,
        answers: &[String],
        wanted: usize,
        deadline: Instant,
        stage: &Stage,
    ) -> Result<(), SynthesisError> {
        while !self.has_ended() && Instant::now() < deadline {
            if stage.interrupted() {
                self.stop();
                return Err(ModelError::Interrupted.into());
            }
            std::thread::sleep(HEARTBEAT / 10);
        }
        // One that has answered and does not go: what counts is whether the answers are whole.
        let has_ended = self.has_ended();
        self.stop();
        let status = self.child.wait().ok().filter(|_| has_ended).unwrap_or_default();
        let (program, lines) = (self.program.clone(), answers.len());
        if !status.success() {
            return Err(ExternalError::Failed { program, status, said: self.said() }.into());
        }
        if lines < wanted {
            return Err(ExternalError::TooFew { program, lines, documents: wanted, said: self.said() }.into());
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
