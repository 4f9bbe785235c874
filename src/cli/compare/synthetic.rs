//! The effect of synthetic text over its natural part alone, for the arms that have a repeat arm.

use super::effects::plus_or_minus;
use super::lines;
use super::summary::{COLUMNS, measuring_alone};
use super::{ComparedArm, has_several_experiments};
use crate::cli::output;
use crate::measure::Catalogue;
use crate::verdict::{ArmComparison, SyntheticTextEffect};

const LEGEND: &str = "The effect of synthetic text: differences at the last generation from the arm that has the same natural \
    text, read again in place of the synthetic text (\"over\"), of the same seeds, ± half of the 95 % interval.";

/// A table of those arms and a sentence for each, formatted by `draw` from a header and rows; empty if there are none.
pub(super) fn text(arms: &[ComparedArm], draw: impl Fn(&[&str], &[Vec<String>]) -> String) -> String {
    let (names_experiments, catalogue) = (has_several_experiments(arms), Catalogue::builtin());
    let found: Vec<(&ArmComparison, &SyntheticTextEffect)> = arms
        .iter()
        .filter_map(|ComparedArm { comparison, .. }| Some((comparison, comparison.synthetic_text.as_ref()?)))
        .collect();
    if found.is_empty() {
        return String::new();
    }
    let mut tables = String::new();
    for of_experiment in found.chunk_by(|(one, _), (other, _)| one.experiment == other.experiment) {
        if names_experiments {
            tables.push_str(&format!("{}\n\n", of_experiment[0].0.experiment));
        }
        let titles = COLUMNS.iter().map(|metric| catalogue.label(metric));
        let header: Vec<&str> = ["arm", "over"].into_iter().chain(titles).collect();
        let rows: Vec<Vec<String>> = of_experiment.iter().map(|(arm, effect)| row(arm, effect)).collect();
        tables.push_str(&draw(&header, &rows));
        tables.push('\n');
    }
    let sentence = |(arm, effect): &(&ArmComparison, &SyntheticTextEffect)| {
        let experiment = if names_experiments { format!("{}, ", arm.experiment) } else { String::new() };
        output::paragraph(&format!("{experiment}{}: {}", arm.arm, effect.explanation))
    };
    let sentences: String = found.iter().map(sentence).collect();
    let shown = found
        .iter()
        .flat_map(|(_, effect)| COLUMNS.iter().filter_map(|metric| effect.at_last_generation(metric)));
    let measuring_alone =
        measuring_alone(shown.map(|effect| (effect.includes_training_noise, effect.identical)));
    let legend = format!("{LEGEND}{measuring_alone}");
    format!("\n{}\n{tables}{sentences}", output::paragraph(&legend))
}

fn row(arm: &ArmComparison, effect: &SyntheticTextEffect) -> Vec<String> {
    let effects = COLUMNS.iter().map(|metric| {
        effect.at_last_generation(metric).map_or("–".to_owned(), |effect| {
            plus_or_minus(effect.difference, effect.ci_low, effect.ci_high, effect.identical)
        })
    });
    [arm.arm.clone(), effect.repeat_arm.clone()].into_iter().chain(effects).collect()
}

/// A table for the terminal, with the names of both arms shortened until it fits.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    lines::table(header, rows, &[0, 1])
}
