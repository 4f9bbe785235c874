//! The record of the natural text that was read. `genloss check` shows it, and `provenance.json` stores it.

use crate::units::counted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A file of natural text, and what was found in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The path that it was read from, relative to the working directory or absolute.
    pub path: String,
    /// BLAKE3 of the file as stored (if compressed, of the compressed bytes), in hexadecimal.
    pub blake3: String,
    /// Documents with text, copies included.
    pub documents: u64,
    /// Documents that were left out because their text occurs before, in this file or in one that is listed before it.
    pub copies: u64,
    /// Documents that were left out because they have no text but white space.
    pub blanks: u64,
    /// Documents that were left out because their text is null.
    pub nulls: u64,
    /// Lines that were left out because they hold no document (`corpus.skip_bad`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bad_lines: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What natural text was read from, and how much of it there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextRecord {
    /// Every file, in the order of their paths. Empty for the built-in world.
    pub files: Vec<FileRecord>,
    /// Documents with text, copies included.
    pub documents: u64,
    /// Documents with different texts. Each counts once, whatever the number of its copies.
    pub distinct: u64,
    /// How often the most frequent text occurs.
    pub most_copies: u64,
    /// The end-of-text marker that most documents contain, if any does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marker: Option<MarkerRecord>,
    /// Distinct documents that are JSON objects.
    #[serde(skip_serializing_if = "is_zero")]
    pub json_objects: u64,
    /// The separator of `corpus.split`, if it separates no two documents of any file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused_separator: Option<String>,
    /// The splits as an experiment uses them, by name.
    pub splits: BTreeMap<String, SplitRecord>,
}

/// An end-of-text marker inside documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkerRecord {
    /// The marker, such as `<|endoftext|>`.
    pub marker: String,
    /// Distinct documents that contain it.
    pub documents: u64,
}

/// A split as an experiment uses it: held-out and reference text are cut to size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SplitRecord {
    /// Documents, no two of them with the same text if they are from files.
    pub documents: u64,
    /// Share of the tokens that belong to the longest document, 0 to 1.
    pub largest_share: f64,
    /// Documents that are nearly the same as one of the train split, or part of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near_copies: Option<u64>,
}

/// The smallest share of one text in a corpus or split for which there is a note.
const LARGE_SHARE: f64 = 0.05;
/// The smallest share of documents with markers, of JSON, or of near copies, for which there is a note.
const MANY: f64 = 0.01;

impl TextRecord {
    /// What a reader should know about the text before a run.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        notes.extend(self.note_on_copies());
        notes.extend(self.note_on_bad_lines());
        notes.extend(self.note_on_markers());
        notes.extend(self.note_on_json());
        notes.extend(self.note_on_separator());
        for (name, split) in &self.splits {
            notes.extend(split.notes(name));
        }
        notes
    }

    fn note_on_copies(&self) -> Option<String> {
        let share = share(self.most_copies, self.documents);
        (self.most_copies > 1 && share >= LARGE_SHARE).then(|| {
            format!(
                "one text makes up {} of the documents ({} of {}); like every text it counts once in the splits",
                percent(share),
                self.most_copies,
                self.documents
            )
        })
    }

    fn note_on_bad_lines(&self) -> Option<String> {
        let bad: u64 = self.files.iter().map(|file| file.bad_lines).sum();
        (bad > 0).then(|| {
            format!("{} left out of the corpus, as corpus.skip_bad allows", counted(bad, "bad line"))
        })
    }

    fn note_on_json(&self) -> Option<String> {
        let Self { json_objects, distinct, .. } = *self;
        (share(json_objects, distinct) >= MANY).then(|| {
            format!(
                "{json_objects} of {distinct} documents are JSON objects, which are read as ordinary text; where a text file holds \
                 lines of JSON, let its name end with .jsonl"
            )
        })
    }

    fn note_on_separator(&self) -> Option<String> {
        let separator = self.unused_separator.as_ref()?;
        Some(format!(
            "corpus.split: no .txt file has several documents with {separator:?} between them; check the separator, or leave it \
             out if every file is one document"
        ))
    }

    fn note_on_markers(&self) -> Option<String> {
        let MarkerRecord { marker, documents } = self.marker.as_ref()?;
        (share(*documents, self.distinct) >= MANY).then(|| {
            format!(
                "{documents} of {} documents contain the end-of-text marker {marker}, which is read as ordinary text; \
                 if it separates documents in .txt files, set corpus.split = {{ separator = \"{marker}\" }}, otherwise \
                 remove it from the text",
                self.distinct
            )
        })
    }
}

impl SplitRecord {
    fn notes(&self, name: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if self.largest_share >= LARGE_SHARE {
            notes.push(format!(
                "one document makes up {} of the tokens of the {name} split; measurements on that split depend much \
                 on this one text",
                percent(self.largest_share)
            ));
        }
        if let Some(near) = self.near_copies.filter(|&near| share(near, self.documents) >= MANY) {
            notes.push(format!(
                "{near} of {} documents of the {name} split are nearly the same as one of the train split, or part of one; models \
                 may have memorised them",
                self.documents
            ));
        }
        notes
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// `12 %` or `0.4 %`.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 10.0 { format!("{percent:.0} %") } else { format!("{percent:.1} %") }
}
