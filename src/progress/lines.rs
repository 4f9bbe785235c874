//! Progress as plain lines on standard error, for logs.

use super::{Event, Observer};
use crate::seed::StreamKey;
use crate::terminal::printable;
use crate::units::Tokens;
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Writes a line for every generation and for every stage that took at least a second. During a stage, writes at most
/// one line in ten seconds.
#[derive(Default)]
pub struct Lines(Mutex<State>);

#[derive(Default)]
struct State {
    stage: Option<RunningStage>,
    generations: u64,
    done: u64,
}

struct RunningStage {
    label: String,
    unit: &'static str,
    total: u64,
    position: u64,
    started: Instant,
    last_line: Instant,
}

const BETWEEN_LINES: Duration = Duration::from_secs(10);

impl Observer for Lines {
    fn observe(&self, event: &Event) {
        let Ok(mut state) = self.0.lock() else { return };
        if let Some(line) = state.line_for(event) {
            // A closed standard error does not stop the run.
            let _ = writeln!(std::io::stderr(), "{}", printable(&line));
        }
    }
}

impl State {
    fn line_for(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::RunStarted { experiment, generations, done } => {
                self.generations = *generations;
                self.done = *done;
                Some(format!("{experiment}: {done} of {generations} generations are done"))
            }
            Event::StageStarted { key, total, unit } => {
                let now = Instant::now();
                self.stage = Some(RunningStage {
                    label: label(key),
                    unit,
                    total: *total,
                    position: 0,
                    started: now,
                    last_line: now,
                });
                None
            }
            Event::Advanced { amount, .. } => self.stage.as_mut()?.advance(*amount),
            Event::StageFinished { .. } => self.stage.take().and_then(|stage| stage.finished()),
            Event::GenerationCommitted { key, summary } => {
                self.done += 1;
                // A worker beside others does not know how far they are.
                let progress = match self.generations {
                    0 => String::new(),
                    all => format!(" ({} of {all})", self.done),
                };
                Some(format!("{} committed{progress}: {summary}", label(key)))
            }
            Event::Note(note) => Some(note.clone()),
            Event::LineageStarted { .. }
            | Event::TrainingLoss { .. }
            | Event::LineageEnded { .. }
            | Event::RunFinished => None,
        }
    }
}

impl RunningStage {
    fn advance(&mut self, amount: u64) -> Option<String> {
        self.position += amount;
        if self.last_line.elapsed() < BETWEEN_LINES {
            return None;
        }
        self.last_line = Instant::now();
        let rate = self.rate();
        let seconds_left = self.total.saturating_sub(self.position) as f64 / rate;
        Some(format!(
            "{}: {} of {} {} ({rate:.0}/s, {seconds_left:.0} s left)",
            self.label,
            Tokens(self.position),
            Tokens(self.total),
            self.unit,
        ))
    }

    /// The line at the end of the stage; `None` if it took less than a second.
    fn finished(&self) -> Option<String> {
        (self.started.elapsed() >= Duration::from_secs(1)).then(|| {
            format!(
                "{}: {} {} in {:.1} s ({:.0}/s)",
                self.label,
                Tokens(self.position),
                self.unit,
                self.started.elapsed().as_secs_f64(),
                self.rate(),
            )
        })
    }

    fn rate(&self) -> f64 {
        self.position as f64 / self.started.elapsed().as_secs_f64().max(1e-6)
    }
}

/// A label such as `seed 1, anchored, generation 2, training`.
pub(super) fn label(key: &StreamKey) -> String {
    let arm = if key.arm.is_empty() { "all arms" } else { &key.arm };
    let stage = if key.stage.is_empty() { String::new() } else { format!(", {}", key.stage) };
    format!("seed {}, {arm}, generation {}{stage}", key.seed, key.generation)
}
