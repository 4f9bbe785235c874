//! Documents in plain text files.

use crate::corpus::{CorpusError, DocumentBoundary};

/// Calls `add` with each document of a text whose line ends are all `\n`. If lines or separators split it, some documents may
/// be blank.
pub(super) fn documents(
    text: String,
    split: &DocumentBoundary,
    mut add: impl FnMut(String) -> Result<(), CorpusError>,
) -> Result<(), CorpusError> {
    match split {
        DocumentBoundary::File => add(text),
        DocumentBoundary::Line => text.lines().map(str::to_owned).try_for_each(add),
        DocumentBoundary::Paragraph => paragraphs(&text).try_for_each(add),
        DocumentBoundary::Separator(separator) => {
            between(&text, separator).map(str::to_owned).try_for_each(add)
        }
    }
}

/// Runs of lines that are not blank, each without the line end of its last line.
fn paragraphs(text: &str) -> impl Iterator<Item = String> {
    let mut lines = text.split('\n').peekable();
    std::iter::from_fn(move || {
        while lines.next_if(|line| line.trim().is_empty()).is_some() {}
        let mut paragraph = lines.next()?.to_owned();
        while let Some(line) = lines.next_if(|line| !line.trim().is_empty()) {
            paragraph.push('\n');
            paragraph.push_str(line);
        }
        Some(paragraph)
    })
}

/// The pieces between separators. Line ends next to a separator belong to neither piece. A separator at the end of the
/// text is not followed by another piece.
fn between<'t>(text: &'t str, separator: &'t str) -> impl Iterator<Item = &'t str> {
    let mut pieces = text.split(separator).map(|piece| piece.trim_matches('\n')).peekable();
    std::iter::from_fn(move || {
        let piece = pieces.next()?;
        (pieces.peek().is_some() || !piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, split: &DocumentBoundary) -> Vec<String> {
        let mut found = Vec::new();
        let add = |document| {
            found.push(document);
            Ok(())
        };
        documents(text.to_owned(), split, add).expect("adding never fails");
        found
    }

    #[test]
    fn blank_lines_separate_paragraphs_and_belong_to_none() {
        let text = "\n  one\ntwo  \n \t \n\n\nthree\n\n";
        assert_eq!(split(text, &DocumentBoundary::Paragraph), ["  one\ntwo  ", "three"]);
        assert_eq!(split(text, &DocumentBoundary::File), [text]);
        assert_eq!(split("one\n\ntwo", &DocumentBoundary::Line), ["one", "", "two"]);
    }

    #[test]
    fn a_separator_ends_a_document_wherever_it_stands_and_belongs_to_none() {
        let marker = || DocumentBoundary::Separator("<|endoftext|>".to_owned());
        let text = "One.\n\nMore.\n<|endoftext|>\nTwo.<|endoftext|>Three.\n\n<|endoftext|>\n";
        assert_eq!(split(text, &marker()), ["One.\n\nMore.", "Two.", "Three."]);
        assert_eq!(split("no marker\n", &marker()), ["no marker"]);
        assert_eq!(split("a\n---\nb", &DocumentBoundary::Separator("\n---\n".to_owned())), ["a", "b"]);
        assert_eq!(split("a<|endoftext|><|endoftext|>b", &marker()), ["a", "", "b"]);
    }
}
