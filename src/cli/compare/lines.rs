//! Tables of arms that fit the width of a terminal.

use std::collections::{BTreeMap, BTreeSet};

/// Longest name of an arm in a table, in characters.
const LONGEST_NAME: usize = 40;

/// Names of arms in a table are not made shorter than this, in characters.
const SHORTEST_NAME: usize = 16;

/// Largest width of a table in columns, if its names of arms can be shortened to fit.
const TABLE_WIDTH: usize = 100;

pub(super) enum Line<'a> {
    Heading(&'a str),
    Cells(Vec<String>),
}

/// A name of at most [`LONGEST_NAME`] characters.
pub(super) fn shortened(name: &str) -> String {
    without_middle(name, LONGEST_NAME, (LONGEST_NAME - 1) / 2)
}

/// The lines as [`aligned`] draws them, with the names of arms in the columns `names` shortened until the table fits
/// [`TABLE_WIDTH`].
pub(super) fn fitted(lines: &[Line], names: &[usize]) -> String {
    let mut longest = LONGEST_NAME;
    loop {
        let fitting = with_names(lines, names, longest);
        if longest <= SHORTEST_NAME || width(&fitting) <= TABLE_WIDTH {
            return aligned(&fitting);
        }
        longest -= 1;
    }
}

/// As [`fitted`], from a header and rows.
pub(super) fn table(header: &[&str], rows: &[Vec<String>], names: &[usize]) -> String {
    let header = Line::Cells(header.iter().map(|&title| title.to_owned()).collect());
    let rows = rows.iter().map(|row| Line::Cells(row.clone()));
    let lines: Vec<Line> = std::iter::once(header).chain(rows).collect();
    fitted(&lines, names)
}

/// The lines with no name of more than `longest` characters.
fn with_names<'a>(lines: &[Line<'a>], names: &[usize], longest: usize) -> Vec<Line<'a>> {
    let of_line = |line: &Line| match line {
        Line::Heading(_) => Vec::new(),
        Line::Cells(cells) => names.iter().map(|&column| cells[column].clone()).collect(),
    };
    let all: BTreeSet<String> = lines.iter().flat_map(of_line).collect();
    let short = distinct(&all, longest);
    let replaced = |(column, cell): (usize, &String)| match names.contains(&column) {
        true => short[cell].clone(),
        false => cell.clone(),
    };
    let shorten = |line: &Line<'a>| match line {
        Line::Heading(text) => Line::Heading(text),
        Line::Cells(cells) => Line::Cells(cells.iter().enumerate().map(replaced).collect()),
    };
    lines.iter().map(shorten).collect()
}

/// Every name in at most `longest` characters. Longer ones lose a part that leaves all of them different, if there is one:
/// the middle if possible, else one nearer to the beginning, because names of one experiment often differ at the end.
fn distinct(names: &BTreeSet<String>, longest: usize) -> BTreeMap<String, String> {
    let half = (longest - 1) / 2;
    let of = |beginning: usize| -> BTreeMap<String, String> {
        names.iter().map(|name| (name.clone(), without_middle(name, longest, beginning))).collect()
    };
    let is_distinct =
        |short: &BTreeMap<String, String>| short.values().collect::<BTreeSet<_>>().len() == names.len();
    (0..=half).rev().map(of).find(is_distinct).unwrap_or_else(|| of(half))
}

/// A name of at most `longest` characters, of which a longer name keeps `beginning` at its beginning and the others at its
/// end.
fn without_middle(name: &str, longest: usize, beginning: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= longest {
        return name.to_owned();
    }
    let end = letters.len() - (longest - 1 - beginning);
    letters[..beginning].iter().chain(&['…']).chain(&letters[end..]).collect()
}

/// Width of a table in columns, headings not counted.
fn width(lines: &[Line]) -> usize {
    let widths = widths(lines);
    widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
}

fn widths(lines: &[Line]) -> Vec<usize> {
    let mut widths: Vec<usize> = Vec::new();
    for line in lines {
        if let Line::Cells(cells) = line {
            widths.resize(widths.len().max(cells.len()), 0);
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
    }
    widths
}

/// Columns two spaces apart; the first two are aligned to the left, the others to the right.
fn aligned(lines: &[Line]) -> String {
    let widths = widths(lines);
    let padded = |(column, (cell, &width)): (usize, (&String, &usize))| {
        if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
    };
    let drawn = |line: &Line| match line {
        Line::Heading(text) => format!("{text}\n"),
        Line::Cells(cells) => {
            let cells: Vec<String> = cells.iter().zip(&widths).enumerate().map(padded).collect();
            format!("{}\n", cells.join("  "))
        }
    };
    lines.iter().map(drawn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_its_two_ends() {
        assert_eq!(shortened("anchored"), "anchored");
        let short = shortened(&("a".repeat(80) + "-0.25"));
        assert_eq!(short.chars().count(), LONGEST_NAME);
        assert!(short.starts_with("aaa") && short.ends_with("aaa-0.25"), "{short}");
    }

    #[test]
    fn names_are_shortened_until_the_table_fits() {
        let cells = |name: &str| Line::Cells(vec![name.repeat(32), "x".repeat(70)]);
        let drawn = fitted(&[cells("a"), cells("b")], &[0]);
        assert!(drawn.lines().all(|line| line.chars().count() == TABLE_WIDTH), "{drawn}");
        assert!(drawn.contains("aaaaaaaaaaaaa…aaaaaaaaaaaaaa  x"), "{drawn}");
    }

    #[test]
    fn short_names_are_as_different_as_long_ones() {
        let names = [
            "mixture=natural_fraction=0.67,budget=repeated",
            "mixture=natural_fraction=0.33,budget=repeated",
        ];
        let short = distinct(&names.map(str::to_owned).into(), 28);
        assert_eq!(short[names[0]], "mixture=na…7,budget=repeated");
        assert_eq!(short[names[1]], "mixture=na…3,budget=repeated");
    }

    #[test]
    fn words_are_aligned_to_the_left_and_numbers_to_the_right() {
        let cells = |cells: [&str; 3]| Line::Cells(cells.map(str::to_owned).to_vec());
        let lines =
            [cells(["arm", "verdict", "since"]), Line::Heading("one"), cells(["a", "narrowing", "2"])];
        assert_eq!(aligned(&lines), "arm  verdict    since\none\na    narrowing      2\n");
    }
}
