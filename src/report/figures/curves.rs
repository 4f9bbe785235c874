//! Curves that change from generation to generation: a panel per arm, a colour per generation.

use super::{Figure, legend};
use crate::measure::{RankPoint, SurvivalBin};
use crate::report::palette::{self, BLACK};
use crate::report::panel::{Axis, EDGE, FIGURE_WIDTH, Panel, PanelGrid, PanelLabels, title};
use crate::report::scene::Scene;
use crate::report::series::{Series, arms, evenly_spaced, last_generation, longest_lineage};
use crate::store::{GenerationRecord, LineageRecord, RunRecord};
use std::collections::BTreeSet;

/// Largest number of curves in a panel: more would hide each other.
const MOST_CURVES: usize = 9;

/// Points (x, y) of a curve.
type Curve = Vec<(f64, f64)>;

/// A figure of one kind of curve.
struct CurveFigure {
    /// File name.
    name: &'static str,
    heading: &'static str,
    /// Label of the y axis, printed under the title of each panel.
    note: &'static str,
    /// Label of the x axis.
    x: &'static str,
    /// Meaning of the dashed curve, if there is one.
    natural: Option<&'static str>,
    caption: &'static str,
    curve: fn(&GenerationRecord) -> Curve,
    natural_curve: fn(&LineageRecord) -> Curve,
    x_axis: fn(&[(f64, f64)]) -> Axis,
    y_axis: fn(&[(f64, f64)]) -> Axis,
}

/// Relative frequency of words by rank.
pub(super) fn rank_frequency_figure(recorded: &RunRecord) -> Option<Figure> {
    draw(
        recorded,
        &CurveFigure {
            name: "rank_frequency",
            heading: "Rank and frequency of words: where does the vocabulary end?",
            note: "share of words",
            x: "rank of the word",
            natural: Some("natural text of the same size"),
            caption: "Both axes logarithmic. A curve that bends down early has lost its rare words.",
            curve: ranks,
            natural_curve: natural_ranks,
            x_axis: |points| Axis::logarithmic(points.iter().map(|p| p.0)),
            y_axis: |points| Axis::logarithmic(points.iter().map(|p| p.1)),
        },
    )
}

/// Rank and relative frequency of words in the text of a generation.
pub(in crate::report) fn ranks(record: &GenerationRecord) -> Curve {
    rank_points(&record.curves.rank_frequency_words)
}

/// Rank and relative frequency of words in natural text of the same size.
pub(in crate::report) fn natural_ranks(lineage: &LineageRecord) -> Curve {
    let mut records = lineage.generations.iter();
    let record = records.find(|record| !record.curves.natural_rank_frequency_words.is_empty());
    record.map_or_else(Vec::new, |record| rank_points(&record.curves.natural_rank_frequency_words))
}

fn rank_points(curve: &[RankPoint]) -> Curve {
    let positive = curve.iter().filter(|point| point.rank > 0 && point.frequency > 0.0);
    positive.map(|point| (point.rank as f64, point.frequency)).collect()
}

/// Share of token types that are still written, by their natural frequency.
pub(super) fn survival_figure(recorded: &RunRecord) -> Option<Figure> {
    draw(
        recorded,
        &CurveFigure {
            name: "survival",
            heading: "Survival: which token types still occur in the synthetic text?",
            note: "share of types found",
            x: "natural frequency (share of tokens)",
            natural: Some("expected in natural text of the same size"),
            caption: "Rare types lie on the left. What falls below the dashed line was lost by the models, \
                      not by the size of the sample.",
            curve: survival,
            natural_curve: natural_survival,
            x_axis: |points| Axis::logarithmic(points.iter().map(|p| p.0)),
            y_axis: |_| Axis::between(-0.04, 1.06),
        },
    )
}

/// Natural frequency of token types, and the share of them that a generation writes.
pub(in crate::report) fn survival(record: &GenerationRecord) -> Curve {
    survivors(&record.curves.survival, |bin| bin.found as f64)
}

/// Natural frequency of token types, and the share of them expected in natural text of the same size.
pub(in crate::report) fn natural_survival(lineage: &LineageRecord) -> Curve {
    let mut records = lineage.generations.iter();
    let record = records.find(|record| !record.curves.survival.is_empty());
    record.map_or_else(Vec::new, |record| survivors(&record.curves.survival, |bin| bin.expected))
}

