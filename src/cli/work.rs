//! `genloss work`: makes units of a prepared run or sweep, beside any number of other processes.

use super::machine::{self, MachineArgs};
use super::output::{self, say};
use super::run;
use super::runs::{self, FolderArgs};
use super::stop;
use crate::config::Experiment;
use crate::lineage::{RunContext, RunError};
use crate::measure::Metrics;
use crate::store;
use crate::sweep::{PreparedSweep, RecordedRuns, WorkReport, WorkSettings};
use crate::units::counted;
use anyhow::{Result, bail, ensure};
use std::path::PathBuf;
use std::time::Duration;

/// Options of `genloss work`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    folder: FolderArgs,
    /// Make this unit, and what it needs, and nothing else.
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// End when all that is left is being made by others, instead of waiting and taking over from processes that end.
    #[arg(long)]
    leave: bool,
    /// Seconds without a sign of life after which others may take over from this process.
    #[arg(long, value_name = "SECONDS", default_value_t = store::LEASE.as_secs_f64())]
    lease: f64,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Args {
    /// Makes units until nothing is left to do for this process.
    pub fn exec(self) -> Result<()> {
        ensure!((1.0..=86_400.0).contains(&self.lease), "--lease {}: give 1 to 86400 seconds", self.lease);
        // First, so that a signal at any time gives the right exit code.
        let interrupt = stop::interrupt(stop::WhenAsked::WriteCheckpoint)?;
        let recorded = self.folder.find()?;
        let unit = self.unit.as_deref().map(|name| runs::find(&recorded, name).map(|_| name)).transpose()?;
        if let Some(folder) = unprepared(&recorded) {
            let folder = folder.display();
            bail!("{folder}: is not ready for workers; run genloss prepare with its experiment file");
        }
        let open = recorded.prepared();
        let only = unit.and_then(|name| runs::find(&open, name).ok());
        if open.folders.is_empty() || (unit.is_some() && only.is_none()) {
            say(&format!("{}: everything is done", self.folder.folder.display()));
            return self.conclude(&WorkReport::default());
        }
        let settings = WorkSettings { lease: Duration::from_secs_f64(self.lease), leaves: self.leave, only };
        let device = self.machine.open()?;
        let observer = machine::observer();
        let context = RunContext {
            device: &device,
            observer: observer.as_ref(),
            interrupt: &interrupt,
            metrics: &Metrics::builtin(),
            provenance: self.machine.provenance(),
        };
        let prepared = PreparedSweep::load(&open.experiments, &open.folders)?;
        let report = prepared.work(&open.folders, &settings, &context).map_err(|error| match error {
            RunError::Interrupted => run::explained(error, &self.folder.folder),
            error => error.into(),
        })?;
        self.conclude(&report)
    }

    fn conclude(&self, report: &WorkReport) -> Result<()> {
        let WorkReport { made, failed, held, blocked } = report;
        let mut text = format!("made {}", counted(*made, "unit"));
        if *held > 0 {
            text.push_str(&format!("; left {held} to processes that are making them"));
        }
        if *blocked > 0 {
            text.push_str(&format!("; {blocked} failed or need one that failed: see genloss status"));
        }
        output::emit(&format!("{text}\n"))?;
        match failed.first() {
            None => Ok(()),
            Some(first) if failed.len() == 1 => bail!("{first}"),
            Some(first) => bail!("{} failed; the first: {first}", counted(failed.len() as u64, "unit")),
        }
    }
}

/// The first run that is not finished and lacks the text that workers need.
fn unprepared(recorded: &RecordedRuns) -> Option<&PathBuf> {
    let is_unprepared = |(folder, experiment): &(&PathBuf, &Experiment)| {
        !store::text_folder(folder).exists() && !store::is_finished(folder, experiment)
    };
    recorded.folders.iter().zip(&recorded.experiments).find(is_unprepared).map(|(folder, _)| folder)
}
