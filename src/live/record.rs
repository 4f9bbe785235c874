//! The contents of a live file.

use crate::claims::Process;
use serde::{Deserialize, Serialize};

/// What a process does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveRecord {
    /// The process.
    pub process: Process,
    /// Lineages in work, in the order in which they began.
    pub lineages: Vec<LineageNow>,
    /// Work that belongs to no lineage, such as the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<StageNow>,
    /// The last messages to the user, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A lineage in work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineageNow {
    /// Its seed.
    pub seed: u64,
    /// Its arm; empty for generation 0 of all arms.
    pub arm: String,
    /// The generations to be made.
    pub generations: u64,
    /// Those that are committed.
    pub done: u64,
    /// The generation in work.
    pub generation: usize,
    /// The stage of that generation; `None` between stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageNow>,
    /// The loss curve of the training that is going on or was the last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<LossNow>,
}

/// A stage in work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageNow {
    /// Its name, such as `training`.
    pub name: String,
    /// The unit of `total` and `done`.
    pub unit: String,
    /// All of its work.
    pub total: u64,
    /// The work done.
    pub done: u64,
    /// Speed in the last seconds; `None` until it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
}

impl StageNow {
    /// Seconds until the stage is over, at its present speed.
    #[must_use]
    pub fn seconds_left(&self) -> Option<f64> {
        let per_second = self.per_second.filter(|speed| *speed > 0.0)?;
        Some(self.total.saturating_sub(self.done) as f64 / per_second)
    }
}

/// A point of a loss curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossNow {
    /// Training tokens processed so far.
    pub tokens: u64,
    /// Mean training loss since the previous point.
    pub nats_per_token: f64,
}
