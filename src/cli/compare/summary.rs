//! The text of `genloss compare`: a line and a sentence for every arm.

use super::effects::{at_last_generation, plus_or_minus};
use super::lines::{Line, fitted};
use super::{ComparedArm, has_several_experiments};
use crate::cli::output;
use crate::measure::Catalogue;
use crate::verdict::ArmComparison;
use std::collections::BTreeSet;

/// The columns with numbers: one metric for each of the families that decide a verdict.
pub(super) const COLUMNS: [&str; 3] = ["heldout_loss", "unigram_entropy", "tail_coverage"];

/// What a legend says of intervals without the noise of training, if any is shown. Of each effect it is given whether its interval
/// includes that noise, and whether the arms are identical.
pub(super) fn measuring_alone(mut shown: impl Iterator<Item = (bool, bool)>) -> &'static str {
    let is_alone = |(includes_noise, is_identical): (bool, bool)| !includes_noise && !is_identical;
    if shown.any(is_alone) {
        " An interval of one seed in its first generations, or of seeds that all give the same difference, includes the error of \
         measurement, but not the noise of training."
    } else {
        ""
    }
}

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
    fitted(&lines, &[0])
}

fn cells(arm: &ArmComparison) -> Vec<String> {
    let since = arm.called_at_generation.map_or("–".to_owned(), |generation| generation.to_string());
    let effects = COLUMNS.iter().map(|metric| {
        at_last_generation(arm, metric).map_or("–".to_owned(), |effect| {
            plus_or_minus(effect.difference, effect.ci_low, effect.ci_high, effect.identical)
        })
    });
    [arm.arm.clone(), arm.verdict.word().to_owned(), since].into_iter().chain(effects).collect()
}

fn legend(arms: &[ComparedArm]) -> String {
    let last: BTreeSet<usize> = arms.iter().filter_map(|arm| arm.comparison.last_generation()).collect();
    let at = match last.iter().collect::<Vec<_>>()[..] {
        [generation] => format!("generation {generation}"),
        _ => "the last generation of each arm".to_owned(),
    };
    let shown = arms
        .iter()
        .flat_map(|arm| COLUMNS.iter().filter_map(|metric| at_last_generation(&arm.comparison, metric)));
    let measuring_alone =
        measuring_alone(shown.map(|effect| (effect.includes_training_noise, effect.identical)));
    output::paragraph(&format!(
        "Differences from the control of the same seeds at {at}, ± half of the 95 % interval. Loss and entropy are in \
         nats; \"rare tokens found\" is the number of different rare tokens, relative to natural text of the same size. \
         \"since\" is the first generation at which the verdict was called.{measuring_alone}"
    ))
}
