//! `[[expect]]`: published numbers that a run should reproduce.

use crate::settings::{SettingError, nearest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number that is expected of a run, and where it comes from. No result depends on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Id of a metric, such as `heldout_loss`.
    pub metric: String,
    /// Name of an arm, or `control`.
    pub arm: String,
    /// Generation at which the metric is compared.
    #[schemars(range(max = 1000))]
    pub generation: usize,
    /// The mean over seeds that is expected, in the unit of the metric.
    pub value: f64,
    /// The largest distance from `value` that counts as reproduced, in the unit of the metric.
    #[schemars(range(min = 0.0))]
    pub tolerance: f64,
    /// Where `value` is published: paper, table or figure.
    pub source: String,
}

/// Checks that the expectations are of the given arms and of generations up to the last.
pub(super) fn check(all: &[Expectation], arms: &[&str], last: usize) -> Result<(), SettingError> {
    for expected in all {
        if !arms.contains(&expected.arm.as_str()) {
            let advice = nearest(&expected.arm, arms.iter().copied())
                .map_or_else(String::new, |nearest| format!("; the nearest is \"{nearest}\""));
            return Err(SettingError::new("expect", format!("there is no arm \"{}\"{advice}", expected.arm)));
        }
        if expected.generation > last {
            let message = format!(
                "generation {} of arm \"{}\" is beyond generations = {last}",
                expected.generation, expected.arm
            );
            return Err(SettingError::new("expect", message));
        }
        if !(expected.value.is_finite() && expected.tolerance.is_finite()) {
            let message = format!("value and tolerance of {} must be finite numbers", expected.metric);
            return Err(SettingError::new("expect", message));
        }
    }
    Ok(())
}
