//! Tables of what metrics and verdicts mean, from the texts of the library.

use super::tables::markdown_table;
use anyhow::{Context, Result, ensure};
use genloss::measure::{Catalogue, Direction, Family, MetricDefinition, explanation};
use genloss::verdict::Verdict;

/// A row per built-in metric of `family`, which is named as in records (`held_out`).
pub fn metrics(family: &str) -> Result<String> {
    let family: Family = serde_json::from_value(family.into()).context("not a family of metrics")?;
    let catalogue = Catalogue::builtin();
    let of_family = catalogue.iter().filter(|metric| metric.family == family);
    let rows = of_family.map(metric).collect::<Result<Vec<_>>>()?;
    ensure!(!rows.is_empty(), "no built-in metric is of this family");
    let header = ["metric", "unit", "narrowing", "question", "formula", "pitfall"];
    Ok(markdown_table(&header, &rows))
}

fn metric(metric: &MetricDefinition) -> Result<Vec<String>> {
    let explanation = explanation(&metric.id).with_context(|| format!("{} has no explanation", metric.id))?;
    let direction = match metric.narrowing {
        Direction::Up => "raises it",
        Direction::Down => "lowers it",
        Direction::Unclear => "may do either",
    };
    let cells = [&*metric.unit, direction, explanation.question, explanation.formula, explanation.pitfall];
    let name = format!("`{}`<br>{}", metric.id, metric.label);
    Ok(std::iter::once(name).chain(cells.map(str::to_owned)).collect())
}

/// A row per verdict.
pub fn verdicts() -> String {
    let row = |verdict: Verdict| vec![verdict.word().to_owned(), verdict.meaning().to_owned()];
    markdown_table(&["verdict", "means"], &Verdict::ALL.map(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_page_of_metrics_has_the_table_of_every_family_and_of_the_verdicts() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md");
        let page = std::fs::read_to_string(page).unwrap();
        for metric in &Catalogue::builtin() {
            let family = serde_json::to_value(metric.family).unwrap();
            let table = metrics(family.as_str().unwrap()).unwrap();
            assert!(table.contains(&format!("| `{}`<br>", metric.id)), "{}", metric.id);
            assert!(page.contains(&table), "{family}");
        }
        assert!(page.contains(&verdicts()));
    }

    #[test]
    fn a_family_that_does_not_exist_or_has_no_metric_is_an_error() {
        for family in ["heldout", "other"] {
            assert!(metrics(family).is_err(), "{family}");
        }
    }
}
