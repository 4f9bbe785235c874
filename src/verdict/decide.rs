//! Decides on a verdict, given the differences. The rules are explained in the parent module.

use super::Verdict;
use super::headline::{HeadlineMetric, headline_metric, headline_metrics};
use super::paired::Difference;
use crate::measure::{Family, MetricDefinition};
use std::collections::{BTreeMap, BTreeSet};

/// The largest probability of a call, over all generations, for an arm that does not narrow in two families.
pub const FAMILY_WISE_ERROR: f64 = 0.0175;

/// The largest probability, over all generations, that an arm is called degraded although it is not worse at natural
/// text by more than the practical size.
pub const DEGRADED_ERROR: f64 = 0.01;

/// The share of the remaining error that a generation may spend.
const SPENT_PER_GENERATION: f64 = 0.25;

/// The number of families that must narrow for a call.
pub(super) const FAMILIES_NEEDED: usize = 2;

/// The largest number of seeds that is suggested.
pub(super) const MOST_SEEDS: usize = 50;

/// The verdict on an arm, and the evidence for it.
pub(super) struct Decision {
    pub(super) verdict: Verdict,
    /// The first generation at which narrowing was called, or degradation if that is the verdict.
    pub(super) called_at: Option<usize>,
    /// The verdicts that an inconclusive one leaves open.
    pub(super) possible: Vec<Verdict>,
    /// The number of seeds that would settle an inconclusive verdict; None if the verdict is another, or needs more
    /// than seeds.
    pub(super) seeds_needed: Option<SeedsNeeded>,
    /// Headline metrics that are evidence of narrowing, with the generation.
    significant: BTreeSet<(&'static str, usize)>,
    /// The generations at which natural text is shown to be predicted worse by more than the practical size.
    pub(super) degraded: BTreeSet<usize>,
    /// The last generation with a headline metric.
    pub(super) last: Option<usize>,
    /// Headline metrics without a usable interval at the last generation.
    pub(super) lacking: Vec<&'static str>,
}

impl Decision {
    /// Whether the metric is evidence of narrowing at `generation`.
    pub(super) fn is_significant(&self, metric: &str, generation: usize) -> bool {
        let significant: &BTreeSet<(&str, usize)> = &self.significant;
        significant.contains(&(metric, generation))
    }
}

/// The difference in a headline metric at one generation.
#[derive(Clone, Copy)]
pub(super) struct HeadlineDifference<'a> {
    pub(super) headline: &'static HeadlineMetric,
    pub(super) metric: &'a MetricDefinition,
    pub(super) difference: &'a Difference,
}

impl HeadlineDifference<'_> {
    /// The difference, with a sign that is positive if the metric narrows.
    fn narrowing(&self) -> f64 {
        self.headline.sign * self.difference.mean
    }

    /// The narrowing, in practical sizes.
    pub(super) fn severity(&self) -> f64 {
        self.narrowing() / self.headline.practical
    }

    /// The narrowing end of the interval, in practical sizes.
    pub(super) fn worst_case(&self) -> f64 {
        (self.narrowing() + self.difference.half_width()) / self.headline.practical
    }

    pub(super) fn is_beyond_practical_size(&self) -> bool {
        let lower_end = self.narrowing() - self.difference.half_width();
        self.difference.is_usable() && lower_end > self.headline.practical
    }

    fn excludes_practical_size(&self) -> bool {
        self.difference.is_usable() && self.worst_case() < 1.0
    }

    /// Whether a test at the level `error` divided by the number of `tests` finds narrowing.
    fn is_narrowing(&self, error: f64, tests: f64) -> bool {
        let p = self.difference.p_of_narrowing(self.headline.sign);
        p.is_some_and(|p| p * tests <= error)
    }

    /// Whether a test at the level `error` divided by the number of `tests` finds a loss of more than the practical size.
    fn is_degraded(&self, error: f64, tests: f64) -> bool {
        let p = self.difference.p_of_degradation(self.headline.sign, self.headline.practical);
        p.is_some_and(|p| p * tests <= error)
    }
}

/// The headline metrics among `differences`, by generation.
pub(super) fn headline_differences<'a>(
    differences: &'a [(&'a MetricDefinition, Difference)],
) -> BTreeMap<usize, Vec<HeadlineDifference<'a>>> {
    let mut by_generation: BTreeMap<usize, Vec<HeadlineDifference>> = BTreeMap::new();
    for (metric, difference) in differences {
        if let Some(headline) = headline_metric(&metric.id) {
            let of_generation = by_generation.entry(difference.generation).or_default();
            of_generation.push(HeadlineDifference { headline, metric, difference });
        }
    }
    by_generation
}

