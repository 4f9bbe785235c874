//! Writing results to standard output.

use crate::terminal::{printable, printable_source};
use anyhow::{Context, Result};
use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, TableComponent, Width, presets};
use serde::Serialize;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// The form in which rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Aligned columns for reading.
    Table,
    /// An array of objects.
    Json,
    /// Comma-separated, with a header.
    Csv,
    /// A Markdown table.
    Markdown,
}

/// Writes human-readable text to standard output. It is not an error if the reader has closed the pipe (`| head`).
pub fn emit(text: &str) -> Result<()> {
    emit_bytes(printable(text).as_bytes())
}

/// Writes JSON or TOML to standard output.
pub fn emit_source(text: &str) -> Result<()> {
    emit_bytes(printable_source(text).as_bytes())
}

/// Writes bytes to standard output, as they are.
pub fn emit_bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(()),
    }
}

/// Writes a line to standard error.
pub fn say(line: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

/// Writes a value as indented JSON.
pub fn json<T: Serialize>(value: &T) -> Result<()> {
    emit_source(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Writes rows as comma-separated values with a header. Cells are safe for terminals and spreadsheets.
pub fn csv<T: Serialize>(rows: impl IntoIterator<Item = T>) -> Result<()> {
    let mut plain = csv::Writer::from_writer(Vec::new());
    for row in rows {
        plain.serialize(row)?;
    }
    let plain = plain.into_inner().context("comma-separated values")?;
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in csv::ReaderBuilder::new().has_headers(false).from_reader(&plain[..]).records() {
        writer.write_record(record?.iter().map(harmless_cell))?;
    }
    emit_bytes(&writer.into_inner().context("comma-separated values")?)
}

/// A cell that no spreadsheet evaluates: text that begins like a formula gets an apostrophe in front.
fn harmless_cell(cell: &str) -> String {
    let is_number = cell.parse::<f64>().is_ok();
    let quote = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number { "'" } else { "" };
    format!("{quote}{}", printable(cell))
}

/// Width of a table where standard output is not a terminal, in columns.
const FILE_WIDTH: u16 = 120;

/// Width of the terminal in columns; None if standard output is not a terminal.
fn terminal_width() -> Option<u16> {
    let size = io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
    size.map(|(width, _)| width.0)
}

/// Aligned columns for reading. Cells are wrapped to the terminal, or to 120 columns.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_NO_BORDERS).remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections).remove_style(TableComponent::VerticalLines);
    table.set_header(header.to_vec()).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(terminal_width().unwrap_or(FILE_WIDTH));
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| unbroken(cell)).collect()).collect();
    for row in &rows {
        table.add_row(row.clone());
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        let cells = rows.iter().filter_map(|row| row.get(index).map(String::as_str)).chain([header[index]]);
        let longest = cells
            .flat_map(|cell| cell.split([' ', '\n']))
            .map(|word| word.chars().count())
            .max()
            .unwrap_or(0);
        let unbroken = longest.min(LONGEST_UNBROKEN) as u16;
        // Cells are padded by a space on either side.
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(unbroken + 2)));
    }
    format!("{}\n", table.trim_fmt().replace(NO_BREAK_SPACE, " "))
}

/// A word of a table is broken over lines only if it is longer than this, in characters.
const LONGEST_UNBROKEN: usize = 60;

/// Lines of a table are not broken here.
const NO_BREAK_SPACE: char = '\u{a0}';

/// A printable cell of a table whose intervals, `[1, 2]` and `1 ± 2`, and percentages are not broken over lines.
fn unbroken(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    let mut is_inside = false;
    for c in
        printable(cell).replace('\t', " ").replace(" ± ", "\u{a0}±\u{a0}").replace(" %", "\u{a0}%").chars()
    {
        is_inside = c == '[' || is_inside && c != ']';
        text.push(if is_inside && c == ' ' { NO_BREAK_SPACE } else { c });
    }
    text
}

/// A number with `decimals` decimals. What rounds to zero has no sign.
pub fn plain(value: f64, decimals: usize) -> String {
    if value.is_finite() && value.abs() >= 1e9 {
        return format!("{value:.decimals$e}");
    }
    let text = format!("{value:.decimals$}");
    let is_zero = text.chars().all(|c| "-0.".contains(c));
    if is_zero { text.trim_start_matches('-').to_owned() } else { text }
}

/// A number as [`plain`] writes it, with a plus sign if it is positive.
pub fn signed(value: f64, decimals: usize) -> String {
    let text = plain(value, decimals);
    let is_zero = text.chars().all(|c| "0.".contains(c));
    if value > 0.0 && !is_zero { format!("+{text}") } else { text }
}

/// A Markdown table.
pub fn markdown(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let escaped =
        |row: &Vec<String>| row.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
    let mut text = line(header.iter().map(|&cell| cell.to_owned()).collect());
    text.push_str(&format!("|{}\n", " --- |".repeat(header.len())));
    text.extend(rows.iter().map(|row| line(escaped(row))));
    text
}

/// Formats a paragraph. On a terminal it is wrapped between words to the width of the terminal, at most 100 columns,
/// and continuation lines are indented by two spaces. Elsewhere it is a single line.
pub fn paragraph(text: &str) -> String {
    match terminal_width() {
        Some(width) => wrap(text, usize::from(width.min(100))),
        None => format!("{text}\n"),
    }
}

fn wrap(text: &str, width: usize) -> String {
    let (mut lines, mut column) = (String::new(), 0);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            lines.push_str("\n  ");
            column = 2;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_rounds_to_zero_has_no_sign() {
        assert_eq!([plain(-4e-7, 6), plain(-0.0, 3), plain(-0.25, 2)], ["0.000000", "0.000", "-0.25"]);
        assert_eq!([signed(-4e-4, 3), signed(4e-4, 3), signed(0.5, 1)], ["0.000", "0.000", "+0.5"]);
    }

    #[test]
    fn text_that_begins_like_a_formula_is_quoted_and_numbers_are_not() {
        for text in ["=1+1", "+cmd", "-x", "@SUM(1)", "\tx"] {
            assert_eq!(harmless_cell(text), format!("'{text}"));
        }
        for cell in ["-0.5", "+1", "-1e-9", "-inf", "1", "", "a=b", "x-1", "–"] {
            assert_eq!(harmless_cell(cell), cell);
        }
        assert_eq!(harmless_cell("\u{1b}[31mred"), "\\u{1b}[31mred");
    }

    #[test]
    fn an_interval_stays_on_one_line_of_a_narrow_table() {
        let cell = "a long text before +0.106 [+0.025, +0.186] and 1 ± 2 behind it ".repeat(3);
        let drawn = table(&["interval"; 3], &[vec![cell.clone(), cell.clone(), cell]]);
        assert_eq!(
            (drawn.matches("[+0.025, +0.186]").count(), drawn.matches("1 ± 2").count()),
            (9, 9),
            "{drawn}"
        );
    }

    #[test]
    fn a_paragraph_is_wrapped_between_words_and_its_continuation_lines_are_indented() {
        assert_eq!(wrap("one two three four", 10), "one two\n  three\n  four\n");
        assert_eq!(wrap("short", 10), "short\n");
        assert_eq!(wrap("longer-than-a-line", 10), "longer-than-a-line\n");
    }
}
