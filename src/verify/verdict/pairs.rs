//! Checks of the comparison of all pairs of arms: how often is anything claimed where no arm differs?
//!
//! Simulated experiments have a held-out loss at one generation that is a constant plus noise of the seed, which all arms
//! share, plus noise of each arm. In some, one arm is four times as noisy as the others.

use super::{finding, percent, percent_of, seeds_in_words};
use crate::calibration::Proportion;
use crate::config::CONTROL;
use crate::measure::Catalogue;
use crate::seed::{StreamKey, streams};
use crate::verdict::{HeadlineMetric, Observation, PAIRS_ERROR, compare_pairs, headline_metrics};
use crate::verify::{Finding, Thoroughness, VerifySettings};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Arms, seeds, and the noise of the last arm relative to the others.
const CASES: [(usize, u64, f64); 4] = [(4, 3, 1.0), (8, 3, 1.0), (8, 5, 1.0), (8, 5, 4.0)];

/// The checks of every case.
pub(super) fn findings(settings: &VerifySettings) -> Vec<Finding> {
    CASES.into_iter().map(|(arms, seeds, noise)| check(settings, arms, seeds, noise, 0.0)).collect()
}

/// Checks that hardly any experiment has a claim. The last arm is worse by `effect` standard deviations of the others.
fn check(settings: &VerifySettings, arms: usize, seeds: u64, last_noise: f64, effect: f64) -> Finding {
    let noisier = if last_noise > 1.0 { ", one of them four times as noisy" } else { "" };
    let name = format!("any claim about pairs of {arms} arms{noisier}, {}", seeds_in_words(seeds));
    let experiments: usize = if settings.thoroughness == Thoroughness::Quick { 5_000 } else { 50_000 };
    let metrics: Vec<HeadlineMetric> =
        headline_metrics().iter().filter(|headline| headline.metric == "heldout_loss").copied().collect();
    let catalogue = Catalogue::builtin();
    let has_claim = |experiment: &usize| {
        let key = StreamKey::new(settings.seed, &name, *experiment, streams::VERIFY_VERDICT);
        let observations = observations(&key, arms, seeds, last_noise, effect);
        let pairs = compare_pairs("", &observations, CONTROL, &metrics, &catalogue);
        pairs.iter().any(|pair| pair.worse.is_some())
    };
    let count = (0..experiments).into_par_iter().filter(has_claim).count();
    let claimed = Proportion { count, of: experiments };
    let allowed = 3.0 * (PAIRS_ERROR * (1.0 - PAIRS_ERROR) / experiments as f64).sqrt();
    let found = format!("{}, bound {}", percent_of(claimed), percent(claimed.upper_bound()));
    let expected = format!("at most 5 %, + {}", percent(allowed));
    finding(name, found, expected, claimed.value() <= PAIRS_ERROR + allowed)
}

fn observations(key: &StreamKey, arms: usize, seeds: u64, last_noise: f64, effect: f64) -> Vec<Observation> {
    let mut observations = Vec::new();
    for seed in 0..seeds {
        let rng = &mut key.stream(seed);
        let mut normal = || -> f64 { StandardNormal.sample(rng) };
        let common = normal();
        for arm in 0..arms {
            let (scale, worse) = if arm + 1 == arms { (last_noise, effect) } else { (1.0, 0.0) };
            observations.push(Observation {
                seed,
                arm: if arm == 0 { CONTROL.to_owned() } else { format!("arm-{arm}") },
                generation: 1,
                metric: "heldout_loss".to_owned(),
                value: 3.0 + 0.1 * (common + worse + scale * normal()),
                std_err: 0.01,
            });
        }
    }
    observations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Evidence;

    #[test]
    fn the_check_passes_without_an_effect_and_fails_with_one() {
        let settings = VerifySettings { seed: 1, thoroughness: Thoroughness::Quick, fault: None };
        let passed = |effect| check(&settings, 4, 5, 1.0, effect).evidence;
        assert_eq!(passed(0.0), Evidence::Decided(true));
        assert_eq!(passed(10.0), Evidence::Decided(false));
    }
}
