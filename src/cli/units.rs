//! `genloss units`: the units of work of a run or sweep, with their states.

use super::output;
use super::runs::{self, FolderArgs, NamedUnit, held_for, seconds_held};
use crate::store::UnitState;
use crate::terminal::on_one_line;
use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

/// Options of `genloss units`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    folder: FolderArgs,
    /// Only names of units that are neither done nor claimed, for other programs.
    #[arg(long)]
    pending: bool,
    /// Output format.
    #[arg(long, value_enum, default_value = "text", conflicts_with = "pending")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A line for each unit.
    Text,
    /// An array of objects.
    Json,
}

/// A unit, for programs.
#[derive(Serialize)]
struct UnitRow {
    unit: String,
    /// `done`, `claimed`, `failed`, `ready` or `waiting`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    /// Since when it is claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The unit that it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<String>,
}

impl Args {
    /// Lists the units.
    pub fn exec(self) -> Result<()> {
        let found = self.folder.find()?;
        let units = runs::units(&found)?;
        if self.pending {
            let is_pending =
                |unit: &&NamedUnit| !matches!(unit.state, UnitState::Done | UnitState::Claimed(_));
            let names = units.iter().filter(is_pending).map(|unit| format!("{}\n", unit.name));
            return output::emit(&names.collect::<String>());
        }
        match self.format {
            Format::Json => output::json(&units.iter().map(row).collect::<Vec<_>>()),
            Format::Text => {
                let width = units.iter().map(|unit| unit.name.len()).max().unwrap_or(0);
                let lines = units
                    .iter()
                    .map(|unit| format!("{:<width$}  {}\n", unit.name, on_one_line(&described(&unit.state))));
                output::emit(&lines.collect::<String>())
            }
        }
    }
}

fn described(state: &UnitState) -> String {
    match state {
        UnitState::Done => "done".to_owned(),
        UnitState::Claimed(holder) => format!("claimed by {holder}{}", held_for(holder)),
        UnitState::Failed(failure) => format!("failed on {}: {}", failure.process, failure.error),
        UnitState::Ready => "ready".to_owned(),
        UnitState::Waiting(needed) => format!("waiting for {needed}"),
    }
}

fn row(NamedUnit { name, state, .. }: &NamedUnit) -> UnitRow {
    let (process, error) = match state {
        UnitState::Claimed(holder) => (Some(&holder.process), None),
        UnitState::Failed(failure) => (Some(&failure.process), Some(failure.error.clone())),
        UnitState::Done | UnitState::Ready | UnitState::Waiting(_) => (None, None),
    };
    UnitRow {
        unit: name.clone(),
        state: match state {
            UnitState::Done => "done",
            UnitState::Claimed(_) => "claimed",
            UnitState::Failed(_) => "failed",
            UnitState::Ready => "ready",
            UnitState::Waiting(_) => "waiting",
        },
        host: process.map(|process| process.host.clone()),
        pid: process.map(|process| process.pid),
        job: process.and_then(|process| process.job.as_ref()).map(|job| job.id.clone()),
        seconds: match state {
            UnitState::Claimed(holder) => seconds_held(holder),
            _ => None,
        },
        error,
        needs: match state {
            UnitState::Waiting(needed) => Some(needed.to_string()),
            _ => None,
        },
    }
}
