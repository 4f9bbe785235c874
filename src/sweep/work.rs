//! Working on prepared runs beside other processes, on this machine or others.
//!
//! A worker repeatedly looks for a unit that can be made, claims it and makes it. What is done is asked of the stores,
//! never of the other workers. The runs may be those of a sweep, or a single one.

use super::{PreparedSweep, SweepPhase};
use crate::claims::{ClaimState, Process};
use crate::lineage::{POLL_INTERVAL, Run, RunContext, RunError, SeedUnits, SiblingRuns, UnitOutcome};
use crate::live::Live;
use crate::progress::{Event, error_chain};
use crate::store::Unit;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkSettings {
    /// The time without a sign of life after which others may take over a unit of this process.
    pub lease: Duration,
    /// Ends as soon as nothing can be made and nothing waits for what others are making. Otherwise the worker waits until
    /// everything is done, and takes over from processes that end.
    pub leaves: bool,
    /// Make only this unit and what it needs: the index of the run, and the unit.
    pub only: Option<(usize, Unit)>,
}

/// What a worker did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkReport {
    /// Units that it made.
    pub made: u64,
    /// Units that failed in this process, with their errors.
    pub failed: Vec<String>,
    /// Units that others are making.
    pub held: u64,
    /// Units that failed, here or on another machine, or need one that failed.
    pub blocked: u64,
}

impl PreparedSweep<'_> {
    /// Works on the runs in `folders`, one for each experiment, until nothing is left to do for this process. An error
    /// ends one unit, and the others are made.
    ///
    /// # Errors
    /// If the records of a run cannot be read, or the user asks to stop.
    pub fn work(
        &self,
        folders: &[PathBuf],
        settings: &WorkSettings,
        context: &RunContext,
    ) -> Result<WorkReport, RunError> {
        let live: Vec<Live> = folders.iter().map(|folder| Live::new(folder, context.observer)).collect();
        let contexts: Vec<RunContext> = live.iter().map(|one| context.watched_by(one)).collect();
        let run = |(index, folder): (usize, &PathBuf)| {
            Run::join(&self.experiments[index], self.text(index), folder, settings.lease, &contexts[index])
        };
        let runs = folders.iter().enumerate().map(run).collect::<Result<Vec<_>, _>>()?;
        let mut worker = Worker {
            prepared: self,
            runs: &runs,
            context,
            settings,
            host: Process::this().host,
            done: vec![BTreeSet::new(); runs.len()],
            failed: vec![BTreeSet::new(); runs.len()],
            report: WorkReport::default(),
            leaders: self.leaders()?,
            start: std::process::id() as usize,
            searches: 0,
        };
        worker.work()?;
        Ok(worker.report)
    }
}

struct Worker<'a> {
    prepared: &'a PreparedSweep<'a>,
    runs: &'a [Run<'a>],
    context: &'a RunContext<'a>,
    settings: &'a WorkSettings,
    /// The name of this machine.
    host: String,
    /// Units of each run that are known to be done.
    done: Vec<BTreeSet<Unit>>,
    /// Units of each run that failed in this process or on this machine.
    failed: Vec<BTreeSet<Unit>>,
    report: WorkReport,
    /// Runs whose generation 0 is the same as that of another one: see [`PreparedSweep::leaders`].
    leaders: BTreeMap<(usize, u64), usize>,
    /// Where searches begin. Different processes begin at different units, so that they rarely want the same one.
    start: usize,
    /// How often claims of others were looked at.
    searches: usize,
}

/// Claims of others that are looked at in one search.
const JUDGED: usize = 4;

/// The longest time between two searches.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The units of a run that are not done.
#[derive(Default)]
struct Open {
    /// Units that this process can make.
    ready: Vec<Unit>,
    /// Units that others are making.
    held: u64,
    /// Units that need one that is held or ready.
    waiting: u64,
    /// Units that failed, or need one that failed.
    blocked: u64,
}

impl<'a> Worker<'a> {
    fn work(&mut self) -> Result<(), RunError> {
        while let Some((index, unit)) = self.next()? {
            let siblings = SiblingRuns::new(self.siblings(index, &unit), unit.seed);
            let runs = self.runs;
            let units = runs[index].units_of(&siblings);
            self.make(index, &unit, &units)?;
            // The text of a seed is ready now, so its other units come next.
            let of_seed = |other: &Unit| other.seed == unit.seed && other.is_first() == unit.is_first();
            while let Some(unit) = self.open_units(index)?.ready.into_iter().find(of_seed) {
                self.make(index, &unit, &units)?;
            }
        }
        Ok(())
    }

    fn make(&mut self, index: usize, unit: &Unit, units: &SeedUnits) -> Result<(), RunError> {
        let failed = match units.make(unit) {
            Ok(UnitOutcome::Made) => {
                self.report.made += 1;
                self.done[index].insert(unit.clone());
                return Ok(());
            }
            Ok(UnitOutcome::Done) => {
                self.done[index].insert(unit.clone());
                return Ok(());
            }
            // Another process was faster, or has taken over.
            Ok(UnitOutcome::Held(_) | UnitOutcome::Lost) => return Ok(()),
            Ok(UnitOutcome::NotReady) => {
                "a generation 0 that was committed is missing; genloss prepare makes it possible to repeat it"
                    .to_owned()
            }
            Err(RunError::Interrupted) => return Err(RunError::Interrupted),
            Err(error) => error_chain(&error),
        };
        let failed = format!("{}: {failed}", self.name(index, unit));
        self.context.observer.observe(&Event::Note(format!("failed: {failed}")));
        self.failed[index].insert(unit.clone());
        self.report.failed.push(failed);
        Ok(())
    }

