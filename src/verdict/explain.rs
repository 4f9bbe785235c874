//! The reason for a verdict, as a sentence.

use super::Verdict;
use super::decide::{
    Decision, FAMILIES_NEEDED, HeadlineDifference, MOST_SEEDS, SeedsNeeded, differing_families, families,
    headline_differences,
};
use super::headline::{headline_metrics, practical_size};
use super::paired::Difference;
use crate::measure::{Catalogue, Family, MetricDefinition};

/// The families of the headline metrics, in the order in which a sentence names them.
const FAMILIES: [Family; 3] = [Family::Tail, Family::Entropy, Family::HeldOut];

/// What a verdict rests on.
pub(super) struct Evidence<'a> {
    pub(super) decision: &'a Decision,
    pub(super) differences: &'a [(&'a MetricDefinition, Difference)],
    /// Whether one seed alone has reached later generations.
    pub(super) goes_on: bool,
    /// The number of seeds that they have in common.
    pub(super) seeds: usize,
    /// The number of seeds of which arm or control have any generation.
    pub(super) all_seeds: usize,
    /// The number of values that are not finite.
    pub(super) left_out: usize,
}

impl Evidence<'_> {
    /// The reason for the verdict.
    pub(super) fn explain(&self, catalogue: &Catalogue) -> String {
        let Self { decision, differences, left_out, .. } = *self;
        let by_generation = headline_differences(differences);
        let at_last = decision.last.and_then(|last| by_generation.get(&last)).map_or(&[][..], Vec::as_slice);
        let generations: Vec<usize> = by_generation.keys().copied().collect();
        let mut sentence = match (decision.verdict, decision.last) {
            (_, None) => {
                "arm and control have no generation after generation 0 in common in any seed".to_owned()
            }
            (Verdict::Collapsed | Verdict::Narrowing, Some(last)) => {
                narrowing(decision, &generations, at_last, last)
            }
            (Verdict::Degraded, Some(last)) => degraded(decision, &generations, at_last, last),
            (Verdict::Stable, Some(last)) => stable(at_last, last),
            (Verdict::Inconclusive, Some(last)) => inconclusive(decision, at_last, last, catalogue),
        };
        if let Some(last) = decision.last {
            let clauses = [
                widening(differences, last),
                improvement(differences, last),
                self.unfinished(last),
                self.one_seed(at_last),
            ];
            clauses.into_iter().flatten().for_each(|clause| sentence.push_str(&format!("; {clause}")));
        }
        if left_out > 0 {
            sentence.push_str(&format!("; left out: {left_out} values that are not numbers"));
        }
        sentence.push('.');
        capitalised(&sentence)
    }

    /// A clause on seeds that have not reached the last generation.
    fn unfinished(&self, last: usize) -> Option<String> {
        let at_last = self.differences.iter().filter(|(_, one)| one.generation == last);
        let here = at_last.map(|(_, one)| one.seeds).max()?;
        let missing = format!("{here} of {} seeds begun have reached generation {last}", self.all_seeds);
        match (here < self.all_seeds, self.goes_on) {
            (true, true) => Some(format!("{missing}, and what only one has reached is left out")),
            (true, false) => Some(missing),
            (false, true) => {
                Some("later generations, which only one seed has reached, are left out".to_owned())
            }
            (false, false) => None,
        }
    }

    /// A clause on the noise of a single seed, if it could be estimated.
    fn one_seed(&self, at_last: &[HeadlineDifference]) -> Option<String> {
        let is_estimated = self.seeds == 1 && at_last.iter().any(|one| one.difference.is_usable());
        is_estimated
            .then(|| "with one seed, noise is estimated from the control's own generations".to_owned())
    }
}

