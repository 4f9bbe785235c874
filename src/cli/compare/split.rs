//! The tables that say where differences come from.

use super::Compared;
use crate::attribution::Attribution;

/// What the tables mean.
const MEANING: &str = "Of a difference, sampling is what finite samples alone would have made of it, decoding what temperature and\n\
    truncation add, and misfit all the rest: what the models themselves lose or make up. \"By drift\" is where\n\
    sampling and decoding alone would have taken the arm.\n\n";

/// A table for each arm, drawn by `draw` out of a header and rows, and a line for each experiment that has none.
pub(super) fn tables(all: &[Compared], draw: impl Fn(&[&str], &[Vec<String>]) -> String) -> String {
    let mut text = String::new();
    for compared in all {
        let parts = compared.at_last_generation();
        if let (Some(generation), false) = (compared.comparison.last_generation(), parts.is_empty()) {
            let rows: Vec<Vec<String>> =
                parts.into_iter().map(|part| row(compared.label(&part.metric), part)).collect();
            let arm = &compared.comparison.arm;
            text.push_str(&format!(
                "{}, {arm}: where its differences at generation {generation} come from\n\n{}\n",
                compared.comparison.experiment,
                draw(&HEADER, &rows)
            ));
        }
    }
    if !text.is_empty() {
        text.push_str(MEANING);
    }
    text + &without_parts(all) + &without_baseline(all)
}

/// The arms of which it is not known what their decoder, or the control's, does to each type.
fn without_parts(all: &[Compared]) -> String {
    let has_none = |compared: &&Compared| {
        compared.comparison.last_generation().is_some()
            && compared.attribution.as_ref().is_some_and(Vec::is_empty)
    };
    let line = |Compared { comparison, .. }: &Compared| {
        format!(
            "{}, {}: not split, for it is not known what its decoder or the control's does to each type. (Beam search and\n\
             contrastive search do not choose by one prediction; of a document that is rewritten only some tokens are\n\
             decoded; a writer may decode in another way than its arms; else the held-out text is too short to tell.)\n\n",
            comparison.experiment, comparison.arm
        )
    };
    all.iter().filter(has_none).map(line).collect()
}

/// The experiments that do not say what drift alone would have done.
fn without_baseline(all: &[Compared]) -> String {
    let missing = all.iter().filter(|compared| compared.attribution.is_none());
    let mut names: Vec<&str> = missing.map(|compared| compared.comparison.experiment.as_str()).collect();
    names.dedup();
    let line = |name: &str| {
        format!(
            "{name}: what drift alone would have done is not on record; `genloss run` adds it to a run that is kept whole\n\n"
        )
    };
    names.into_iter().map(line).collect()
}

const HEADER: [&str; 7] =
    ["metric", "seen", "by drift", "difference", "= sampling", "+ decoding", "+ misfit [95 %]"];

fn row(label: &str, part: &Attribution) -> Vec<String> {
    // Shares and ratios, or numbers of types.
    let decimals = if part.control.abs() < 10.0 { 3 } else { 1 };
    // An empty sum may be −0.
    let plain = |value: f64| format!("{:.decimals$}", value + 0.0);
    let signed = |value: f64| if value == 0.0 { "0".to_owned() } else { format!("{value:+.decimals$}") };
    let [low, high] = [part.misfit_ci_low, part.misfit_ci_high].map(signed);
    vec![
        label.to_owned(),
        plain(part.arm_value),
        plain(part.arm_by_drift),
        signed(part.difference),
        signed(part.sampling),
        signed(part.decoding),
        format!("{} [{low}, {high}]", signed(part.misfit)),
    ]
}
