//! Loss against tokens or parameters: a panel for each size of model or number of tokens, with a law and its band for
//! each blend.

use super::Figure;
use super::legend::{self, LegendEntry};
use crate::config::CONTROL;
use crate::fit::{Blend, Fitted, LawFit, LawForm, Point};
use crate::report::palette::SeriesStyle;
use crate::report::panel::{Axis, EDGE, FIGURE_WIDTH, Panel, PanelArea, PanelGrid, PanelLabels, title};
use crate::report::scene::Scene;
use crate::report::series::Series;
use std::collections::BTreeSet;

/// Number of line segments of a curve.
const STEPS: usize = 60;

/// Largest number of blends for which all bands are drawn. With more, the bands would hide each other, so only the band
/// of natural text is drawn.
const MOST_BANDS: usize = 4;

/// The variable that a figure's laws are functions of.
struct Variable {
    form: LawForm,
    /// File name of the figure.
    name: &'static str,
    heading: &'static str,
    /// Label of the horizontal axis.
    x: &'static str,
    of: fn(&Point) -> f64,
}

/// Loss as a function of tokens, L(D), with a panel for each size of model.
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

/// Loss as a function of parameters, L(N), with a panel for each number of tokens.
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

/// Blends with their names and styles; natural text has the style of a control.
pub(super) struct BlendStyles {
    blends: Vec<(Blend, String, SeriesStyle)>,
}

impl BlendStyles {
    pub(super) fn new<'a>(blends: impl Iterator<Item = &'a Blend>) -> Self {
        let blends: BTreeSet<&Blend> = blends.collect();
        let (natural, others): (Vec<&Blend>, Vec<&Blend>) =
            blends.into_iter().partition(|blend| blend.is_natural());
        let natural = natural.into_iter().map(|blend| (blend, SeriesStyle::of(CONTROL, 0)));
        let others = others.into_iter().enumerate().map(|(index, blend)| (blend, SeriesStyle::of("", index)));
        let named = natural.chain(others).map(|(blend, style)| (blend.clone(), blend.to_string(), style));
        Self { blends: named.collect() }
    }

    pub(super) fn blends(&self) -> impl Iterator<Item = &Blend> {
        self.blends.iter().map(|(blend, _, _)| blend)
    }

    pub(super) fn series(&self) -> Vec<Series<'_>> {
        self.blends.iter().map(|(_, name, style)| Series { name, style: *style }).collect()
    }

    fn shows_band(&self, blend: &Blend) -> bool {
        self.blends.len() <= MOST_BANDS || blend.is_natural()
    }

    fn meaning_of_band(&self) -> &'static str {
        if self.blends.len() <= MOST_BANDS {
            "95 % interval of a law"
        } else {
            "95 % interval of the law of natural text"
        }
    }

    fn of(&self, blend: &Blend) -> SeriesStyle {
        let found = self.blends.iter().find(|(known, _, _)| known == blend);
        found.map_or(SeriesStyle::of(CONTROL, 0), |(_, _, style)| *style)
    }
}

fn draw(fitted: &Fitted, variable: &Variable) -> Option<Figure> {
    let fits: Vec<&LawFit> = fitted.fits.iter().filter(|fit| fit.form == variable.form).collect();
    let fixed: BTreeSet<_> = fits.iter().map(|fit| (fit.size, fit.tokens)).collect();
    if fixed.is_empty() {
        return None;
    }
    let styles = BlendStyles::new(fits.iter().map(|fit| &fit.blend));
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let top = title(&mut scene, variable.heading);
    let entries = [
        LegendEntry::Band(styles.meaning_of_band()),
        LegendEntry::Note("points: single runs; lines: fitted laws"),
    ];
    let top = legend::draw(&mut scene, top, &styles.series(), &entries);
    let grid = PanelGrid::new(top + 6.0, fixed.len(), 300.0);
    for (index, fixed) in fixed.iter().enumerate() {
        let shown: Vec<&LawFit> =
            fits.iter().copied().filter(|fit| (fit.size, fit.tokens) == *fixed).collect();
        draw_panel(&mut scene, grid.area(index), &fitted.points, variable, &styles, &shown);
    }
    scene.height = grid.bottom(fixed.len()) + EDGE - 8.0;
    let caption = "The horizontal axis is logarithmic.".to_owned();
    let names: Vec<&str> = styles.blends.iter().map(|(_, name, _)| name.as_str()).collect();
    let alt = format!("{} A curve for each of: {}.", variable.heading, names.join("; "));
    Some(Figure { name: variable.name, caption, alt, scene })
}

