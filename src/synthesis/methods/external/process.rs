//! Runs the external command on one request, and stops it together with every process that it started.
//!
//! The command and all that it starts are in one process group. The leader of the group is a shell that only waits
//! until its standard input is closed, and then kills the group. The operating system closes the input however this
//! process ends. The leader is reaped only after the group has been killed, because the operating system cannot reuse
//! the number of the group before that. (PR_SET_PDEATHSIG would have to be set in the command's process before its
//! program starts, which is unsafe; the crate process-wrap reaps a finished command first, and then no longer signals
//! the processes that the command left running.)

use super::{ExternalError, SynthesisError};
use crate::model::ModelError;
use crate::stage::Stage;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const MAX_LINE_BYTES: u64 = 1 << 26;

/// Time for a command to exit after its last answer, and for its child processes to answer after it has exited.
const EXIT_GRACE_PERIOD: Duration = Duration::from_secs(2);

/// Interval at which the time limit and interruption by the user are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A line of output with its number, from 1.
type NumberedLine = (usize, Vec<u8>);

/// Advice for a command that has no text for a document.
pub(super) const RETRY: &str = "ask again, or answer with the document itself";

/// The text that a command wrote for a document.
pub(super) struct Answer {
    /// Number of its line within the request, from 1.
    pub(super) line: usize,
    /// Number of the document.
    pub(super) item: u64,
    pub(super) text: String,
}

/// A running command. Threads feed its input and drain its output and standard error.
pub(super) struct Process {
    command: String,
    child: Child,
    #[cfg(unix)]
    group: ProcessGroup,
    /// Lines of output that are not blank.
    lines: Receiver<std::io::Result<NumberedLine>>,
    stderr_tail: JoinHandle<String>,
}

