//! Axes with round ticks, panels with two axes, and the grid that they are arranged in.

use super::palette::{AXIS, GRID, MUTED, TEXT};
use super::scene::{Anchor, Point, Scene, first_line, shortened, width_of};

/// Font sizes of a figure's title, a panel's title, and everything else, in points.
pub(super) const TITLE_EM: f64 = 17.0;
pub(super) const PANEL_EM: f64 = 13.5;
pub(super) const SMALL_EM: f64 = 11.5;

/// The range of an axis and its ticks with their labels. The range of a logarithmic axis is in powers of ten.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// A linear axis over `values`, with round ticks and a margin.
    pub(super) fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = range(values);
        let margin = 0.06 * (high - low);
        Self::between(low - margin, high + margin)
    }

    /// A linear axis from `low` to `high`.
    pub(super) fn between(low: f64, high: f64) -> Self {
        let step = round_step((high - low) / 5.0);
        let first = (low / step).ceil() as i64;
        let last = (high / step).floor() as i64;
        let ticks = (first..=last).map(|i| (i as f64 * step, tick(i as f64 * step, step))).collect();
        Self { low, high, logarithmic: false, ticks }
    }

    /// An axis of the generations 0..=`last`.
    pub(super) fn generations(last: usize) -> Self {
        let step = [1, 2, 5, 10, 20, 50].into_iter().find(|step| last / step <= 8).unwrap_or(100);
        let ticks = (0..=last).step_by(step).map(|g| (g as f64, g.to_string())).collect();
        let margin = 0.03 * last.max(1) as f64;
        Self { low: -margin, high: last.max(1) as f64 + margin, logarithmic: false, ticks }
    }

    /// A logarithmic axis over positive `values`, with a tick at every power of ten, or only at every
    /// second, third, … if there are many.
    pub(super) fn logarithmic(values: impl IntoIterator<Item = f64>) -> Self {
        let logs = values.into_iter().filter(|value| *value > 0.0).map(f64::log10);
        let (low, high) = range(logs);
        let margin = 0.03 * (high - low);
        let (low, high) = (low - margin, high + margin);
        let (first, last) = (low.ceil() as i32, high.floor() as i32);
        let step = ((last - first) / 5 + 1) as usize;
        let ticks = (first..=last).step_by(step).map(|e| (10f64.powi(e), power_of_ten(e))).collect();
        Self { low, high, logarithmic: true, ticks }
    }

    /// A logarithmic axis over positive `values`, with a tick at each value except those too close to the previous
    /// tick.
    pub(super) fn marked(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let axis = Self::logarithmic(values.iter().copied());
        let mut ticks: Vec<(f64, String)> = Vec::new();
        for value in values {
            let is_near = |(before, _): &(f64, String)| axis.place(value) - axis.place(*before) < 0.12;
            if !ticks.last().is_some_and(is_near) {
                ticks.push((value, tick(to_three_digits(value), 1.0)));
            }
        }
        Self { ticks, ..axis }
    }

    /// Position of `value` between the ends, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }

    pub(super) fn ticks(&self) -> &[(f64, String)] {
        &self.ticks
    }

    pub(super) fn contains(&self, value: f64) -> bool {
        (0.0..=1.0).contains(&self.place(value))
    }

    pub(super) fn ends(&self) -> (f64, f64) {
        if self.logarithmic { (10f64.powf(self.low), 10f64.powf(self.high)) } else { (self.low, self.high) }
    }
}

/// The least and the greatest of the finite values. If all are equal, a range around that value; if there are none, 0
/// and 1.
pub(super) fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        (0.0, 1.0)
    } else if high - low <= 1e-9 * high.abs().max(1e-3) {
        let half = 0.05 * high.abs().max(0.1);
        (low - half, high + half)
    } else {
        (low, high)
    }
}

/// The smallest number of the form 1, 2 or 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least * 0.999).unwrap_or(10.0);
    factor * power
}

/// Rounds 100 352 to 100 000, for example, because labels of narrow panels must be short.
fn to_three_digits(value: f64) -> f64 {
    let unit = 10f64.powf(value.abs().max(1.0).log10().floor() - 2.0).max(1.0);
    (value / unit).round() * unit
}

/// The label of a tick on an axis whose ticks are `step` apart: as many digits as tell neighbouring ticks apart.
fn tick(value: f64, step: f64) -> String {
    // The power of ten of a number; powers themselves may come out a little too small.
    let exponent_of = |size: f64| (size.log10() + 1e-9).floor();
    let decimals = |scale: f64| (-exponent_of(step / scale)).clamp(0.0, 9.0) as usize;
    let label = if value.abs() >= 1e12 || value != 0.0 && step < 1e-6 {
        let exponent = exponent_of(value.abs());
        let power = 10f64.powf(exponent);
        format!("{:.*}×10^{exponent}", decimals(power).min(3), value / power)
    } else if value.abs() >= 1e4 {
        with_suffix(value, decimals)
    } else if value == 0.0 {
        format!("{:.*}", if step < 1e-6 { 0 } else { decimals(1.0) }, 0.0)
    } else {
        format!("{value:.*}", decimals(1.0))
    };
    label.replace('-', "−")
}

