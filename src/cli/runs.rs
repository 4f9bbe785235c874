//! The runs in a folder that several processes work on.

use super::cost;
use crate::claims::Holder;
use crate::store::{Unit, UnitState, unit_states};
use crate::sweep::RecordedRuns;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folder of a run or sweep.
#[derive(Debug, clap::Args)]
pub struct FolderArgs {
    /// Folder of a run or sweep.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

impl FolderArgs {
    /// The runs in the folder.
    pub fn find(&self) -> Result<RecordedRuns> {
        let folder = self.folder.display();
        ensure!(
            self.folder.is_dir(),
            "{folder}: there is no such folder on this machine; all processes that work on a run need a file system that \
             they share"
        );
        Ok(RecordedRuns::find(&self.folder)?)
    }
}

/// A unit of one of several runs, with its state.
pub struct NamedUnit {
    /// `seed-1/anchored`, in a sweep with the name of the run in front.
    pub name: String,
    /// The index of its run.
    pub run: usize,
    /// The unit.
    pub unit: Unit,
    /// Its state.
    pub state: UnitState,
}

/// Every unit of the runs, in their order.
pub fn units(runs: &RecordedRuns) -> Result<Vec<NamedUnit>> {
    let mut all = Vec::new();
    for (run, (folder, experiment)) in runs.folders.iter().zip(&runs.experiments).enumerate() {
        for (unit, state) in unit_states(folder, experiment)? {
            all.push(NamedUnit { name: name(runs, run, &unit), run, unit, state });
        }
    }
    Ok(all)
}

/// The name of a unit.
pub fn name(runs: &RecordedRuns, run: usize, unit: &Unit) -> String {
    match runs.are_of_sweep {
        true => format!("{}/{unit}", folder_name(&runs.folders[run])),
        false => unit.to_string(),
    }
}

/// The run and unit with this name.
pub fn find(runs: &RecordedRuns, name: &str) -> Result<(usize, Unit)> {
    let (run, unit) = match runs.are_of_sweep {
        false => (0, name),
        true => {
            let (folder, unit) = name.split_once('/').with_context(|| unknown(name))?;
            let run = runs.folders.iter().position(|path| folder_name(path) == folder);
            (run.with_context(|| unknown(name))?, unit)
        }
    };
    let unit = unit.parse::<Unit>().ok().filter(|unit| Unit::all(&runs.experiments[run]).contains(unit));
    Ok((run, unit.with_context(|| unknown(name))?))
}

fn unknown(name: &str) -> String {
    format!("--unit {name}: there is no such unit; genloss units lists them")
}

fn folder_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// How long a process has held a unit: `, for 12 s`. Empty if that is unknown.
pub fn held_for(holder: &Holder) -> String {
    seconds_held(holder).map_or(String::new(), |seconds| format!(", for {}", time(seconds)))
}

/// How many seconds a process has held a unit, by this machine's clock; `None` if that is unknown.
pub fn seconds_held(holder: &Holder) -> Option<f64> {
    let since = |time| SystemTime::now().duration_since(time).unwrap_or_default().as_secs_f64();
    holder.since.map(since)
}

/// A time for people: `12 s`, `3 minutes`, `1.5 hours`.
pub fn time(seconds: f64) -> String {
    if seconds < 60.0 { format!("{seconds:.0} s") } else { cost::duration(seconds) }
}
