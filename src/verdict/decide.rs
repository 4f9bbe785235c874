//! From differences to a verdict. The rules are explained in the parent's doc.

use super::Verdict;
use super::headline::{self, Headline};
use super::paired::{Difference, quantile};
use crate::measure::{Family, Metric};
use std::collections::{BTreeMap, BTreeSet};

/// Chance of any false sign of narrowing in an arm that does not narrow.
const FAMILY_WISE_ERROR: f64 = 0.05;

/// Families that must agree.
const FAMILIES_NEEDED: usize = 2;

/// More seeds than this are nobody's next step.
const MOST_SEEDS: f64 = 200.0;

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

/// A headline metric at one generation.
#[derive(Clone, Copy)]
pub(super) struct Finding<'a> {
    pub(super) headline: &'static Headline,
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
        self.is_usable() && self.narrowing() + self.difference.half_width() < self.headline.practical
    }

    /// Whether arm and control agree to the last bit in every run: a metric that has run into a bound of its range
    /// and can tell nothing.
    fn is_saturated(&self) -> bool {
        self.difference.mean == 0.0 && self.difference.std_err == 0.0
    }

    /// Whether the interval knows of the noise of training.
    fn is_usable(&self) -> bool {
        self.difference.df.is_some()
    }
}

/// The headline metrics among `differences`, by generation.
pub(super) fn findings<'a>(differences: &'a [(&Metric, Difference)]) -> BTreeMap<usize, Vec<Finding<'a>>> {
    let mut by_generation: BTreeMap<usize, Vec<Finding>> = BTreeMap::new();
    for (metric, difference) in differences {
        if let Some(headline) = headline::of(metric.id) {
            by_generation.entry(difference.generation).or_default().push(Finding { headline, difference });
        }
    }
    by_generation
}

/// Decides on an arm, `measured` naming the headline metrics that were measured of it.
pub(super) fn decide(differences: &[(&Metric, Difference)], measured: &[&'static str]) -> Decision {
    let by_generation = findings(differences);
    let mut significant = BTreeSet::new();
    let mut called_at = None;
    for (&generation, findings) in &by_generation {
        let narrowing = holm(findings, error_spent_at(generation));
        significant.extend(narrowing.iter().map(|finding| (finding.headline.metric, generation)));
        if called_at.is_none() && families(narrowing).len() >= FAMILIES_NEEDED {
            called_at = Some(generation);
        }
    }
    let last = by_generation.last_key_value();
    let at_last = last.map_or(&[][..], |(_, findings)| findings);
    let known =
        |id: &str| at_last.iter().any(|f| f.headline.metric == id && (f.is_usable() || f.is_saturated()));
    let lacking: Vec<&str> = measured.iter().copied().filter(|id| !known(id)).collect();
    let verdict = match called_at {
        Some(_) if families(beyond(at_last)).len() >= FAMILIES_NEEDED => Verdict::Collapsed,
        Some(_) => Verdict::Narrowing,
        None if lacking.is_empty() && is_stable(at_last) => Verdict::Stable,
        None => Verdict::Inconclusive,
    };
    let seeds_needed = match (verdict, last) {
        (Verdict::Inconclusive, Some((&generation, findings))) if lacking.is_empty() => {
            seeds_needed(findings, error_spent_at(generation))
        }
        _ => None,
    };
    Decision { verdict, called_at, seeds_needed, significant, last: last.map(|(&g, _)| g), lacking }
}

/// The share of the family-wise error that generation `generation` ≥ 1 may spend: Σ 1/(g(g+1)) = 1.
fn error_spent_at(generation: usize) -> f64 {
    FAMILY_WISE_ERROR / (generation * (generation + 1)) as f64
}

/// Holm's procedure: the findings that narrow, with a chance of at most `error` that any of them is false.
fn holm<'a>(findings: &[Finding<'a>], error: f64) -> Vec<Finding<'a>> {
    let mut tested: Vec<(f64, Finding)> = findings
        .iter()
        .filter_map(|finding| Some((finding.difference.p_value(finding.headline.sign)?, *finding)))
        .collect();
    tested.sort_by(|a, b| a.0.total_cmp(&b.0));
    let count = tested.len();
    tested
        .into_iter()
        .enumerate()
        .take_while(|(rank, (p, _))| *p <= error / (count - rank) as f64)
        .map(|(_, (_, finding))| finding)
        .collect()
}

fn beyond<'a>(findings: &[Finding<'a>]) -> Vec<Finding<'a>> {
    findings.iter().copied().filter(Finding::is_beyond_practical_size).collect()
}

/// The families that some findings belong to.
pub(super) fn families<'a>(findings: impl IntoIterator<Item = Finding<'a>>) -> BTreeSet<Family> {
    findings.into_iter().map(|finding| finding.headline.family).collect()
}

fn is_stable(findings: &[Finding]) -> bool {
    let telling = || findings.iter().filter(|finding| !finding.is_saturated());
    families(telling().copied()).len() == all_families() && telling().all(Finding::excludes_practical_size)
}

/// How many families the headline metrics make up.
fn all_families() -> usize {
    headline::headline().iter().map(|headline| headline.family).collect::<BTreeSet<_>>().len()
}

/// Seeds at which the effects as they are would either exclude every practical size or show narrowing in enough
/// families, whichever takes fewer.
fn seeds_needed(findings: &[Finding], error: f64) -> Option<usize> {
    let telling = findings.iter().filter(|finding| !finding.is_saturated());
    let each: Option<Vec<f64>> = telling.map(seeds_to_exclude).collect();
    let stable = each.and_then(|seeds| seeds.into_iter().max_by(f64::total_cmp));
    let stable = stable.filter(|_| families(findings.iter().copied()).len() == all_families());
    let fewest = [stable, seeds_to_call(findings, error)].into_iter().flatten().min_by(f64::total_cmp)?;
    let now = findings.iter().map(|finding| finding.difference.seeds).min()?;
    (fewest <= MOST_SEEDS).then(|| (fewest.ceil() as usize).max(now + 1))
}

/// Seeds at which the interval would exclude the practical size.
fn seeds_to_exclude(finding: &Finding) -> Option<f64> {
    let room = finding.headline.practical - finding.narrowing();
    (room > 0.0).then(|| finding.difference.seeds as f64 * (finding.difference.half_width() / room).powi(2))
}

/// Seeds at which enough families would be significant.
fn seeds_to_call(findings: &[Finding], error: f64) -> Option<f64> {
    let mut by_family: BTreeMap<Family, f64> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.narrowing() > 0.0) {
        let critical = quantile(error / findings.len() as f64, finding.difference.df);
        let ratio = critical * finding.difference.std_err / finding.narrowing();
        let seeds = finding.difference.seeds as f64 * ratio * ratio;
        by_family
            .entry(finding.headline.family)
            .and_modify(|fewest| *fewest = fewest.min(seeds))
            .or_insert(seeds);
    }
    let mut fewest: Vec<f64> = by_family.into_values().collect();
    fewest.sort_by(f64::total_cmp);
    fewest.get(FAMILIES_NEEDED - 1).copied()
}
