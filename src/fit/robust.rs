//! Robust estimation of a law's constants: no single run can change them much.
//!
//! The objective is Σ ρ(ln L̂ − ln L) over points, with Huber's loss ρ (1964), quadratic within ±δ and linear beyond,
//! as in Hoffmann et al. (2022). Their δ is 10⁻³. Here it is 5·10⁻³, half a percent of the loss, because the seeds of
//! small models differ by a few tenths of a percent: if δ is far below the noise, Huber's loss acts like the absolute
//! error, which under normal noise needs n runs where least squares needs 2n/π.
//!
//! With the smooth residual `q = sign(r)·√(2ρ(r))` the objective is a sum of squares, which MINPACK's Levenberg–Marquardt
//! minimises. The search is over the logarithms of all constants, which keeps them positive, and inputs are relative to
//! their geometric mean, which decorrelates scale and exponent. It starts from many points, and the lowest minimum wins.

use super::Point;
use super::law::{Law, LawForm, PowerTerm};
use crate::seed::Stream;
use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::storage::Owned;
use nalgebra::{DMatrix, DVector, Dyn};
use rand::Rng;

/// δ: half-width of the quadratic part, in units of ln L.
pub(super) const DELTA: f64 = 5e-3;

/// Maximum number of evaluations of a search, for each constant.
const EVALUATIONS: usize = 100;

/// The variables of the search: ln E, then the logarithms of the scale and exponent of each term. Scales are those at the
/// centre of the points.
pub(super) type LogConstants = DVector<f64>;

/// Points as inputs and outputs of a law.
pub(super) struct FitData {
    form: LawForm,
    /// The inputs of the form (ln N, ln D or both) minus their means: one row per point, one column per input.
    inputs: DMatrix<f64>,
    /// The mean that was subtracted from each input.
    centres: Vec<f64>,
    /// ln L of each point.
    pub(super) ln_losses: DVector<f64>,
}

impl FitData {
    /// If N is an input of `form`, all `points` have one.
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

    /// A random starting point: a floor below the lowest loss, exponents from 0.05 to 2, and scales for which the law
    /// passes through the centre of the points.
    pub(super) fn start(&self, stream: &mut Stream) -> LogConstants {
        let (lowest, centre) = (self.ln_losses.min().exp(), self.ln_losses.mean().exp());
        let floor = lowest * stream.random_range(0.05..0.95);
        let terms = self.centres.len();
        let mut theta = vec![floor.ln()];
        for _ in 0..terms {
            theta.push(((centre - floor) / terms as f64).ln());
            theta.push(stream.random_range(0.05_f64.ln()..2_f64.ln()));
        }
        LogConstants::from_vec(theta)
    }

    /// The lowest minimum found by searches from all `starts`, with `ln_losses` in place of those of the points. None
    /// if no search ends at a finite value.
    pub(super) fn fit(
        &self,
        ln_losses: &DVector<f64>,
        starts: impl IntoIterator<Item = LogConstants>,
    ) -> Option<LogConstants> {
        let search = LevenbergMarquardt::new().with_patience(EVALUATIONS);
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

    /// The law with the constants `theta`.
    pub(super) fn law(&self, theta: &LogConstants) -> Law {
        let power = |term: usize| {
            let exponent = theta[2 + 2 * term].exp();
            PowerTerm { ln_scale: theta[1 + 2 * term] + exponent * self.centres[term], exponent }
        };
        Law {
            floor_nats: theta[0].exp(),
            parameters: self.form.has_parameters().then(|| power(0)),
            tokens: self.form.has_tokens().then(|| power(self.centres.len() - 1)),
        }
    }

    /// The floor and each term, at each point: one row per point; the first column is the floor.
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

/// The least-squares problem at the current constants.
struct RobustProblem<'a> {
    data: &'a FitData,
    ln_losses: &'a DVector<f64>,
    theta: LogConstants,
    terms: DMatrix<f64>,
}

impl<'a> RobustProblem<'a> {
    fn new(data: &'a FitData, ln_losses: &'a DVector<f64>, theta: LogConstants) -> Self {
        let terms = data.terms(&theta);
        Self { data, ln_losses, theta, terms }
    }

    /// q of point `i`, and its derivative with respect to r.
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
        self.terms = self.data.terms(theta);
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
                let scale_derivative = slope * terms[j] / loss;
                jacobian[(i, 2 * j - 1)] = scale_derivative;
                jacobian[(i, 2 * j)] =
                    -scale_derivative * self.theta[2 * j].exp() * self.data.inputs[(i, j - 1)];
            }
        }
        Some(jacobian)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Huber (1964): ρ(r) = r²/2 within δ and δ(|r| − δ/2) beyond. q²/2 must equal ρ, and the derivative of q must
    /// equal the numeric one.
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
