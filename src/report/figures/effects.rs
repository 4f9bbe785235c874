//! The headline differences from the control with their intervals: a panel per metric, a row per arm.

use super::Figure;
use super::legend::{self, Extra};
use crate::measure::metric;
use crate::report::palette::{AXIS, DANGER, GRID, MUTED, TEXT};
use crate::report::panel::{Axis, EDGE, FIGURE_WIDTH, PANEL_EM, SMALL_EM, title};
use crate::report::scene::{Anchor, Scene, shortened, width_of};
use crate::report::series::{ArmView, arms};
use crate::store::Recorded;
use crate::verdict::{ArmComparison, Effect, headline};

const ROW: f64 = 24.0;
const COLUMNS: usize = 4;

/// Where the rows of a panel lie.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// Headline differences at the last generation of each arm.
pub(super) fn forest(recorded: &Recorded, comparisons: &[&ArmComparison]) -> Option<Figure> {
    let rows: Vec<(ArmView, &ArmComparison)> = arms(recorded)
        .into_iter()
        .filter_map(|arm| {
            Some((arm, *comparisons.iter().find(|c| c.arm == arm.name && !c.effects.is_empty())?))
        })
        .collect();
    let shown = |id: &&str| rows.iter().any(|(_, comparison)| at_last(comparison, id).is_some());
    let metrics: Vec<&str> = headline().iter().map(|headline| headline.metric).filter(shown).collect();
    if metrics.is_empty() {
        return None;
    }
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let heading = "How far from the control, at the last generation?";
    let top = title(&mut scene, heading);
    let extras = [
        Extra::Danger("beyond the practical size"),
        Extra::Note("bars: 95 % intervals; filled markers: significant narrowing"),
    ];
    let top = legend::arms(&mut scene, top, &[], &extras) + 6.0;
    let gutter =
        rows.iter().map(|(arm, _)| width_of(arm.name, SMALL_EM)).fold(40.0, f64::max).min(150.0) + 12.0;
    let height = 42.0 + ROW * rows.len() as f64 + 46.0;
    let width = (FIGURE_WIDTH - 2.0 * EDGE - gutter) / COLUMNS as f64;
    for (index, id) in metrics.iter().enumerate() {
        let (row, column) = (index / COLUMNS, index % COLUMNS);
        let left = EDGE + gutter + column as f64 * width;
        let from = top + row as f64 * height + 42.0;
        let frame = Frame {
            left: left + 6.0,
            right: left + width - 12.0,
            top: from,
            bottom: from + ROW * rows.len() as f64,
        };
        if column == 0 {
            names(&mut scene, &frame, &rows, gutter);
        }
        panel(&mut scene, &frame, id, &rows);
    }
    scene.height = top + metrics.len().div_ceil(COLUMNS) as f64 * height + EDGE - 8.0;
    let caption = "Differences from the control of the same seeds, at the last generation that both reached."
        .to_owned();
    let alt =
        format!("{heading} Intervals per arm and headline metric; the verdict table says the same in words.");
    Some(Figure { name: "effects", caption, alt, scene })
}

/// The effect of a metric at the last generation compared.
fn at_last<'a>(comparison: &'a ArmComparison, id: &str) -> Option<&'a Effect> {
    comparison.effects.iter().filter(|effect| effect.metric == id).max_by_key(|effect| effect.generation)
}

fn names(scene: &mut Scene, frame: &Frame, rows: &[(ArmView, &ArmComparison)], gutter: f64) {
    for (index, (arm, _)) in rows.iter().enumerate() {
        let y = frame.top + ROW * (index as f64 + 0.5);
        let name = shortened(arm.name, SMALL_EM, gutter - 12.0);
        scene.words((frame.left - 10.0, y), Anchor::Right, SMALL_EM, TEXT, name);
    }
}

fn panel(scene: &mut Scene, frame: &Frame, id: &str, rows: &[(ArmView, &ArmComparison)]) {
    let effects: Vec<(&ArmView, &Effect)> =
        rows.iter().filter_map(|(arm, comparison)| Some((arm, at_last(comparison, id)?))).collect();
    let practical = effects.iter().find_map(|(_, effect)| effect.practical_size).unwrap_or(0.0);
    let (low, high) = extent(&effects, practical);
    let across = |value: f64| frame.left + (value - low) / (high - low) * (frame.right - frame.left);
    let known = metric(id);
    let label = shortened(known.map_or(id, |metric| metric.label), PANEL_EM, frame.right - frame.left);
    scene.words((frame.left, frame.top - 30.0), Anchor::Left, PANEL_EM, TEXT, label);
    let unit = known.map_or("", |metric| metric.unit);
    scene.words((frame.left, frame.top - 14.0), Anchor::Left, SMALL_EM, MUTED, unit);
    let edge = if practical < 0.0 { frame.left } else { frame.right };
    scene.rectangle((across(practical), frame.top), (edge, frame.bottom), DANGER.faint(0.13));
    scene.line(
        vec![(across(practical), frame.top), (across(practical), frame.bottom)],
        DANGER.faint(0.7),
        1.0,
    );
    for (value, label) in Axis::between(low, high).ticks() {
        let x = across(*value);
        scene.line(vec![(x, frame.top), (x, frame.bottom)], GRID, 1.0);
        scene.words((x, frame.bottom + 13.0), Anchor::Middle, SMALL_EM, MUTED, label);
    }
    scene.line(vec![(across(0.0), frame.top), (across(0.0), frame.bottom)], AXIS, 1.4);
    scene.line(vec![(frame.left, frame.bottom), (frame.right, frame.bottom)], AXIS, 1.0);
    for (index, (arm, comparison)) in rows.iter().enumerate() {
        if let Some(effect) = at_last(comparison, id) {
            let y = frame.top + ROW * (index as f64 + 0.5);
            let ends = [effect.ci_low, effect.ci_high].map(|end| across(end.clamp(low, high)));
            scene.line(vec![(ends[0], y), (ends[1], y)], arm.look.ink, 2.0);
            for (end, at) in [effect.ci_low, effect.ci_high].into_iter().zip(ends) {
                // An interval that goes on beyond the panel has no end to draw.
                if (low..=high).contains(&end) {
                    scene.line(vec![(at, y - 4.0), (at, y + 4.0)], arm.look.ink, 1.4);
                }
            }
            arm.look.marker(scene, (across(effect.difference), y), 4.2, !effect.significant);
        }
    }
}

/// The range of a panel: every difference, zero, the practical size, and intervals unless they would dwarf the rest.
fn extent(effects: &[(&ArmView, &Effect)], practical: f64) -> (f64, f64) {
    let points =
        effects.iter().map(|(_, effect)| effect.difference).chain([0.0, 1.6 * practical, -0.4 * practical]);
    let (low, high) = points.fold((0f64, 0f64), |(low, high), value| (low.min(value), high.max(value)));
    let room = high - low;
    let ends = effects.iter().flat_map(|(_, effect)| [effect.ci_low, effect.ci_high]);
    let (from, to) = ends.fold((low, high), |(l, h), v| (l.min(v), h.max(v)));
    let (low, high) = (from.max(low - room), to.min(high + room));
    let air = 0.05 * (high - low).max(1e-9);
    (low - air, high + air)
}
