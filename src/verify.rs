//! Verify: does this build still say what is known to be true?
//!
//! Three groups of [`Check`]s, all under a seed of the user's choosing:
//!
//! - [`oracles`]: the loop, simulated, against exact expectations;
//! - [`metrics`]: every metric of the catalogue, on texts whose value is known without measuring;
//! - [`verdict`]: how often the verdict errs, on made-up noise and, in the full run, on lineages of language models.
//!
//! **Tolerance of what is random.** A run makes many z-scores, K in all, and asks of each whether it could be chance. The
//! line is the two-sided quantile of the normal distribution at [`FALSE_ALARM`]/K (Bonferroni), some 5.3 at K = 700, so
//! that a sound build fails in about one run of ten thousand, whatever the seed. z-scores of one statistic across
//! generations go together; Bonferroni stays valid, only a little careful. A mean of few or skewed replicates is not
//! normal that far out, so there are thousands of replicates, in settings where none of them is lopsided. What has a
//! tolerance of its own states it.
//!
//! **A check that cannot fail is none.** [`injected`] holds five faults of a simulator; each must be found out. And a
//! z-score that is missing where one belongs, because nothing varies or a value is no number, is a failure.

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

/// The chance that a sound build fails a run by its z-scores, about.
pub const FALSE_ALARM: f64 = 1e-4;

/// What can keep a check from being made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A loop that cannot be simulated.
    #[error(transparent)]
    Drift(#[from] DriftError),
    /// A mixture or a built-in experiment that is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Text that could not be measured.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// The text of a built-in experiment could not be made.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A lineage of a built-in experiment failed.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
}

/// What is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckGroup {
    /// The simulator of the loop.
    Oracles,
    /// The metrics.
    Metrics,
    /// The verdict.
    Verdict,
}

impl CheckGroup {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Oracles, Self::Metrics, Self::Verdict];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Oracles => "oracles",
            Self::Metrics => "metrics",
            Self::Verdict => "verdict",
        }
    }
}

/// How thoroughly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// Some ten seconds.
    Quick,
    /// Five to thirteen times as many draws, and language models.
    Full,
}

/// A run of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifySettings {
    /// Names every random draw.
    pub seed: u64,
    /// How thoroughly.
    pub depth: Thoroughness,
    /// Breaks the simulator of the oracles.
    pub fault: Option<Fault>,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What it is about.
    pub group: CheckGroup,
    /// What was checked.
    pub name: String,
    /// What was found.
    pub found: String,
    /// What is expected, with its tolerance where that is not the one of z.
    pub expected: String,
    /// The z-score that lies farthest out, where the check rests on such.
    pub z: Option<f64>,
    /// Whether the two agree.
    pub passed: bool,
}

/// What a check rests on, before it is known how many z-scores there are.
#[derive(Clone, Debug, PartialEq)]
pub enum Evidence {
    /// z-scores, all of which must stay within the common line.
    Scores(Vec<f64>),
    /// A verdict of its own.
    Settled(bool),
}

/// A check that has not been judged.
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
    /// What it rests on.
    pub evidence: Evidence,
}

/// Makes the checks of a group. Only the verdict needs `context`, for its language models.
///
/// # Errors
/// When a check cannot be made, or the user asks to stop.
pub fn findings(
    group: CheckGroup,
    plan: &VerifySettings,
    context: &RunContext,
    stage: &Stage,
) -> Result<Vec<Finding>, VerifyError> {
    match group {
        CheckGroup::Oracles => oracles::findings(plan, stage),
        CheckGroup::Metrics => metrics::findings(plan, stage),
        CheckGroup::Verdict => verdict::findings(plan, context, stage),
    }
}

/// Judges findings, the z-scores of all of them by one line.
#[must_use]
pub fn judge(findings: Vec<Finding>) -> Vec<Check> {
    let line = line(findings.iter().map(|finding| finding.evidence.scores().len()).sum());
    findings.into_iter().map(|finding| finding.judged(line)).collect()
}

/// How far out one of `scores` standard normal numbers may lie: two-sided, [`FALSE_ALARM`] for all together.
#[must_use]
pub fn line(scores: usize) -> f64 {
    -Normal::standard().inverse_cdf(FALSE_ALARM / (2.0 * scores.max(1) as f64))
}

impl Evidence {
    fn scores(&self) -> &[f64] {
        match self {
            Self::Scores(scores) => scores,
            Self::Settled(_) => &[],
        }
    }
}

impl Finding {
    /// A number that has to agree with `expected` to within `tolerance`.
    fn number(group: CheckGroup, name: impl Into<String>, found: f64, expected: f64, tolerance: f64) -> Self {
        Self {
            group,
            name: name.into(),
            found: shown(found),
            expected: format!("{} ± {}", shown(expected), shown(tolerance)),
            // A value that is no number is not within anything.
            evidence: Evidence::Settled((found - expected).abs() <= tolerance),
        }
    }

    fn judged(self, line: f64) -> Check {
        let worst = worst(self.evidence.scores());
        let passed = match &self.evidence {
            Evidence::Scores(scores) => !scores.is_empty() && scores.iter().all(|z| z.abs() <= line),
            Evidence::Settled(passed) => *passed,
        };
        let Self { group, name, found, expected, .. } = self;
        Check { group, name, found, expected, z: worst.map(|place| place.1), passed }
    }
}

/// An error once the user asks to stop.
fn check_interrupt(stage: &Stage) -> Result<(), VerifyError> {
    if stage.interrupted() { Err(VerifyError::Interrupted) } else { Ok(()) }
}

/// The place of the z-score that lies farthest out, and the score.
fn worst(scores: &[f64]) -> Option<(usize, f64)> {
    scores.iter().copied().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
}

/// Six digits that count.
fn shown(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let before_point = number.abs().log10().floor();
    if !(-5.0..9.0).contains(&before_point) {
        return format!("{number:.1e}");
    }
    let text = format!("{number:.*}", (5.0 - before_point).max(0.0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(evidence: Evidence) -> Finding {
        let (found, expected) = (String::new(), String::new());
        Finding { group: CheckGroup::Oracles, name: String::new(), found, expected, evidence }
    }

    /// Two-sided 1e-4: 3.890 592 (tables of the normal distribution); a hundred scores: 1e-6, 4.891 638.
    #[test]
    fn the_line_moves_out_with_the_number_of_scores() {
        assert!((line(1) - 3.890_592).abs() < 1e-5);
        assert!((line(100) - 4.891_638).abs() < 1e-5);
    }

    #[test]
    fn one_score_beyond_the_line_fails_a_check_and_so_does_none_at_all() {
        let scores = |far: f64| of(Evidence::Scores(vec![0.1, far, -0.2]));
        let checks = judge(vec![scores(-4.0), scores(-4.5), of(Evidence::Scores(vec![])), scores(f64::NAN)]);
        assert_eq!(checks.iter().map(|check| check.passed).collect::<Vec<_>>(), [true, false, false, false]);
        assert_eq!(checks[1].z, Some(-4.5));
    }

    #[test]
    fn what_is_no_number_agrees_with_nothing() {
        let passes = |found| Finding::number(CheckGroup::Metrics, "x", found, 1.0, 0.1).judged(4.0).passed;
        assert!(passes(1.05) && !passes(1.2) && !passes(f64::NAN));
    }

    #[test]
    fn numbers_are_shown_with_the_digits_that_count() {
        let texts = [0.0, 1.0, 0.743_147_18, 123_456.7, -1e-9].map(shown);
        assert_eq!(texts, ["0", "1", "0.743147", "123457", "-1.0e-9"]);
    }
}
