//! Keys, in a strip of their own above the panels.

use crate::report::palette::{self, MUTED, TEXT};
use crate::report::panel::{EDGE, FIGURE_WIDTH, SMALL_EM};
use crate::report::scene::{Anchor, Ink, Scene, shortened, width_of};
use crate::report::series::ArmView;

const LINE_HEIGHT: f64 = 20.0;
const SAMPLE: f64 = 30.0;

/// Something in a key beside the arms.
pub(super) enum Extra<'a> {
    /// A shaded range.
    Band(&'a str),
    /// A dashed line.
    Dashed(&'a str),
    /// Ground beyond a practical size.
    Danger(&'a str),
    /// A bar of some colour.
    Bar(&'a str, Ink),
    /// Words alone.
    Note(&'a str),
}

/// Draws the key of `arms` and `extras` from `top` on; where it ends.
pub(super) fn arms(scene: &mut Scene, top: f64, arms: &[ArmView], extras: &[Extra]) -> f64 {
    let mut cursor = Cursor { x: EDGE + 6.0, y: top + 8.0 };
    for arm in arms {
        let name = shortened(arm.name, SMALL_EM, 180.0);
        let x = cursor.place(SAMPLE + width_of(&name, SMALL_EM));
        let y = cursor.y;
        arm.look.line(scene, vec![(x, y), (x + SAMPLE - 6.0, y)], 1.8);
        arm.look.marker(scene, (x + (SAMPLE - 6.0) / 2.0, y), 3.4, false);
        scene.words((x + SAMPLE, y), Anchor::Left, SMALL_EM, TEXT, name);
    }
    for extra in extras {
        extra.draw(scene, &mut cursor);
    }
    cursor.y + 18.0
}

/// Draws the key of generations 0..=`last` and a dashed black line; where it ends.
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
    let x = cursor.place(before + bar + 8.0 + width_of(&end, SMALL_EM));
    let y = cursor.y;
    scene.words((x, y), Anchor::Left, SMALL_EM, TEXT, first);
    for (index, &generation) in shown.iter().enumerate() {
        let from = x + before + index as f64 * swatch;
        let ink = palette::generation(generation, last);
        scene.rectangle((from, y - 4.5), (from + swatch - 1.0, y + 4.5), ink);
    }
    if last > 0 {
        scene.words((x + before + bar + 8.0, y), Anchor::Left, SMALL_EM, TEXT, end);
    }
    if let Some(words) = dashed {
        Extra::Dashed(words).draw(scene, &mut cursor);
    }
    cursor.y + 18.0
}

/// Where the next entry goes.
struct Cursor {
    x: f64,
    y: f64,
}

impl Cursor {
    /// The left end of an entry `width` points wide, on the next line if this one is full.
    fn place(&mut self, width: f64) -> f64 {
        if self.x > EDGE + 6.0 && self.x + width > FIGURE_WIDTH - EDGE {
            self.x = EDGE + 6.0;
            self.y += LINE_HEIGHT;
        }
        let x = self.x;
        self.x += width + 22.0;
        x
    }
}

impl Extra<'_> {
    fn draw(&self, scene: &mut Scene, cursor: &mut Cursor) {
        let (Extra::Band(words)
        | Extra::Dashed(words)
        | Extra::Danger(words)
        | Extra::Bar(words, _)
        | Extra::Note(words)) = self;
        let sample = if matches!(self, Extra::Note(_)) { 0.0 } else { SAMPLE };
        let x = cursor.place(sample + width_of(words, SMALL_EM));
        let y = cursor.y;
        let end = x + SAMPLE - 6.0;
        match self {
            Extra::Band(_) => scene.rectangle((x, y - 5.0), (end, y + 5.0), BAND),
            Extra::Danger(_) => scene.rectangle((x, y - 5.0), (end, y + 5.0), palette::DANGER.faint(0.13)),
            Extra::Bar(_, ink) => scene.rectangle((x, y - 5.0), (end, y + 5.0), *ink),
            Extra::Dashed(_) => scene.dashed(&[(x, y), (end, y)], (5.0, 3.0), palette::BLACK, 1.4),
            Extra::Note(_) => {}
        }
        scene.words((x + sample, y), Anchor::Left, SMALL_EM, MUTED, *words);
    }
}

/// The range of the control.
pub(super) const BAND: Ink = Ink::rgb(110, 115, 125).faint(0.22);
