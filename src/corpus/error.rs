//! Errors of reading natural text. Each names the file, and the setting that could fix it.

#[cfg(test)]
use super::CorpusSource;
use super::split::CorpusSplit;
use super::{CorpusSettings, DocumentBoundary};
use crate::spool::SpoolError;
use crate::units::{Tokens, counted};
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why natural text could not be read, or why there is too little of it.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// Text that does not fit into memory cannot be kept in a temporary file.
    #[error(transparent)]
    Spool(#[from] SpoolError),
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
    /// A path names something other than a file, such as a pipe or a device.
    #[error("{} is not a regular file; write the text to a file first", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The name of a file cannot be recorded.
    #[error("{path:?}: the name is not valid UTF-8; rename the file or its folder")]
    NameNotUtf8 {
        /// The file.
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
    /// A file that is one JSON value is not valid JSON.
    #[error("{}: not valid JSON; it may have been cut off, so download it again", path.display())]
    NotOneJson {
        /// The file.
        path: PathBuf,
        /// The error of the parser.
        source: serde_json::Error,
    },
    /// A line of a JSONL file is not valid JSON.
    #[error(
        "{}, {place}: not valid JSON ({reason}); each line must be one JSON object (corpus.skip_bad = N leaves out up to N bad lines)",
        path.display()
    )]
    NotJson {
        /// The file.
        path: PathBuf,
        /// The line or list item of the file, or all of it.
        place: Place,
        /// In the parser's words, with the column in the line.
        reason: String,
    },
    /// A line of a JSONL file is JSON, but not an object.
    #[error("{}, {place}: {kind} instead of an object with the text in a field{}", path.display(), remedy(command))]
    NotAnObject {
        /// The file.
        path: PathBuf,
        /// The line or list item of the file, or all of it.
        place: Place,
        /// The JSON type found there, such as "an array".
        kind: &'static str,
        /// A command that turns the file into JSON lines, if there is one.
        command: Option<String>,
    },
    /// A JSON file is one object that does not hold exactly one list of objects.
    #[error("{}: one object with {lists} lists of objects; turn one into JSON lines with `{command}`", path.display())]
    NotOneList {
        /// The file.
        path: PathBuf,
        /// Number of lists of objects in it.
        lists: usize,
        /// A command that turns a list into JSON lines.
        command: String,
    },
    /// More lines without a document than `corpus.skip_bad` allows.
    #[error(
        "corpus: {count} bad lines in all files, but corpus.skip_bad allows {allowed}; raise it, or mend the files"
    )]
    TooManyBadLines {
        /// Bad lines in all files.
        count: u64,
        /// The setting.
        allowed: u64,
    },
    /// A JSON object has no field with the configured name.
    #[error(
        "{}, {place}: no field {field:?} (fields: {present}); set corpus.text_field to the one with the text",
        path.display()
    )]
    NoField {
        /// The file.
        path: PathBuf,
        /// The line or list item of the file, or all of it.
        place: Place,
        /// The configured name.
        field: String,
        /// Names of the fields that exist, separated by commas.
        present: String,
    },
    /// A JSON object, or the schema of a Parquet file, has several fields with the configured name.
    #[error("{}, {place}: several fields {field:?}; rename all but the one with the text", path.display())]
    RepeatedField {
        /// The file.
        path: PathBuf,
        /// The line or list item of the file, or all of it.
        place: Place,
        /// The configured name.
        field: String,
    },
    /// The configured field of a JSON object is not a string.
    #[error(
        "{}, {place}: field {field:?} is {kind}, not a string; set corpus.text_field to the one with the text",
        path.display()
    )]
    FieldNotText {
        /// The file.
        path: PathBuf,
        /// The line or list item of the file, or all of it.
        place: Place,
        /// The configured name.
        field: String,
        /// The type of its value, with its article: "a number".
        kind: &'static str,
    },
    /// A Parquet file has no column with the configured name.
    #[error(
        "{}: no column {column:?} (columns: {present}); set corpus.text_field to the one with the text",
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
        "{}: column {column:?} holds {kind}, not text; set corpus.text_field to the one with the text{}",
        path.display(),
        if *is_nested { ", or write one with a text in each row first" } else { "" }
    )]
    ColumnNotText {
        /// The file.
        path: PathBuf,
        /// The configured name.
        column: String,
        /// What the column has instead: "lists of strings".
        kind: String,
        /// Whether a row has several values.
        is_nested: bool,
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
    /// A file is not compressed, although its name promises it.
    #[error("{}: the name promises {format} data, but it is not compressed; rename it to {}", path.display(), without_extension(path))]
    NotPacked {
        /// The file.
        path: PathBuf,
        /// The format that its name promises.
        format: &'static str,
    },
    /// A compressed file holds another compressed file.
    #[error("{}: unpacks to another {format} file; unpack it once, and name the result {}", path.display(), path.display())]
    PackedTwice {
        /// The file.
        path: PathBuf,
        /// The format of what is inside.
        format: &'static str,
    },
    /// A compressed file unpacks to more than `corpus.max_expansion` times its size.
    #[error(
        "{}: unpacks to more than {max_expansion} times its size, which is rare for text; if you trust the file, raise \
         corpus.max_expansion",
        path.display()
    )]
    TooMuchExpansion {
        /// The file.
        path: PathBuf,
        /// The setting.
        max_expansion: u64,
    },
    /// The compressed data are followed by bytes that are not compressed data.
    #[error(
        "{}: bytes that are not {format} data follow the {format} data; if the text before them is whole, unpack it with \
         `{command} -dc {} > NAME` and read NAME",
        path.display(),
        in_shell(path)
    )]
    TrailingBytes {
        /// The file.
        path: PathBuf,
        /// The format that its name promises.
        format: &'static str,
        /// The program that unpacks such files.
        command: &'static str,
    },
    /// Unpacking a file needs more memory than is available.
    #[error(
        "{}: not enough memory to unpack the file, which was compressed with a window that may take 2 GiB; compress it \
         again without --long or --ultra",
        path.display()
    )]
    TooLittleMemory {
        /// The file.
        path: PathBuf,
        /// The error of the decoder.
        source: std::io::Error,
    },
    /// A file is a placeholder for another one that was not downloaded.
    #[error("{}: a pointer of {program} instead of the file itself; fetch it with `{command}`", path.display())]
    Pointer {
        /// The file.
        path: PathBuf,
        /// The program that stores the file elsewhere.
        program: &'static str,
        /// The command that fetches the file.
        command: &'static str,
    },
    /// A file is compressed, or a Parquet file, although its name indicates text.
    #[error("{}: the name promises text, but it is a {format} file; rename it to end in {extension}", path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// The format that the first bytes show.
        format: &'static str,
        /// The extension of that format.
        extension: &'static str,
    },
    /// No file has any text.
    #[error("corpus: no document in {} ({found}); check corpus.source", counted(*files as u64, "file"))]
    Empty {
        /// Number of files.
        files: usize,
        /// Counts of what the files have instead: "2 blank documents, 3 nulls".
        found: String,
    },
    /// The text has too few documents to give each split enough of it.
    #[error(
        "corpus: too few documents to be split by hash ({}): the {} split has {available} tokens, but the \
         experiment takes {wanted}; {remedy}",
        counted(*documents, "distinct text"), split.name()
    )]
    TooFewDocuments {
        /// Documents with different texts.
        documents: u64,
        /// The split that is too small.
        split: CorpusSplit,
        /// Tokens that the experiment takes.
        wanted: Tokens,
        /// Tokens of the split.
        available: Tokens,
        /// Advice on getting more documents.
        remedy: String,
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

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line, counted from 1.
    Line(usize),
    /// An item of a list, counted from 1.
    Item(usize),
    /// The file as a whole.
    Whole,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Item(item) => write!(f, "item {item}"),
            Self::Whole => f.write_str("as a whole"),
        }
    }
}

