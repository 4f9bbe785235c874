//! `genloss collect`: finishes a run or sweep when its units are done, and shows the results.

use super::machine::{self, MachineArgs};
use super::output::{self, say};
use super::runs::{self, FolderArgs, NamedUnit};
use super::stop;
use super::{compare, report};
use crate::lineage::{Run, RunContext};
use crate::measure::Metrics;
use crate::store::{self, UnitState};
use crate::sweep::{PreparedSweep, RecordedRuns};
use crate::units::counted;
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::slice;

/// Missing units that are named.
const NAMED: usize = 5;

/// Options of `genloss collect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Args {
    /// Verifies every generation, records the baseline, removes what is no longer needed, compares and reports. An error
    /// names what is missing.
    pub fn exec(self) -> Result<()> {
        let found = self.folder.find()?;
        self.close(&found)?;
        let finished: Vec<_> = (found.folders.iter().zip(&found.experiments))
            .filter(|(folder, experiment)| store::is_finished(folder, experiment))
            .map(|(folder, _)| folder.clone())
            .collect();
        if !finished.is_empty() {
            show(&found, &finished)?;
        }
        let units = runs::units(&found)?;
        let missing: Vec<&NamedUnit> = units.iter().filter(|unit| unit.state != UnitState::Done).collect();
        match missing.len() {
            0 => Ok(()),
            count => bail!(
                "{} missing: {}; make what is missing with genloss work (after a failure, genloss prepare first), then \
                 collect again",
                counted(count as u64, "unit"),
                named(&missing)
            ),
        }
    }

    /// Verifies every run that still has claims or text for workers, and closes those that are done.
    fn close(&self, found: &RecordedRuns) -> Result<()> {
        let RecordedRuns { folders, experiments, .. } = found.prepared();
        let device = self.machine.open()?;
        say(&format!("{}: verifying what is done", self.folder.folder.display()));
        let prepared = PreparedSweep::load(&experiments, &folders)?;
        let observer = machine::observer();
        let interrupt = stop::interrupt(stop::WhenAsked::Stop)?;
        let context = RunContext {
            device: &device,
            observer: observer.as_ref(),
            interrupt: &interrupt,
            metrics: &Metrics::builtin(),
            provenance: self.machine.provenance(),
        };
        for (index, folder) in folders.iter().enumerate() {
            let run = Run::join(&experiments[index], prepared.text(index), folder, store::LEASE, &context)?;
            let progress = run.progress()?;
            run.store().reopen_incomplete(&experiments[index])?;
            if progress.done == progress.generations {
                run.baseline()?;
                run.close()?;
            }
        }
        Ok(())
    }
}

/// Compares the finished runs, and writes a page into the folder of each. (A page in the folder of a sweep would stand among
/// its runs.)
fn show(found: &RecordedRuns, finished: &[PathBuf]) -> Result<()> {
    match found.are_of_sweep {
        true => compare::print_overview(finished)?,
        false => compare::print_summary(finished)?,
    }
    for folder in finished {
        let page = report::write(slice::from_ref(folder), folder)?;
        output::emit(&format!("report: {}\n", page.display()))?;
    }
    Ok(())
}

/// The names of the first units, with what is known about them.
fn named(missing: &[&NamedUnit]) -> String {
    let described = |unit: &&NamedUnit| match &unit.state {
        UnitState::Claimed(holder) => format!("{} (claimed by {holder})", unit.name),
        UnitState::Failed(failure) => {
            format!("{} (failed on {}: {})", unit.name, failure.process.host, failure.error)
        }
        UnitState::Done | UnitState::Ready | UnitState::Waiting(_) => unit.name.clone(),
    };
    // Failures first, because they need attention.
    let (failed, others): (Vec<_>, Vec<_>) =
        missing.iter().partition(|unit| matches!(unit.state, UnitState::Failed(_)));
    let names: Vec<String> = failed.iter().chain(&others).take(NAMED).map(described).collect();
    let more = missing.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more; genloss status shows them") } else { String::new() };
    format!("{}{more}", names.join(", "))
}