fn draw_panel(
    scene: &mut Scene,
    area: PanelArea,
    points: &[Point],
    variable: &Variable,
    styles: &BlendStyles,
    fits: &[&LawFit],
) {
    let points: Vec<(&Point, f64)> = fits
        .iter()
        .flat_map(|fit| points.iter().filter(|point| is_fitted_by(point, fit)))
        .map(|point| (point, (variable.of)(point)))
        .collect();
    let x = Axis::marked(points.iter().map(|(_, x)| *x));
    let laws: Vec<(&LawFit, Vec<LawAt>)> =
        fits.iter().map(|fit| (*fit, along_axis(fit, variable, &x))).collect();
    let predicted = laws.iter().flat_map(|(_, curve)| curve).map(|at| at.loss);
    let y = Axis::linear(points.iter().map(|(point, _)| point.loss_nats).chain(predicted));
    let (low, high) = y.ends();
    let fixed = fits.first().and_then(|fit| fit.fixed()).unwrap_or_default();
    let labels = PanelLabels { title: &fixed, note: "held-out loss, nats per token", x: variable.x };
    let panel = Panel::draw(scene, area, &labels, x, y);
    for (fit, curve) in laws.iter().filter(|(fit, _)| styles.shows_band(&fit.blend)) {
        let upper = curve.iter().map(|at| panel.at(at.x, at.band[1].clamp(low, high)));
        let lower = curve.iter().rev().map(|at| panel.at(at.x, at.band[0].clamp(low, high)));
        scene.area(upper.chain(lower).collect(), styles.of(&fit.blend).ink.faint(0.14));
    }
    for (fit, curve) in &laws {
        styles.of(&fit.blend).line(scene, panel.curve(curve.iter().map(|at| (at.x, at.loss))), 1.8);
    }
    for (point, x) in &points {
        styles.of(&point.blend).marker(scene, panel.at(*x, point.loss_nats), 3.0, false);
    }
}

fn is_fitted_by(point: &Point, fit: &LawFit) -> bool {
    let has_size = fit.size.is_none_or(|size| point.size == size);
    let has_tokens = fit.tokens.is_none_or(|tokens| point.tokens == tokens);
    // A law of N cannot be fitted to n-grams, whose size is not a number of parameters.
    let has_parameters = fit.size.is_some() || point.size.parameters().is_some();
    point.blend == fit.blend && has_size && has_tokens && has_parameters
}

/// The prediction of a law for one value of its variable.
struct LawAt {
    x: f64,
    loss: f64,
    /// 95 % interval of the loss.
    band: [f64; 2],
}

/// Predictions of a law at evenly spaced positions of the axis.
fn along_axis(fit: &LawFit, variable: &Variable, axis: &Axis) -> Vec<LawAt> {
    let (from, to) = axis.ends();
    (0..=STEPS)
        .map(|step| {
            // The positions lie slightly inside the axis, so that rounding cannot move one off the axis.
            let share = 0.001 + 0.998 * step as f64 / STEPS as f64;
            let x = from * (to / from).powf(share);
            let (n, d) = if variable.form == LawForm::Tokens { (1.0, x) } else { (x, 1.0) };
            LawAt { x, loss: fit.loss(n, d), band: fit.band(n, d) }
        })
        .collect()
}
