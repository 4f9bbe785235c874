//! Panels of horizontal rows, one row per arm or blend, with its name at the left of the first panel of each line.

use crate::measure::Catalogue;
use crate::report::palette::{AXIS, GRID, TEXT};
use crate::report::panel::{Axis, EDGE, FIGURE_WIDTH, SMALL_EM, heading, range, width_of_tick, write_tick};
use crate::report::scene::{Anchor, Ink, Scene, shortened, width_of};
use crate::report::series::Series;

/// Height above the rows of a panel, for its heading.
const ABOVE: f64 = 42.0;
/// Height below the rows of a panel, for its ticks.
const BELOW: f64 = 46.0;
/// How far a tick's label may stand out of its panel, in points.
const OVERHANG: f64 = 8.0;

/// Least gap between two labels of an axis, in points.
const LABEL_GAP: f64 = 6.0;

/// The arrangement of panels in a figure, in points.
pub(super) struct RowPanels<'a> {
    /// The arms or blends, one per row.
    pub(super) series: Vec<Series<'a>>,
    /// Number of panels side by side.
    pub(super) columns: usize,
    pub(super) row_height: f64,
    /// Upper edge of the first panel.
    pub(super) top: f64,
}

/// The rectangle of a panel's rows.
pub(super) struct RowPanel {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    row_height: f64,
}

/// The horizontal axis of a panel.
pub(super) struct RowAxis<'a> {
    panel: &'a RowPanel,
    low: f64,
    high: f64,
}

impl RowPanels<'_> {
    /// Width that the names of the rows take.
    fn gutter(&self) -> f64 {
        let names = self.series.iter().map(|series| width_of(series.name, SMALL_EM));
        names.fold(40.0, f64::max).min(150.0) + 12.0
    }

    fn height(&self) -> f64 {
        ABOVE + self.row_height * self.series.len() as f64 + BELOW
    }

    /// Panel number `index`. Writes the names of the rows beside the first panel of a line.
    pub(super) fn panel(&self, scene: &mut Scene, index: usize) -> RowPanel {
        let (line, column) = (index / self.columns, index % self.columns);
        let gutter = self.gutter();
        let width = (FIGURE_WIDTH - 2.0 * EDGE - gutter) / self.columns as f64;
        let left = EDGE + gutter + column as f64 * width;
        let top = self.top + line as f64 * self.height() + ABOVE;
        let bottom = top + self.row_height * self.series.len() as f64;
        let row_height = self.row_height;
        let panel = RowPanel { left: left + 6.0, right: left + width - 12.0, top, bottom, row_height };
        if column == 0 {
            for (index, series) in self.series.iter().enumerate() {
                let name = shortened(series.name, SMALL_EM, gutter - 12.0);
                scene.text((panel.left - 10.0, panel.middle(index)), Anchor::Right, SMALL_EM, TEXT, name);
            }
        }
        panel
    }

    /// Lower edge of the last of `panels` panels.
    pub(super) fn bottom(&self, panels: usize) -> f64 {
        self.top + panels.div_ceil(self.columns) as f64 * self.height()
    }
}

impl RowPanel {
    /// Vertical middle of row number `index`.
    pub(super) fn middle(&self, index: usize) -> f64 {
        self.top + self.row_height * (index as f64 + 0.5)
    }

    /// Writes the panel's metric and its unit.
    pub(super) fn heading(&self, scene: &mut Scene, metric: &str) {
        let width = self.right - self.left;
        let catalogue = Catalogue::builtin();
        let unit = catalogue.get(metric).map_or("", |metric| &metric.unit);
        heading(scene, (self.left, self.top - 30.0), width, catalogue.label(metric), unit);
    }

    pub(super) fn axis(&self, low: f64, high: f64) -> RowAxis<'_> {
        // An axis over equal values would have no width.
        let (low, high) = range([low, high]);
        RowAxis { panel: self, low, high }
    }
}

