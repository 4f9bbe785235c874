//! What can go wrong with natural text.

use super::split::CorpusSplit;
use crate::units::Tokens;
use std::path::PathBuf;

/// What can go wrong with natural text.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A file is not there or cannot be read.
    #[error("{}: {source}; check corpus.source (paths are relative to the working directory)", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder stands where a file should.
    #[error("{}: is a folder; name the files in it, such as {}/*.jsonl", path.display(), path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// A glob that cannot be parsed.
    #[error("corpus.source: {pattern:?} is no valid pattern ({reason}); try a plain path or one with *")]
    Pattern {
        /// The glob.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A glob that no file matches.
    #[error("corpus.source: no file matches {pattern:?}; check it against the working directory")]
    NoMatch {
        /// The glob.
        pattern: String,
    },
    /// A file name that does not tell what is in it.
    #[error("{}: cannot tell the format from the name; known are {known}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The extensions that are known.
        known: String,
    },
    /// Bytes that are no text.
    #[error("{}, line {line}: not valid UTF-8; convert the file, for example with iconv", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A line of a JSONL file that is no JSON object.
    #[error("{}, line {line}: {reason}; each line must be one JSON object", path.display())]
    NotAnObject {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What it is.
        reason: String,
    },
    /// A JSON object without the text.
    #[error(
        "{}, line {line}: no field {field:?}, there are {present}; set corpus.text_field to the one with the text",
        path.display()
    )]
    NoField {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The field looked for.
        field: String,
        /// The fields that are there.
        present: String,
    },
    /// A field that holds no text.
    #[error(
        "{}, line {line}: field {field:?} is {kind}, not a string; set corpus.text_field to the one with the text",
        path.display()
    )]
    FieldNotText {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The field.
        field: String,
        /// What it holds.
        kind: &'static str,
    },
    /// A Parquet file without the text.
    #[error(
        "{}: no column {column:?}, there are {present}; set corpus.text_field to the one with the text",
        path.display()
    )]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column looked for.
        column: String,
        /// The columns that are there.
        present: String,
    },
    /// A column that holds no text.
    #[error(
        "{}: column {column:?} holds {kind}, not text; set corpus.text_field to the one with the text",
        path.display()
    )]
    ColumnNotText {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What it holds.
        kind: String,
    },
    /// A compressed or Parquet file that cannot be unpacked.
    #[error("{}: damaged, or no {format} file ({reason}); fetch it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should be.
        format: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// Files without any text.
    #[error("corpus: {files} file(s) read, and not one document that is not blank; check corpus.source")]
    Empty {
        /// How many files.
        files: usize,
    },
    /// Less text than the experiment takes.
    #[error(
        "corpus: the {} split holds {available} tokens, but {wanted} are wanted; add text, lower \
         corpus.{}_tokens, or {remedy}",
        portion.name(),
        portion.name()
    )]
    TooSmall {
        /// Which split.
        portion: CorpusSplit,
        /// Tokens that the experiment takes.
        wanted: Tokens,
        /// Tokens that there are.
        available: Tokens,
        /// What to do about the shares.
        remedy: String,
    },
}

/// The error for a split that holds too few tokens. `share` is the split's share of all documents.
#[must_use]
pub fn too_small(portion: CorpusSplit, wanted: Tokens, available: Tokens, share: f64) -> CorpusError {
    let remedy = match portion {
        CorpusSplit::Train => format!(
            "lower corpus.heldout_share or corpus.reference_share (train is {:.0} % of the documents)",
            share * 100.0
        ),
        CorpusSplit::Heldout | CorpusSplit::Reference => {
            format!("raise corpus.{}_share (now {share})", portion.name())
        }
    };
    CorpusError::TooSmall { portion, wanted, available, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_that_is_too_small_says_how_small_and_what_to_change() {
        let error = too_small(CorpusSplit::Heldout, Tokens(50_000), Tokens(1234), 0.05).to_string();
        assert_eq!(
            error,
            "corpus: the heldout split holds 1_234 tokens, but 50_000 are wanted; add text, lower \
             corpus.heldout_tokens, or raise corpus.heldout_share (now 0.05)"
        );
        let error = too_small(CorpusSplit::Train, Tokens(9), Tokens(1), 0.8).to_string();
        assert!(error.ends_with("(train is 80 % of the documents)"), "{error}");
    }
}
