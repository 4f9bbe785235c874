//! From differences to a verdict. The rules are explained in the parent's doc.

use super::Verdict;
use super::headline::{self, Headline};
use super::paired::Difference;
use crate::measure::{Family, MetricDefinition};
use std::collections::{BTreeMap, BTreeSet};

/// The most that the chance of a call may be on an arm that does not narrow in two families, over all generations.
pub const FAMILY_WISE_ERROR: f64 = 0.025;

/// Share of what is left of that chance that a generation may spend.
const SPENT_PER_GENERATION: f64 = 0.25;

/// Families that must agree.
const FAMILIES_NEEDED: usize = 2;

/// More seeds than this are nobody's next step.
const MOST_SEEDS: usize = 50;

/// A verdict and what it rests on.
pub(super) struct Decision {
    pub(super) verdict: Verdict,
    pub(super) called_at: Option<usize>,
    pub(super) seeds_needed: Option<usize>,
    /// Headline metrics that narrow, with the generation.
    pub(super) significant: BTreeSet<(&'static str, usize)>,
    /// The last generation that has a headline metric.
    pub(super) last: Option<usize>,
    /// Headline metrics with no usable interval at the last generation.
    pub(super) lacking: Vec<&'static str>,
}

impl Decision {
    /// Whether the metric speaks for narrowing at `generation`.
    pub(super) fn is_significant(&self, metric: &str, generation: usize) -> bool {
        self.significant.iter().any(|&(id, at)| id == metric && at == generation)
    }
}

/// A headline metric at one generation.
#[derive(Clone, Copy)]
pub(super) struct Finding<'a> {
    pub(super) headline: &'static Headline,
    pub(super) metric: &'a MetricDefinition,
    pub(super) difference: &'a Difference,
}

impl Finding<'_> {
    /// The difference, positive where it narrows.
    fn narrowing(&self) -> f64 {
        self.headline.sign * self.difference.mean
    }

    pub(super) fn is_beyond_practical_size(&self) -> bool {
        self.is_usable() && self.narrowing() - self.difference.half_width() > self.headline.practical
    }

    fn excludes_practical_size(&self) -> bool {
        self.is_usable() && self.farthest() < 1.0
    }

    /// The narrowing end of the interval, in practical sizes.
    pub(super) fn farthest(&self) -> f64 {
        (self.narrowing() + self.difference.half_width()) / self.headline.practical
    }

    /// Whether arm and control agree to the last bit in every run.
    fn is_identical(&self) -> bool {
        self.difference.is_identical
    }

    /// Whether the interval knows of the noise of training.
    fn is_usable(&self) -> bool {
        self.difference.is_usable()
    }
}

/// The headline metrics among `differences`, by generation.
pub(super) fn findings<'a>(
    differences: &'a [(&'a MetricDefinition, Difference)],
) -> BTreeMap<usize, Vec<Finding<'a>>> {
    let mut by_generation: BTreeMap<usize, Vec<Finding>> = BTreeMap::new();
    for (metric, difference) in differences {
        if let Some(headline) = headline::of(&metric.id) {
            by_generation.entry(difference.generation).or_default().push(Finding {
                headline,
                metric,
                difference,
            });
        }
    }
    by_generation
}

