//! `genloss status`: what is done of a run or sweep, who works on it, what failed and why, and how long the rest will take.

use super::output;
use super::runs::{self, FolderArgs, NamedUnit};
use crate::claims::Holder;
use crate::store::{self, UnitState};
use crate::sweep::RecordedRuns;
use crate::terminal::on_one_line;
use crate::units::counted;
use anyhow::Result;
use std::collections::BTreeMap;

/// Units whose time is looked up for the estimate.
const SAMPLE: usize = 100;

/// Failures that are shown.
const SHOWN_FAILURES: usize = 10;

/// Options of `genloss status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    folder: FolderArgs,
}

impl Args {
    /// Prints the status.
    pub fn exec(self) -> Result<()> {
        let found = self.folder.find()?;
        let units = runs::units(&found)?;
        let mut text = format!("{}: {}\n", self.folder.folder.display(), totals(&units));
        for (host, holders) in workers(&units) {
            text.push_str(&format!("  {}\n", on_one_line(&format!("{host}: {}", described(&holders)))));
        }
        let failures = units.iter().filter_map(|unit| match &unit.state {
            UnitState::Failed(failure) => Some((&unit.name, failure)),
            _ => None,
        });
        for (name, failure) in failures.take(SHOWN_FAILURES) {
            let line = format!("{name} failed on {}: {}", failure.process, failure.error);
            text.push_str(&format!("  {}\n", on_one_line(&line)));
        }
        text.push_str(&time_left(&found, &units));
        output::emit(&text)
    }
}

fn totals(units: &[NamedUnit]) -> String {
    let count = |is: fn(&UnitState) -> bool| units.iter().filter(|unit| is(&unit.state)).count();
    let parts = [
        (count(|state| matches!(state, UnitState::Claimed(_))), "being made"),
        (count(|state| matches!(state, UnitState::Failed(_))), "failed"),
        (count(|state| matches!(state, UnitState::Ready)), "ready"),
        (count(|state| matches!(state, UnitState::Waiting(_))), "waiting for another"),
    ];
    let done = count(|state| matches!(state, UnitState::Done));
    let others =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    format!("{done} of {} done{}", counted(units.len() as u64, "unit"), others.collect::<String>())
}

/// The processes that work, by machine.
fn workers(units: &[NamedUnit]) -> BTreeMap<&str, Vec<(&str, &Holder)>> {
    let mut workers: BTreeMap<&str, Vec<(&str, &Holder)>> = BTreeMap::new();
    for unit in units {
        if let UnitState::Claimed(holder) = &unit.state {
            workers.entry(&holder.process.host).or_default().push((&unit.name, holder));
        }
    }
    workers
}

fn described(holders: &[(&str, &Holder)]) -> String {
    let one = |(name, holder): &(&str, &Holder)| {
        let job = holder.process.job.as_ref().map_or(String::new(), |job| format!("job {}, ", job.id));
        format!("{name} ({job}process {}{})", holder.process.pid, runs::held_for(holder))
    };
    holders.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// An estimate from the units that are done: those that are left take as long on average, shared by the processes that
/// work now.
fn time_left(found: &RecordedRuns, units: &[NamedUnit]) -> String {
    let left = units.iter().filter(|unit| unit.state != UnitState::Done).count();
    let workers = units.iter().filter(|unit| matches!(unit.state, UnitState::Claimed(_))).count();
    if left == 0 {
        let is_finished = found.folders.iter().all(|folder| !store::text_folder(folder).exists());
        let next = if is_finished { "" } else { "; verify and compare with genloss collect" };
        return format!("everything is done{next}\n");
    }
    if workers == 0 {
        return "nobody works on it\n".to_owned();
    }
    // Units that others wait for are shorter than the rest, which is what is left in the end.
    let times = |is_first: bool| -> Vec<f64> {
        let done =
            units.iter().filter(|unit| unit.state == UnitState::Done && unit.unit.is_first() == is_first);
        done.take(SAMPLE)
            .filter_map(|unit| store::unit_seconds(&found.folders[unit.run], &unit.unit))
            .collect()
    };
    let times = Some(times(false)).filter(|times| !times.is_empty()).unwrap_or_else(|| times(true));
    if times.is_empty() {
        return "time left: known when the first units are done\n".to_owned();
    }
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    let seconds = mean * (left as f64 / workers as f64).ceil();
    format!(
        "time left: about {} with {} ({} took {} on average)\n",
        runs::time(seconds),
        counted(workers as u64, "worker"),
        counted(times.len() as u64, "unit"),
        runs::time(mean)
    )
}
