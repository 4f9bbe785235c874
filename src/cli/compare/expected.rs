//! The numbers that experiments expect, beside those that were measured.

use super::lines;
use crate::cli::output;
use crate::config::Expectation;
use crate::measure::Catalogue;
use crate::store::RunRecord;

const HEADER: [&str; 7] = ["arm", "metric", "generation", "expected", "seen", "range over seeds", ""];

/// A table for every experiment that expects something, formatted by `draw` from a header and rows, and the sources below
/// it; empty if none does.
pub(super) fn text(recorded: &[RunRecord], draw: impl Fn(&[&str], &[Vec<String>]) -> String) -> String {
    let mut text = String::new();
    for run in recorded.iter().filter(|run| !run.experiment.expectations.is_empty()) {
        let expectations = &run.experiment.expectations;
        let rows: Vec<Vec<String>> = expectations.iter().map(|expected| row(run, expected)).collect();
        let inside = rows.iter().filter(|row| row.last().is_some_and(|word| word == INSIDE)).count();
        text.push_str(&format!(
            "\n{}\n{}\n",
            output::paragraph(&format!(
                "{}: {inside} of {} expected numbers are reproduced.",
                run.experiment.name,
                rows.len()
            )),
            draw(&HEADER, &rows)
        ));
        let mut sources: Vec<&str> = expectations.iter().map(|expected| expected.source.as_str()).collect();
        sources.dedup();
        text.push_str(&output::paragraph(&format!("Expected by: {}.", sources.join("; "))));
    }
    text
}

const INSIDE: &str = "inside";

/// What was expected, what was seen, and whether it is inside the tolerance.
fn row(run: &RunRecord, expected: &Expectation) -> Vec<String> {
    let Expectation { metric, arm, generation, value, tolerance, .. } = expected;
    let lineages = run.lineages.iter().filter(|lineage| lineage.arm == *arm);
    let seen: Vec<f64> = lineages
        .filter_map(|lineage| lineage.generations.get(*generation)?.value(metric))
        .filter(|value| value.is_finite())
        .collect();
    let mean = seen.iter().sum::<f64>() / seen.len() as f64;
    let low = seen.iter().copied().fold(f64::INFINITY, f64::min);
    let high = seen.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mean, range, word) = if seen.is_empty() {
        ("–".to_owned(), "–".to_owned(), "not measured")
    } else {
        let word = if (mean - value).abs() <= *tolerance { INSIDE } else { "outside" };
        (number(mean), format!("{} to {}, n = {}", number(low), number(high), seen.len()), word)
    };
    vec![
        arm.clone(),
        Catalogue::builtin().label(metric).to_owned(),
        generation.to_string(),
        format!("{} ± {}", number(*value), number(*tolerance)),
        mean,
        range,
        word.to_owned(),
    ]
}

/// Four digits after the point, without zeros at the end.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A table for the terminal.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    lines::table(header, rows, &[0])
}
