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
    let number = |value| number(value, *tolerance);
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

/// Four digits after the point, or as many as show two digits of the tolerance, without zeros at the end. Numbers that are
/// too large or small for that have a power of ten.
fn number(value: f64, tolerance: f64) -> String {
    const MOST: f64 = 9.0;
    let decimals = (1.0 - tolerance.log10().floor()).clamp(4.0, MOST) as usize;
    let without_zeros = |digits: &str| digits.trim_end_matches('0').trim_end_matches('.').to_owned();
    if value != 0.0 && !(10_f64.powi(-(decimals as i32))..1e9).contains(&value.abs()) {
        let text = format!("{value:.3e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", without_zeros(digits));
    }
    without_zeros(&format!("{value:.decimals$}"))
}

/// A table for the terminal.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    lines::table(header, rows, &[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_of_their_tolerance() {
        let cases = [
            (2.8902, 0.05, "2.8902"),
            (2.89, 0.0, "2.89"),
            (2.890_199_99, 1e-8, "2.89019999"),
            (0.000_04, 0.000_04, "0.00004"),
            (1e-12, 0.1, "1e-12"),
            (1e300, 1.0, "1e300"),
            (0.0, 0.1, "0"),
            (-3.5, 0.1, "-3.5"),
            (0.0001, 0.1, "0.0001"),
            (1.0 / 30_000.0, 0.1, "3.333e-5"),
        ];
        for (value, tolerance, expected) in cases {
            assert_eq!(number(value, tolerance), expected, "{value} ± {tolerance}");
        }
        assert_eq!(number(1e-8, 1e-8), "0.00000001");
    }
}
