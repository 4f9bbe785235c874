//! The table `budgets STUDY METRIC`: a sweep over numbers of training tokens, with a column for each.

use super::statistics::{mean, mean_with_interval};
use super::tables::{Quantity, markdown};
use anyhow::{Context, Result, ensure};
use genloss::config::CONTROL;
use genloss::store::RunRecord;
use std::collections::BTreeMap;

/// The metric after training on natural text, then the difference from it for each kind and share of synthetic text.
/// `kinds` are pairs of the prompts by which a kind of text is recorded and its name in the table.
pub fn budgets(study: &str, metric: &str, recorded: &[RunRecord], kinds: &[(&str, &str)]) -> Result<String> {
    let mut columns: BTreeMap<u64, String> = BTreeMap::new();
    let mut rows: BTreeMap<(usize, u64), BTreeMap<u64, String>> = BTreeMap::new();
    for one in recorded {
        let tokens = one.experiment.corpus.train_tokens.0;
        let quantity =
            Quantity { metric: metric.to_owned(), generation: one.experiment.generations, since: None };
        columns.entry(tokens).or_insert(mean(&quantity.values(one, CONTROL)?));
        for arm in one.experiment.arms.iter().map(|arm| arm.name.as_str()) {
            if let Some((kind, percent)) = kind_and_share(one, arm, kinds)? {
                let cell = mean_with_interval(&quantity.differences(one, arm, CONTROL)?)?;
                rows.entry((kind, percent)).or_default().insert(tokens, cell);
            }
        }
    }
    ensure!(!rows.is_empty(), "{study} has none of these kinds of text");
    let label = |(kind, percent): &(usize, u64)| format!("{} {percent} %", kinds[*kind].1);
    let mut lines = vec![
        [vec!["natural text alone (the value itself)".to_owned()], columns.values().cloned().collect()]
            .concat(),
    ];
    for (row, cells) in &rows {
        let cells = columns.keys().map(|tokens| cells.get(tokens).cloned().unwrap_or_else(|| "–".to_owned()));
        lines.push([label(row)].into_iter().chain(cells).collect());
    }
    let least = *columns.keys().next().context("an empty study")?;
    let headings: Vec<String> = columns.keys().map(|tokens| format!("{}×", tokens / least)).collect();
    let header: Vec<&str> =
        std::iter::once("trained on").chain(headings.iter().map(String::as_str)).collect();
    Ok(markdown(&header, &lines, &format!("genloss compare generations/reference/{study} --format csv")))
}

/// The number of the kind of synthetic text that an arm trains on, and its share in percent. None for arms without
/// synthetic text, or with text of another kind.
fn kind_and_share(recorded: &RunRecord, arm: &str, kinds: &[(&str, &str)]) -> Result<Option<(usize, u64)>> {
    let lineage = recorded.lineages.iter().find(|lineage| lineage.arm == arm).context("no such arm")?;
    let [.., teacher, student] = &lineage.generations[..] else { return Ok(None) };
    let natural = student.mixture.natural_tokens.0;
    let synthetic: u64 = student.mixture.synthetic_tokens.values().map(|tokens| tokens.0).sum();
    let kind = kinds.iter().position(|(prompts, _)| teacher.synthesis.prompts.starts_with(prompts));
    let percent = (100.0 * synthetic as f64 / (natural + synthetic) as f64).round() as u64;
    Ok(kind.filter(|_| synthetic > 0).map(|kind| (kind, percent)))
}
