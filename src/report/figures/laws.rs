//! Loss against tokens or parameters: a panel for each size or number of tokens, a law with its band for each blend.

use super::Figure;
use super::legend::{self, Extra};
use crate::config::CONTROL;
use crate::fit::{Blend, Fitted, LawFit, LawForm, Point};
use crate::report::palette::Look;
use crate::report::panel::{Axis, Cell, EDGE, FIGURE_WIDTH, Grid, Panel, Words, title};
use crate::report::scene::Scene;
use crate::report::series::ArmView;
use std::collections::BTreeSet;

/// Points of a curve.
const STEPS: usize = 60;

/// With more laws than this in a panel their bands would hide each other; natural text's is always drawn.
const MOST_BANDS: usize = 4;

/// What a figure's laws depend on.
struct Variable {
    form: LawForm,
    name: &'static str,
    heading: &'static str,
    x: &'static str,
    of: fn(&Point) -> f64,
}

/// Laws of D, by size.
pub(super) fn by_tokens(fitted: &Fitted) -> Option<Figure> {
    let variable = Variable {
        form: LawForm::Tokens,
        name: "loss_by_tokens",
        heading: "How does the loss fall with training tokens?",
        x: "tokens seen, D",
        of: |point| point.tokens.0 as f64,
    };
    draw(fitted, &variable)
}

/// Laws of N, by tokens.
pub(super) fn by_parameters(fitted: &Fitted) -> Option<Figure> {
    let variable = Variable {
        form: LawForm::Parameters,
        name: "loss_by_parameters",
        heading: "How does the loss fall with the size of the model?",
        x: "parameters, N",
        of: |point| point.size.parameters().map_or(f64::NAN, |n| n as f64),
    };
    draw(fitted, &variable)
}

/// Blends with their names, and how they are drawn: natural text as the control is.
pub(super) struct Key {
    blends: Vec<(Blend, String, Look)>,
}

impl Key {
    pub(super) fn new<'a>(blends: impl Iterator<Item = &'a Blend>) -> Self {
        let blends: BTreeSet<&Blend> = blends.collect();
        let others = blends.iter().filter(|blend| !blend.is_natural()).enumerate();
        let natural = blends.iter().filter(|blend| blend.is_natural()).map(|blend| (blend, CONTROL, 0));
        let all = natural.chain(others.map(|(index, blend)| (blend, "", index)));
        let look = |(blend, name, index): (&&Blend, &str, usize)| {
            ((*blend).clone(), blend.to_string(), Look::of(name, index))
        };
        Self { blends: all.map(look).collect() }
    }

    pub(super) fn blends(&self) -> impl Iterator<Item = &Blend> {
        self.blends.iter().map(|(blend, _, _)| blend)
    }

    pub(super) fn views(&self) -> Vec<ArmView<'_>> {
        self.blends.iter().map(|(_, name, look)| ArmView { name, look: *look }).collect()
    }

    fn shows_band(&self, blend: &Blend) -> bool {
        self.blends.len() <= MOST_BANDS || blend.is_natural()
    }

    fn look(&self, blend: &Blend) -> Look {
        let found = self.blends.iter().find(|(known, _, _)| known == blend);
        found.map_or(Look::of(CONTROL, 0), |(_, _, look)| *look)
    }
}

fn draw(fitted: &Fitted, variable: &Variable) -> Option<Figure> {
    let fits: Vec<&LawFit> = fitted.fits.iter().filter(|fit| fit.form == variable.form).collect();
    let fixed: BTreeSet<_> = fits.iter().map(|fit| (fit.size, fit.tokens)).collect();
    if fixed.is_empty() {
        return None;
    }
    let key = Key::new(fits.iter().map(|fit| &fit.blend));
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let top = title(&mut scene, variable.heading);
    let note = Extra::Note("points: single runs; lines: fitted laws");
    let top = legend::arms(&mut scene, top, &key.views(), &[note]);
    let grid = Grid::new(top + 6.0, fixed.len(), 300.0);
    for (index, fixed) in fixed.iter().enumerate() {
        let shown: Vec<&LawFit> =
            fits.iter().copied().filter(|fit| (fit.size, fit.tokens) == *fixed).collect();
        panel(&mut scene, grid.cell(index), fitted, variable, &key, &shown);
    }
    scene.height = grid.bottom(fixed.len()) + EDGE - 8.0;
    let caption = "The horizontal axis is logarithmic. Shades are 95 % intervals of a law.".to_owned();
    let names: Vec<&str> = key.blends.iter().map(|(_, name, _)| name.as_str()).collect();
    let alt = format!("{} A curve for each of: {}.", variable.heading, names.join("; "));
    Some(Figure { name: variable.name, caption, alt, scene })
}

fn panel(scene: &mut Scene, cell: Cell, fitted: &Fitted, variable: &Variable, key: &Key, fits: &[&LawFit]) {
    let points: Vec<(&Point, f64)> = fits
        .iter()
        .flat_map(|fit| fitted.points.iter().filter(|point| belongs(point, fit)))
        .map(|point| (point, (variable.of)(point)))
        .collect();
    let losses = points.iter().map(|(point, _)| point.loss_nats);
    let marks = Axis::marked(points.iter().map(|(_, x)| *x));
    let fixed = fits.first().and_then(|fit| fit.fixed()).unwrap_or_default();
    let words = Words { title: &fixed, note: "held-out loss, nats per token", x: variable.x };
    let curves: Vec<Vec<(f64, f64, [f64; 2])>> =
        fits.iter().map(|fit| curve(fit, variable, &marks)).collect();
    let heights = curves.iter().flatten().map(|(_, loss, _)| *loss);
    let y = Axis::linear(losses.chain(heights));
    let (low, high) = y.ends();
    let panel = Panel::draw(scene, cell, &words, marks, y);
    for (fit, curve) in fits.iter().zip(&curves) {
        let ink = key.look(&fit.blend).ink;
        if key.shows_band(&fit.blend) {
            let upper = curve.iter().map(|(x, _, band)| panel.at(*x, band[1].clamp(low, high)));
            let lower = curve.iter().rev().map(|(x, _, band)| panel.at(*x, band[0].clamp(low, high)));
            scene.area(upper.chain(lower).collect(), ink.faint(0.14));
        }
    }
    for (fit, curve) in fits.iter().zip(&curves) {
        let look = key.look(&fit.blend);
        look.line(scene, panel.curve(curve.iter().map(|(x, loss, _)| (*x, *loss))), 1.8);
    }
    for (point, x) in &points {
        key.look(&point.blend).marker(scene, panel.at(*x, point.loss_nats), 3.0, false);
    }
}

fn belongs(point: &Point, fit: &LawFit) -> bool {
    let of_size = fit.size.is_none_or(|size| point.size == size);
    let of_tokens = fit.tokens.is_none_or(|tokens| point.tokens == tokens);
    // A law of N has no place for n-grams.
    let has_size = fit.size.is_some() || point.size.parameters().is_some();
    point.blend == fit.blend && of_size && of_tokens && has_size
}

/// The law and its band along the axis.
fn curve(fit: &LawFit, variable: &Variable, axis: &Axis) -> Vec<(f64, f64, [f64; 2])> {
    let (from, to) = axis.ends();
    (0..=STEPS)
        .map(|step| {
            // A hair inside, so that rounding puts no end off the axis.
            let share = 0.001 + 0.998 * step as f64 / STEPS as f64;
            let x = from * (to / from).powf(share);
            let (n, d) = if variable.form == LawForm::Tokens { (1.0, x) } else { (x, 1.0) };
            (x, fit.loss(n, d), fit.band(n, d))
        })
        .collect()
}
