//! Tables that split each difference into sampling, decoding and misfit.

use super::ComparedArm;
use crate::attribution::Attribution;
use crate::cli::output;

const LEGEND: &str = "Each difference is the sum of three parts: sampling, the effect of finite samples alone; decoding, what temperature \
    and truncation add to it; misfit, the rest: the errors of the models themselves, such as types they lose or \
    invent. \"By drift\" is the value that sampling and decoding alone would have led to. Where \
    the control itself lies far below that value, sampling can be larger than the difference, and misfit then has the \
    opposite sign.";

/// A table for each arm, formatted by `draw` from a header and rows. An arm without a table gets a line with the
/// reason.
pub(super) fn tables(all: &[ComparedArm], draw: impl Fn(&[&str], &[Vec<String>]) -> String) -> String {
    let mut text = String::new();
    for compared in all {
        let parts = compared.at_last_generation();
        if let (Some(generation), false) = (compared.comparison.last_generation(), parts.is_empty()) {
            let rows: Vec<Vec<String>> =
                parts.into_iter().map(|part| row(compared.label(&part.metric), part)).collect();
            let arm = &compared.comparison.arm;
            text.push_str(&format!(
                "{}, {arm}: the parts of its differences at generation {generation}\n\n{}\n",
                compared.comparison.experiment,
                draw(&HEADER, &rows)
            ));
        }
    }
    if !text.is_empty() {
        text.push_str(&output::paragraph(LEGEND));
    }
    "\n".to_owned() + &text + &without_parts(all) + &without_baseline(all)
}

/// Lines for the arms whose differences cannot be split, because the effect of their decoder or of the control's
/// decoder is unknown.
fn without_parts(all: &[ComparedArm]) -> String {
    let has_none = |compared: &&ComparedArm| {
        compared.comparison.last_generation().is_some()
            && compared.attribution.as_ref().is_some_and(Vec::is_empty)
    };
    let line = |ComparedArm { comparison, .. }: &ComparedArm| {
        output::paragraph(&format!(
            "{}, {}: not split, because it is unknown how its decoder or the control's changes the probability of each \
             type. (Possible reasons: beam search and contrastive search do not choose each token from its predicted \
             distribution alone; in a rewritten document only some tokens are decoded; a [writer] may decode \
             differently from its arms; or the held-out text is too short.)",
            comparison.experiment, comparison.arm
        ))
    };
    all.iter().filter(has_none).map(line).collect()
}

/// Lines for the experiments without a baseline of drift alone.
fn without_baseline(all: &[ComparedArm]) -> String {
    let missing = all.iter().filter(|compared| compared.attribution.is_none());
    let mut names: Vec<&str> = missing.map(|compared| compared.comparison.experiment.as_str()).collect();
    names.dedup();
    let line = |name: &str| {
        output::paragraph(&format!(
            "{name}: no baseline of drift alone is recorded; `genloss run` adds it to a run whose models and texts are kept"
        ))
    };
    names.into_iter().map(line).collect()
}

const HEADER: [&str; 7] =
    ["metric", "observed", "by drift", "difference", "= sampling", "+ decoding", "+ misfit [95 %]"];

fn row(label: &str, part: &Attribution) -> Vec<String> {
    // Shares and ratios get three decimals, and counts of types get one.
    let decimals = if part.control.abs() < 10.0 { 3 } else { 1 };
    let plain = |value: f64| output::plain(value, decimals);
    let signed = |value: f64| if value == 0.0 { "0".to_owned() } else { output::signed(value, decimals) };
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