/// 20 000 as `20k`, 1 500 000 as `1.5M`. `decimals` is the number of decimals that a unit needs.
fn with_suffix(value: f64, decimals: impl Fn(f64) -> usize) -> String {
    let (unit, suffix) = match value.abs() {
        size if size >= 1e9 => (1e9, "G"),
        size if size >= 1e6 => (1e6, "M"),
        _ => (1e3, "k"),
    };
    let parts = 10f64.powi(decimals(unit).min(2) as i32);
    format!("{}{suffix}", (value / unit * parts).round() / parts)
}

/// The label of a power of ten. In `10^−5`, `^` marks the raised part, because the built-in font has no raised minus.
fn power_of_ten(exponent: i32) -> String {
    match exponent {
        0..=3 => 10i32.pow(exponent as u32).to_string(),
        -2..=-1 => format!("{:.*}", -exponent as usize, 10f64.powi(exponent)),
        _ => format!("10^{exponent}").replace('-', "−"),
    }
}

/// The width of a tick's label, in points.
pub(super) fn width_of_tick(label: &str) -> f64 {
    let (base, raised) = label.split_once('^').unwrap_or((label, ""));
    width_of(base, SMALL_EM) + width_of(raised, 0.75 * SMALL_EM)
}

/// Writes a tick's label; what follows `^` is raised.
pub(super) fn write_tick(scene: &mut Scene, (x, y): Point, anchor: Anchor, label: &str) {
    let Some((base, raised)) = label.split_once('^') else {
        return scene.text((x, y), anchor, SMALL_EM, MUTED, label);
    };
    let small = 0.75 * SMALL_EM;
    let (base_width, raised_width) = (width_of(base, SMALL_EM), width_of(raised, small));
    let joint = match anchor {
        Anchor::Left => x + base_width,
        Anchor::Middle => x + (base_width - raised_width) / 2.0,
        Anchor::Right => x - raised_width,
    };
    scene.text((joint, y), Anchor::Right, SMALL_EM, MUTED, base);
    scene.text((joint + 0.5, y - 0.4 * SMALL_EM), Anchor::Left, small, MUTED, raised);
}

/// A plot with its two axes.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    /// Upper left corner of the plot, without its labels.
    from: Point,
    /// Lower right corner.
    to: Point,
    x: Axis,
    y: Axis,
}

/// Margins of a plot, for its titles and tick labels.
const ABOVE: f64 = 42.0;
const BELOW: f64 = 38.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 12.0;

/// The texts around a plot.
pub(super) struct PanelLabels<'a> {
    pub(super) title: &'a str,
    /// A second, paler line: the unit, or the direction of narrowing.
    pub(super) note: &'a str,
    pub(super) x: &'a str,
}

impl Panel {
    /// A panel inside `area`, with its axes drawn.
    pub(super) fn draw(scene: &mut Scene, area: PanelArea, labels: &PanelLabels, x: Axis, y: Axis) -> Self {
        let from = (area.from.0 + LEFT, area.from.1 + ABOVE);
        let to = (area.from.0 + area.width - RIGHT, area.from.1 + area.height - BELOW);
        let panel = Self { from, to, x, y };
        let width = area.width - 8.0;
        let left = area.from.0 + 6.0;
        heading(scene, (left, area.from.1 + 10.0), width, labels.title, labels.note);
        panel.axes(scene);
        let below = ((from.0 + to.0) / 2.0, to.1 + 29.0);
        let x_name = shortened(labels.x, SMALL_EM, to.0 - from.0 + RIGHT);
        scene.text(below, Anchor::Middle, SMALL_EM, MUTED, x_name);
        panel
    }

    fn axes(&self, scene: &mut Scene) {
        for (value, label) in &self.y.ticks {
            let y = self.at(self.x.ends().0, *value).1;
            scene.line(vec![(self.from.0, y), (self.to.0, y)], GRID, 1.0);
            write_tick(scene, (self.from.0 - 6.0, y), Anchor::Right, label);
        }
        for (value, label) in &self.x.ticks {
            let x = self.at(*value, self.y.ends().0).0;
            scene.line(vec![(x, self.to.1), (x, self.to.1 + 4.0)], AXIS, 1.0);
            write_tick(scene, (x, self.to.1 + 12.0), Anchor::Middle, label);
        }
        scene.line(vec![(self.from.0, self.to.1), (self.to.0, self.to.1)], AXIS, 1.0);
    }

    /// The point of the scene at which (x, y) lies.
    pub(super) fn at(&self, x: f64, y: f64) -> Point {
        let (across, up) = (self.x.place(x), self.y.place(y));
        (self.from.0 + across * (self.to.0 - self.from.0), self.to.1 - up * (self.to.1 - self.from.1))
    }

    /// The points of the scene for those data points that lie within both axes.
    pub(super) fn curve(&self, points: impl IntoIterator<Item = (f64, f64)>) -> Vec<Point> {
        let inside = points.into_iter().filter(|(x, y)| self.x.contains(*x) && self.y.contains(*y));
        inside.map(|(x, y)| self.at(x, y)).collect()
    }

