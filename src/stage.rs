//! What every stage of the loop is handed: where it stands, its random streams, and a way to be watched or stopped.
//!
//! A stage prints nothing and reads no clock. It says how far it is through [`Stage::advance`], and looks at
//! [`Stage::interrupted`] at points where it can stop without losing anything.

use crate::progress::{Event, Observer, Silent};
use crate::seed::{Place, Stream};
use std::sync::atomic::{AtomicBool, Ordering};

/// One stage of one generation, as it runs.
pub struct Stage<'a> {
    place: Place,
    observer: &'a dyn Observer,
    interrupt: &'a AtomicBool,
}

impl<'a> Stage<'a> {
    /// Opens a stage at `place`. Setting `interrupt` asks it to stop.
    #[must_use]
    pub fn new(place: Place, observer: &'a dyn Observer, interrupt: &'a AtomicBool) -> Self {
        Self { place, observer, interrupt }
    }

    /// The same generation at another stage.
    #[must_use]
    pub fn at(&self, stage: &'static str) -> Self {
        self.moved_to(self.place.at(stage))
    }

    /// The same watchers, elsewhere.
    #[must_use]
    pub fn moved_to(&self, place: Place) -> Self {
        Self { place, ..*self }
    }

    /// The same stage with nobody watching: for work whose progress is told in another unit.
    #[must_use]
    pub fn unwatched(&self) -> Self {
        Self { observer: &Silent, ..self.moved_to(self.place.clone()) }
    }

    /// Where this is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The random stream of item `item` of this stage.
    #[must_use]
    pub fn stream(&self, item: u64) -> Stream {
        self.place.stream(item)
    }

    /// Says that `total` of `unit` (such as `"tokens"`) lie ahead.
    pub fn begin(&self, total: u64, unit: &'static str) {
        self.observer.observe(&Event::StageStarted { place: self.place.clone(), total, unit });
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
