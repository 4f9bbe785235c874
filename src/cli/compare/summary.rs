//! The text of `genloss compare`: a line and a sentence for every arm.

use super::effects::at_last_generation;
use super::{ComparedArm, has_several_experiments};
use crate::cli::output;
use crate::measure::Catalogue;
use crate::verdict::ArmComparison;
use std::collections::BTreeSet;

/// The columns with numbers: one metric for each of the families that decide a verdict.
pub(super) const COLUMNS: [&str; 3] = ["heldout_loss", "unigram_entropy", "tail_coverage"];

/// Longest name of an arm in a table, in characters.
const LONGEST_NAME: usize = 40;

/// Names of arms in a table are not made shorter than this, in characters.
const SHORTEST_NAME: usize = 16;

/// Largest width of a table in columns, if its names of arms can be shortened to fit.
const TABLE_WIDTH: usize = 100;

/// The table, its legend, and a sentence for every arm.
pub(super) fn text(arms: &[ComparedArm]) -> String {
    let names_experiments = has_several_experiments(arms);
    let sentence = |ComparedArm { comparison: arm, .. }: &ComparedArm| {
        let experiment = if names_experiments { format!("{}, ", arm.experiment) } else { String::new() };
        output::paragraph(&format!("{experiment}{}: {}", arm.arm, arm.explanation))
    };
    let sentences: String = arms.iter().map(sentence).collect();
    format!("{}\n{}\n{sentences}", table(arms, names_experiments), legend(arms))
}

/// One line per arm, below the name of its experiment if `names_experiments`.
pub(super) fn table(arms: &[ComparedArm], names_experiments: bool) -> String {
    let catalogue = Catalogue::builtin();
    let header =
        ["arm", "verdict", "since"].into_iter().chain(COLUMNS.iter().map(|metric| catalogue.label(metric)));
    let mut lines = vec![Line::Cells(header.map(str::to_owned).collect())];
    let mut experiment = "";
    for ComparedArm { comparison, .. } in arms {
        if names_experiments && experiment != comparison.experiment {
            experiment = &comparison.experiment;
            lines.push(Line::Heading(experiment));
        }
        lines.push(Line::Cells(cells(comparison)));
    }
    fitted(lines, &[0])
}

fn cells(arm: &ArmComparison) -> Vec<String> {
    let since = arm.called_at_generation.map_or("–".to_owned(), |generation| generation.to_string());
    let effects = COLUMNS.iter().map(|metric| {
        at_last_generation(arm, metric).map_or("–".to_owned(), |effect| {
            let half = (effect.ci_high - effect.ci_low) / 2.0;
            format!("{} ± {half:.3}", output::signed(effect.difference, 3))
        })
    });
    [arm.arm.clone(), arm.verdict.word().to_owned(), since].into_iter().chain(effects).collect()
}

/// A name of at most [`LONGEST_NAME`] characters.
pub(super) fn shortened(name: &str) -> String {
    shortened_to(LONGEST_NAME, name)
}

/// A name of at most `longest` characters. A longer one loses its middle, because names of one experiment often differ at
/// the end.
fn shortened_to(longest: usize, name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= longest {
        return name.to_owned();
    }
    let half = (longest - 1) / 2;
    letters[..half].iter().chain(&['…']).chain(&letters[letters.len() - half..]).collect()
}

/// The lines as [`aligned`] draws them, with the names of arms in the columns `names` shortened until the table fits
/// [`TABLE_WIDTH`].
pub(super) fn fitted(mut lines: Vec<Line>, names: &[usize]) -> String {
    let mut longest = LONGEST_NAME;
    loop {
        for line in &mut lines {
            let Line::Cells(cells) = line else { continue };
            names.iter().for_each(|&column| cells[column] = shortened_to(longest, &cells[column]));
        }
        if longest <= SHORTEST_NAME || width(&lines) <= TABLE_WIDTH {
            return aligned(&lines);
        }
        longest -= 1;
    }
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

fn legend(arms: &[ComparedArm]) -> String {
    let last: BTreeSet<usize> = arms.iter().filter_map(|arm| arm.comparison.last_generation()).collect();
    let at = match last.iter().collect::<Vec<_>>()[..] {
        [generation] => format!("generation {generation}"),
        _ => "the last generation of each arm".to_owned(),
    };
    output::paragraph(&format!(
        "Differences from the control of the same seeds at {at}, ± half of the 95 % interval. Loss and entropy are in \
         nats; \"rare tokens found\" is the number of different rare tokens, relative to natural text of the same size. \
         \"since\" is the first generation at which the verdict was called."
    ))
}

pub(super) enum Line<'a> {
    Heading(&'a str),
    Cells(Vec<String>),
}

/// Columns two spaces apart; the first two are aligned to the left, the others to the right.
pub(super) fn aligned(lines: &[Line]) -> String {
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
        assert_eq!(short.chars().count(), 39);
        assert!(short.starts_with("aaa") && short.ends_with("aaa-0.25"), "{short}");
    }

    #[test]
    fn names_are_shortened_until_the_table_fits() {
        let cells = |name: &str| Line::Cells(vec![name.repeat(32), "x".repeat(70)]);
        let drawn = fitted(vec![cells("a"), cells("b")], &[0]);
        assert!(drawn.lines().all(|line| (99..=100).contains(&line.chars().count())), "{drawn}");
        assert!(drawn.contains("aaaaaaaaaaaaa…aaaaaaaaaaaaa  x"), "{drawn}");
    }

    #[test]
    fn words_are_aligned_to_the_left_and_numbers_to_the_right() {
        let cells = |cells: [&str; 3]| Line::Cells(cells.map(str::to_owned).to_vec());
        let lines =
            [cells(["arm", "verdict", "since"]), Line::Heading("one"), cells(["a", "narrowing", "2"])];
        assert_eq!(aligned(&lines), "arm  verdict    since\none\na    narrowing      2\n");
    }
}
