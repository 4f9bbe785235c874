//! Errors of reading natural text. Each names the file, and the setting that could fix it.

use super::split::CorpusSplit;
use crate::units::Tokens;
use std::error::Error;
use std::path::PathBuf;

/// Why natural text could not be read, or is too little.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A file does not exist or cannot be read.
    #[error("cannot read {}; check corpus.source (paths are relative to the working directory)", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A path names a folder.
    #[error("{} is a folder; name the files in it, such as {}/*.jsonl", path.display(), path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// A glob pattern has a syntax error.
    #[error("corpus.source: {pattern:?} is not a valid pattern; try a plain path or one with *")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The position and kind of the syntax error.
        source: glob::PatternError,
    },
    /// No file matches a glob pattern.
    #[error("corpus.source: no file matches {pattern:?}; check it against the working directory")]
    NoMatch {
        /// The pattern.
        pattern: String,
    },
    /// The extension of a file is not known.
    #[error("{}: cannot tell the format from the name; known extensions are {known}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The known extensions.
        known: &'static str,
    },
    /// A text file is not valid UTF-8.
    #[error("{}, line {line}: not valid UTF-8; convert the file, for example with iconv", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A text file consists largely of NUL characters.
    #[error("{}: NUL characters, as in UTF-16; convert the file to UTF-8, for example with iconv", path.display())]
    Nuls {
        /// The file.
        path: PathBuf,
    },
    /// A line of a JSONL file is not valid JSON.
    #[error("{}, line {line}: not valid JSON; each line must be one JSON object", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The error of the parser.
        source: serde_json::Error,
    },
    /// A line of a JSONL file is JSON, but not an object.
    #[error("{}, line {line}: {kind} instead of an object; each line must be one JSON object", path.display())]
    NotAnObject {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the line is, with its article: "an array".
        kind: &'static str,
    },
    /// A JSON object has no field with the configured name.
    #[error(
        "{}, line {line}: no field {field:?}, there are {present}; set corpus.text_field to the one with the text",
        path.display()
    )]
    NoField {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The configured name.
        field: String,
        /// Names of the fields that exist, separated by commas.
        present: String,
    },
    /// The configured field of a JSON object is not a string.
    #[error(
        "{}, line {line}: field {field:?} is {kind}, not a string; set corpus.text_field to the one with the text",
        path.display()
    )]
    FieldNotText {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The configured name.
        field: String,
        /// The type of its value, with its article: "a number".
        kind: &'static str,
    },
    /// A Parquet file has no column with the configured name.
    #[error(
        "{}: no column {column:?}, there are {present}; set corpus.text_field to the one with the text",
        path.display()
    )]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The configured name.
        column: String,
        /// Names of the columns that exist, separated by commas.
        present: String,
    },
    /// The configured column of a Parquet file does not have one text per row.
    #[error(
        "{}: column {column:?} holds {kind}, not text; set corpus.text_field to the one with the text",
        path.display()
    )]
    ColumnNotText {
        /// The file.
        path: PathBuf,
        /// The configured name.
        column: String,
        /// What the column has instead: "lists".
        kind: String,
    },
    /// A compressed or Parquet file cannot be decoded.
    #[error("{}: damaged, or not a {format} file; download it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The format that its name promises.
        format: &'static str,
        /// The error of the decoder.
        source: Box<dyn Error + Send + Sync>,
    },
    /// No file has any text.
    #[error("corpus: {files} file(s) read, but every document in them is blank; check corpus.source")]
    Empty {
        /// Number of files.
        files: usize,
    },
    /// A split has fewer tokens than the experiment takes.
    #[error(
        "corpus: the {} split has {available} tokens, but the experiment takes {wanted}; add text, lower \
         corpus.{}_tokens, or {remedy}",
        split.name(),
        split.name()
    )]
    TooSmall {
        /// The split that is too small.
        split: CorpusSplit,
        /// Tokens that the experiment takes.
        wanted: Tokens,
        /// Tokens of the split.
        available: Tokens,
        /// How to change the shares of the splits.
        remedy: String,
    },
}

/// The error for a split with too few tokens. `share` is the split's share of all documents, 0 to 1.
#[must_use]
pub fn too_small(split: CorpusSplit, wanted: Tokens, available: Tokens, share: f64) -> CorpusError {
    let remedy = match split {
        CorpusSplit::Train => format!(
            "lower corpus.heldout_share or corpus.reference_share (train is {:.0} % of the documents)",
            share * 100.0
        ),
        CorpusSplit::Heldout | CorpusSplit::Reference => {
            format!("raise corpus.{}_share (now {share})", split.name())
        }
    };
    CorpusError::TooSmall { split, wanted, available, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_a_small_split_says_how_small_it_is_and_what_to_change() {
        let error = too_small(CorpusSplit::Heldout, Tokens(50_000), Tokens(1234), 0.05).to_string();
        assert_eq!(
            error,
            "corpus: the heldout split has 1_234 tokens, but the experiment takes 50_000; add text, lower \
             corpus.heldout_tokens, or raise corpus.heldout_share (now 0.05)"
        );
        let error = too_small(CorpusSplit::Train, Tokens(9), Tokens(1), 0.8).to_string();
        assert!(error.ends_with("(train is 80 % of the documents)"), "{error}");
    }
}
