//! The built-in font: figures look the same on a machine without fonts.

use std::sync::OnceLock;
use tiny_skia::{Path, PathBuilder};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// Width of `text`, in the unit of the font size `em`.
pub(super) fn width_of(text: &str, em: f64) -> f64 {
    let face = face();
    text.chars().map(|c| advance(face, glyph(face, c))).sum::<f64>() * em
}

/// Height of lower-case letters, in the unit of `em`.
pub(super) fn x_height(em: f64) -> f64 {
    let face = face();
    f64::from(face.x_height().unwrap_or(0)) / units_per_em(face) * em
}

/// The outline of `text`; `left` is the left end of its baseline.
pub(super) fn outline(text: &str, (left, baseline): (f64, f64), em: f64) -> Option<Path> {
    let face = face();
    let mut pen = Pen { path: PathBuilder::new(), x: left, baseline, scale: em / units_per_em(face) };
    for c in text.chars() {
        let glyph = glyph(face, c);
        face.outline_glyph(glyph, &mut pen);
        pen.x += advance(face, glyph) * em;
    }
    pen.path.finish()
}

fn face() -> &'static Face<'static> {
    static FACE: OnceLock<Face> = OnceLock::new();
    FACE.get_or_init(|| {
        Face::parse(epaint_default_fonts::UBUNTU_LIGHT, 0).expect("the built-in font is a TrueType font")
    })
}

/// The glyph of a character, or an empty box if the font lacks it.
fn glyph(face: &Face, c: char) -> GlyphId {
    face.glyph_index(c).unwrap_or(GlyphId(0))
}

/// Width of a glyph with the space around it, in em.
fn advance(face: &Face, glyph: GlyphId) -> f64 {
    f64::from(face.glyph_hor_advance(glyph).unwrap_or(0)) / units_per_em(face)
}

fn units_per_em(face: &Face) -> f64 {
    f64::from(face.units_per_em())
}

/// Places glyphs on a drawing. Glyphs are in units of the font, and their y axis points up. The y axis of the drawing
/// points down.
struct Pen {
    path: PathBuilder,
    /// Left end of the next glyph.
    x: f64,
    baseline: f64,
    /// Units of the drawing per unit of the font.
    scale: f64,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = (f64::from(x), f64::from(y));
        ((self.x + self.scale * x) as f32, (self.baseline - self.scale * y) as f32)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
