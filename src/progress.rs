//! Progress as a stream of events. The stages of a run emit events and never print them; observers show them as bars on
//! a terminal, as lines in a log, or as a list in tests.
//!
//! ```
//! use genloss::progress::{Event, Observer, Recorder};
//!
//! let recorder = Recorder::default();
//! recorder.observe(&Event::Note("arm \"rephrase\" cuts 3 long documents".to_owned()));
//! assert_eq!(recorder.events().len(), 1);
//! ```

use crate::seed::StreamKey;
use std::error::Error;
use std::sync::Mutex;

#[cfg(feature = "cli")]
mod bars;
mod lines;

#[cfg(feature = "cli")]
pub use bars::Bars;
pub use lines::Lines;

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A run begins.
    RunStarted {
        /// The name of the experiment, or of the sweep.
        experiment: String,
        /// Number of generations over all seeds and arms. A generation that arms share counts once.
        generations: u64,
        /// Number of these generations that are committed already.
        done: u64,
    },
    /// A lineage (one arm with one seed) begins or continues.
    LineageStarted {
        /// Seed of the lineage.
        seed: u64,
        /// Name of the arm.
        arm: String,
        /// Number of generations of this lineage.
        generations: u64,
        /// Number of these generations that are committed already.
        done: u64,
    },
    /// A stage begins.
    StageStarted {
        /// Seed, arm, generation and stage.
        key: StreamKey,
        /// Amount of work in the whole stage, in `unit`.
        total: u64,
        /// The unit of progress, such as `"tokens"`.
        unit: &'static str,
    },
    /// Part of a stage is done.
    Advanced {
        /// Seed, arm, generation and stage.
        key: StreamKey,
        /// Work done since the last event, in the unit of the stage.
        amount: u64,
    },
    /// The mean training loss since the last event of this kind.
    TrainingLoss {
        /// Seed, arm, generation and stage.
        key: StreamKey,
        /// Training tokens processed so far.
        tokens: u64,
        /// The loss.
        nats_per_token: f64,
    },
    /// A stage is over.
    StageFinished {
        /// Seed, arm, generation and stage.
        key: StreamKey,
    },
    /// A generation was committed to the store.
    GenerationCommitted {
        /// Seed, arm and generation; the stage is empty.
        key: StreamKey,
        /// Values of some of its metrics, on one line.
        summary: String,
    },
    /// A lineage is complete, has failed or is interrupted.
    LineageEnded {
        /// Seed of the lineage.
        seed: u64,
        /// Name of the arm.
        arm: String,
    },
    /// A message to the user about something that does not stop the run.
    Note(String),
    /// The run is over.
    RunFinished,
}

/// Receives the events of a run.
pub trait Observer: Send + Sync {
    /// Called once for every event, from any thread.
    fn observe(&self, event: &Event);
}

/// The messages of an error and its causes, joined by ": ". Used in notes.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}

/// Ignores every event.
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _: &Event) {}
}

/// Keeps every event, for tests.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    /// The events so far, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().map(|events| events.clone()).unwrap_or_default()
    }
}

impl Observer for Recorder {
    fn observe(&self, event: &Event) {
        if let Ok(mut events) = self.0.lock() {
            events.push(event.clone());
        }
    }
}
