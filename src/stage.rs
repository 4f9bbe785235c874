//! What every stage of the loop is handed: where it stands, its random streams, and a way to be watched or stopped.
//!
//! A stage prints nothing and reads no clock. It says how far it is through [`Stage::advance`], and looks at
//! [`Stage::interrupted`] at points where it can stop without losing anything.

use crate::progress::{Event, Observer, Silent};
use crate::seed::{Stream, StreamKey};
use std::sync::atomic::{AtomicBool, Ordering};

/// One stage of one generation, as it runs.
pub struct Stage<'a> {
    key: StreamKey,
    observer: &'a dyn Observer,
    interrupt: &'a AtomicBool,
}

impl<'a> Stage<'a> {
    /// Opens a stage at `key`. Setting `interrupt` asks it to stop.
    #[must_use]
    pub fn new(key: StreamKey, observer: &'a dyn Observer, interrupt: &'a AtomicBool) -> Self {
        Self { key, observer, interrupt }
    }

    /// The same generation at another stage.
    #[must_use]
    pub fn at(&self, stage: &'static str) -> Self {
        self.with_key(self.key.at(stage))
    }

    /// The same watchers, elsewhere.
    #[must_use]
    pub fn with_key(&self, key: StreamKey) -> Self {
        Self { key, ..*self }
    }

    /// The same stage with nobody watching: for work whose progress is told in another unit.
    #[must_use]
    pub fn unobserved(&self) -> Self {
        Self { observer: &Silent, ..self.with_key(self.key.clone()) }
    }

    /// Where this is.
    #[must_use]
    pub fn key(&self) -> &StreamKey {
        &self.key
    }

    /// The random stream of item `item` of this stage.
    #[must_use]
    pub fn stream(&self, item: u64) -> Stream {
        self.key.stream(item)
    }

    /// Says that `total` of `unit` (such as `"tokens"`) lie ahead.
    pub fn begin(&self, total: u64, unit: &'static str) {
        self.observer.observe(&Event::StageStarted { key: self.key.clone(), total, unit });
    }

    /// Says that `amount` more has been done.
    pub fn advance(&self, amount: u64) {
        self.observer.observe(&Event::Advanced { amount });
    }

    /// Says that the stage is over.
    pub fn end(&self) {
        self.observer.observe(&Event::StageFinished);
    }

    /// Whether the user asked to stop.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }
}
