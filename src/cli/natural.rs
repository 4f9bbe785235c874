//! The natural text of an experiment as `genloss check` shows it: files, splits, copies, and how often it is read again.

use super::output;
use crate::corpus::{TextRecord, percent};
use crate::lineage;
use crate::sweep::PreparedSweep;
use crate::units::{Tokens, counted};
use anyhow::Result;
use std::collections::BTreeMap;

/// Largest number of files listed. `provenance.json` lists all of them.
const MOST_FILES: usize = 20;

/// Tables of the files, if there are any, and of the splits.
pub fn to_text(record: &TextRecord) -> String {
    let mut text = String::new();
    if !record.files.is_empty() {
        text.push_str(&format!(
            "{} in {}, {} distinct texts; each text counts once, the most frequent one occurs {}\n",
            counted(record.documents, "document"),
            counted(record.files.len() as u64, "file"),
            record.distinct,
            counted(record.most_copies, "time")
        ));
        text.push_str(&files(record));
    }
    text.push_str(&splits(record));
    text
}

/// A line for every value of `corpus.natural_tokens`: how often the controls of its experiments read that text.
pub fn limits(prepared: &PreparedSweep) -> Result<String> {
    let mut by_limit: BTreeMap<Tokens, Vec<[f64; 2]>> = BTreeMap::new();
    for (index, experiment) in prepared.experiments().iter().enumerate() {
        let Some(limit) = experiment.corpus.natural_tokens else { continue };
        let workloads = lineage::workloads(experiment, experiment.control(), prepared.text(index))?;
        let Some(work) = workloads.last() else { continue };
        let times = [work.natural, work.seen].map(|tokens| tokens.0 as f64 / work.natural_text.0 as f64);
        by_limit.entry(limit).or_default().push(times);
    }
    let line = |(limit, times): (Tokens, Vec<[f64; 2]>)| {
        let [held, read] = [0, 1].map(|index| range(times.iter().map(|times| times[index])));
        output::paragraph(&format!(
            "natural text: at most {limit} tokens for each seed; the control's training text has it {held} times, and \
             training reads it {read} times"
        ))
    };
    Ok(by_limit.into_iter().map(line).collect())
}

/// The smallest and the largest of some numbers, or the one that all of them are.
fn range(numbers: impl Iterator<Item = f64> + Clone) -> String {
    let [least, most] = [numbers.clone().fold(f64::INFINITY, f64::min), numbers.fold(0.0, f64::max)];
    let [least, most] = [least, most].map(|number| format!("{number:.1}"));
    if least == most { least } else { format!("{least} to {most}") }
}

fn files(record: &TextRecord) -> String {
    let has_bad_lines = record.files.iter().any(|file| file.bad_lines > 0);
    let mut header = vec!["file", "BLAKE3", "documents", "copies", "blank", "null"];
    header.extend(has_bad_lines.then_some("bad lines"));
    let rows: Vec<Vec<String>> = record
        .files
        .iter()
        .take(MOST_FILES)
        .map(|file| {
            let hash = format!("{:.12}…", file.blake3);
            let counts = [file.documents, file.copies, file.blanks, file.nulls];
            let mut row = vec![file.path.clone(), hash];
            row.extend(counts.map(|count| count.to_string()));
            row.extend(has_bad_lines.then(|| file.bad_lines.to_string()));
            row
        })
        .collect();
    let rest = record.files.len() - rows.len();
    let rest = if rest > 0 { format!("… and {rest} more\n") } else { String::new() };
    output::table(&header, &rows) + &rest
}

fn splits(record: &TextRecord) -> String {
    let rows: Vec<Vec<String>> = record
        .splits
        .iter()
        .map(|(name, split)| {
            let near_copies = split.near_copies.map_or("–".to_owned(), |count| count.to_string());
            vec![name.clone(), split.documents.to_string(), percent(split.largest_share), near_copies]
        })
        .collect();
    output::table(&["split", "documents", "largest share of one text", "near copies of training text"], &rows)
}