impl RowAxis<'_> {
    /// The x of a value, in points.
    pub(super) fn at(&self, value: f64) -> f64 {
        let RowPanel { left, right, .. } = self.panel;
        left + (value - self.low) / (self.high - self.low) * (right - left)
    }

    /// Draws the ticks and the line at zero.
    pub(super) fn draw(&self, scene: &mut Scene) {
        let RowPanel { left, right, top, bottom, .. } = *self.panel;
        let mut end_of_last = f64::NEG_INFINITY;
        for (value, label) in Axis::between(self.low, self.high).ticks() {
            let x = self.at(*value);
            scene.line(vec![(x, top), (x, bottom)], GRID, 1.0);
            let half = width_of_tick(label) / 2.0;
            // Labels must not overlap those of the next panel.
            let middle = x.max(left - OVERHANG + half).min(right + OVERHANG - half);
            // A label that would touch the one before it is left out.
            if middle - half > end_of_last + LABEL_GAP {
                write_tick(scene, (middle, bottom + 13.0), Anchor::Middle, label);
                end_of_last = middle + half;
            }
        }
        scene.line(vec![(self.at(0.0), top), (self.at(0.0), bottom)], AXIS, 1.4);
        scene.line(vec![(left, bottom), (right, bottom)], AXIS, 1.0);
    }

    /// Draws an interval at height `y`. An end that lies beyond the panel is an arrow at its edge.
    pub(super) fn interval(&self, scene: &mut Scene, y: f64, ends: [f64; 2], ink: Ink) {
        let inside = |end: f64| self.at(end.clamp(self.low, self.high));
        let [low, high] = ends.map(inside);
        scene.line(vec![(low, y), (high, y)], ink, 2.0);
        for end in ends {
            let x = inside(end);
            let back = if end < self.low { 6.0 } else { -6.0 };
            if (self.low..=self.high).contains(&end) {
                scene.line(vec![(x, y - 4.0), (x, y + 4.0)], ink, 1.4);
            } else {
                scene.area(vec![(x, y), (x + back, y - 4.0), (x + back, y + 4.0)], ink);
            }
        }
    }
}

/// The range of an axis that shows zero, all `points`, and the `ends` of intervals. The ends extend the range of zero
/// and the points by at most `reach` times its width on either side, so that a wide interval does not dwarf everything
/// else.
pub(super) fn extent(
    points: impl Iterator<Item = f64>,
    ends: impl Iterator<Item = f64>,
    reach: f64,
) -> (f64, f64) {
    let widened = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    let (low, high) = points.fold((0.0, 0.0), widened);
    let most = reach * (high - low);
    let (from, to) = ends.fold((low, high), widened);
    let (low, high) = (from.max(low - most), to.min(high + most));
    let margin = 0.05 * (high - low);
    (low - margin, high + margin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::scene::Mark;

    fn panel() -> RowPanel {
        RowPanel { left: 0.0, right: 200.0, top: 0.0, bottom: 24.0, row_height: 24.0 }
    }

    #[test]
    fn an_interval_that_leaves_its_panel_ends_in_an_arrow_at_the_edge() {
        let mut scene = Scene::new(200.0, 24.0);
        let ink = Ink::rgb(0, 0, 0);
        panel().axis(0.0, 1.0).interval(&mut scene, 12.0, [0.5, 7.0], ink);
        let arrow = Mark::Area { points: vec![(200.0, 12.0), (194.0, 8.0), (194.0, 16.0)], ink };
        assert!(scene.marks.contains(&arrow), "{scene:?}");
        assert_eq!(scene.marks.iter().filter(|mark| matches!(mark, Mark::Area { .. })).count(), 1);
    }

    #[test]
    fn the_axis_of_a_panel_in_which_every_value_is_zero_has_readable_ticks() {
        let (low, high) = extent([0.0, 0.0].into_iter(), [0.0].into_iter(), 1.0);
        let panel = panel();
        let axis = panel.axis(low, high);
        let axis = Axis::between(axis.low, axis.high);
        let labels: Vec<&str> = axis.ticks().iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["−0.004", "−0.002", "0.000", "0.002", "0.004"]);
    }
}
