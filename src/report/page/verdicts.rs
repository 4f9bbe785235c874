//! The first screen: the verdict on every arm.

use super::key::key;
use super::{ExperimentSection, number, signed};
use crate::config::CONTROL;
use crate::measure::{Catalogue, Family};
use crate::report::series::Series;
use crate::store::RunRecord;
use crate::verdict::{ArmComparison, DEGRADED_ERROR, Effect, FAMILY_WISE_ERROR, Verdict, headline_metrics};
use maud::{Markup, html};
use std::collections::BTreeMap;

const ORDER: [Verdict; 5] =
    [Verdict::Collapsed, Verdict::Narrowing, Verdict::Degraded, Verdict::Stable, Verdict::Inconclusive];

/// The verdicts and the size of the experiment, in two sentences.
pub(super) fn summary(section: &ExperimentSection) -> Markup {
    let experiment = &section.recorded.experiment;
    let seeds = experiment.seeds.len();
    html! {
        p.lead {
            (tally(section))
            span.setup {
                (plural(section.arms.len(), "arm")) ", " (plural(seeds, "seed")) ", "
                (plural(experiment.generations, "generation")) " after generation 0"
                (unfinished(section.recorded)) "."
            }
        }
    }
}

/// How far an unfinished experiment has come; nothing for a finished one.
fn unfinished(recorded: &RunRecord) -> String {
    if recorded.is_finished() {
        return String::new();
    }
    match recorded.lineages.iter().map(|lineage| lineage.generations.len()).min() {
        None | Some(0) => " (unfinished: not all arms and seeds have begun)".to_owned(),
        Some(done) => format!(" (unfinished: all arms and seeds have reached generation {})", done - 1),
    }
}

/// The number of arms with each verdict.
fn tally(section: &ExperimentSection) -> String {
    let comparisons = &section.comparisons;
    if comparisons.is_empty() {
        return "There is nothing to compare yet: only the control is on record.".to_owned();
    }
    let counts = ORDER.map(|verdict| (verdict, comparisons.iter().filter(|c| c.verdict == verdict).count()));
    let parts = counts.into_iter().filter(|(_, count)| *count > 0).map(|(verdict, count)| {
        let one = count == 1;
        let state = match verdict {
            Verdict::Collapsed if one => "has collapsed",
            Verdict::Collapsed => "have collapsed",
            _ if one => "is",
            _ => "are",
        };
        let word = if verdict == Verdict::Collapsed { String::new() } else { format!(" {}", verdict.word()) };
        format!("{count} {state}{word}")
    });
    let total = plural(comparisons.len(), "arm");
    let begin = if section.recorded.is_finished() { "Of" } else { "So far, of" };
    format!("{begin} {total} compared with the control, {}.", parts.collect::<Vec<_>>().join(", "))
}

/// The word for a verdict, in its colour, and whether it can still change.
pub(super) fn badge(section: &ExperimentSection, verdict: Verdict) -> Markup {
    html! {
        span.badge.(verdict.word()) { (verdict.word()) }
        @if !section.recorded.is_finished() { " " span.sub { "so far" } }
    }
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("{count} {word}") } else { format!("{count} {word}s") }
}

/// A table with a row per arm.
pub(super) fn table(section: &ExperimentSection) -> Markup {
    html! {
        div.scroll {
            table.verdicts {
                caption {
                    "Every arm against the control of the same seeds. Differences are arm minus control at the last \
                     common generation, with 95 % intervals. The strongest difference of each family is shown."
                    @let experiment = &section.recorded.experiment;
                    @for caveat in experiment.shared_by_seeds().into_iter().chain(experiment.written_unlike_control()) {
                        " Note: " (caveat) "."
                    }
                }
                thead {
                    tr { th scope="col" { "Arm" } th scope="col" { "Verdict" } th scope="col" { "Called at" }
                         th scope="col" { "Key differences" } }
                }
                @for arm in &section.arms {
                    @if let Some(comparison) = section.comparisons.iter().find(|c| c.arm == arm.name) {
                        tbody { (row(section, arm, comparison)) }
                    } @else {
                        tbody { (without_comparison(arm)) }
                    }
                }
            }
        }
    }
}

