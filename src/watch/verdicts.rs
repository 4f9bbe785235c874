//! Verdicts of many runs for the list, computed in the background and kept as words.

use super::runs::{Run, RunState};
use crate::config::CONTROL;
use crate::store::{self, StoreError};
use crate::verdict::{self, Verdict};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// A verdict of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArmVerdict {
    pub(super) arm: String,
    pub(super) verdict: Verdict,
}

/// Verdicts by run, each for a version of its records.
#[derive(Debug, Default)]
pub(super) struct Verdicts(BTreeMap<String, Known>);

#[derive(Debug)]
struct Known {
    version: u64,
    verdicts: Vec<ArmVerdict>,
    /// Those of a later version are not computed before this time.
    again: Instant,
    /// When records that could not be read are read again though nothing has changed: the disk may be well again.
    reread: Option<Instant>,
}

/// Of the time of the server, verdicts take one part in this many.
const SHARE: u32 = 10;

/// Time until records that could not be read are read again.
const REREAD: Duration = Duration::from_secs(60);

impl Verdicts {
    /// The verdicts of a run; empty until they are known. Those of an older version are still shown.
    pub(super) fn of(&self, id: &str) -> &[ArmVerdict] {
        self.0.get(id).map_or(&[], |known| &known.verdicts)
    }

    /// The verdicts to show beside a run: none if its records cannot be read.
    pub(super) fn on(&self, id: &str, run: &Run) -> &[ArmVerdict] {
        if matches!(run.state, RunState::Unreadable(_)) { &[] } else { self.of(id) }
    }

    /// Whether the verdicts of this version have to be computed now.
    pub(super) fn is_due(&self, id: &str, version: u64) -> bool {
        let is_due = |known: &Known| {
            let due = if known.version == version { known.reread } else { Some(known.again) };
            due.is_some_and(|due| due <= Instant::now())
        };
        self.0.get(id).is_none_or(is_due)
    }

    /// Keeps the verdicts of a version, which took `time` to compute; `None` if its records are damaged.
    pub(super) fn keep(&mut self, id: &str, version: u64, verdicts: Option<Vec<ArmVerdict>>, time: Duration) {
        let (now, pause) = (Instant::now(), time * SHARE);
        let reread = verdicts.is_none().then(|| now + pause.max(REREAD));
        let verdicts = verdicts.unwrap_or_default();
        self.0.insert(id.to_owned(), Known { version, verdicts, again: now + pause, reread });
    }
}

/// The verdicts of the run or study in a folder.
///
/// # Errors
/// If a record cannot be read or was changed after it was written.
pub(super) fn compute(folder: &Path, is_study: bool) -> Result<Vec<ArmVerdict>, StoreError> {
    if is_study {
        let records = store::read_all(folder)?;
        let several = records.len() > 1;
        let of = |record: &store::RunRecord| {
            let found = words(&record.experiment.name, &record.observations(), &record.catalogue());
            let name = record.experiment.name.clone();
            found.into_iter().map(move |one| match several {
                true => ArmVerdict { arm: format!("{name}: {}", one.arm), ..one },
                false => one,
            })
        };
        return Ok(records.iter().flat_map(of).collect());
    }
    let experiment = store::experiment(folder)?;
    let (observations, catalogue) = store::observations(folder, &experiment)?;
    Ok(words(&experiment.name, &observations, &catalogue))
}

fn words(
    experiment: &str,
    observations: &[verdict::Observation],
    catalogue: &crate::measure::Catalogue,
) -> Vec<ArmVerdict> {
    let comparisons = verdict::compare(experiment, observations, CONTROL, catalogue).into_iter();
    comparisons.map(|one| ArmVerdict { arm: one.arm, verdict: one.verdict }).collect()
}
