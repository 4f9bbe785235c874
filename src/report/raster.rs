//! A plotters backend for smooth images, on top of tiny-skia.
//!
//! plotters passes integer coordinates to a backend. Here one pixel is several units of these coordinates wide, so that
//! a line can start and end within a pixel. A pixel that is partly covered is partly shaded.

use super::font;
use plotters::backend::DrawingBackend;
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind};
use std::convert::Infallible;
use tiny_skia::{FillRule, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};

/// The size that plotters takes for text with a font size of 1.
pub(super) const SIZE_PER_EM: f64 = 1.24;

/// Scales a drawing of `size` to the width of the image.
pub(super) struct RasterBackend<'a> {
    image: &'a mut Pixmap,
    size: (u32, u32),
}

impl<'a> RasterBackend<'a> {
    /// Draws into `image`; `size` is the size of the drawing in plotters' coordinates.
    pub(super) fn new(image: &'a mut Pixmap, size: (u32, u32)) -> Self {
        Self { image, size }
    }

    fn fill(&mut self, path: Option<Path>, color: BackendColor) {
        if let Some(path) = path {
            self.image.fill_path(&path, &paint(color), FillRule::Winding, self.scaled(), None);
        }
    }

    fn stroke<S: BackendStyle>(&mut self, path: Option<Path>, style: &S) {
        let stroke =
            Stroke { width: style.stroke_width() as f32, line_join: LineJoin::Round, ..Stroke::default() };
        if let Some(path) = path {
            self.image.stroke_path(&path, &paint(style.color()), &stroke, self.scaled(), None);
        }
    }

    fn shape<S: BackendStyle>(&mut self, path: Option<Path>, style: &S, filled: bool) {
        if filled {
            self.fill(path, style.color());
        } else {
            self.stroke(path, style);
        }
    }

    fn scaled(&self) -> Transform {
        let scale = self.image.width() as f32 / self.size.0 as f32;
        Transform::from_scale(scale, scale)
    }
}

fn paint(color: BackendColor) -> Paint<'static> {
    let (red, green, blue) = color.rgb;
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, (color.alpha * 255.0).round() as u8);
    paint
}

fn path(points: impl IntoIterator<Item = BackendCoord>, closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (x, y) in points {
        let (x, y) = (x as f32, y as f32);
        if builder.is_empty() {
            builder.move_to(x, y);
        } else {
            builder.line_to(x, y);
        }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

/// Drawing into memory cannot fail.
type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for RasterBackend<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + 1, y + 1), &color, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        self.shape(path([(left, top), (right, top), (right, bottom), (left, bottom)], true), style, fill);
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        points: I,
        style: &S,
    ) -> Drawn {
        self.stroke(path(points, false), style);
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        self.shape(PathBuilder::from_circle(x as f32, y as f32, radius as f32), style, fill);
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        points: I,
        style: &S,
    ) -> Drawn {
        self.fill(path(points, true), style.color());
        Ok(())
    }

    /// Draws a text in the built-in font, at the place where plotters' SVG backend puts it. Ignores a rotation.
    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Drawn {
        let em = style.size() / SIZE_PER_EM;
        let width = font::width_of(text, em);
        let left = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -width / 2.0,
            HPos::Right => -width,
        };
        let lowered = match style.anchor().v_pos {
            VPos::Top => 0.76 * em,
            VPos::Center => font::x_height(em) / 2.0,
            VPos::Bottom => -font::x_height(em) / 2.0,
        };
        let at = (f64::from(x) + left, f64::from(y) + lowered);
        self.fill(font::outline(text, at, em), style.color());
        Ok(())
    }
}
