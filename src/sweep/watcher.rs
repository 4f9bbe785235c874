//! What the user sees of one experiment among others.

use crate::progress::{Event, Observer};

/// Passes on what happens in an experiment, by its name.
pub(super) struct Watcher<'a> {
    experiment: &'a str,
    observer: &'a dyn Observer,
    /// Whether nothing else goes on meanwhile. Stages that go side by side cannot be told apart on one line.
    is_alone: bool,
}

impl<'a> Watcher<'a> {
    pub(super) fn new(experiment: &'a str, observer: &'a dyn Observer, is_alone: bool) -> Self {
        Self { experiment, observer, is_alone }
    }
}

impl Observer for Watcher<'_> {
    fn observe(&self, event: &Event) {
        let named = |text: &str| format!("{}: {text}", self.experiment);
        match event {
            Event::GenerationCommitted { key, summary } => {
                let (key, summary) = (key.clone(), named(summary));
                self.observer.observe(&Event::GenerationCommitted { key, summary });
            }
            Event::Note(note) => self.observer.observe(&Event::Note(named(note))),
            event if self.is_alone => self.observer.observe(event),
            _ => {}
        }
    }
}
