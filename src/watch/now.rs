//! What a run does now, as the part of a page above its report.

use super::runs::{Run, RunState};
use super::verdicts::ArmVerdict;
use crate::live::{LineageNow, LossNow, Seen, StageNow};
use crate::store::Sample;
use crate::units::Tokens;
use maud::{Markup, html};
use std::time::SystemTime;

/// Failures that are shown.
const SHOWN_FAILURES: usize = 5;

/// Everything that the part shows.
pub(super) struct Now<'a> {
    pub(super) id: &'a str,
    pub(super) run: &'a Run,
    pub(super) verdicts: &'a [ArmVerdict],
    /// The newest documents, one sample for each lineage in work.
    pub(super) samples: &'a [Sample],
}

impl Now<'_> {
    /// The part. Its element is replaced as a whole.
    pub(super) fn html(&self) -> Markup {
        let Self { id, run, .. } = self;
        html! {
            section.now data-now={ "/now?run=" (query_value(id)) } aria-label="What the run does now" {
                div.now-state {
                    (badge(&run.state))
                    strong { (run.name) } span.sub { (run.folder.display()) }
                    span { (generations(run)) }
                    (bar(run.glance.done, run.glance.generations))
                    @if !self.verdicts.is_empty() { (self.verdicts_so_far()) }
                }
                @if let Some(reason) = run.state.reason() { p.now-error { (reason) (run.state.hint()) } }
                @for seen in run.live.iter().filter(|seen| !seen.has_ended) { (process(seen)) }
                @if !run.failures.is_empty() && !matches!(run.state, RunState::Failed(_)) {
                    ul.now-error {
                        @for (unit, error) in run.failures.iter().take(SHOWN_FAILURES) { li { (unit) ": " (error) } }
                    }
                }
                @if !self.samples.is_empty() { (self.documents()) }
            }
        }
    }

    fn verdicts_so_far(&self) -> Markup {
        let so_far = if self.run.state == RunState::Finished { "" } else { " so far" };
        html! {
            span.now-verdicts {
                @for one in self.verdicts {
                    span { (one.arm) " " span.{ "badge " (one.verdict.word()) } { (one.verdict.word()) } (so_far) }
                }
            }
        }
    }

    fn documents(&self) -> Markup {
        html! {
            details id="now-documents" {
                summary { "The newest documents" }
                @for sample in self.samples {
                    h3 { "Seed " (sample.seed) ", " (sample.arm) ", generation " (sample.generation) }
                    @for document in &sample.documents { p.now-document { (document) } }
                }
            }
        }
    }
}

/// In place of the part of a run that is not there, until it is.
pub(super) fn gone(id: &str) -> Markup {
    html! {
        section.now data-now={ "/now?run=" (query_value(id)) } {
            p.now-error { (id) ": there is no such run below the watched folders." }
        }
    }
}

/// What one process does.
fn process(seen: &Seen) -> Markup {
    let record = &seen.record;
    let silent = SystemTime::now().duration_since(seen.written).unwrap_or_default().as_secs();
    html! {
        div.scroll {
            table {
                caption {
                    (record.process)
                    @if silent > 15 { ", last sign of life " (duration(silent as f64)) " ago" }
                }
                thead {
                    tr {
                        th { "Lineage" } th { "Generation" } th { "Stage" } th { "Progress" } th.n { "Speed" } th.n { "Time left" }
                        th { "Training loss" }
                    }
                }
                tbody {
                    @for lineage in &record.lineages { (row(lineage)) }
                    @if let Some(stage) = &record.other {
                        tr { th { "all arms" } td { "" } (stage_cells(Some(stage))) td { "" } }
                    }
                }
            }
        }
        @if let Some(note) = record.notes.last() { p.sub { (note) } }
    }
}

fn row(lineage: &LineageNow) -> Markup {
    let arm = if lineage.arm.is_empty() { "all arms" } else { &lineage.arm };
    html! {
        tr {
            th { "seed " (lineage.seed) ", " (arm) }
            td { (lineage.generation) @if !lineage.arm.is_empty() { " of " (lineage.generations) } }
            (stage_cells(lineage.stage.as_ref()))
            td { (curve(&lineage.curve)) }
        }
    }
}

fn stage_cells(stage: Option<&StageNow>) -> Markup {
    html! {
        @match stage {
            None => { td { "between stages" } td { } td.n { } td.n { } }
            Some(stage) => {
                td { (stage.name) }
                td { (bar(stage.done, stage.total)) " " span.together { (count(stage.done)) " of " (count(stage.total)) " " (stage.unit) } }
                td.n { @if let Some(speed) = stage.per_second { (count(speed as u64)) " " (stage.unit) "/s" } }
                td.n { @if let Some(seconds) = stage.seconds_left() { (duration(seconds)) } }
            }
        }
    }
}

/// A loss curve as a small picture, with its last value.
fn curve(points: &[LossNow]) -> Markup {
    const WIDTH: f64 = 160.0;
    const HEIGHT: f64 = 36.0;
    let finite = points.iter().filter(|point| point.nats_per_token.is_finite());
    let values: Vec<f64> = finite.map(|point| point.nats_per_token).collect();
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return html! {} };
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = (high - low).max(1e-9);
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let place = |(index, value): (usize, &f64)| {
        format!("{:.1},{:.1}", index as f64 * step, 2.0 + (HEIGHT - 4.0) * (high - value) / range)
    };
    let path: Vec<String> = values.iter().enumerate().map(place).collect();
    let label = format!("training loss from {first:.3} to {last:.3} nats per token");
    html! {
        @if values.len() > 1 {
            svg role="img" aria-label=(label) width=(WIDTH) height=(HEIGHT) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } {
                polyline points=(path.join(" ")) fill="none" stroke="currentColor" stroke-width="1.5" {}
            }
            " "
        }
        span.together { (format!("{last:.3}")) " nats per token" }
    }
}

/// The word for a state, in its colour.
pub(super) fn badge(state: &RunState) -> Markup {
    html! { span.{ "state " (state.word()) } { (state.word()) } }
}

/// `3 of 10 generations`.
pub(super) fn generations(run: &Run) -> String {
    match run.is_study {
        true => format!("{} generations", run.glance.done),
        // Of an experiment file that cannot be read.
        false if run.glance.generations == 0 => String::new(),
        false => format!("{} of {} generations", run.glance.done, run.glance.generations),
    }
}

fn bar(done: u64, total: u64) -> Markup {
    html! { progress max=(total.max(1)) value=(done.min(total)) { (done) " of " (total) } }
}

/// `3,000`, as everywhere on the pages.
fn count(number: u64) -> String {
    Tokens(number).to_string().replace('_', ",")
}

/// `12 s`, `3 min`, `1.5 h`.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.1} h", seconds / 3600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// A text in the query of an address.
pub(super) fn query_value(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
            (byte as char).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_an_address_says_nothing_else() {
        assert_eq!(query_value("a/b c&run=ü"), "a/b%20c%26run%3D%C3%BC");
    }

    #[test]
    fn a_loss_curve_is_drawn_within_its_picture_whatever_the_losses() {
        let point = |nats_per_token| LossNow { tokens: 1, nats_per_token };
        for losses in
            [vec![3.0, 2.0, 1.0], vec![1.0, 1.0], vec![1e300, f64::NAN, 2.0], vec![5.0], vec![f64::NAN]]
        {
            let drawn = curve(&losses.iter().copied().map(point).collect::<Vec<_>>()).into_string();
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
    }
}
