//! Fitting a law's constants, so that no single run can pull it far.
//!
//! Minimised is Σ ρ(ln L̂ − ln L) over points, with Huber's ρ (1964): quadratic within ±δ, linear beyond, as Hoffmann et
//! al. (2022) fit theirs. Their δ is 10⁻³. Here it is 5·10⁻³, half a percent of the loss, because the seeds of small
//! models differ by a few tenths of a percent: with δ far below the noise Huber's loss is that of absolute deviations,
//! which under normal noise makes of n runs what least squares makes of 2n/π.
//!
//! ρ becomes a sum of squares with the residual `q = sign(r)·√(2ρ(r))`, which is smooth, so that MINPACK's
//! Levenberg–Marquardt takes it. Logarithms of all constants are what is searched, which keeps them positive, and inputs
//! are taken relative to their geometric mean, so that scale and exponent can be told apart. The search begins in many
//! places, and the least minimum counts.

use super::Point;
use super::law::{Law, LawForm, PowerTerm};
use crate::seed::Stream;
use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::storage::Owned;
use nalgebra::{DMatrix, DVector, Dyn};
use rand::Rng;

/// Half-width of the quadratic part, in logarithms of the loss.
pub(super) const DELTA: f64 = 5e-3;

/// Evaluations that a search may take, for each constant.
const PATIENCE: usize = 100;

/// What is searched: ln E, then the logarithms of scale and exponent of each power, scales at the centre of the points.
pub(super) type LogConstants = DVector<f64>;

/// Points as a law of some form sees them.
pub(super) struct FitData {
    form: LawForm,
    /// ln N and ln D, as far as the form has them, less their means: (points, powers).
    inputs: DMatrix<f64>,
    /// Those means.
    centres: Vec<f64>,
    /// ln L of each point.
    pub(super) ln_losses: DVector<f64>,
}

impl FitData {
    /// `points` have parameters wherever `form` asks for them.
    pub(super) fn new(form: LawForm, points: &[&Point]) -> Self {
        let parameters = points.iter().map(|point| point.size.parameters().unwrap_or(1));
        let tokens = points.iter().map(|point| point.tokens.0);
        let mut columns: Vec<Vec<f64>> = Vec::new();
        columns.extend(form.has_parameters().then(|| parameters.map(|n| (n as f64).ln()).collect()));
        columns.extend(form.has_tokens().then(|| tokens.map(|d| (d as f64).ln()).collect()));
        let centres: Vec<f64> = columns.iter().map(|column| mean(column)).collect();
        let inputs = DMatrix::from_fn(points.len(), columns.len(), |i, j| columns[j][i] - centres[j]);
        let ln_losses = DVector::from_iterator(points.len(), points.iter().map(|p| p.loss_nats.ln()));
        Self { form, inputs, centres, ln_losses }
    }

    /// Where a search may begin: a floor anywhere below the least loss, exponents from 0.05 to 2, and scales that meet the
    /// mean.
    pub(super) fn start(&self, stream: &mut Stream) -> LogConstants {
        let (least, centre) = (self.ln_losses.min().exp(), self.ln_losses.mean().exp());
        let floor = least * stream.random_range(0.05..0.95);
        let powers = self.centres.len();
        let mut theta = vec![floor.ln()];
        for _ in 0..powers {
            theta.push(((centre - floor) / powers as f64).ln());
            theta.push(stream.random_range(0.05_f64.ln()..2_f64.ln()));
        }
        LogConstants::from_vec(theta)
    }

