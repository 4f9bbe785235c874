//! The HTML page: verdicts first, then the evidence, the texts, and exactly what was run.

mod data;
mod differing;
mod key;
mod laws;
mod records;
mod script;
mod sweep;
mod style;
mod texts;
mod verdicts;

use super::DrawnFigure;
use super::document::document;
use super::figures::Topic;
use super::series::Series;
use crate::fit::Fitted;
use crate::store::{RunRecord, Sample};
use crate::verdict::ArmComparison;
use data::PageData;
use maud::{Markup, html};

/// One experiment of the page.
pub(super) struct ExperimentSection<'a> {
    pub(super) recorded: &'a RunRecord,
    /// Its arms, in the styles that they have on this page.
    pub(super) arms: Vec<Series<'a>>,
    pub(super) comparisons: Vec<&'a ArmComparison>,
    pub(super) samples: Vec<&'a Sample>,
    pub(super) figures: Vec<DrawnFigure>,
}

/// A chapter of an experiment's section, with the figures of one topic.
struct Chapter {
    anchor: &'static str,
    heading: &'static str,
    introduction: &'static str,
    topic: Topic,
}

const EVIDENCE: [Chapter; 9] = [
    Chapter {
        anchor: "effects",
        heading: "Differences from the control",
        introduction: "The metrics that the verdicts rest on. A 95 % interval that does not touch the line at zero is a \
                       difference; one that lies wholly on the shaded side is large enough to matter in practice.",
        topic: Topic::Effects,
    },
    Chapter {
        anchor: "causes",
        heading: "Where the loss comes from",
        introduction: "The differences in types, split into three components. Finite sampling is what even models that \
                       know the frequency of every type would lose: no better model avoids it. Decoding is what \
                       temperature and truncation add in such a loop. Misfit is the rest: what the models \
                       themselves lose or, where the bar points the other way, noise that they add.",
        topic: Topic::Causes,
    },
    Chapter {
        anchor: "tail-left",
        heading: "What is left of the tail",
        introduction: "Medium and rare facts that the models still know, and rare words and tokens that they still write, as a \
                       share of those in a natural text of the same size.",
        topic: Topic::TailLeft,
    },
    Chapter {
        anchor: "trajectories",
        heading: "Trajectories",
        introduction: "Every metric over generations. The control is trained on natural text in every generation: \
                       whatever changes in it is an effect of the pipeline.",
        topic: Topic::Trajectories,
    },
    Chapter {
        anchor: "rank-frequency",
        heading: "Rank and frequency",
        introduction: "How often the first, the tenth, the thousandth most frequent word occurs.",
        topic: Topic::RankFrequency,
    },
    Chapter {
        anchor: "survival",
        heading: "Survival of the tail",
        introduction: "For each natural frequency, the share of its token types that the models still write.",
        topic: Topic::Survival,
    },
    Chapter {
        anchor: "rarity",
        heading: "Loss by rarity",
        introduction: "Held-out loss on the tokens that make up the first 90 % of natural text (head), the next 9 % \
                       (torso) and the last 1 % (tail).",
        topic: Topic::Rarity,
    },
    Chapter {
        anchor: "facts",
        heading: "Recall of facts",
        introduction: "The built-in world states facts of long-tailed popularity; each model is asked to recall them.",
        topic: Topic::Facts,
    },
    Chapter {
        anchor: "training",
        heading: "Training",
        introduction: "The loss on the training text, generation by generation.",
        topic: Topic::Training,
    },
];

/// The whole page.
pub(super) fn html(sections: &[ExperimentSection]) -> String {
    let names: Vec<&str> = sections.iter().map(|section| section.recorded.experiment.name.as_str()).collect();
    let data = PageData::new(sections);
    let body = html! {
        @if sections.is_empty() { p { "There is no experiment on record." } }
        @if sections.len() > 1 { (sweep::overview(sections, &data)) }
        @for (index, section) in sections.iter().enumerate() { (experiment(index, section, &data)) }
    };
    page(&names.join(", "), &body, &script::elements(&data), version(sections))
}

