//! Tables and single numbers. Every table of numbers ends with the command that prints them.
//!
//! | table | shows |
//! |---|---|
//! | `effects STUDY \| COLUMN: heading \| …` | a row per arm: its differences from the control, mean over seeds [95 % interval] |
//! | `ladder STUDY METRIC \| ARM@GENERATION: label \| …` | a mean in each row, and the difference from the row above |
//! | `blends STUDY: heading \| STUDY: heading …` | losses by training text, of the largest models of a sweep that saw the most tokens |
//! | `budgets STUDY METRIC \| PROMPTS: label \| …` | a metric by training text and number of tokens; PROMPTS begins the record of a kind of text |
//! | `laws STUDY`, `shares STUDY`, `speed-ups STUDY` | what `genloss fit` prints |
//! | `metrics FAMILY`, `verdicts` | what the built-in metrics of a family, and the verdicts, mean |
//!
//! A COLUMN is `verdict`, `cost` (tokens written per token that selection kept) or a [`Quantity`]. A value is
//! `contrast STUDY ARM OTHER QUANTITY` or `mean STUDY ARM QUANTITY`.

use super::budgets::budgets;
use super::explanations;
use super::statistics::{mean, mean_with_interval};
use super::studies::Studies;
use anyhow::{Context, Result, bail, ensure};
use genloss::config::CONTROL;
use genloss::report::{self, FitTopic};
use genloss::store::{LineageRecord, RunRecord};
use genloss::verdict::{self, ArmComparison};

/// The table that `text` describes, in Markdown.
pub fn table(text: &str, studies: &Studies) -> Result<String> {
    if let Some(columns) = text.strip_prefix("blends ") {
        return blends(&columns.split('|').map(str::trim).collect::<Vec<_>>(), studies);
    }
    let mut parts = text.split('|').map(str::trim);
    let head: Vec<&str> = parts.next().unwrap_or_default().split_whitespace().collect();
    let columns: Vec<&str> = parts.collect();
    match head[..] {
        ["effects", study] => studies.with_single(study, |recorded| effects(study, recorded, &columns)),
        ["ladder", study, metric] => {
            studies.with_single(study, |recorded| ladder(study, recorded, metric, &columns))
        }
        ["budgets", study, metric] => {
            let kinds: Vec<(&str, &str)> = columns.iter().map(|column| labelled(column)).collect();
            budgets(study, metric, &studies.all(study)?, &kinds)
        }
        ["laws", study] => fitted(study, FitTopic::Laws, studies),
        ["shares", study] => fitted(study, FitTopic::Shares, studies),
        ["speed-ups", study] => fitted(study, FitTopic::SpeedUps, studies),
        ["metrics", family] => explanations::metrics(family),
        ["verdicts"] => Ok(explanations::verdicts()),
        _ => bail!("no table is called {:?}", head.join(" ")),
    }
}

/// The number that `text` describes.
pub fn value(text: &str, studies: &Studies) -> Result<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        ["contrast", study, arm, other, quantity] => studies.with_single(study, |recorded| {
            mean_with_interval(&Quantity::parse(quantity, recorded)?.differences(recorded, arm, other)?)
        }),
        ["mean", study, arm, quantity] => studies.with_single(study, |recorded| {
            Ok(mean(&Quantity::parse(quantity, recorded)?.values(recorded, arm)?))
        }),
        _ => bail!("not `contrast STUDY ARM OTHER QUANTITY` or `mean STUDY ARM QUANTITY`"),
    }
}

/// A metric at a generation (`heldout_loss@3`), at the last one (`heldout_loss`), or its increase between
/// two generations (`heldout_loss@5-3` is generation 5 minus 3).
#[derive(Clone, Debug)]
pub struct Quantity {
    pub metric: String,
    pub generation: usize,
    pub since: Option<usize>,
}

impl Quantity {
    fn parse(text: &str, recorded: &RunRecord) -> Result<Self> {
        let (metric, generations) = match text.split_once('@') {
            Some((metric, generations)) => (metric, Some(generations)),
            None => (text, None),
        };
        let (generation, since) = match generations.map(|text| text.split_once('-').unwrap_or((text, ""))) {
            None => (recorded.experiment.generations, None),
            Some((generation, "")) => (generation.parse()?, None),
            Some((generation, since)) => (generation.parse()?, Some(since.parse()?)),
        };
        Ok(Self { metric: metric.to_owned(), generation, since })
    }

    /// One value per seed.
    pub fn values(&self, recorded: &RunRecord, arm: &str) -> Result<Vec<f64>> {
        recorded.experiment.seeds.iter().map(|&seed| self.value(recorded, seed, arm)).collect()
    }

    /// Arm minus other, seed by seed.
    pub fn differences(&self, recorded: &RunRecord, arm: &str, other: &str) -> Result<Vec<f64>> {
        let pairs = self.values(recorded, arm)?.into_iter().zip(self.values(recorded, other)?);
        Ok(pairs.map(|(arm, other)| arm - other).collect())
    }

