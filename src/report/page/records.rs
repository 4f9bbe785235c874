//! Exactly what was run: token counts, training, numbers, settings, provenance.

use super::{count, number};
use crate::corpus::percent;
use crate::report::series::{arms, has, last_generation, longest_lineage};
use crate::store::{GenerationRecord, LineageRecord, Provenance, RunRecord};
use crate::units::Tokens;
use maud::{Markup, html};
use std::collections::BTreeSet;

/// Tables of counts, training and measurements.
pub(super) fn all(recorded: &RunRecord) -> Markup {
    html! {
        p { (equality(recorded)) }
        @for (index, seed) in recorded.experiment.seeds.iter().enumerate() {
            details open[index == 0] {
                summary { "Token counts, seed " (seed) }
                (mixtures(recorded, *seed))
            }
        }
        details { summary { "Training and synthesis, seed " (recorded.experiment.seeds.first().copied().unwrap_or(0)) }
            (training(recorded)) }
        details { summary { "All numbers at the last generation" } (measurements(recorded)) }
        (missing(recorded))
    }
}

/// A sentence on whether all arms trained on the same number of tokens.
fn equality(recorded: &RunRecord) -> String {
    let unequal: Vec<String> = (0..=last_generation(recorded))
        .filter(|&generation| {
            let records = recorded.lineages.iter().filter_map(|lineage| lineage.generations.get(generation));
            records.map(total).collect::<BTreeSet<u64>>().len() > 1
        })
        .map(|generation| generation.to_string())
        .collect();
    if unequal.is_empty() {
        "In every generation all arms and seeds trained on the same number of tokens.".to_owned()
    } else {
        format!(
            "The arms did not train on the same number of tokens in generation {}: part of any difference may be due to \
             the amount of text.",
            unequal.join(", ")
        )
    }
}

fn total(record: &GenerationRecord) -> u64 {
    record.mixture.natural_tokens.0
        + record.mixture.synthetic_tokens.values().map(|tokens| tokens.0).sum::<u64>()
}

fn mixtures(recorded: &RunRecord, seed: u64) -> Markup {
    let lineages = recorded.lineages.iter().filter(|lineage| lineage.seed == seed);
    html! {
        div.scroll tabindex="0" role="group" aria-label="Token counts, scrolls sideways" {
            table.records {
                caption { "What each generation was trained on, in model tokens." }
                thead {
                    tr {
                        th { "Arm" } th.n { "Generation" } th.n { "Natural" } th.n { "Synthetic" } th.n { "Total" }
                        th { "Written by" } th.n { "Documents" } th { "Natural text is" }
                    }
                }
                tbody {
                    @for lineage in lineages {
                        @for (generation, record) in lineage.generations.iter().enumerate() {
                            (mixture(lineage, generation, record))
                        }
                    }
                }
            }
        }
    }
}

fn mixture(lineage: &LineageRecord, generation: usize, record: &GenerationRecord) -> Markup {
    let mixture = &record.mixture;
    let writers: Vec<usize> = mixture.synthetic_tokens.keys().copied().collect();
    let writers = match &writers[..] {
        [] => "–".to_owned(),
        [first, .., last] if writers.len() > 3 => format!("generations {first} to {last}"),
        _ => {
            let part =
                |(writer, tokens): (&usize, &Tokens)| format!("generation {writer}: {}", count(tokens.0));
            mixture.synthetic_tokens.iter().map(part).collect::<Vec<_>>().join("; ")
        }
    };
    html! {
        tr {
            th scope="row" { (lineage.arm) }
            td.n { (generation) }
            td.n { (count(mixture.natural_tokens.0)) }
            td.n { (count(total(record) - mixture.natural_tokens.0)) }
            td.n { (count(total(record))) }
            td { (writers) }
            td.n { (count(mixture.natural_documents + mixture.synthetic_documents)) }
            td {
                (mixture.natural)
                @if let Some(distinct) = mixture.distinct_natural_tokens {
                    "; " (count(distinct.0)) " tokens, " (number(mixture.natural_repetitions())) " times"
                }
            }
        }
    }
}

fn training(recorded: &RunRecord) -> Markup {
    let seed = recorded.experiment.seeds.first();
    let lineages = recorded.lineages.iter().filter(|lineage| Some(&lineage.seed) == seed);
    html! {
        div.scroll tabindex="0" role="group" aria-label="Training, scrolls sideways" {
            table.records {
                caption { "How each generation was trained, and how it wrote." }
                thead {
                    tr {
                        th { "Arm" } th.n { "Generation" } th { "Weights from" } th.n { "Parameters" } th.n { "Steps" }
                        th.n { "Tokens seen" } th.n { "Epochs" } th.n { "Last loss" } th { "Wrote" } th.n { "Tokens" }
                        th.n { "Documents" } th.n { "Ended" } th.n { "Cut" }
                    }
                }
                tbody {
                    @for lineage in lineages {
                        @for (generation, record) in lineage.generations.iter().enumerate() {
                            (trained(lineage, generation, record))
                        }
                    }
                }
            }
        }
    }
}

