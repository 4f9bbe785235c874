//! Documents in plain text files.

use crate::corpus::DocumentBoundary;

/// The documents of a text whose line ends are all `\n`. If lines or separators split it, some documents may be blank.
pub(super) fn documents(text: String, split: &DocumentBoundary) -> Vec<String> {
    match split {
        DocumentBoundary::File => vec![text],
        DocumentBoundary::Line => text.lines().map(str::to_owned).collect(),
        DocumentBoundary::Paragraph => paragraphs(&text),
        DocumentBoundary::Separator(separator) => between(&text, separator),
    }
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

/// The pieces between separators. Line ends next to a separator belong to neither piece. A separator at the end of the
/// text is not followed by another piece.
fn between(text: &str, separator: &str) -> Vec<String> {
    let mut pieces: Vec<String> =
        text.split(separator).map(|piece| piece.trim_matches('\n').to_owned()).collect();
    pieces.pop_if(|last| last.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, split: &DocumentBoundary) -> Vec<String> {
        documents(text.to_owned(), split)
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
