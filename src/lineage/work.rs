//! Making the units of work of a run, each claimed by one process at a time.

use super::generation::GenerationRunner;
use super::{Run, RunError, SiblingRuns, all_of};
use crate::claims::{Holder, Taken};
use crate::config::Arm;
use crate::progress::{Event, error_chain};
use crate::seed::SHARED;
use crate::store::{Address, Unit};
use std::cell::OnceCell;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// What became of a unit that a process was asked to make.
#[derive(Clone, Debug, PartialEq)]
pub enum UnitOutcome {
    /// This process has made it.
    Made,
    /// It was done already.
    Done,
    /// Another process works on it.
    Held(Holder),
    /// Another process has taken it over from this one.
    Lost,
    /// It needs generation 0 of its arms, which is not committed.
    NotReady,
}

/// Time between two looks at units that other processes make.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The longest time for which a request to stop goes unnoticed.
const NOTICE_INTERVAL: Duration = Duration::from_millis(50);

impl<'a> Run<'a> {
    /// Makes every unit of the run. Waits for units that other processes make.
    ///
    /// # Errors
    /// If a stage fails or the user asks to stop.
    pub fn all_units(&self) -> Result<(), RunError> {
        let mut told = false;
        loop {
            let mut held = None;
            for &seed in &self.experiment.seeds {
                let siblings = SiblingRuns::new(vec![self], seed);
                let units = self.units_of(&siblings);
                for unit in Unit::all(self.experiment).iter().filter(|unit| unit.seed == seed) {
                    match units.make(unit)? {
                        UnitOutcome::Made | UnitOutcome::Done => {}
                        UnitOutcome::Held(holder) => held = Some(format!("{unit} is made by {holder}")),
                        UnitOutcome::Lost => held = Some(format!("{unit} was taken over by another process")),
                        UnitOutcome::NotReady => {
                            held = held.or_else(|| Some(format!("{unit} waits for its seed")));
                        }
                    }
                }
            }
            let Some(held) = held else { return Ok(()) };
            if !told {
                let note = format!("{held}; waiting for it, and taking over if that process ends");
                self.context.observer.observe(&Event::Note(note));
                told = true;
            }
            self.context.pause(POLL_INTERVAL)?;
        }
    }

    /// The units of the seed of `siblings`, whose committed generations are reused.
    #[must_use]
    pub fn units_of<'b>(&'b self, siblings: &'b SiblingRuns<'b>) -> SeedUnits<'b> {
        SeedUnits { run: self, siblings, runner: OnceCell::new() }
    }

    /// Returns true if every generation of a unit is committed.
    #[must_use]
    pub fn is_done(&self, unit: &Unit) -> bool {
        unit.addresses(self.experiment).iter().all(|&address| self.store.exists(address))
    }

    fn has_first(&self, unit: &Unit) -> bool {
        let is_committed = |arm: &Arm| self.store.exists(Address::of(self.experiment, unit.seed, arm, 0));
        unit.arms_of(self.experiment).all(is_committed)
    }
}

impl super::RunContext<'_> {
    /// Waits.
    ///
    /// # Errors
    /// If the user asks to stop.
    pub fn pause(&self, time: Duration) -> Result<(), RunError> {
        let begun = Instant::now();
        loop {
            if self.interrupt.load(Ordering::Relaxed) {
                return Err(RunError::Interrupted);
            }
            if begun.elapsed() >= time {
                return Ok(());
            }
            thread::sleep(NOTICE_INTERVAL.min(time));
        }
    }
}

/// The units of one seed of a run, ready to be made.
pub struct SeedUnits<'a> {
    run: &'a Run<'a>,
    siblings: &'a SiblingRuns<'a>,
    /// Made when the first unit is, because it holds the text of the seed.
    runner: OnceCell<GenerationRunner<'a>>,
}

impl SeedUnits<'_> {
    /// Makes the missing generations of a unit, unless another process works on it.
    ///
    /// # Errors
    /// If a stage fails or the user asks to stop. The unit is given back.
    pub fn make(&self, unit: &Unit) -> Result<UnitOutcome, RunError> {
        let store = &self.run.store;
        loop {
            if self.run.is_done(unit) {
                return Ok(UnitOutcome::Done);
            }
            if !unit.is_first() && !self.run.has_first(unit) {
                return Ok(UnitOutcome::NotReady);
            }
            match store.claim(unit)? {
                Ok(()) => break,
                Err(Taken::By(holder)) => return Ok(UnitOutcome::Held(holder)),
                // Generations of the unit were deleted after it was done.
                Err(Taken::Done) => store.forget(unit)?,
            }
        }
        let begun = Instant::now();
        match self.make_generations(unit) {
            Ok(()) => {
                store.finish(unit, begun.elapsed())?;
                Ok(UnitOutcome::Made)
            }
            Err(_) if store.has_lost(unit) => {
                store.release(unit, None)?;
                Ok(UnitOutcome::Lost)
            }
            Err(error) => {
                let reason = (!matches!(error, RunError::Interrupted)).then(|| error_chain(&error));
                store.release(unit, reason)?;
                Err(error)
            }
        }
    }

    fn make_generations(&self, unit: &Unit) -> Result<(), RunError> {
        let Self { run, siblings, runner } = self;
        let runner = runner.get_or_init(|| GenerationRunner::new(run, siblings));
        if run.checks_bases {
            let arms = unit.arms_of(run.experiment);
            arms.map(|arm| run.experiment.at(arm, 0)).try_for_each(|arm| run.prepared.check_base(&arm))?;
        }
        let addresses = unit.addresses(run.experiment);
        let missing: Vec<Address> = addresses.iter().copied().filter(|&one| !run.store.exists(one)).collect();
        let lineages = if unit.is_first() { vec![SHARED.to_owned()] } else { unit.arms.clone() };
        for arm in &lineages {
            let is_own = |address: &&Address| unit.is_first() || address.arm == Some(arm);
            let generations = addresses.iter().filter(is_own).count() as u64;
            let done = generations - missing.iter().filter(is_own).count() as u64;
            let started = Event::LineageStarted { seed: unit.seed, arm: arm.clone(), generations, done };
            run.context.observer.observe(&started);
        }
        let made = missing.into_iter().map(|address| runner.make(run.arm_of(address), address.generation));
        let outcome = match unit.is_first() {
            // Arms do not depend on each other's generation 0.
            true => all_of(made),
            false => made.collect(),
        };
        for arm in lineages {
            run.context.observer.observe(&Event::LineageEnded { seed: unit.seed, arm });
        }
        outcome
    }
}