/// A path, quoted if necessary, as an argument of a shell command.
pub(super) fn in_shell(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/-+,:@%".contains(c);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

fn without_extension(path: &Path) -> String {
    path.with_extension("").file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn remedy(command: &Option<String>) -> String {
    command.as_ref().map_or(String::new(), |command| format!("; turn it into JSON lines with `{command}`"))
}

/// If there are fewer documents than this and a split is too small, the error asks for more documents, not for a larger
/// share of the split.
const FEW_DOCUMENTS: u64 = 50;

/// A split with too few tokens.
#[derive(Clone, Copy, Debug)]
pub struct SmallSplit<'a> {
    /// The split.
    pub split: CorpusSplit,
    /// Tokens that the experiment takes.
    pub wanted: Tokens,
    /// Tokens of the split.
    pub available: Tokens,
    /// Documents with different texts in all splits.
    pub documents: u64,
    /// The settings.
    pub corpus: &'a CorpusSettings,
}

impl SmallSplit<'_> {
    /// The error, with what to change.
    #[must_use]
    pub fn error(self) -> CorpusError {
        let Self { split, wanted, available, documents, corpus } = self;
        match corpus.files() {
            Some(files) if documents < FEW_DOCUMENTS => {
                let remedy = remedy_for_few(&files.split);
                CorpusError::TooFewDocuments { documents, split, wanted, available, remedy }
            }
            _ => CorpusError::TooSmall { split, wanted, available, remedy: remedy_for_share(split, corpus) },
        }
    }
}

