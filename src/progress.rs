//! Progress is a stream of events; only observers draw.

use crate::seed::StreamKey;
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
    /// A run begins: so many generations in all, of which some stand already.
    RunStarted {
        /// The experiment's name.
        experiment: String,
        /// Generations over all seeds and arms.
        generations: u64,
        /// Those already committed.
        done: u64,
    },
    /// A lineage (one arm of one seed) begins or goes on.
    LineageStarted {
        /// The seed.
        seed: u64,
        /// The arm's name.
        arm: String,
        /// Generations in this lineage.
        generations: u64,
        /// Those already committed.
        done: u64,
    },
    /// A stage begins.
    StageStarted {
        /// Where.
        key: StreamKey,
        /// How much lies ahead.
        total: u64,
        /// Of what.
        unit: &'static str,
    },
    /// So much more of the current stage is done.
    Advanced {
        /// How much.
        amount: u64,
    },
    /// The current stage is over.
    StageFinished,
    /// A generation was committed to the store.
    GenerationCommitted {
        /// Where.
        key: StreamKey,
        /// A line of what was measured.
        summary: String,
    },
    /// Something the user should know that is no error.
    Note(String),
    /// The run is over.
    RunFinished,
}

/// Watches a run.
pub trait Observer: Send + Sync {
    /// Called once for every event, from any thread.
    fn observe(&self, event: &Event);
}

/// An error with its causes, joined by ": ", as a note shows it.
#[must_use]
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}

/// Watches nothing.
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _: &Event) {}
}

/// Keeps every event, for tests.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    /// The events so far.
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