/// Decides on an arm with `seeds` seeds, for which the headline metrics `measured` were measured.
pub(super) fn decide(
    differences: &[(&MetricDefinition, Difference)],
    measured: &[&'static str],
    seeds: usize,
) -> Decision {
    let by_generation = headline_differences(differences);
    let mut significant = BTreeSet::new();
    let (mut narrowing_at, mut degraded) = (None, BTreeSet::new());
    for (&generation, found) in &by_generation {
        let narrowing = narrowing(found, error_spent_at(generation, FAMILY_WISE_ERROR));
        significant.extend(narrowing.iter().map(|one| (one.headline.metric, generation)));
        if narrowing_at.is_none() && families(narrowing).len() >= FAMILIES_NEEDED {
            narrowing_at = Some(generation);
        }
        if is_degraded(found, error_spent_at(generation, DEGRADED_ERROR)) {
            degraded.insert(generation);
        }
    }
    let degraded_at = degraded.first().copied();
    let last = by_generation.last_key_value().map(|(&generation, _)| generation);
    let at_last = last.map_or(&[][..], |last| &by_generation[&last]);
    let lacking: Vec<&str> = measured.iter().copied().filter(|id| !has_interval(at_last, id)).collect();
    let beyond = families(beyond_practical_size(at_last));
    let verdict = match (narrowing_at, degraded_at) {
        (Some(_), _) if beyond.len() >= FAMILIES_NEEDED => Verdict::Collapsed,
        (Some(_), _) => Verdict::Narrowing,
        (None, Some(_)) if beyond.contains(&Family::HeldOut) => Verdict::Degraded,
        (None, _) if lacking.is_empty() && is_stable(at_last) => Verdict::Stable,
        (None, _) => Verdict::Inconclusive,
    };
    let is_open = verdict == Verdict::Inconclusive && lacking.is_empty();
    let possible = if is_open { possible(at_last) } else { Vec::new() };
    let seeds_needed = last.filter(|_| is_open).map(|last| seeds_needed(last, at_last, seeds));
    let called_at = if verdict == Verdict::Degraded { degraded_at } else { narrowing_at };
    Decision { verdict, called_at, possible, seeds_needed, significant, degraded, last, lacking }
}

/// Whether a metric has a usable interval, or is identical in arm and control and needs none.
fn has_interval(found: &[HeadlineDifference], id: &str) -> bool {
    let mut of_metric = found.iter().filter(|one| one.headline.metric == id);
    of_metric.any(|one| one.difference.is_usable() || one.difference.is_identical)
}

/// The part of `error` that generation `generation` ≥ 1 may spend: e q (1 − q)^(g − 1), which sums to e over all
/// generations.
fn error_spent_at(generation: usize, error: f64) -> f64 {
    let left = (1.0 - SPENT_PER_GENERATION).powi(generation as i32 - 1);
    error * SPENT_PER_GENERATION * left
}

/// The headline metrics that narrow. If they belong to at least two families, the statement that at least two families
/// narrow is wrong with a probability of at most `error`: the partial conjunction of Benjamini and Heller (2008), where
/// the second smallest of the families' p-values is multiplied by the number of families less one. The p-value of a
/// family is its smallest one times the number of its metrics.
fn narrowing<'a>(found: &[HeadlineDifference<'a>], error: f64) -> Vec<HeadlineDifference<'a>> {
    let other_families = (all_families() + 1 - FAMILIES_NEEDED) as f64;
    let narrows = |one: &HeadlineDifference| {
        let family = one.headline.family;
        let metrics = found.iter().filter(|other| other.headline.family == family).count() as f64;
        one.is_narrowing(error, metrics * other_families)
    };
    found.iter().copied().filter(narrows).collect()
}

/// Whether a held-out metric has become worse by more than its practical size. If none has, the answer is yes with a
/// probability of at most `error`.
fn is_degraded(found: &[HeadlineDifference], error: f64) -> bool {
    let held_out = || found.iter().filter(|one| one.headline.family == Family::HeldOut);
    let metrics = held_out().count() as f64;
    held_out().any(|one| one.is_degraded(error, metrics))
}

/// The verdicts that the intervals of the last generation do not exclude, from the worst to the best.
fn possible(found: &[HeadlineDifference]) -> Vec<Verdict> {
    let of = |is_possible: &dyn Fn(&HeadlineDifference) -> bool| {
        families(found.iter().copied().filter(|one| !one.difference.is_identical && is_possible(one)))
    };
    let may_exceed = of(&|one| !one.excludes_practical_size());
    let mut possible = Vec::new();
    if may_exceed.len() >= FAMILIES_NEEDED {
        possible.push(Verdict::Collapsed);
    }
    if of(&|one| one.worst_case() > 0.0).len() >= FAMILIES_NEEDED {
        possible.push(Verdict::Narrowing);
    }
    if may_exceed.contains(&Family::HeldOut) {
        possible.push(Verdict::Degraded);
    }
    if beyond_practical_size(found).is_empty() && differing_families(found).len() >= FAMILIES_NEEDED {
        possible.push(Verdict::Stable);
    }
    possible
}

