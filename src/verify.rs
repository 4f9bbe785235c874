//! Self-test of a build: does it still reproduce everything whose value is known?
//!
//! Three groups of [`Check`]s, all with a seed of the user's choice:
//!
//! - [`oracles`]: simulations of the training loop, compared with exact expectations;
//! - [`metrics`]: every metric of the catalogue, on texts for which its value follows from their construction;
//! - [`verdict`]: how often the verdict errs, on synthetic noise and, in a thorough run, on lineages of language models.
//!
//! **Tolerance of random checks.** A run computes K z-scores in all, and none of them may be larger than chance
//! explains. The threshold is the two-sided normal quantile at [`FALSE_ALARM`]/K (Bonferroni), about 5.3 at K = 700, so
//! that a correct build fails about one run in ten thousand, whatever the seed. z-scores of one statistic across
//! generations are correlated; Bonferroni remains valid, only slightly conservative. The mean of few or skewed
//! replicates is not normal in such extreme tails, so there are thousands of replicates, in settings where no statistic
//! is strongly skewed. Checks with another tolerance state it.
//!
//! **A check that cannot fail is worthless.** [`injected`] has five simulators that are wrong on purpose, and each must
//! fail. A z-score that is missing where one is expected, because nothing varies or a value is not a number, is a
//! failure.
//!
//! ```
//! use genloss::verify::{CheckGroup, Evidence, Finding, judge};
//!
//! let finding = |z: f64| Finding {
//!     group: CheckGroup::Oracles,
//!     name: "example".to_owned(),
//!     found: "0.51".to_owned(),
//!     expected: "0.5".to_owned(),
//!     evidence: Evidence::Scores(vec![z]),
//! };
//! let checks = judge(vec![finding(1.3), finding(7.9)]);
//! assert!(checks[0].passed && !checks[1].passed);
//! ```

pub mod injected;
pub mod metrics;
pub mod oracles;
pub mod verdict;

pub use injected::Fault;

use crate::calibration::CalibrationError;
use crate::config::ConfigError;
use crate::drift::DriftError;
use crate::lineage::{RunContext, RunError};
use crate::measure::MeasureError;
use crate::stage::Stage;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

/// Approximate probability that a correct build fails a run because of its z-scores.
pub const FALSE_ALARM: f64 = 1e-4;

/// Why a check could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A simulation of the loop could not be set up.
    #[error(transparent)]
    Drift(#[from] DriftError),
    /// A mixture or a built-in experiment is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A text could not be measured.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// The text of a built-in experiment could not be generated.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The user interrupted the run.
    #[error("interrupted")]
    Interrupted,
    /// A lineage of a built-in experiment failed.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
}

/// The three groups of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckGroup {
    /// Simulations of the training loop.
    Oracles,
    /// The metrics.
    Metrics,
    /// The verdict.
    Verdict,
}

impl CheckGroup {
    /// All groups, in the order in which they run.
    pub const ALL: [Self; 3] = [Self::Oracles, Self::Metrics, Self::Verdict];

    /// Name on the command line and in the output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Oracles => "oracles",
            Self::Metrics => "metrics",
            Self::Verdict => "verdict",
        }
    }
}

/// The number of random draws that the checks make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// About ten seconds.
    Quick,
    /// Five to thirteen times as many draws as quick, and lineages of language models: about half an hour.
    Full,
}

/// Settings of one run of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifySettings {
    /// Seed of all random streams.
    pub seed: u64,
    /// The number of random draws to make.
    pub thoroughness: Thoroughness,
    /// Replaces the simulator of the oracles by one with this fault.
    pub fault: Option<Fault>,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The group it belongs to.
    pub group: CheckGroup,
    /// The quantity that was checked.
    pub name: String,
    /// The value found.
    pub found: String,
    /// The value expected. Includes the tolerance, unless the check is based on z-scores.
    pub expected: String,
    /// The z-score of largest magnitude, if the check is based on z-scores.
    pub z: Option<f64>,
    /// Whether found and expected agree.
    pub passed: bool,
}

/// The basis on which a check will be judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Evidence {
    /// z-scores, none of which may exceed the common threshold ([`z_threshold`]). An empty list fails.
    Scores(Vec<f64>),
    /// The check has its own tolerance and has passed (true) or failed.
    Decided(bool),
}

/// A check that has not been judged yet, because the threshold depends on the number of z-scores of the whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// As in [`Check`].
    pub group: CheckGroup,
    /// As in [`Check`].
    pub name: String,
    /// As in [`Check`].
    pub found: String,
    /// As in [`Check`].
    pub expected: String,
    /// Basis of the judgement.
    pub evidence: Evidence,
}

