//! What became of the comparisons.

use super::deal::{Contrast, Couple, deal};
use crate::config::CONTROL;
use crate::seed::{StreamKey, streams};
use crate::verdict::{self, ArmComparison, Observation, Verdict, headline};
use rayon::prelude::*;
use serde::Serialize;
use statrs::distribution::{Beta, ContinuousCDF};
use std::collections::BTreeMap;

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// How many are meant.
    pub count: usize,
    /// Of how many.
    pub of: usize,
}

impl Share {
    fn add(&mut self, counts: bool) {
        self.count += usize::from(counts);
        self.of += 1;
    }

    /// The share, or 0 of nothing.
    #[must_use]
    pub fn value(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.count as f64 / self.of as f64 }
    }

    /// The upper end of the one-sided 95 % interval of Clopper and Pearson (1934): the share at which so few would be
    /// seen with a chance of 5 %.
    #[must_use]
    pub fn upper_bound(self) -> f64 {
        if self.count >= self.of {
            return 1.0;
        }
        let beta = Beta::new(self.count as f64 + 1.0, (self.of - self.count) as f64);
        beta.map_or(1.0, |beta| beta.inverse_cdf(0.95))
    }
}

/// What became of the comparisons of one arm with the control.
#[derive(Clone, Debug, Serialize)]
pub struct ArmRates {
    /// The arm; `"control"` where arms that are alike are held against each other.
    pub arm: String,
    /// Seeds of an experiment, S.
    pub seeds: usize,
    /// Comparisons made.
    pub comparisons: usize,
    /// Called narrowing or collapsed.
    pub called: Share,
    /// Called collapsed.
    pub collapsed: Share,
    /// Called stable.
    pub stable: Share,
    /// Called by generation 1, 2, …
    pub called_by: Vec<Share>,
    /// Headline effects whose 95 % interval holds the truth: the mean over all seeds, or 0 among arms that are alike.
    /// Left out is an effect of exactly 0: arm and control agree to the last bit, and no interval was estimated.
    pub covered: Share,
    /// The same, by headline metric.
    pub covered_by_metric: BTreeMap<String, Share>,
    /// Inconclusive comparisons whose number of seeds was right within a factor of 2, of those for which twice as many
    /// were run.
    pub settled_as_said: Share,
}

/// Deals `observed`, a list for each seed, into experiments of `seeds` seeds, until there are `comparisons` of each
/// contrast or as many as there are different ones, and judges them.
#[must_use]
pub fn rates(
    observed: &[Vec<Observation>],
    contrasts: &[Contrast],
    seeds: usize,
    comparisons: usize,
) -> Vec<ArmRates> {
    contrasts.iter().map(|contrast| of_contrast(observed, contrast, seeds, comparisons)).collect()
}

fn of_contrast(
    observed: &[Vec<Observation>],
    contrast: &Contrast,
    seeds: usize,
    comparisons: usize,
) -> ArmRates {
    let mut stream = StreamKey::new(seeds as u64, "", 0, streams::CALIBRATION).stream(0);
    let over_all = judge(observed, &contrast.couples(observed.len(), &mut stream));
    let orders = deal(contrast, observed.len(), seeds, comparisons, &mut stream);
    let judged: Vec<(ArmComparison, Option<bool>)> = orders
        .par_iter()
        .filter_map(|order| {
            let found = judge(observed, &order[..seeds])?;
            let is_right = found.seeds_needed.and_then(|said| settled_as_said(observed, order, seeds, said));
            Some((found, is_right))
        })
        .collect();
    let truth = over_all.iter().flat_map(|found| &found.effects).map(|effect| match contrast {
        Contrast::Effect(_) => (effect.place(), effect.difference),
        Contrast::Alike(_) => (effect.place(), 0.0),
    });
    let truth: Truth = truth.collect();
    let mut rates = ArmRates::new(contrast.arm(), seeds);
    for (found, is_right) in &judged {
        rates.add(found, *is_right, &truth);
    }
    rates
}

/// The comparison that couples make, each a seed of its own; none where no couple was observed.
fn judge(observed: &[Vec<Observation>], couples: &[Couple]) -> Option<ArmComparison> {
    let mut observations = Vec::new();
    for (index, couple) in couples.iter().enumerate() {
        for observation in &observed[couple.seed] {
            let role = if observation.arm == couple.control { CONTROL } else { ARM };
            if observation.arm == couple.arm || role == CONTROL {
                let (seed, arm) = (index as u64, role.to_owned());
                observations.push(Observation { seed, arm, ..observation.clone() });
            }
        }
    }
    verdict::compare("", &observations, CONTROL).into_iter().next()
}

/// What is held against the control, whatever its name.
const ARM: &str = "arm";

/// Whether a number of seeds was right: with half as many the verdict was still open, with twice as many it was
/// settled. None where there are fewer than twice as many.
fn settled_as_said(
    observed: &[Vec<Observation>],
    order: &[Couple],
    seeds: usize,
    said: usize,
) -> Option<bool> {
    let is_settled =
        |couples: &[Couple]| judge(observed, couples).is_some_and(|one| one.verdict != Verdict::Inconclusive);
    let twice = order.get(..2 * said)?;
    Some(is_settled(twice) && (said / 2 <= seeds || !is_settled(&order[..said / 2])))
}

/// What the difference in a metric at a generation is in truth.
type Truth<'a> = BTreeMap<(&'a str, usize), f64>;

impl ArmRates {
    fn new(arm: &str, seeds: usize) -> Self {
        Self {
            arm: arm.to_owned(),
            seeds,
            comparisons: 0,
            called: Share::default(),
            collapsed: Share::default(),
            stable: Share::default(),
            called_by: Vec::new(),
            covered: Share::default(),
            covered_by_metric: BTreeMap::new(),
            settled_as_said: Share::default(),
        }
    }

    fn add(&mut self, found: &ArmComparison, settled_as_said: Option<bool>, truth: &Truth) {
        self.comparisons += 1;
        self.called.add(matches!(found.verdict, Verdict::Narrowing | Verdict::Collapsed));
        self.collapsed.add(found.verdict == Verdict::Collapsed);
        self.stable.add(found.verdict == Verdict::Stable);
        self.called_by.resize(found.last_generation().unwrap_or(0), Share::default());
        for (index, share) in self.called_by.iter_mut().enumerate() {
            share.add(found.called_at_generation.is_some_and(|called| called <= index + 1));
        }
        if let Some(is_right) = settled_as_said {
            self.settled_as_said.add(is_right);
        }
        for effect in &found.effects {
            let is_headline = headline().iter().any(|headline| headline.metric == effect.metric);
            if let Some(truth) =
                truth.get(&effect.place()).filter(|_| is_headline && effect.difference != 0.0)
            {
                let covers = effect.ci_low <= *truth && *truth <= effect.ci_high;
                self.covered.add(covers);
                self.covered_by_metric.entry(effect.metric.clone()).or_default().add(covers);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule of three: none of n leaves 1 − 0.05^(1/n) open. And Clopper and Pearson's own kind of table: 1 of 10
    /// has the upper end 0.3942.
    #[test]
    fn upper_bounds_are_those_of_clopper_and_pearson() {
        assert!((Share { count: 0, of: 1000 }.upper_bound() - (1.0 - 0.05_f64.powf(1e-3))).abs() < 1e-9);
        assert!((Share { count: 1, of: 10 }.upper_bound() - 0.394_163).abs() < 1e-5);
        assert_eq!(Share { count: 3, of: 3 }.upper_bound(), 1.0);
    }
}