fn beyond_practical_size<'a>(found: &[HeadlineDifference<'a>]) -> Vec<HeadlineDifference<'a>> {
    found.iter().copied().filter(HeadlineDifference::is_beyond_practical_size).collect()
}

/// The families of some headline metrics.
pub(super) fn families<'a>(found: impl IntoIterator<Item = HeadlineDifference<'a>>) -> BTreeSet<Family> {
    found.into_iter().map(|one| one.headline.family).collect()
}

/// Whether no headline metric can have narrowed by its practical size. A metric that is identical in arm and control
/// has lost nothing, but metrics must differ in at least two families: equal metrics may have reached the ends of
/// their ranges and then show nothing.
fn is_stable(found: &[HeadlineDifference]) -> bool {
    let mut not_identical = found.iter().filter(|one| !one.difference.is_identical);
    let unequal = found.iter().copied().filter(|one| !one.difference.is_equal);
    families(found.iter().copied()).len() == all_families()
        && families(unequal).len() >= FAMILIES_NEEDED
        && not_identical.all(HeadlineDifference::excludes_practical_size)
}

/// The families with a headline metric that is not identical in arm and control.
pub(super) fn differing_families(found: &[HeadlineDifference]) -> BTreeSet<Family> {
    families(found.iter().copied().filter(|one| !one.difference.is_identical))
}

/// The number of families with headline metrics.
fn all_families() -> usize {
    headline_metrics().iter().map(|headline| headline.family).collect::<BTreeSet<_>>().len()
}

/// How many seeds would settle an inconclusive verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeedsNeeded {
    /// This many, within a factor of two.
    Number(usize),
    /// More than [`MOST_SEEDS`].
    TooMany,
    /// It cannot be told within a factor of two.
    Unknown,
}

/// The truths for which the number of seeds is computed: how many standard errors from the estimates the differences lie
/// toward narrowing, in all metrics alike; and the probability that the noise of intervals is smaller than taken here.
const PLAUSIBLE: [(f64, f64); 7] =
    [(-2.0, 0.5), (-1.0, 0.5), (0.0, 0.02), (0.0, 0.5), (0.0, 0.98), (1.0, 0.5), (2.0, 0.5)];

/// The largest factor between the numbers of seeds for plausible truths at which their geometric mean is told. It is then
/// within a factor of two of the number needed in at least nine of ten cases (measured; see docs/METHODOLOGY.md).
const RANGE: f64 = 2.0;

/// The number of seeds that would settle the verdict. With one seed, noise is estimated as that of two random walks, which
/// is an upper bound; a number is then told only if noise that does not accumulate would give a similar one.
fn seeds_needed(generation: usize, found: &[HeadlineDifference], seeds: usize) -> SeedsNeeded {
    let needed = |expected: &dyn Fn(&HeadlineDifference, usize) -> Difference| {
        let candidates: Vec<usize> = (seeds + 1..=(RANGE * MOST_SEEDS as f64) as usize).collect();
        let index = candidates.partition_point(|&seeds| {
            let differences: Vec<Difference> = found.iter().map(|one| expected(one, seeds)).collect();
            !settles(generation, found, &differences)
        });
        candidates.get(index).copied()
    };
    let numbers: Vec<Option<usize>> = if found.iter().any(|one| one.difference.seeds == 1) {
        let factors = [1.0, 0.5 / generation as f64];
        factors.map(|factor| needed(&|one, seeds| one.difference.with_seeds(seeds, factor))).into()
    } else {
        let expected = |(shift, quantile)| {
            needed(&|one, seeds| one.difference.expected(seeds, one.headline.sign * shift, quantile))
        };
        PLAUSIBLE.map(expected).into()
    };
    if numbers.iter().all(|number| number.is_none_or(|number| number > MOST_SEEDS)) {
        return SeedsNeeded::TooMany;
    }
    let known: Option<Vec<usize>> = numbers.into_iter().collect();
    let Some((least, most)) =
        known.and_then(|all| Some((*all.iter().min()? as f64, *all.iter().max()? as f64)))
    else {
        return SeedsNeeded::Unknown;
    };
    let number = (least * most).sqrt().round() as usize;
    if most <= RANGE * least && number <= MOST_SEEDS {
        SeedsNeeded::Number(number)
    } else {
        SeedsNeeded::Unknown
    }
}

/// Whether `differences`, in place of those of `found`, show narrowing, degradation or stability.
fn settles(generation: usize, found: &[HeadlineDifference], differences: &[Difference]) -> bool {
    let with_seeds: Vec<HeadlineDifference> = found
        .iter()
        .zip(differences)
        .map(|(one, difference)| HeadlineDifference {
            difference,
            headline: one.headline,
            metric: one.metric,
        })
        .collect();
    let narrowing = narrowing(&with_seeds, error_spent_at(generation, FAMILY_WISE_ERROR));
    is_stable(&with_seeds)
        || families(narrowing).len() >= FAMILIES_NEEDED
        || is_degraded(&with_seeds, error_spent_at(generation, DEGRADED_ERROR))
}
