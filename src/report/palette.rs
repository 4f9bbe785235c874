//! Colours, markers and dashes: the same arm looks the same in every figure.
//!
//! Arms take the colours of Okabe and Ito (2008), which people with any colour vision can tell apart. Their yellow is
//! left out, because it is too pale on white. The control is black. A pair of colour and marker repeats only after
//! thirty arms, and from the seventh arm on lines are dashed. Generations run from dark blue to orange, a section of
//! matplotlib's *plasma*, whose lightness rises evenly.

use super::scene::{Ink, Point, Scene};
use crate::config::CONTROL;

pub(super) const TEXT: Ink = Ink::rgb(34, 38, 46);
pub(super) const MUTED: Ink = Ink::rgb(106, 112, 122);
pub(super) const GRID: Ink = Ink::rgb(232, 234, 238);
pub(super) const AXIS: Ink = Ink::rgb(150, 155, 164);
pub(super) const BLACK: Ink = Ink::rgb(0, 0, 0);
/// The region beyond a practical effect size.
pub(super) const DANGER: Ink = Ink::rgb(213, 94, 0);

/// Components of a difference: sampling, decoding, misfit. The colours run from pale to dark, and no arm has one of
/// them.
pub(super) const COMPONENTS: [Ink; 3] =
    [Ink::rgb(178, 186, 198), Ink::rgb(147, 112, 190), Ink::rgb(64, 72, 92)];

const ARMS: [Ink; 6] = [
    Ink::rgb(213, 94, 0),
    Ink::rgb(0, 114, 178),
    Ink::rgb(0, 158, 115),
    Ink::rgb(204, 121, 167),
    Ink::rgb(230, 159, 0),
    Ink::rgb(86, 180, 233),
];

const GENERATIONS: [(f64, f64, f64); 6] = [
    (13.0, 8.0, 135.0),
    (84.0, 2.0, 163.0),
    (139.0, 10.0, 165.0),
    (185.0, 50.0, 137.0),
    (219.0, 92.0, 104.0),
    (244.0, 136.0, 73.0),
];

/// The marker at the points of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Disc,
    Square,
    Triangle,
    Diamond,
    Wedge,
}

const SHAPES: [Shape; 5] = [Shape::Square, Shape::Triangle, Shape::Diamond, Shape::Wedge, Shape::Disc];

/// Colour, marker and dashes of an arm or a blend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SeriesStyle {
    pub(super) ink: Ink,
    shape: Shape,
    /// Lengths of dash and gap, in points.
    dash: Option<Point>,
}

impl SeriesStyle {
    /// The style of the arm `name`, number `index` among the arms that are not the control.
    pub(super) fn of(name: &str, index: usize) -> Self {
        if name == CONTROL {
            return Self { ink: BLACK, shape: Shape::Disc, dash: None };
        }
        let dash = match index / ARMS.len() % 3 {
            0 => None,
            1 => Some((7.0, 4.0)),
            _ => Some((2.5, 2.5)),
        };
        Self { ink: ARMS[index % ARMS.len()], shape: SHAPES[index % SHAPES.len()], dash }
    }

    /// The dashes as a number: 0 for a whole line, 1 for long dashes, 2 for short ones.
    pub(super) fn dash_number(self) -> usize {
        match self.dash {
            None => 0,
            Some((length, _)) if length > 5.0 => 1,
            Some(_) => 2,
        }
    }

    /// The marker by plotly's name.
    pub(super) fn symbol(self) -> &'static str {
        match self.shape {
            Shape::Disc => "circle",
            Shape::Square => "square",
            Shape::Triangle => "triangle-up",
            Shape::Diamond => "diamond",
            Shape::Wedge => "triangle-down",
        }
    }

    /// Lengths of dash and gap, in points; `None` for a whole line.
    pub(super) fn dash(self) -> Option<Point> {
        self.dash
    }

    /// The corners of the marker around its middle, in radii; none of a disc.
    pub(super) fn corners(self) -> &'static [Point] {
        self.shape.corners()
    }

    pub(super) fn line(self, scene: &mut Scene, points: Vec<Point>, width: f64) {
        match self.dash {
            Some(pattern) => scene.dashed(&points, pattern, self.ink, width),
            None => scene.line(points, self.ink, width),
        }
    }

    /// Draws the marker, with a radius of about `radius` points. A hollow marker is filled with white.
    pub(super) fn marker(self, scene: &mut Scene, at: Point, radius: f64, hollow: bool) {
        self.shape.draw(scene, at, radius, self.ink);
        if hollow {
            self.shape.draw(scene, at, 0.6 * radius, Ink::rgb(255, 255, 255));
        }
    }
}

impl Shape {
    fn corners(self) -> &'static [Point] {
        match self {
            Self::Disc => &[],
            Self::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Self::Triangle => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            Self::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            Self::Wedge => &[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
        }
    }

    fn draw(self, scene: &mut Scene, (x, y): Point, r: f64, ink: Ink) {
        if self == Self::Disc {
            return scene.disc((x, y), r, ink);
        }
        scene.area(self.corners().iter().map(|(dx, dy)| (x + r * dx, y + r * dy)).collect(), ink);
    }
}

/// The colour of generation `generation` out of 0..=`last`.
pub(super) fn generation(generation: usize, last: usize) -> Ink {
    let steps = (GENERATIONS.len() - 1) as f64;
    let place = if last == 0 { 0.0 } else { steps * generation as f64 / last as f64 };
    let low = (place.floor() as usize).min(GENERATIONS.len() - 2);
    let (from, to, share) = (GENERATIONS[low], GENERATIONS[low + 1], place - low as f64);
    let mix = |a: f64, b: f64| (a + share * (b - a)).round() as u8;
    Ink::rgb(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_arms_all_look_different() {
        for one in 0..30 {
            for other in 0..one {
                assert_ne!(SeriesStyle::of("a", one), SeriesStyle::of("b", other));
            }
        }
    }

    #[test]
    fn generations_run_from_dark_blue_to_orange() {
        assert_eq!(generation(0, 6), Ink::rgb(13, 8, 135));
        assert_eq!(generation(6, 6), Ink::rgb(244, 136, 73));
    }
}
