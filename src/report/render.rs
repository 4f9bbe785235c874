//! A [`Scene`] as SVG text and as a PNG image, both drawn by plotters.
//!
//! plotters works with integer coordinates. A point of the scene is [`UNITS_PER_POINT`] units of these coordinates. The
//! SVG's view box and the image's backend scale the drawing back. An SVG names fonts that a browser may have, but the
//! widths are always those of the built-in font, so that a figure has the same layout on a machine without fonts.

use super::ReportError;
use super::raster::{RasterBackend, SIZE_PER_EM};
use super::scene::{Anchor, Ink, Mark, Point, Scene};
use crate::terminal::printable;
use maud::{Markup, PreEscaped, html};
use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, IntoFont, RGBAColor, TextStyle, WHITE};
use tiny_skia::Pixmap;

/// Units of plotters' coordinates per point. A tenth of a point cannot be seen.
const UNITS_PER_POINT: f64 = 10.0;

/// Resolution of a PNG, in pixels per point.
const PIXELS_PER_POINT: f64 = 2.0;

/// Fonts of an SVG; a browser takes the first that it has.
const FONTS: &str = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

/// The namespace that makes a file an SVG document; inside HTML none is needed.
const NAMESPACE: &str = "http://www.w3.org/2000/svg";

/// The scene as an SVG document; `alt` describes it to readers who cannot see it. Control and direction characters are
/// shown as escapes.
pub(super) fn svg_file(scene: &Scene, alt: &str) -> String {
    printable(&svg(scene, alt, Some(NAMESPACE)).into_string()).into_owned()
}

/// The scene as an `<svg>` element of an HTML page.
pub(super) fn svg_element(scene: &Scene, alt: &str) -> Markup {
    svg(scene, alt, None)
}

fn svg(scene: &Scene, alt: &str, namespace: Option<&str>) -> Markup {
    let (width, height) = size(scene);
    let mut drawing = String::new();
    draw(scene, SVGBackend::with_string(&mut drawing, (width, height)))
        .expect("writing to a string cannot fail");
    // plotters' own root element has no description.
    let marks = drawing.split_once('>').and_then(|(_, inner)| inner.trim_end().strip_suffix("</svg>"));
    let marks = marks.expect("plotters' SVG is one element");
    let points = |units: u32| f64::from(units) / UNITS_PER_POINT;
    html! {
        svg xmlns=[namespace] width=(points(width)) height=(points(height)) viewBox={ "0 0 " (width) " " (height) }
            role="img" aria-label=(alt) font-family=(FONTS) stroke-linejoin="round" { (PreEscaped(marks)) }
    }
}

/// The scene as a PNG file.
pub(super) fn png(scene: &Scene) -> Result<Vec<u8>, ReportError> {
    let pixels = |points: f64| (points * PIXELS_PER_POINT).ceil() as u32;
    let (width, height) = (pixels(scene.width), pixels(scene.height));
    let empty = || ReportError::Drawing(format!("{width} by {height} pixels are too many or none").into());
    let mut image = Pixmap::new(width, height).ok_or_else(empty)?;
    let drawn = draw(scene, RasterBackend::new(&mut image, size(scene)));
    drawn.map_err(|error| ReportError::Drawing(error.into()))?;
    image.encode_png().map_err(|error| ReportError::Drawing(error.into()))
}

/// Size of the drawing, in plotters' coordinates.
fn size(scene: &Scene) -> (u32, u32) {
    let units = |points: f64| (points * UNITS_PER_POINT).ceil() as u32;
    (units(scene.width), units(scene.height))
}

type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// Draws the marks from back to front.
fn draw<DB: DrawingBackend>(scene: &Scene, backend: DB) -> Drawn<DB> {
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    for mark in &scene.marks {
        draw_mark(&area, mark)?;
    }
    area.present()
}

fn draw_mark<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, mark: &Mark) -> Drawn<DB> {
    match mark {
        Mark::Line { points, ink, width } => {
            area.draw(&PathElement::new(coordinates(points), color(*ink).stroke_width(length(*width))))
        }
        Mark::Area { points, ink } => area.draw(&Polygon::new(coordinates(points), color(*ink))),
        Mark::Disc { centre, radius, ink } => {
            area.draw(&Circle::new(coordinate(*centre), length(*radius), color(*ink).filled()))
        }
        Mark::Text { at, anchor, em, ink, text } => {
            let horizontal = match anchor {
                Anchor::Left => HPos::Left,
                Anchor::Middle => HPos::Center,
                Anchor::Right => HPos::Right,
            };
            // The fonts are named once, on the root element.
            let font = (FontFamily::Name("inherit"), em * UNITS_PER_POINT * SIZE_PER_EM).into_font();
            let color = color(*ink);
            let style = TextStyle::from(font).color(&color).pos(Pos::new(horizontal, VPos::Center));
            area.draw(&Text::new(text.as_str(), coordinate(*at), style))
        }
    }
}

fn color(ink: Ink) -> RGBAColor {
    let (red, green, blue) = ink.rgb;
    RGBAColor(red, green, blue, ink.opacity)
}

fn coordinate((x, y): Point) -> (i32, i32) {
    ((x * UNITS_PER_POINT).round() as i32, (y * UNITS_PER_POINT).round() as i32)
}

fn coordinates(points: &[Point]) -> Vec<(i32, i32)> {
    points.iter().copied().map(coordinate).collect()
}

/// A width or a radius in plotters' coordinates.
fn length(points: f64) -> u32 {
    (points * UNITS_PER_POINT).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::font::width_of;

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
    fn a_png_has_two_pixels_per_point() {
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
    fn an_svg_is_one_element_that_describes_itself() {
        let svg = svg_file(&scene_with("arm"), "a figure");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{svg}");
        assert_eq!(svg.matches("<svg").count(), 1);
        assert!(svg.contains("role=\"img\" aria-label=\"a figure\""), "{svg}");
    }
}