fn trained(lineage: &LineageRecord, generation: usize, record: &GenerationRecord) -> Markup {
    let (training, synthesis) = (&record.training, &record.synthesis);
    let loss = training.curve.last().map_or_else(|| "–".to_owned(), |point| number(point.loss_nats));
    html! {
        tr {
            th scope="row" { (lineage.arm) }
            td.n { (generation) }
            td { (training.init) }
            td.n { (count(training.parameters)) }
            td.n { (count(training.steps)) }
            td.n { (count(training.tokens_seen.0)) }
            td.n { (number(training.epochs)) }
            td.n { (loss) }
            td {
                (synthesis.method) ", from " (synthesis.prompts) "; " (synthesis.decoding)
                @if let Some(selection) = &synthesis.selection {
                    "; selected, " (number(selection.tokens_per_token_kept)) " tokens written for each"
                }
            }
            td.n { (count(synthesis.tokens.0)) }
            td.n { (count(synthesis.documents)) }
            td.n { (count(synthesis.ended)) }
            td.n { (count(synthesis.cut)) }
        }
    }
}

fn measurements(recorded: &RunRecord) -> Markup {
    let arms = arms(recorded);
    let catalogue = recorded.catalogue();
    let metrics = catalogue.iter().filter(|metric| has(recorded, &metric.id));
    html! {
        div.scroll tabindex="0" role="group" aria-label="Measurements, scrolls sideways" {
            table.records {
                caption { "Means over seeds at the last generation that each arm's seeds all reached." }
                thead { tr { th { "Metric" } th { "Unit" } @for arm in &arms { th.n { (arm.name) } } } }
                tbody {
                    @for metric in metrics {
                        tr {
                            th scope="row" { (metric.label) }
                            td { (metric.unit) }
                            @for arm in &arms { td.n { (mean_at_last(recorded, arm.name, &metric.id)) } }
                        }
                    }
                }
            }
        }
    }
}

/// A list of the metrics that have no value, with the reasons; empty if there are none.
fn missing(recorded: &RunRecord) -> Markup {
    let missing = recorded.missing_metrics();
    html! {
        @if !missing.is_empty() {
            details {
                summary { "Metrics without a value" }
                ul { @for one in &missing { li { (one.to_string()) } } }
            }
        }
    }
}

/// The mean over seeds at the last generation that all seeds of an arm reached.
fn mean_at_last(recorded: &RunRecord, arm: &str, metric: &str) -> String {
    let lineages = recorded.lineages.iter().filter(|lineage| lineage.arm == arm);
    let Some(last) =
        lineages.clone().map(|lineage| lineage.generations.len()).min().and_then(|n| n.checked_sub(1))
    else {
        return "–".to_owned();
    };
    let values: Vec<f64> = lineages.filter_map(|lineage| lineage.generations[last].value(metric)).collect();
    if values.is_empty() {
        "–".to_owned()
    } else {
        number(values.iter().sum::<f64>() / values.len() as f64)
    }
}

/// Largest number of files listed.
const MOST_FILES: usize = 50;

/// The resolved experiment file, and the provenance of the run.
pub(super) fn settings(recorded: &RunRecord) -> Markup {
    let provenance = &recorded.provenance;
    let list = |words: &[String]| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
    html! {
        h3 { "The experiment file, every default written out" }
        pre { code { (recorded.experiment_toml) } }
        h3 { "Provenance" }
        dl {
            dt { "genloss" } dd { (provenance.version) ", features: " (list(&provenance.features)) }
            dt { "Processor" } dd { (provenance.cpu) }
            dt { "Device" } dd { (provenance.device) }
            @if !provenance.machines().is_empty() {
                dt { "Computed with" }
                dd { (provenance.machines().iter().map(ToString::to_string).collect::<Vec<_>>().join("; then ")) }
            }
            dt { "Command" } dd { code { (provenance.command_line.join(" ")) } }
            (texts(provenance))
            dt { "Tokenizer" } dd { "BLAKE3 " span.hash { (provenance.tokenizer) } }
            @for (kind, record) in ["Start token", "End token"].iter().zip(&provenance.special_tokens) {
                dt { (kind) } dd { (record) }
            }
            @if let Some(floor) = provenance.heldout_floor_nats {
                dt { "Loss of an ideal reader" } dd { (number(floor)) " nats per token" }
            }
            @if let Some(lineage) = longest_lineage(recorded, crate::config::CONTROL) {
                @if let Some(record) = lineage.generations.first() {
                    dt { "Training text of generation 0" }
                    dd { "seed " (lineage.seed) ", BLAKE3 " span.hash { (record.mixture.hash) } }
                }
            }
        }
    }
}

/// The terms of a description list that name the texts and files, and the documents of each split.
fn texts(provenance: &Provenance) -> Markup {
    html! {
        @for (split, hash) in &provenance.corpus {
            dt { "Text: " (split) }
            dd {
                @if let Some(tokens) = provenance.split_tokens.get(split) { (count(tokens.0)) " tokens, " }
                "BLAKE3 " span.hash { (hash) }
            }
        }
        @for file in provenance.text.files.iter().take(MOST_FILES) {
            dt { "File: " (file.path) }
            dd {
                (count(file.documents)) " documents, " (count(file.copies)) " copies, " (count(file.blanks))
                " blank, " (count(file.nulls)) " null, "
                @if file.bad_lines > 0 { (count(file.bad_lines)) " bad lines, " }
                "BLAKE3 " span.hash { (file.blake3) }
            }
        }
        @if let Some(more) = provenance.text.files.len().checked_sub(MOST_FILES + 1) {
            dt { "More files" } dd { (count(more as u64 + 1)) ", listed in provenance.json" }
        }
        @for (split, record) in &provenance.text.splits {
            dt { "Documents: " (split) }
            dd {
                (count(record.documents)) ", the longest " (percent(record.largest_share)) " of the tokens"
                @if let Some(near) = record.near_copies {
                    ", " (count(near)) " nearly the same as a document of train"
                }
            }
        }
    }
}
