//! A scene onto any plotters backend: SVG text and PNG bytes.
//!
//! plotters works in whole pixels, so both are drawn [`UNIT`] pixels to the point. The SVG's view box brings that back
//! to size; the PNG is averaged down to two pixels to the point, which smooths its lines.

use super::ReportError;
use super::scene::{Anchor, Ink, Mark, Point, Scene};
use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    FontFamily, FontStyle, IntoFont, RGBAColor, ShapeStyle, TextStyle, WHITE, register_font,
};
use std::sync::Once;

/// Pixels per point.
const UNIT: f64 = 4.0;
/// A PNG has this many pixels fewer, each way.
const SHRINK: usize = 2;

/// A browser takes the first of these that it has; the built-in font goes by the same name.
const FONTS: &str = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

/// How a backend turns plotters' text size into letters.
#[derive(Clone, Copy)]
struct Lettering {
    /// plotters' size of a text whose em is 1.
    size_per_em: f64,
    /// How far text has to be lowered, in em, for the middle of its lower-case letters to lie on its point.
    drop: f64,
}

/// plotters divides by 1.24, and lowers text by half its x-height itself.
const SVG: Lettering = Lettering { size_per_em: 1.24, drop: 0.0 };
/// The built-in font is 1.12 em from ascender to descender; its baseline comes out 0.15 em too high.
const BITMAP: Lettering = Lettering { size_per_em: 1.12, drop: 0.15 };

/// Registers the built-in font, once, so that no font of the machine is needed.
fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // A font that cannot be read shows as a drawing error.
        let _ = register_font(FONTS, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
    });
}

/// Width of `words` in points, in the built-in font.
pub(super) fn width_of(words: &str, em: f64) -> f64 {
    register();
    let font = (FontFamily::Name(FONTS), em * UNIT * BITMAP.size_per_em).into_font();
    let guess = 0.6 * em * words.chars().count() as f64;
    font.box_size(words).map_or(guess, |(width, _)| f64::from(width) / UNIT)
}

/// The scene as an SVG document.
pub(super) fn svg(scene: &Scene) -> Result<String, ReportError> {
    let mut text = String::new();
    let size = pixels(scene);
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        draw(scene, &area, SVG).map_err(drawing_error)?;
    }
    // The size of the drawing is in points; its coordinates are in pixels.
    let drawn = format!("<svg width=\"{}\" height=\"{}\"", size.0, size.1);
    Ok(text.replacen(&drawn, &format!("<svg width=\"{}\" height=\"{}\"", scene.width, scene.height), 1))
}

/// The scene as a PNG file, two pixels to the point.
pub(super) fn png(scene: &Scene) -> Result<Vec<u8>, ReportError> {
    let (width, height) = pixels(scene);
    let mut pixels = vec![255; 3 * width as usize * height as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        draw(scene, &area, BITMAP).map_err(drawing_error)?;
    }
    let small = shrunk(&pixels, width as usize);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width / SHRINK as u32, height / SHRINK as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&small)).map_err(drawing_error)?;
    Ok(file)
}

fn drawing_error(error: impl std::fmt::Display) -> ReportError {
    ReportError::Drawing(error.to_string())
}

/// Size of the drawing in pixels: multiples of what is averaged.
fn pixels(scene: &Scene) -> (u32, u32) {
    let whole = |points: f64| points.ceil() as u32 * UNIT as u32;
    (whole(scene.width), whole(scene.height))
}

/// Every [`SHRINK`] × [`SHRINK`] pixels averaged into one.
fn shrunk(pixels: &[u8], width: usize) -> Vec<u8> {
    let row = 3 * width;
    let mut small = Vec::with_capacity(pixels.len() / (SHRINK * SHRINK));
    for rows in pixels.chunks_exact(SHRINK * row) {
        for column in (0..width).step_by(SHRINK) {
            for channel in 0..3 {
                let near = (0..SHRINK * SHRINK).map(|i| {
                    let (down, across) = (i / SHRINK, i % SHRINK);
                    u32::from(rows[down * row + 3 * (column + across) + channel])
                });
                small.push((near.sum::<u32>() / (SHRINK * SHRINK) as u32) as u8);
            }
        }
    }
    small
}

type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// Draws the marks in order.
fn draw<DB: DrawingBackend>(scene: &Scene, area: &DrawingArea<DB, Shift>, lettering: Lettering) -> Drawn<DB> {
    register();
    area.fill(&WHITE)?;
    for mark in &scene.marks {
        match mark {
            Mark::Line { points, ink, width } => {
                let stroke = ((width * UNIT).round() as u32).max(1);
                let style = ShapeStyle { color: colour(*ink), filled: false, stroke_width: stroke };
                area.draw(&PathElement::new(whole(points), style))?;
            }
            Mark::Area { points, ink } => area.draw(&Polygon::new(whole(points), colour(*ink)))?,
            Mark::Disc { centre, radius, ink } => {
                let style = ShapeStyle { color: colour(*ink), filled: true, stroke_width: 0 };
                area.draw(&Circle::new(pixel(*centre), (radius * UNIT).round() as u32, style))?;
            }
            Mark::Words { at, anchor, em, ink, words } => {
                let horizontal = match anchor {
                    Anchor::Left => HPos::Left,
                    Anchor::Middle => HPos::Center,
                    Anchor::Right => HPos::Right,
                };
                let font = (FontFamily::Name(FONTS), em * UNIT * lettering.size_per_em);
                let ink = colour(*ink);
                let style =
                    TextStyle::from(font.into_font()).color(&ink).pos(Pos::new(horizontal, VPos::Center));
                let at = pixel((at.0, at.1 + lettering.drop * em));
                area.draw(&Text::new(words.as_str(), at, style))?;
            }
        }
    }
    area.present()
}

fn colour(ink: Ink) -> RGBAColor {
    RGBAColor(ink.rgb.0, ink.rgb.1, ink.rgb.2, ink.opacity)
}

fn pixel((x, y): Point) -> (i32, i32) {
    ((x * UNIT).round() as i32, (y * UNIT).round() as i32)
}

fn whole(points: &[Point]) -> Vec<(i32, i32)> {
    points.iter().copied().map(pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_words_stay_words_in_svg() {
        let mut scene = Scene::new(100.0, 20.0);
        scene.words((0.0, 10.0), Anchor::Left, 12.0, Ink::rgb(0, 0, 0), "</text><script>alert(1)</script>");
        let text = svg(&scene).unwrap();
        assert!(!text.contains("<script"), "{text}");
        assert!(text.contains("&lt;script&gt;"));
    }

    #[test]
    fn a_png_has_two_pixels_to_the_point() {
        let file = png(&Scene::new(30.0, 20.0)).unwrap();
        let reader = png::Decoder::new(file.as_slice()).read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (60, 40));
    }
}
