//! Many experiments in one go: what they have in common is made once, and lineages go side by side.
//!
//! Experiments that read the same natural text are prepared together, with one tokenizer, so that what they measure can
//! be compared. The work is cut into units: one seed of all experiments on the same tokens of text that train the
//! same model alike, once for generation 0 and once for what follows. Whatever two experiments can have in common (see
//! `lineage::twins`) lies within a unit, and a unit goes one lineage after the other: the second finds what the first
//! has made. First every generation 0 is made, then the others; of either kind units need nothing of each other and may
//! go side by side, each on its share of the threads. Small models are faster that way, for there is too little in one of
//! their steps to keep several threads busy; no result depends on it.

mod plan;
mod teams;
mod watcher;

pub use plan::PlannedGeneration;
pub use teams::ThreadTeams;

use crate::config::Experiment;
use crate::lineage::{self, PreparedText, Run, RunContext, RunError, RunProgress};
use crate::progress::{Event, Observer};
use crate::store::{Provenance, Store};
use std::collections::BTreeSet;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use watcher::Watcher;

/// Experiments, each with its natural text.
pub struct PreparedSweep<'a> {
    experiments: &'a [Experiment],
    texts: Vec<PreparedText>,
    /// Which text each experiment reads.
    text_of: Vec<usize>,
}

/// One seed of experiments that train alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkUnit {
    /// Which generations.
    pub phase: SweepPhase,
    /// The seed.
    pub seed: u64,
    /// Places among the experiments, in their order.
    pub experiments: Vec<usize>,
}

/// Which generations of its lineages a unit makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SweepPhase {
    /// Generation 0.
    First,
    /// Those after it.
    Later,
}

/// Reads the natural text of every experiment, once for all that read the same. Writes nothing.
///
/// # Errors
/// When text cannot be read or is too little, or a setting does not fit it.
pub fn prepare(experiments: &[Experiment]) -> Result<PreparedSweep<'_>, RunError> {
    let (groups, text_of) =
        grouped(experiments.len(), |one, other| reads_alike(&experiments[one], &experiments[other]));
    let text = |group: &Vec<usize>| {
        let members: Vec<&Experiment> = group.iter().map(|&place| &experiments[place]).collect();
        lineage::prepare_together(&members)
    };
    Ok(PreparedSweep { experiments, texts: groups.iter().map(text).collect::<Result<_, _>>()?, text_of })
}

fn reads_alike(one: &Experiment, other: &Experiment) -> bool {
    let mut corpus = one.corpus.clone();
    corpus.train_tokens = other.corpus.train_tokens;
    corpus == other.corpus && one.tokenizer == other.tokenizer
}

