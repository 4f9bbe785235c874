//! A verdict as a sentence.

use super::Verdict;
use super::decide::{Decision, Finding, families, findings};
use super::paired::Difference;
use crate::measure::{Catalogue, Family, MetricDefinition};

/// The families in the order in which a sentence names them.
const FAMILIES: [Family; 3] = [Family::Tail, Family::Entropy, Family::HeldOut];

/// Why the verdict is what it is.
pub(super) fn explain(
    decision: &Decision,
    differences: &[(&MetricDefinition, Difference)],
    seeds: usize,
    not_numbers: usize,
    catalogue: &Catalogue,
) -> String {
    let by_generation = findings(differences);
    let at_last = decision.last.and_then(|last| by_generation.get(&last)).map_or(&[][..], Vec::as_slice);
    let mut sentence = match (decision.verdict, decision.last) {
        (_, None) => "the arm and the control share no generation after generation 0 in any seed".to_owned(),
        (Verdict::Collapsed | Verdict::Narrowing, Some(last)) => narrowing(decision, at_last, last),
        (Verdict::Stable, Some(last)) => stable(at_last, last),
        (Verdict::Inconclusive, Some(last)) => inconclusive(decision, at_last, last, catalogue),
    };
    if seeds == 1 {
        sentence.push_str("; there is one seed, so noise is judged by the control's own generations");
    }
    if not_numbers > 0 {
        sentence.push_str(&format!("; left out: {not_numbers} values that are not numbers"));
    }
    sentence.push('.');
    capitalised(&sentence)
}

fn narrowing(decision: &Decision, at_last: &[Finding], last: usize) -> String {
    let called = decision.called_at.unwrap_or(last);
    let named: Vec<&str> =
        FAMILIES.into_iter().filter(|&f| narrows(decision, f, called)).map(family_name).collect();
    let since =
        format!("from generation {called} on, {} {} worse than the control's", list(&named), are(&named));
    let worst = at_last.iter().copied().max_by(|a, b| severity(a).total_cmp(&severity(b)));
    let worst =
        worst.map_or_else(String::new, |finding| format!("; at generation {last}, {}", difference(&finding)));
    let size = if decision.verdict == Verdict::Collapsed {
        let beyond = families(at_last.iter().copied().filter(Finding::is_beyond_practical_size));
        let beyond: Vec<&str> =
            FAMILIES.into_iter().filter(|f| beyond.contains(f)).map(family_name).collect();
        format!(", and the loss is beyond the practical size in {}", list(&beyond))
    } else {
        ", short of the practical size in two families".to_owned()
    };
    since + &worst + &size
}

/// Whether a headline metric of a family speaks for narrowing at a generation.
fn narrows(decision: &Decision, family: Family, generation: usize) -> bool {
    let speaks = |metric| decision.is_significant(metric, generation);
    super::headline().iter().any(|headline| headline.family == family && speaks(headline.metric))
}

fn stable(at_last: &[Finding], last: usize) -> String {
    let telling = at_last.iter().copied().filter(|finding| !finding.difference.is_identical);
    let closest = telling.max_by(|a, b| a.farthest().total_cmp(&b.farthest()));
    let closest =
        closest.map_or_else(String::new, |finding| format!("; the closest: {}", difference(&finding)));
    format!(
        "at generation {last} no headline metric can be worse than the control by its practical size{closest}"
    )
}

fn inconclusive(decision: &Decision, at_last: &[Finding], last: usize, catalogue: &Catalogue) -> String {
    if !decision.lacking.is_empty() {
        let lacking: Vec<String> =
            decision.lacking.iter().map(|id| in_a_sentence(catalogue.label(id))).collect();
        let lacking: Vec<&str> = lacking.iter().map(String::as_str).collect();
        return format!(
            "at generation {last} no interval that accounts for the noise of training can be given for {} (that takes \
             a value of arm and control, and two seeds or two generations)",
            list(&lacking)
        );
    }
    if families(at_last.iter().copied()).len() < FAMILIES.len() {
        return "not every family has a headline metric that both the arm and the control have".to_owned();
    }
    if at_last.iter().all(|finding| finding.difference.is_identical) {
        return format!(
            "at generation {last} arm and control agree to the last bit, from which nothing can be told"
        );
    }
    let seeds = match decision.seeds_needed {
        Some(seeds) => format!("{seeds} seeds would settle it if the effects stayed as they are"),
        None if at_last.iter().all(|finding| finding.difference.seeds == 1) => {
            "one seed does not tell how many would settle it: try three".to_owned()
        }
        None => "no practical number of seeds is known to settle it".to_owned(),
    };
    let (worse, others): (Vec<Family>, Vec<Family>) =
        FAMILIES.into_iter().partition(|&family| narrows(decision, family, last));
    match (&worse[..], &others[..]) {
        ([one], [other, another]) => {
            let own = at_last.iter().copied().filter(|finding| finding.headline.family == *one);
            let worst = own.max_by(|a, b| severity(a).total_cmp(&severity(b)));
            let worst = worst.map_or_else(String::new, |finding| difference(&finding));
            let [other, another] = [*other, *another].map(family_name);
            format!(
                "at generation {last} {worst}, but neither {other} nor {another} is surely worse, and a call takes two \
                 families of the three: {seeds}"
            )
        }
        _ => format!(
            "at generation {last} the intervals rule out neither narrowing nor stability, and {seeds}"
        ),
    }
}

/// How far a finding is towards mattering.
fn severity(finding: &Finding) -> f64 {
    finding.headline.sign * finding.difference.mean / finding.headline.practical
}

fn difference(finding: &Finding) -> String {
    let Finding { metric, difference, .. } = finding;
    let unit = &metric.unit;
    let side = if difference.mean < 0.0 { "below" } else { "above" };
    let (near, far) = if difference.mean < 0.0 {
        (-difference.ci_high(), -difference.ci_low())
    } else {
        (difference.ci_low(), difference.ci_high())
    };
    format!(
        "{} is {:.2} {unit} {side} the control (95 % interval {near:.2} to {far:.2})",
        in_a_sentence(&metric.label),
        difference.mean.abs()
    )
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

fn are(words: &[&str]) -> &'static str {
    if words.len() == 1 { "is" } else { "are" }
}

/// `a`, `a and b`, `a, b and c`.
fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
