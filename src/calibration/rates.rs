//! What became of the comparisons.

use crate::config::CONTROL;
use crate::seed::{Place, Stream};
use crate::verdict::{self, ArmComparison, Effect, Observation, Verdict, headline};
use rand::seq::SliceRandom;
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
    /// The arm.
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
    /// Headline effects whose 95 % interval holds the mean over all seeds. An effect without any spread over all seeds
    /// is left out: it has no interval to speak of.
    pub covered: Share,
    /// The same, by headline metric.
    pub covered_by_metric: BTreeMap<String, Share>,
    /// Inconclusive comparisons whose number of seeds was right: with half as many the verdict was still open, with
    /// twice as many it was settled. Only of those for which twice as many were run.
    pub settled_as_said: Share,
}

/// Deals `observed`, a list for each seed, into experiments of `seeds` seeds, until there are `comparisons` of each arm
/// or as many as there are different ones, and judges them.
#[must_use]
pub fn rates(observed: &[Vec<Observation>], seeds: usize, comparisons: usize) -> Vec<ArmRates> {
    let mut stream = Place::new(seeds as u64, "", 0, "calibration").stream(0);
    let groups = deal(observed.len(), seeds, comparisons, &mut stream);
    let judged: Vec<(Vec<usize>, Vec<ArmComparison>)> =
        groups.into_par_iter().map(|order| (order.clone(), judge(observed, &order[..seeds]))).collect();
    let truth = judge(observed, &(0..observed.len()).collect::<Vec<_>>());
    truth.iter().map(|truth| of_arm(observed, truth, seeds, &judged)).collect()
}

/// Orders of the seeds, whose first `size` make an experiment; those of a round share none of these.
fn deal(seeds: usize, size: usize, wanted: usize, stream: &mut Stream) -> Vec<Vec<usize>> {
    let mut orders = Vec::new();
    let wanted = wanted.min(statrs::function::factorial::binomial(seeds as u64, size as u64) as usize);
    while size > 0 && seeds >= size && orders.len() < wanted {
        let mut order: Vec<usize> = (0..seeds).collect();
        order.shuffle(stream);
        for start in (0..seeds + 1 - size).step_by(size).take(wanted - orders.len()) {
            let mut order = order.clone();
            order.rotate_left(start);
            orders.push(order);
        }
    }
    orders
}

fn judge(observed: &[Vec<Observation>], seeds: &[usize]) -> Vec<ArmComparison> {
    let observations: Vec<Observation> = seeds.iter().flat_map(|&seed| observed[seed].clone()).collect();
    verdict::compare("", &observations, CONTROL)
}

fn of_arm(
    observed: &[Vec<Observation>],
    truth: &ArmComparison,
    seeds: usize,
    judged: &[(Vec<usize>, Vec<ArmComparison>)],
) -> ArmRates {
    let generations = truth.last_generation().unwrap_or(0);
    let mut rates = ArmRates {
        arm: truth.arm.clone(),
        seeds,
        comparisons: 0,
        called: Share::default(),
        collapsed: Share::default(),
        stable: Share::default(),
        called_by: vec![Share::default(); generations],
        covered: Share::default(),
        covered_by_metric: BTreeMap::new(),
        settled_as_said: Share::default(),
    };
    let effects =
        truth.effects.iter().map(|effect| ((effect.metric.as_str(), effect.generation), effect)).collect();
    for (order, comparisons) in judged {
        let Some(found) = comparisons.iter().find(|found| found.arm == truth.arm) else { continue };
        rates.comparisons += 1;
        rates.called.add(matches!(found.verdict, Verdict::Narrowing | Verdict::Collapsed));
        rates.collapsed.add(found.verdict == Verdict::Collapsed);
        rates.stable.add(found.verdict == Verdict::Stable);
        for (index, share) in rates.called_by.iter_mut().enumerate() {
            share.add(found.called_at_generation.is_some_and(|called| called <= index + 1));
        }
        cover(&mut rates, found, &effects);
        if let Some(said) = found.seeds_needed.filter(|&said| 2 * said <= observed.len()) {
            let settled = |seeds: usize| {
                let judged = judge(observed, &order[..seeds]);
                judged.iter().any(|one| one.arm == truth.arm && one.verdict != Verdict::Inconclusive)
            };
            rates.settled_as_said.add(settled(2 * said) && (said / 2 <= seeds || !settled(said / 2)));
        }
    }
    rates
}

fn cover(rates: &mut ArmRates, found: &ArmComparison, truth: &BTreeMap<(&str, usize), &Effect>) {
    for effect in &found.effects {
        let truth =
            truth.get(&(effect.metric.as_str(), effect.generation)).filter(|truth| truth.std_err > 0.0);
        let is_headline = headline().iter().any(|headline| headline.metric == effect.metric);
        let (Some(truth), true) = (truth, is_headline) else { continue };
        let covers = effect.ci_low <= truth.difference && truth.difference <= effect.ci_high;
        rates.covered.add(covers);
        rates.covered_by_metric.entry(effect.metric.clone()).or_default().add(covers);
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

    #[test]
    fn experiments_of_a_round_share_no_seed() {
        let orders = deal(7, 3, 5, &mut Place::new(1, "", 0, "test").stream(0));
        assert_eq!(orders.len(), 5);
        for round in orders[..4].chunks(2) {
            assert!(round[0][..3].iter().all(|seed| !round[1][..3].contains(seed)));
        }
        assert!(deal(2, 3, 5, &mut Place::new(1, "", 0, "test").stream(0)).is_empty());
    }
}
