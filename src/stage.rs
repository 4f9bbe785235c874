//! A running stage of the loop: its random streams, its progress reports and its interruption.
//!
//! The code of a stage prints nothing and reads no clock. It reports progress through [`Stage::advance`], and tests
//! [`Stage::interrupted`] at points where it can stop without losing work.
//!
//! ```
//! use genloss::progress::{Event, Recorder};
//! use genloss::seed::{StreamKey, streams};
//! use genloss::stage::Stage;
//! use std::sync::atomic::AtomicBool;
//!
//! let (recorder, interrupt) = (Recorder::default(), AtomicBool::new(false));
//! let stage = Stage::new(StreamKey::new(1, "control", 2, streams::SCORING), &recorder, &interrupt);
//! stage.begin(2, "documents");
//! for _document in 0..2 {
//!     assert!(!stage.interrupted());
//!     stage.advance(1);
//! }
//! stage.end();
//! assert_eq!(recorder.events().last(), Some(&Event::StageFinished { key: stage.key().clone() }));
//! ```

use crate::progress::{Event, Observer, Silent};
use crate::seed::{Stream, StreamKey};
use std::sync::atomic::{AtomicBool, Ordering};

/// One running stage of one generation.
pub struct Stage<'a> {
    key: StreamKey,
    observer: &'a dyn Observer,
    interrupt: &'a AtomicBool,
}

impl<'a> Stage<'a> {
    /// Creates a stage whose random streams have the key `key`. It should stop soon after `interrupt` becomes true.
    #[must_use]
    pub fn new(key: StreamKey, observer: &'a dyn Observer, interrupt: &'a AtomicBool) -> Self {
        Self { key, observer, interrupt }
    }

    /// Another stage of the same generation.
    #[must_use]
    pub fn at(&self, stage: &'static str) -> Self {
        self.with_key(self.key.at(stage))
    }

    /// A stage with another key, and the same observer and interrupt.
    #[must_use]
    pub fn with_key(&self, key: StreamKey) -> Self {
        Self { key, ..*self }
    }

    /// The same stage without an observer, for a part of a stage whose progress is counted in a different unit.
    #[must_use]
    pub fn unobserved(&self) -> Self {
        Self { observer: &Silent, ..self.with_key(self.key.clone()) }
    }

    /// The key of the stage's random streams: seed, arm, generation and name of the stage.
    #[must_use]
    pub fn key(&self) -> &StreamKey {
        &self.key
    }

    /// The random stream of item `item` of this stage.
    #[must_use]
    pub fn stream(&self, item: u64) -> Stream {
        self.key.stream(item)
    }

    /// Reports the start of the stage. Its progress will go from 0 to `total`, counted in `unit`, such as `"tokens"`.
    pub fn begin(&self, total: u64, unit: &'static str) {
        self.observer.observe(&Event::StageStarted { key: self.key.clone(), total, unit });
    }

    /// Reports something that the user should know.
    pub fn note(&self, note: String) {
        self.observer.observe(&Event::Note(note));
    }

    /// Reports that `amount` more units have been processed.
    pub fn advance(&self, amount: u64) {
        self.observer.observe(&Event::Advanced { key: self.key.clone(), amount });
    }

    /// Reports the mean training loss since the last report, after `tokens` training tokens in all.
    pub fn training_loss(&self, tokens: u64, nats_per_token: f64) {
        self.observer.observe(&Event::TrainingLoss { key: self.key.clone(), tokens, nats_per_token });
    }

    /// Reports the end of the stage.
    pub fn end(&self) {
        self.observer.observe(&Event::StageFinished { key: self.key.clone() });
    }

    /// Returns true if the user asked to stop.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }
}
