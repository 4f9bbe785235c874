//! Calibration: converts scores to log-odds.
//!
//! This is Platt scaling (1999): the log-odds of a score s are `a s + b`, with a and b fitted by maximum likelihood on
//! documents that the weights were not trained on. For n documents of each kind, the targets are `(n + 1)/(n + 2)` and
//! `1/(n + 2)` instead of 1 and 0, so that odds stay finite even if scores separate the kinds completely. The optimizer
//! is Newton's method with step halving (Lin, Lin & Weng 2007).

use super::logistic;

const MOST_STEPS: usize = 100;

/// The line `slope · score + offset` from scores to natural log-odds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Calibration {
    slope: f64,
    offset: f64,
}

impl Calibration {
    /// Fits the line to documents, given the score of each and whether it is natural. Both kinds must be equally
    /// frequent. If synthetic documents have the higher scores, the log-odds of every score are 0.
    pub(super) fn fit(scored: &[(f64, bool)]) -> Self {
        let per_kind = scored.len() as f64 / 2.0;
        let target = |is_natural| {
            if is_natural { (per_kind + 1.0) / (per_kind + 2.0) } else { 1.0 / (per_kind + 2.0) }
        };
        let points: Vec<(f64, f64)> =
            scored.iter().map(|&(score, is_natural)| (score, target(is_natural))).collect();
        let mut fitted = Self { slope: 0.0, offset: 0.0 };
        for _ in 0..MOST_STEPS {
            let Some(better) = fitted.improved(&points) else { break };
            fitted = better;
        }
        if fitted.slope > 0.0 { fitted } else { Self { slope: 0.0, offset: 0.0 } }
    }

    pub(super) fn log_odds(&self, score: f64) -> f64 {
        self.slope * score + self.offset
    }

    /// The result of a Newton step that is halved until the loss decreases. `None` if none of 20 step lengths decreases
    /// the loss.
    fn improved(&self, points: &[(f64, f64)]) -> Option<Self> {
        const RIDGE: f64 = 1e-12;
        let (mut gradient, mut hessian) = ([0.0; 2], [RIDGE, 0.0, RIDGE]);
        for &(score, target) in points {
            let probability = logistic(self.log_odds(score));
            let (excess, weight) = (probability - target, probability * (1.0 - probability));
            gradient = [gradient[0] + excess * score, gradient[1] + excess];
            hessian = [hessian[0] + weight * score * score, hessian[1] + weight * score, hessian[2] + weight];
        }
        let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
        let slope_step = (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / determinant;
        let offset_step = (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / determinant;
        let loss = self.loss(points);
        let steps = (0..20).map(|halvings| 0.5_f64.powi(halvings));
        let stepped = steps.map(|step| Self {
            slope: self.slope - step * slope_step,
            offset: self.offset - step * offset_step,
        });
        stepped.into_iter().find(|other| other.loss(points) < loss)
    }

    /// The sum of cross-entropies in nats between targets t and predicted probabilities, `Σ ln(1 + e^z) − t z` with
    /// log-odds z.
    fn loss(&self, points: &[(f64, f64)]) -> f64 {
        let point_loss = |&(score, target): &(f64, f64)| {
            let z = self.log_odds(score);
            z.max(0.0) + (-z.abs()).exp().ln_1p() - target * z
        };
        points.iter().map(point_loss).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line through two scores fits exactly. 90 of 100 documents are natural at score 2, and 10 of 100 at score 0, so
    /// the log-odds are ±ln 9, except that the targets differ from 1 and 0 by about 0.01.
    #[test]
    fn two_scores_have_the_odds_of_their_counts() {
        let counted = [(2.0, 90, 10), (0.0, 10, 90)];
        let scored: Vec<(f64, bool)> = counted
            .iter()
            .flat_map(|&(score, natural, synthetic)| {
                std::iter::repeat_n((score, true), natural)
                    .chain(std::iter::repeat_n((score, false), synthetic))
            })
            .collect();
        let fitted = Calibration::fit(&scored);
        // The mean target at score 2: (90 · 101/102 + 10 · 1/102) / 100.
        let expected: f64 = (90.0 * 101.0 + 10.0) / 102.0 / 100.0;
        let log_odds = (expected / (1.0 - expected)).ln();
        assert!((fitted.log_odds(2.0) - log_odds).abs() < 1e-9);
        assert!((fitted.log_odds(0.0) + log_odds).abs() < 1e-9);
    }

    /// With 50 documents of each kind, completely separated, the targets are 51/52 and 1/52, which are odds of 51 and
    /// 1/51.
    #[test]
    fn scores_that_separate_completely_have_finite_odds() {
        let scored: Vec<(f64, bool)> = (0..100).map(|i| (f64::from(i % 2), i % 2 == 1)).collect();
        let fitted = Calibration::fit(&scored);
        assert!((fitted.log_odds(1.0) - 51.0_f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn scores_without_information_have_even_odds() {
        let same: Vec<(f64, bool)> = (0..100).map(|i| (1.5, i % 2 == 1)).collect();
        assert!(Calibration::fit(&same).log_odds(1.5).abs() < 1e-9);
        let reversed: Vec<(f64, bool)> = (0..100).map(|i| (f64::from(i % 2), i % 2 == 0)).collect();
        assert_eq!(Calibration::fit(&reversed).log_odds(1.0), 0.0);
    }
}