impl Process {
    pub(super) fn start(command: &[String], input: String) -> Result<Self, ExternalError> {
        let program = command.first().cloned().unwrap_or_default();
        let mut prepared = Command::new(&program);
        prepared.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |source| ExternalError::Start { program, source };
        #[cfg(unix)]
        let group = match ProcessGroup::start() {
            Ok(group) => group,
            Err(source) => return Err(failed(source)),
        };
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut prepared, group.id());
        let mut child = prepared.spawn().map_err(failed)?;
        let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        std::thread::spawn(move || {
            // Write errors are ignored, because a command may exit without reading all of its input.
            stdin.as_mut().map(|stdin| stdin.write_all(input.as_bytes()))
        });
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.map(|stdout| send_lines(stdout, &sender)));
        let stderr_tail = std::thread::spawn(move || stderr.map_or_else(String::new, tail));
        Ok(Self {
            command: command.join(" "),
            child,
            #[cfg(unix)]
            group,
            lines,
            stderr_tail,
        })
    }

    /// Reads an answer to each of `items`, waits for the command to exit, stops every process that it left running, and
    /// returns the answers.
    ///
    /// # Errors
    /// Returns an error if the command fails, exceeds `limit`, or gives too few, too many or malformed answers; or if the
    /// user interrupts the stage.
    pub(super) fn answers(
        mut self,
        items: &[u64],
        limit: Duration,
        stage: &Stage,
    ) -> Result<Vec<Answer>, SynthesisError> {
        let wanted = items.len();
        let mut deadline = Instant::now() + limit;
        let mut answers = Vec::with_capacity(wanted);
        loop {
            self.check_interrupt(stage)?;
            if Instant::now() >= deadline {
                if answers.len() == wanted || self.has_exited() {
                    break;
                }
                return Err(self.too_slow(answers.len(), wanted, limit).into());
            }
            match self.lines.recv_timeout(POLL_INTERVAL) {
                Ok(line) => {
                    answers.push(self.parse(line, answers.len(), items)?);
                    if answers.len() == wanted {
                        deadline = deadline.min(Instant::now() + EXIT_GRACE_PERIOD);
                    }
                }
                Err(RecvTimeoutError::Timeout) if !self.has_exited() => {}
                // The command has exited, but its child processes may keep the output open and still answer.
                Err(RecvTimeoutError::Timeout) if answers.len() < wanted => {
                    deadline = deadline.min(Instant::now() + EXIT_GRACE_PERIOD);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        self.finish(answers.len(), wanted, deadline.min(Instant::now() + EXIT_GRACE_PERIOD), stage)?;
        Ok(answers)
    }

    /// Returns the answer in a line of output, the next one after `answered` others. Stops the command if the line is
    /// malformed, or if no more answers were requested.
    fn parse(
        &mut self,
        line: std::io::Result<NumberedLine>,
        answered: usize,
        items: &[u64],
    ) -> Result<Answer, ExternalError> {
        let item = items.get(answered).copied();
        let (number, reason, line) = match line {
            Err(error) => (answered + 1, error.to_string(), Vec::new()),
            Ok((number, line)) => match item {
                None => (number, format!("only {answered} documents were requested"), line),
                Some(item) => match text_of(&line, item) {
                    Ok(text) => return Ok(Answer { line: number, item, text }),
                    Err(reason) => (number, reason, line),
                },
            },
        };
        self.stop();
        Err(ExternalError::Line {
            program: self.command.clone(),
            line: number,
            reason,
            excerpt: String::from_utf8_lossy(&line).trim_end().chars().take(120).collect(),
        })
    }

    /// Stops the command and returns an error if the user interrupted the stage.
    fn check_interrupt(&mut self, stage: &Stage) -> Result<(), ModelError> {
        if stage.interrupted() {
            self.stop();
            return Err(ModelError::Interrupted);
        }
        Ok(())
    }

    /// Stops a command that exceeded its time limit, and returns the error that reports it.
    fn too_slow(mut self, lines: usize, documents: usize, limit: Duration) -> ExternalError {
        self.stop();
        ExternalError::TooSlow {
            program: self.command.clone(),
            seconds: limit.as_secs_f64(),
            lines,
            documents,
            stderr_tail: self.stderr_tail(),
        }
    }

    /// Returns true if the command has exited, without reaping it.
    fn has_exited(&mut self) -> bool {
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

    /// Ends a command that has closed its output or given all answers. Waits until `deadline` for it to exit, stops the
    /// processes that it left running, and checks its exit status. A command that has given all answers but does not
    /// exit is stopped without an error.
    fn finish(
        mut self,
        lines: usize,
        documents: usize,
        deadline: Instant,
        stage: &Stage,
    ) -> Result<(), SynthesisError> {
        while !self.has_exited() && Instant::now() < deadline {
            self.check_interrupt(stage)?;
            std::thread::sleep(POLL_INTERVAL / 10);
        }
        let has_exited = self.has_exited();
        self.stop();
        let status = self.child.wait().ok().filter(|_| has_exited).unwrap_or_default();
        let program = self.command.clone();
        if !status.success() {
            return Err(ExternalError::Failed { program, status, stderr_tail: self.stderr_tail() }.into());
        }
        if lines < documents {
            return Err(
                ExternalError::TooFew { program, lines, documents, stderr_tail: self.stderr_tail() }.into()
            );
        }
        Ok(())
    }

    /// Kills the command and everything that it started.
    fn stop(&mut self) {
        #[cfg(unix)]
        self.group.kill();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The end of a stopped command's standard error, with `"; stderr: "` before it, to append to a message. Empty if
    /// nothing was written there.
    fn stderr_tail(self) -> String {
        let deadline = Instant::now() + POLL_INTERVAL * 10;
        while !self.stderr_tail.is_finished() && Instant::now() < deadline {
            std::thread::sleep(POLL_INTERVAL / 10);
        }
        let is_complete = self.stderr_tail.is_finished();
        let tail = if is_complete { self.stderr_tail.join().unwrap_or_default() } else { String::new() };
        if tail.is_empty() { tail } else { format!("; stderr: {tail}") }
    }
}

/// A process group that ends with this process at the latest.
#[cfg(unix)]
struct ProcessGroup {
    leader: Child,
}

#[cfg(unix)]
impl ProcessGroup {
    /// Starts the leader. The only thing that it shares with this process is a pipe.
    fn start() -> std::io::Result<Self> {
        let wait_and_kill = "trap '' HUP INT QUIT TERM; read -r _; kill -KILL 0";
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", wait_and_kill]).current_dir("/");
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        shell.spawn().map(|leader| Self { leader })
    }

    fn id(&self) -> i32 {
        self.leader.id().cast_signed()
    }

    fn kill(&self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.id()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(unix)]
impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
        let _ = self.leader.wait();
    }
}

/// Sends every line of `output` that is not blank, until the output or the channel is closed.
fn send_lines(output: ChildStdout, lines: &Sender<std::io::Result<NumberedLine>>) {
    let mut reader = BufReader::new(output);
    for number in 1.. {
        let mut line = Vec::new();
        let sent = match reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) if line.iter().all(u8::is_ascii_whitespace) => Ok(()),
            Ok(_) if line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") => {
                let too_long = format!("it is longer than {} MiB", MAX_LINE_BYTES >> 20);
                let _ = lines.send(Err(std::io::Error::other(too_long)));
                return;
            }
            Ok(_) => lines.send(Ok((number, line))),
            Err(error) => lines.send(Err(error)),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The fields of an answer that are read. None of them may occur twice.
#[derive(Deserialize)]
struct Fields {
    #[serde(default, deserialize_with = "present")]
    item: Option<Value>,
    text: Option<Value>,
}

/// A field that is there, be it null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The `text` of a line of JSON, which answers document `item`.
fn text_of(line: &[u8], item: u64) -> Result<String, String> {
    let no_text = || "there is no string \"text\"".to_owned();
    if !line.trim_ascii_start().starts_with(b"{") {
        let other = serde_json::from_slice::<IgnoredAny>(line);
        return Err(other.map_or_else(|error| error.to_string(), |_| no_text()));
    }
    let answer: Fields = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    // Some libraries turn whole numbers into floats.
    let is_item = |echoed: &Value| echoed.as_u64() == Some(item) || echoed.as_f64() == Some(item as f64);
    if let Some(echoed) = answer.item.filter(|echoed| !is_item(echoed)) {
        return Err(format!(
            "it answers \"item\" {echoed}, and this line is for item {item}; answer in the order of the input"
        ));
    }
    let text = answer.text.as_ref().and_then(Value::as_str).ok_or_else(no_text)?.to_owned();
    if text.trim().is_empty() {
        return Err(format!("the text for item {item} is empty; {RETRY}"));
    }
    Ok(text)
}

/// Reads a stream to its end and returns its last 2000 bytes as trimmed text.
fn tail(mut stream: impl Read) -> String {
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
