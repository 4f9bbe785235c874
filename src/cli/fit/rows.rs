//! A fit as one tidy table with a row per number.

use crate::fit::{Blend, Fitted, LawFit, LawForm, Optimum, SpeedUp};
use crate::units::Tokens;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct FitRow<'a> {
    source: &'a str,
    synthetic_percent: Option<f64>,
    form: LawForm,
    /// The model size of all points of a law, or the one that a loss is predicted for.
    size: Option<String>,
    tokens: Option<Tokens>,
    quantity: &'a str,
    value: Option<f64>,
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    points: Option<usize>,
}

/// Constants and held-out errors of every law, losses by share, best shares, speed-ups.
pub(super) fn all(fitted: &Fitted) -> Vec<FitRow<'_>> {
    let laws = fitted.fits.iter().flat_map(of_law);
    let optima = fitted.optima.iter().flat_map(|optimum| of_optimum(fitted, optimum));
    let speed_ups = fitted.speed_ups.iter().flat_map(|speed_up| of_speed_up(fitted, speed_up));
    laws.chain(optima).chain(speed_ups).collect()
}

fn of_law(fit: &LawFit) -> Vec<FitRow<'_>> {
    let row = |quantity, value| FitRow {
        source: &fit.blend.source,
        synthetic_percent: Some(percent(&fit.blend)),
        form: fit.form,
        size: fit.size.map(|size| size.to_string()),
        tokens: fit.tokens,
        quantity,
        value: Some(value),
        ci_low: None,
        ci_high: None,
        points: Some(fit.points),
    };
    let constants = fit.constants.iter().map(|found| row(found.name, found.value).with(found.interval));
    let error = fit.heldout.map(|heldout| FitRow {
        points: Some(heldout.points),
        ..row("heldout_relative_error", heldout.relative_error)
    });
    constants.chain(error).collect()
}

fn of_optimum<'a>(fitted: &Fitted, optimum: &'a Optimum) -> Vec<FitRow<'a>> {
    let row = |synthetic_percent, quantity, value| FitRow {
        synthetic_percent,
        ..predicted(fitted, &optimum.source, optimum.form, quantity, value)
    };
    let losses = optimum
        .losses
        .iter()
        .map(|at| row(Some(100.0 * at.share), "loss_nats", Some(at.loss_nats)).with(at.interval));
    losses.chain([row(None, "best_share", Some(optimum.share)).with(optimum.interval)]).collect()
}

fn of_speed_up<'a>(fitted: &Fitted, speed_up: &'a SpeedUp) -> Vec<FitRow<'a>> {
    let row = |quantity, value| FitRow {
        synthetic_percent: Some(percent(&speed_up.blend)),
        ..predicted(fitted, &speed_up.blend.source, speed_up.form, quantity, value)
    };
    let factor = row("speed_up", Some(speed_up.speed_up)).with(speed_up.interval);
    vec![row("tokens_to_natural_loss", speed_up.tokens), factor]
}

/// A row of a prediction.
fn predicted<'a>(
    fitted: &Fitted,
    source: &'a str,
    form: LawForm,
    quantity: &'a str,
    value: Option<f64>,
) -> FitRow<'a> {
    let (size, tokens) = (Some(fitted.at.size.to_string()), Some(fitted.at.tokens));
    FitRow {
        source,
        synthetic_percent: None,
        form,
        size,
        tokens,
        quantity,
        value,
        ci_low: None,
        ci_high: None,
        points: None,
    }
}

fn percent(blend: &Blend) -> f64 {
    f64::from(blend.synthetic_percent)
}

impl FitRow<'_> {
    fn with(self, [low, high]: [f64; 2]) -> Self {
        Self { ci_low: Some(low), ci_high: Some(high), ..self }
    }
}