fn narrowing(
    decision: &Decision,
    generations: &[usize],
    at_last: &[HeadlineDifference],
    last: usize,
) -> String {
    let called = decision.called_at.unwrap_or(last);
    let at = |generation| FAMILIES.into_iter().filter(move |&family| narrows(decision, family, generation));
    let narrowed: Vec<Family> = at(called).collect();
    let names: Vec<&str> = narrowed.iter().copied().map(family_name).collect();
    let is_lasting = generations
        .iter()
        .filter(|&&generation| generation >= called)
        .all(|&generation| narrowed.iter().all(|&family| narrows(decision, family, generation)));
    let names = list(&names);
    let since = match is_lasting {
        true => format!("from generation {called} on, {names} are worse than in the control"),
        false => format!("at generation {called}, {names} were worse than in the control"),
    };
    let of_called = at_last.iter().copied().filter(|one| narrowed.contains(&one.headline.family));
    let worst = most_severe(of_called.clone().filter(|one| is_evidence(decision, one)))
        .or_else(|| most_severe(of_called));
    let worst =
        worst.map_or_else(String::new, |worst| format!("; at generation {last}, {}", interval(&worst)));
    let size = if decision.verdict == Verdict::Collapsed {
        let beyond = families(at_last.iter().copied().filter(HeadlineDifference::is_beyond_practical_size));
        let beyond: Vec<&str> =
            FAMILIES.into_iter().filter(|family| beyond.contains(family)).map(family_name).collect();
        format!(", and what is lost exceeds the practical size in {}", list(&beyond))
    } else if at(last).count() < FAMILIES_NEEDED {
        ", and fewer than two families are still significantly worse".to_owned()
    } else {
        ", but it is not shown that the loss exceeds the practical size in two families".to_owned()
    };
    since + &worst + &size
}

fn degraded(
    decision: &Decision,
    generations: &[usize],
    at_last: &[HeadlineDifference],
    last: usize,
) -> String {
    let called = decision.called_at.unwrap_or(last);
    let held_out = at_last.iter().copied().filter(|one| one.headline.family == Family::HeldOut);
    let worst = most_severe(held_out.filter(HeadlineDifference::is_beyond_practical_size))
        .map_or_else(String::new, |worst| interval(&worst));
    let mut later = generations.iter().filter(|&&generation| generation >= called);
    let since = match later.all(|generation| decision.degraded.contains(generation)) {
        true => format!("from generation {called} on, natural text is"),
        false => format!("at generation {called}, natural text was"),
    };
    format!(
        "{since} predicted worse than by the control, by more than the practical size, while narrowing is not shown in two \
         families; at generation {last}, {worst}"
    )
}

/// A clause for an arm that predicts natural text better than the control by more than the practical size.
fn improvement(differences: &[(&MetricDefinition, Difference)], last: usize) -> Option<String> {
    const METRIC: &str = "heldout_loss";
    let (_, loss) = differences.iter().find(|(metric, one)| metric.id == METRIC && one.generation == last)?;
    let practical = practical_size(METRIC)?;
    (loss.is_usable() && loss.ci_high() < -practical).then(|| {
        format!(
            "it predicts natural text better than the control: held-out loss is {:.2} nats/token lower (95 % interval {:.2} to {:.2})",
            -loss.mean,
            -loss.ci_high(),
            -loss.ci_low()
        )
    })
}

/// A clause for an arm whose text widens instead of narrowing: it has more types than the control's, and fewer of the
/// rare natural ones. None if the intervals do not show both. Words are preferred to tokens, which a model cannot invent.
fn widening(differences: &[(&MetricDefinition, Difference)], last: usize) -> Option<String> {
    let at_last = |id: &str| {
        let found = differences.iter().find(|(metric, one)| metric.id == id && one.generation == last);
        found.map(|(_, difference)| difference).filter(|difference| difference.is_usable())
    };
    [("words", "hill_0_words", "tail_coverage_words"), ("tokens", "hill_0", "tail_coverage")].iter().find_map(
        |(unit, types, rare)| {
            let (types, rare) = (at_last(types)?, at_last(rare)?);
            (types.ci_low() > 0.0 && rare.ci_high() < 0.0).then(|| {
                format!(
                    "its text widens: {:.0} different {unit} where the control has {:.0}, but fewer of the rare natural ones",
                    types.arm, types.control
                )
            })
        },
    )
}

/// Whether the metric is significant at the generation of the difference, so that a call of narrowing rests on it.
fn is_evidence(decision: &Decision, one: &HeadlineDifference) -> bool {
    decision.is_significant(one.headline.metric, one.difference.generation)
}

