//! The markers in a document.

use anyhow::{Context, Result, bail};

const END: &str = "<!-- end -->";
const FENCE: &str = "```";

/// A marker: its kind, with the text after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    Table(&'a str),
    Figure(&'a str),
    /// A number inside a line.
    Value(&'a str),
}

/// Replaces the text between each marker and its end by what `content` returns for the marker.
pub fn fill(document: &str, mut content: impl FnMut(Block) -> Result<String>) -> Result<String> {
    let mut filled = String::with_capacity(document.len());
    let mut lines = document.lines();
    let mut is_code = false;
    while let Some(line) = lines.next() {
        is_code ^= line.trim_start().starts_with(FENCE);
        if is_code {
            filled.push_str(line);
        } else if let Some(block) = block_of(line) {
            if lines.by_ref().find(|line| line.trim() == END || block_of(line).is_some()) != Some(END) {
                bail!("{line} has no {END} on a line before the next marker");
            }
            let new = content(block).with_context(|| line.to_owned())?;
            filled.push_str(&format!("{line}\n{}\n{END}", new.trim_end()));
        } else {
            filled.push_str(&fill_line(line, &mut content)?);
        }
        filled.push('\n');
    }
    Ok(filled)
}

/// The block that fills the lines between this one and the end marker.
fn block_of(line: &str) -> Option<Block<'_>> {
    let comment = line.trim().strip_prefix("<!--")?.strip_suffix("-->")?;
    match comment.trim().split_once(": ")? {
        ("table", text) => Some(Block::Table(text)),
        ("figure", text) => Some(Block::Figure(text)),
        _ => None,
    }
}

/// Fills in the values inside a line.
fn fill_line(line: &str, content: &mut impl FnMut(Block) -> Result<String>) -> Result<String> {
    const VALUE: &str = "<!-- value: ";
    let mut filled = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once(VALUE) {
        let parts = after.split_once(" -->").and_then(|(text, after)| Some((text, after.split_once(END)?.1)));
        let Some((text, after)) = parts else { bail!("{VALUE}{after}: no {END} on the same line") };
        let new = content(Block::Value(text)).with_context(|| format!("{VALUE}{text} -->"))?;
        filled.push_str(&format!("{before}{VALUE}{text} -->{new}{END}"));
        rest = after;
    }
    Ok(filled + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(block: Block) -> Result<String> {
        Ok(format!("{block:?}"))
    }

    #[test]
    fn only_text_between_markers_is_replaced() {
        let document = "a\n<!-- table: t | x -->\nold\n<!-- end -->\nb <!-- value: v -->1<!-- end --> c\n";
        let expected = "a\n<!-- table: t | x -->\nTable(\"t | x\")\n<!-- end -->\n\
                        b <!-- value: v -->Value(\"v\")<!-- end --> c\n";
        let filled = fill(document, named).unwrap();
        assert_eq!(filled, expected);
        assert_eq!(fill(&filled, named).unwrap(), expected);
    }

    #[test]
    fn markers_in_code_and_other_comments_stay() {
        let document = "```\n<!-- table: t -->\n```\n<!-- toc -->\n<!-- note: x -->\n";
        assert_eq!(fill(document, named).unwrap(), document);
    }

    #[test]
    fn a_marker_without_its_end_is_an_error() {
        for document in [
            "<!-- table: a -->\ntext\n",
            "<!-- table: a -->\n<!-- figure: b -->\n<!-- end -->\n",
            "<!-- value: a -->1\n",
        ] {
            assert!(fill(document, named).is_err(), "{document}");
        }
    }
}