/// Decides on an arm of `seeds` seeds, `measured` naming the headline metrics that were measured of it.
pub(super) fn decide(
    differences: &[(&MetricDefinition, Difference)],
    measured: &[&'static str],
    seeds: usize,
) -> Decision {
    let by_generation = findings(differences);
    let mut significant = BTreeSet::new();
    let mut called_at = None;
    for (&generation, findings) in &by_generation {
        let narrowing = narrowing(findings, error_spent_at(generation));
        significant.extend(narrowing.iter().map(|finding| (finding.headline.metric, generation)));
        if called_at.is_none() && families(narrowing).len() >= FAMILIES_NEEDED {
            called_at = Some(generation);
        }
    }
    let last = by_generation.last_key_value();
    let at_last = last.map_or(&[][..], |(_, findings)| findings);
    let known =
        |id: &str| at_last.iter().any(|f| f.headline.metric == id && (f.is_usable() || f.is_identical()));
    let lacking: Vec<&str> = measured.iter().copied().filter(|id| !known(id)).collect();
    let verdict = match called_at {
        Some(_) if families(beyond(at_last)).len() >= FAMILIES_NEEDED => Verdict::Collapsed,
        Some(_) => Verdict::Narrowing,
        None if lacking.is_empty() && is_stable(at_last) => Verdict::Stable,
        None => Verdict::Inconclusive,
    };
    let seeds_needed = match (verdict, last) {
        (Verdict::Inconclusive, Some((&generation, findings))) if lacking.is_empty() => {
            seeds_needed(generation, findings, seeds)
        }
        _ => None,
    };
    Decision { verdict, called_at, seeds_needed, significant, last: last.map(|(&g, _)| g), lacking }
}

/// The part of the family-wise error that generation `generation` ≥ 1 may spend: e q (1 − q)^(g − 1), which sums to e.
fn error_spent_at(generation: usize) -> f64 {
    let left = (1.0 - SPENT_PER_GENERATION).powi(generation as i32 - 1);
    FAMILY_WISE_ERROR * SPENT_PER_GENERATION * left
}

/// The findings that narrow. When they lie in two families or more, "at least two families narrow" is wrong with a
/// chance of at most `error`: the partial conjunction of Benjamini and Heller (2008), where the second smallest of the
/// families' p-values is multiplied by the number of families less one, and a family's is its smallest times the number
/// of its metrics.
fn narrowing<'a>(findings: &[Finding<'a>], error: f64) -> Vec<Finding<'a>> {
    let others = (all_families() + 1 - FAMILIES_NEEDED) as f64;
    let narrows = |finding: &Finding| {
        let family = finding.headline.family;
        let metrics = findings.iter().filter(|other| other.headline.family == family).count() as f64;
        let p = finding.difference.p_value(finding.headline.sign);
        p.is_some_and(|p| p * metrics * others <= error)
    };
    findings.iter().copied().filter(narrows).collect()
}

fn beyond<'a>(findings: &[Finding<'a>]) -> Vec<Finding<'a>> {
    findings.iter().copied().filter(Finding::is_beyond_practical_size).collect()
}

/// The families that some findings belong to.
pub(super) fn families<'a>(findings: impl IntoIterator<Item = Finding<'a>>) -> BTreeSet<Family> {
    findings.into_iter().map(|finding| finding.headline.family).collect()
}

/// Nothing lost that matters, in any family. A metric in which arm and control agree to the last bit has lost nothing;
/// but where all do, they have run into the ends of their ranges and tell nothing.
fn is_stable(findings: &[Finding]) -> bool {
    let telling = || findings.iter().filter(|finding| !finding.is_identical());
    families(findings.iter().copied()).len() == all_families()
        && families(telling().copied()).len() >= FAMILIES_NEEDED
        && telling().all(Finding::excludes_practical_size)
}

/// How many families the headline metrics make up.
fn all_families() -> usize {
    headline::headline().iter().map(|headline| headline.family).collect::<BTreeSet<_>>().len()
}

/// The fewest seeds that would settle it, if the effects and their noise stayed as they are. One seed tells of noise
/// only what two random walks would do at most; a number is given if it would be much the same were there no walk.
fn seeds_needed(generation: usize, findings: &[Finding], seeds: usize) -> Option<usize> {
    let paired = findings.iter().map(|finding| finding.difference.seeds).min()?;
    let needed = |noise: f64| {
        let candidates: Vec<usize> = (seeds + 1..=MOST_SEEDS).collect();
        let index = candidates.partition_point(|&seeds| !settles(generation, findings, seeds, noise));
        candidates.get(index).copied()
    };
    let most = needed(1.0)?;
    if paired > 1 {
        return Some(most);
    }
    let least = needed(0.5 / generation as f64)?;
    (most <= 2 * least).then_some(most)
}

/// Whether so many seeds with the same effects would show either narrowing or stability.
fn settles(generation: usize, findings: &[Finding], seeds: usize, noise: f64) -> bool {
    let scaled: Vec<Difference> = findings.iter().map(|f| f.difference.with_seeds(seeds, noise)).collect();
    let findings: Vec<Finding> = findings
        .iter()
        .zip(&scaled)
        .map(|(finding, difference)| Finding { difference, ..*finding })
        .collect();
    is_stable(&findings)
        || families(narrowing(&findings, error_spent_at(generation))).len() >= FAMILIES_NEEDED
}
