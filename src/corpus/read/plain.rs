//! Documents in plain text files.

use super::CorpusError;
use crate::corpus::{DocumentBoundary, plain_text};
use std::path::Path;

/// The documents of a plain text file.
pub(super) fn documents(
    path: &Path,
    bytes: &[u8],
    split: DocumentBoundary,
) -> Result<Vec<String>, CorpusError> {
    let text = plain_text(path, bytes)?;
    Ok(match split {
        DocumentBoundary::File => vec![text],
        DocumentBoundary::Line => text.lines().map(str::to_owned).collect(),
        DocumentBoundary::Paragraph => paragraphs(&text),
    })
}

/// Runs of lines that are not blank, each without the line end of its last line.
fn paragraphs(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.split('\n').collect();
    lines
        .split(|line| line.trim().is_empty())
        .filter(|paragraph| !paragraph.is_empty())
        .map(|paragraph| paragraph.join("\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, split: DocumentBoundary) -> Vec<String> {
        documents(Path::new("a.txt"), text.as_bytes(), split).expect("text")
    }

    #[test]
    fn blank_lines_separate_paragraphs_and_belong_to_none() {
        let text = "\n  one\ntwo  \n \t \n\n\nthree\n\n";
        assert_eq!(split(text, DocumentBoundary::Paragraph), ["  one\ntwo  ", "three"]);
        assert_eq!(split(text, DocumentBoundary::File), [text]);
        assert_eq!(split("one\n\ntwo", DocumentBoundary::Line), ["one", "", "two"]);
    }

    #[test]
    fn windows_line_ends_and_the_byte_order_mark_are_removed() {
        let text = "\u{FEFF}one\r\ntwo\r\n\r\nthree\r\n";
        assert_eq!(split(text, DocumentBoundary::Paragraph), ["one\ntwo", "three"]);
        assert_eq!(split(text, DocumentBoundary::Line), ["one", "two", "", "three"]);
        assert_eq!(split(text, DocumentBoundary::File), ["one\ntwo\n\nthree\n"]);
    }
}
