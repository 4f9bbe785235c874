//! `genloss compare --pairs`: all pairs of arms, judged together.

use super::lines::{Line, fitted, shortened};
use crate::cli::output::{self, OutputFormat, say};
use crate::config::CONTROL;
use crate::measure::Catalogue;
use crate::store::RunRecord;
use crate::verdict::{HeadlineMetric, PairDifference, compare_pairs, headline_metrics};
use anyhow::{Result, bail};
use std::collections::BTreeSet;

/// The metric that is compared unless others are asked for.
pub(super) const DEFAULT_METRIC: &str = "heldout_loss";

/// A headline metric by its id.
pub(super) fn metric(id: &str) -> Result<HeadlineMetric, String> {
    let known = || headline_metrics().iter().map(|headline| headline.metric).collect::<Vec<_>>().join(", ");
    let found = headline_metrics().iter().find(|headline| headline.metric == id);
    found.copied().ok_or_else(|| format!("pairs are compared in one or several of these: {}", known()))
}

/// Returns an error if a metric is given twice, which would widen every interval.
pub(super) fn check(metrics: &[HeadlineMetric]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match metrics.iter().find(|headline| !seen.insert(headline.metric)) {
        Some(twice) => bail!("--pairs: {} is given twice; give each metric once", twice.metric),
        None => Ok(()),
    }
}

/// Prints all pairs of arms of each experiment.
pub(super) fn print(recorded: &[RunRecord], metrics: &[HeadlineMetric], format: OutputFormat) -> Result<()> {
    let pairs: Vec<PairDifference> = recorded.iter().flat_map(|one| of_experiment(one, metrics)).collect();
    let empty = without_pairs(recorded, metrics, &pairs);
    if let (true, Some(reason)) = (pairs.is_empty(), empty.first()) {
        bail!("{reason}");
    }
    empty.iter().for_each(|reason| say(&format!("note: {reason}")));
    match format {
        OutputFormat::Json => output::json(&pairs),
        OutputFormat::Csv => output::csv(&pairs),
        OutputFormat::Markdown => output::emit(&markdown(&pairs)),
        OutputFormat::Table => output::emit(&text(&pairs)),
    }
}

fn of_experiment(recorded: &RunRecord, metrics: &[HeadlineMetric]) -> Vec<PairDifference> {
    let name = &recorded.experiment.name;
    compare_pairs(name, &recorded.observations(), CONTROL, metrics, &recorded.catalogue())
}

/// A line for each experiment and metric without a pair.
fn without_pairs(
    recorded: &[RunRecord],
    metrics: &[HeadlineMetric],
    pairs: &[PairDifference],
) -> Vec<String> {
    let mut lines = Vec::new();
    for experiment in recorded.iter().map(|one| one.experiment.name.as_str()) {
        for HeadlineMetric { metric, .. } in metrics {
            if !pairs.iter().any(|pair| pair.experiment == experiment && pair.metric == *metric) {
                lines.push(format!(
                    "experiment \"{experiment}\": no two arms have {metric} at generation 1 or later in two seeds, and \
                     pairs of arms are compared over seeds; add seeds to its file, such as seeds = [1, 2, 3], and run \
                     it again"
                ));
            }
        }
    }
    lines
}

/// A table for each experiment and metric, and the legend.
fn text(pairs: &[PairDifference]) -> String {
    let of_one = |one: &PairDifference, next: &PairDifference| {
        one.experiment == next.experiment && one.metric == next.metric
    };
    let tables: String = pairs.chunk_by(of_one).map(|pairs| table(pairs) + "\n").collect();
    tables + &legend(pairs)
}

fn table(pairs: &[PairDifference]) -> String {
    let first = &pairs[0];
    let catalogue = Catalogue::builtin();
    let label = catalogue.label(&first.metric);
    let generations = range(pairs.iter().map(|pair| pair.generation));
    let seeds = range(pairs.iter().map(|pair| pair.seeds));
    let title = format!(
        "{}: {label} ({}) at generation {generations}, {seeds} seeds, pairs judged together: {}",
        shortened(&first.experiment),
        first.unit,
        first.judged_together
    );
    let differ = pairs.iter().any(|pair| pair.generation != first.generation);
    let generation = |text: String| differ.then_some(text);
    let cells = |cells: [String; 4], text| Line::Cells(cells.into_iter().chain(generation(text)).collect());
    let header = cells(["arm", "minus", "difference", "worse"].map(str::to_owned), "generation".to_owned());
    let rows = pairs.iter().map(|pair| cells(row(pair), pair.generation.to_string()));
    let lines: Vec<Line> = [Line::Heading(&title), header].into_iter().chain(rows).collect();
    fitted(&lines, &[0, 1, 3])
}

