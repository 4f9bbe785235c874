//! One law fitted to one group of points: its constants, their intervals, and how well it predicts the largest runs.
//!
//! **Intervals** are percentiles over refitted laws. Each refit keeps the inputs of every point and replaces its loss
//! by the fitted loss times exp(r), where r is a residual drawn with replacement from those of all points: the residual
//! bootstrap (Efron 1979). Resampling whole points could leave out a size, and resampling seeds within a cell would
//! ignore both the noise of a single seed and a misfit of the law. Residuals of n points and p constants are too small
//! by √((n − p)/n), and percentiles of few residuals are too narrow by the ratio of Student's quantile to the normal
//! one (Hesterberg 2015), so residuals are inflated by both factors. Noise is assumed to be the same fraction of the
//! loss at all points, and independent.
//!
//! **Held-out error**: the law is fitted without the points of the largest D, and without those of the largest N if there
//! are four sizes, and then predicts them. The error is the mean of |L̂ − L|/L.

use super::law::{Law, LawForm};
use super::robust::{FitData, LogConstants};
use super::{Blend, ModelSize, Point};
use crate::seed::{StreamKey, streams};
use crate::units::Tokens;
use nalgebra::DVector;
use rand::Rng;
use rayon::prelude::*;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use std::collections::BTreeSet;

/// Number of starting points of the search for a law.
const STARTS: usize = 16;
/// Number of random starting points of a refit. The fitted law is a further starting point.
const REFIT_STARTS: usize = 3;

/// Number of different values of an input that are needed to determine a floor, a scale and an exponent.
const MIN_VALUES: usize = 3;

/// Lower and upper end of a 95 % interval.
pub type Interval = [f64; 2];

/// A fitted law.
#[derive(Clone, Debug, Serialize)]
pub struct LawFit {
    /// Training text of the models.
    pub blend: Blend,
    /// The inputs of the law.
    pub form: LawForm,
    /// The common size of all points, if N is not an input.
    pub size: Option<ModelSize>,
    /// The common number of tokens of all points, if D is not an input.
    pub tokens: Option<Tokens>,
    /// Number of points.
    pub points: usize,
    /// Smallest and largest number of passes over the training text.
    pub epochs: [f64; 2],
    /// The constants, in the order of [`Law::constants`].
    pub constants: Vec<LawConstant>,
    /// How well the law predicts the largest runs; None if too few points would be left to fit.
    pub heldout: Option<HeldOutError>,
    /// The law with these constants.
    #[serde(skip)]
    pub law: Law,
    /// The refitted laws, one for each successful refit.
    #[serde(skip)]
    pub draws: Vec<Law>,
}

/// The error of a law that was fitted to the smaller runs, in predicting the largest runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeldOutError {
    /// Number of points predicted.
    pub points: usize,
    /// Mean of |L̂ − L|/L over them.
    pub relative_error: f64,
}

/// One constant of a law.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LawConstant {
    /// E, A, alpha, B or beta.
    pub name: &'static str,
    /// The fitted value.
    pub value: f64,
    /// 95 % interval.
    pub interval: Interval,
}

/// Points of one blend that a law may be fitted to. If N or D is not an input of the form, all points have the same
/// value of it.
pub(super) struct PointGroup<'a> {
    pub(super) form: LawForm,
    pub(super) size: Option<ModelSize>,
    pub(super) tokens: Option<Tokens>,
    pub(super) points: Vec<&'a Point>,
}