    /// Waits until a unit can be made. `None` if this process has nothing left to do.
    fn next(&mut self) -> Result<Option<(usize, Unit)>, RunError> {
        let begun = Instant::now();
        loop {
            self.context.pause(Duration::ZERO)?;
            let mut all = Open::default();
            let count = self.runs.len();
            for offset in 0..count {
                let index = (self.start + offset) % count;
                let open = self.open_units(index)?;
                if let Some(unit) = chosen(open.ready, self.start) {
                    return Ok(Some((index, unit)));
                }
                all.held += open.held;
                all.waiting += open.waiting;
                all.blocked += open.blocked;
            }
            let is_over = if self.settings.leaves { all.waiting == 0 } else { all.waiting + all.held == 0 };
            if is_over {
                self.report.held = all.held;
                self.report.blocked = all.blocked;
                return Ok(None);
            }
            // Who has waited long can wait a little longer, and asks less of the file server.
            self.context.pause((begun.elapsed() / 10).clamp(POLL_INTERVAL, LONGEST_PAUSE))?;
        }
    }

    /// The units of a run that are not done, as far as this process is to make them. Claims of others are only looked at
    /// if nothing else can be made, and only some of them at a time, so that many workers do not keep a file server busy.
    fn open_units(&mut self, index: usize) -> Result<Open, RunError> {
        let run = &self.runs[index];
        let units = Unit::all(run.experiment());
        let mut open = Open::default();
        if self.done[index].len() == units.len() {
            return Ok(open);
        }
        let marks = run.store().marks()?;
        let mut claimed = Vec::new();
        for unit in units {
            let needed = unit.needs().filter(|needed| !self.done[index].contains(needed));
            match marks.get(&unit) {
                Some(true) => drop(self.done[index].insert(unit)),
                _ if !self.is_wanted(index, &unit) || self.done[index].contains(&unit) => {}
                _ if self.failed[index].contains(&unit) => open.blocked += 1,
                Some(false) => claimed.push(unit),
                None => match needed {
                    None if self.waits_for_leader(index, &unit) => open.waiting += 1,
                    None => open.ready.push(unit),
                    Some(needed) if self.failed[index].contains(&needed) => open.blocked += 1,
                    Some(_) => open.waiting += 1,
                },
            }
        }
        if open.ready.is_empty() {
            self.judge(index, claimed, &mut open)?;
        } else {
            open.held += claimed.len() as u64;
        }
        Ok(open)
    }

    /// Returns true if another run makes the same generation 0, so that it is better to wait for that one.
    fn waits_for_leader(&self, index: usize, unit: &Unit) -> bool {
        let Some(&leader) = self.leaders.get(&(index, unit.seed)).filter(|_| unit.is_first()) else {
            return false;
        };
        let is_over = self.done[leader].contains(unit)
            || self.failed[leader].contains(unit)
            || self.runs[leader].is_done(unit);
        self.settings.only.is_none() && !is_over
    }

    /// Looks at some of the claims of a run, at others each time. The rest counts as held.
    fn judge(&mut self, index: usize, mut claimed: Vec<Unit>, open: &mut Open) -> Result<(), RunError> {
        self.searches += 1;
        if !claimed.is_empty() {
            let start = (self.start + self.searches * JUDGED) % claimed.len();
            claimed.rotate_left(start);
        }
        for (position, unit) in claimed.into_iter().enumerate() {
            let state = match position < JUDGED {
                true => self.runs[index].store().claim_state(&unit)?,
                false => None,
            };
            let needs_another = unit.needs().is_some_and(|needed| !self.done[index].contains(&needed));
            match state {
                Some(ClaimState::Done) => drop(self.done[index].insert(unit)),
                // On this machine it would fail again, while another machine may have what is missing here.
                Some(ClaimState::Failed(failure))
                    if failure.process.host == self.host && self.settings.only.is_none() =>
                {
                    open.blocked += 1;
                    self.failed[index].insert(unit);
                }
                Some(ClaimState::Free | ClaimState::Failed(_)) if needs_another => open.waiting += 1,
                Some(ClaimState::Free | ClaimState::Failed(_)) => open.ready.push(unit),
                Some(ClaimState::Held(_)) | None => open.held += 1,
            }
        }
        Ok(())
    }

    fn is_wanted(&self, index: usize, unit: &Unit) -> bool {
        self.settings
            .only
            .as_ref()
            .is_none_or(|(run, only)| *run == index && (only == unit || only.needs().as_ref() == Some(unit)))
    }

    /// The runs whose generations a unit may reuse.
    fn siblings(&self, index: usize, unit: &Unit) -> Vec<&'a Run<'a>> {
        let phase = if unit.is_first() { SweepPhase::First } else { SweepPhase::Later };
        let is_of_unit = |group: &super::UnitGroup| {
            group.phase == phase && group.seed == unit.seed && group.experiments.contains(&index)
        };
        let group = self.prepared.groups().into_iter().find(is_of_unit);
        let members = group.map_or(vec![index], |group| group.experiments);
        let runs = self.runs;
        members.into_iter().map(|member| &runs[member]).collect()
    }

    fn name(&self, index: usize, unit: &Unit) -> String {
        match self.runs.len() {
            1 => unit.to_string(),
            _ => format!("{}/{unit}", self.prepared.experiments()[index].name),
        }
    }
}

/// One of the units that can be made. Those that others wait for come first.
fn chosen(mut ready: Vec<Unit>, start: usize) -> Option<Unit> {
    if ready.iter().any(Unit::is_first) {
        ready.retain(Unit::is_first);
    }
    let place = start.checked_rem(ready.len())?;
    Some(ready.swap_remove(place))
}
