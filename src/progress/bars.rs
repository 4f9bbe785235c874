//! Progress bars on a terminal for the experiment, the lineage and the current stage.

use super::lines::label;
use super::{Event, Observer};
use crate::terminal::printable;
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::fmt::Write;

/// Three progress bars on standard error. Each bar shows the time left. The bar of the stage also shows its rate.
pub struct Bars {
    all: MultiProgress,
    experiment: ProgressBar,
    lineage: ProgressBar,
    stage: ProgressBar,
}

impl Bars {
    /// Creates bars that are first drawn when an event arrives.
    #[must_use]
    pub fn new() -> Self {
        let all = MultiProgress::new();
        let slow = "{prefix:>38} {wide_bar:.cyan/dim} {pos:>4}/{len:<4} {elapsed} elapsed, {eta} left";
        let fast = "{prefix:>38} {wide_bar:.green/dim} {human_pos}/{human_len} {msg} {rate} {eta} left";
        let experiment = all.add(bar(slow));
        let lineage = all.add(bar(slow));
        let stage = all.add(bar(fast));
        Self { all, experiment, lineage, stage }
    }
}

impl Default for Bars {
    fn default() -> Self {
        Self::new()
    }
}

fn bar(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let rate = |state: &ProgressState, out: &mut dyn Write| {
        // A bar that cannot be drawn does not stop the run.
        let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
    };
    ProgressBar::new(0).with_style(style.with_key("rate", rate))
}

fn restart(bar: &ProgressBar, prefix: &str, total: u64, done: u64) {
    bar.reset();
    bar.set_length(total);
    bar.set_prefix(printable(prefix).into_owned());
    bar.set_position(done);
    bar.reset_eta();
}

impl Observer for Bars {
    fn observe(&self, event: &Event) {
        match event {
            Event::RunStarted { experiment, generations, done } => {
                restart(&self.experiment, experiment, *generations, *done);
            }
            Event::LineageStarted { seed, arm, generations, done } => {
                restart(&self.lineage, &format!("seed {seed}, {arm}"), *generations, *done);
            }
            Event::StageStarted { key, total, unit } => {
                let prefix = format!("generation {}, {}", key.generation, key.stage);
                restart(&self.stage, &prefix, *total, 0);
                self.stage.set_message(*unit);
            }
            Event::Advanced { amount, .. } => self.stage.inc(*amount),
            Event::TrainingLoss { .. } | Event::StageFinished { .. } | Event::LineageEnded { .. } => {}
            Event::GenerationCommitted { key, summary } => {
                self.experiment.inc(1);
                self.lineage.inc(1);
                let _ = self.all.println(printable(&format!("{}: {summary}", label(key))));
            }
            Event::Note(note) => {
                let _ = self.all.println(printable(note));
            }
            Event::RunFinished => {
                let _ = self.all.clear();
            }
        }
    }
}
