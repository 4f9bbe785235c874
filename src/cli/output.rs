//! Writing results to standard output.

use anyhow::{Context, Result};
use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, TableComponent, Width, presets};
use serde::Serialize;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// How rows are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// An array of objects.
    Json,
    /// Comma-separated, with a header.
    Csv,
    /// A Markdown table.
    Markdown,
}

/// Writes text to standard output. A reader that has gone away (`| head`) is no fault.
pub fn emit(text: &str) -> Result<()> {
    emit_bytes(text.as_bytes())
}

/// Writes bytes to standard output.
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
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a value as indented JSON.
pub fn json<T: Serialize>(value: &T) -> Result<()> {
    emit(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Writes rows as comma-separated values with a header.
pub fn csv<T: Serialize>(rows: impl IntoIterator<Item = T>) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    emit_bytes(&writer.into_inner().context("comma-separated values")?)
}

/// Characters of a table line that does not go to a terminal.
const WIDTH_OF_A_FILE: u16 = 120;

/// A table for people.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_NO_BORDERS).remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections).remove_style(TableComponent::VerticalLines);
    table.set_header(header.to_vec()).set_content_arrangement(ContentArrangement::Dynamic);
    if !io::stdout().is_terminal() {
        table.set_width(WIDTH_OF_A_FILE);
    }
    for row in rows {
        table.add_row(row.clone());
    }
    for (place, column) in table.column_iter_mut().enumerate() {
        let cells = rows.iter().filter_map(|row| row.get(place).map(String::as_str)).chain([header[place]]);
        let longest =
            cells.flat_map(str::split_whitespace).map(|word| word.chars().count()).max().unwrap_or(0);
        // Cells are padded by a space on either side.
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(longest as u16 + 2)));
    }
    format!("{table}\n")
}

/// A Markdown table.
pub fn markdown(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let escaped = |row: &Vec<String>| row.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let mut text = line(header.iter().map(|&cell| cell.to_owned()).collect());
    text.push_str(&format!("|{}\n", " --- |".repeat(header.len())));
    text.extend(rows.iter().map(|row| line(escaped(row))));
    text
}
