//! Running the unit groups of a sweep.

use super::observer::ExperimentObserver;
use super::{PreparedSweep, SweepPhase, ThreadPools, UnitGroup, folder};
use crate::config::Experiment;
use crate::lineage::{self, Run, RunContext, RunError, RunProgress, SiblingRuns, UnitOutcome};
use crate::live::Live;
use crate::progress::{Event, Observer, error_chain};
use crate::store::Unit;
use std::collections::BTreeSet;
use std::iter;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

impl PreparedSweep<'_> {
    /// Runs `units` in order, those of the first phase first, `at_a_time` of them in parallel, resuming where an
    /// earlier run stopped. Each experiment has its own store below `root`. An error ends one seed of an experiment, or
    /// the whole experiment if its store cannot be opened. It is reported in a note, and the other experiments
    /// continue.
    ///
    /// # Errors
    /// The first error, or an interruption by the user. Committed generations stay.
    pub fn run(
        &self,
        root: &Path,
        units: &[UnitGroup],
        at_a_time: usize,
        context: &RunContext,
    ) -> Result<(), RunError> {
        let observer = context.observer;
        let observers: Vec<ExperimentObserver> = (self.experiments.iter())
            .map(|experiment| ExperimentObserver::new(&experiment.name, observer, at_a_time == 1))
            .collect();
        let live: Vec<Live> = (observers.iter().zip(self.experiments))
            .map(|(observer, experiment)| Live::new(&folder(root, experiment), observer))
            .collect();
        let contexts: Vec<RunContext> = live.iter().map(|one| context.watched_by(one)).collect();
        let opened = self.open(root, &contexts, observer);
        self.announce(root, &opened, observer);
        let runs = &opened.runs;
        let made = lineage::all_of(
            iter::once_with(|| opened.outcome)
                .chain(iter::once_with(|| simulate_baselines(runs, at_a_time, observer)))
                .chain(iter::once_with(|| run_phases(units, runs, at_a_time, context)))
                .chain(iter::once_with(|| simulate_baselines(runs, at_a_time, observer)))
                .chain(iter::once_with(|| close(runs, observer))),
        );
        observer.observe(&Event::RunFinished);
        made
    }

    /// Opens the store of every experiment, and verifies what is committed there.
    fn open<'b>(
        &'b self,
        root: &Path,
        contexts: &'b [RunContext<'b>],
        observer: &dyn Observer,
    ) -> Opened<'b> {
        let mut opened = Opened { runs: Vec::new(), progress: RunProgress::default(), outcome: Ok(()) };
        for (index, context) in contexts.iter().enumerate() {
            let experiment: &Experiment = &self.experiments[index];
            let run = Run::open(experiment, self.text(index), &folder(root, experiment), context);
            let found = run.and_then(|run| Ok((run.progress()?, run)));
            match noted(found, experiment, observer) {
                Ok((progress, run)) => {
                    opened.progress.generations += progress.generations;
                    opened.progress.done += progress.done;
                    opened.runs.push(Some(run));
                }
                Err(error) => {
                    opened.outcome = opened.outcome.and(Err(error));
                    opened.runs.push(None);
                }
            }
        }
        opened
    }

    fn announce(&self, root: &Path, opened: &Opened, observer: &dyn Observer) {
        let experiment = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let RunProgress { generations, done } = opened.progress;
        observer.observe(&Event::RunStarted { experiment, generations, done });
        let all = self.experiments.iter().enumerate();
        let of_text = all.flat_map(|(index, experiment)| self.text(index).notes(experiment));
        let of_machine = opened.runs.iter().flatten().filter_map(Run::note_on_machine);
        let notes: BTreeSet<String> = of_text.chain(of_machine).collect();
        notes.into_iter().for_each(|note| observer.observe(&Event::Note(note)));
    }
}

/// The stores of a sweep.
struct Opened<'a> {
    /// By the index of their experiments; `None` where a store could not be opened or is damaged.
    runs: Vec<Option<Run<'a>>>,
    /// The sum over the open stores.
    progress: RunProgress,
    /// The first error of opening a store.
    outcome: Result<(), RunError>,
}