/// Places 0.. in groups of those that are alike, and the group of each.
fn grouped(places: usize, alike: impl Fn(usize, usize) -> bool) -> (Vec<Vec<usize>>, Vec<usize>) {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of = Vec::new();
    for place in 0..places {
        let found = groups.iter().position(|group| alike(group[0], place));
        let group = found.unwrap_or_else(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(place);
        group_of.push(group);
    }
    (groups, group_of)
}

/// Where an experiment of a sweep is kept.
#[must_use]
pub fn folder(root: &Path, experiment: &Experiment) -> PathBuf {
    root.join(&experiment.name)
}

impl<'a> PreparedSweep<'a> {
    /// The experiments.
    #[must_use]
    pub fn experiments(&self) -> &'a [Experiment] {
        self.experiments
    }

    /// The natural text of the experiment at `place`.
    #[must_use]
    pub fn text(&self, place: usize) -> &PreparedText {
        &self.texts[self.text_of[place]]
    }

    /// All the work: every generation 0, then the others, in the order of the experiments.
    #[must_use]
    pub fn units(&self) -> Vec<WorkUnit> {
        [SweepPhase::First, SweepPhase::Later].into_iter().flat_map(|phase| self.units_of(phase)).collect()
    }

    fn units_of(&self, phase: SweepPhase) -> Vec<WorkUnit> {
        let (groups, _) = grouped(self.experiments.len(), |one, other| self.train_alike(phase, one, other));
        let mut units: Vec<WorkUnit> = Vec::new();
        for group in groups {
            let seeds: BTreeSet<u64> =
                group.iter().flat_map(|&place| self.experiments[place].seeds.iter().copied()).collect();
            units.extend(seeds.into_iter().map(|seed| {
                let has_seed = |place: &usize| self.experiments[*place].seeds.contains(&seed);
                WorkUnit { phase, seed, experiments: group.iter().copied().filter(has_seed).collect() }
            }));
        }
        units
    }

    fn train_alike(&self, phase: SweepPhase, one: usize, other: usize) -> bool {
        let settings = |place: usize| {
            let experiment = &self.experiments[place];
            let (model, training) = match (&experiment.writer, phase) {
                (Some(writer), SweepPhase::First) => (&writer.model, &writer.training),
                _ => (&experiment.model, &experiment.training),
            };
            (self.text_of[place], experiment.corpus.train_tokens, model, training)
        };
        settings(one) == settings(other)
    }

    /// Whether the stores below `root` would refuse an experiment. Writes nothing.
    ///
    /// # Errors
    /// The first refusal.
    pub fn check(&self, root: &Path, provenance: &Provenance) -> Result<(), RunError> {
        self.experiments.iter().enumerate().try_for_each(|(place, experiment)| {
            let provenance = self.text(place).provenance(experiment, provenance.clone());
            let checked = Store::check(&folder(root, experiment), experiment, &provenance);
            checked.map_err(|error| RunError::from(error).of(experiment))
        })
    }

    /// Runs `units` in their order, first generations first, so many at a time, or goes on where they stopped. Each
    /// experiment has a store of its own below `root`. A fault ends its experiment for that seed, one of a store
    /// all of its experiment, and is noted; the others go on.
    ///
    /// # Errors
    /// The first fault, or that the user asked to stop. Every generation committed by then stands.
    pub fn run(
        &self,
        root: &Path,
        units: &[WorkUnit],
        at_a_time: usize,
        context: &RunContext,
    ) -> Result<(), RunError> {
        let observer = context.observer;
        let watcher = |experiment: &'a Experiment| Watcher::new(&experiment.name, observer, at_a_time == 1);
        let watchers: Vec<Watcher> = self.experiments.iter().map(watcher).collect();
        let watched: Vec<RunContext> = watchers.iter().map(|watcher| context.watched_by(watcher)).collect();
        let Opened { runs, progress, fault } = self.open(root, &watched, observer);
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let RunProgress { generations, done } = progress;
        observer.observe(&Event::RunStarted { experiment: name, generations, done });
        let places = 0..self.experiments.len();
        let notes = places.flat_map(|place| self.text(place).notes(&self.experiments[place]));
        notes.collect::<BTreeSet<_>>().into_iter().for_each(|note| observer.observe(&Event::Note(note)));
        let opened: Vec<&Run> = runs.iter().flatten().collect();
        let simulate = |run: &&Run| noted(run.baseline(), run.experiment(), observer);
        let baselines = || side_by_side(at_a_time, &opened, simulate);
        let make = |phase| {
            let of_phase: Vec<&WorkUnit> = units.iter().filter(|unit| unit.phase == phase).collect();
            side_by_side(at_a_time, &of_phase, |unit| unit.run(&runs, observer))
        };
        let steps: [&dyn Fn() -> Result<(), RunError>; 4] =
            [&baselines, &|| make(SweepPhase::First), &|| make(SweepPhase::Later), &baselines];
        let made = lineage::all_of(iter::once(fault).chain(steps.into_iter().map(|step| step())));
        observer.observe(&Event::RunFinished);
        made
    }

    /// Opens every store, each for who watches its experiment.
    fn open<'b>(&'b self, root: &Path, watched: &'b [RunContext<'b>], observer: &dyn Observer) -> Opened<'b> {
        let mut all = Opened { runs: Vec::new(), progress: RunProgress::default(), fault: Ok(()) };
        for (place, watched) in watched.iter().enumerate() {
            let experiment: &Experiment = &self.experiments[place];
            let run = Run::open(experiment, self.text(place), &folder(root, experiment), watched);
            let found = run.and_then(|run| Ok((run.progress()?, run)));
            match noted(found, experiment, observer) {
                Ok((progress, run)) => {
                    all.progress.generations += progress.generations;
                    all.progress.done += progress.done;
                    all.runs.push(Some(run));
                }
                Err(error) => {
                    all.fault = all.fault.and(Err(error));
                    all.runs.push(None);
                }
            }
        }
        all
    }
}

/// The stores of a sweep.
struct Opened<'a> {
    /// By the places of their experiments; none where the store refuses or is damaged.
    runs: Vec<Option<Run<'a>>>,
    /// How far those that are open have come.
    progress: RunProgress,
    /// Of the first that is not.
    fault: Result<(), RunError>,
}

impl WorkUnit {
    /// Makes it, in those experiments whose stores could be opened.
    fn run(&self, runs: &[Option<Run>], observer: &dyn Observer) -> Result<(), RunError> {
        let sibling_runs: Vec<&Run> =
            self.experiments.iter().filter_map(|&place| runs[place].as_ref()).collect();
        let make = |run: &Run| match self.phase {
            SweepPhase::First => run.first_generation(self.seed, &sibling_runs),
            // Where a generation 0 failed, that has been said.
            SweepPhase::Later => run.later_generations(self.seed, &sibling_runs),
        };
        lineage::all_of(sibling_runs.iter().map(|&run| noted(make(run), run.experiment(), observer)))
    }
}

/// Names the experiment in a fault, and shows it while the others go on.
fn noted<T>(
    made: Result<T, RunError>,
    experiment: &Experiment,
    observer: &dyn Observer,
) -> Result<T, RunError> {
    made.map_err(|error| {
        let error = error.of(experiment);
        if !matches!(error, RunError::Interrupted) {
            observer.observe(&Event::Note(format!("failed: {error}")));
        }
        error
    })
}

/// Acts on so many items at a time, in their order, each with its share of the threads.
fn side_by_side<T: Sync>(
    at_a_time: usize,
    items: &[T],
    act: impl Fn(&T) -> Result<(), RunError> + Sync,
) -> Result<(), RunError> {
    let queue = Mutex::new(items.iter());
    let next = || queue.lock().ok()?.next();
    let done = ThreadTeams::new(at_a_time)?.each(|| lineage::all_of(iter::from_fn(next).map(&act)));
    lineage::all_of(done.into_iter())
}