    /// The best of what is found from `starts`, of which there is at least one, for points with other `ln_losses`.
    pub(super) fn fit(
        &self,
        ln_losses: &DVector<f64>,
        starts: impl IntoIterator<Item = LogConstants>,
    ) -> Option<LogConstants> {
        let search = LevenbergMarquardt::new().with_patience(PATIENCE);
        let found = starts.into_iter().map(|start| {
            let (problem, report) = search.minimize(RobustProblem::new(self, ln_losses, start));
            (report.objective_function, problem.theta)
        });
        found.filter(|(cost, _)| cost.is_finite()).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, theta)| theta)
    }

    /// ln L̂ of each point.
    pub(super) fn predicted(&self, theta: &LogConstants) -> DVector<f64> {
        DVector::from_iterator(self.inputs.nrows(), self.terms(theta).row_iter().map(|row| row.sum().ln()))
    }

    /// The law that `theta` stands for.
    pub(super) fn law(&self, theta: &LogConstants) -> Law {
        let power = |place: usize| {
            let exponent = theta[2 + 2 * place].exp();
            PowerTerm { ln_scale: theta[1 + 2 * place] + exponent * self.centres[place], exponent }
        };
        Law {
            floor_nats: theta[0].exp(),
            parameters: self.form.has_parameters().then(|| power(0)),
            tokens: self.form.has_tokens().then(|| power(self.centres.len() - 1)),
        }
    }

    /// The floor and each power, at each point: (points, 1 + powers).
    fn terms(&self, theta: &LogConstants) -> DMatrix<f64> {
        DMatrix::from_fn(self.inputs.nrows(), 1 + self.centres.len(), |i, j| match j {
            0 => theta[0].exp(),
            _ => (theta[2 * j - 1] - theta[2 * j].exp() * self.inputs[(i, j - 1)]).exp(),
        })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A sample and the constants under trial.
struct RobustProblem<'a> {
    sample: &'a FitData,
    ln_losses: &'a DVector<f64>,
    theta: LogConstants,
    terms: DMatrix<f64>,
}

impl<'a> RobustProblem<'a> {
    fn new(sample: &'a FitData, ln_losses: &'a DVector<f64>, theta: LogConstants) -> Self {
        let terms = sample.terms(&theta);
        Self { sample, ln_losses, theta, terms }
    }

    /// The residual of point `i`, and how fast its square root changes with it.
    fn residual(&self, i: usize) -> (f64, f64) {
        huber(self.terms.row(i).sum().ln() - self.ln_losses[i])
    }
}

/// `q = sign(r)·√(2ρ(r))` and dq/dr.
fn huber(r: f64) -> (f64, f64) {
    if r.abs() <= DELTA {
        return (r, 1.0);
    }
    let q = (2.0 * DELTA * r.abs() - DELTA * DELTA).sqrt();
    (q.copysign(r), DELTA / q)
}

impl LeastSquaresProblem<f64, Dyn, Dyn> for RobustProblem<'_> {
    type ParameterStorage = Owned<f64, Dyn>;
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, Dyn>;

    fn set_params(&mut self, theta: &LogConstants) {
        self.theta.copy_from(theta);
        self.terms = self.sample.terms(theta);
    }

    fn params(&self) -> LogConstants {
        self.theta.clone()
    }

    fn residuals(&self) -> Option<DVector<f64>> {
        Some(DVector::from_fn(self.ln_losses.len(), |i, _| self.residual(i).0))
    }

    fn jacobian(&self) -> Option<DMatrix<f64>> {
        let mut jacobian = DMatrix::zeros(self.ln_losses.len(), self.theta.len());
        for (i, terms) in self.terms.row_iter().enumerate() {
            let (loss, slope) = (terms.sum(), self.residual(i).1);
            jacobian[(i, 0)] = slope * terms[0] / loss;
            for j in 1..terms.len() {
                let by_scale = slope * terms[j] / loss;
                jacobian[(i, 2 * j - 1)] = by_scale;
                jacobian[(i, 2 * j)] = -by_scale * self.theta[2 * j].exp() * self.sample.inputs[(i, j - 1)];
            }
        }
        Some(jacobian)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Huber (1964): r²/2 within δ, δ(|r| − δ/2) beyond; q²/2 must be that, and q as smooth as ρ.
    #[test]
    fn the_squared_residual_is_hubers_loss() {
        let rho = |r: f64| if r.abs() <= DELTA { r * r / 2.0 } else { DELTA * (r.abs() - DELTA / 2.0) };
        for r in [0.0, 0.4 * DELTA, -DELTA, 3.0 * DELTA, -0.7] {
            let (q, slope) = huber(r);
            assert!((q * q / 2.0 - rho(r)).abs() < 1e-15, "{r}");
            let step = 1e-7 * DELTA;
            let numeric = (huber(r + step).0 - huber(r - step).0) / (2.0 * step);
            assert!((numeric - slope).abs() < 1e-5, "{r}: {numeric} {slope}");
        }
    }
}
