//! The remains of the tail: a panel per metric, a row per arm of a run, or per blend of many runs.

use super::Figure;
use super::laws::BlendStyles;
use super::legend::{self, LegendEntry};
use super::rows::{RowPanel, RowPanels, extent};
use crate::config::CONTROL;
use crate::fit::{Blend, Fitted, NATURAL, Point, TAIL};
use crate::report::palette::BLACK;
use crate::report::panel::{EDGE, FIGURE_WIDTH, title};
use crate::report::scene::Scene;
use crate::report::series::{Series, Spread, arms, last_generation, spreads};
use crate::store::RunRecord;

const HEADING: &str = "What is left of the tail?";

/// An arm or a blend, and the spread over seeds of each metric of [`TAIL`].
struct TailRow<'a> {
    series: Series<'a>,
    spreads: [Option<Spread>; TAIL.len()],
}

/// The arms of a run at its last generation.
pub(super) fn of_run(recorded: &RunRecord) -> Option<Figure> {
    let last = last_generation(recorded);
    let at_last = |arm: &str, metric| {
        spreads(recorded, arm, metric).into_iter().find(|spread| spread.generation == last)
    };
    let rows: Vec<TailRow> = arms(recorded)
        .into_iter()
        .map(|arm| TailRow { series: arm, spreads: TAIL.map(|metric| at_last(arm.name, metric)) })
        .collect();
    draw(
        &rows,
        "mean of the control, which trains on natural text alone",
        format!("Generation {last}. Means over seeds, and their range."),
    )
}

/// The blends, for the largest models and, among these, the ones that have seen the most tokens.
pub(super) fn of_blends(fitted: &Fitted) -> Option<Figure> {
    let largest = fitted.points.iter().map(|point| (point.size, point.tokens)).max()?;
    let points: Vec<&Point> =
        fitted.points.iter().filter(|point| (point.size, point.tokens) == largest).collect();
    let styles = BlendStyles::new(points.iter().map(|point| &point.blend));
    let spread = |blend: &Blend, metric: &str| {
        let models = points.iter().filter(|point| point.blend == *blend);
        let values: Vec<f64> = models.filter_map(|point| point.tail.get(metric).copied()).collect();
        Spread::of(0, &values)
    };
    let rows: Vec<TailRow> = styles
        .series()
        .into_iter()
        .zip(styles.blends())
        .map(|(series, blend)| TailRow { series, spreads: TAIL.map(|metric| spread(blend, metric)) })
        .collect();
    let (size, tokens) = largest;
    draw(
        &rows,
        "mean of natural text alone",
        format!("Models of {size} that have seen D = {tokens}. Means over seeds, and their range."),
    )
}

/// `dashed` is the meaning of the dashed line.
fn draw(rows: &[TailRow], dashed: &str, caption: String) -> Option<Figure> {
    let is_known = |&metric: &usize| rows.iter().any(|row| row.spreads[metric].is_some());
    let metrics: Vec<usize> = (0..TAIL.len()).filter(is_known).collect();
    if metrics.is_empty() {
        return None;
    }
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let top = title(&mut scene, HEADING);
    let entries = [LegendEntry::Dashed(dashed), LegendEntry::Note("bars: range over seeds")];
    let top = legend::draw(&mut scene, top, &[], &entries) + 6.0;
    let series = rows.iter().map(|row| row.series).collect();
    let panels = RowPanels { series, columns: metrics.len(), row_height: 24.0, top };
    for (index, &metric) in metrics.iter().enumerate() {
        let panel = panels.panel(&mut scene, index);
        panel.heading(&mut scene, TAIL[metric]);
        draw_panel(&mut scene, &panel, rows, metric);
    }
    scene.height = panels.bottom(metrics.len()) + EDGE - 8.0;
    let names: Vec<&str> = rows.iter().map(|row| row.series.name).collect();
    let alt = format!(
        "{HEADING} Medium and rare facts known, rare words and rare tokens written, a row for each of {}.",
        names.join("; ")
    );
    Some(Figure { name: "tail_left", caption, alt, scene })
}

/// Draws metric number `metric` of [`TAIL`].
fn draw_panel(scene: &mut Scene, panel: &RowPanel, rows: &[TailRow], metric: usize) {
    let known: Vec<Spread> = rows.iter().filter_map(|row| row.spreads[metric]).collect();
    let (low, high) = extent(known.iter().map(|s| s.mean), known.iter().flat_map(|s| [s.low, s.high]), 1.0);
    let axis = panel.axis(low, high);
    axis.draw(scene);
    let natural = rows.iter().find(|row| [CONTROL, NATURAL].contains(&row.series.name));
    if let Some(natural) = natural.and_then(|row| row.spreads[metric]) {
        let x = axis.at(natural.mean);
        scene.dashed(&[(x, panel.top), (x, panel.bottom)], (5.0, 3.0), BLACK, 1.2);
    }
    for (index, row) in rows.iter().enumerate() {
        if let Some(spread) = row.spreads[metric] {
            let y = panel.middle(index);
            axis.interval(scene, y, [spread.low, spread.high], row.series.style.ink);
            row.series.style.marker(scene, (axis.at(spread.mean), y), 4.2, false);
        }
    }
}