    fn value(&self, recorded: &RunRecord, seed: u64, arm: &str) -> Result<f64> {
        let lineage = recorded.lineages.iter().find(|lineage| lineage.seed == seed && lineage.arm == arm);
        let lineage = lineage.with_context(|| format!("no arm {arm:?} with seed {seed}"))?;
        let now = at(lineage, &self.metric, self.generation)?;
        Ok(now - self.since.map_or(Ok(0.0), |since| at(lineage, &self.metric, since))?)
    }
}

fn at(lineage: &LineageRecord, metric: &str, generation: usize) -> Result<f64> {
    let value = lineage.generations.get(generation).and_then(|record| record.value(metric));
    value.with_context(|| format!("no {metric:?} of {} at generation {generation}", lineage.arm))
}

fn effects(study: &str, recorded: &RunRecord, columns: &[&str]) -> Result<String> {
    let comparisons =
        verdict::compare(&recorded.experiment.name, &recorded.observations(), CONTROL, &recorded.catalogue());
    let columns: Vec<(&str, &str)> = columns.iter().map(|column| labelled(column)).collect();
    let mut header = vec!["arm"];
    header.extend(columns.iter().map(|(_, heading)| heading));
    let mut rows = Vec::new();
    for comparison in &comparisons {
        let mut row = vec![comparison.arm.clone()];
        for (column, _) in &columns {
            row.push(match *column {
                "verdict" => verdict_of(comparison),
                "cost" => cost(recorded, &comparison.arm),
                quantity => {
                    let quantity = Quantity::parse(quantity, recorded)?;
                    mean_with_interval(&quantity.differences(recorded, &comparison.arm, CONTROL)?)?
                }
            });
        }
        rows.push(row);
    }
    Ok(markdown(&header, &rows, &format!("genloss compare generations/reference/{study} --format csv")))
}

/// "narrowing, called at 4", "inconclusive (35 seeds)".
fn verdict_of(comparison: &ArmComparison) -> String {
    let word = comparison.verdict.word();
    match (comparison.called_at_generation, comparison.seeds_needed) {
        (Some(generation), _) => format!("{word}, called at {generation}"),
        (None, Some(seeds)) => format!("{word} ({seeds} seeds)"),
        (None, None) => word.to_owned(),
    }
}

/// "5.97 (1.37 to 21.28)": tokens written per token that selection kept: mean, least and most over the corpora that
/// were trained on.
fn cost(recorded: &RunRecord, arm: &str) -> String {
    let lineages = recorded.lineages.iter().filter(|lineage| lineage.arm == arm);
    let corpora = lineages.flat_map(|lineage| &lineage.generations[..recorded.experiment.generations]);
    let selections = corpora.filter_map(|record| record.synthesis.selection.as_ref());
    let costs: Vec<f64> = selections.map(|selection| selection.tokens_per_token_kept).collect();
    if costs.is_empty() {
        return "1".to_owned();
    }
    let mean = costs.iter().sum::<f64>() / costs.len() as f64;
    let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
    let most = costs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{mean:.2} ({least:.2} to {most:.2})")
}

fn ladder(study: &str, recorded: &RunRecord, metric: &str, rungs: &[&str]) -> Result<String> {
    let mut rows = Vec::new();
    let mut above: Option<Vec<f64>> = None;
    for rung in rungs {
        let (spec, label) = labelled(rung);
        let (arm, generation) = spec.split_once('@').context("not ARM@GENERATION")?;
        let values = Quantity::parse(&format!("{metric}@{generation}"), recorded)?.values(recorded, arm)?;
        let more = match &above {
            None => String::new(),
            Some(above) => mean_with_interval(&differences(&values, above))?,
        };
        rows.push(vec![if spec == label { arm } else { label }.to_owned(), mean(&values), more]);
        above = Some(values);
    }
    let catalogue = recorded.catalogue();
    let label = catalogue.get(metric).map_or(metric, |metric| &*metric.label);
    let command = format!("genloss inspect generations/reference/{study} --metric {metric} --format csv");
    Ok(markdown(&["", label, "more than the row above"], &rows, &command))
}

fn differences(values: &[f64], others: &[f64]) -> Vec<f64> {
    values.iter().zip(others).map(|(value, other)| value - other).collect()
}

/// Metrics of the table of blends, and the labels of their columns.
const BLEND_METRICS: [(&str, &str); 2] =
    [("heldout_loss", "all tokens"), ("heldout_loss_tail", "rare tokens")];

