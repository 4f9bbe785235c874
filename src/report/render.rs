//! A [`Scene`] as SVG text and as a PNG image.
//!
//! Both are drawn from the same marks and the same built-in font: an SVG names fonts that a browser may have, but widths
//! are always those of the built-in one, so that a figure has the same layout on a machine without fonts.

use super::ReportError;
use super::scene::{Anchor, Ink, Mark, Point, Scene};
use maud::{Markup, html};
use std::sync::OnceLock;
use tiny_skia::{Color, FillRule, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// Resolution of a PNG, in pixels per point.
const PIXELS_PER_POINT: f64 = 2.0;

/// Fonts of an SVG; a browser takes the first that it has.
const FONTS: &str = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

/// The namespace that makes a file an SVG document; inside HTML none is needed.
const NAMESPACE: &str = "http://www.w3.org/2000/svg";

/// Width of `text` in points, in the built-in font.
pub(super) fn width_of(text: &str, em: f64) -> f64 {
    let font = font();
    text.chars().map(|c| font.advance(font.glyph(c))).sum::<f64>() * em
}

/// The scene as an SVG document; `alt` describes it to readers who cannot see it.
pub(super) fn svg_file(scene: &Scene, alt: &str) -> String {
    svg(scene, alt, Some(NAMESPACE)).into_string()
}

/// The scene as an `<svg>` element of an HTML page.
pub(super) fn svg_element(scene: &Scene, alt: &str) -> Markup {
    svg(scene, alt, None)
}

fn svg(scene: &Scene, alt: &str, namespace: Option<&str>) -> Markup {
    let (width, height) = (decimal(scene.width), decimal(scene.height));
    html! {
        svg xmlns=[namespace] width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
            role="img" aria-label=(alt) font-family=(FONTS) stroke-linejoin="round" {
            rect width=(width) height=(height) fill="#fff" {}
            @for mark in &scene.marks { "\n" (svg_mark(mark)) }
            "\n"
        }
    }
}

fn svg_mark(mark: &Mark) -> Markup {
    match mark {
        Mark::Line { points, ink, width } => html! {
            polyline points=(svg_points(points)) fill="none" stroke=(hex(*ink)) stroke-opacity=[svg_opacity(*ink)]
                stroke-width=(decimal(*width)) {}
        },
        Mark::Area { points, ink } => html! {
            polygon points=(svg_points(points)) fill=(hex(*ink)) fill-opacity=[svg_opacity(*ink)] {}
        },
        Mark::Disc { centre: (x, y), radius, ink } => html! {
            circle cx=(decimal(*x)) cy=(decimal(*y)) r=(decimal(*radius)) fill=(hex(*ink))
                fill-opacity=[svg_opacity(*ink)] {}
        },
        Mark::Text { at: (x, y), anchor, em, ink, text } => {
            let anchor = match anchor {
                Anchor::Left => None,
                Anchor::Middle => Some("middle"),
                Anchor::Right => Some("end"),
            };
            html! {
                text x=(decimal(*x)) y=(decimal(*y)) dy="0.5ex" text-anchor=[anchor] font-size=(decimal(*em))
                    fill=(hex(*ink)) fill-opacity=[svg_opacity(*ink)] { (text) }
            }
        }
    }
}

fn svg_points(points: &[Point]) -> String {
    let pairs: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", decimal(*x), decimal(*y))).collect();
    pairs.join(" ")
}

fn svg_opacity(ink: Ink) -> Option<String> {
    (ink.opacity < 1.0).then(|| decimal(ink.opacity))
}

fn hex(ink: Ink) -> String {
    let (red, green, blue) = ink.rgb;
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A number with at most two decimals: a hundredth of a point cannot be seen.
fn decimal(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// The scene as a PNG file.
pub(super) fn png(scene: &Scene) -> Result<Vec<u8>, ReportError> {
    let pixels = |points: f64| (points * PIXELS_PER_POINT).ceil() as u32;
    let (width, height) = (pixels(scene.width), pixels(scene.height));
    let empty = || ReportError::Drawing(format!("a figure of {width} by {height} pixels cannot be drawn"));
    let mut pixmap = Pixmap::new(width, height).ok_or_else(empty)?;
    pixmap.fill(Color::WHITE);
    for mark in &scene.marks {
        draw(&mut pixmap, mark);
    }
    pixmap.encode_png().map_err(|error| ReportError::Drawing(error.to_string()))
}

fn draw(pixmap: &mut Pixmap, mark: &Mark) {
    match mark {
        Mark::Line { points, ink, width } => {
            let stroke = Stroke { width: *width as f32, line_join: LineJoin::Round, ..Stroke::default() };
            if let Some(path) = path(points, false) {
                pixmap.stroke_path(&path, &paint(*ink), &stroke, scaled(), None);
            }
        }
        Mark::Area { points, ink } => fill(pixmap, path(points, true), *ink),
        Mark::Disc { centre: (x, y), radius, ink } => {
            fill(pixmap, PathBuilder::from_circle(*x as f32, *y as f32, *radius as f32), *ink);
        }
        Mark::Text { at, anchor, em, ink, text } => {
            fill(pixmap, font().outline(text, *at, *anchor, *em), *ink);
        }
    }
}

fn fill(pixmap: &mut Pixmap, path: Option<Path>, ink: Ink) {
    if let Some(path) = path {
        pixmap.fill_path(&path, &paint(ink), FillRule::Winding, scaled(), None);
    }
}

fn scaled() -> Transform {
    Transform::from_scale(PIXELS_PER_POINT as f32, PIXELS_PER_POINT as f32)
}

fn paint(ink: Ink) -> Paint<'static> {
    let (red, green, blue) = ink.rgb;
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, (ink.opacity * 255.0).round() as u8);
    paint
}

fn path(points: &[Point], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    let (&(x, y), others) = points.split_first()?;
    builder.move_to(x as f32, y as f32);
    for &(x, y) in others {
        builder.line_to(x as f32, y as f32);
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

/// The built-in font, so that no font of the machine is needed.
struct Font {
    face: Face<'static>,
}

fn font() -> &'static Font {
    static FONT: OnceLock<Font> = OnceLock::new();
    FONT.get_or_init(|| {
        let face = Face::parse(epaint_default_fonts::UBUNTU_LIGHT, 0);
        Font { face: face.expect("the built-in font is a TrueType font") }
    })
}

impl Font {
    /// The glyph of a character, or an empty box if the font lacks it.
    fn glyph(&self, c: char) -> GlyphId {
        self.face.glyph_index(c).unwrap_or(GlyphId(0))
    }

    /// Width of a glyph with the space around it, in em.
    fn advance(&self, glyph: GlyphId) -> f64 {
        f64::from(self.face.glyph_hor_advance(glyph).unwrap_or(0)) / self.units_per_em()
    }

    fn units_per_em(&self) -> f64 {
        f64::from(self.face.units_per_em())
    }

    /// Height of lower-case letters, in em.
    fn x_height(&self) -> f64 {
        f64::from(self.face.x_height().unwrap_or(0)) / self.units_per_em()
    }

    /// The outline of `text`, whose lower-case letters are vertically centred on `at`.
    fn outline(&self, text: &str, (x, y): Point, anchor: Anchor, em: f64) -> Option<Path> {
        let left = match anchor {
            Anchor::Left => x,
            Anchor::Middle => x - width_of(text, em) / 2.0,
            Anchor::Right => x - width_of(text, em),
        };
        let mut pen = Pen {
            path: PathBuilder::new(),
            x: left,
            baseline: y + self.x_height() * em / 2.0,
            scale: em / self.units_per_em(),
        };
        for c in text.chars() {
            let glyph = self.glyph(c);
            self.face.outline_glyph(glyph, &mut pen);
            pen.x += self.advance(glyph) * em;
        }
        pen.path.finish()
    }
}

/// Places glyphs, which are drawn upwards in units of the font, on a scene, whose y runs downwards.
struct Pen {
    path: PathBuilder,
    /// Left end of the next glyph, in points.
    x: f64,
    baseline: f64,
    /// Points per unit of the font.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn scene_with(text: &str) -> Scene {
        let mut scene = Scene::new(100.0, 20.0);
        scene.text((0.0, 10.0), Anchor::Left, 12.0, Ink::rgb(0, 0, 0), text);
        scene
    }

    #[test]
    fn markup_in_a_text_is_escaped_in_svg() {
        let hostile = "</text><script>alert(1)</script>";
        let svg = svg_file(&scene_with(hostile), "\" onload=\"alert(1)");
        assert!(!svg.contains("<script") && !svg.contains("\" onload="), "{svg}");
        assert!(svg.contains("&lt;script&gt;"));
    }

    #[test]
    fn a_png_has_two_pixels_to_the_point() {
        let image = Pixmap::decode_png(&png(&Scene::new(30.0, 20.0)).unwrap()).unwrap();
        assert_eq!((image.width(), image.height()), (60, 40));
    }

    #[test]
    fn a_text_is_drawn_at_its_point() {
        let image = Pixmap::decode_png(&png(&scene_with("nnnn")).unwrap()).unwrap();
        let is_dark = |x: u32, y: u32| image.pixel(x, y).is_some_and(|pixel| pixel.red() < 128);
        let dark: Vec<(u32, u32)> =
            (0..200).flat_map(|x| (0..40).map(move |y| (x, y))).filter(|&(x, y)| is_dark(x, y)).collect();
        let right = f64::from(dark.iter().map(|(x, _)| *x).max().unwrap());
        let (top, bottom) =
            (dark.iter().map(|(_, y)| *y).min().unwrap(), dark.iter().map(|(_, y)| *y).max().unwrap());
        assert!((right / PIXELS_PER_POINT - width_of("nnnn", 12.0)).abs() < 2.0, "{right}");
        assert!((f64::from(top + bottom) / 2.0 - 20.0).abs() <= 1.5, "{top} {bottom}");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([1060.0, 0.125, -0.001, 12.5, 100.0].map(decimal), ["1060", "0.13", "0", "12.5", "100"]);
    }
}