/// The two arms, the difference, and the arm that is worse.
fn row(pair: &PairDifference) -> [String; 4] {
    let signed = output::signed(pair.difference, 3);
    let (difference, worse) = match (pair.half_width(), &pair.worse) {
        (Some(half), Some(worse)) => (format!("{signed} ± {half:.3}"), worse.as_str()),
        (Some(half), None) => (format!("{signed} ± {half:.3}"), "cannot be told"),
        (None, _) if pair.difference == 0.0 => ("0".to_owned(), "identical"),
        (None, _) => (signed, "cannot be told"),
    };
    [pair.arm.clone(), pair.other.clone(), difference, worse.to_owned()]
}

/// `3`, or `2 to 3`.
fn range(numbers: impl Iterator<Item = usize>) -> String {
    let numbers: BTreeSet<usize> = numbers.collect();
    match (numbers.first(), numbers.last()) {
        (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
        (least, _) => least.map_or(String::new(), ToString::to_string),
    }
}

fn legend(pairs: &[PairDifference]) -> String {
    let has_entropy = pairs.iter().any(|pair| pair.metric.ends_with("entropy"));
    let narrower = if has_entropy { " In entropy, the worse arm is the narrower one." } else { "" };
    output::paragraph(&format!(
        "Differences are paired by seed, ± half of a simultaneous interval: all those of an experiment cover with 95 % \
         (Bonferroni). An arm is named as worse by Holm's method on paired t-tests: the chance of any false claim among all \
         pairs shown of an experiment is at most 5 %.{narrower} Where it cannot be told, the arms are not shown to be \
         equal; more seeds may tell."
    ))
}

fn markdown(pairs: &[PairDifference]) -> String {
    let rows: Vec<Vec<String>> = pairs
        .iter()
        .map(|pair| {
            let named = [pair.experiment.clone(), pair.metric.clone(), pair.generation.to_string()];
            named.into_iter().chain(row(pair)).collect()
        })
        .collect();
    output::markdown(&["experiment", "metric", "generation", "arm", "minus", "difference", "worse"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(arm: &str, other: &str, worse: Option<&str>) -> PairDifference {
        PairDifference {
            experiment: "an-experiment".to_owned(),
            metric: "heldout_loss".to_owned(),
            unit: "nats/token".to_owned(),
            generation: 3,
            arm: arm.to_owned(),
            other: other.to_owned(),
            seeds: 5,
            arm_value: 4.0,
            other_value: 3.5,
            difference: 0.5,
            ci_low: Some(0.375),
            ci_high: Some(0.625),
            std_err: 0.03,
            p_value: 0.001,
            p_adjusted: 0.002,
            judged_together: 28,
            worse: worse.map(str::to_owned),
        }
    }

    #[test]
    fn the_table_is_aligned_and_has_at_most_100_columns_with_arms_of_24_letters() {
        let long = "accumulate-and-rephrased";
        let pairs = [
            pair(long, "control", Some(long)),
            PairDifference { seeds: 3, ..pair("a", long, None) },
            PairDifference { difference: 0.0, ci_low: None, ..pair("b", "control", None) },
        ];
        let table = table(&pairs);
        assert_eq!(
            table,
            "an-experiment: held-out loss (nats/token) at generation 3, 3 to 5 seeds, pairs judged together: 28\n\
             arm                       minus                         difference                     worse\n\
             accumulate-and-rephrased  control                   +0.500 ± 0.125  accumulate-and-rephrased\n\
             a                         accumulate-and-rephrased  +0.500 ± 0.125            cannot be told\n\
             b                         control                                0                 identical\n"
        );
        assert!(table.lines().all(|line| line.chars().count() <= 100));
    }

    #[test]
    fn rows_of_different_generations_say_theirs() {
        let pairs =
            [pair("a", "control", None), PairDifference { generation: 2, ..pair("b", "control", None) }];
        let table = table(&pairs);
        let ends: Vec<&str> =
            table.lines().map(|line| line.split_whitespace().last().unwrap_or_default()).collect();
        assert_eq!(ends[1..], ["generation", "3", "2"]);
    }

    #[test]
    fn a_metric_that_is_no_headline_metric_is_refused_with_the_list() {
        assert!(metric("heldout_loss").is_ok());
        assert!(metric("self_bleu").unwrap_err().contains("tail_coverage, tail_mass"));
    }
}
