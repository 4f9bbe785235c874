//! The beginning of a page of several experiments: a table of them, with the settings in which they differ.

use super::data::PageData;
use super::{ExperimentSection, verdicts};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// A row per experiment, a column per setting, and the verdicts on its arms.
pub(super) fn overview(sections: &[ExperimentSection], data: &PageData) -> Markup {
    let arms: BTreeSet<&str> = sections.iter().flat_map(|s| &s.comparisons).map(|c| c.arm.as_str()).collect();
    html! {
        section id="experiments" {
            h2 { (sections.len()) " experiments" }
            div.scroll tabindex="0" role="group" aria-label="Experiments, scrolls sideways" {
                table.records.experiments {
                    caption { "The settings in which the experiments differ, and the verdict on each arm." }
                    thead {
                        tr {
                            th scope="col" { "Experiment" }
                            @for name in data.settings() { th scope="col" { (name) } }
                            @for arm in &arms { th scope="col" { (arm) } }
                        }
                    }
                    tbody {
                        @for (index, section) in sections.iter().enumerate() { (row(index, section, data, &arms)) }
                    }
                }
            }
        }
    }
}

fn row(index: usize, section: &ExperimentSection, data: &PageData, arms: &BTreeSet<&str>) -> Markup {
    let verdict = |arm: &str| section.comparisons.iter().find(|comparison| comparison.arm == arm);
    html! {
        tr {
            th scope="row" { a href={ "#e" (index + 1) "-verdicts" } { (section.recorded.experiment.name) } }
            @for value in data.settings_of(index) { td { (value) } }
            @for arm in arms {
                td {
                    @match verdict(arm) {
                        Some(comparison) => { (verdicts::badge(section, comparison.verdict)) }
                        None => { "–" }
                    }
                }
            }
        }
    }
}