fn simulate_baselines(
    runs: &[Option<Run>],
    at_a_time: usize,
    observer: &dyn Observer,
) -> Result<(), RunError> {
    let opened: Vec<&Run> = runs.iter().flatten().collect();
    side_by_side(at_a_time, &opened, |run| noted(run.baseline(), run.experiment(), observer))
}

/// Runs both phases, and again as long as other processes are making some of the units.
fn run_phases(
    units: &[UnitGroup],
    runs: &[Option<Run>],
    at_a_time: usize,
    context: &RunContext,
) -> Result<(), RunError> {
    let mut made = Ok(());
    let mut told = false;
    loop {
        let held = Mutex::new(Vec::new());
        for phase in [SweepPhase::First, SweepPhase::Later] {
            let units: Vec<&UnitGroup> = units.iter().filter(|unit| unit.phase == phase).collect();
            let run = side_by_side(at_a_time, &units, |unit| unit.run(runs, context.observer, &held));
            if matches!(run, Err(RunError::Interrupted)) {
                return run;
            }
            made = made.and(run);
        }
        let held = held.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = held.first().filter(|_| made.is_ok()) else { return made };
        if !told {
            context
                .observer
                .observe(&Event::Note(format!("other processes are making units, such as {first}; waiting")));
            told = true;
        }
        context.pause(lineage::POLL_INTERVAL)?;
    }
}

fn close(runs: &[Option<Run>], observer: &dyn Observer) -> Result<(), RunError> {
    lineage::all_of(runs.iter().flatten().map(|run| noted(run.close(), run.experiment(), observer)))
}

impl UnitGroup {
    /// Makes the generations of the unit in those experiments whose stores could be opened. Adds what other processes
    /// are making to `held`.
    fn run(
        &self,
        runs: &[Option<Run>],
        observer: &dyn Observer,
        held: &Mutex<Vec<String>>,
    ) -> Result<(), RunError> {
        let runs: Vec<&Run> = self.experiments.iter().filter_map(|&index| runs[index].as_ref()).collect();
        let siblings = SiblingRuns::new(runs.clone(), self.seed);
        let make = |run: &Run| {
            let units = run.units_of(&siblings);
            let made = self.units_in(run.experiment()).into_iter().try_for_each(|unit| {
                if let UnitOutcome::Held(holder) = units.make(&unit)? {
                    let name = &run.experiment().name;
                    held.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(format!("{name}/{unit}: {holder}"));
                }
                Ok(())
            });
            noted(made, run.experiment(), observer)
        };
        lineage::all_of(runs.iter().map(|&run| make(run)))
    }

    /// The units of one of its experiments. Units whose generation 0 failed, which was reported in the first phase, are
    /// left.
    fn units_in(&self, experiment: &Experiment) -> Vec<Unit> {
        let is_of_phase = |unit: &Unit| match self.phase {
            SweepPhase::First => unit.is_first(),
            SweepPhase::Later => !unit.is_first(),
        };
        Unit::all(experiment).into_iter().filter(|unit| unit.seed == self.seed && is_of_phase(unit)).collect()
    }
}

/// Adds the experiment to an error, and reports it in a note at once, because other experiments continue.
fn noted<T>(
    result: Result<T, RunError>,
    experiment: &Experiment,
    observer: &dyn Observer,
) -> Result<T, RunError> {
    result.map_err(|error| {
        let error = error.of(experiment);
        if !matches!(error, RunError::Interrupted) {
            observer.observe(&Event::Note(format!("failed: {}", error_chain(&error))));
        }
        error
    })
}

/// Carries out `act` for every item in their order, `at_a_time` of them at once, each on its share of the threads.
fn side_by_side<T: Sync>(
    at_a_time: usize,
    items: &[T],
    act: impl Fn(&T) -> Result<(), RunError> + Sync,
) -> Result<(), RunError> {
    let queue = Mutex::new(items.iter());
    let next = || queue.lock().ok()?.next();
    let results = ThreadPools::new(at_a_time)?.on_each(|| lineage::all_of(iter::from_fn(next).map(&act)));
    lineage::all_of(results.into_iter())
}