fn remedy_for_few(split: &DocumentBoundary) -> String {
    let others = match split {
        DocumentBoundary::File => "\"paragraph\", \"line\" or { separator = \"…\" }",
        DocumentBoundary::Paragraph => "\"line\" or { separator = \"…\" }",
        DocumentBoundary::Line => "\"paragraph\" or { separator = \"…\" }",
        DocumentBoundary::Separator(_) => "\"paragraph\", \"line\" or another separator",
    };
    format!(
        "add text, or where it is in .txt files split it into more documents with corpus.split (now {split}; try {others})"
    )
}

fn remedy_for_share(split: CorpusSplit, corpus: &CorpusSettings) -> String {
    match split {
        CorpusSplit::Train => format!(
            "lower corpus.heldout_share or corpus.reference_share (train is {:.0} % of the documents)",
            (1.0 - corpus.heldout_share - corpus.reference_share) * 100.0
        ),
        CorpusSplit::Heldout => format!("raise corpus.heldout_share (now {})", corpus.heldout_share),
        CorpusSplit::Reference => format!("raise corpus.reference_share (now {})", corpus.reference_share),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(split: CorpusSplit, source: CorpusSource, documents: u64) -> String {
        let corpus = CorpusSettings { source, ..CorpusSettings::training_text(Path::new("a.txt")) };
        let corpus = CorpusSettings { heldout_share: 0.05, reference_share: 0.15, ..corpus };
        let small =
            SmallSplit { split, wanted: Tokens(50_000), available: Tokens(1234), documents, corpus: &corpus };
        small.error().to_string()
    }

    #[test]
    fn the_error_for_a_small_split_says_how_small_it_is_and_what_to_change() {
        let files = CorpusSource::Files(vec!["a.txt".to_owned()]);
        assert_eq!(
            error(CorpusSplit::Heldout, files.clone(), 1000),
            "corpus: the heldout split has 1_234 tokens, but the experiment takes 50_000; add text, lower \
             corpus.heldout_tokens, or raise corpus.heldout_share (now 0.05)"
        );
        let error_for_train = error(CorpusSplit::Train, files, 1000);
        assert!(error_for_train.ends_with("(train is 80 % of the documents)"), "{error_for_train}");
    }

    #[test]
    fn where_there_are_few_documents_the_error_says_so_and_names_the_split_setting() {
        let files = CorpusSource::Files(vec!["a.txt".to_owned()]);
        assert_eq!(
            error(CorpusSplit::Heldout, files, 1),
            "corpus: too few documents to be split by hash (1 distinct text): the heldout split has 1_234 tokens, but the \
             experiment takes 50_000; add text, or where it is in .txt files split it into more documents with \
             corpus.split (now \"paragraph\"; try \"line\" or { separator = \"…\" })"
        );
        let world = error(CorpusSplit::Heldout, CorpusSource::World, 1);
        assert!(world.contains("raise corpus.heldout_share"), "{world}");
    }

    #[test]
    fn paths_in_commands_are_quoted_where_a_shell_needs_it() {
        assert_eq!(in_shell(Path::new("data/a-1.json")), "data/a-1.json");
        assert_eq!(in_shell(Path::new("my data/it's.json")), "'my data/it'\\''s.json'");
    }
}