impl PointGroup<'_> {
    /// Whether the points still determine the constants if one value of D is held out (if D is not an input, one of N).
    pub(super) fn suffices(&self) -> bool {
        determines(self.form, &self.points, 1)
    }

    /// Fits the law; None if no search converges. `key` names the random streams.
    pub(super) fn fit(&self, blend: &Blend, resamples: usize, key: &StreamKey) -> Option<LawFit> {
        let data = FitData::new(self.form, &self.points);
        let theta = data.fit(&data.ln_losses, starts(&data, key))?;
        let draws = draws(&data, &theta, resamples, key);
        let law = data.law(&theta);
        let epochs = self.points.iter().map(|point| point.epochs);
        Some(LawFit {
            blend: blend.clone(),
            form: self.form,
            size: self.size,
            tokens: self.tokens,
            points: self.points.len(),
            epochs: [epochs.clone().fold(f64::INFINITY, f64::min), epochs.fold(0.0, f64::max)],
            constants: constants(&law, &draws),
            heldout: self.hold_out(key),
            law,
            draws,
        })
    }

    /// Fits the law without the largest runs and predicts them; None if too few points would be left.
    fn hold_out(&self, key: &StreamKey) -> Option<HeldOutError> {
        let largest_n =
            self.form.has_parameters().then(|| largest_to_spare(&self.points, parameters_of)).flatten();
        let largest_d = self.form.has_tokens().then(|| largest_to_spare(&self.points, tokens_of)).flatten();
        let is_held_out =
            |point: &&Point| largest_n == Some(parameters_of(point)) || largest_d == Some(tokens_of(point));
        let (held_out, kept): (Vec<&Point>, Vec<&Point>) = self.points.iter().copied().partition(is_held_out);
        if held_out.is_empty() || !determines(self.form, &kept, 0) {
            return None;
        }
        let data = FitData::new(self.form, &kept);
        let law = data.law(&data.fit(&data.ln_losses, starts(&data, key))?);
        let relative_errors = held_out.iter().map(|point| relative_error(&law, point));
        let relative_error = relative_errors.sum::<f64>() / held_out.len() as f64;
        Some(HeldOutError { points: held_out.len(), relative_error })
    }
}

/// The largest value of a quantity; None if the other values would not determine the constants of a law.
fn largest_to_spare(points: &[&Point], of: fn(&Point) -> u64) -> Option<u64> {
    let values = values(points, of);
    values.last().copied().filter(|_| values.len() > MIN_VALUES)
}

/// |L̂ − L|/L of one point.
fn relative_error(law: &Law, point: &Point) -> f64 {
    let predicted = law.loss(parameters_of(point) as f64, tokens_of(point) as f64);
    (predicted - point.loss_nats).abs() / point.loss_nats
}

fn parameters_of(point: &Point) -> u64 {
    point.size.parameters().unwrap_or(1)
}

fn tokens_of(point: &Point) -> u64 {
    point.tokens.0
}

/// The distinct values of a quantity.
fn values(points: &[&Point], of: fn(&Point) -> u64) -> BTreeSet<u64> {
    points.iter().map(|point| of(point)).collect()
}

/// Whether points determine the constants of a law if `spare` values are held out. A law in both N and D needs runs
/// that vary N and D independently. Consider an additive model with an effect for each value of N and each value of D:
/// there must be more pairs of N and D than this model has constants.
fn determines(form: LawForm, points: &[&Point], spare: usize) -> bool {
    let (parameters, tokens) = (values(points, parameters_of).len(), values(points, tokens_of).len());
    match form {
        LawForm::Tokens => tokens >= MIN_VALUES + spare,
        LawForm::Parameters => parameters >= MIN_VALUES + spare,
        LawForm::Joint => {
            let cells: BTreeSet<(u64, u64)> =
                points.iter().map(|p| (parameters_of(p), tokens_of(p))).collect();
            let is_crossed = cells.len() >= parameters + tokens;
            parameters >= MIN_VALUES && tokens >= MIN_VALUES + spare && is_crossed
        }
    }
}

fn starts(data: &FitData, key: &StreamKey) -> Vec<LogConstants> {
    let mut stream = key.at(streams::FIT_STARTS).stream(0);
    (0..STARTS).map(|_| data.start(&mut stream)).collect()
}