fn without_comparison(arm: &Series) -> Markup {
    let why = if arm.name == CONTROL {
        "Natural text only: the others are compared with it."
    } else {
        "Not compared."
    };
    html! {
        tr { th scope="row" { (key(arm.style)) (arm.name) } td colspan="3" { (why) } }
    }
}

fn row(section: &ExperimentSection, arm: &Series, comparison: &ArmComparison) -> Markup {
    html! {
        tr {
            th scope="row" { (key(arm.style)) (arm.name) }
            td {
                (badge(section, comparison.verdict)) " "
                details.what {
                    summary aria-label={ "What does " (comparison.verdict.word()) " mean?" } { "?" }
                    p { (comparison.verdict.meaning()) }
                }
            }
            td data-label="Called at" {
                @match comparison.called_at_generation {
                    Some(generation) => { span.together { "generation " (generation) } }
                    None => { "–" }
                }
            }
            td {
                ul.effects {
                    @for effect in key_effects(comparison) { (difference(effect)) }
                }
            }
        }
        tr.why {
            td colspan="4" {
                (comparison.explanation)
                @if let Some(last) = comparison.last_generation() {
                    " " span.sub { "(" (plural(comparison.seeds, "seed")) ", up to generation " (last) ")" }
                }
                @if let Some(synthetic) = &comparison.synthetic_text {
                    " " (synthetic.explanation)
                    " " span.sub { "(compared with " (synthetic.repeat_arm) ")" }
                }
            }
        }
    }
}

fn difference(effect: &Effect) -> Markup {
    html! {
        li {
            @if effect.identical {
                (effect.label) " " strong { "identical" }
            } @else {
                (effect.label) " " strong { (signed(effect.difference)) } " "
                span.ci { "[" (number(effect.ci_low)) ", " (number(effect.ci_high)) "] " (effect.unit) }
            }
        }
    }
}

/// The headline metric of each family that is furthest from the control, in units of its practical size.
fn key_effects(comparison: &ArmComparison) -> Vec<&Effect> {
    let size = |effect: &Effect| effect.practical_size.map_or(0.0, |size| effect.difference / size);
    let strongest = |family| {
        let effects = comparison.effects.iter().filter(|effect| effect.practical_size.is_some());
        let last = effects.clone().map(|effect| effect.generation).max();
        effects
            .filter(|effect| effect.family == family && Some(effect.generation) == last)
            .max_by(|a, b| size(a).total_cmp(&size(b)))
    };
    [Family::Tail, Family::Entropy, Family::HeldOut].into_iter().filter_map(strongest).collect()
}

/// Definitions of the verdicts that occur.
pub(super) fn meaning(section: &ExperimentSection) -> Markup {
    let occurs = |verdict| section.comparisons.iter().any(|comparison| comparison.verdict == verdict);
    html! {
        div.meaning {
            @if section.comparisons.is_empty() {
                p { "A verdict needs an arm beside the control, with at least one generation after generation 0." }
            }
            @for verdict in ORDER.into_iter().filter(|verdict| occurs(*verdict)) {
                p { strong { (capital(verdict.word())) } ": " (verdict.meaning()) }
            }
            p.sub {
                "Intervals are 95 % intervals. A call of narrowing allows for all headline metrics and all generations \
                 together (" (percent(FAMILY_WISE_ERROR)) " per arm), one of degradation for both held-out metrics and all generations \
                 (" (percent(DEGRADED_ERROR)) "), and neither uses a later generation than the one it names. The practical sizes are \
                 conventions, not calibrated against known collapses: " (practical_sizes()) "."
            }
        }
    }
}

/// A share in percent, with two decimals where it has them.
fn percent(share: f64) -> String {
    let text = format!("{:.2}", 100.0 * share);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The practical size of every headline metric, grouped by size.
fn practical_sizes() -> String {
    let mut by_size: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let catalogue = Catalogue::builtin();
    for headline in headline_metrics() {
        let Some(metric) = catalogue.get(headline.metric) else { continue };
        let size = format!("{} {}", headline.practical, metric.unit);
        by_size.entry(size).or_default().push(metric.label.to_string());
    }
    let parts = by_size.iter().map(|(size, labels)| format!("{size} in {}", labels.join(" and ")));
    parts.collect::<Vec<_>>().join("; ")
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
