//! Curves that change from generation to generation: a panel per arm, a colour per generation.

use super::{Figure, legend};
use crate::measure::{RankPoint, SurvivalBin};
use crate::report::palette::{self, BLACK};
use crate::report::panel::{Axis, Cell, EDGE, FIGURE_WIDTH, Grid, Panel, Words, title};
use crate::report::scene::Scene;
use crate::report::series::{ArmView, arms, evenly, example, last_generation};

use crate::store::{GenerationRecord, LineageRecord, RunRecord};
use std::collections::BTreeSet;

/// More curves than this in a panel hide each other.
const MOST_CURVES: usize = 9;

/// Points (x, y) of a curve.
type Curve = Vec<(f64, f64)>;

/// What kind of curve a figure shows.
struct Spectrum {
    name: &'static str,
    heading: &'static str,
    /// What the y axis shows, under each panel's title.
    note: &'static str,
    x: &'static str,
    /// What the dashed curve is.
    natural: Option<&'static str>,
    caption: &'static str,
    curve: fn(&GenerationRecord) -> Curve,
    natural_curve: fn(&LineageRecord) -> Curve,
    x_axis: fn(&[(f64, f64)]) -> Axis,
    y_axis: fn(&[(f64, f64)]) -> Axis,
}

/// Relative frequency of words by rank.
pub(super) fn rank_frequency(recorded: &RunRecord) -> Option<Figure> {
    draw(
        recorded,
        &Spectrum {
            name: "rank_frequency",
            heading: "Rank and frequency of words: where does the vocabulary end?",
            note: "share of words",
            x: "rank of the word",
            natural: Some("natural text of the same size"),
            caption: "Both axes logarithmic. A curve that bends down early has lost its rare words.",
            curve: |record| ranks(&record.curves.rank_frequency_words),
            natural_curve: |lineage| {
                let mut records = lineage.generations.iter();
                let curves = records.find(|record| !record.curves.natural_rank_frequency_words.is_empty());
                curves.map_or_else(Vec::new, |record| ranks(&record.curves.natural_rank_frequency_words))
            },
            x_axis: |points| Axis::logarithmic(points.iter().map(|p| p.0)),
            y_axis: |points| Axis::logarithmic(points.iter().map(|p| p.1)),
        },
    )
}

fn ranks(curve: &[RankPoint]) -> Curve {
    let positive = curve.iter().filter(|point| point.rank > 0 && point.frequency > 0.0);
    positive.map(|point| (point.rank as f64, point.frequency)).collect()
}

/// Share of token types found, by their natural frequency.
pub(super) fn survival(recorded: &RunRecord) -> Option<Figure> {
    draw(
        recorded,
        &Spectrum {
            name: "survival",
            heading: "Survival: which token types still occur in the synthetic text?",
            note: "share of types found",
            x: "natural frequency (share of tokens)",
            natural: Some("expected in natural text of the same size"),
            caption: "Rare types lie on the left. What falls below the dashed line was lost by the models, \
                      not by the size of the sample.",
            curve: |record| survivors(&record.curves.survival, |bin| bin.found as f64),
            natural_curve: |lineage| {
                let mut records = lineage.generations.iter();
                let record = records.find(|record| !record.curves.survival.is_empty());
                record.map_or_else(Vec::new, |record| survivors(&record.curves.survival, |bin| bin.expected))
            },
            x_axis: |points| Axis::logarithmic(points.iter().map(|p| p.0)),
            y_axis: |_| Axis::between(-0.04, 1.06),
        },
    )
}

fn survivors(bins: &[SurvivalBin], of: fn(&SurvivalBin) -> f64) -> Curve {
    bins.iter()
        .filter(|bin| bin.types > 0 && bin.frequency_from > 0.0 && bin.frequency_to > 0.0)
        .map(|bin| ((bin.frequency_from * bin.frequency_to).sqrt(), of(bin) / bin.types as f64))
        .collect()
}

/// Loss during training.
pub(super) fn training(recorded: &RunRecord) -> Option<Figure> {
    draw(
        recorded,
        &Spectrum {
            name: "training_loss",
            heading: "Training loss: how did each generation learn?",
            note: "nats per token of its own training text",
            x: "tokens seen",
            natural: None,
            caption: "A low training loss on synthetic text is no sign of health: narrow text is easy to predict.",
            curve: |record| record.training.curve.iter().map(|p| (p.tokens.0 as f64, p.loss_nats)).collect(),
            natural_curve: |_| Vec::new(),
            x_axis: |points| Axis::linear(points.iter().map(|p| p.0).chain([0.0])),
            y_axis: |points| Axis::linear(points.iter().map(|p| p.1)),
        },
    )
}

fn draw(recorded: &RunRecord, spectrum: &Spectrum) -> Option<Figure> {
    let last = last_generation(recorded);
    let shown = evenly(last, MOST_CURVES);
    let arms: Vec<(ArmView, &LineageRecord)> =
        arms(recorded).into_iter().filter_map(|arm| Some((arm, example(recorded, arm.name)?))).collect();
    let points: Curve = arms
        .iter()
        .flat_map(|(_, lineage)| {
            let records = shown.iter().filter_map(|&generation| lineage.generations.get(generation));
            records.flat_map(spectrum.curve).chain((spectrum.natural_curve)(lineage))
        })
        .filter(|(x, y)| x.is_finite() && y.is_finite())
        .collect();
    if points.is_empty() {
        return None;
    }
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let top = title(&mut scene, spectrum.heading);
    let top = legend::generations(&mut scene, top, &shown, last, spectrum.natural);
    let grid = Grid::new(top + 6.0, arms.len(), 262.0);
    for (index, (arm, lineage)) in arms.iter().enumerate() {
        panel(&mut scene, grid.cell(index), spectrum, arm, lineage, &points, (&shown, last));
    }
    scene.height = grid.bottom(arms.len()) + EDGE - 8.0;
    let seeds: BTreeSet<u64> = arms.iter().map(|(_, lineage)| lineage.seed).collect();
    let which = match (recorded.experiment.seeds.len(), seeds.first()) {
        (0 | 1, _) | (_, None) => String::new(),
        (_, Some(seed)) if seeds.len() == 1 => format!(" Seed {seed}."),
        _ => " Of each arm the seed that got furthest.".to_owned(),
    };
    let names: Vec<&str> = arms.iter().map(|(arm, _)| arm.name).collect();
    let alt = format!("{} A panel per arm, a curve per generation: {}.", spectrum.heading, names.join("; "));
    Some(Figure { name: spectrum.name, caption: format!("{}{which}", spectrum.caption), alt, scene })
}

fn panel(
    scene: &mut Scene,
    cell: Cell,
    spectrum: &Spectrum,
    arm: &ArmView,
    lineage: &LineageRecord,
    all: &[(f64, f64)],
    (shown, last): (&[usize], usize),
) {
    let (x, y) = ((spectrum.x_axis)(all), (spectrum.y_axis)(all));
    let words = Words { title: arm.name, note: spectrum.note, x: spectrum.x };
    let panel = Panel::draw(scene, cell, &words, x, y);
    for &generation in shown {
        if let Some(record) = lineage.generations.get(generation) {
            let curve = panel.curve((spectrum.curve)(record));
            scene.line(curve, palette::generation(generation, last), 1.6);
        }
    }
    let natural = panel.curve((spectrum.natural_curve)(lineage));
    scene.dashed(&natural, (5.0, 3.0), BLACK, 1.4);
}
