//! The natural text of an experiment as `genloss check` shows it: files, splits and copies.

use super::output;
use crate::corpus::{TextRecord, percent};
use crate::units::counted;

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
