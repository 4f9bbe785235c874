//! A figure before it is drawn: lines, areas and texts, in points from the upper left corner.
//!
//! Every figure is laid out once as a [`Scene`]; its SVG and its PNG show the same marks.

use super::font;

/// A colour and its opacity, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ink {
    pub(super) rgb: (u8, u8, u8),
    pub(super) opacity: f64,
}

impl Ink {
    pub(super) const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self { rgb: (red, green, blue), opacity: 1.0 }
    }

    pub(super) const fn faint(self, opacity: f64) -> Self {
        Self { opacity, ..self }
    }
}

/// The part of a text that lies on its point horizontally. Vertically, a text is always centred on its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
}

/// x and y, in points.
pub(super) type Point = (f64, f64);

/// One element of a drawing. `em` is the font size; widths, radii and sizes are in points.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    Line { points: Vec<Point>, ink: Ink, width: f64 },
    Area { points: Vec<Point>, ink: Ink },
    Disc { centre: Point, radius: f64, ink: Ink },
    Text { at: Point, anchor: Anchor, em: f64, ink: Ink, text: String },
}

/// A drawing: its size in points, and its marks from back to front.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scene {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) marks: Vec<Mark>,
}

impl Scene {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, marks: Vec::new() }
    }

    pub(super) fn line(&mut self, points: Vec<Point>, ink: Ink, width: f64) {
        if points.len() >= 2 {
            self.marks.push(Mark::Line { points, ink, width });
        }
    }

    /// A line of dashes `pattern.0` points long, with gaps of `pattern.1`.
    pub(super) fn dashed(&mut self, points: &[Point], pattern: Point, ink: Ink, width: f64) {
        for dash in dashes(points, pattern) {
            self.line(dash, ink, width);
        }
    }

    pub(super) fn area(&mut self, points: Vec<Point>, ink: Ink) {
        if points.len() >= 3 {
            self.marks.push(Mark::Area { points, ink });
        }
    }

    pub(super) fn rectangle(&mut self, from: Point, to: Point, ink: Ink) {
        self.area(vec![from, (to.0, from.1), to, (from.0, to.1)], ink);
    }

    pub(super) fn disc(&mut self, centre: Point, radius: f64, ink: Ink) {
        self.marks.push(Mark::Disc { centre, radius, ink });
    }

    pub(super) fn text(&mut self, at: Point, anchor: Anchor, em: f64, ink: Ink, text: impl Into<String>) {
        self.marks.push(Mark::Text { at, anchor, em, ink, text: text.into() });
    }
}

/// Width of `text` in points, plus 10 %, because a browser may use a wider font than the one measured.
pub(super) fn width_of(text: &str, em: f64) -> f64 {
    1.1 * font::width_of(text, em)
}

/// `text`, cut to `width` points with an ellipsis if it is longer.
pub(super) fn shortened(text: &str, em: f64, width: f64) -> String {
    if width_of(text, em) <= width {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().collect();
    while !kept.is_empty() {
        kept.pop();
        let candidate = kept.iter().collect::<String>() + "…";
        if width_of(&candidate, em) <= width {
            return candidate;
        }
    }
    String::new()
}

/// The words of `text` that fit into `width` points, and the rest of it. All of it if not even the first word fits.
pub(super) fn first_line(text: &str, em: f64, width: f64) -> (&str, &str) {
    if width_of(text, em) <= width {
        return (text, "");
    }
    let mut breaks = text.match_indices(' ').map(|(at, _)| (&text[..at], &text[at + 1..]));
    breaks.rfind(|(line, _)| width_of(line, em) <= width).unwrap_or((text, ""))
}

/// The dashes of a line that bends at `points`.
fn dashes(points: &[Point], (dash, gap): Point) -> Vec<Vec<Point>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<Point> = points.first().copied().into_iter().collect();
    let (mut drawing, mut left) = (true, dash);
    for pair in points.windows(2) {
        let ((mut x, mut y), (to_x, to_y)) = (pair[0], pair[1]);
        let mut length = (to_x - x).hypot(to_y - y);
        while length > left {
            let share = left / length;
            (x, y, length) = (x + share * (to_x - x), y + share * (to_y - y), length - left);
            if drawing {
                piece.push((x, y));
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![(x, y)];
            }
            drawing = !drawing;
            left = if drawing { dash } else { gap };
        }
        left -= length;
        if drawing {
            piece.push((to_x, to_y));
        }
    }
    if drawing {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line 25 points long, with dashes of 10 points and gaps of 5 points, has dashes at 0–10 and 15–25.
    #[test]
    fn dashes_continue_round_corners() {
        let pieces = dashes(&[(0.0, 0.0), (20.0, 0.0), (20.0, 5.0)], (10.0, 5.0));
        assert_eq!(pieces[0], [(0.0, 0.0), (10.0, 0.0)]);
        assert_eq!(pieces[1], [(15.0, 0.0), (20.0, 0.0), (20.0, 5.0)]);
    }

    #[test]
    fn a_long_text_is_split_between_words() {
        let width = width_of("rare tokens", 12.0) + 1.0;
        assert_eq!(first_line("rare tokens found", 12.0, width), ("rare tokens", "found"));
        assert_eq!(first_line("rare tokens", 12.0, width), ("rare tokens", ""));
        assert_eq!(
            first_line("incomprehensibilities found", 12.0, width),
            ("incomprehensibilities found", "")
        );
    }

    #[test]
    fn a_long_text_is_cut_to_the_width_it_has() {
        assert_eq!(shortened("arm", 12.0, 100.0), "arm");
        let short = shortened(&"a very long name of an arm ".repeat(9), 12.0, 100.0);
        assert!(short.ends_with('…') && width_of(&short, 12.0) <= 100.0);
    }
}
