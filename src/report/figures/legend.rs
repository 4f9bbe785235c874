//! Legends, in a strip above the panels.

use crate::report::palette::{self, MUTED, TEXT};
use crate::report::panel::{EDGE, FIGURE_WIDTH, SMALL_EM};
use crate::report::scene::{Anchor, Ink, Scene, shortened, width_of};
use crate::report::series::Series;

const LINE_HEIGHT: f64 = 20.0;
/// Width of the sample beside an entry's text, with the space between them.
const SAMPLE: f64 = 30.0;

/// The shade of the control's range.
pub(super) const BAND: Ink = Ink::rgb(110, 115, 125).faint(0.22);

/// An entry that is not a series.
pub(super) enum LegendEntry<'a> {
    /// A shaded range.
    Band(&'a str),
    /// A dashed line.
    Dashed(&'a str),
    /// The region beyond a practical effect size.
    Danger(&'a str),
    /// A bar of some colour.
    Bar(&'a str, Ink),
    /// Text without a sample.
    Note(&'a str),
}

/// Draws the legend of `series` and `entries` from height `top` on; returns the height at which it ends.
pub(super) fn draw(scene: &mut Scene, top: f64, series: &[Series], entries: &[LegendEntry]) -> f64 {
    let mut cursor = Cursor { x: EDGE + 6.0, y: top + 8.0 };
    for Series { name, style } in series {
        let name = shortened(name, SMALL_EM, 180.0);
        let x = cursor.advance(SAMPLE + width_of(&name, SMALL_EM));
        let y = cursor.y;
        style.line(scene, vec![(x, y), (x + SAMPLE - 6.0, y)], 1.8);
        style.marker(scene, (x + (SAMPLE - 6.0) / 2.0, y), 3.4, false);
        scene.text((x + SAMPLE, y), Anchor::Left, SMALL_EM, TEXT, name);
    }
    for entry in entries {
        entry.draw(scene, &mut cursor);
    }
    cursor.y + 18.0
}

/// Draws the colours of the generations `shown` out of 0..=`last`, and the meaning of the dashed line, if there is one;
/// returns the height at which the legend ends.
pub(super) fn generations(
    scene: &mut Scene,
    top: f64,
    shown: &[usize],
    last: usize,
    dashed: Option<&str>,
) -> f64 {
    let mut cursor = Cursor { x: EDGE + 6.0, y: top + 8.0 };
    let (first, end) = ("generation 0", last.to_string());
    let swatch = (130.0 / shown.len().max(1) as f64).clamp(6.0, 26.0);
    let bar = swatch * shown.len() as f64;
    let before = width_of(first, SMALL_EM) + 8.0;
    let x = cursor.advance(before + bar + 8.0 + width_of(&end, SMALL_EM));
    let y = cursor.y;
    scene.text((x, y), Anchor::Left, SMALL_EM, TEXT, first);
    for (index, &generation) in shown.iter().enumerate() {
        let from = x + before + index as f64 * swatch;
        let ink = palette::generation(generation, last);
        scene.rectangle((from, y - 4.5), (from + swatch - 1.0, y + 4.5), ink);
    }
    if last > 0 {
        scene.text((x + before + bar + 8.0, y), Anchor::Left, SMALL_EM, TEXT, end);
    }
    if let Some(meaning) = dashed {
        LegendEntry::Dashed(meaning).draw(scene, &mut cursor);
    }
    cursor.y + 18.0
}

/// Left end and vertical middle of the next entry.
struct Cursor {
    x: f64,
    y: f64,
}

impl Cursor {
    /// Returns the left end of the next entry, which is `width` points wide, and moves past that entry. Begins a new
    /// line if this one is full.
    fn advance(&mut self, width: f64) -> f64 {
        if self.x > EDGE + 6.0 && self.x + width > FIGURE_WIDTH - EDGE {
            self.x = EDGE + 6.0;
            self.y += LINE_HEIGHT;
        }
        let x = self.x;
        self.x += width + 22.0;
        x
    }
}

impl LegendEntry<'_> {
    fn draw(&self, scene: &mut Scene, cursor: &mut Cursor) {
        let (Self::Band(text)
        | Self::Dashed(text)
        | Self::Danger(text)
        | Self::Bar(text, _)
        | Self::Note(text)) = self;
        let sample = if matches!(self, Self::Note(_)) { 0.0 } else { SAMPLE };
        let x = cursor.advance(sample + width_of(text, SMALL_EM));
        let y = cursor.y;
        let end = x + SAMPLE - 6.0;
        match self {
            Self::Band(_) => scene.rectangle((x, y - 5.0), (end, y + 5.0), BAND),
            Self::Danger(_) => scene.rectangle((x, y - 5.0), (end, y + 5.0), palette::DANGER.faint(0.13)),
            Self::Bar(_, ink) => scene.rectangle((x, y - 5.0), (end, y + 5.0), *ink),
            Self::Dashed(_) => scene.dashed(&[(x, y), (end, y)], (5.0, 3.0), palette::BLACK, 1.4),
            Self::Note(_) => {}
        }
        scene.text((x + sample, y), Anchor::Left, SMALL_EM, MUTED, *text);
    }
}