/// Whether a headline metric of a family is evidence of narrowing at a generation.
fn narrows(decision: &Decision, family: Family, generation: usize) -> bool {
    let mut of_family = headline_metrics().iter().filter(|headline| headline.family == family);
    of_family.any(|headline| decision.is_significant(headline.metric, generation))
}

fn stable(at_last: &[HeadlineDifference], last: usize) -> String {
    let differing = at_last.iter().filter(|one| !one.difference.is_identical);
    let closest = differing.max_by(|a, b| a.worst_case().total_cmp(&b.worst_case()));
    let closest =
        closest.map_or_else(String::new, |closest| format!("; the one closest to it: {}", interval(closest)));
    format!(
        "at generation {last}, the intervals of all headline metrics exclude a loss of practical size{closest}"
    )
}

fn inconclusive(
    decision: &Decision,
    at_last: &[HeadlineDifference],
    last: usize,
    catalogue: &Catalogue,
) -> String {
    if !decision.lacking.is_empty() {
        return lacking(decision, at_last, last, catalogue);
    }
    if families(at_last.iter().copied()).len() < FAMILIES.len() {
        return "arm and control do not have a headline metric of every family in common".to_owned();
    }
    if at_last.iter().all(|one| one.difference.is_identical) {
        return format!(
            "at generation {last}, all headline metrics are identical in arm and control, which allows no conclusion"
        );
    }
    let seeds = seeds_needed(decision, at_last);
    let words: Vec<&str> = decision.possible.iter().map(|verdict| verdict.word()).collect();
    let open = match words[..] {
        [] => "the intervals exclude each of the other verdicts at this generation".to_owned(),
        _ => format!("the intervals leave open: {}", alternatives(&words)),
    };
    if differing_families(at_last).len() < FAMILIES_NEEDED {
        return too_few_differ(decision, at_last, last, &format!("{open}, and {seeds}"));
    }
    let (worse, others): (Vec<Family>, Vec<Family>) =
        FAMILIES.into_iter().partition(|&family| narrows(decision, family, last));
    match (&worse[..], &others[..]) {
        (&[one], &[other, another]) => {
            let of_family = at_last.iter().copied().filter(|found| found.headline.family == one);
            let worst = most_severe(of_family.filter(|found| is_evidence(decision, found)));
            let worst = worst.map_or_else(String::new, |worst| interval(&worst));
            let [other, another] = [other, another].map(family_name);
            format!(
                "at generation {last}, {worst}, but neither {other} nor {another} is significantly worse, and narrowing needs \
                 evidence in two of the three families; {open}, and {seeds}"
            )
        }
        _ => format!("at generation {last}, {open}, and {seeds}"),
    }
}

/// The sentence for headline metrics whose noise is not known.
fn lacking(
    decision: &Decision,
    at_last: &[HeadlineDifference],
    last: usize,
    catalogue: &Catalogue,
) -> String {
    let has_seeds =
        |id: &&str| at_last.iter().any(|one| one.headline.metric == *id && one.difference.seeds > 1);
    let (repeated, absent): (Vec<&str>, Vec<&str>) = decision.lacking.iter().copied().partition(has_seeds);
    let clause = |ids: Vec<&str>, reason: &str| {
        let labels: Vec<String> = ids.iter().map(|id| in_a_sentence(catalogue.label(id))).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let names = list(&labels);
        (!labels.is_empty())
            .then(|| format!("no interval that includes the noise of training for {names} ({reason})"))
    };
    let clauses = [
        clause(repeated, "all seeds give the same difference: what varies between them does not change it"),
        clause(
            absent,
            "such an interval needs values of both arm and control, from at least two seeds or two generations",
        ),
    ];
    let clauses: Vec<String> = clauses.into_iter().flatten().collect();
    format!("at generation {last}, there is {}", clauses.join(", and "))
}

