//! Attribution: splits the difference between an arm and the control into parts due to sampling, decoding and the
//! model.
//!
//! Let S be a metric under drift alone, D the metric under drift and decoding ([`crate::baseline`]) and M the metric as
//! measured. The difference M_arm − M_control is the sum of three parts:
//!
//! ```text
//! sampling = S_arm − S_control                             finite samples, generation after generation
//! decoding = (D_arm − S_arm) − (D_control − S_control)     temperature and truncation in every generation
//! misfit   = (M_arm − M_control) − (D_arm − D_control)     the rest: errors of the models themselves
//! ```
//!
//! Neither a better model nor another decoder removes the first part. The second part depends on the chosen decoder.
//! The third part is due to the model: rare types that it did not learn, or, with the opposite sign, types that it
//! invents, which keep a text more varied than under drift alone. It also includes everything that the baseline leaves
//! out.
//!
//! If the control lies far below its own baseline, there are many types that its model never writes. An arm cannot lose
//! these through sampling, although the simulated arm does. The sampling part can then be larger than the whole
//! difference, and the misfit has the opposite sign.
//!
//! The 95 % interval of the misfit is the interval of the difference, widened to include the standard error e of `D_arm
//! − D_control`. Errors are treated as independent: a half-width h of the interval of the difference becomes `√(h² +
//! (1.96 e)²)`.
//!
//! ```no_run
//! use genloss::{attribution, store, verdict};
//!
//! let run = store::read("runs/my-experiment".as_ref())?;
//! let comparisons = verdict::compare("my-experiment", &run.observations(), "control", &run.catalogue());
//! if let Some(baseline) = &run.baseline {
//!     for part in attribution::attribute(&comparisons[0], baseline) {
//!         println!("{}: {} from sampling, {} from decoding", part.metric, part.sampling, part.decoding);
//!     }
//! }
//! # Ok::<(), store::StoreError>(())
//! ```

use crate::baseline::{Baseline, DriftCurve};
use crate::config::CONTROL;
use crate::verdict::{ArmComparison, Effect};
use serde::Serialize;

/// The 97.5 % quantile of the normal distribution, which bounds a two-sided 95 % interval.
const QUANTILE: f64 = 1.96;

/// The difference between an arm and the control in one metric at one generation, and its parts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attribution {
    /// Id of the metric.
    pub metric: String,
    /// The generation, from 1 on.
    pub generation: usize,
    /// Mean of the control, as measured.
    pub control: f64,
    /// Mean of the control when simulated with drift and its decoder only.
    pub control_by_drift: f64,
    /// Mean of the arm, as measured.
    pub arm_value: f64,
    /// Mean of the arm when simulated with drift and its decoder only.
    pub arm_by_drift: f64,
    /// Arm − control, as measured: the sum of the three parts.
    pub difference: f64,
    /// The part due to finite samples.
    pub sampling: f64,
    /// The part due to decoding.
    pub decoding: f64,
    /// The remaining part.
    pub misfit: f64,
    /// Lower end of the 95 % interval of the misfit.
    pub misfit_ci_low: f64,
    /// Upper end of the interval.
    pub misfit_ci_high: f64,
}

/// Splits every difference of `comparison` whose metric has a baseline, in the order of the effects.
#[must_use]
pub fn attribute(comparison: &ArmComparison, baseline: &Baseline) -> Vec<Attribution> {
    let parts = |effect: &Effect| {
        let curve = |arm: &str| baseline.curve(arm, &effect.metric);
        split(effect, curve(&comparison.arm)?, curve(CONTROL)?)
    };
    comparison.effects.iter().filter_map(parts).collect()
}

fn split(effect: &Effect, arm: &DriftCurve, control: &DriftCurve) -> Option<Attribution> {
    let at = |curve: &DriftCurve| {
        Some((*curve.sampling.get(effect.generation)?, *curve.decoding.get(effect.generation)?))
    };
    let ((arm_sampled, arm_decoded), (control_sampled, control_decoded)) = (at(arm)?, at(control)?);
    let misfit = effect.difference - (arm_decoded.mean - control_decoded.mean);
    let error = QUANTILE * arm_decoded.std_err.hypot(control_decoded.std_err);
    Some(Attribution {
        metric: effect.metric.clone(),
        generation: effect.generation,
        control: effect.control,
        control_by_drift: control_decoded.mean,
        arm_value: effect.arm_value,
        arm_by_drift: arm_decoded.mean,
        difference: effect.difference,
        sampling: arm_sampled.mean - control_sampled.mean,
        decoding: (arm_decoded.mean - arm_sampled.mean) - (control_decoded.mean - control_sampled.mean),
        misfit,
        misfit_ci_low: misfit - (effect.difference - effect.ci_low).hypot(error),
        misfit_ci_high: misfit + (effect.ci_high - effect.difference).hypot(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::ReplicateMean;
    use crate::measure::Family;
    use crate::verdict::Verdict;

    fn curve(arm: &str, sampling: f64, decoding: f64) -> DriftCurve {
        let means = |mean| [mean + 9.0, mean].map(|mean| ReplicateMean { mean, std_err: 0.3 }).to_vec();
        DriftCurve {
            arm: arm.to_owned(),
            metric: "hill_0".to_owned(),
            sampling: means(sampling),
            decoding: means(decoding),
        }
    }

    fn comparison() -> ArmComparison {
        let effect = |metric: &str| Effect {
            metric: metric.to_owned(),
            label: metric.to_owned(),
            unit: "types".to_owned(),
            family: Family::Entropy,
            generation: 1,
            seeds: 3,
            control: 98.0,
            arm_value: 55.0,
            difference: -43.0,
            ci_low: -44.0,
            ci_high: -42.0,
            std_err: 0.4,
            identical: false,
            includes_training_noise: true,
            significant: true,
            practical_size: None,
        };
        ArmComparison {
            experiment: "made up".to_owned(),
            arm: "cool".to_owned(),
            seeds: 3,
            verdict: Verdict::Narrowing,
            called_at_generation: Some(1),
            explanation: String::new(),
            possible: Vec::new(),
            seeds_needed: None,
            effects: vec![effect("hill_0"), effect("heldout_loss")],
            synthetic_text: None,
        }
    }

    /// Of the difference −43, sampling explains 80 − 95 = −15, decoding (60 − 80) − (90 − 95) = −15, and misfit the
    /// remaining −13. The half-widths are 1 as measured and 1.96 · 0.3 · √2 = 0.8316 from the baseline, together √(1 +
    /// 0.8316²) = 1.3006.
    #[test]
    fn the_parts_of_a_difference_equal_those_computed_by_hand() {
        let curves = vec![curve(CONTROL, 95.0, 90.0), curve("cool", 80.0, 60.0)];
        let found = attribute(&comparison(), &Baseline { replicates: 64, curves });
        let [part] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((part.sampling, part.decoding, part.misfit), (-15.0, -15.0, -13.0));
        assert_eq!(part.sampling + part.decoding + part.misfit, part.difference);
        let half = 1.300_6;
        assert!((part.misfit_ci_low + 13.0 + half).abs() < 1e-4, "{part:?}");
        assert!((part.misfit_ci_high + 13.0 - half).abs() < 1e-4);
    }

    #[test]
    fn an_arm_without_a_baseline_has_no_parts() {
        let curves = vec![curve(CONTROL, 95.0, 90.0)];
        assert_eq!(attribute(&comparison(), &Baseline { replicates: 64, curves }), []);
    }
}
