//! Panels of horizontal rows, one per arm, with the names of the arms at the left of the first panel of each line.

use crate::measure::Catalogue;
use crate::report::palette::{AXIS, GRID, MUTED, TEXT};
use crate::report::panel::{Axis, EDGE, FIGURE_WIDTH, PANEL_EM, SMALL_EM};
use crate::report::scene::{Anchor, Ink, Scene, shortened, width_of};
use crate::report::series::ArmView;

/// Room above the rows of a panel, and below them.
const ABOVE: f64 = 42.0;
const BELOW: f64 = 46.0;
/// Half of a tick's label, about.
const END: f64 = 12.0;

/// How panels are arranged.
pub(super) struct Rows<'a> {
    pub(super) arms: Vec<ArmView<'a>>,
    pub(super) columns: usize,
    /// Height of a row.
    pub(super) row: f64,
    /// Where the first panel begins.
    pub(super) top: f64,
}

/// Where the rows of a panel lie.
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    row: f64,
}

/// The values along the rows of a panel.
pub(super) struct Scale<'a> {
    frame: &'a Frame,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Rows<'_> {
    fn gutter(&self) -> f64 {
        let names = self.arms.iter().map(|arm| width_of(arm.name, SMALL_EM));
        names.fold(40.0, f64::max).min(150.0) + 12.0
    }

    fn height(&self) -> f64 {
        ABOVE + self.row * self.arms.len() as f64 + BELOW
    }

    /// The frame of panel `index`; the names of the arms are written beside the first of a line.
    pub(super) fn frame(&self, scene: &mut Scene, index: usize) -> Frame {
        let (line, column) = (index / self.columns, index % self.columns);
        let gutter = self.gutter();
        let width = (FIGURE_WIDTH - 2.0 * EDGE - gutter) / self.columns as f64;
        let left = EDGE + gutter + column as f64 * width;
        let top = self.top + line as f64 * self.height() + ABOVE;
        let bottom = top + self.row * self.arms.len() as f64;
        let frame = Frame { left: left + 6.0, right: left + width - 12.0, top, bottom, row: self.row };
        if column == 0 {
            for (index, arm) in self.arms.iter().enumerate() {
                let name = shortened(arm.name, SMALL_EM, gutter - 12.0);
                let at = (frame.left - 10.0, frame.middle(index));
                scene.words(at, Anchor::Right, SMALL_EM, TEXT, name);
            }
        }
        frame
    }

    /// Where `panels` panels end.
    pub(super) fn bottom(&self, panels: usize) -> f64 {
        self.top + panels.div_ceil(self.columns) as f64 * self.height()
    }
}

impl Frame {
    /// The middle of row `index`.
    pub(super) fn middle(&self, index: usize) -> f64 {
        self.top + self.row * (index as f64 + 0.5)
    }

    /// Writes which metric the panel shows, and in which unit: "effective token types", "order 1, types".
    pub(super) fn heading(&self, scene: &mut Scene, id: &str) {
        let room = self.right - self.left;
        let (label, note) = in_two_lines(id);
        let label = shortened(&label, PANEL_EM, room);
        scene.words((self.left, self.top - 30.0), Anchor::Left, PANEL_EM, TEXT, label);
        let note = shortened(&note, SMALL_EM, room);
        scene.words((self.left, self.top - 14.0), Anchor::Left, SMALL_EM, MUTED, note);
    }

    pub(super) fn scale(&self, low: f64, high: f64) -> Scale<'_> {
        Scale { frame: self, low, high }
    }
}

/// The label of a metric, cut where it goes into detail, and the rest with the unit.
fn in_two_lines(id: &str) -> (String, String) {
    let catalogue = Catalogue::builtin();
    let Some(metric) = catalogue.get(id) else { return (id.to_owned(), String::new()) };
    let parts = metric.label.split_once(", ").or_else(|| metric.label.split_once(" ("));
    match parts {
        Some((label, rest)) => (label.to_owned(), format!("{}, {}", rest.trim_end_matches(')'), metric.unit)),
        None => (metric.label.to_string(), metric.unit.to_string()),
    }
}

impl Scale<'_> {
    /// Where a value lies across the figure.
    pub(super) fn at(&self, value: f64) -> f64 {
        let Frame { left, right, .. } = self.frame;
        left + (value - self.low) / (self.high - self.low) * (right - left)
    }

    /// Draws ticks, and the line at zero.
    pub(super) fn draw(&self, scene: &mut Scene) {
        let Frame { left, right, top, bottom, .. } = *self.frame;
        for (value, label) in Axis::between(self.low, self.high).ticks() {
            let x = self.at(*value);
            scene.line(vec![(x, top), (x, bottom)], GRID, 1.0);
            // Labels stay clear of those of the next panel.
            let anchor = match (x - left, right - x) {
                (..END, _) => Anchor::Left,
                (_, ..END) => Anchor::Right,
                _ => Anchor::Middle,
            };
            scene.words((x, bottom + 13.0), anchor, SMALL_EM, MUTED, label);
        }
        scene.line(vec![(self.at(0.0), top), (self.at(0.0), bottom)], AXIS, 1.4);
        scene.line(vec![(left, bottom), (right, bottom)], AXIS, 1.0);
    }

    /// Draws an interval at height `y`. One that goes on beyond the panel has no end to draw.
    pub(super) fn interval(&self, scene: &mut Scene, y: f64, [low, high]: [f64; 2], ink: Ink) {
        let inside = |end: f64| self.at(end.clamp(self.low, self.high));
        scene.line(vec![(inside(low), y), (inside(high), y)], ink, 2.0);
        for end in [low, high].into_iter().filter(|end| (self.low..=self.high).contains(end)) {
            scene.line(vec![(self.at(end), y - 4.0), (self.at(end), y + 4.0)], ink, 1.4);
        }
    }
}

/// The range of a panel: zero, every one of `points`, and the `ends` of intervals as far as they do not dwarf the rest:
/// at most `reach` times its range beyond it.
pub(super) fn extent(
    points: impl Iterator<Item = f64>,
    ends: impl Iterator<Item = f64>,
    reach: f64,
) -> (f64, f64) {
    let widened = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    let (low, high) = points.fold((0.0, 0.0), widened);
    let room = reach * (high - low);
    let (from, to) = ends.fold((low, high), widened);
    let (low, high) = (from.max(low - room), to.min(high + room));
    let air = 0.05 * (high - low).max(1e-9);
    (low - air, high + air)
}