/// The sentence for an arm that differs from the control in one family only. `rest` says what is possible all the same.
fn too_few_differ(decision: &Decision, at_last: &[HeadlineDifference], last: usize, rest: &str) -> String {
    let differing = differing_families(at_last);
    let identical = FAMILIES.into_iter().filter(|family| !differing.contains(family));
    let identical: Vec<&str> = identical.map(family_name).collect();
    let worst = most_severe(at_last.iter().copied().filter(|one| !one.difference.is_identical));
    let worst = worst.map_or_else(String::new, |worst| format!("; {}", interval(&worst)));
    let rest = if decision.possible.is_empty() { "so more seeds would settle nothing" } else { rest };
    format!(
        "at generation {last}, {} are identical in arm and control, and every verdict but degraded needs a difference in \
         two families{worst}; {rest}",
        list(&identical)
    )
}

/// A clause on the number of seeds that would settle an inconclusive verdict.
fn seeds_needed(decision: &Decision, at_last: &[HeadlineDifference]) -> String {
    let seeds = at_last.iter().map(|one| one.difference.seeds).min().unwrap_or_default();
    match decision.seeds_needed {
        Some(SeedsNeeded::Number(seeds)) => format!("about {seeds} seeds would settle the verdict"),
        Some(SeedsNeeded::TooMany) => {
            format!("no number of seeds up to {MOST_SEEDS} is expected to settle the verdict")
        }
        Some(SeedsNeeded::Unknown) | None if seeds == 1 => {
            "one seed is too few to estimate how many would settle the verdict; try three".to_owned()
        }
        Some(SeedsNeeded::Unknown) | None => {
            format!("{seeds} seeds are too few to estimate how many would settle the verdict")
        }
    }
}

/// The headline metric that narrowed most, in practical sizes.
fn most_severe<'a>(found: impl Iterator<Item = HeadlineDifference<'a>>) -> Option<HeadlineDifference<'a>> {
    found.max_by(|a, b| a.severity().total_cmp(&b.severity()))
}

/// `the token entropy is 0.31 nats below the control (95 % interval 0.27 to 0.35)`, `the ratio of rare words found is
/// 0.65 below the control …`.
fn interval(found: &HeadlineDifference) -> String {
    let HeadlineDifference { metric, difference, headline: _ } = found;
    let (side, range) = side_and_range(difference.mean, difference.ci_low(), difference.ci_high());
    let label = in_a_sentence(&metric.label);
    let size = decimal(difference.mean.abs());
    let (subject, amount) = match &*metric.unit {
        unit @ ("ratio" | "share") => (format!("the {unit} of {label}"), size),
        unit => (format!("the {label}"), format!("{size} {unit}")),
    };
    format!("{subject} is {amount} {side} the control (95 % interval {range})")
}

/// On which side of the other arm a difference lies, `below` or `above`, and its 95 % interval, counted to that side:
/// `0.27 to 0.35`. An interval with 0 in it has both sides: `0.66 below to 0.24 above`.
pub(super) fn side_and_range(difference: f64, ci_low: f64, ci_high: f64) -> (&'static str, String) {
    let (side, other_side, near, far) = match difference < 0.0 {
        true => ("below", "above", -ci_high, -ci_low),
        false => ("above", "below", ci_low, ci_high),
    };
    let range = if !far.is_finite() {
        "without bounds".to_owned()
    } else if near < 0.0 {
        format!("{} {side} to {} {other_side}", decimal(far), decimal(-near))
    } else {
        format!("{} to {}", decimal(near), decimal(far))
    };
    (side, range)
}

/// Two digits after the point, or a power of ten for the values of models that diverged.
fn decimal(value: f64) -> String {
    if value.abs() < 1e9 { format!("{value:.2}") } else { format!("{value:.2e}") }
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::HeldOut => "held-out loss",
        Family::Tail => "the tail",
        Family::Entropy => "entropy",
        Family::Divergence => "divergence",
        Family::Form => "form",
        Family::Other => "other metrics",
    }
}

/// The label of a metric within a sentence.
fn in_a_sentence(label: &str) -> String {
    label.to_lowercase()
}

/// `a`, `a and b`, `a, b and c`.
fn list(words: &[&str]) -> String {
    joined(words, "and")
}

/// `a`, `a or b`, `a, b or c`.
fn alternatives(words: &[&str]) -> String {
    joined(words, "or")
}

fn joined(words: &[&str], conjunction: &str) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} {conjunction} {last}", most.join(", ")),
    }
}

fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