fn survivors(bins: &[SurvivalBin], of: fn(&SurvivalBin) -> f64) -> Curve {
    bins.iter()
        .filter(|bin| bin.types > 0 && bin.frequency_from > 0.0 && bin.frequency_to > 0.0)
        .map(|bin| ((bin.frequency_from * bin.frequency_to).sqrt(), of(bin) / bin.types as f64))
        .collect()
}

/// Loss on the training text by tokens seen.
pub(super) fn training_figure(recorded: &RunRecord) -> Option<Figure> {
    draw(
        recorded,
        &CurveFigure {
            name: "training_loss",
            heading: "Training loss: how did each generation learn?",
            note: "nats per token of its own training text",
            x: "tokens seen",
            natural: None,
            caption: "A low training loss on synthetic text is no sign of health: narrow text is easy to predict.",
            curve: training_loss,
            natural_curve: |_| Vec::new(),
            x_axis: |points| Axis::linear(points.iter().map(|p| p.0).chain([0.0])),
            y_axis: |points| Axis::linear(points.iter().map(|p| p.1)),
        },
    )
}

/// Tokens seen, and the loss on the training text in nats per token.
pub(in crate::report) fn training_loss(record: &GenerationRecord) -> Curve {
    record.training.curve.iter().map(|point| (point.tokens.0 as f64, point.loss_nats)).collect()
}

fn draw(recorded: &RunRecord, figure: &CurveFigure) -> Option<Figure> {
    let last = last_generation(recorded);
    let shown = evenly_spaced(last, MOST_CURVES);
    let lineages: Vec<(Series, &LineageRecord)> = arms(recorded)
        .into_iter()
        .filter_map(|arm| Some((arm, longest_lineage(recorded, arm.name)?)))
        .collect();
    let points: Curve = lineages
        .iter()
        .flat_map(|(_, lineage)| {
            let records = shown.iter().filter_map(|&generation| lineage.generations.get(generation));
            records.flat_map(figure.curve).chain((figure.natural_curve)(lineage))
        })
        .filter(|(x, y)| x.is_finite() && y.is_finite())
        .collect();
    let has_line = |record: &GenerationRecord| (figure.curve)(record).len() > 1;
    if points.is_empty() || !lineages.iter().any(|(_, lineage)| lineage.generations.iter().any(has_line)) {
        return None;
    }
    let axes = ((figure.x_axis)(&points), (figure.y_axis)(&points));
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let top = title(&mut scene, figure.heading);
    let top = legend::generations(&mut scene, top, &shown, last, figure.natural);
    let grid = PanelGrid::new(top + 6.0, lineages.len(), 262.0);
    for (index, (arm, lineage)) in lineages.iter().enumerate() {
        let labels = PanelLabels { title: arm.name, note: figure.note, x: figure.x };
        let panel = Panel::draw(&mut scene, grid.area(index), &labels, axes.0.clone(), axes.1.clone());
        draw_curves(&mut scene, &panel, figure, lineage, &shown, last);
    }
    scene.height = grid.bottom(lineages.len()) + EDGE - 8.0;
    let caption = format!("{}{}", figure.caption, seeds_shown(recorded, &lineages));
    let names: Vec<&str> = lineages.iter().map(|(arm, _)| arm.name).collect();
    let alt = format!("{} A panel per arm, a curve per generation: {}.", figure.heading, names.join("; "));
    Some(Figure { name: figure.name, caption, alt, scene })
}

/// A sentence on the seed that the panels show; empty if the experiment has only one seed.
fn seeds_shown(recorded: &RunRecord, lineages: &[(Series, &LineageRecord)]) -> String {
    let seeds: BTreeSet<u64> = lineages.iter().map(|(_, lineage)| lineage.seed).collect();
    match (recorded.experiment.seeds.len(), seeds.first()) {
        (0 | 1, _) | (_, None) => String::new(),
        (_, Some(seed)) if seeds.len() == 1 => format!(" Seed {seed}."),
        _ => " The seed that got furthest in each arm.".to_owned(),
    }
}

/// Draws the generations `shown` out of 0..=`last` of a lineage.
fn draw_curves(
    scene: &mut Scene,
    panel: &Panel,
    figure: &CurveFigure,
    lineage: &LineageRecord,
    shown: &[usize],
    last: usize,
) {
    for &generation in shown {
        if let Some(record) = lineage.generations.get(generation) {
            let curve = panel.curve((figure.curve)(record));
            scene.line(curve, palette::generation(generation, last), 1.6);
        }
    }
    let natural = panel.curve((figure.natural_curve)(lineage));
    scene.dashed(&natural, (5.0, 3.0), BLACK, 1.4);
}
