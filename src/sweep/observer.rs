//! The events of one experiment of a sweep, as its user sees them.

use crate::progress::{Event, Observer};

/// Passes on the events of an experiment, with its name in notes and summaries.
pub(super) struct ExperimentObserver<'a> {
    experiment: &'a str,
    observer: &'a dyn Observer,
    /// Whether no other experiment runs at the same time. If one does, stages are left out: those of several experiments
    /// would overwrite each other's progress bar.
    is_alone: bool,
}

impl<'a> ExperimentObserver<'a> {
    pub(super) fn new(experiment: &'a str, observer: &'a dyn Observer, is_alone: bool) -> Self {
        Self { experiment, observer, is_alone }
    }
}

impl Observer for ExperimentObserver<'_> {
    fn observe(&self, event: &Event) {
        let named = |text: &str| format!("{}: {text}", self.experiment);
        match event {
            Event::GenerationCommitted { key, summary } => {
                let (key, summary) = (key.clone(), named(summary));
                self.observer.observe(&Event::GenerationCommitted { key, summary });
            }
            Event::Note(note) => self.observer.observe(&Event::Note(named(note))),
            Event::RunStarted { .. }
            | Event::LineageStarted { .. }
            | Event::StageStarted { .. }
            | Event::Advanced { .. }
            | Event::TrainingLoss { .. }
            | Event::StageFinished { .. }
            | Event::LineageEnded { .. }
            | Event::RunFinished => {
                if self.is_alone {
                    self.observer.observe(event);
                }
            }
        }
    }
}