/// Laws refitted to the fitted losses with resampled residuals.
fn draws(data: &FitData, theta: &LogConstants, resamples: usize, key: &StreamKey) -> Vec<Law> {
    let predicted = data.predicted(theta);
    let residuals = (&data.ln_losses - &predicted) * inflation(predicted.len(), theta.len());
    let key = key.at(streams::FIT_RESIDUALS);
    let draw = |item: u64| {
        let mut stream = key.stream(item);
        let drawn = DVector::from_fn(predicted.len(), |i, _| {
            predicted[i] + residuals[stream.random_range(0..residuals.len())]
        });
        // The fitted law is close to the optimum, but a search that starts with a negligible floor cannot raise it, so
        // other starting points are tried too.
        let starts = (0..REFIT_STARTS).map(|_| data.start(&mut stream)).chain([theta.clone()]);
        data.fit(&drawn, starts).map(|theta| data.law(&theta))
    };
    (0..resamples as u64).into_par_iter().filter_map(draw).collect()
}

/// The factor by which the residuals of `points` points are inflated after fitting `constants` < `points` constants.
fn inflation(points: usize, constants: usize) -> f64 {
    let left = (points - constants) as f64;
    let upper = 0.975;
    let normal = Normal::standard().inverse_cdf(upper);
    let student = StudentsT::new(0.0, 1.0, left).map_or(normal, |student| student.inverse_cdf(upper));
    (points as f64 / left).sqrt() * student / normal
}

fn constants(law: &Law, draws: &[Law]) -> Vec<LawConstant> {
    let drawn: Vec<_> = draws.iter().map(Law::constants).collect();
    let interval_of = |index: usize| interval(drawn.iter().map(|constants| constants[index].1));
    let found = law.constants().into_iter().enumerate();
    found.map(|(index, (name, value))| LawConstant { name, value, interval: interval_of(index) }).collect()
}

/// The 2.5 and 97.5 percentiles, interpolated linearly; NaN if there are no values.
pub(super) fn interval(values: impl Iterator<Item = f64>) -> Interval {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    [0.025, 0.975].map(|share| {
        let position = share * sorted.len().saturating_sub(1) as f64;
        let (low, high) = (position.floor() as usize, position.ceil() as usize);
        let (Some(low), Some(high)) = (sorted.get(low), sorted.get(high)) else { return f64::NAN };
        // Values may be infinite, and ∞ − ∞ is NaN.
        if low == high { *low } else { low + position.fract() * (high - low) }
    })
}

impl LawFit {
    /// The input that all points have in common, as text: "N = 664_192" or "D = 300_000". None if both vary.
    #[must_use]
    pub fn fixed(&self) -> Option<String> {
        self.size.map(|size| size.to_string()).or_else(|| self.tokens.map(|tokens| format!("D = {tokens}")))
    }

    /// Predicted loss at `parameters` and `tokens`, in nats per token.
    #[must_use]
    pub fn loss(&self, parameters: f64, tokens: f64) -> f64 {
        self.law.loss(parameters, tokens)
    }

    /// 95 % interval of [`loss`](Self::loss).
    #[must_use]
    pub fn band(&self, parameters: f64, tokens: f64) -> Interval {
        interval(self.draws.iter().map(|law| law.loss(parameters, tokens)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Percentiles of 0, 1, …, 1000.
    #[test]
    fn an_interval_spans_the_middle_95_percent() {
        assert_eq!(interval((0..=1000).rev().map(f64::from)), [25.0, 975.0]);
        assert_eq!(interval([3.0].into_iter()), [3.0, 3.0]);
        assert!(interval(std::iter::empty())[0].is_nan());
    }

    /// √(15/12) · 2.178813/1.959964, from printed tables.
    #[test]
    fn residuals_are_inflated_for_the_degrees_of_freedom_that_the_fit_used() {
        assert!((inflation(15, 3) - 1.118_034 * 1.111_660).abs() < 1e-5);
    }
}