/// The page of laws fitted to `runs`.
pub(super) fn fit(fitted: &Fitted, runs: &[&str], figures: &[DrawnFigure]) -> String {
    page("Loss laws", &laws::article(fitted, runs, figures), &html! {}, env!("CARGO_PKG_VERSION"))
}

/// A page with `body`, and with `scripts` at its end.
fn page(title: &str, body: &Markup, scripts: &Markup, version: &str) -> String {
    let whole = html! {
        main { (body) }
        footer { "Written by genloss " (version) ". This page needs no other file." }
        (scripts)
    };
    document(title, style::CSS, &whole)
}

fn version<'a>(sections: &'a [ExperimentSection]) -> &'a str {
    sections.first().map_or(env!("CARGO_PKG_VERSION"), |section| &section.recorded.provenance.version)
}

fn experiment(index: usize, section: &ExperimentSection, data: &PageData) -> Markup {
    let id = |anchor: &str| format!("e{}-{anchor}", index + 1);
    let chapters: Vec<&Chapter> =
        EVIDENCE.iter().filter(|chapter| data.has_figures(index, chapter.topic)).collect();
    html! {
        article {
            header {
                p.kicker { "Model collapse, measured" }
                h1 { (section.recorded.experiment.name) }
                (verdicts::summary(section))
                nav aria-label="Contents" {
                    a href={ "#" (id("verdicts")) } { "Verdicts" }
                    @for chapter in &chapters { a href={ "#" (id(chapter.anchor)) } { (chapter.heading) } }
                    a href={ "#" (id("texts")) } { "Texts" }
                    a href={ "#" (id("tokens")) } { "Token counts" }
                    a href={ "#" (id("settings")) } { "Settings" }
                }
            }
            section id=(id("verdicts")) { h2 { "Verdicts" } (verdicts::table(section)) (verdicts::meaning(section)) }
            @for chapter in &chapters {
                section id=(id(chapter.anchor)) {
                    h2 { (chapter.heading) }
                    p { (chapter.introduction) }
                    div.charts data-experiment=(index) data-topic=(chapter.anchor) {}
                    noscript {
                        @for figure in section.figures.iter().filter(|figure| figure.topic == chapter.topic) {
                            (inline(figure))
                        }
                    }
                    @if chapter.topic == Topic::Effects && section.recorded.baseline.is_none() {
                        p.sub {
                            "The baseline, the result of drift alone, is not on record. Run `genloss run` again to add it; this \
                             page then also shows where these differences come from."
                        }
                    }
                }
            }
            section id=(id("texts")) {
                h2 { "What they wrote" }
                div.samples data-experiment=(index) {}
                noscript { (texts::side_by_side(section)) }
            }
            section id=(id("tokens")) { h2 { "Exactly what was trained" } (records::all(section.recorded)) }
            section id=(id("settings")) { h2 { "Settings and provenance" } (records::settings(section.recorded)) }
        }
    }
}

/// A figure on a white card, with its caption and the names of its files.
fn inline(figure: &DrawnFigure) -> Markup {
    html! {
        figure {
            div.card tabindex="0" role="group" aria-label="Figure, scrolls sideways on narrow screens" {
                (figure.svg)
            }
            figcaption { (figure.caption) " " span.file { (figure.file) ".svg, .png" } }
        }
    }
}

/// A number with at most three decimals, fewer if it is large.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 || size == 0.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}").replace('-', "−")
}

/// A number formatted by [`number`], with a plus sign if it is positive.
fn signed(value: f64) -> String {
    let text = number(value);
    if value > 0.0 { format!("+{text}") } else { text }
}

/// A count with its digits in groups of three.
fn count(value: u64) -> String {
    crate::units::Tokens(value).to_string().replace('_', "\u{202f}")
}