fn blends(columns: &[&str], studies: &Studies) -> Result<String> {
    let mut header = vec!["trained on".to_owned()];
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut commands = Vec::new();
    for column in columns {
        let (study, heading) = labelled(column);
        header.extend(BLEND_METRICS.map(|(_, metric)| format!("{heading}, {metric}")));
        let mut cells = blends_of(&studies.all(study)?)?;
        if rows.is_empty() {
            rows.extend(cells.iter().map(|(label, _)| vec![label.clone()]));
        }
        for row in &mut rows {
            let place = cells.iter().position(|(label, _)| *label == row[0]);
            row.extend(place.map_or(["–"; 2].map(str::to_owned), |place| cells.remove(place).1));
        }
        ensure!(cells.is_empty(), "{study} has blends that the first study lacks");
        commands.push(format!("genloss compare generations/reference/{study} --format csv"));
    }
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    Ok(markdown(&header, &rows, &commands.join("`, `")))
}

/// The loss after training on natural text, then the difference from it for each blend, of the largest models that saw
/// the most tokens.
fn blends_of(recorded: &[RunRecord]) -> Result<Vec<(String, [String; 2])>> {
    let largest = recorded.iter().map(size_and_tokens).max().context("an empty study")?;
    let mut rows = Vec::new();
    for one in recorded.iter().filter(|one| size_and_tokens(one) == largest) {
        let quantities = BLEND_METRICS.map(|(metric, _)| Quantity {
            metric: metric.to_owned(),
            generation: one.experiment.generations,
            since: None,
        });
        if rows.is_empty() {
            let [loss, of_rare] = quantities.clone().map(|quantity| quantity.values(one, CONTROL));
            let label = "natural text (the loss itself)".to_owned();
            rows.push(((String::new(), 0), label, [mean(&loss?), mean(&of_rare?)]));
        }
        for arm in one.experiment.arms.iter().map(|arm| arm.name.as_str()).filter(|arm| *arm != CONTROL) {
            let [loss, of_rare] = quantities.clone().map(|quantity| quantity.differences(one, arm, CONTROL));
            let (method, percent) = blend(one, arm)?;
            let cells = [mean_with_interval(&loss?)?, mean_with_interval(&of_rare?)?];
            let label = format!("{method} {percent} %");
            rows.push(((method, percent), label, cells));
        }
    }
    rows.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    Ok(rows.into_iter().map(|(_, label, cells)| (label, cells)).collect())
}

/// Parameters, and tokens seen in training, of the control's last models.
fn size_and_tokens(recorded: &RunRecord) -> (u64, u64) {
    let control = recorded.lineages.iter().find(|lineage| lineage.arm == CONTROL);
    let last = control.and_then(|lineage| lineage.generations.last());
    last.map_or((0, 0), |record| (record.training.parameters, record.training.tokens_seen.0))
}

/// The method by which the synthetic text of an arm was written, with the kind of an oracle, and its share of the last training text in percent.
fn blend(recorded: &RunRecord, arm: &str) -> Result<(String, u64)> {
    let lineage = recorded.lineages.iter().find(|lineage| lineage.arm == arm).context("no such arm")?;
    let [.., teacher, student] = &lineage.generations[..] else { bail!("{arm} has no generation 1") };
    let natural = student.mixture.natural_tokens.0;
    let synthetic: u64 = student.mixture.synthetic_tokens.values().map(|tokens| tokens.0).sum();
    let percent = 100.0 * synthetic as f64 / (natural + synthetic) as f64;
    let written = &teacher.synthesis;
    let kind = written.prompts.split(", ").nth(1).filter(|_| written.method == "oracle");
    let method = kind.map_or(written.method.clone(), |kind| format!("{kind} by an oracle"));
    Ok((method, percent.round() as u64))
}

fn fitted(study: &str, topic: FitTopic, studies: &Studies) -> Result<String> {
    let fitted = studies.fit(study)?;
    let tables = report::tables(&fitted).into_iter().filter(|table| table.topic == topic);
    let command = format!("genloss fit generations/reference/{study}");
    let texts: Vec<String> = tables
        .map(|table| {
            let title = table.title.map(|title| format!("{title}:\n\n")).unwrap_or_default();
            let below = table.below.map(|below| format!("\n{below}\n")).unwrap_or_default();
            format!("{title}{}{below}", markdown(table.header, &table.rows, &command))
        })
        .collect();
    ensure!(!texts.is_empty(), "{study} has no such table");
    Ok(texts.join("\n"))
}

/// Splits `spec: heading`; without a heading, the specification is its own heading.
fn labelled(text: &str) -> (&str, &str) {
    text.split_once(": ").map_or((text, text), |(spec, heading)| (spec.trim(), heading.trim()))
}

/// A Markdown table, and the command that prints its numbers.
pub fn markdown(header: &[&str], rows: &[Vec<String>], command: &str) -> String {
    markdown_table(header, rows) + &format!("\nNumbers: `{command}`\n")
}

/// A Markdown table.
pub fn markdown_table(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(header.iter().map(|&cell| cell.to_owned()).collect());
    text.push_str(&format!("|{}\n", " --- |".repeat(header.len())));
    for row in rows {
        text.push_str(&line(row.iter().map(|cell| cell.replace('|', "\\|")).collect()));
    }
    text
}