    /// The horizontal line at `y`.
    pub(super) fn level(&self, y: f64) -> Vec<Point> {
        let y = self.at(self.x.ends().0, y).1;
        vec![(self.from.0, y), (self.to.0, y)]
    }
}

/// The rectangle that a panel takes, labels included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PanelArea {
    pub(super) from: Point,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Width of every figure, in points.
pub(super) const FIGURE_WIDTH: f64 = 1060.0;
/// Blank margin of every figure, in points.
pub(super) const EDGE: f64 = 16.0;

/// Areas of equal size, row by row.
pub(super) struct PanelGrid {
    pub(super) top: f64,
    pub(super) columns: usize,
    pub(super) area_height: f64,
}

impl PanelGrid {
    /// Three columns; four where that leaves fewer gaps, or where there are many panels.
    pub(super) fn new(top: f64, panels: usize, area_height: f64) -> Self {
        let gaps = |columns: usize| panels.div_ceil(columns) * columns - panels;
        let columns = if panels > 9 || panels > 3 && gaps(4) < gaps(3) { 4 } else { 3 };
        Self { top, columns, area_height }
    }

    /// Area number `index`.
    pub(super) fn area(&self, index: usize) -> PanelArea {
        let gap = 14.0;
        let width = (FIGURE_WIDTH - 2.0 * EDGE + gap) / self.columns as f64 - gap;
        let (row, column) = (index / self.columns, index % self.columns);
        let from = (EDGE + column as f64 * (width + gap), self.top + row as f64 * self.area_height);
        PanelArea { from, width, height: self.area_height - 10.0 }
    }

    /// Lower edge of a grid of `panels` panels.
    pub(super) fn bottom(&self, panels: usize) -> f64 {
        self.top + panels.div_ceil(self.columns) as f64 * self.area_height
    }
}

/// Writes the title of a panel with its left end at `at`, and a paler note below. Words for which the title has no room
/// come before the note.
pub(super) fn heading(scene: &mut Scene, at: Point, width: f64, title: &str, note: &str) {
    let (line, rest) = first_line(title, PANEL_EM, width);
    let line = shortened(line.trim_end_matches(','), PANEL_EM, width);
    scene.text(at, Anchor::Left, PANEL_EM, TEXT, line);
    let below: Vec<&str> = [rest, note].into_iter().filter(|text| !text.is_empty()).collect();
    let below = shortened(&below.join(", "), SMALL_EM, width);
    scene.text((at.0, at.1 + 16.5), Anchor::Left, SMALL_EM, MUTED, below);
}

/// Writes the title of a figure; returns the height at which it ends.
pub(super) fn title(scene: &mut Scene, text: &str) -> f64 {
    let text = shortened(text, TITLE_EM, FIGURE_WIDTH - 2.0 * EDGE);
    scene.text((EDGE + 6.0, EDGE + 10.0), Anchor::Left, TITLE_EM, TEXT, text);
    EDGE + 30.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for (low, high) in [(0.0, 1.0), (2.13, 2.19), (-0.4, 0.1), (1e5, 3e6), (1e-7, 2e-7)] {
            let axis = Axis::between(low, high);
            assert!((2..=6).contains(&axis.ticks.len()), "{low} {high}: {:?}", axis.ticks);
        }
        let labels: Vec<String> =
            Axis::between(-0.4, 0.1).ticks.into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["−0.4", "−0.3", "−0.2", "−0.1", "0.0", "0.1"]);
    }

    #[test]
    fn huge_and_tiny_values_have_short_labels_that_differ() {
        let labels = |low, high| -> Vec<String> {
            Axis::between(low, high).ticks.into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(0.0, 4e30), ["0", "1×10^30", "2×10^30", "3×10^30", "4×10^30"]);
        assert_eq!(labels(-1e-11, 1e-11), ["−1.0×10^−11", "−5×10^−12", "0", "5×10^−12", "1.0×10^−11"]);
        assert_eq!(labels(10_000.0, 10_400.0), ["10k", "10.1k", "10.2k", "10.3k", "10.4k"]);
    }

    #[test]
    fn an_axis_over_nothing_or_one_value_still_has_two_ends() {
        for axis in
            [Axis::linear([]), Axis::linear([3.0, 3.0]), Axis::linear([f64::NAN]), Axis::logarithmic([0.0])]
        {
            let (low, high) = axis.ends();
            assert!(low < high, "{axis:?}");
        }
    }

    #[test]
    fn marked_values_are_written_short() {
        let ticks = Axis::marked([25_088.0, 50_176.0, 100_352.0, 801_792.0, 8_404.0]).ticks;
        let labels: Vec<&str> = ticks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["8400", "25.1k", "50.2k", "100k", "802k"]);
    }

    #[test]
    fn powers_of_ten_are_written_as_people_write_them() {
        assert_eq!([-5, -1, 0, 3, 6].map(power_of_ten), ["10^−5", "0.1", "1", "1000", "10^6"]);
    }
}