/// Makes the checks of a group. Only [`CheckGroup::Verdict`] uses `context`, for its language models.
///
/// # Errors
/// If a check cannot be made, or the user interrupts.
pub fn findings(
    group: CheckGroup,
    settings: &VerifySettings,
    context: &RunContext,
    stage: &Stage,
) -> Result<Vec<Finding>, VerifyError> {
    match group {
        CheckGroup::Oracles => oracles::findings(settings, stage),
        CheckGroup::Metrics => metrics::findings(settings, stage),
        CheckGroup::Verdict => verdict::findings(settings, context, stage),
    }
}

/// Judges findings. The z-scores of all of them share one threshold.
#[must_use]
pub fn judge(findings: Vec<Finding>) -> Vec<Check> {
    let threshold = z_threshold(findings.iter().map(|finding| finding.evidence.scores().len()).sum());
    findings.into_iter().map(|finding| finding.judge(threshold)).collect()
}

/// The magnitude that at least one of `scores` standard normal numbers exceeds with probability [`FALSE_ALARM`]
/// (Bonferroni).
#[must_use]
pub fn z_threshold(scores: usize) -> f64 {
    -Normal::standard().inverse_cdf(FALSE_ALARM / (2.0 * scores.max(1) as f64))
}

impl Evidence {
    fn scores(&self) -> &[f64] {
        match self {
            Self::Scores(scores) => scores,
            Self::Decided(_) => &[],
        }
    }
}

impl Finding {
    /// Checks that a number agrees with `expected` to within `tolerance`; NaN never does.
    fn number(group: CheckGroup, name: impl Into<String>, found: f64, expected: f64, tolerance: f64) -> Self {
        Self {
            group,
            name: name.into(),
            found: format_number(found),
            expected: format!("{} ± {}", format_number(expected), format_number(tolerance)),
            evidence: Evidence::Decided((found - expected).abs() <= tolerance),
        }
    }

    fn judge(self, threshold: f64) -> Check {
        let worst = worst(self.evidence.scores());
        let passed = match &self.evidence {
            Evidence::Scores(scores) => !scores.is_empty() && scores.iter().all(|z| z.abs() <= threshold),
            Evidence::Decided(passed) => *passed,
        };
        let Self { group, name, found, expected, .. } = self;
        Check { group, name, found, expected, z: worst.map(|(_, z)| z), passed }
    }
}

/// Returns an error if the user has interrupted the run.
fn check_interrupt(stage: &Stage) -> Result<(), VerifyError> {
    if stage.interrupted() { Err(VerifyError::Interrupted) } else { Ok(()) }
}

/// The index and value of the z-score of largest magnitude.
fn worst(scores: &[f64]) -> Option<(usize, f64)> {
    scores.iter().copied().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
}

/// Formats a number with six significant digits, without trailing zeros.
fn format_number(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let exponent = number.abs().log10().floor();
    if !(-5.0..9.0).contains(&exponent) {
        return format!("{number:.1e}");
    }
    let text = format!("{number:.*}", (5.0 - exponent).max(0.0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(evidence: Evidence) -> Finding {
        let (found, expected) = (String::new(), String::new());
        Finding { group: CheckGroup::Oracles, name: String::new(), found, expected, evidence }
    }

    /// From tables of the normal distribution: two-sided 10⁻⁴ is 3.890 592; for a hundred scores 10⁻⁶ is 4.891 638.
    #[test]
    fn the_threshold_grows_with_the_number_of_scores() {
        assert!((z_threshold(1) - 3.890_592).abs() < 1e-5);
        assert!((z_threshold(100) - 4.891_638).abs() < 1e-5);
    }

    #[test]
    fn a_check_fails_if_one_score_exceeds_the_threshold_or_there_is_none() {
        let scores = |far: f64| finding(Evidence::Scores(vec![0.1, far, -0.2]));
        let checks =
            judge(vec![scores(-4.0), scores(-4.5), finding(Evidence::Scores(vec![])), scores(f64::NAN)]);
        assert_eq!(checks.iter().map(|check| check.passed).collect::<Vec<_>>(), [true, false, false, false]);
        assert_eq!(checks[1].z, Some(-4.5));
    }

    #[test]
    fn a_value_that_is_not_a_number_never_passes() {
        let passes = |found| Finding::number(CheckGroup::Metrics, "x", found, 1.0, 0.1).judge(4.0).passed;
        assert!(passes(1.05) && !passes(1.2) && !passes(f64::NAN));
    }

    #[test]
    fn numbers_are_formatted_with_six_significant_digits() {
        let texts = [0.0, 1.0, 0.743_147_18, 123_456.7, -1e-9].map(format_number);
        assert_eq!(texts, ["0", "1", "0.743147", "123457", "-1.0e-9"]);
    }
}
